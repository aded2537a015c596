# about: write protection reaches the kernel, a forced write fails, and the image stays as it is
# tier: fast
# programs: attach-disk

load_vhci
modprobe sg
mkdir files mnt
head -c 1M /dev/urandom >files/random
truncate -s 16M disk.img
mkfs.ext4 -q -d files disk.img
before=$(sha256sum disk.img)

for speed in high super; do
    attach attach-disk disk.img --read-only --speed "$speed"
    expect_equal "$(blockdev --getro "$disk")" 1 "the kernel's write protection"
    mount -o ro "$disk" mnt
    expect_equal "$(sums mnt)" "$(sums files)" "the files"
    umount mnt

    expect_failure dd if=/dev/zero of="$disk" bs=4096 count=1 oflag=direct
    # WRITE(10) past the kernel's own protection: the sense key DATA PROTECT makes sg_raw end with 7.
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    head -c 512 /dev/urandom >block
    status=0
    sg_raw --send=512 --infile=block "$generic" 2a 00 00 00 00 00 00 00 01 00 || status=$?
    expect_equal "$status" 7 "a forced write"

    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    expect_equal "$(sha256sum disk.img)" "$before" "the image"
done
