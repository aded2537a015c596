# about: our BOT and UAS, f_mass_storage, QEMU's usb-storage and usb-uas in one boot: conformance, bad manners, throughput
# tier: full
# boot: own
# timeout: 2400
# memory: 1536
# devices: -device qemu-xhci,id=xhci,p2=4,p3=0 -drive file=GUEST/root.ext4,if=none,id=one,format=raw,size=25165824,snapshot=on -device usb-storage,bus=xhci.0,drive=one,serial=0123456789AB -drive file=GUEST/root.ext4,if=none,id=two,format=raw,size=25165824,snapshot=on -device usb-uas,id=uas,bus=xhci.0 -device scsi-hd,bus=uas.0,drive=two
# programs: attach-disk lab-abuse
# allow-log: reset .*[Ss]peed
# allow-log: vhci_hcd: (sendmsg failed|urb->status|the urb .* already given back)

load_vhci
modprobe -a sg uas usb-storage xhci_pci libcomposite dummy_hcd
size=$((24 << 20))

# All at high speed, with disks of 24 MiB: too small for a test that moves 65536 blocks at once, more than one transfer
# may.
names=('our BOT' 'our UAS' f_mass_storage 'QEMU usb-storage' 'QEMU usb-uas')
declare -A bus tests abuse one many

# bound DRIVER: the bus id of QEMU's device that this driver has.
bound() {
    local device
    for device in /sys/bus/usb/devices/*/; do
        [[ $(cat "$device/idVendor" 2>/dev/null) == 46f4 ]] || continue
        device=$(basename "$device")
        [[ $(basename "$(readlink "/sys/bus/usb/devices/$device:1.0/driver")") == "$1" ]] || continue
        echo "$device"
        return
    done
    return 1
}

# there NAME COMMAND...: the bus id of a peer that should be there.
there() {
    local name=$1
    shift
    wait_until 20 "$@" >/dev/null || fail "$name is missing"
    bus[$name]=$(basename "$("$@" | head -n 1)")
    wait_until 20 block_device "${bus[$name]}" >/dev/null || fail "$name has no disk"
}

head -c "$size" /dev/zero | tee bot.img uas.img >gadget.img
attach attach-disk bot.img --discard --speed high --serial 0123456789AB
bot=$pid bus['our BOT']=$bus_id bot_port=$port
attach attach-disk uas.img --discard --speed high --uas
uas=$pid bus['our UAS']=$bus_id uas_port=$port
gadget_disk 0123456789AB dummy_udc.0 high-speed "$PWD/gadget.img" 1
there f_mass_storage compgen -G '/sys/devices/platform/dummy_hcd.0/usb*/*-1'
there 'QEMU usb-storage' bound usb-storage
there 'QEMU usb-uas' bound uas
udevadm settle
for name in "${names[@]}"; do
    expect_equal "$(<"/sys/bus/usb/devices/${bus[$name]}/speed")" 480 "$name: speed"
    expect_equal "$(blockdev --getsize64 "$(block_device "${bus[$name]}")")" "$size" "$name: size"
done

note "throughput, in turn, since what else the machine does changes from one second to the next"
for round in {1..7}; do
    for name in "${names[@]}"; do
        disk=$(block_device "${bus[$name]}")
        one[$name]+=" $(dd_rate "$disk" 24)"
        many[$name]+=" $(fio_rate "$disk" 2)"
    done
done

note "conformance"
ours_failed=0
for name in "${names[@]}"; do
    disk=$(block_device "${bus[$name]}")
    sg=$(generic "$disk")
    # More than usb-storage begins with.
    [[ ! -e /sys/block/${disk##*/}/device/max_sectors ]] || echo 8192 >"/sys/block/${disk##*/}/device/max_sectors"
    left_out=()
    [[ $name != 'our UAS' ]] || left_out=("${TOO_LONG_FOR_UAS[@]}")
    mapfile -t suites < <(conformance_suites "${left_out[@]}")
    ((${#suites[@]} > 40)) || fail "only ${#suites[@]} suites"
    ran=0 failed=0 skipped=0 lost=0
    for suite in "${suites[@]}"; do
        timeout 60 sg_turs "$sg" || true
        log=$LAB_OUT/${name// /-}.$suite
        if result=$(conformance "$sg" "$suite" "$log"); then
            read -r more bad <<<"$result"
            ran=$((ran + more)) failed=$((failed + bad))
            ((bad == 0)) || note "$name, $suite: $bad failed"
        else
            lost=$((lost + 1))
            note "$name, $suite: no summary"
        fi
        skipped=$((skipped + $(grep -cF '[SKIPPED]' "$log" || true)))
    done
    tests[$name]="${#suites[@]} $ran $failed $skipped $lost"
    [[ $name != our* ]] || ours_failed=$((ours_failed + failed + lost))
done

# QEMU does not survive it: bot-abuse-qemu has a machine of its own for that.
note "bad manners"
for name in 'our BOT' f_mass_storage; do
    log=$LAB_OUT/${name// /-}.abuse
    timeout --kill-after=10 300 lab-abuse "${bus[$name]}" >"$log" 2>&1 || true
    abuse[$name]="$(grep -c 'FAILED' "$log" || true)/$(grep -cE ': (ok$|FAILED)' "$log" || true)"
    [[ $name != our* ]] || grep -q ' 0 failed$' "$log" || ours_failed=$((ours_failed + 1))
done

format='| %-16s | %6s | %5s | %6s | %5s | %4s | %11s | %12s | %12s |'
report "Linux $(uname -r), libiscsi $(dpkg-query -W -f '${Version}' libiscsi-bin), high speed, $(date +%F)"
# shellcheck disable=SC2059 # the table's
report "$(printf "$format" disk suites tests failed skips lost 'bad manners' '1 MiB, KB/s' '128 KiB x 32')"
for name in "${names[@]}"; do
    read -ra counts <<<"${tests[$name]}"
    # shellcheck disable=SC2059,SC2086 # likewise, and lists
    report "$(printf "$format" "$name" "${counts[@]}" "${abuse[$name]:--}" "$(median ${one[$name]})" "$(median ${many[$name]})")"
done
((ours_failed == 0)) || fail "ours failed: $ours_failed"
kill -TERM "$bot"
expect_detached "$bot" "$bot_port" "${bus['our BOT']}"
kill -TERM "$uas"
expect_detached "$uas" "$uas_port" "${bus['our UAS']}"
