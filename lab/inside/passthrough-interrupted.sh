# back_within SECONDS WHAT: the device is with its own driver again. Adds the time it took to took.
back_within() {
    wait_until "$1" driver_is "$real" usb-storage || fail "$2: $real is with '$(driver_of "$real")' after $1 s"
    wait_until 20 block_device "$real" || fail "$2: no disk of its own"
    took+=", own driver $(seconds_since "$began")"
    udevadm settle
}

seconds_since() {
    local tenths
    tenths=$(tenths_since "$1")
    echo "$((tenths / 10)).$((tenths % 10)) s"
}

# The stick's own place.
has_stick() {
    real_device 46f4:0001 && real=$device && block_device "$real" >/dev/null
}

# number_offered: the latest name under which --watch has offered the stick.
number_offered() {
    sed -n 's/^usbip-server: \(1-[0-9]*\): 1*[0-9.-]* 46f4:0001.*/\1/p' server.err | tail -n 1
}

# is_offered [NUMBER]: by --watch; where it has gone, again by this name.
is_offered() {
    [[ $(grep "^usbip-server: ${1:-1-[0-9]*}: " server.err | tail -n 1) == *" 46f4:0001"* ]]
}

# imported: attaches the stick, in the network that runs COMMAND..., and begins to read all of it. Sets port, bus_id and
# reader.
imported() {
    "$@" usbip-client attach "$address" "$(number_offered)"
    wait_until 20 used_port || fail "no port in use"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    far=$(block_device "$bus_id")
    expect_equal "$(head -c 32M <"$far" | sha256sum | cut -d ' ' -f 1)" "$(</lab/stick.sum)" "what is read"
    before=$(read_sectors)
    dd if="$far" of=/dev/null bs=1M iflag=direct skip=32 2>dd.log &
    reader=$!
    wait_until 20 is_reading || fail "dd does not read"
}

read_sectors() {
    awk '{ print $3 }' "/sys/block/${far##*/}/stat"
}

is_reading() {
    (($(read_sectors) > before + 4096)) && ! ended "$reader"
}

# broken_within SECONDS WHAT: the reader has its error, and vhci's port is free. Sets took.
broken_within() {
    wait_until "$1" ended "$reader" || fail "$2: the reader hangs after $1 s"
    ! wait "$reader" || fail "$2: the reader was not disturbed"
    took="reader $(seconds_since "$began")"
    wait_until 20 port_free "$port" || fail "$2: port $port is in state $(port_field "$port" 3)"
}

serve() {
    : >server.err
    start_server --listen tcp:0.0.0.0 --watch "46f4:0001,$way"
    wait_until 10 is_offered || fail "the stick is not offered: $(<server.err)"
}

# The kernel's own; the lab's would be over before a cut network is noticed.
echo 120 >/proc/sys/kernel/hung_task_timeout_secs
modprobe -a xhci-pci usb-storage sd_mod
load_vhci
wait_until 30 has_stick || fail "no stick"
udevadm settle
# The far side, in a network of its own.
ip netns add far
ip link add near type veth peer name far0 netns far
ip address add 10.9.0.1/24 dev near
ip -n far address add 10.9.0.2/24 dev far0
ip -n far link set lo up
ip -n far link set far0 up

for way in nusb usbfs; do
    note "unplugged in mid-read, by $way"
    ip link set near up
    address=tcp:127.0.0.1
    serve
    imported
    first=$(number_offered)
    began=${EPOCHREALTIME/./}
    ask take_out
    broken_within 20 unplugged
    wait_until 10 grep -q "^usbip-server: $first: is gone" server.err || fail "the server has not noticed: $(<server.err)"
    expect_equal "$(usbip-client list "$address" | wc -l)" 0 "devices that are offered"
    report "$way, unplugged: $took"
    note "plugged in again"
    began=${EPOCHREALTIME/./}
    ask put_in
    wait_until 20 is_offered "$first" || fail "the stick is not offered again: $(<server.err)"
    report "$way, plugged in: offered again $(seconds_since "$began")"
    wait_until 20 has_stick || fail "no stick"
    udevadm settle
    imported

    note "the server ends in mid-read"
    began=${EPOCHREALTIME/./}
    kill -TERM "$server"
    broken_within 20 "server ended"
    expect_exit 10 "$server" 0 "the server"
    back_within 20 "server ended"
    report "$way, SIGTERM to the server: $took"

    note "the server is killed in mid-read"
    serve
    imported
    began=${EPOCHREALTIME/./}
    kill -KILL "$server"
    broken_within 20 "server killed"
    wait "$server" || true
    # docs/passthrough.md
    echo "$real:1.0" >/sys/bus/usb/drivers_probe
    back_within 20 "server killed"
    report "$way, SIGKILL to the server, and drivers_probe: $took"

    note "the client is killed in mid-read"
    serve
    usbip-client read "$address" "$(number_offered)" --output copy &
    client=$!
    wait_until 20 test -s copy || fail "the client does not read"
    began=${EPOCHREALTIME/./} took=
    kill -KILL "$client"
    wait "$client" || true
    rm -f copy
    back_within 20 "client killed"
    report "$way, SIGKILL to the client${took}"

    note "the network is cut in mid-read"
    address=tcp:10.9.0.1
    imported ip netns exec far
    began=${EPOCHREALTIME/./} took=
    ip link set near down
    # 60 s (docs/passthrough.md), and the device comes to rest.
    back_within 80 "network cut"
    network=$took
    broken_within 80 "network cut"
    report "$way, network cut: $took$network"
    kill -TERM "$server"
    expect_exit 10 "$server" 0 "the server"
done
