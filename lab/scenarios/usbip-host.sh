# about: our client against usbip-host on QEMU's devices: storage read back, a tablet's reports, isochronous OUT done and cancelled
# tier: full
# boot: own
# timeout: 200
# devices: -drive file=GUEST/initrd,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,drive=stick -device piix3-usb-uhci,id=uhci -device usb-tablet,bus=uhci.0 -audiodev none,id=none -device usb-audio,bus=uhci.0,audiodev=none
# programs: usbip-client lab-probe
# allow-log: usbip-host .*: reset

modprobe -a xhci-pci uhci-hcd usb-storage sd_mod usbhid snd-usb-audio usbip-host
usbipd >usbipd.log 2>&1 &

server=tcp:127.0.0.1

note "storage"
await_usb 46f4:0001 "usb-storage"
wait_until 20 block_device "$device" || fail "no disk"
disk=$(block_device "$device")
expected=$(sha256sum <"$disk")
size=$(blockdev --getsize64 "$disk")
usbip bind -b "$device"
wait_until 10 usbip-client list "$server"
usbip-client list "$server" | tee list
# Bound to usbip-host, a device has no configuration and no interfaces until it is imported.
grep -q "^$device *46f4:0001  SuperSpeed" list || fail "storage is not in the list"
usbip-client tree "$server" "$device"
timeout 60 usbip-client read "$server" "$device" --output copy
expect_equal "$(sha256sum <copy)" "$expected" "what was read of the storage"
expect_equal "$(stat -c %s copy)" "$size" "its size"
rm -f copy
report "storage: $size bytes read through usbip-host, the same as the kernel reads"

note "the tablet's interrupts"
await_usb 0627:0001 "usb-tablet"
usbip bind -b "$device"
usbip-client tree "$server" "$device"
said=$(timeout 60 lab-probe hid "$server" "$device")
report "tablet: $said"

note "isochronous OUT, pending and cancelled"
await_usb 46f4:0002 "usb-audio"
usbip bind -b "$device"
usbip-client tree "$server" "$device"
said=$(timeout 60 lab-probe audio-cancel "$server" "$device")
report "audio: $said"
wait_until 10 usbip-client tree "$server" "$device" || fail "the audio device did not survive the cancels"

note "isochronous OUT, completed"
said=$(timeout 60 lab-probe audio-play "$server" "$device")
report "audio on UHCI: $said"
