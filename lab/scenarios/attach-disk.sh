# about: attach-disk without vhci_hcd and without an image, at any controller, what it warns of and what it refuses
# tier: fast
# programs: attach-disk

# refused WORD ARGUMENT...: ends with 2 after one line, which has this word in it.
refused() {
    local word=$1 status=0
    shift
    timeout 20 attach-disk "$@" >refused.out 2>refused.err || status=$?
    expect_equal "$status" 2 "the exit status of attach-disk $*"
    expect_equal "$(wc -l <refused.err)" 1 "lines of the error of attach-disk $*"
    grep -q "^attach-disk: .*$word" refused.err || fail "attach-disk $* says: $(<refused.err)"
    [[ ! -s refused.out ]] || fail "attach-disk $* printed: $(<refused.out)"
}

truncate -s 4M disk.img
before=$(sha256sum disk.img)

note "without vhci_hcd"
modprobe -r vhci-hcd
timeout 60 attach-disk disk.img >out 2>err
grep -q 'modprobe vhci-hcd' err || fail "it does not say what is missing: $(<err)"
expect_equal "$(sha256sum disk.img)" "$before" "the image after the loopback"

note "without an image"
load_vhci
attach attach-disk
expect_equal "$(blockdev --getsize64 "$disk")" $((64 * 1024 * 1024)) "capacity"
fsck.vfat -n "$disk"
mkdir mnt
mount -o ro "$disk" mnt
[[ -s mnt/README.TXT ]] || fail "no README.TXT: $(ls mnt)"
umount mnt

note "refusals"
refused "$port" disk.img --port "$port"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
refused 9999 disk.img --port 9999
refused missing.img missing.img
refused mnt mnt
head -c 511 /dev/zero >small.img
refused small.img small.img
refused 100 disk.img --block-size 100
refused slow disk.img --speed slow
mount -t tmpfs protected mnt
cp disk.img mnt/
mount -o remount,ro mnt
refused mnt/disk.img mnt/disk.img
expect_equal "$(sha256sum disk.img)" "$before" "the image after refusals"

note "a port of the second controller"
mapfile -t ports < <(awk '$1 == "ss" { print $2 + 0 }' "$VHCI/status.1")
attach attach-disk disk.img --port "${ports[0]}"
expect_equal "$port" "${ports[0]}" "the port"
cmp "$disk" disk.img
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"

note "a protected image read-only, and one with an odd size"
attach attach-disk mnt/disk.img --read-only
cmp "$disk" disk.img
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
head -c 100 /dev/zero >>disk.img
attach attach-disk disk.img 2>warning
expect_equal "$(blockdev --getsize64 "$disk")" $((4 * 1024 * 1024)) "capacity, rounded down"
[[ -s warning ]] || fail "no warning of the odd size"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
