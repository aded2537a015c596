# about: our client and server: attach, reconnect after the server died, a server that hangs, reverse connection, Unix socket, vsock
# tier: fast
# timeout: 400
# programs: usbip-server usbip-client attach-disk

load_vhci
head -c 8M /dev/urandom >disk.img

# expect_content WHERE
expect_content() {
    blockdev --flushbufs "$disk"
    cmp disk.img "$disk" || fail "the disk has the wrong content $1"
}

note "attach, ports, detach"
start_server --disk disk.img
usbip-client attach tcp:127.0.0.1 1-1 | tee said
grep -qx 'port: [0-9]*' said
wait_until 10 used_port || fail "no port is in use"
wait_until 30 block_device "$bus_id" || fail "no disk"
disk=$(block_device "$bus_id")
udevadm settle
expect_content "after attach"
usbip-client ports | tee said
from=usbip://127.0.0.1:3240/1-1
grep -q "^$port .*SuperSpeed hub.*$bus_id 1209:0001 Virtual USB Disk $disk  from $from" said || fail "usbip-client ports"
usbip port | tee said
grep -q "$from" said || fail "stock usbip port does not say where the device is from"
expect_equal "$(stat -c %a /var/run/vhci_hcd "/var/run/vhci_hcd/port$port" | xargs)" "700 700" "modes of the record"
usbip-client detach "$port"
wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
[[ ! -e /var/run/vhci_hcd/port$port ]] || fail "the record outlives the device"

note "what stock usbip attaches, our ports name, and the other way round stock detach ends"
usbip attach -r 127.0.0.1 -b 1-1
wait_until 10 used_port || fail "no port is in use"
cp "/var/run/vhci_hcd/port$port" theirs
expect_equal "$(stat -c %a /var/run/vhci_hcd "/var/run/vhci_hcd/port$port" | xargs)" "700 700" "modes of the stock record"
usbip-client ports | tee said
grep -q "^$port .*from $from" said || fail "usbip-client ports does not read the stock record"
usbip-client detach "$port"
wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
wait_until 30 no_block_device "$bus_id"
[[ ! -e /var/run/vhci_hcd/port$port ]] || fail "the stock record outlives the device"
usbip-client attach tcp:127.0.0.1 1-1
wait_until 10 used_port || fail "no port is in use"
cmp "/var/run/vhci_hcd/port$port" theirs || fail "our record is not as the stock one"
usbip detach -p "$port"
wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
wait_until 30 no_block_device "$bus_id"
status=0
usbip-client detach "$port" || status=$?
expect_equal "$status" 2 "exit status of detaching nothing"

note "the server dies, and the disk comes back with it"
attach usbip-client attach tcp:127.0.0.1 1-1 --reconnect
usbip port | grep -q "$from" || fail "stock usbip port does not know what stays"
expect_content "after attach --reconnect"
for round in 1 2; do
    kill -KILL "$server"
    expect_exit 10 "$server" 137 "the killed server"
    wait_until 20 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
    wait_until 30 no_block_device "$bus_id"
    start_server --disk disk.img
    wait_until 30 port_is "$port" 006 || fail "round $round: the device did not come back to port $port"
    wait_until 10 used_port
    wait_until 30 block_device "$bus_id" || fail "round $round: no disk"
    disk=$(block_device "$bus_id")
    udevadm settle
    expect_content "after reconnecting"
done
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"

note "a server that does not answer: what the kernel holds is not waited for for ever"
# attach_plain: attaches the disk, for nobody to watch. Sets port, bus_id and disk.
attach_plain() {
    wait_until 10 listed 1 || fail "the disk did not come back"
    usbip-client attach tcp:127.0.0.1 1-1
    wait_until 10 used_port || fail "no port is in use"
    wait_until 30 block_device "$bus_id" || fail "no disk"
    disk=$(block_device "$bus_id")
    udevadm settle
}
attach_plain
# Open until it is detached: whoever closes it has the kernel write what it holds, or udev look at the disk again.
exec {held}<>"$disk"
dd if=disk.img bs=64K count=4 status=none >&"$held"
kill -STOP "$server"
begun=${EPOCHREALTIME/./}
status=0
timeout 60 usbip-client detach "$port" 2>error || status=$?
report "detached from a server that does not answer after $(tenths_since "$begun") tenths of a second: $(<error)"
expect_equal "$status" 1 "exit status of detaching without writing all"
grep -q 'detached, but what was written last may be lost' error || fail "usbip-client detach says: $(<error)"
wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
exec {held}>&-
kill -CONT "$server"
wait_until 60 no_block_device "$bus_id" || fail "$(block_device "$bus_id") is still there"

note "what a dead server has left does not name the next device"
attach_plain
kill -KILL "$server"
expect_exit 10 "$server" 137 "the killed server"
wait_until 20 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
wait_until 30 no_block_device "$bus_id"
[[ -e /var/run/vhci_hcd/port$port ]] || fail "nobody was there to take the record away, and it is gone"
dead=$port
attach attach-disk disk.img
expect_equal "$port" "$dead" "port"
usbip port | tee said
grep -q 'unknown host' said || fail "stock usbip port names a place for a device that has none"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"

note "the server dials"
usbip-server --connect tcp:127.0.0.1:4000 --disk disk.img >server.out 2>server.err &
server=$!
attach usbip-client listen tcp:127.0.0.1:4000
expect_content "over a reverse connection"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server that dials"

# over ADDRESS: all of it over another kind of socket, the kernel's part too.
over() {
    start_server --listen "$1" --disk disk.img
    rm -f copy
    usbip-client read "$1" 1-1 --output copy
    cmp disk.img copy
    attach usbip-client attach "$1" 1-1 --reconnect
    expect_content "over $1"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    kill -TERM "$server"
    expect_exit 10 "$server" 0 "the server at $1"
}

note "Unix socket"
over "unix:$PWD/socket"
note "vsock, within this machine"
modprobe vsock_loopback
over vsock:1:3240
