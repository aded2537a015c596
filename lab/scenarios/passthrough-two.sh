# about: two real devices of one server at a time, a disk by --usb and usbfs, a serial port by --watch and nusb: each its own data, and their drivers have them again
# tier: fast
# boot: own
# timeout: 120
# programs: usbip-server usbip-client
# Where its user has left, a device is reset.
# allow-log: usb .*: reset high-speed USB device number [0-9]+ using dummy_hcd
# allow-log: vhci_hcd: urb->status -104

modprobe dummy_hcd num=2
modprobe -a libcomposite usb-storage sd_mod cdc_acm
load_vhci

# plugged NAME DRIVER: the gadget's device is with its driver. Sets real.
plugged() {
    local folder
    for folder in /sys/devices/platform/dummy_hcd.*/usb*/*-1; do
        [[ $(cat "$folder/serial" 2>/dev/null) == "$1" ]] || continue
        real=${folder##*/}
        driver_is "$real" "$2" && return
    done
    return 1
}

# The watch is for this one alone.
another_product() {
    echo 0x0105 >"$1/idProduct"
}

# imported NUMBER NAME DRIVER [BUT]: sets port and bus_id.
imported() {
    usbip-client attach unix:server "$1"
    wait_until 20 used_port "${4-}" || fail "$1: no port in use: $(<server.err)"
    wait_until 20 driver_is "$bus_id" "$3" || fail "$1 is with '$(driver_of "$bus_id")': $(<server.err)"
    expect_equal "$(<"/sys/bus/usb/devices/$bus_id/serial")" "$2" "what $1 is"
    udevadm settle
}

head -c 4M /dev/urandom >disk.img
head -c 4M /dev/urandom >written
head -c 20000 /dev/urandom >sent
expected=$(sha256sum <disk.img)
gadget_disk disk dummy_udc.0 high-speed "$PWD/disk.img"
wait_until 20 plugged disk usb-storage || fail "no disk: $(lsusb -t)"
wait_until 20 block_device "$real" || fail "the disk has no node"
udevadm settle
disk_id=$real
start_server --listen unix:server --usb "$disk_id,usbfs" --watch 1d6b:0105,nusb
expect_equal "$(usbip-client list unix:server | wc -l)" 1 "devices, before the other is plugged in"
gadget serial dummy_udc.1 high-speed acm.0 another_product
wait_until 20 plugged serial cdc_acm || fail "no serial port: $(lsusb -t)"
serial_id=$real
both_listed() {
    [[ $(usbip-client list unix:server | wc -l) == 2 ]]
}
wait_until 10 both_listed || fail "what is plugged in is not offered: $(<server.err)"

imported 1-2 serial cdc_acm
serial_port=$port
near=/dev/$(node_of "$bus_id" 'ttyACM*')
imported 1-1 disk usb-storage "$serial_port"
disk_port=$port disk_bus=$bus_id
wait_until 20 block_device "$disk_bus" || fail "no disk behind vhci"
udevadm settle
disk=$(block_device "$disk_bus")
stty -F "$near" 115200 raw -echo -crtscts
stty -F /dev/ttyGS0 raw -echo
(
    expect_equal "$(dd if="$disk" bs=64k iflag=direct status=none | sha256sum)" "$expected" "what the disk has"
    dd if=written of="$disk" bs=64k oflag=direct status=none
) &
copying=$!
echoes "$near" /dev/ttyGS0 sent "beside a disk"
expect_exit 60 "$copying" 0 "reading and writing the disk beside a serial port"

note "back to their drivers"
usbip-client detach "$disk_port"
usbip-client detach "$serial_port"
wait_until 20 plugged disk usb-storage || fail "the disk is with '$(driver_of "$disk_id")'"
wait_until 20 block_device "$disk_id" || fail "the disk has no node again"
wait_until 20 plugged serial cdc_acm || fail "the serial port is with '$(driver_of "$serial_id")'"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"
udevadm settle
cmp written "$(block_device "$disk_id")" || fail "the disk has not what was written"
near=/dev/$(node_of "$serial_id" 'ttyACM*')
stty -F "$near" 115200 raw -echo -crtscts
echoes "$near" /dev/ttyGS0 sent "by its own driver"
report "4 MiB of a disk by usbfs read and written, 20000 bytes each way of a serial port by nusb meanwhile"
