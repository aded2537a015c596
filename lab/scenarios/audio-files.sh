# about: arecord gets the samples of one file and aplay's come into another, bit for bit, at the same time, with no xrun
# tier: full
# timeout: 240
# programs: attach-audio
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe snd-usb-audio

seconds=5
# A write that waits for a tenth more than the buffer's time is given up by the kernel, and a busy machine may stand still for
# half a second.
format=(-t raw -f S16_LE -r 48000 -c 2 --buffer-time=1000000)
bytes=$((seconds * 192000))

# Random, so that a sample that is lost or told twice shows; and none is silence.
head -c "$bytes" /dev/urandom | tr '\0' '\1' >source
head -c "$bytes" /dev/urandom >played
for speed in full high super; do
    note "at $speed speed"
    attach_device attach-audio --speed "$speed" --source source --sink sink
    card=$(basename "$(find "/sys/bus/usb/devices/$bus_id/" -name 'card[0-9]*' -type d -print -quit)")
    card=${card#card}
    [[ -n $card ]] || fail "no sound card: $(cat /proc/asound/cards)"
    # Twice: each recording begins with the first sample, and the sink has one after the other.
    for round in 1 2; do
        arecord -D "hw:$card,0" "${format[@]}" -d $((seconds + 4)) recorded 2>arecord.err &
        recorder=$!
        aplay -D "hw:$card,0" "${format[@]}" played 2>aplay.err || fail "aplay at $speed speed: $(<aplay.err)"
        wait "$recorder" || fail "arecord at $speed speed: $(<arecord.err)"
        if grep -iE 'underrun|overrun|xrun' aplay.err arecord.err; then fail "an xrun at $speed speed"; fi
        offset=$(cmp recorded /dev/zero | sed -nE 's/.*byte ([0-9]+),.*/\1/p') || true
        [[ -n $offset ]] || fail "only silence was recorded at $speed speed"
        offset=$(((offset - 1) / 4 * 4))
        cmp -n "$bytes" -i "$offset:0" recorded source || fail "what was recorded is not the source at $speed speed"
        # Behind it, silence.
        cmp -n 19200 -i "$((offset + bytes)):0" recorded /dev/zero || fail "something is recorded behind the source"
        report "$speed speed, round $round: recorded from $((offset / 192)) ms on"
    done
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    # ALSA fills the last period up with silence.
    (($(stat -c %s sink) >= 2 * bytes)) || fail "the sink has $(stat -c %s sink) bytes of $((2 * bytes))"
    cmp -n "$bytes" sink played || fail "the sink's first is not what was played at $speed speed"
    second=$(($(stat -c %s sink) / 2))
    cmp -n "$bytes" -i "$second:0" sink played || fail "the sink's second is not what was played at $speed speed"
done
report "$bytes bytes each way at full, high and super speed, twice"
