# about: where a real tablet points to is where evtest sees it through attach-usb, by nusb and by usbfs
# where: host
# guest: yes
# timeout: 200
# programs: attach-usb
# allow-log: usb .*: reset (full|high)-speed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

open_qmp
boot_guest "${qmp[@]}" -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0
await_inside 150
