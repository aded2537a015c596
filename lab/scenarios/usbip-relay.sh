# about: usbtest against the kernel's source and sink, through our relay: what passes without the relay passes with it
# tier: full
# boot: own
# timeout: 600
# programs: usbip-server usbip-client
# allow-log: vhci_hcd: (urb->status -104|the urb \(seqnum [0-9]+\) was already given back)

# Not usbip-host: with unlinks its kernel thread uses what it has freed, and takes the machine with it (Linux 6.1,
# stub_rx_loop, usbtest's test 11 without anything of ours).
modprobe -a libcomposite usbip-vudc
load_vhci
modprobe usb_f_ss_lb || skip "the kernel has no source and sink function"
# In its alternate setting 1 the gadget has isochronous endpoints beside those for bulk.
modprobe usbtest alt=1 || skip "the kernel has no usbtest"
gadget_zero zero usbip-vudc.0 high-speed
usbipd --device >usbipd.log 2>&1 &
gadget=usbip-vudc.0

# usbtest runs a test when it is asked by an ioctl of usbfs (drivers/usb/misc/usbtest.c, tools/usb/testusb.c):
# number, iterations, vary, length, scatter-gather entries.
cat >run-test.pl <<'END'
use strict;
use Errno;
my ($path, $test, $iterations, $vary, $length, $entries) = @ARGV;
open(my $device, '+<', $path) or die "$path: $!\n";
my $parameters = pack('L5 x4 q2', $test, $iterations, $length, $vary, $entries, 0, 0);
# struct usbdevfs_ioctl: interface, code, data. USBTEST_REQUEST_64 is _IOWR('U', 100, 40 bytes).
my $request = pack('l L P', 0, 0xc0285564, $parameters);
my $result = ioctl($device, 0xc0105512, $request);
print defined $result ? "pass\n" : ($!{EOPNOTSUPP} ? "unsupported\n" : "fail: $!\n");
END

# usbtest_all NAME TESTS NODE: sets result of each test. vudc moves data once in a tick of 4 ms, so that an iteration takes up
# to 0.1 s, for some twenty transfers (tests 9 and 13); it may take five times that.
declare -A result
usbtest_all() {
    local test iterations arguments
    while read -r test iterations arguments; do
        # shellcheck disable=SC2086
        result[$1,$test]=$(timeout $((10 + iterations / 2)) perl run-test.pl "$3" "$test" "$iterations" $arguments 2>&1 ||
            echo "timeout")
        note "$1, test $test: ${result[$1,$test]}"
    done <<<"$2"
}

# The test, then iterations, vary, length and entries. Those for isochronous endpoints (15, 16, 22, 23) pass nowhere: vudc
# gives each packet back with -EXDEV and no data (vudc_transfer.c), and usbtest calls that an error. Those for interrupt
# endpoints (25, 26) are not supported: the gadget has none. What they come to must be the same with the relay.
tests='0 1 0 0 0
1 200 0 1024 0
2 200 0 1024 0
3 200 512 1024 0
4 200 512 1024 0
5 50 0 1024 32
6 50 0 1024 32
7 50 512 1024 32
8 50 512 1024 32
9 200 0 0 0
10 50 0 256 16
11 50 0 1024 0
12 50 0 1024 0
13 20 0 1024 0
14 50 1 256 0
15 5 0 1024 8
16 5 0 1024 8
17 50 0 1024 0
18 50 0 1024 0
19 50 0 1024 0
20 50 0 1024 0
21 20 1 256 0
22 5 0 1024 8
23 5 0 1024 8
24 20 0 1024 16
25 20 0 1024 0
26 20 0 1024 0
27 20 0 16384 16
28 20 0 16384 16
29 20 0 1024 0'

# chain NAME ADDRESS BUS_ID: attaches and tests.
chain() {
    local device node
    usbip-client attach "$2" "$3"
    wait_until 20 used_port || fail "$1: no port in use"
    wait_until 10 test -e "/sys/bus/usb/drivers/usbtest/$bus_id:1.0" || fail "$1: usbtest did not take the device"
    device=/sys/bus/usb/devices/$bus_id
    node=$(printf '/dev/bus/usb/%03d/%03d' "$(<"$device/busnum")" "$(<"$device/devnum")")
    usbtest_all "$1" "$tests" "$node"
    usbip-client detach "$port"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
}

wait_until 10 usbip-client list tcp:127.0.0.1
chain kernel tcp:127.0.0.1 "$gadget"
start_server --listen unix:relay --relay tcp:127.0.0.1 "$gadget"
chain relay unix:relay 1-1
kill -TERM "$server"
expect_exit 10 "$server" 0 "the relay"

passed=() worse=() other=()
while read -r test _; do
    case ${result[kernel,$test]}/${result[relay,$test]} in
        pass/pass) passed+=("$test") ;;
        "${result[relay,$test]}/${result[relay,$test]}") other+=("$test (${result[relay,$test]})") ;;
        *) worse+=("$test (without ${result[kernel,$test]}, with ${result[relay,$test]})") ;;
    esac
done <<<"$tests"
report "usbtest with and without our relay: passed ${passed[*]}"
((${#other[@]} == 0)) || report "not passed, with or without: ${other[*]}"
((${#worse[@]} == 0)) || fail "our relay makes a difference: ${worse[*]}"
((${#passed[@]} >= 20)) || fail "too few tests passed to say anything: ${passed[*]}"
