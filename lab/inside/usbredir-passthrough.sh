reports() {
    (($(grep -c SYN_REPORT events) >= $1))
}

pointed() {
    ask point "$@"
    count=$((count + 1))
    wait_until 20 reports "$count" || fail "nothing comes of '$*': $(<events)"
}

gone() {
    ! test -e "/sys/bus/usb/devices/$bus_id"
}

# taken_back KIND: and it goes.
taken_back() {
    ask order "take_back_$1"
    wait_until 20 gone || fail "the $1 does not go"
}

modprobe -a xhci-pci usb-storage uas sd_mod usbhid evdev ftdi_sio
for way in nusb usbfs; do
    note "a disk, by $way"
    ask order give_disk "$way"
    await_device_at 5000 08
    wait_until 30 block_device "$bus_id" || fail "no disk"
    udevadm settle
    expect_equal "$(sha256sum <"$(block_device "$bus_id")" | cut -d ' ' -f 1)" "$(</lab/stick.sum)" "the disk, by $way"
    taken_back disk

    note "a tablet, by $way"
    ask order give_tablet "$way"
    await_device_at 480 03
    wait_until 20 node_is "$bus_id" 'event*' || fail "no input device"
    rm -f events
    evtest --grab "/dev/input/$(node_of "$bus_id" 'event*')" >events &
    reader=$!
    wait_until 20 grep -qs Testing events || fail "evtest does not start"
    count=0
    pointed 1 2
    pointed 32767 32766
    pointed 12345 6789
    kill "$reader"
    wait "$reader" || true
    expect_equal "$(read_reports <events | paste -sd ';')" 'ABS_X 1 ABS_Y 2;ABS_X 32767 ABS_Y 32766;ABS_X 12345 ABS_Y 6789' \
        "the tablet, by $way"
    taken_back tablet

    note "a serial port, by $way"
    ask order give_serial "$way"
    await_device_at 12 ff
    wait_until 20 node_is "$bus_id" 'ttyUSB*' || fail "no serial port"
    tty=/dev/$(node_of "$bus_id" 'ttyUSB*')
    stty -F "$tty" 115200 raw -echo -crtscts
    head -c 20000 /dev/urandom >sent
    timeout --foreground 60 head -c 20000 <"$tty" >received &
    reader=$!
    sleep 0.5
    cat sent >"$tty"
    expect_exit 60 "$reader" 0 "reading what comes back, by $way"
    cmp sent received
    taken_back serial
done

note "a UAS disk, with streams"
ask order give_uas usbfs
await_device_at 5000 08
# At super speed this driver is never without streams.
wait_until 20 driver_is "$bus_id" uas || fail "its driver is $(driver_of "$bus_id")"
wait_until 30 block_device "$bus_id" || fail "no disk"
udevadm settle
expect_equal "$(sha256sum <"$(block_device "$bus_id")" | cut -d ' ' -f 1)" "$(</lab/uas.sum)" "the UAS disk"
fio --name=streams --filename="$(block_device "$bus_id")" --readonly --rw=randread --bs=16k --iodepth=16 --direct=1 \
    --ioengine=libaio --size=32M --output=fio.log || fail "fio: $(<fio.log)"
taken_back uas
report "a disk of 32 MB, three places of a tablet, 20000 bytes there and back, by nusb and usbfs; a UAS disk of 32 MB by bulk streams, by usbfs"
