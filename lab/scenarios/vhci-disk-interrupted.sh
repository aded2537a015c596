# about: detached, told to end and killed while the kernel writes, to a file system too: nothing hangs, what was synced is there
# tier: fast
# timeout: 240
# programs: attach-disk
# allow-log: vhci_hcd: (sendmsg failed|urb->status)

load_vhci
mkdir mnt

# Writes over and over, until the disk goes away, and then makes no file of its name. Sets writer.
start_writer() {
    while dd if=/dev/zero of="$disk" bs=1M count=200 oflag=direct conv=nocreat status=none; do
        note "again"
    done &
    writer=$!
    sleep 1
    ended "$writer" && fail "nothing can be written"
    return 0
}

expect_writer_ended() {
    wait_until 20 ended "$writer" || fail "the writer hangs after $1"
}

truncate -s 256M disk.img
for speed in high super; do
    note "detached by the kernel at $speed speed"
    attach attach-disk disk.img --speed "$speed"
    start_writer
    detach_port "$port"
    expect_detached "$pid" "$port" "$bus_id"
    expect_writer_ended "detaching"

    note "SIGTERM at $speed speed"
    attach attach-disk disk.img --speed "$speed"
    start_writer
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    expect_writer_ended "SIGTERM"
done

# Writes files of random content and size; names in synced those whose fsync has returned, with their sums.
write_files() {
    local number=0
    while true; do
        number=$((number + 1))
        head -c $((RANDOM * 16 + 1)) /dev/urandom >content
        dd if=content of="mnt/$number" bs=64K conv=fsync status=none || return 0
        (cd mnt && sha256sum "../content" | sed "s,\.\./content,$number,") >>synced
    done
}

synced_files() {
    (($(wc -l <synced) >= $1))
}

# One life of a file system, which SIGNAL ends while it is mounted and written.
live() {
    local signal=$1 speed=$2
    note "SIG$signal at $speed speed, mounted"
    rm disk.img
    truncate -s 256M disk.img
    : >synced
    mkfs.ext4 -q disk.img
    attach attach-disk disk.img --speed "$speed" 2>warning
    mount "$disk" mnt
    write_files &
    writer=$!
    wait_until 60 synced_files 20 || fail "only $(wc -l <synced) files were synced in a minute"
    # At any moment of writing the next ones.
    sleep "0.$RANDOM"
    case $signal in
        KILL)
            kill -KILL "$pid"
            wait_until 20 port_free "$port" || fail "port $port is still in state $(port_field "$port" 3)"
            ;;
        TERM)
            # Whoever asks to end has what is written by then, synced or not, and is told what cannot be had.
            head -c 1M /dev/urandom >content.last
            cp content.last mnt/last
            kill -TERM "$pid"
            expect_detached "$pid" "$port" "$bus_id"
            (sha256sum content.last | sed 's,content.last,last,') >>synced
            expect_equal "$(<warning)" "attach-disk: $disk is still mounted at $PWD/mnt: what is written there from now on is lost" "the warning"
            ;;
    esac
    expect_writer_ended "SIG$signal"
    umount mnt

    attach attach-disk disk.img --speed "$speed"
    mount "$disk" mnt
    dmesg | tail -n 20 | grep -q "EXT4-fs (${disk##*/}): recovery complete" || fail "the journal was not replayed"
    note "$(wc -l <synced) files were synced"
    (cd mnt && sha256sum --check --quiet ../synced) || fail "synced files are damaged"
    umount mnt
    e2fsck -f -n "$disk"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

for speed in high super; do
    live KILL "$speed"
    live TERM "$speed"
done
