modprobe -a xhci-pci ehci-pci uas sd-mod sg
mkdir mnt

# judge: what Linux does not pass to a uas disk behind vhci_hcd. At high speed, as QEMU's xHCI at times starts no transfer
# of a stream that Linux has queued, and the tool gives a command up after five seconds.
judge() {
    local suite result
    for suite in "${TOO_LONG_FOR_UAS[@]}"; do
        result=$(conformance "$(generic "$disk")" "$suite" "$LAB_OUT/$suite") || fail "$suite: no summary"
        [[ $result == [1-9]*' 0' ]] || fail "$suite: tests and failures: $result"
        report "$suite: ${result% *} tests ran, 0 failed"
    done
}

for speed in super:5000 high:480; do
    rate=${speed#*:} speed=${speed%:*}
    note "at $speed speed"
    ask plug "$speed" "$speed" --disk "$speed.disk" --uas
    await_device_at "$rate" 08
    has_disk() { [[ -b $(block_device "$bus_id") ]]; }
    wait_until 30 has_disk || fail "no disk at $speed speed"
    udevadm settle
    disk=$(block_device "$bus_id")
    # At super speed this driver is never without streams.
    [[ -e /sys/bus/usb/drivers/uas/$bus_id:1.0 ]] || fail "uas does not take the disk at $speed speed: $(lsusb -t)"
    fio --name=verify --filename="$disk" --rw=randrw --bsrange=4k-256k --size=64m --io_size=48m --direct=1 \
        --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal >fio.log
    [[ $speed == super ]] || judge
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
report "uas with streams at super speed and without at high speed: 48 MiB of random writes and reads verified, a file system"
