# about: direct reads against the kernel's own USB/IP chain and against a floor program, medians of five
# tier: full
# boot: own
# timeout: 900
# memory: 2048
# programs: attach-disk lab-floor
# allow-log: usbip-host .*: reset

image=$LAB_SCRATCH/disk.img
size=$((256 << 20))
# Real pages, not a hole; the content does not matter here.
head -c "$size" /dev/zero >"$image"

load_vhci
modprobe dummy_hcd is_super_speed=1 num=2
modprobe libcomposite
modprobe usbip-host
usbipd >usbipd.log 2>&1 &
declare -A disk_of

# kernel_chain SPEED CONTROLLER: gadget on dummy_hcd, usbip-host, usbipd, loopback TCP, vhci. Sets disk.
kernel_chain() {
    local device="/sys/devices/platform/dummy_hcd.$2/usb*/*-1" gadget
    gadget_disk "kernel-$1" "dummy_udc.$2" "$1-speed" "$image"
    wait_until 20 compgen -G "$device/*:1.0/host*/target*/*/block" || fail "no gadget at $1 speed"
    gadget=$(basename "$(compgen -G "$device")")
    usbip bind -b "$gadget"
    usbip attach -r 127.0.0.1 -b "$gadget"
    wait_until 20 find_disk "kernel-$1" || fail "the kernel's own chain shows no disk at $1 speed"
}

# find_disk SERIAL: sets disk to the block device behind vhci of this serial number, once it is there.
find_disk() {
    local device
    for device in "$VHCI"/usb*/*-*/; do
        [[ $(cat "$device/serial" 2>/dev/null) == "$1" ]] || continue
        disk=$(block_device "$(basename "$device")") && return
    done
    return 1
}

number=0
for speed in high super; do
    kernel_chain "$speed" "$number"
    disk_of[kernel,$speed]=$disk
    attach attach-disk "$image" --read-only --speed "$speed"
    disk_of[ours,$speed]=$disk
    attach lab-floor "$image" "$speed"
    disk_of[floor,$speed]=$disk
    number=$((number + 1))
done

# read_for PROGRAM SPEED BYTES COUNT: adds to spent[PROGRAM] the nanoseconds that so many direct reads take.
read_for() {
    local said
    said=$(LC_ALL=C dd if="${disk_of[$1,$2]}" of=/dev/null bs="$3" count="$4" iflag=direct 2>&1)
    [[ $said =~ copied,\ ([0-9.e-]+)\ s ]] || fail "dd: $said"
    spent[$1]=$((${spent[$1]:-0} + $(printf '%.0f' "${BASH_REMATCH[1]}e9")))
}

# The middle one of five.
median() {
    tr ' ' '\n' <<<"${1# }" | sort -n | sed -n 3p
}

# ratio A B: the middle one of five ratios, each of two samples taken at the same time.
ratio() {
    median "$(paste <(tr ' ' '\n' <<<"${1# }") <(tr ' ' '\n' <<<"${2# }") | awk '{ printf " %.2f", $1 / $2 }')"
}

at_least() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }'
}

short=()
# compare SPEED BYTES WANTED: five samples of each program. A sample is two seconds in ten slices, which the programs take
# in turn, since what else the machine does changes from one second to the next.
compare() {
    local sample slice program bytes ours_kernel ours_floor verdict=ok
    local -A spent count rates=([ours]='' [kernel]='' [floor]='') middle
    for program in ours kernel floor; do
        count[$program]=$((100 + (4 << 20) / $2))
        read_for "$program" "$1" "$2" "${count[$program]}"
        count[$program]=$((count[$program] * 200000000 / spent[$program] + 1))
    done
    for sample in {1..5}; do
        spent=()
        for slice in {1..10}; do
            for program in ours kernel floor; do
                read_for "$program" "$1" "$2" "${count[$program]}"
            done
        done
        for program in ours kernel floor; do
            bytes=$((10 * count[$program] * $2))
            rates[$program]+=" $((bytes * 1000000 / spent[$program]))"
        done
    done
    for program in ours kernel floor; do
        note "$1 $2 $program:${rates[$program]}"
        middle[$program]=$(median "${rates[$program]}")
    done
    ours_kernel=$(ratio "${rates[ours]}" "${rates[kernel]}")
    ours_floor=$(ratio "${rates[ours]}" "${rates[floor]}")
    at_least "$ours_kernel" "$3" && at_least "$ours_floor" 0.90 || verdict=short
    [[ $verdict == ok ]] || short+=("$1/$2")
    report "$(printf '%-6s %8s %9s %9s %9s   %8s %6s   %8s %6s   %s' "$1" "$2" "${middle[ours]}" "${middle[kernel]}" \
        "${middle[floor]}" "$ours_kernel" "$3" "$ours_floor" 0.90 "$verdict")"
}

report "$(printf '%-6s %8s %9s %9s %9s   %8s %6s   %8s %6s' speed bytes ours kernel floor ours/krn wanted ours/flr wanted)"
compare high $((1 << 20)) 1.8
compare super $((1 << 20)) 2.5
compare high 4096 1.8
compare super 4096 1.8
report "KB/s, direct reads in one boot, medians of five"
((${#short[@]} == 0)) || fail "below the wanted ratio: ${short[*]}"
