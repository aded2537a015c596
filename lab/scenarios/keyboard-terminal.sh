# about: keys that are hit at attach-keyboard's own terminal come as keys of the machine, each as it is hit, until Ctrl-]
# tier: full
# timeout: 120
# programs: attach-keyboard
# allow-log: vhci_hcd: urb->status -104

load_vhci
modprobe -a usbhid evdev

# What is written to keys is typed at a pseudo-terminal that attach-keyboard has as its own.
mkfifo keys
exec {keys}<>keys
program=$(command -v attach-keyboard)

said_port() {
    port=$(tr -d '\r' <terminal | sed -n 's/^port: //p')
    bus_id=$(tr -d '\r' <terminal | sed -n 's/^bus id: //p')
    [[ -n $port && -n $bus_id ]]
}

# sit_down: starts attach-keyboard at its terminal. Sets typist, port and bus_id.
sit_down() {
    script --quiet --flush --return --command "exec $program --speed full" terminal <keys >said &
    typist=$!
    wait_until 60 said_port || fail "no device: $(cat -v terminal)"
    wait_until 30 node_is "$bus_id" 'event*' || fail "no input device"
}

# leave: Ctrl-].
leave() {
    printf '\035' >&"$keys"
    expect_exit 20 "$typist" 0 "attach-keyboard after Ctrl-]"
    wait_until 10 port_free "$port" || fail "port $port is still in state $(port_field "$port" 3)"
}

sit_down
node=/dev/input/$(node_of "$bus_id" 'event*')
evtest --grab "$node" >events &
reader=$!
wait_until 10 grep -q 'Testing' events || fail "evtest does not start"
hit() {
    printf '%b' "$1" >&"$keys"
    wait_until 20 grep -q "($2), value 0" events || fail "nothing comes of $2: $(cat -v terminal)"
}
# No end of line is needed, and Control's letters are no signals of the terminal.
hit 'q' KEY_Q
hit '\003' KEY_C
hit '\033[A' KEY_UP
hit '\033[3~' KEY_DELETE
hit '\177' KEY_BACKSPACE
hit 'Hello.\r' KEY_ENTER
grep -q '(KEY_LEFTCTRL), value 1' events || fail "Ctrl-C is not Control and C"
kill "$reader"
wait "$reader" || true
expect_equal "$(read_text <events)" 'q<LEFTCTRL>c<UP><DELETE><BACKSPACE>Hello.' "the keys"
note "Ctrl-]"
leave

note "Ctrl-] where the host takes no keys"
sit_down
echo "$bus_id:1.0" >/sys/bus/usb/drivers/usbhid/unbind
head -c 400000 /dev/zero | tr '\0' x >&"$keys"
grep -q 'the host takes no keys' terminal || note "all keys found a place"
leave
grep -q 'the host has not taken [0-9]* keys, which are dropped' terminal || fail "nothing is said of the keys: $(tail -c 300 terminal)"
report 'keys of a terminal: letters, Control, arrows, delete, backspace, Enter; Ctrl-] ends, also where no keys are taken'
