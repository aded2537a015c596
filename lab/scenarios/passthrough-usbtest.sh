# about: usbtest finds on the kernel's source, sink and loopback through our server what it finds without us; what the policy refuses is a stall
# tier: full
# boot: own
# timeout: 1500
# On one CPU, a transfer that usbtest cancels while it ends cannot end: usbtest tries again without a pause, for ever.
# cpus: 2
# programs: usbip-server usbip-client
# Where its user has left, a device is reset.
# allow-log: usb .*: reset high-speed USB device number [0-9]+ using dummy_hcd
# allow-log: vhci_hcd: (urb->status -104|the urb \(seqnum [0-9]+\) was already given back)

# The loopback holds 32 writes, or 128 KiB, until somebody reads; each test begins with an empty one. Where there is nothing to
# read a test gives up after 10 s. The queues of numbers 24, 27 and 28 wait for ever: of the last, nothing is asked.
LOOPBACK_TESTS='0 1 0 0 0
1 32 0 1024 0
2 20 0 1024 0
3 32 512 1024 0
4 20 512 1024 0
5 4 0 1024 32
6 20 0 1024 32
7 4 512 1024 32
8 20 512 1024 32
9 100 0 0 0
10 50 0 256 16
11 50 0 1024 0
12 50 0 1024 0
13 20 0 1024 0
14 50 1 256 0
17 32 0 1024 0
18 20 0 1024 0
19 32 0 1024 0
20 20 0 1024 0
21 20 1 256 0
24 2 0 1024 16
27 2 0 1024 16
29 10 0 1024 0'

# "Gadget Zero": its two functions, each in a configuration of its own. What source and sink move is no zeros, but counts to 62
# in each packet, as usbtest has it with pattern=1: both look at every byte.
both_functions() {
    known_to_usbtest "$1"
    echo 1 >"$2/pattern"
    mkdir -p "$1/configs/c.2" "$1/functions/Loopback.0"
    ln -s "$1/functions/Loopback.0" "$1/configs/c.2/"
}

# plugged: the gadget's device, with a driver. Sets real.
plugged() {
    local folder
    for folder in /sys/devices/platform/dummy_hcd.*/usb*/*-1; do
        [[ -e $folder ]] || continue
        real=${folder##*/}
        driver_is "$real" usbtest && return
    done
    return 1
}

# configure BUS_ID NUMBER: another configuration, and usbtest drives it.
configure() {
    echo "$2" >"/sys/bus/usb/devices/$1/bConfigurationValue"
    wait_until 10 driver_is "$1" usbtest || fail "$1 is with '$(driver_of "$1")' in configuration $2"
    expect_equal "$(<"/sys/bus/usb/devices/$1/bConfigurationValue")" "$2" "the configuration of $1"
}

# given OPTIONS: the gadget, by our server. Sets port and bus_id.
given() {
    start_server --listen unix:server --usb "$real$1"
    usbip-client attach unix:server 1-1
    wait_until 20 used_port || fail "$1: no port in use"
    wait_until 10 driver_is "$bus_id" usbtest || fail "usbtest did not take the device$1"
    udevadm settle
}

# given_back: with its driver and in the configuration in which it was.
given_back() {
    usbip-client detach "$port"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
    wait_until 10 driver_is "$real" usbtest || fail "$real is with '$(driver_of "$real")'"
    expect_equal "$(<"/sys/bus/usb/devices/$real/bConfigurationValue")" 1 "the configuration that is given back"
    kill -TERM "$server"
    expect_exit 10 "$server" 0 "the server"
}

modprobe -a dummy_hcd libcomposite usb_f_ss_lb usbtest
load_vhci
gadget zero dummy_udc.0 high-speed SourceSink.0 both_functions
wait_until 20 plugged || fail "no gadget with a driver: $(lsusb -t)"

note "source and sink"
echo 0 >/sys/module/usbtest/parameters/pattern
USBTESTS='2 20 0 1024 0' usbtest_all zeros "$real"
[[ ${result[zeros,2]} == fail* ]] || fail "usbtest does not look at what it reads: ${result[zeros,2]}"
echo 1 >/sys/module/usbtest/parameters/pattern
usbtest_all source "$real"
for way in nusb usbfs; do
    given ",$way"
    usbtest_all "source-$way" "$bus_id"
    given_back
done

# ends_of BUS_ID: sets in and out to the endpoints of the loopback.
ends_of() {
    local endpoint
    for endpoint in "/sys/bus/usb/devices/$1/$1:2.0"/ep_*; do
        # shellcheck disable=SC2034 # out
        printf -v "$(<"$endpoint/direction")" %s "${endpoint##*_}"
    done
}

# loops BUS_ID WHAT [LOSES]
loops() {
    ends_of "$1"
    said=$(perl "$LAB_GUEST/loop.pl" usbfs "$(usb_node "$1")" "$in" "$out" "${@:3}" 2>&1) || fail "the loopback, $2: $said"
    wait_until 10 driver_is "$1" usbtest || fail "$1 is with '$(driver_of "$1")', $2"
    report "loopback, each byte compared, $2: $said"
}

note "loopback"
configure "$real" 2
loops "$real" directly
for way in nusb usbfs; do
    start_server --listen unix:server --usb "$real,$way"
    said=$(perl "$LAB_GUEST/loop.pl" wire server "$in" "$out" 2>&1) || fail "the loopback, without vhci, by $way: $said $(<server.err)"
    report "loopback, cancelled in one go, by $way: $said"
    wait_until 10 driver_is "$real" usbtest || fail "$real is with '$(driver_of "$real")'"
    kill -TERM "$server"
    expect_exit 10 "$server" 0 "the server"
done
USBTESTS=$LOOPBACK_TESTS usbtest_all loopback "$real"
configure "$real" 1
for way in nusb usbfs; do
    given ",$way"
    configure "$bus_id" 2
    expect_equal "$(<"/sys/bus/usb/devices/$real/bConfigurationValue")" 2 "the configuration of the gadget, by $way"
    loops "$bus_id" "by $way" loses
    USBTESTS=$LOOPBACK_TESTS usbtest_all "loopback-$way" "$bus_id"
    given_back
    given ",$way"
    echo -1 >"/sys/bus/usb/devices/$bus_id/bConfigurationValue"
    expect_equal "$(<"/sys/bus/usb/devices/$real/bConfigurationValue")" "" "the configuration that is taken away, by $way"
    given_back
done

# control BUS_ID TYPE REQUEST DATA: a control request with this, or for as many bytes; prints what was sent or came, in
# hexadecimal, or why not.
cat >control.pl <<'END'
use strict;
my ($path, $type, $request, $data) = @ARGV;
open(my $device, '+<', $path) or die "$path: $!\n";
substr($data, 0, 0) = '';
# USBDEVFS_CONTROL, 5 s.
my $asked = pack 'C2 S3 L x4 P', hex $type, hex $request, 0, 0, length $data, 5000, $data;
my $length = ioctl($device, 0xc0185500, $asked);
print defined $length ? unpack('H*', substr($data, 0, $length)) : "$!", "\n";
END

control() {
    perl control.pl "$(usb_node "$1")" "${@:2}"
}

# tests NAME BUS_ID NUMBER...: only these of usbtest's, which all pass.
tests() {
    local number few
    few=$(for number in "${@:3}"; do grep "^$number " <<<"$USBTESTS"; done)
    USBTESTS=$few usbtest_all "$1" "$2"
    for number in "${@:3}"; do
        expect_equal "${result[$1,$number]}" pass "usbtest $number, $1"
    done
}

# The source and sink's own requests: 5b fills a buffer, 5c tells what is in it.
for way in nusb usbfs; do
    note "requests that are refused, by $way"
    given ",$way,keep-configuration,requests=c0:5c"
    before=$(control "$bus_id" c0 5c "sixteen letters.")
    [[ $before =~ ^[0-9a-f]{32}$ ]] || fail "a request that is allowed: $before"
    for _ in 1 2 3; do
        expect_equal "$(control "$bus_id" 40 5b "Sixteen letters!")" "Broken pipe" "a request that is not allowed, by $way"
        expect_equal "$(control "$bus_id" c0 5c "sixteen letters.")" "$before" "what the gadget has in its buffer, by $way"
        tests "refused-$way" "$bus_id" 1 2
    done
    note "another configuration is refused, by $way"
    said=$( (echo 2 >"/sys/bus/usb/devices/$bus_id/bConfigurationValue") 2>&1) && fail "another configuration is not refused"
    [[ $said == *'Broken pipe' ]] || fail "it is refused otherwise: $said"
    expect_equal "$(<"/sys/bus/usb/devices/$real/bConfigurationValue")" 1 "the configuration of the gadget, by $way"
    configure "$bus_id" 1
    tests "kept-$way" "$bus_id" 1 2 3 4 9 10 11 12 13 24
    given_back
    given ",$way,requests=40:5b+c0:5c"
    sent=$(control "$bus_id" 40 5b "Sixteen letters!")
    [[ $sent != "$before" ]] || fail "the gadget had that in its buffer before"
    expect_equal "$(control "$bus_id" c0 5c "sixteen letters.")" "$sent" "what it has when both are allowed, by $way"
    tests "allowed-$way" "$bus_id" 1 14
    given_back
done
report "policy: a request and a configuration are refused by stalls, and the device goes on, by nusb and usbfs"

for way in nusb usbfs; do
    usbtest_same source "source-$way" 20
    USBTESTS=$LOOPBACK_TESTS usbtest_same loopback "loopback-$way" 12
done
