# about: aplay and arecord at once get back what was played, bit for bit, in real time and without an xrun
# tier: full
# timeout: 300
# programs: attach-audio
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe snd-usb-audio

# Microseconds of sound that are queued.
buffer=500000
seconds=10
format=(-t raw -f S16_LE -r 48000 -c 2 --buffer-time="$buffer")
bytes=$((seconds * 192000))

# played_frames: sets frames, what the card has played so far, and time, when that was, in microseconds.
played_frames() {
    local status
    # In one go: the file changes while it is read.
    status=$(<"/proc/asound/card$card/pcm0p/sub0/status")
    time=${EPOCHREALTIME/./}
    frames=0
    [[ ! $status =~ hw_ptr\ *:\ ([0-9]+) ]] || frames=${BASH_REMATCH[1]}
}

flows() {
    played_frames
    ((frames > 4800))
}

card_of() {
    card=$(basename "$(find "/sys/bus/usb/devices/$bus_id/" -name 'card[0-9]*' -type d -print -quit)")
    card=${card#card}
    [[ -n $card ]] || fail "no sound card: $(cat /proc/asound/cards)"
}

# Random, so that a sample that is lost or told twice shows.
head -c "$bytes" /dev/urandom >played
for speed in full high super; do
    note "at $speed speed"
    attach_device attach-audio --speed "$speed"
    card_of
    arecord -D "hw:$card,0" "${format[@]}" -d $((seconds + 3)) recorded 2>arecord.err &
    recorder=$!
    sleep 1
    {
        aplay -D "hw:$card,0" "${format[@]}" played 2>aplay.err || exit
        echo "${EPOCHREALTIME/./}" >ended
    } &
    player=$!
    wait_until 10 flows || fail "nothing is played: $(<aplay.err)"
    played_frames
    first=$frames start=$time
    pause $((seconds / 2))
    played_frames
    ((frames > 0)) || fail "the end came before $((seconds / 2)) s at $speed speed"
    rate=$(((frames - first) * 1000000 / (time - start)))
    expect_exit 20 "$player" 0 "aplay"
    # By the clock, from the first look at what was played to the end.
    took=$((($(<ended) - start) / 1000))
    due=$(((seconds * 48000 - first) / 48))
    expect_exit 20 "$recorder" 0 "arecord"
    if grep -iE 'underrun|overrun|xrun' aplay.err arecord.err; then fail "an xrun at $speed speed"; fi
    offset=$(cmp recorded /dev/zero | sed -nE 's/.*byte ([0-9]+),.*/\1/p') || true
    [[ -n $offset ]] || fail "only silence was recorded at $speed speed"
    offset=$(((offset - 1) / 4 * 4))
    cmp -n "$bytes" -i "$offset:0" recorded played || fail "what was recorded is not what was played at $speed speed"
    report "$speed speed: $bytes bytes the same, $((offset / 192)) ms after arecord began; $rate frames per second"
    ((rate > 47040 && rate < 48960)) || fail "$rate frames per second at $speed speed, 48000 within 2 % are right"
    report "$speed speed: by the clock the last $due ms of sound took $took ms"
    ((took * 100 > due * 98 && took * 100 < due * 102)) ||
        fail "$due ms of sound took $took ms at $speed speed"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
done
