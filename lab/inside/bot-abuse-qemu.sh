# Nothing in the guest asks udev for what was there at boot.
modprobe -a xhci-pci usb-storage sd-mod

# stick: QEMU's device.
stick() {
    local vendor
    vendor=$(grep -l 46f4 /sys/bus/usb/devices/*/idVendor) && basename "$(dirname "$vendor")"
}

has_stick() {
    [[ -n $(block_device "$(stick)") ]]
}

wait_until 60 has_stick || fail "no disk: $(lsusb -t)"
mapfile -t left_out </lab/left-out
lab-abuse "$(stick)" "${left_out[@]}" >"$LAB_OUT/checks" || true
