# about: a host without manners on disks of ours, through usbfs, by packets of each speed, blocks of 512 and 4096; then usb-storage finds the disk as it was
# tier: fast
# timeout: 240
# programs: attach-disk lab-abuse
# allow-log: reset .*[Ss]peed
# allow-log: vhci_hcd: (sendmsg failed|urb->status)

load_vhci
modprobe usb-storage
head -c 4M /dev/urandom >disk.img
cp disk.img before.img

for how in pad,512,high stall,512,high pad,4096,high stall,4096,high pad,4096,super stall,512,full; do
    IFS=, read -r policy block speed <<<"$how"
    note "what is short: $policy, blocks of $block, $speed speed"
    attach attach-disk disk.img --speed "$speed" --short-in "$policy" --block-size "$block" --serial 0123456789AB
    lab-abuse "$bus_id" >"$LAB_OUT/$how" || fail "$how: $(grep -v ': ok$' "$LAB_OUT/$how" | head -n 1)"
    said=$(tail -n 1 "$LAB_OUT/$how")
    [[ $said == "blocks of $block, "* ]] || fail "$how: $said"
    report "$policy: $said"
    # The driver has its interface back.
    wait_until 20 block_device "$bus_id" || fail "no disk after all that"
    udevadm settle
    cmp "$(block_device "$bus_id")" before.img
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    cmp disk.img before.img
done
