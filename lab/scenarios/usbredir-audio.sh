# about: aplay and arecord at once on our sound card through usb-redir: how much comes back, on xHCI, EHCI and UHCI
# where: host
# guest: yes
# timeout: 300
# programs: usbredir-host

redirected=()
for at in super:xhci high:ehci full:uhci; do
    usb_redir "${at%:*}" "${at#*:}"
    redirected+=("${redir[@]}")
done
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci -device piix3-usb-uhci,id=uhci "${redirected[@]}"
await_inside 260

# QEMU's own record has isochronous transfers both ways.
for speed in super high full; do
    for direction in 0 1; do
        count=$(tshark -r "$LAB_OUT/$speed.pcap" 2>/dev/null -Y \
            "usb.transfer_type == URB_ISOCHRONOUS && usb.endpoint_address.direction == $direction" | wc -l)
        note "$speed, direction $direction: $count records of isochronous transfers"
        ((count > 0)) || fail "QEMU has no isochronous transfers of direction $direction at $speed speed"
    done
done
