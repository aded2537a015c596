# is_there WHAT: sets device to the bus id of QEMU's tablet or keyboard, which have the same numbers.
is_there() {
    device=$(grep -lx "QEMU USB $1" /sys/bus/usb/devices/*-*/product) && device=$(basename "$(dirname "$device")") &&
        node_is "$device" 'event*'
}

released() {
    (($(grep -c 'EV_KEY.*value 0' events) >= $1))
}

# typed KEYS...: these have been pressed one after the other, and evtest has seen them go up.
typed() {
    local keys
    for keys; do
        ask press "$keys"
        count=$((count + 1))
        [[ $keys != *-* ]] || count=$((count + 1))
        wait_until 20 released "$count" || fail "nothing comes of '$keys': $(<events)"
    done
}

modprobe -a xhci-pci usbhid evdev input-leds
load_vhci
wait_until 30 is_there Keyboard || fail "no usb-kbd"
keyboard=$device
wait_until 30 is_there Tablet || fail "no usb-tablet"
tablet=$device
udevadm settle
for way in nusb usbfs; do
    through "$tablet" ",$way"
    watch_input "$bus_id"
    pointed 1 2
    pointed 32767 32766
    pointed 16384 3
    pointed 12345 6789
    pointed 12345 6789 true
    pointed 12345 6789 false
    unwatch_input
    expect_equal "$(read_reports <events | paste -sd ';')" \
        'ABS_X 1 ABS_Y 2;ABS_X 32767 ABS_Y 32766;ABS_X 16384 ABS_Y 3;ABS_X 12345 ABS_Y 6789;BTN_LEFT 1;BTN_LEFT 0' \
        "the reports by $way"
    back
done
report "usb-tablet: six reports as they were made, by nusb and usbfs"

for way in nusb usbfs; do
    through "$keyboard" ",$way,force"
    # udev lets it sleep, and USB/IP has no word by which a device wakes its host.
    echo on >"/sys/bus/usb/devices/$bus_id/power/control"
    watch_input "$bus_id"
    typed shift-u s b spc shift-7 spc x shift-h c i dot 9 shift-slash ret
    unwatch_input
    # A key that goes up late is repeated by the kernel.
    expect_equal "$(read_text <events | sed 's/<[A-Z0-9]* repeated>//g')" 'Usb & xHci.9?' "what was typed, by $way"
    light=$(find "/sys/bus/usb/devices/$bus_id/" -name '*::capslock' -type d | sed -n 1p)
    [[ -n $light ]] || fail "the keyboard has no lights"
    echo 1 >"$light/brightness"
    pause 1
    echo 0 >"$light/brightness"
    pause 1
    back
done
report "usb-kbd: fourteen keys as they were pressed, by nusb and usbfs"
