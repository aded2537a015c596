# The times of docs/passthrough.md, in seconds, beside AT_ONCE of guest/lib.sh: how long a device may take to give back what it
# was asked for, and how long a network that is cut is waited for. The first is enough here as it stands, emulated or not.
GIVEN_BACK=5
CUT=60
# What the far kernel then takes until it has failed to reset its disk, which usb-storage began after 30 s: 2 to 9 s were seen.
RESET=15

# happens WHAT CONDITION=SECONDS...: all of these come true, each within so many seconds since the time that began is. Reports
# when they did.
happens() {
    local what=$1 number condition limit tenths took=
    shift
    local waiting=("$@")
    while ((${#waiting[@]} > 0)); do
        for number in "${!waiting[@]}"; do
            condition=${waiting[number]%=*} limit=${waiting[number]#*=}
            if "$condition"; then
                unset "waiting[number]"
                tenths=$(tenths_since "$began")
                took+=", ${condition//_/ } $((tenths / 10)).$((tenths % 10)) s"
            fi
            ((${EPOCHREALTIME/./} <= began + limit * 1000000)) || fail "$way, $what: not within $limit s: ${condition//_/ }${took:+; but$took}"
        done
        pause 0.02
    done
    report "$way, $what: ${took#, }"
}

# The conditions.
reader_has_ended() {
    ended "$reader"
}

port_is_free() {
    port_free "$port"
}

own_driver_has_it() {
    driver_is "$real" usb-storage
}

server_has_ended() {
    ended "$server"
}

server_says_so() {
    grep -q "^usbip-server: $first: is gone" server.err
}

# What QEMU takes does not count.
stick_is_gone() {
    [[ ! -e /sys/bus/usb/devices/$real ]]
}

offered_again() {
    is_offered "$first"
}

# was_disturbed: the reader has its error.
was_disturbed() {
    ! wait "$reader" || fail "$way: the reader was not disturbed"
}

# has_disk: usb-storage has made a disk of it again, which may take what it takes.
has_disk() {
    wait_until 20 has_stick || fail "$way: no disk of its own"
    udevadm settle
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
    ask take_out
    wait_until 20 stick_is_gone || fail "$way: the kernel does not lose the stick"
    began=${EPOCHREALTIME/./}
    happens unplugged reader_has_ended="$AT_ONCE" port_is_free="$AT_ONCE" server_says_so="$AT_ONCE"
    was_disturbed
    expect_equal "$(usbip-client list "$address" | wc -l)" 0 "devices that are offered"
    ask put_in
    wait_until 20 real_device 46f4:0001 || fail "$way: the kernel does not find the stick"
    began=${EPOCHREALTIME/./}
    happens "plugged in again" offered_again="$AT_ONCE"
    has_disk
    imported

    note "the server ends in mid-read"
    began=${EPOCHREALTIME/./}
    kill -TERM "$server"
    happens "SIGTERM to the server" reader_has_ended="$AT_ONCE" port_is_free="$AT_ONCE" own_driver_has_it=$GIVEN_BACK \
        server_has_ended=$GIVEN_BACK
    was_disturbed
    expect_exit 1 "$server" 0 "the server"
    has_disk

    note "the server is killed in mid-read"
    serve
    imported
    began=${EPOCHREALTIME/./}
    kill -KILL "$server"
    happens "SIGKILL to the server" reader_has_ended="$AT_ONCE" port_is_free="$AT_ONCE"
    was_disturbed
    wait "$server" || true
    began=${EPOCHREALTIME/./}
    # docs/passthrough.md
    echo "$real:1.0" >/sys/bus/usb/drivers_probe
    happens drivers_probe own_driver_has_it="$AT_ONCE"
    has_disk

    note "the client is killed in mid-read"
    serve
    usbip-client read "$address" "$(number_offered)" --output copy &
    client=$!
    wait_until 20 test -s copy || fail "the client does not read"
    began=${EPOCHREALTIME/./}
    kill -KILL "$client"
    happens "SIGKILL to the client" own_driver_has_it=$GIVEN_BACK
    wait "$client" || true
    rm -f copy
    has_disk

    note "the network is cut in mid-read"
    address=tcp:10.9.0.1
    imported ip netns exec far
    began=${EPOCHREALTIME/./}
    ip link set near down
    happens "network cut" port_is_free=$((CUT + AT_ONCE)) own_driver_has_it=$((CUT + GIVEN_BACK)) \
        reader_has_ended=$((CUT + RESET))
    was_disturbed
    has_disk
    kill -TERM "$server"
    expect_exit $GIVEN_BACK "$server" 0 "the server"
done
