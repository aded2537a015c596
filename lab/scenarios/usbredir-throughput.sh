# about: direct reads through usb-redir from our disk against QEMU's own usb-storage, same image, same boot, medians of fifteen; and QEMU's chardev alone
# where: host
# guest: yes
# timeout: 400
# programs: usbredir-host lab-probe

mb=$((1024 * 1024))
head -c $((64 * mb)) /dev/urandom >whole.disk

# Writes how long our program at a place has been at work, in hundredths of a second.
work() {
    local fields
    read -ra fields <"/proc/${plugged[$1]}/stat"
    echo $((fields[13] + fields[14])) >"$share/work-$1"
}

# chardev BYTES: how long QEMU takes to read 32 MiB in packets of so many bytes, for which nobody has asked, fifteen times.
chardev() {
    for _ in {1..15}; do
        lab-probe chardev idle.socket "$1"
    done >"$share/chardev"
}

redirected=(-drive "file=whole.disk,if=none,id=own,format=raw,file.locking=off,read-only=on"
    -device usb-storage,drive=own,bus=xhci.0
    -chardev "socket,id=super,path=super.socket,server=on,wait=off" -device "usb-redir,chardev=super,bus=xhci.0"
    -drive "file=whole.disk,if=none,id=ehci-own,format=raw,file.locking=off,read-only=on"
    -device usb-storage,drive=ehci-own,bus=ehci.0
    -chardev "socket,id=high,path=high.socket,server=on,wait=off" -device "usb-redir,chardev=high,bus=ehci.0"
    -chardev "socket,id=idle,path=idle.socket,server=on,wait=off" -device "usb-redir,chardev=idle,bus=xhci.0")
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci "${redirected[@]}"
for speed in super high idle; do
    wait_until 20 test -S "$speed.socket" || fail "QEMU does not listen"
    [[ $speed == idle ]] ||
        plug "$speed" "$speed" --disk whole.disk,ro
done
await_inside 360
for speed in super high; do
    expect_exit 10 "${plugged[$speed]}" 0 "the guest's end"
done
