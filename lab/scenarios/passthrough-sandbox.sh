# about: user, rule and unit of docs/passthrough.md under systemd: a disk is read without root, what the unit forbids is denied, the driver comes back
# where: host
# guest: yes
# timeout: 480
# programs: usbip-server usbip-client
# allow-log: (Buffer )?I/O error
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using [xv]hci_hcd
# allow-log: vhci_hcd: (urb->status -(104|108)|sendmsg failed|connection (closed|reset)|the urb \(seqnum [0-9]+\) was already given back)

page=$(dirname "$LAB_SCENARIOS")/../docs/passthrough.md

# block LANGUAGE [NUMBER]: what stands on the page in that language, the first of it or this one.
block() {
    awk -v begin="\`\`\`$1" -v number="${2:-1}" '
        /^```/ { inside = !inside && $0 == begin && ++count == number; next }
        inside' "$page"
}

# The medium stays when the device goes.
take_out() {
    echo "device_del stick" >&"$monitor"
}

put_in() {
    echo "device_add usb-storage,id=stick,bus=xhci.0,drive=medium,serial=lab" >&"$monitor"
}

head -c 32M /dev/urandom >stick.img
systemd=yes boot_guest -device qemu-xhci,id=xhci \
    -blockdev "driver=raw,node-name=medium,file.driver=file,file.filename=$PWD/stick.img" \
    -device usb-storage,id=stick,bus=xhci.0,drive=medium,serial=lab
sha256sum <stick.img | cut -d ' ' -f 1 >"$share/stick.sum"
block sh >"$share/user.sh"
block udev >"$share/70-usbip.rules"
block ini >"$share/usbip-server.service"
block sh 2 >"$share/start.sh"
await_inside 450
expect_equal "$(sha256sum <stick.img)" "$(sed 's/$/  -/' "$share/stick.sum")" "the medium, which is read-only"
