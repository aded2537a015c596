# about: our guest against Debian's usbredirect on QEMU's devices: a disk's descriptors and content, a tablet's reports, transfers cancelled, isochronous OUT
# tier: full
# boot: own
# timeout: 150
# devices: -drive file=GUEST/initrd,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,drive=stick -chardev null,id=void -device usb-serial,bus=xhci.0,chardev=void,always-plugged=on -device piix3-usb-uhci,id=uhci -device usb-tablet,bus=uhci.0 -audiodev none,id=none -device usb-audio,bus=uhci.0,audiodev=none
# programs: usbredir-guest lab-probe
# allow-log: reset .*[Ss]peed

modprobe -a xhci-pci uhci-hcd usb-storage sd_mod usbhid snd-usb-audio usbmon
mount -t debugfs none /sys/kernel/debug 2>/dev/null || true
address=tcp:127.0.0.1:4000

own_disk() {
    block_device "$device"
}

note "storage: tree and read"
await_usb 46f4:0001 "usb-storage"
wait_until 20 own_disk || fail "no disk"
disk=$(own_disk)
expected=$(sha256sum <"$disk")
size=$(blockdev --getsize64 "$disk")
redirect 46f4:0001
usbredir-guest tree "$address" | tee tree
grep -q 'Endpoint .*, bulk IN, 1024 bytes' tree
expect_redirected
redirect 46f4:0001
timeout 60 usbredir-guest read "$address" --output copy
expect_redirected
expect_equal "$(sha256sum <copy)" "$expected" "what was read of the storage"
expect_equal "$(stat -c %s copy)" "$size" "its size"
report "storage: $size bytes read through usbredirect, the same as the kernel reads"

note "rules"
redirect 46f4:0001
status=0
usbredir-guest tree "$address" --filter '8,-1,-1,-1,0|-1,-1,-1,-1,1' 2>err || status=$?
expect_equal "$status" 1 "exit status for a device that is not allowed: $(<err)"
grep -q 'the rules do not allow' err
expect_redirected

note "the tablet's interrupts"
await_usb 0627:0001 "usb-tablet"
redirect 0627:0001
said=$(timeout 60 lab-probe hid "$address")
expect_redirected
report "tablet: $said"

note "bulk IN, pending and cancelled"
await_usb 0403:6001 "usb-serial"
redirect 0403:6001
said=$(timeout 60 lab-probe bulk-cancel "$address")
expect_redirected
report "serial port: $said"

note "isochronous OUT"
await_usb 46f4:0002 "usb-audio"
cat /sys/kernel/debug/usb/usbmon/0u >monitored &
monitor=$!
redirect 46f4:0002
said=$(timeout 60 lab-probe audio-play "$address")
expect_redirected
kill "$monitor"
transfers=$(grep -c ' C Zo:.* 0:' monitored || true)
report "audio: $said; $transfers transfers of the host's done"
redirect 46f4:0002
said=$(timeout 60 lab-probe audio-cancel "$address")
expect_redirected
report "audio: $said"
