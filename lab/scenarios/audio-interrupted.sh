# about: playing and recording are killed, stopped, and the card taken away while they run; nothing hangs or is warned of
# tier: full
# timeout: 300
# programs: attach-audio
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe snd-usb-audio

format=(-t raw -f S16_LE -r 48000 -c 2)

card_of() {
    card=$(basename "$(find "/sys/bus/usb/devices/$bus_id/" -name 'card[0-9]*' -type d -print -quit)")
    card=${card#card}
    [[ -n $card ]] || fail "no sound card: $(cat /proc/asound/cards)"
}

# start: plays and records. Sets player and recorder.
start() {
    aplay -q -D "hw:$card,0" "${format[@]}" /dev/urandom &
    player=$!
    arecord -q -D "hw:$card,0" "${format[@]}" /dev/null &
    recorder=$!
    sleep "$1"
    ended "$player" && fail "nothing can be played"
    ended "$recorder" && fail "nothing can be recorded"
    return 0
}

end() {
    kill -"$1" "$player" "$recorder"
    wait_until 10 ended "$player" || fail "aplay hangs after SIG$1"
    wait_until 10 ended "$recorder" || fail "arecord hangs after SIG$1"
    wait "$player" "$recorder" || true
}

for speed in full high; do
    attach_device attach-audio --speed "$speed"
    card_of
    for _ in {1..10}; do
        start "0.$((RANDOM % 9 + 1))"
        # Transfers are unlinked in the middle.
        end KILL
    done
    for _ in {1..5}; do
        start "0.$((RANDOM % 9 + 1))"
        end TERM
    done
    note "taken away by the program at $speed speed"
    start 1
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 10 ended "$player" || fail "aplay hangs when the card is gone"
    wait_until 10 ended "$recorder" || fail "arecord hangs when the card is gone"
    wait "$player" "$recorder" || true

    note "detached by the kernel at $speed speed"
    attach_device attach-audio --speed "$speed"
    card_of
    start 1
    detach_port "$port"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 10 ended "$player" || fail "aplay hangs when the card is detached"
    wait_until 10 ended "$recorder" || fail "arecord hangs when the card is detached"
    wait "$player" "$recorder" || true
done
