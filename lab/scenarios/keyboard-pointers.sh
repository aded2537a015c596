# about: evtest sees the coordinates of a tablet and the motion of a mouse as they were said
# tier: fast
# timeout: 120
# programs: attach-tablet
# allow-log: vhci_hcd: urb->status -104

load_vhci
modprobe -a usbhid evdev

# watch SPEED ARG...: attaches a pointer with evtest at it.
watch() {
    attach_device attach-tablet "$@" <motions
    node=/dev/input/$(node_of "$bus_id" 'event*')
    [[ -c $node ]] || fail "no input device: $node"
    evtest --grab "$node" >events &
    reader=$!
    wait_until 10 grep -q 'Testing' events || fail "evtest does not start"
}

reports() {
    (($(grep -c SYN_REPORT events) >= $1))
}

# said LINE: moves the pointer, and the kernel has heard of it.
said() {
    count=$((count + 1))
    echo "$1" >&"$motions"
    wait_until 20 reports "$count" || fail "nothing comes of '$1'"
}

unwatch() {
    kill "$reader"
    wait "$reader" || true
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

mkfifo motions
exec {motions}<>motions
for speed in full high super; do
    note "a tablet at $speed speed"
    watch --speed "$speed"
    count=0
    for line in '1 2' '32767 32767' '16384 0' '12345 6789'; do
        said "$line"
    done
    # A button is told by itself.
    echo '12345 6789 1' >&"$motions"
    said '12345 6789 0'
    wait_until 20 reports 6 || fail "a click is not two reports"
    unwatch
    expect_equal "$(read_reports <events | paste -sd ';')" \
        'ABS_X 1 ABS_Y 2;ABS_X 32767 ABS_Y 32767;ABS_X 16384 ABS_Y 0;ABS_X 12345 ABS_Y 6789;BTN_LEFT 1;BTN_LEFT 0' \
        "the reports at $speed speed"
done
grep -A 4 '(ABS_X)' events | grep -q 'Max *32767' || fail "the tablet has other coordinates: $(grep -A 4 ABS_X events)"

note "a mouse"
watch --mouse
count=0
said '5 -7'
said '-1 0'
count=2
echo '300 0' >&"$motions"
wait_until 20 reports 5 || fail "300 counts are not three reports"
unwatch
expect_equal "$(read_reports <events | paste -sd ';')" \
    'REL_X 5 REL_Y -7;REL_X -1;REL_X 127;REL_X 127;REL_X 46' "the reports of the mouse"
report "tablet at full, high and super speed, and mouse, as evtest reads them"
