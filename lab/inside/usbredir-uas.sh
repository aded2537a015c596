modprobe -a xhci-pci ehci-pci uas sd-mod sg
mkdir mnt

# judge BLOCK SUITE...: what does not pass /dev/sg to a uas disk behind vhci_hcd. At high speed, as QEMU's xHCI at times starts
# no transfer of a stream that Linux has queued, and the tool gives a command up after five seconds. At whatever controller and
# speed uas takes no more than 512 KiB: 128 blocks of 4096 bytes, where tests go on to 257.
judge() {
    local block=$1 suite log result longest count
    shift
    longest=$(($(<"/sys/block/${disk##*/}/queue/max_hw_sectors_kb") << 10))
    for suite; do
        log=$LAB_OUT/$block.$suite
        result=$(conformance "$(generic "$disk")" "$suite" "$log") || fail "$suite, blocks of $block: no summary"
        [[ $result == [1-9]* ]] || fail "$suite, blocks of $block: nothing ran"
        if [[ $result == *' 0' ]]; then
            report "$suite, blocks of $block: ${result% *} tests ran, 0 failed"
            continue
        fi
        ((257 * block > longest)) || fail "$suite, blocks of $block: tests and failures: $result"
        count=$(refused "$log" "$block" "$longest") || fail "$suite, blocks of $block: tests and failures: $result"
        report "$suite, blocks of $block: ${result% *} tests ran, nothing failed but $count commands of more than $longest bytes"
    done
}

# uas_disk RATE: waits for a disk of this rate, in Mbit/s. Sets bus_id and disk.
uas_disk() {
    await_device_at "$1" 08
    has_disk() { [[ -b $(block_device "$bus_id") ]]; }
    wait_until 30 has_disk || fail "no disk at $1 Mbit/s"
    udevadm settle
    disk=$(block_device "$bus_id")
    # At super speed this driver is never without streams.
    [[ -e /sys/bus/usb/drivers/uas/$bus_id:1.0 ]] || fail "uas does not take the disk at $1 Mbit/s: $(lsusb -t)"
}

for speed in super:5000 high:480; do
    rate=${speed#*:} speed=${speed%:*}
    note "at $speed speed"
    ask plug "$speed" "$speed" --disk "$speed.disk" --uas
    uas_disk "$rate"
    fio --name=verify --filename="$disk" --rw=randrw --bsrange=4k-256k --size=64m --io_size=48m --direct=1 \
        --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal >fio.log
    [[ $speed == super ]] || judge 512 "${TOO_LONG_FOR_UAS[@]}"
    mkfs.ext4 -q -F "$disk"
    mount "$disk" mnt
    head -c 20M /dev/urandom >mnt/file
    sum=$(sha256sum <mnt/file)
    umount mnt
    echo 3 >/proc/sys/vm/drop_caches
    mount -o ro "$disk" mnt
    expect_equal "$(sha256sum <mnt/file)" "$sum" "a file at $speed speed"
    umount mnt
    ask unplug "$speed"
done

note "blocks of 4096"
ask plug blocks high --disk blocks.disk --uas --block-size 4096 --discard
uas_disk 480
expect_equal "$(blockdev --getss "$disk")" 4096 "block size"
judge 4096 "${TOO_LONG_FOR_UAS_4096[@]}"
ask unplug blocks
report "uas with streams at super speed and without at high speed: 48 MiB of random writes and reads verified, a file system"
