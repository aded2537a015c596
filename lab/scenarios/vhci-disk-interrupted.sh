# about: detached, told to end, and killed while the kernel writes: nothing hangs, and what was synced is there
# tier: fast
# timeout: 240
# programs: attach-disk
# allow-log: vhci_hcd: (sendmsg failed|urb->status)

load_vhci
mkdir mnt

# Writes without end, until the disk goes away. Sets writer.
start_writer() {
    dd if=/dev/zero of="$disk" bs=1M oflag=direct conv=notrunc status=none &
    writer=$!
    sleep 1
    ended "$writer" && fail "nothing can be written"
    return 0
}

expect_writer_failed() {
    wait_until 20 ended "$writer" || fail "the writer hangs after $1"
    expect_failure wait "$writer"
}

truncate -s 1G disk.img
for speed in high super; do
    note "detached by the kernel at $speed speed"
    attach attach-disk disk.img --speed "$speed"
    start_writer
    detach_port "$port"
    expect_detached "$pid" "$port" "$bus_id"
    expect_writer_failed "detaching"

    note "SIGTERM at $speed speed"
    attach attach-disk disk.img --speed "$speed"
    start_writer
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    expect_writer_failed "SIGTERM"
done

# Writes files of random content and size; names in synced those whose fsync has returned, with their sums.
write_files() {
    local number=0
    while number=$((number + 1)); do
        head -c $((RANDOM * 16 + 1)) /dev/urandom >content
        dd if=content of="mnt/$number" bs=64K conv=fsync status=none || return 1
        (cd mnt && sha256sum "../content" | sed "s,\.\./content,$number,") >>synced
    done
}

for speed in high super; do
    note "killed at $speed speed"
    rm -f disk.img synced
    truncate -s 256M disk.img
    mkfs.ext4 -q disk.img
    attach attach-disk disk.img --speed "$speed"
    mount "$disk" mnt
    write_files &
    writer=$!
    sleep 5
    kill -KILL "$pid"
    expect_writer_failed "SIGKILL"
    wait_until 20 port_free "$port" || fail "port $port is still in state $(port_field "$port" 3)"
    umount mnt

    attach attach-disk disk.img --speed "$speed"
    mount "$disk" mnt
    dmesg | tail -n 20 | grep -q "EXT4-fs (${disk##*/}): recovery complete" || fail "the journal was not replayed"
    note "$(wc -l <synced) files were synced"
    (($(wc -l <synced) >= 5)) || fail "too few files were written to tell anything"
    (cd mnt && sha256sum --check --quiet ../synced) || fail "synced files are damaged"
    umount mnt
    e2fsck -f -n "$disk"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
done
