# about: where a real tablet points to and what a real keyboard types is what evtest sees through attach-usb, by nusb and by usbfs; the keyboard's light
# where: host
# guest: yes
# timeout: 280
# programs: attach-usb
# allow-log: usb .*: reset (full|high)-speed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

# press KEYS: as QEMU's monitor names them.
press() {
    echo "sendkey $1 20" >&"$monitor"
}

open_qmp
boot_guest "${qmp[@]}" -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0 \
    -device "usb-kbd,bus=xhci.0,pcap=$LAB_OUT/keyboard.pcap"
await_inside 230

# The keyboard's own record. Nobody but the one behind vhci has lit anything.
lights=$(tshark -r "$LAB_OUT/keyboard.pcap" -Y 'usbhid.setup.bRequest == 9' -T fields -e usb.data_fragment)
note "SET_REPORT: $(paste -sd ' ' <<<"$lights")"
expect_equal "$(sed '/^$/d' <<<"$lights" | uniq | paste -sd ' ')" '00 02 00 02 00' "the lights that were set"
report "usb-kbd: its own record has caps lock lit and put out, by nusb and usbfs"
