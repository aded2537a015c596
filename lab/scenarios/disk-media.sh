# about: media that come and go while Linux uses them, by BOT and UAS: exchange, eject, load, removal in mid-read, resizing, write protection; units
# tier: full
# timeout: 420
# programs: attach-disk
# allow-log: vhci_hcd: (sendmsg failed|urb->status|the urb .* already given back)

load_vhci
modprobe -a sg uas
for name in a b c; do
    head -c $((16 << 20)) /dev/urandom >"$name.img"
done
truncate -s 20M b.img
mkfifo commands
exec {control}<>commands

answered() {
    (($(wc -l <"${attach_output[$pid]}") > $1))
}

# obey COMMAND ANSWER: of attach-disk, on one line.
obey() {
    local output=${attach_output[$pid]} before
    before=$(wc -l <"$output")
    # Who looks at a disk that was written has it locked meanwhile.
    udevadm settle
    echo "$1" >&"$control"
    wait_until 20 answered "$before" || fail "$1: no answer"
    expect_equal "$(tail -n 1 "$output")" "$2" "$1"
}

is_locked() {
    ! flock --nonblock --exclusive "$1" true
}

size_is() {
    # To open it is to look after it.
    [[ $(blockdev --getsize64 "$disk") == "$1" ]]
}

same() {
    cmp <(dd if="$disk" bs=1M iflag=direct status=none) "$1"
}

sense() {
    sg_raw "$sg" 00 00 00 00 00 00 2>&1 | sed -n 's/.*[Ss]ense key: *//p; s/^ *Additional sense: //p; s/^SCSI Status: Good.*/Good/p' |
        paste -sd ' '
}

# exchange BLOCK_SIZE
exchange() {
    local load status=0 started
    note "exchanged, $transport, blocks of $1"
    attach attach-disk a.img --commands --block-size "$1" "${options[@]}" <commands
    expect_equal "$(blockdev --getss "$disk")" "$1" "block size"
    sg=$(generic "$disk")
    expect_equal "$(<"/sys/block/${disk##*/}/removable")" 1 "removable"
    obey status "unit 0: a.img"
    same a.img
    obey "insert b.img" "unit 0: b.img"
    if is_locked a.img; then fail "a.img is still locked"; fi
    wait_until 10 size_is $((20 << 20)) || fail "the kernel does not see the size of b.img"
    same b.img
    dd if=/dev/zero of="$disk" bs=1M count=1 seek=3 oflag=direct status=none
    is_locked b.img || fail "b.img is not locked"
    obey "insert c.img" "unit 0: c.img"
    if is_locked b.img; then fail "b.img is still locked"; fi
    cmp -n $((1 << 20)) <(tail -c +$(((3 << 20) + 1)) b.img) /dev/zero
    wait_until 10 size_is $((16 << 20)) || fail "the kernel does not see the size of c.img"
    same c.img

    note "what the host is told"
    # Nobody else is to hear of it first.
    echo 0 >"/sys/block/${disk##*/}/events_poll_msecs"
    udevadm settle
    obey eject "unit 0: empty"
    expect_equal "$(sense)" "Not Ready Medium not present" "ejected"
    obey "insert a.img" "unit 0: a.img"
    expect_equal "$(sense)" "Unit Attention Not ready to ready change, medium may have changed" "inserted"
    expect_equal "$(sense)" Good "and then"
    same a.img

    note "removed in mid-read"
    read_on 2>load.err &
    load=$!
    wait_until 10 is_status "unit 0: a.img, locked by the host" || fail "the reader does not lock it"
    obey eject "error: the host has locked it"
    started=${EPOCHREALTIME/./}
    obey remove "unit 0: empty"
    wait_until 10 ended "$load" || fail "the reader hangs"
    wait "$load" || status=$?
    ((status != 0)) || fail "the reader read all of what is gone"
    report "$transport, blocks of $1: a reader ended $(tenths_since "$started") tenths of a second after its medium was removed: $(<load.err)"
    obey "insert a.img" "unit 0: a.img"
    wait_until 10 size_is $((16 << 20)) || fail "it does not come back"
    same a.img

    note "ejected by the host"
    eject "$disk"
    wait_until 5 is_status "unit 0: a.img, ejected by the host" || fail "not ejected"
    expect_failure sg_turs "$sg"
    sg_start --load "$sg"
    sg_turs "$sg" || sg_turs "$sg"
    same a.img
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

# read_on: reads all of the disk again and again, and does not let go of it in between.
read_on() {
    local held
    exec {held}<"$disk"
    while dd if="$disk" of=/dev/null bs=4k iflag=direct status=none; do :; done
    return 1
}

is_status() {
    local output=${attach_output[$pid]} before
    before=$(wc -l <"$output")
    echo status >&"$control"
    wait_until 5 answered "$before" && [[ $(tail -n 1 "$output") == "$1" ]]
}

detached_by_eject() {
    note "ejected and detached, $transport"
    attach attach-disk a.img --eject detach "${options[@]}"
    dd if=/dev/urandom of="$disk" bs=1M count=1 status=none
    eject "$disk"
    expect_detached "$pid" "$port" "$bus_id"
    if is_locked a.img; then fail "a.img is still locked"; fi
}

units() {
    local number luns=()
    note "sixteen units, $transport"
    for number in {2..15}; do
        truncate -s "$number"M "$number.img"
        luns+=(--lun "$number.img")
    done
    attach attach-disk a.img --lun c.img,ro "${luns[@]}" "${options[@]}"
    expect_equal "${#disks[@]}" 16 "units"
    same a.img
    disk=${disks[1]} same c.img
    expect_equal "$(blockdev --getro "${disks[0]}") $(blockdev --getro "${disks[1]}")" "0 1" "write protection"
    for number in {2..15}; do
        expect_equal "$(blockdev --getsize64 "${disks[number]}")" $((number << 20)) "capacity of unit $number"
        # Through the page cache: detaching lets the kernel write it.
        head -c 4096 /dev/zero | tr '\0' "\\$(printf %o "$((64 + number))")" >"${disks[number]}"
    done
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    for number in {2..15}; do
        cmp <(head -c 4096 "$number.img") <(head -c 4096 /dev/zero | tr '\0' "\\$(printf %o "$((64 + number))")")
    done
}

# The kernel says so of the disk, since MARK was written into its log.
logged() {
    dmesg | sed -n "/$mark\$/,\$p" | grep -q "$1"
}

mark_log() {
    mark="disk-media: mark $((++marks))"
    echo "$mark" >/dev/kmsg
}
marks=0

look_again() {
    echo 1 >"/sys/block/${disk##*/}/device/rescan"
}

# changed BLOCK_SIZE: what happens to a medium that stays.
changed() {
    local block
    note "resized and write protected, $transport, blocks of $1"
    head -c $((16 << 20)) /dev/urandom >changed.img
    attach attach-disk changed.img --commands --block-size "$1" "${options[@]}" <commands
    block=${disk##*/} sg=$(generic "$disk")
    # Nobody else is to hear of it first.
    echo 0 >"/sys/block/$block/events_poll_msecs"
    udevadm settle
    truncate -s 24M changed.img
    expect_equal "$(sense)" Good "before anybody looks"
    obey resize "unit 0: changed.img"
    expect_equal "$(sense)" "Unit Attention Capacity data has changed" "grown"
    expect_equal "$(sense)" Good "and then"
    mark_log
    look_again
    expect_equal "$(blockdev --getsize64 "$disk")" $((24 << 20)) "the size, grown"
    logged "$block: detected capacity change from 32768 to 49152" || fail "the kernel does not say that it has grown"
    head -c 1M /dev/urandom >piece
    dd if=piece of="$disk" bs=1M seek=23 oflag=direct status=none
    same changed.img

    # The kernel hears of it by itself.
    truncate -s 8M changed.img
    obey resize "unit 0: changed.img"
    mark_log
    dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
    logged "Capacity data has changed" || fail "the kernel does not hear that it has shrunk"
    expect_failure dd if="$disk" of=/dev/null bs=1M skip=20 count=1 iflag=direct status=none 2>beyond.err
    look_again
    logged "$block: detected capacity change from 49152 to 16384" || fail "the kernel does not say that it has shrunk"
    expect_equal "$(blockdev --getsize64 "$disk")" $((8 << 20)) "the size, shrunk"
    same changed.img

    obey protect "unit 0: changed.img, read-only"
    expect_equal "$(sense)" "Unit Attention Mode parameters changed" "protected"
    expect_equal "$(sense)" Good "and then"
    # What the kernel does not know yet, the disk refuses.
    expect_equal "$(blockdev --getro "$disk")" 0 "write protection, before the kernel looks"
    expect_failure dd if=piece of="$disk" bs=1M oflag=direct status=none 2>protected.err
    look_again
    expect_equal "$(blockdev --getro "$disk")" 1 "write protection"
    expect_failure dd if=piece of="$disk" bs=1M oflag=direct status=none 2>protected.err
    same changed.img
    obey unprotect "unit 0: changed.img"
    mark_log
    dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct status=none
    logged "Mode parameters changed" || fail "the kernel does not hear that it may write again"
    look_again
    expect_equal "$(blockdev --getro "$disk")" 0 "write protection, lifted"
    dd if=piece of="$disk" bs=1M oflag=direct status=none
    same changed.img
    cmp -n $((1 << 20)) piece changed.img
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    report "$transport, blocks of $1: a disk was resized to 24 and 8 MiB, protected and no longer, as the kernel says too"
}

for transport in bot uas; do
    options=(--speed super)
    [[ $transport == bot ]] || options=(--speed high --uas)
    exchange 512
    exchange 4096
    changed 512
    changed 4096
    detached_by_eject
    units
done

report "media exchanged, resized, write protected, ejected, loaded and removed in mid-read; sixteen units of one disk"
