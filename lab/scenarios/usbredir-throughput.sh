# about: direct reads through usb-redir from our disk against QEMU's own usb-storage, same image, same boot, medians of fifteen
# where: host
# guest: yes
# timeout: 400
# programs: usbredir-host

mb=$((1024 * 1024))
head -c $((64 * mb)) /dev/urandom >whole.disk

# Writes how long our program at a place has been at work, in hundredths of a second.
work() {
    local fields
    read -ra fields <"/proc/${plugged[$1]}/stat"
    echo $((fields[13] + fields[14])) >"$share/work-$1"
}

redirected=(-drive "file=whole.disk,if=none,id=own,format=raw,file.locking=off,read-only=on"
    -device usb-storage,drive=own,bus=xhci.0
    -chardev "socket,id=super,path=super.socket,server=on,wait=off" -device "usb-redir,chardev=super,bus=xhci.0"
    -drive "file=whole.disk,if=none,id=ehci-own,format=raw,file.locking=off,read-only=on"
    -device usb-storage,drive=ehci-own,bus=ehci.0
    -chardev "socket,id=high,path=high.socket,server=on,wait=off" -device "usb-redir,chardev=high,bus=ehci.0")
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci "${redirected[@]}"
for speed in super high; do
    wait_until 20 test -S "$speed.socket" || fail "QEMU does not listen"
    plug "$speed" "$speed" --disk whole.disk,ro
done
await_inside 360
for speed in super high; do
    expect_exit 10 "${plugged[$speed]}" 0 "the guest's end"
done
