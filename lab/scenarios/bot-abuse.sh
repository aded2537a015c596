# about: a host without manners on disks of ours, through usbfs; then usb-storage finds the disk as it was
# tier: fast
# timeout: 180
# programs: attach-disk lab-abuse
# allow-log: reset .*[Ss]peed
# allow-log: vhci_hcd: (sendmsg failed|urb->status)

load_vhci
modprobe usb-storage
head -c 4M /dev/urandom >disk.img
cp disk.img before.img

for policy in pad stall; do
    note "what is short: $policy"
    attach attach-disk disk.img --speed high --short-in "$policy" --serial 0123456789AB
    lab-abuse "$bus_id" >"$LAB_OUT/$policy" || fail "$policy: $(grep -v ': ok$' "$LAB_OUT/$policy" | head -n 1)"
    report "$policy: $(tail -n 1 "$LAB_OUT/$policy")"
    # The driver has its interface back.
    wait_until 20 block_device "$bus_id" || fail "no disk after all that"
    udevadm settle
    cmp "$(block_device "$bus_id")" before.img
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    cmp disk.img before.img
done
