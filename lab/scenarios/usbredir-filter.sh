# about: QEMU's filter= rejects our keyboard, which we are told and end by, or accepts it
# tier: fast
# where: host
# timeout: 60
# programs: usbredir-host

# offer RULES ARG...: our keyboard to a machine with these rules. Sets machine and host.
offer() {
    local rules=$1
    shift
    rm -f usb.socket host.log host.err
    "${QEMU[@]}" -device qemu-xhci,id=usb -chardev socket,id=redirected,path=usb.socket,server=on,wait=off \
        -device "usb-redir,chardev=redirected,bus=usb.0,debug=4,filter=$rules" >qemu.log 2>&1 &
    machine=$!
    wait_until 20 test -S usb.socket || fail "QEMU does not listen: $(<qemu.log)"
    usbredir-host --connect unix:usb.socket --keyboard x "$@" >host.log 2>host.err &
    host=$!
}

# What QEMU's log says of a device that it does not want, and of one that its machine uses.
rejected='rejected by device filter, not attaching'
configured='usb-redir: set config status 0 config 1 '

# judged VERDICT: whether QEMU has said so.
judged() {
    grep -qF "$1" qemu.log
}

machine_off() {
    kill "$machine"
    wait "$machine" || true
    cat host.log host.err
    cp qemu.log "$LAB_OUT/qemu-$1.log"
}

note "rejected: no device of class HID"
offer '0x03:-1:-1:-1:0|-1:-1:-1:-1:1'
expect_exit 20 "$host" 1 "the host after the rejection"
grep -qx "rejected by the guest's rules 0x03,-1,-1,-1,0|-1,-1,-1,-1,1" host.log || fail "no rejection: $(<host.log)"
grep -qx 'usbredir-host: the guest does not want the device' host.err || fail "no reason: $(<host.err)"
machine_off rejected

note "rejected: no other than one vendor's"
offer '-1:0x1234:-1:-1:1|-1:-1:-1:-1:0'
expect_exit 20 "$host" 1 "the host after the rejection"
judged "$rejected" || fail "QEMU does not say so: $(<qemu.log)"
machine_off vendor

note "rejected by a guest whose rules were not sent, for both sides can do with less"
offer '0x03:-1:-1:-1:0|-1:-1:-1:-1:1' --capabilities 0xfb
wait_until 20 judged "$rejected" || fail "QEMU has not rejected: $(<qemu.log)"
# By then the host would have heard of it, and the firmware would use the device.
pause 3
! ended "$host" || fail "the host does not wait: $(<host.err)"
! grep -q '^rejected' host.log || fail "the host was told: $(<host.log)"
! judged "$configured" || fail "QEMU uses a device that it has rejected"
machine_off silent
expect_exit 10 "$host" 0 "the guest's end"

note "accepted"
offer '0x03:-1:-1:-1:1|-1:-1:-1:-1:0'
wait_until 20 grep -q '^attached: ' host.log || fail "not attached: $(<host.log)"
# The firmware finds the keyboard and uses it.
wait_until 20 judged "$configured" || fail "QEMU does not use the device: $(<qemu.log)"
! judged "$rejected" || fail "QEMU uses a device that it has rejected"
! ended "$host" || fail "the host has left: $(<host.log)"
expect_equal "$(wc -l <host.log)" 2 "lines of the host"
machine_off accepted
expect_exit 10 "$host" 0 "the guest's end"
report "rejected by class and by vendor, with exit status 1; in silence; accepted and used"
