# about: our client by UAS: QEMU's usb-uas through usbip-host at high speed, and a disk of ours, read and written as the kernel reads and writes them
# tier: full
# boot: own
# timeout: 240
# devices: -drive file=GUEST/vmlinuz,if=none,id=disk,format=raw,snapshot=on -device usb-ehci,id=ehci -device usb-uas,bus=ehci.0,id=uas -device scsi-hd,bus=uas.0,scsi-id=0,lun=0,drive=disk
# programs: usbip-client usbip-server
# allow-log: usbip-host .*: reset
# allow-log: reset high-speed

# Debian's kernel has no UAS gadget (CONFIG_USB_CONFIGFS_F_TCM), so QEMU's is the one that is not ours.

find_device() {
    local folder
    for folder in /sys/bus/usb/devices/*-*; do
        [[ $(cat "$folder/idVendor" 2>/dev/null):$(cat "$folder/idProduct" 2>/dev/null) == 46f4:0003 ]] || continue
        device=${folder##*/}
        return 0
    done
    return 1
}

disk_is_there() {
    disk=$(block_device "$device")
}

modprobe -a ehci-pci uas sd_mod usbip-host
usbipd >usbipd.log 2>&1 &
daemon=$!
address=tcp:127.0.0.1

note "QEMU's usb-uas: read"
wait_until 30 find_device || fail "no usb-uas"
wait_until 20 disk_is_there || fail "no disk"
expect_equal "$(basename "$(readlink "/sys/bus/usb/devices/$device:1.0/driver")")" uas "driver"
expected=$(sha256sum <"$disk")
size=$(blockdev --getsize64 "$disk")
usbip bind -b "$device"
wait_until 10 usbip-client list "$address"
usbip-client list "$address" | tee list
# It has no setting for Bulk-Only Transport: what is read is read by UAS.
usbip-client tree "$address" "$device" | tee tree
usbip-client list "$address" | grep -q "^$device *46f4:0003  high speed" || fail "usb-uas is not in the list"
timeout 60 usbip-client read "$address" "$device" --output copy
expect_equal "$(sha256sum <copy)" "$expected" "what was read"
expect_equal "$(stat -c %s copy)" "$size" "its size"
report "QEMU's usb-uas: $size bytes read by UAS through usbip-host, the same as the kernel reads"

note "QEMU's usb-uas: write"
head -c 5M /dev/urandom >input
timeout 60 usbip-client write "$address" "$device" --input input
timeout 60 usbip-client write "$address" "$device" --input input --resume
usbip unbind -b "$device"
wait_until 20 disk_is_there || fail "no disk after it was unbound"
udevadm settle
cmp -n $((5 << 20)) input "$disk"
tail -c +$(((5 << 20) + 1)) copy >rest
tail -c +$(((5 << 20) + 1)) "$disk" | cmp rest -
report "QEMU's usb-uas: 5 MiB written by UAS, and only those"
kill "$daemon"
rm -f copy rest

note "a disk of ours"
head -c 24M /dev/urandom >disk.img
wait_until 10 sh -c '! usbip-client list tcp:127.0.0.1 2>/dev/null'
start_server --disk disk.img --uas --speed high
usbip-client read "$address" 1-1 --output copy
cmp disk.img copy
usbip-client write "$address" 1-1 --input input
cmp -n $((5 << 20)) input disk.img
cmp -i $((5 << 20)) copy disk.img
kill -TERM "$server"
expect_exit 20 "$server" 0 "the server"
