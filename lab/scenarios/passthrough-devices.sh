# about: devices that are real to the guest, through attach-usb: each one's class driver works, and its own driver gets it back
# tier: full
# boot: own
# timeout: 500
# devices: -device qemu-xhci,id=xhci,p2=8,p3=4 -device usb-ehci,id=ehci -device piix3-usb-uhci,id=uhci -drive file=GUEST/initrd,if=none,id=bot,format=raw,snapshot=on -device usb-bot,id=usbbot,bus=xhci.0 -device scsi-hd,bus=usbbot.0,drive=bot -drive file=GUEST/vmlinuz,if=none,id=uas,format=raw,snapshot=on -device usb-uas,id=usbuas,bus=ehci.0 -device scsi-hd,bus=usbuas.0,drive=uas -device usb-ccid,bus=xhci.0 -device usb-mtp,bus=xhci.0,rootdir=GUEST -device usb-kbd,bus=xhci.0 -chardev socket,id=one,path=RUN/serial,server=on,wait=off -chardev socket,id=other,path=RUN/serial -device usb-serial,bus=xhci.0,chardev=one,serial=one -device usb-serial,bus=xhci.0,chardev=other,serial=other -netdev user,id=net,restrict=on -device usb-net,bus=xhci.0,netdev=net -audiodev none,id=none -device usb-audio,bus=uhci.0,audiodev=none
# programs: attach-usb usbip-server
# allow-log: usb .*: reset (full|high)-speed USB device number [0-9]+ using .hci-pci
# allow-log: usb .*: reset (full|high)-speed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

load_vhci
modprobe -a xhci-pci ehci-pci uhci-hcd usb-storage uas sd_mod usbhid ftdi_sio cdc_ether rndis_host snd-usb-audio
wait_until 30 real_device 46f4:0002 || fail "no usb-audio"
udevadm settle
lsusb
usbip-server list | tee list

# place_of TEXT: the bus id of the first device that the list shows with this text.
place_of() {
    sed -n "s/^\([0-9.-]*\) .*$1.*/\1/p" list | sed -n 1p
}

note "a UAS disk"
uas=$(place_of 'Attached SCSI')
wait_until 30 block_device "$uas" || fail "no disk of its own"
disk=$(block_device "$uas")
udevadm settle
expected=$(sha256sum <"$disk")
for way in usbfs nusb; do
    through "$uas" ",$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    expect_equal "$(driver_of "$bus_id")" uas "its driver"
    expect_equal "$(sha256sum <"$(block_device "$bus_id")")" "$expected" "its content, by $way"
    back
    wait_until 30 block_device "$uas" || fail "the disk is not back"
done
report "usb-uas" "32 commands at a time, the same content by usbfs and nusb"

note "a disk of UAS alone cannot be given read-only"
expect_failure attach-usb --usb "$uas,read-only" 2>refused
grep -q "without Bulk-Only Transport" refused || fail "refused without a reason: $(<refused)"

note "a disk that is mounted is refused"
mkdir mnt
mkfs.ext4 -q -F "$(block_device "$uas")"
mount "$(block_device "$uas")" mnt
expect_failure attach-usb --usb "$uas" 2>refused
grep -q "mounted at $PWD/mnt" refused || fail "refused without a reason: $(<refused)"
usbip-server list | grep -A1 "^$uas" | grep -q "in use: .*mounted at" || fail "the list does not say so"
umount mnt

note "a keyboard of this machine is refused, unless forced; its lights"
keyboard=$(place_of Keyboard)
expect_failure attach-usb --usb "$keyboard"
through "$keyboard" ",force"
expect_equal "$(driver_of "$bus_id")" usbhid "the keyboard's driver"
light=$(find "/sys/bus/usb/devices/$bus_id/" -name '*::capslock' -type d | sed -n 1p)
[[ -n $light ]] || fail "the keyboard has no lights"
echo 1 >"$light/brightness"
expect_equal "$(<"$light/brightness")" 1 "caps lock"
expect_failure attach-usb --usb "$keyboard,force" 2>taken
grep -q "in use by another program" taken || fail "taken twice, or without a reason: $(<taken)"
back

note "a serial port"
ports=$(sed -n 's/^\([0-9.-]*\) 0403:6001.*/\1/p' list)
one=$(sed -n 1p <<<"$ports") other=$(sed -n 2p <<<"$ports")
far=/dev/$(node_of "$other" 'ttyUSB*')
head -c 20000 /dev/urandom >sent
for way in nusb usbfs; do
    through "$one" ",$way"
    wait_until 20 node_is "$bus_id" 'ttyUSB*' || fail "no serial port at $bus_id"
    near=/dev/$(node_of "$bus_id" 'ttyUSB*')
    udevadm settle
    for tty in "$near" "$far"; do
        stty -F "$tty" 115200 raw -echo -crtscts
    done
    echoes "$near" "$far" sent "by $way"
    back
done
report "usb-serial" "20000 bytes each way, by nusb and by usbfs"

# neighbour_answers LINK: the gateway tells its hardware address, when something is to be sent to it.
neighbour_answers() {
    echo hello >/dev/udp/10.0.2.2/9
    ip neighbour show dev "$1" | grep -q '10.0.2.2 lladdr .* \(REACHABLE\|DELAY\)'
}

note "a network"
net=$(place_of Network)
for way in nusb usbfs; do
    through "$net" ",$way"
    wait_until 20 compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" || fail "no network interface at $bus_id"
    udevadm settle
    link=$(basename "$(compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" | sed -n 1p)")
    ip link set "$link" up
    ip address add 10.0.2.15/24 dev "$link"
    wait_until 20 neighbour_answers "$link" || fail "the gateway does not answer: $(ip neighbour show dev "$link")"
    back
done
report "usb-net" "its gateway answers, by nusb and by usbfs"

note "a sound card, isochronously"
audio=$(place_of Audio)
through "$audio"
wait_until 20 node_is "$bus_id" 'card[0-9]*' || fail "no sound card at $bus_id"
card=$(node_of "$bus_id" 'card[0-9]*')
head -c 960000 /dev/zero >silence
start=$(date +%s%N)
timeout 60 aplay -q -D "hw:${card#card}" -f S16_LE -c 2 -r 48000 --buffer-time=500000 silence 2>&1 | tee aplay.log
milliseconds=$((($(date +%s%N) - start) / 1000000))
report "usb-audio" "5 s played in $milliseconds ms by usbfs"
((milliseconds >= 4500)) || fail "5 s were played in $milliseconds ms"
back

has_reader() {
    timeout 10 pcsc_scan -r >readers 2>&1 || true
    grep -q '^0: ' readers
}

note "a reader of chip cards"
reader=$(place_of CCID)
for way in nusb usbfs; do
    through "$reader" ",$way"
    pcscd --foreground >pcscd.log 2>&1 &
    daemon=$!
    wait_until 30 has_reader || fail "pcscd sees no reader: $(<readers) $(<pcscd.log)"
    report "usb-ccid, by $way: $(sed -n 's/^0: //p' readers)"
    kill "$daemon"
    wait "$daemon" || true
    back
done

note "files by MTP"
real_device 46f4:0001 || fail "no usb-bot"
bot=$device
player=$(place_of filesharing)
for way in nusb usbfs; do
    through "$player" ",$way"
    timeout 60 mtp-files >files 2>&1 || fail "mtp-files: $(tail -n 5 files)"
    number=$(awk '/^File ID:/ { id = $3 } /Filename: initrd$/ { print id; exit }' files)
    [[ -n $number ]] || fail "no initrd in: $(<files)"
    timeout 60 mtp-getfile "$number" fetched >getfile.log 2>&1 || fail "mtp-getfile: $(tail -n 5 getfile.log)"
    # The same file is a disk, too.
    expect_equal "$(sha256sum <fetched)" "$(head -c "$(stat -c %s fetched)" "$(block_device "$bot")" | sha256sum)" \
        "the file by MTP, by $way"
    report "usb-mtp, by $way: $(grep -c '^File ID' files) files are listed, initrd of $(stat -c %s fetched) bytes is the same"
    rm fetched
    back
done
