# about: our guest against Debian's usbredirect on a disk of QEMU's: written, resumed, in pieces, attached, reset, and over USB/IP too
# tier: full
# boot: own
# timeout: 240
# devices: -drive file=GUEST/vmlinuz,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,drive=stick
# programs: usbredir-guest bridge usbip-client
# allow-log: reset .*[Ss]peed

modprobe -a xhci-pci usb-storage sd_mod
load_vhci
address=tcp:127.0.0.1:4000

own_disk() {
    block_device "$device"
}

await_usb 46f4:0001 "usb-storage"
wait_until 20 own_disk || fail "no disk"
size=$(blockdev --getsize64 "$(own_disk)")

note "written, resumed"
head -c 3M /dev/urandom >input
redirect 46f4:0001
timeout 60 usbredir-guest write "$address" --input input
expect_redirected
wait_until 20 own_disk || fail "the kernel does not get its disk back"
cmp -n $((3 << 20)) input "$(own_disk)"
head -c 1M input >copy
redirect 46f4:0001
timeout 60 usbredir-guest read "$address" --output copy --resume
expect_redirected
cmp -n $((3 << 20)) input copy
expect_equal "$(stat -c %s copy)" "$size" "the size of the resumed copy"
rm copy

# A guest that can do less tells its host, whose lengths then have 16 bits: of a megabyte that is asked for or sent, each
# piece goes by itself.
note "in pieces"
for less in 0xbf 0; do
    head -c 3M /dev/urandom >input
    redirect 46f4:0001
    timeout 60 usbredir-guest write "$address" --input input --capabilities "$less"
    expect_redirected
    redirect 46f4:0001
    timeout 60 usbredir-guest read "$address" --output "copy-$less" --capabilities "$less"
    expect_redirected
    wait_until 20 own_disk || fail "the kernel does not get its disk back"
    echo 3 >/proc/sys/vm/drop_caches
    cmp -n $((3 << 20)) input "$(own_disk)"
    cmp "copy-$less" "$(own_disk)"
    rm "copy-$less"
done
redirect 46f4:0001
attach usbredir-guest attach "$address" --capabilities 0xbf
dd if="$disk" of=copy bs=1M iflag=direct
cmp -n $((3 << 20)) input copy
expect_equal "$(stat -c %s copy)" "$size" "the size of what the kernel read in pieces"
rm copy
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
expect_redirected
report "in pieces: written, read, and read by the kernel, with capabilities 0xbf and 0"

note "attached, reset, and given back"
redirect 46f4:0001
attach usbredir-guest attach "$address"
mkfs.vfat "$disk" >/dev/null
mkdir mnt
mount "$disk" mnt
head -c 2M /dev/urandom >mnt/file
sync
cp mnt/file file
# By the kernel's number of it, and below a mounted file system.
usbreset "$(printf '%03d/%03d' "$(<"/sys/bus/usb/devices/$bus_id/busnum")" "$(<"/sys/bus/usb/devices/$bus_id/devnum")")"
echo 3 >/proc/sys/vm/drop_caches
cmp file mnt/file
umount mnt
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
expect_redirected
wait_until 20 own_disk || fail "the kernel does not get its disk back"
udevadm settle
mount "$(own_disk)" mnt
cmp file mnt/file
umount mnt
report "attached: a file system made, reset and read again; usb-storage finds it afterwards"

note "over usbredir and USB/IP"
redirect 46f4:0001
bridge to-usbip "$address" --listen tcp:127.0.0.1 >bridge.out 2>bridge.err &
bridging=$!
wait_until 10 grep -q '^listening on ' bridge.out || fail "the bridge does not listen: $(<bridge.err)"
usbip-client list tcp:127.0.0.1 | grep -q '^1-1 *46f4:0001'
timeout 60 usbip-client read tcp:127.0.0.1 1-1 --output bridged
attach usbip-client attach tcp:127.0.0.1 1-1 --reconnect
cmp bridged "$disk"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
kill -TERM "$bridging"
expect_exit 10 "$bridging" 0 "the bridge's end"
expect_redirected
report "bridge: read and attached by USB/IP"
