# Nothing in the guest asks udev for what was there at boot.
modprobe -a xhci-pci usb-storage sd_mod
load_vhci

own_disk() {
    block_device "$device"
}

# give: usbredirect gives QEMU's disk, and our guest attaches it.
give() {
    ask plug_stick
    await_usb 46f4:0001 "usb-storage"
    wait_until 20 own_disk || fail "no disk"
    redirect 46f4:0001
    attach usbredir-guest attach tcp:127.0.0.1:4000
}

# expect_taken: the program says so and ends well, and the kernel has no such device any more.
expect_taken() {
    expect_exit 20 "$pid" 0 "the end of the guest"
    announced "$pid" "the host has taken the device away" || fail "said: $(paste -sd ';' "${attach_output[$pid]}")"
    wait_until 10 port_free "$port" || fail "the port is still in use"
    wait_until 10 no_block_device "$bus_id" || fail "the disk is still there"
    expect_redirected
}

# usbredirect sees that a device is gone when it is asked for something.
note "unplugged while nobody uses it"
give
ask unplug_stick
expect_failure dd if="$disk" of=/dev/null bs=4096 count=1 iflag=direct
expect_taken

report "unplugged: our guest tells, and the kernel loses its disk"
