reports() {
    (($(grep -c SYN_REPORT events) >= $1))
}

# pointed X Y [DOWN]: has the tablet moved, and evtest has seen it.
pointed() {
    ask point "$@"
    count=$((count + 1))
    wait_until 20 reports "$count" || fail "nothing comes of '$*': $(<events)"
}

modprobe -a xhci-pci usbhid evdev
load_vhci
wait_until 30 real_device 0627:0001 || fail "no usb-tablet"
tablet=$device
udevadm settle
for way in nusb usbfs; do
    through "$tablet" ",$way"
    wait_until 20 node_is "$bus_id" 'event*' || fail "no input device at $bus_id"
    rm -f events
    evtest --grab "/dev/input/$(node_of "$bus_id" 'event*')" >events &
    reader=$!
    wait_until 20 grep -qs Testing events || fail "evtest does not start"
    count=0
    pointed 1 2
    pointed 32767 32766
    pointed 16384 3
    pointed 12345 6789
    pointed 12345 6789 true
    pointed 12345 6789 false
    kill "$reader"
    wait "$reader" || true
    expect_equal "$(read_reports <events | paste -sd ';')" \
        'ABS_X 1 ABS_Y 2;ABS_X 32767 ABS_Y 32766;ABS_X 16384 ABS_Y 3;ABS_X 12345 ABS_Y 6789;BTN_LEFT 1;BTN_LEFT 0' \
        "the reports by $way"
    back
done
report "usb-tablet: six reports as they were made, by nusb and usbfs"
