# about: an ISO file becomes a drive: it mounts, its sums agree, tools read its table of contents; eject, load, a DVD
# tier: full
# timeout: 420
# programs: attach-disk

load_vhci
modprobe -a sr_mod sg isofs
mkdir -p files/folder mnt
for number in {1..20}; do
    head -c $((number * 51200)) /dev/urandom >"files/folder/file$number"
done
expected=$(sums files)
xorriso -as mkisofs -quiet -R -V LAB -o disc.iso files
# As large as a DVD, mostly a hole.
cp disc.iso dvd.iso
truncate -s 4200M dvd.iso

expect_disc() {
    [[ $disk == /dev/sr* ]] || fail "the kernel made $disk of it"
    expect_equal "$(blockdev --getsize64 "$disk")" "$(stat -c %s "$1")" "capacity"
    cmp -n 2097152 "$disk" "$1"
    mount -o ro -t iso9660 "$disk" mnt
    expect_equal "$(sums mnt)" "$expected" "the files on the disc"
    umount mnt
}

for speed in high super; do
    for iso in disc dvd; do
        note "$iso at $speed speed"
        attach attach-disk "$iso.iso" --cdrom --speed "$speed" --eject keep
        expect_disc "$iso.iso"
        expect_equal "$(cat "/sys/block/${disk##*/}/removable")" 1 "removable"
        xorriso -outdev "stdio:$disk" -toc 2>&1 | tee "$LAB_OUT/$speed.$iso.toc" | grep -q 'Volume id.*LAB' || true
        xorriso -outdev "$disk" -toc >"$LAB_OUT/$speed.$iso.drive" 2>&1 || true
        sg_raw -r 32 "$disk" 46 00 00 00 00 00 00 00 20 00 >"$LAB_OUT/$speed.$iso.configuration" 2>&1
        sg_get_config "$disk" >"$LAB_OUT/$speed.$iso.features" 2>&1
        wanted=CD-ROM
        [[ $iso == disc ]] || wanted=DVD-ROM
        grep -q "$wanted .current" "$LAB_OUT/$speed.$iso.features" || grep -qi "current profile.*$wanted" "$LAB_OUT/$speed.$iso.features" ||
            fail "$iso is no $wanted"
        expect_failure dd if=/dev/zero of="$disk" bs=2048 count=1 status=none
        eject "$disk"
        expect_failure sg_turs "$disk"
        # Linux loads a disc by itself when somebody opens its drive.
        wait_until 10 dd if="$disk" of=/dev/null bs=2048 count=1 status=none || fail "it is not loaded again"
        kill -TERM "$pid"
        expect_detached "$pid" "$port" "$bus_id"
    done
done
report "CD and DVD mount, their sums agree; ejected, loaded"
