# about: evtest and a console see exactly what attach-keyboard types, at every speed, and the caps lock light comes back
# tier: fast
# timeout: 240
# programs: attach-keyboard
# allow-log: vhci_hcd: urb->status -104

load_vhci
modprobe -a usbhid evdev

text='The quick brown fox, 0123456789 times: ~!@#$%^&*()_+{}|:"<>?'
text+=" \`-=[]\\;',./ jumps OVER the LAZY dog."
mkfifo keys
exec {keys}<>keys
for speed in low full high super; do
    note "evtest at $speed speed"
    attach_device attach-keyboard --speed "$speed" <keys
    node=/dev/input/$(node_of "$bus_id" 'event*')
    [[ -c $node ]] || fail "no input device: $node"
    evtest --grab "$node" >"events-$speed" &
    reader=$!
    wait_until 10 grep -q 'Testing' "events-$speed" || fail "evtest does not start"
    printf '%s\n' "$text" >&"$keys"
    wait_until 60 grep -q 'KEY_ENTER), value 0' "events-$speed" || fail "nothing ends the line at $speed speed"
    kill "$reader"
    wait "$reader" || true
    expect_equal "$(read_text <"events-$speed")" "$text" "the text at $speed speed"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
done
report "$((${#text} + 1)) characters at low, full, high and super speed, as evtest reads them"

note "a line of a console"
[[ -c /dev/tty1 ]] || skip "this kernel has no virtual console"
head -n 1 </dev/tty1 >line &
reader=$!
start_attach attach-keyboard --type 'typed on a console\n'
expect_exit 60 "$pid" 0 "attach-keyboard when all is typed"
expect_exit 10 "$reader" 0 "the reader of the console"
expect_equal "$(<line)" 'typed on a console' "the line"
port=$(sed -n 's/^port: //p' "${attach_output[$pid]}")
wait_until 10 port_free "$port" || fail "port $port is still in state $(port_field "$port" 3)"

note "the light of caps lock"
attach_device attach-keyboard <keys
light=$(compgen -G "/sys/bus/usb/devices/$bus_id:1.0/*/input/input*/input*::capslock") || {
    modprobe input-leds
    light=$(compgen -G "/sys/bus/usb/devices/$bus_id:1.0/*/input/input*/input*::capslock")
}
echo 1 >"$light/brightness"
wait_until 10 announced "$pid" 'leds: caps-lock' || fail "no light: $(<"${attach_output[$pid]}")"
echo 0 >"$light/brightness"
wait_until 10 announced "$pid" 'leds: none' || fail "still lit: $(<"${attach_output[$pid]}")"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"

note "caps lock on a console"
start_attach attach-keyboard --key caps-lock --type ' ' --key caps-lock --type ' '
expect_exit 60 "$pid" 0 "attach-keyboard when all is typed"
announced "$pid" 'leds: caps-lock' || fail "no light: $(<"${attach_output[$pid]}")"
