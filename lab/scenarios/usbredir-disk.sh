# about: Linux under QEMU uses our disks through usb-redir: file systems at high and super speed, read-only, unplugging
# where: host
# guest: yes
# timeout: 500
# programs: usbredir-host
# allow-log: Buffer I/O error|I/O error

mb=$((1024 * 1024))
truncate -s $((160 * mb)) super.disk
truncate -s $((150 * mb)) high.disk
truncate -s $((16 * mb)) protected.disk

declare -A hosts

# plug NAME SPEED DISK
plug() {
    usbredir-host --connect "unix:$1.socket" --speed "$2" --disk "$3" >"$LAB_OUT/host-$1.log" &
    hosts[$1]=$!
}

plug_high() {
    plug high high high.disk
}

unplug_high() {
    kill -TERM "${hosts[high]}"
    expect_exit 20 "${hosts[high]}" 0 "unplugging"
}

pause_machine() {
    pause 0.5
    echo stop >&"$monitor"
    pause 1
    echo cont >&"$monitor"
}

# Before the guest's cache of the disk matters: it has been unmounted.
sum_super() {
    sha256sum <super.disk | cut -d ' ' -f 1 >"$share/super.sum"
}

# written NAME: the bytes of all commands that write in QEMU's own record of the transfers.
written() {
    tshark -r "$LAB_OUT/$1.pcap" -Y 'usbms.dCBWSignature && usbms.dCBWFlags == 0' \
        -T fields -e usbms.dCBWDataTransferLength 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum }'
}

redirected=()
for at in super,xhci high,ehci protected,xhci; do
    redirected+=(
        -chardev "socket,id=${at%,*},path=${at%,*}.socket,server=on,wait=off"
        -device "usb-redir,id=redir-${at%,*},chardev=${at%,*},bus=${at#*,}.0,pcap=$LAB_OUT/${at%,*}.pcap"
    )
done
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci "${redirected[@]}"
for at in super high protected; do
    wait_until 20 test -S "$at.socket" || fail "QEMU does not listen"
done
plug super super super.disk
plug_high
plug protected super protected.disk,ro
await_inside 400

for at in super high protected; do
    expect_exit 10 "${hosts[$at]}" 0 "the end of $at"
done
for at in super high; do
    e2fsck -f -n "$at.disk"
    bytes=$(written "$at")
    ((bytes >= 100000000)) || fail "QEMU's record has $bytes bytes written at $at speed"
    report "QEMU's own record at $at speed: $bytes bytes written"
done
report "100 MB at high and super speed, read-only, stop and cont, unplugged in mid-read and back; fsck is content"
