# about: tshark's USB/IP dissector understands every message between the kernel and our server
# tier: fast
# programs: attach-disk

load_vhci
truncate -s 16M disk.img
head -c 1M /dev/urandom >content

for speed in high super; do
    # strace stays in the background, so that pid is the program; it writes a file for each of the program's threads.
    attach strace -D -ff -yy -xx -s 2000000 -o calls \
        -e trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg \
        "$LAB_BIN/attach-disk" disk.img --speed "$speed"
    dd if=content of="$disk" bs=1M oflag=direct status=none
    dd if="$disk" of=/dev/null bs=1M count=1 iflag=direct status=none
    # udev looks at what has changed.
    udevadm settle
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    capture=$LAB_OUT/$speed.pcap
    cat calls.* | "$LAB_GUEST/strace-to-pcap" >"$capture"
    rm calls.*

    dissect "$capture" -T fields -e usbip.urb -e scsi_sbc.opcode -e scsi.spc.opcode >frames
    requests=$(cut -f 1 frames | tr , '\n' | grep -c '^0x00000001$')
    replies=$(cut -f 1 frames | tr , '\n' | grep -c '^0x00000003$')
    # One request may have met the end.
    ((replies == requests || replies == requests - 1)) ||
        fail "replies: found $replies, expected $requests, or one less at the end"
    note "$replies requests and replies at $speed speed"
    for operation in 0x12 0x25 0x28 0x2a; do
        cut -f 2,3 frames | grep -q "$operation" || fail "tshark found no SCSI command $operation"
    done
done
