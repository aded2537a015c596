# about: a USB disk that is real to the guest through attach-usb, by nusb and by usbfs, and read-only: its class driver works, its own gets it back
# tier: full
# boot: own
# timeout: 240
# devices: -drive file=GUEST/initrd,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,drive=stick
# programs: attach-usb

load_vhci
modprobe -a xhci-pci usb-storage sd_mod sg

wait_until 30 real_device 46f4:0001 || fail "no usb-storage"
wait_until 20 block_device "$device" || fail "no disk"
storage=$device
disk=$(block_device "$storage")
udevadm settle
expected=$(sha256sum <"$disk")
size=$(blockdev --getsize64 "$disk")

for way in usbfs nusb; do
    note "the disk, by $way"
    attach_device attach-usb --usb "$storage,$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    no_block_device "$storage" || fail "the disk is still with its own driver"
    udevadm settle
    disk=$(block_device "$bus_id")
    expect_equal "$(blockdev --getsize64 "$disk")" "$size" "size of the disk by $way"
    expect_equal "$(sha256sum <"$disk")" "$expected" "what is read by $way"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 30 block_device "$storage" || fail "the disk did not come back to its driver from $way"
    udevadm settle
done

# refused REASON BYTE...: the disk does not do this command, whatever the kernel thinks of the disk.
refused() {
    local said
    said=$(sg_raw "${sending[@]}" "$generic" "${@:2}" 2>&1) && fail "the disk does ${*:2}"
    grep -qi "$1" <<<"$said" || fail "${*:2}: $said"
}

for way in usbfs nusb; do
    note "a disk that cannot be written, by $way"
    attach_device attach-usb --usb "$storage,$way,read-only"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    disk=$(block_device "$bus_id")
    expect_equal "$(blockdev --getro "$disk")" 1 "write protection by $way"
    expect_equal "$(sha256sum <"$disk")" "$expected" "what is read by $way"
    generic=/dev/$(basename "$(compgen -G "/sys/bus/usb/devices/$bus_id:*/host*/target*/*/scsi_generic/*")")
    wait_until 10 test -e "$generic" || fail "no $generic"
    sending=(-s 512 -i /dev/zero)
    refused 'write protected' 2a 00 00 00 00 00 00 00 01 00
    refused 'write protected' 8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00
    refused 'write protected' 41 00 00 00 00 00 00 00 01 00
    refused 'invalid command operation code' 55 00 00 00 00 00 00 02 00 00
    sending=()
    refused 'write protected' 04 00 00 00 00 00
    sending=(-r 512)
    refused 'invalid command operation code' 85 08 2e 00 00 00 01 00 00 00 00 00 00 00 ec 00
    # It goes on.
    expect_equal "$(dd if="$disk" bs=4096 count=1024 iflag=direct status=none | sha256sum)" \
        "$(dd if="$disk" bs=4096 count=1024 status=none | sha256sum)" "what is read afterwards by $way"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 30 block_device "$storage" || fail "the disk did not come back to its driver from $way"
    udevadm settle
    expect_equal "$(sha256sum <"$(block_device "$storage")")" "$expected" "the disk itself, after $way"
done
report "read-only: six commands refused, by nusb and usbfs, the disk the same"
