# about: an ISO file becomes a drive: it mounts, its sums agree, tools read its table of contents; eject, load, a DVD
# tier: full
# timeout: 420
# programs: attach-disk
# allow-log: vhci_hcd: sendmsg failed

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
# Where 31 and 32 bits of an address end, in MiB.
borders=(2047 4095)
for place in "${borders[@]}"; do
    head -c 2M /dev/urandom | dd of=dvd.iso bs=1M seek="$place" conv=notrunc status=none
done

expect_disc() {
    [[ $disk == /dev/sr* ]] || fail "the kernel made $disk of it"
    expect_equal "$(blockdev --getsize64 "$disk")" "$(stat -c %s "$1")" "capacity"
    cmp -n 2097152 "$disk" "$1"
    for place in "${borders[@]}"; do
        [[ $1 == dvd.iso ]] || continue
        cmp -n 2097152 -i $((place << 20)) "$disk" "$1" || fail "the disc is another from MiB $place on"
    done
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
        wanted=CD-ROM
        [[ $iso == disc ]] || wanted=DVD-ROM
        log=$LAB_OUT/$speed.$iso
        xorriso -outdev "$disk" -toc >"$log.toc" 2>&1
        grep -q "^Media current: $wanted" "$log.toc" || fail "xorriso finds no $wanted"
        grep -q '^ISO session *: *1 , *0 , .* LAB' "$log.toc" || fail "xorriso finds no session"
        sg_get_config "$disk" >"$log.features" 2>&1
        grep -q "^Current profile: $wanted" "$log.features" || fail "its profile is not $wanted"
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
