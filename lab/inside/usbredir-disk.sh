# disk_at SPEED SIZE: the block device of the virtual disk that runs at this speed, in Mbit/s, and has so many bytes.
disk_at() {
    local block usb
    for block in /sys/block/sd*; do
        usb=$(readlink -f "$block/device")
        # .../BUS-PORT/BUS-PORT:1.0/hostN/targetN:0:0/N:0:0:0
        usb=$(dirname "${usb%%/host*}")
        [[ $(<"$usb/speed") == "$1" && $(($(<"$block/size") * 512)) == "$2" ]] && echo "/dev/${block##*/}" && return
    done 2>/dev/null
    return 1
}

has_disk() {
    [[ -n $(disk_at "$@") ]]
}

# use DISK: formats it, fills it with 100 MB, and finds them again.
use() {
    mkfs.ext4 -q -F "$1"
    mount "$1" mnt
    cp -r files mnt/
    sync -f mnt
    umount mnt
    e2fsck -f -n "$1"
    echo 3 >/proc/sys/vm/drop_caches
    mount -o ro "$1" mnt
    expect_equal "$(sums mnt/files)" "$expected" "the files on $1"
    umount mnt
}

# Nothing in the guest asks udev for what was there at boot.
modprobe -a xhci-pci ehci-pci usb-storage sd-mod
mb=$((1024 * 1024))
wait_until 60 has_disk 5000 $((160 * mb)) || fail "no disk at super speed: $(lsusb -t)"
wait_until 30 has_disk 480 $((150 * mb)) || fail "no disk at high speed: $(lsusb -t)"
wait_until 30 has_disk 5000 $((16 * mb)) || fail "no read-only disk: $(lsusb -t)"
super=$(disk_at 5000 $((160 * mb)))
high=$(disk_at 480 $((150 * mb)))
protected=$(disk_at 5000 $((16 * mb)))

note "read-only is respected"
expect_equal "$(blockdev --getro "$protected")" 1 "write protection"
expect_failure dd if=/dev/zero of="$protected" bs=4096 count=1 oflag=direct

mkdir mnt files
for number in {1..10}; do
    head -c 10000000 /dev/urandom >"files/$number"
done
expected=$(sums files)
note "100 MB at super speed"
use "$super"
note "100 MB at high speed"
use "$high"
rm -r files

note "the machine stops and goes on, while it reads"
dd if="$super" of=whole bs=1M iflag=direct 2>/dev/null &
reader=$!
ask pause_machine
wait "$reader"
ask sum_super
expect_equal "$(sha256sum <whole | cut -d " " -f 1)" "$(</lab/super.sum)" "what was read"
rm whole

note "unplugged while it reads, and plugged in again"
dd if="$high" of=/dev/null bs=1M iflag=direct count=100000 2>dd.log &
reader=$!
ask unplug_high
wait_until 30 ended "$reader" || fail "the reader does not notice"
expect_failure wait "$reader"
expect_failure has_disk 480 $((150 * mb))
ask plug_high
wait_until 60 has_disk 480 $((150 * mb)) || fail "the disk does not come back: $(lsusb -t)"
udevadm settle
e2fsck -f -n "$(disk_at 480 $((150 * mb)))"
