# about: a disk of ours in use, by BOT and UAS, blocks of 512 and 4096: sg3-utils, badblocks, file systems, fio, discard, resets
# tier: full
# boot: own
# timeout: 600
# memory: 1536
# programs: attach-disk
# allow-log: reset .*[Ss]peed
# allow-log: vhci_hcd: (sendmsg failed|urb->status|the urb .* already given back)

load_vhci
modprobe -a sg uas loop vfat exfat
mkdir -p files/folder mnt
for number in {1..20}; do
    head -c $((number * 25600)) /dev/urandom >"files/folder/$number"
done
: >files/nothing
expected=$(sums files)

# says PATTERN COMMAND...: the command passes, and what it prints has this in it.
says() {
    local pattern=$1 said
    shift
    said=$("$@" 2>&1) || fail "$name: $*: $said"
    [[ $said =~ $pattern ]] || fail "$name: $*: no '$pattern' in: $said"
}

# refuses PATTERN COMMAND...: the disk refuses, by a sense that the tool prints.
refuses() {
    local pattern=$1 said
    shift
    ! said=$("$@" 2>&1) || fail "$name: $*: passes: $said"
    [[ $said =~ $pattern ]] || fail "$name: $*: no '$pattern' in: $said"
}

block_of() {
    dd if="$disk" bs="$block" skip="$1" count="$2" iflag=direct status=none
}

zeros() {
    head -c $((block * $1)) /dev/zero
}

commands() {
    local sg blocks=$((size / block)) page
    sg=$(generic "$disk")
    sg_turs "$sg" || sg_turs "$sg"
    says 'Vendor identification: Virtual' sg_inq "$sg"
    says 'Version: +6|version=0x06' sg_inq "$sg"
    for page in sv sn di bl bdc lbpv; do
        says . sg_vpd --page="$page" "$sg"
    done
    says "$serial" sg_vpd --page=sn "$sg"
    says 'Non-rotating' sg_vpd --page=bdc "$sg"
    says 'thin provisioned' sg_vpd --page=lbpv "$sg"
    says 'Unmap command supported \(LBPU\): 1' sg_vpd --page=lbpv "$sg"
    refuses 'out of domain' sg_vpd --page=0xc7 "$sg"
    says "Last LBA=$((blocks - 1)) .*Logical block length=$block bytes" sg_readcap --16 "$sg"
    says "Last LBA=$((blocks - 1)) .*[Bb]lock length=$block bytes" sg_readcap "$sg"
    says 'lbpme=1, lbprz=1' sg_readcap --16 "$sg"
    says 'Caching' sg_modes --all "$sg"
    says 'Control' sg_modes --six --all "$sg"
    says 'Unmap' sg_opcodes "$sg"
    says 'Command is supported|supported .conforming' sg_opcodes --opcode=0x28 "$sg"
    says 'NOT supported' sg_opcodes --opcode=0x9f "$sg"
    says 'imply 1|Lun list length = 8' sg_luns "$sg"
    says '' sg_requests "$sg"

    head -c "$block" /dev/urandom >one
    dd if=/dev/urandom of="$disk" bs="$block" count=256 oflag=direct status=none
    dd if=one of="$disk" bs="$block" seek=3 oflag=direct status=none
    says '' sg_verify --lba=3 --count=1 --ndo="$block" --in=one "$sg"
    refuses 'iscompare' sg_verify --lba=4 --count=1 --ndo="$block" --in=one "$sg"
    says '' sg_verify --16 --lba=0 --count=256 "$sg"
    refuses 'out of range' sg_verify --lba="$blocks" --count=1 "$sg"
    says '' sg_write_same --10 --in=one --lba=8 --num=4 --xferlen="$block" "$sg"
    cmp <(block_of 8 4) <(cat one one one one)
    says '' sg_write_same --16 --ndob --lba=8 --num=4 "$sg"
    cmp <(block_of 8 4) <(zeros 4)
    says '' sg_write_same --16 --unmap --lba=16 --num=64 --xferlen="$block" "$sg"
    cmp <(block_of 16 64) <(zeros 64)
    says '' sg_unmap --force --lba=128 --num=64 "$sg"
    cmp <(block_of 128 64) <(zeros 64)
    refuses 'out of range' sg_unmap --force --lba="$((blocks - 1))" --num=2 "$sg"
    says '' sg_sync "$sg"
    says '' sg_sync --16 --lba=0 --count=64 "$sg"
    says '' sg_start --stop "$sg"
    says '' sg_start --start "$sg"
    # There is nothing that it could test, format or reassign, nobody else to reserve it from, and no
    # medium to be locked in.
    refuses 'not supported|[Ii]nvalid op' sg_prevent --prevent=1 "$sg"
    refuses 'not supported|[Ii]nvalid op' sg_senddiag --test "$sg"
    refuses 'not supported|[Ii]nvalid op' sg_format --format --quick "$sg"
    refuses 'not supported|[Ii]nvalid op' sg_reassign --address=1 "$sg"
    refuses 'not supported|[Ii]nvalid op' sg_persist --in --read-keys --no-inquiry "$sg"
    head -c $((block * 2)) /dev/urandom >two
    dd if=one of="$disk" bs="$block" seek=40 oflag=direct status=none
    cat one two | head -c $((block * 2)) >pair
    says '' sg_compare_and_write --in=pair --lba=40 --num=1 --xferlen=$((block * 2)) "$sg"
    cmp <(block_of 40 1) <(head -c "$block" two)
    refuses 'iscompare' sg_compare_and_write --in=pair --lba=40 --num=1 --xferlen=$((block * 2)) "$sg"
    says '' sgp_dd if="$sg" of=/dev/null bs="$block" bpt=$((65536 / block)) thr=8 count="$((blocks / 4))"
}

file_systems() {
    local system
    for system in ext4 vfat exfat; do
        case $system in
            ext4) mkfs.ext4 -q -F "$disk" ;;
            vfat) mkfs.vfat -I "$disk" >/dev/null ;;
            exfat) mkfs.exfat "$disk" >/dev/null ;;
        esac
        mount -t "$system" "$disk" mnt
        cp -r files/. mnt/
        umount mnt
        case $system in
            ext4) e2fsck -f -n "$disk" ;;
            *) "fsck.$system" -n "$disk" ;;
        esac
        echo 3 >/proc/sys/vm/drop_caches
        mount -o ro -t "$system" "$disk" mnt
        expect_equal "$(sums mnt | grep -v lost+found)" "$expected" "$name, $system: the files"
        umount mnt
    done
}

discard() {
    local provisioning before
    provisioning=$(compgen -G "/sys/block/${disk##*/}/device/scsi_disk/*/provisioning_mode")
    # By usb-storage Linux does not ask whether a disk takes blocks back.
    [[ $transport == uas ]] || echo unmap >"$provisioning"
    expect_equal "$(<"$provisioning")" unmap "$name: provisioning_mode"
    before=$(stat -c %b disk.img)
    ((before >= size / 512)) || fail "$name: the image has holes before anything was discarded: $before sectors"
    blkdiscard --offset $((4 << 20)) --length $((8 << 20)) "$disk"
    expect_equal $((before - $(stat -c %b disk.img))) $(((8 << 20) / 512)) "$name: sectors that were given back"
    cmp -n $((8 << 20)) -i $((4 << 20)):0 "$disk" /dev/zero
    blkdiscard "$disk"
    expect_equal "$(stat -c %b disk.img)" 0 "$name: sectors of the image after all was given back"
}

resets() {
    local load number level
    fio --name=load --filename="$disk" --rw=randrw --bs=16k --direct=1 --ioengine=libaio --iodepth=16 --size=100% \
        --runtime=8 --time_based --verify=crc32c --verify_backlog=64 --verify_fatal=1 >"$LAB_OUT/$name.load" 2>&1 &
    load=$!
    for number in 1 2 3; do
        sleep 1
        # Linux's uas driver resets nothing larger than the device.
        for level in device ${bus_too:+bus}; do
            sg_reset "--$level" "$disk" || fail "$name: reset of the $level, $number"
        done
    done
    wait "$load" || fail "$name: fio failed under resets: $(tail -n 3 "$LAB_OUT/$name.load")"
}

size=$((24 << 20))
for transport in bot uas; do
    options=(--speed high --uas) driver=uas bus_too=
    [[ $transport == uas ]] || options=(--speed super) driver=usb-storage bus_too=yes
    for block in 512 4096; do
        name=$transport-$block serial=0123456789$block
        rm -f disk.img
        truncate -s "$size" disk.img
        attach attach-disk disk.img --block-size "$block" --discard --serial "$serial" "${options[@]}"
        expect_equal "$(driver_of "$bus_id") $(blockdev --getss "$disk")" "$driver $block" "driver and block size"
        note "$name: commands"
        commands
        note "$name: badblocks"
        says '\(0/0/0 errors\)' badblocks -w -s -v -b 4096 -c 64 "$disk"
        note "$name: fio"
        fio --name=verify --filename="$disk" --rw=randwrite --bsrange="$block-1m" --blockalign="$block" --direct=1 \
            --ioengine=libaio --iodepth=32 --size=100% --verify=crc32c --verify_fatal=1 >"$LAB_OUT/$name.fio"
        note "$name: discard"
        discard
        note "$name: file systems"
        file_systems
        note "$name: resets"
        resets
        kill -TERM "$pid"
        expect_detached "$pid" "$port" "$bus_id"
        report "$name: commands, badblocks, fio's verification, blocks given back, ext4, vfat and exfat, resets under load"
    done
done
