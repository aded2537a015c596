# about: stock usbip list, attach and detach against our server: a file system on the disk, the same content in the image
# tier: fast
# timeout: 240
# programs: usbip-server usbip-client

load_vhci
modprobe loop
mkdir -p files/folder mnt
for number in {1..20}; do
    head -c $((number * 51200)) /dev/urandom >"files/folder/$number"
done
expected=$(sums files)
truncate -s $((48 * 1024 * 1024 + 512)) disk.img
head -c 3M /dev/urandom >other.img
start_server --disk disk.img --disk other.img,ro

note "the list"
usbip list -r 127.0.0.1 | tee all
for id in 1-1 1-2; do
    grep -q "^ *$id: .*(1209:0001)" all || fail "usbip list does not show $id"
done
expect_equal "$(grep -c '(08/06/50)' all)" 2 "interfaces in the list"
expect_failure usbip attach -r 127.0.0.1 -b 9-9

# stock_attach BUS_ID: sets port, bus_id and disk.
stock_attach() {
    usbip attach -r 127.0.0.1 -b "$1"
    wait_until 10 used_port || fail "no port is in use after usbip attach"
    wait_until 30 block_device "$bus_id" || fail "no disk at $bus_id"
    disk=$(block_device "$bus_id")
    udevadm settle
}

note "a file system"
stock_attach 1-1
expect_equal "$(blockdev --getsize64 "$disk")" "$(stat -c %s disk.img)" "capacity"
usbip port | tee ports
grep -q "usbip://127.0.0.1:3240/1-1" ports || fail "usbip port does not show the device"
mkfs.ext4 -q -F "$disk"
mount "$disk" mnt
cp -r files/. mnt/
umount mnt
e2fsck -f -n "$disk"

note "a device in use is hidden, and refused"
usbip list -r 127.0.0.1 >rest
expect_equal "$(grep -c '(1209:0001)' rest)" 1 "devices in the list"
expect_failure usbip attach -r 127.0.0.1 -b 1-1

usbip detach -p "$port"
wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
wait_until 30 no_block_device "$bus_id"
e2fsck -f -n disk.img
mount -o ro,loop disk.img mnt
expect_equal "$(sums mnt | grep -v lost+found)" "$expected" "the files in the image"
umount mnt

note "attached again, the other too, and the server ends"
wait_until 10 listed 2 || fail "the disk did not come back: $(usbip-client list tcp:127.0.0.1)"
stock_attach 1-1
mount -o ro "$disk" mnt
expect_equal "$(sums mnt | grep -v lost+found)" "$expected" "the files after attaching again"
umount mnt
first=$port
usbip attach -r 127.0.0.1 -b 1-2
wait_until 10 used_port "$first" || fail "no second port"
wait_until 30 block_device "$bus_id" || fail "no second disk"
disk=$(block_device "$bus_id")
cmp other.img "$disk"
expect_equal "$(blockdev --getro "$disk")" 1 "write protection"
kill -TERM "$server"
expect_exit 10 "$server" 0 "usbip-server"
for number in "$first" "$port"; do
    wait_until 10 port_free "$number" || fail "port $number outlives the server"
done
wait_until 30 no_block_device "$bus_id"
