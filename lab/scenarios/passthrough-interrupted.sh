# about: a real device unplugged in mid-read, its server and its client killed, the network cut: nobody hangs, and its driver has it again
# where: host
# guest: yes
# timeout: 700
# programs: usbip-server usbip-client
# allow-log: (Buffer )?I/O error
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using [xv]hci_hcd
# allow-log: usb usb[0-9]+-port[0-9]+: unable to enumerate USB device
# allow-log: vhci_hcd: (urb->status -(104|108)|sendmsg failed|connection (closed|reset)|the urb \(seqnum [0-9]+\) was already given back)

# Where the network is cut, usb-storage begins to reset its disk after 30 s, and vhci takes the device away from under that:
# its hub then looks in vain for one. All other complaints of an enumeration are caught by what a device has to be read for.

head -c 32M /dev/urandom >stick.img
truncate -s 2G stick.img

# The medium stays when the device goes, and the serial number, which QEMU makes of the port where it is not said.
take_out() {
    echo "device_del stick" >&"$monitor"
}

put_in() {
    echo "device_add usb-storage,id=stick,bus=xhci.0,drive=medium,serial=lab" >&"$monitor"
}

boot_guest -device qemu-xhci,id=xhci \
    -blockdev "driver=raw,node-name=medium,read-only=on,file.driver=file,file.filename=$PWD/stick.img" \
    -device usb-storage,id=stick,bus=xhci.0,drive=medium,serial=lab
head -c 32M stick.img | sha256sum | cut -d ' ' -f 1 >"$share/stick.sum"
await_inside 600
