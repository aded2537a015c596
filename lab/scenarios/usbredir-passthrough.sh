# about: devices that are real to one Linux, given by its usbredir-host to another machine's usb-redir: disks, with bulk streams too, tablet, serial port
# where: host
# guest: yes
# timeout: 400
# programs: usbredir-host
# allow-log: usb .*: reset (full|high|super|Super)-?[sS]peed USB device number [0-9]+ using .hci_hcd

head -c 32M /dev/urandom >stick.img
head -c 32M /dev/urandom >uas.img
first=$((20000 + RANDOM % 20000))

# The machine that has the devices; a guest's 10.0.2.2 is the host's 127.0.0.1.
open_qmp
as=giver boot_guest "${qmp[@]}" -device qemu-xhci,id=xhci,p2=8,p3=8 -netdev user,id=net -device virtio-net-pci,netdev=net \
    -blockdev "driver=raw,node-name=medium,read-only=on,file.driver=file,file.filename=$PWD/stick.img" \
    -device usb-storage,bus=xhci.0,drive=medium \
    -blockdev "driver=raw,node-name=other,read-only=on,file.driver=file,file.filename=$PWD/uas.img" \
    -device usb-uas,id=uas,bus=xhci.0 -device scsi-hd,bus=uas.0,drive=other -device usb-tablet,bus=xhci.0 \
    -chardev socket,id=one,path=line.socket,server=on,wait=off -chardev socket,id=other,path=line.socket \
    -device usb-serial,bus=xhci.0,chardev=one -device usb-serial,bus=xhci.0,chardev=other
giver=$machine giver_share=$share
echo "$first" >"$giver_share/first"

# The machine that uses them.
redirected=() number=0
for kind in disk tablet serial uas; do
    redirected+=(
        -chardev "socket,id=$kind,host=127.0.0.1,port=$((first + number)),server=on,wait=off"
        -device "usb-redir,id=redir-$kind,chardev=$kind,bus=xhci.0,pcap=$LAB_OUT/$kind.pcap"
    )
    number=$((number + 1))
done
boot_guest -device qemu-xhci,id=xhci,p2=8,p3=8 "${redirected[@]}"
sha256sum <stick.img | cut -d ' ' -f 1 >"$share/stick.sum"
sha256sum <uas.img | cut -d ' ' -f 1 >"$share/uas.sum"

is_done() {
    [[ ! -e $giver_share/order ]] || ended "$giver"
}

# order WORD...: the other machine does something.
order() {
    echo "$*" >"$giver_share/order.new"
    mv "$giver_share/order.new" "$giver_share/order"
    wait_until 50 is_done || fail "the other machine does not $*"
    ! ended "$giver" || [[ $* == leave ]] || fail "the other machine has ended: $(cat "$giver_share/$name/reason")"
}

await_inside 300
order leave
wait_until 30 ended "$giver" || fail "the other machine does not power off"
cp -r "$giver_share/$name" "$LAB_OUT/giver"
[[ $(<"$giver_share/$name/status") == pass* ]] || fail "the other machine: $(cat "$giver_share/$name/reason")"
