# about: our client against the kernel's usbipd and a vudc gadget: list, tree, read, write, attach
# tier: fast
# timeout: 240
# programs: usbip-client

modprobe libcomposite
modprobe usbip-vudc num=1
head -c 8M /dev/urandom >disk.img
cp disk.img before.img
gadget_disk lab usbip-vudc.0 high-speed "$PWD/disk.img"
usbipd --device >usbipd.log 2>&1 &
wait_until 10 usbip-client list tcp:127.0.0.1 || fail "usbipd does not answer"

note "list and tree"
usbip-client list tcp:127.0.0.1 | tee list
grep -q '^usbip-vudc.0 *1d6b:0104 ' list || fail "the gadget is not listed"
usbip-client tree tcp:127.0.0.1 usbip-vudc.0 | tee tree
grep -q 'Serial number: lab' tree
grep -q 'Endpoint .*, bulk IN, 512 bytes' tree

note "read and write"
usbip-client read tcp:127.0.0.1 usbip-vudc.0 --output copy
cmp disk.img copy
head -c 5M /dev/urandom >input
usbip-client write tcp:127.0.0.1 usbip-vudc.0 --input input
cmp -n $((5 << 20)) input disk.img
cmp -i $((5 << 20)) before.img disk.img
# The first part is again what it was, and the rest is on the disk already.
dd if=before.img of=input bs=1M count=3 conv=notrunc status=none
usbip-client write tcp:127.0.0.1 usbip-vudc.0 --input input --resume
cmp -n $((5 << 20)) input disk.img

note "attach"
load_vhci
attach usbip-client attach tcp:127.0.0.1 usbip-vudc.0 --reconnect
cmp disk.img "$disk"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
usbip-client read tcp:127.0.0.1 usbip-vudc.0 --output again
cmp disk.img again
status=0
usbip-client tree tcp:127.0.0.1 1-1 2>err || status=$?
expect_equal "$status" 1 "exit status for a device that is not there"
