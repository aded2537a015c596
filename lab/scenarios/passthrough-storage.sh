# about: a real USB disk and tablet (to the guest) through attach-usb, by nusb and by usbfs: the class drivers work, the own driver gets the device back
# tier: full
# boot: own
# timeout: 240
# devices: -drive file=GUEST/initrd,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,drive=stick -device usb-tablet,bus=xhci.0
# programs: attach-usb

load_vhci
modprobe -a xhci-pci usb-storage sd_mod usbhid

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
