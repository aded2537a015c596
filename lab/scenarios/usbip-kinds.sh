# about: a keyboard, a serial port and a sound card of our server, imported by stock usbip and by our client: the kernel's drivers type, echo and play
# tier: fast
# timeout: 240
# programs: usbip-server usbip-client
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe -a usbhid evdev cdc-acm snd-usb-audio
# The first port that is opened is the terminal of this session, and carrier that goes ends sessions.
trap '' HUP

start_server --keyboard 'typed over USB/IP\n' --serial --audio
expect_equal "$(usbip-client list tcp:127.0.0.1 | wc -l)" 3 "devices at the server"

# imported COMMAND...: imports a device and waits for its drivers. Sets port and bus_id.
imported() {
    "$@"
    wait_until 20 used_port || fail "no port is in use after: $*"
    wait_until 20 test -e "/sys/bus/usb/devices/$bus_id:1.0" || fail "$bus_id is not configured"
    udevadm settle
}

# gone COMMAND...: lets a device go; its port is free.
gone() {
    "$@"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3) after: $*"
}

note "the keyboard types a line at a console, by stock usbip attach and by our client"
[[ -c /dev/tty1 ]] || skip "this kernel has no virtual console"
# by_keyboard DETACH ATTACH...
by_keyboard() {
    local detach=$1 reader
    shift
    head -n 1 </dev/tty1 >line &
    reader=$!
    imported "$@"
    expect_exit 30 "$reader" 0 "the reader of the console"
    # What an earlier keyboard has typed at this console may come before it.
    [[ $(<line) == *'typed over USB/IP' ]] || fail "the line is '$(<line)'"
    # shellcheck disable=SC2086 # words
    gone $detach "$port"
}
by_keyboard 'usbip detach -p' usbip attach -r 127.0.0.1 -b 1-1
by_keyboard 'usbip-client detach' usbip-client attach tcp:127.0.0.1 1-1

note "the serial port carries 1 MB each way"
head -c 1M /dev/urandom >there
head -c 1M /dev/urandom >back
terminal=$(sed -nE 's/.*serial port at (\S+).*/\1/p' server.out)
[[ -c $terminal ]] || fail "no pseudo-terminal: $(<server.out)"
# by_serial DETACH ATTACH...
by_serial() {
    local detach=$1 tty node writer
    shift
    imported "$@"
    node=/dev/$(node_of "$bus_id" 'ttyACM*')
    [[ -c $node ]] || fail "no serial port: $node"
    exec {tty}<>"$node"
    stty -F "$node" raw -echo
    cat there >&"$tty" &
    writer=$!
    head -c 1M <"$terminal" >received
    expect_exit 20 "$writer" 0 "the writer at the port"
    cmp there received || fail "what was sent came out changed"
    cat back >"$terminal" &
    writer=$!
    head -c 1M <&"$tty" >received
    expect_exit 20 "$writer" 0 "the writer at the terminal"
    cmp back received || fail "what was received came in changed"
    exec {tty}>&-
    # shellcheck disable=SC2086 # words
    gone $detach "$port"
}
by_serial 'usbip detach -p' usbip attach -r 127.0.0.1 -b 1-2
by_serial 'usbip-client detach' usbip-client attach tcp:127.0.0.1 1-2

note "the sound card gives back what is played"
format=(-t raw -f S16_LE -r 48000 -c 2 --buffer-time=500000)
bytes=$((3 * 192000))
head -c "$bytes" /dev/urandom >played
# by_card DETACH ATTACH...
by_card() {
    local detach=$1 card offset recorder
    shift
    imported "$@"
    card=$(basename "$(find "/sys/bus/usb/devices/$bus_id/" -name 'card[0-9]*' -type d -print -quit)")
    card=${card#card}
    [[ -n $card ]] || fail "no sound card: $(cat /proc/asound/cards)"
    arecord -D "hw:$card,0" "${format[@]}" -d 6 recorded &
    recorder=$!
    sleep 1
    aplay -D "hw:$card,0" "${format[@]}" played 2>aplay.err || fail "aplay: $(<aplay.err)"
    expect_exit 20 "$recorder" 0 "arecord"
    offset=$(cmp recorded /dev/zero | sed -nE 's/.*byte ([0-9]+),.*/\1/p') || true
    [[ -n $offset ]] || fail "only silence was recorded"
    offset=$(((offset - 1) / 4 * 4))
    cmp -n "$bytes" -i "$offset:0" recorded played || fail "what was recorded is not what was played"
    # shellcheck disable=SC2086 # words
    gone $detach "$port"
}
by_card 'usbip detach -p' usbip attach -r 127.0.0.1 -b 1-3
by_card 'usbip-client detach' usbip-client attach tcp:127.0.0.1 1-3
kill -TERM "$server"
expect_exit 10 "$server" 0 "usbip-server"
report "typed, 1 MB each way and $bytes bytes played, each by stock usbip attach and by usbip-client"
