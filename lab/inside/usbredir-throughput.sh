# found SPEED MODEL: sets disk.
found() {
    local block
    for block in /sys/block/sd*; do
        [[ $(<"$block/device/model") == "$2"* && $(<"$(readlink -f "$block/device" | sed 's,/[^/]*/host.*,,')/speed") == "$1" ]] ||
            continue
        disk=/dev/${block##*/}
        return
    done 2>/dev/null
    return 1
}

# read_all DISK SIZE: reads all of it in pieces of SIZE, at most 32 MiB. Sets microseconds.
read_all() {
    local started=${EPOCHREALTIME/./}
    dd if="$1" of=/dev/null bs="$2" count=$((32 * 1024 * 1024 / $2)) iflag=direct 2>/dev/null
    microseconds=$((${EPOCHREALTIME/./} - started))
}

median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# work SPEED: sets hundredths, for which our program was at work until now.
work() {
    ask work "$1"
    hundredths=$(<"/lab/work-$1")
}

# compare SPEED RATE SIZE: sets ours, our throughput in MB/s, and percent, to that of QEMU's own. Of the time our disk
# takes, that in which our program is not at work is QEMU's and the kernels'.
compare() {
    local own ours_took=() own_took=() before together=0 busy
    wait_until 60 found "$2" 'USB Disk' || fail "no disk of ours at $1 speed: $(lsusb -t)"
    ours=$disk
    wait_until 30 found "$2" 'QEMU HARDDISK' || fail "no disk of QEMU's at $1 speed: $(lsusb -t)"
    own=$disk
    udevadm settle
    cmp -n 1048576 "$ours" "$own" || fail "the disks differ"
    work "$1"
    before=$hundredths
    for _ in {1..15}; do
        read_all "$ours" "$3"
        ours_took+=("$microseconds")
        together=$((together + microseconds))
        read_all "$own" "$3"
        own_took+=("$microseconds")
    done
    work "$1"
    ours=$((32 * 1048576 / $(median "${ours_took[@]}")))
    own=$((32 * 1048576 / $(median "${own_took[@]}")))
    percent=$((100 * ours / own))
    busy=$(((hundredths - before) * 1000000 / together))
    report "$1 speed, $(($3 >> 10)) KiB: ours $ours MB/s, QEMU's usb-storage $own MB/s:" \
        "$percent %; our program is at work for $busy % of the time"
}

# chardev SIZE: what QEMU takes of a host alone, whoever asks: the most that a disk of anybody's could bring.
chardev() {
    local took limit
    ask chardev "$1"
    mapfile -t took </lab/chardev
    limit=$((32 * 1048576 / $(median "${took[@]}")))
    report "QEMU reads packets of $(($1 >> 10)) KiB from its chardev at $limit MB/s, of which our disk at 1 MiB reaches" \
        "$((100 * ours / limit)) %"
}

modprobe -a xhci-pci ehci-pci usb-storage sd-mod
# A request for each 16 KiB on EHCI, through the chardev and back, where usb-storage is asked and answers in one call:
# reported, with how little of it is ours.
compare high 480 $((1 << 20))
compare super 5000 $((64 << 10))
compare super 5000 $((1 << 20))
chardev $((64 << 10))
chardev $((1 << 20))
((percent >= 50)) || fail "$percent % of QEMU's usb-storage on xHCI at 1 MiB, 50 % are wanted"
