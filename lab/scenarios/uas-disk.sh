# about: Linux's uas driver on a disk of ours: the conformance test, fio's verification, resets under load, BOT beside it
# tier: full
# boot: own
# timeout: 900
# memory: 1536
# programs: attach-disk
# allow-log: reset .*-speed
# allow-log: vhci_hcd: (sendmsg failed|urb->status|the urb .* already given back)

load_vhci
modprobe -a sg uas

driver() {
    basename "$(readlink "/sys/bus/usb/devices/$bus_id:1.0/driver")"
}

attach_uas() {
    attach attach-disk disk.img --speed high --uas "$@"
    expect_equal "$(driver)" uas "driver"
}

detach() {
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

rate() {
    local said
    said=$(LC_ALL=C dd if="$disk" of=/dev/null bs=1M count=48 iflag=direct 2>&1)
    [[ $said =~ copied,\ ([0-9.e-]+)\ s ]] || fail "dd: $said"
    awk -v seconds="${BASH_REMATCH[1]}" 'BEGIN { printf "%d", 48 * 1024 / seconds }'
}

# queued: KB/s of reads of 128 KiB, 32 at a time.
queued() {
    fio --name=read --filename="$disk" --rw=read --bs=128k --direct=1 --ioengine=libaio --iodepth=32 --size=100% \
        --runtime=8 --time_based --output-format=terse --terse-version=3 | awk -F ';' '{ print $7 }'
}

note "throughput"
head -c $((64 << 20)) /dev/zero >disk.img
declare -A one many
for transport in bot uas bot uas bot uas; do
    if [[ $transport == uas ]]; then attach_uas; else attach attach-disk disk.img --speed high; fi
    one[$transport]+=" $(rate)"
    many[$transport]+=" $(queued)"
    detach
done
median() {
    tr ' ' '\n' <<<"${1# }" | sort -n | sed -n 2p
}
for transport in bot uas; do
    report "$transport: $(median "${one[$transport]}") KB/s at 1 MiB, $(median "${many[$transport]}") KB/s at 128 KiB, 32 at a time"
done

note "what is written is what is read"
attach_uas --discard
fio --name=v --filename="$disk" --rw=randwrite --bsrange=512-1m --direct=1 --ioengine=libaio --iodepth=32 --size=32M \
    --verify=crc32c --verify_fatal=1 >"$LAB_OUT/fio"
mkfs.ext4 -q -F "$disk"
e2fsck -f -n "$disk"

note "discard makes holes"
provisioning=$(compgen -G "/sys/block/${disk##*/}/device/scsi_disk/*/provisioning_mode")
report "Linux finds provisioning_mode $(<"$provisioning")"
expect_equal "$(<"$provisioning")" unmap "provisioning_mode"
before=$(stat -c %b disk.img)
blkdiscard "$disk"
(($(stat -c %b disk.img) < before / 10)) || fail "$before sectors before, $(stat -c %b disk.img) after"
cmp -n $((8 << 20)) "$disk" /dev/zero

note "resets under load"
fio --name=load --filename="$disk" --rw=randrw --bs=16k --direct=1 --ioengine=libaio --iodepth=16 --size=32M \
    --runtime=10 --time_based >"$LAB_OUT/load" 2>&1 &
load=$!
for number in {1..5}; do
    sleep 1
    sg_reset --device "$disk" || fail "reset $number"
done
wait "$load" || fail "fio failed under resets: $(tail -n 3 "$LAB_OUT/load")"
detach

note "iscsi-test-cu"
# Through /dev/sg, Linux takes no more than 32 pages at a time for vhci. So the suites that want more, of comparing and
# of clearing, cannot be run here; the disk is the same that scsi-conformance judges.
fits_512='Unmap WriteSame10 WriteSame16 Read6'
for block_size in 512 4096; do
    rm -f disk.img
    truncate -s 24M disk.img
    attach_uas --block-size "$block_size" --discard
    sg=/dev/$(basename "$(compgen -G "/sys/block/${disk##*/}/device/scsi_generic/sg*")")
    sg_turs "$sg"
    total=0
    failed=0
    more=
    [[ $block_size != 512 ]] || more=$fits_512
    for suite in $more Inquiry Mandatory ModeSense6 Prefetch10 Prefetch16 Read10 Read12 Read16 \
        ReadCapacity10 ReadCapacity16 ReportSupportedOpcodes StartStopUnit TestUnitReady Verify10 Verify12 \
        Verify16 Write10 Write12 Write16 WriteVerify10 WriteVerify12 WriteVerify16; do
        log=$LAB_OUT/$block_size.$suite
        timeout 120 iscsi-test-cu -d -n -V -t "ALL.$suite" "$sg" >"$log" 2>&1 || true
        read -r _ _ ran _ bad _ < <(grep -E '^ +tests ' "$log") || fail "$suite: no summary"
        total=$((total + ran))
        failed=$((failed + bad))
        ((bad == 0)) || note "$block_size $suite: $bad failed"
    done
    report "iscsi-test-cu, blocks of $block_size: $total tests ran, $failed failed"
    ((failed == 0)) || fail "$failed tests failed"
    detach
done
