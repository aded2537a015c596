# about: a panic while a read is under way at a real device: its own driver has it again, and the other devices are served on
# where: host
# guest: yes
# timeout: 300
# programs: lab-panic usbip-client
# allow-log: (Buffer )?I/O error
# Where a command fails, QEMU's disk fills the packet that it is asked for: by nusb a whole one, which is babble.
# A session that ends in good order resets its device.
# allow-log: usb .*: reset (high-speed|SuperSpeed) USB device number [0-9]+ using [xv]hci_hcd
# allow-log: vhci_hcd: (urb->status -(104|108)|connection (closed|reset)|the urb \(seqnum [0-9]+\) was already given back)

head -c 32M /dev/urandom >stick.img
open_qmp
boot_guest "${qmp[@]}" -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0 \
    -blockdev "driver=raw,node-name=medium,read-only=on,file.driver=file,file.filename=$PWD/stick.img" \
    -device usb-storage,bus=xhci.0,drive=medium
sha256sum <stick.img | cut -d ' ' -f 1 >"$share/stick.sum"
await_inside 250
