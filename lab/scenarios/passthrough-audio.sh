# about: isochronous both ways by usbfs: a sound card behind vhci_hcd, given by our server, records what it plays: transfers of 1 to 1024 packets, unlinks
# tier: full
# boot: own
# timeout: 400
# cpus: 2
# programs: attach-audio usbip-server lab-probe
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)
# A device is reset for each that imports it.
# allow-log: usb .*: reset (full-s|high-s|SuperS)peed USB device number [0-9]+ using vhci_hcd

# The card is a program's, but to usbfs it is a device of this machine like any other.
load_vhci
modprobe snd-usb-audio

# given PROGRAM...: a card that a program attaches, by our server. Sets own, own_port, own_program, drivers and server.
given() {
    attach_device "$@"
    own=$bus_id own_port=$port own_program=$pid
    wait_until 20 drivers_are "$own" "$(printf "$own:1.%s snd-usb-audio\n" 0 1 2)" ||
        fail "$own has $(drivers_of "$own" | paste -sd ';')"
    drivers=$(drivers_of "$own")
    start_server --listen tcp:127.0.0.1 --usb "$own"
}

# given_back: its driver has it again.
given_back() {
    kill -TERM "$server"
    expect_exit 20 "$server" 0 "the server"
    wait_until 10 drivers_are "$own" "$drivers" ||
        fail "$own has $(drivers_of "$own" | paste -sd ';'), and had $(paste -sd ';' <<<"$drivers")"
    kill -TERM "$own_program"
    expect_detached "$own_program" "$own_port" "$own"
}

# probe MODE: what lab-probe does with the card.
probe() {
    local line
    timeout 90 lab-probe "$1" tcp:127.0.0.1 1-1 >said 2>&1 || fail "$speed speed, $1: $(tail -n 8 said)"
    while read -r line; do
        report "$speed speed: $line"
    done <said
}

for speed in full high super; do
    note "transfers of all lengths, at $speed speed"
    given attach-audio --speed "$speed"
    probe loop-play

    note "unlinks"
    probe loop-unlink

    note "too many packets"
    : >server.err
    probe loop-limit
    expect_equal "$(grep -c '1025 isochronous packets' server.err)" 2 "sessions that ended for 1025 packets: $(<server.err)"
    given_back
done
