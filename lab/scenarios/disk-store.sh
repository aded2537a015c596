# about: where a disk's blocks lie: sparse images of 3 and 20 TiB, a full file system, block devices, a bad block
# tier: full
# timeout: 420
# programs: attach-disk
# allow-log: vhci_hcd: (sendmsg failed|urb->status|the urb .* already given back)

load_vhci
modprobe -a sg uas loop
mkdir mnt full
sense() {
    grep -A 3 -i 'sense key' "$1" | paste -sd ' '
}

refused() {
    local status=0
    timeout 20 attach-disk "$@" >refused 2>&1 || status=$?
    expect_equal "$status" 2 "attach-disk $*: exit status"
    expect_equal "$(wc -l <refused)" 1 "attach-disk $*: lines"
}

detach() {
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

# sparse BLOCK TIB: an image of so much, which has more blocks than 32 bits count.
sparse() {
    local block=$1 tib=$2 last border place taken
    note "$tib TiB in blocks of $block, $transport"
    rm -f disk.img
    truncate -s "$tib"T disk.img
    head -c 1M /dev/urandom >data
    attach attach-disk disk.img --discard --block-size "$block" "${options[@]}"
    expect_equal "$(blockdev --getsize64 "$disk")" $((tib << 40)) "capacity"
    last=$(((tib << 20) - 1)) border=$((block << 12))
    for place in "$last" "$border" $((border - 1)) 1; do
        dd if=data of="$disk" bs=1M seek="$place" oflag=direct status=none
        cmp data <(dd if="$disk" bs=1M skip="$place" count=1 iflag=direct status=none)
        cmp data <(dd if=disk.img bs=1M skip="$place" count=1 status=none)
    done
    # A partition that begins beyond 32 bits of blocks.
    printf 'label: gpt\nstart=%d, size=%d\n' $((9 << 29)) $(((64 << 20) / block)) | sfdisk --quiet "$disk"
    udevadm settle
    wait_until 10 test -b "${disk}1" || fail "no partition"
    mkfs.ext4 -q -F "${disk}1"
    mount "${disk}1" mnt
    cp data mnt/
    umount mnt
    e2fsck -f -n "${disk}1"
    detach
    taken=$(($(stat -c %b disk.img) / 2))
    ((taken < 32 << 10)) || fail "the image takes $taken KiB"
    report "$transport: $tib TiB in blocks of $block, of which the image takes $taken KiB"
    rm disk.img
}

for transport in bot uas; do
    options=(--speed super)
    [[ $transport == bot ]] || options=(--speed high --uas)
    sparse 512 3
    sparse 4096 20

    note "no space, $transport"
    mount -t tmpfs -o size=4M none full
    truncate -s 32M full/disk.img
    head -c 16M /dev/urandom >data
    attach attach-disk full/disk.img "${options[@]}"
    expect_failure dd if=data of="$disk" bs=64k oflag=direct 2>dd.err
    grep -q 'No space left on device' dd.err || fail "dd: $(<dd.err)"
    written=$(sed -n 's/^\([0-9]*\)+.* records out/\1/p' dd.err)
    ((written > 16)) || fail "only $written pieces of 64 KiB were written"
    # What was taken is there.
    cmp -n $((written << 16)) data <(dd if="$disk" bs=64k iflag=direct status=none)
    cmp -n $((written << 16)) data full/disk.img
    # Through the page cache whoever flushes hears of it.
    expect_failure dd if=data of="$disk" bs=1M conv=fsync,notrunc 2>fsync.err
    report "$transport, no space: $(sed -n 1p dd.err); $(sed -n 1p fsync.err)"
    sg=$(generic "$disk")
    sg_raw -s 512 -i data "$sg" 2a 00 00 00 f0 00 00 00 01 00 >sense 2>&1 || true
    [[ $(sense sense) == *'Data Protect'*'Space allocation failed write protect'* ]] || fail "sense: $(sense sense)"
    detach
    umount full
done

note "block devices"
refused /dev/vda
grep -q 'mounted or in use' refused || fail "of the root file system: $(<refused)"
for block in 512 4096; do
    rm -f back.img
    truncate -s 32M back.img
    loop=$(losetup --find --show --sector-size "$block" back.img)
    mkfs.ext4 -q -F "$loop"
    mount "$loop" mnt
    refused "$loop"
    grep -q 'mounted or in use' refused || fail "while mounted: $(<refused)"
    refused "$loop" --read-only
    umount mnt
    attach attach-disk "$loop" --discard --uas --speed high
    refused "$loop"
    grep -q 'mounted or in use' refused || fail "attached twice: $(<refused)"
    expect_failure mount "$loop" mnt
    expect_equal "$(blockdev --getss "$disk") $(blockdev --getsize64 "$disk")" "$block $((32 << 20))" "geometry"
    mount "$disk" mnt
    cp data mnt/
    umount mnt
    e2fsck -f -n "$disk"
    detach
    mount "$loop" mnt
    cmp data mnt/data
    umount mnt
    attach attach-disk "$loop" --discard --uas --speed high
    blkdiscard "$disk"
    detach
    expect_equal "$(stat -c %b back.img)" 0 "sectors of the image after all was given back"
    losetup --detach "$loop"
done
loop=$(losetup --find --show --read-only back.img)
refused "$loop"
grep -q 'cannot be written: add ,ro' refused || fail "of a write-protected one: $(<refused)"
attach attach-disk "$loop,ro"
expect_equal "$(blockdev --getro "$disk")" 1 "write protection"
detach
losetup --detach "$loop"

note "a bad block"
# Ten blocks that cannot be read.
modprobe scsi_debug dev_size_mb=16 delay=0 opts=2 medium_error_start=4660 medium_error_count=10
bad=
found_bad() {
    bad=$(compgen -G '/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*') && bad=/dev/${bad##*/}
}
wait_until 20 found_bad || fail "scsi_debug makes no disk"
udevadm settle
for transport in bot uas; do
    options=(--speed super)
    [[ $transport == bot ]] || options=(--speed high --uas)
    attach attach-disk "$bad" "${options[@]}"
    sg=$(generic "$disk")
    sg_turs "$sg" || sg_turs "$sg"
    sg_raw -r 32768 "$sg" 28 00 00 00 12 10 00 00 40 00 >sense 2>&1 || true
    # The page in which it lies: 0x1234 is in the one of 0x1230.
    [[ $(sense sense) == *'Medium Error'*'Unrecovered read error'* ]] || fail "sense: $(sense sense)"
    grep -qi 'info.*0x1230' sense || fail "which block: $(<sense)"
    status=0
    timeout 60 dd if="$disk" of=/dev/null bs=64k iflag=direct status=none 2>dd.err || status=$?
    expect_equal "$status" 1 "dd: exit status"
    dd if="$disk" of=/dev/null bs=4k skip=584 count=128 iflag=direct status=none
    dd if="$disk" of=/dev/null bs=4k count=582 iflag=direct status=none
    report "$transport, bad block: $(sed -n 1p dd.err); $(grep -i 'info.*0x1230' sense | xargs)"
    detach
done
rmmod scsi_debug
