# What the scenarios in the guest use, beside common/lib.sh.

VHCI=/sys/devices/platform/vhci_hcd.0

# What docs/passthrough.md calls "at once", in seconds. The programs need milliseconds; what is measured has the kernel take a disk
# apart, too, on one emulated processor that all of it shares with the reader, of a machine that may be busy with others.
AT_ONCE=3

# Lines of the kernel's log that fail a scenario, whatever it found itself.
KERNEL_COMPLAINTS='WARNING:|BUG:|Oops|INFO: |general protection|Call Trace|UBSAN|hung_task|blocked for more than'
KERNEL_COMPLAINTS+='|vhci_hcd: (urb->status|unknown pdu|received pdu size|cannot find|sendmsg failed|not connected|the urb)'
KERNEL_COMPLAINTS+='|usbip[-_]core: |reset .*[Ss]peed|device descriptor read|not accepting address|unable to enumerate'
# What drivers/usb/core says of descriptors that it repairs.
KERNEL_COMPLAINTS+='|usb [0-9.-]+: (config |[Ii]nvalid |Duplicate |Interface #|No SuperSpeed|[Tt]oo many|(Control|Bulk|Int|Isoc) endpoint'
KERNEL_COMPLAINTS+='|found more Interface Assoc|no configurations|unable to get BOS|string descriptor 0|language id specifier|got a wrong device)'

# kernel_complaints NAME <LOG: prints and finds the complaints that scenario NAME does not state as allowed.
kernel_complaints() {
    local allowed
    allowed=$(sed -n 's/^# allow-log: *//p' "$LAB_SCENARIOS/$1.sh" | paste -sd '|')
    grep -E "$KERNEL_COMPLAINTS" | grep -vE "${allowed:-^\$}"
}

load_vhci() {
    modprobe vhci-hcd
    wait_until 5 test -e "$VHCI/attach" || fail "vhci_hcd did not make $VHCI/attach"
}

# port_field PORT N: the N-th column of the port's line in vhci's status files.
port_field() {
    cat "$VHCI"/status* | awk -v port="$1" -v column="$2" '$2 ~ /^[0-9]+$/ && $2 + 0 == port { print $column }'
}

port_is() {
    [[ $(port_field "$1" 3) == "$2" ]]
}

port_free() {
    port_is "$1" 004
}

detach_port() {
    echo "$1" >"$VHCI/detach"
}

# The block device of a USB device, by its bus id; nothing while there is none.
block_device() {
    local found
    found=$(compgen -G "/sys/bus/usb/devices/$1:*/host*/target*/*/block/*") && echo "/dev/${found##*/}"
}

no_block_device() {
    [[ -z $(block_device "$1") ]]
}

declare -A attach_output

# start_attach PROGRAM ARG...: starts a program that attaches a device. Sets pid.
start_attach() {
    local output
    output=$(mktemp -p "$LAB_SCRATCH" attach.XXXXXX)
    # A shell starts its background programs deaf to Ctrl-C.
    env --default-signal=INT "$@" <&0 >"$output" &
    pid=$!
    attach_output[$pid]=$output
}

attach_announced() {
    [[ $(<"${attach_output[$1]}") == *'block device: '* ]] || ended "$1"
}

# await_attach PID: waits for the disk. Sets port, bus_id, disks and, the first of these, disk from what the program
# announced.
await_attach() {
    local output=${attach_output[$1]}
    wait_until 60 attach_announced "$1" || fail "no disk within 60 s, announced: $(paste -sd ';' "$output")"
    port=$(sed -n 's/^port: //p' "$output")
    bus_id=$(sed -n 's/^bus id: //p' "$output")
    mapfile -t disks < <(sed -n 's/^block device: //p' "$output")
    disk=${disks[0]:-}
    [[ -n $port && -n $bus_id && -b $disk ]] || fail "no disk, announced: $(paste -sd ';' "$output")"
}

# attach PROGRAM ARG...: both, and udev has seen the disk. Sets pid, port, bus_id, disk.
attach() {
    start_attach "$@"
    await_attach "$pid"
    udevadm settle
}

device_announced() {
    [[ $(<"${attach_output[$1]}") == *'bus id: '* ]] || ended "$1"
}

# await_device PID: waits for a device that is no disk. Sets port and bus_id.
await_device() {
    local output=${attach_output[$1]}
    wait_until 60 device_announced "$1" || fail "no device within 60 s, announced: $(paste -sd ';' "$output")"
    port=$(sed -n 's/^port: //p' "$output")
    bus_id=$(sed -n 's/^bus id: //p' "$output")
    [[ -n $port && -n $bus_id ]] || fail "no device, announced: $(paste -sd ';' "$output")"
    wait_until 20 test -e "/sys/bus/usb/devices/$bus_id:1.0" || fail "$bus_id is not configured"
    udevadm settle
}

# attach_device PROGRAM ARG...: starts a program that attaches a device that is no disk; the kernel has configured it.
# Sets pid, port and bus_id.
attach_device() {
    start_attach "$@"
    await_device "$pid"
}

# announced PID TEXT: whether an attached program has said this line.
announced() {
    grep -qxF "$2" "${attach_output[$1]}"
}

# node_of BUS_ID PATTERN: a device's node in /dev, by the last part of its path in sysfs, such as 'event*'.
node_of() {
    find "/sys/bus/usb/devices/$1/" -name "$2" -type d -printf '%f\n' | sed -n 1p
}

# usb_at SPEED CLASS [PROTOCOL]: the bus id of the USB device that runs at this speed, in Mbit/s, and whose first interface
# is of this class, in hexadecimal digits.
usb_at() {
    local interface
    for interface in /sys/bus/usb/devices/*:1.0; do
        [[ $(<"$interface/bInterfaceClass") == "$2" && $(<"${interface%:*}/speed") == "$1" ]] || continue
        [[ -z ${3:-} || $(<"$interface/bInterfaceProtocol") == "$3" ]] || continue
        interface=${interface%:*}
        echo "${interface##*/}"
        return
    done 2>/dev/null
    return 1
}

# await_device_at RATE CLASS [PROTOCOL]: waits for it; sets bus_id.
await_device_at() {
    wait_until 60 usb_at "$@" >/dev/null || fail "no device of class $2 at $1 Mbit/s: $(lsusb -t)"
    bus_id=$(usb_at "$@")
    udevadm settle
}

# node_is BUS_ID PATTERN: the device has such a node.
node_is() {
    [[ -n $(node_of "$1" "$2") ]]
}

# read_text: turns the key events of evtest into the text that a keyboard of the United States makes by them.
read_text() {
    awk '
        BEGIN {
            split("MINUS - _ EQUAL = + LEFTBRACE [ { RIGHTBRACE ] } BACKSLASH \\ | SEMICOLON ; : GRAVE ` ~ COMMA , < DOT . > SLASH / ?", table, " ")
            for (i = 1; i in table; i += 3) { plain[table[i]] = table[i + 1]; shifted[table[i]] = table[i + 2] }
            plain["APOSTROPHE"] = "\x27"; shifted["APOSTROPHE"] = "\""
            plain["SPACE"] = shifted["SPACE"] = " "; plain["ENTER"] = "\n"; plain["TAB"] = "\t"
            digits = ")!@#$%^&*("
            for (i = 0; i < 10; i++) { plain[i] = i ""; shifted[i] = substr(digits, i + 1, 1) }
        }
        /SYN_DROPPED/ { print "events were lost" }
        /type 1 \(EV_KEY\)/ {
            match($0, /KEY_[A-Z0-9]+/); key = substr($0, RSTART + 4, RLENGTH - 4); value = $NF
            if (key ~ /SHIFT/) { shift = value; next }
            if (value == 2) printf "<%s repeated>", key
            if (value != 1) next
            if (key ~ /^[A-Z]$/) printf "%s", shift ? key : tolower(key)
            else if (shift ? key in shifted : key in plain) printf "%s", shift ? shifted[key] : plain[key]
            else printf "<%s>", key
        }'
}

# read_reports: the events of evtest, one line for each report, such as "ABS_X 7 BTN_LEFT 1".
read_reports() {
    awk '
        !/^Event:/ { next }
        /SYN_REPORT/ { print line; line = ""; next }
        /EV_(ABS|REL|KEY)\)/ && !/HI_RES/ { match($0, /(ABS|REL|BTN)_[A-Z]+/); line = line (line ? " " : "") substr($0, RSTART, RLENGTH) " " $NF }'
}

# watch_input BUS_ID: starts evtest at the device, which writes to the file events. Sets watching, and count for pointed.
watch_input() {
    wait_until 20 node_is "$1" 'event*' || fail "no input device at $1"
    rm -f events
    evtest --grab "/dev/input/$(node_of "$1" 'event*')" >events &
    watching=$!
    wait_until 20 grep -qs Testing events || fail "evtest does not start"
    count=0
}

unwatch_input() {
    kill "$watching"
    wait "$watching" || true
}

has_reports() {
    (($(grep -c SYN_REPORT events) >= $1))
}

# pointed X Y [DOWN]: the scenario on the host has the tablet moved by its function point, and evtest has seen it.
pointed() {
    ask point "$@"
    count=$((count + 1))
    wait_until 20 has_reports "$count" || fail "nothing comes of '$*': $(<events)"
}

# expect_detached PID PORT BUS_ID: a program that was told to detach has ended well and left nothing behind.
expect_detached() {
    expect_exit 20 "$1" 0 "detaching port $2"
    wait_until 10 port_free "$2" || fail "port $2 is still in state $(port_field "$2" 3)"
    # usb-storage takes its time with a disk that leaves in the middle of a command.
    wait_until 30 no_block_device "$3" || fail "$(block_device "$3") is still there"
}

# real_device VENDOR:PRODUCT: sets device to the bus id of such a device that is not behind vhci, once it has drivers.
real_device() {
    local folder
    for folder in /sys/bus/usb/devices/*-*; do
        [[ $(cat "$folder/idVendor" 2>/dev/null):$(cat "$folder/idProduct" 2>/dev/null) == "$1" ]] || continue
        [[ $(readlink -f "$folder") != *vhci_hcd* ]] || continue
        device=${folder##*/}
        compgen -G "$folder/$device:*/driver" >/dev/null && return 0
    done
    return 1
}

# driver_of BUS_ID: the driver of its first interface that has one.
driver_of() {
    local found
    found=$(compgen -G "/sys/bus/usb/devices/$1/$1:*/driver" | sort | sed -n 1p) && basename "$(readlink "$found")"
}

driver_is() {
    [[ $(driver_of "$1") == "$2" ]]
}

# drivers_of BUS_ID: the driver of each of its interfaces, one line for each.
drivers_of() {
    local interface path
    for interface in "/sys/bus/usb/devices/$1/$1":*; do
        path=$(readlink "$interface/driver") || path=none
        echo "${interface##*/} ${path##*/}"
    done
}

drivers_are() {
    [[ $(drivers_of "$1") == "$2" ]]
}

# through BUS_ID [OPTIONS [NAME]]: a real device, through attach-usb, behind vhci; there it is selected by this name. Sets pid,
# port, bus_id, and for back real and drivers.
through() {
    real=$1
    drivers=$(drivers_of "$1")
    attach_device attach-usb --usb "${3:-$1}${2-}"
}

# back: it ends, and each of its interfaces has its own driver again.
back() {
    kill -TERM "$pid"
    expect_exit 20 "$pid" 0 "detaching $real"
    wait_until 20 port_free "$port" || fail "$real: port $port is not free"
    wait_until 10 drivers_are "$real" "$drivers" ||
        fail "$real has $(drivers_of "$real" | paste -sd ';'), and had $(paste -sd ';' <<<"$drivers")"
    udevadm settle
}

resets=0
# expect_resets NUMBER WHAT: so often the kernel has reset devices behind vhci since this was last asked, in a boot of its own.
# It resets a disk also where a transfer was lost, and goes on after that, 30 s later, with nothing else to tell.
expect_resets() {
    local before=$resets
    resets=$(dmesg | grep -cE 'reset .*[Ss]peed USB device .* using vhci_hcd' || true)
    expect_equal "$((resets - before))" "$1" "resets of what is behind vhci, $2"
}

# holds_files BUS_ID NAME MKFS...: what the disk's own driver writes to a file system is found behind vhci, where it is given by
# this name, by nusb and by usbfs; and what is written there, by its own driver.
holds_files() {
    local given=$1 name=$2 way
    shift 2
    mkdir -p mnt files
    head -c 1000001 /dev/urandom >files/first
    head -c 777 /dev/urandom >files/short
    "$@" "$(block_device "$given")"
    mount "$(block_device "$given")" mnt
    cp files/* mnt/
    umount mnt
    for way in nusb usbfs; do
        through "$given" ",$way" "$name"
        wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
        udevadm settle
        mount "$(block_device "$bus_id")" mnt
        expect_equal "$(sums mnt)" "$(sums files)" "the files, by $way"
        head -c 1500003 /dev/urandom >"files/$way"
        cp "files/$way" mnt/
        umount mnt
        back
        wait_until 30 block_device "$given" || fail "the disk is not back"
        udevadm settle
        mount -o ro "$(block_device "$given")" mnt
        expect_equal "$(sums mnt)" "$(sums files)" "the files that were written by $way"
        umount mnt
    done
    rm -r files mnt
}

# echoes ONE OTHER FILE WHAT: what is written to one terminal comes out of the other, in both directions.
echoes() {
    local from to turn reader
    for turn in "$1 $2" "$2 $1"; do
        read -r from to <<<"$turn"
        timeout 60 head -c "$(stat -c %s "$3")" <"$to" >received &
        reader=$!
        sleep 0.5
        cat "$3" >"$from"
        expect_exit 60 "$reader" 0 "reading what was sent, $4"
        cmp "$3" received || fail "what came is not what was sent, $4"
    done
}

# start_server ARG...: our usbip-server, which then listens. Sets server.
start_server() {
    # What one before it said does not count.
    rm -f server.out
    usbip-server "$@" >server.out 2>>server.err &
    server=$!
    wait_until 10 grep -qs '^listening on ' server.out || fail "usbip-server does not listen: $(<server.err)"
}

# listed NUMBER: so many devices are free at our server.
listed() {
    [[ $(usbip-client list tcp:127.0.0.1 | wc -l) == "$1" ]]
}

# used_port [BUT]: sets port and bus_id to those of the one port with an address, but for the port BUT.
used_port() {
    local found
    found=$(awk -v but="${1:-x}" '$3 == "006" && $2 + 0 != but { print $2 + 0, $7; exit }' "$VHCI"/status*)
    [[ -n $found ]] && read -r port bus_id <<<"$found"
}

# find_device VENDOR:PRODUCT: sets device to its bus id, once it is there.
find_device() {
    local folder
    for folder in /sys/bus/usb/devices/*-*; do
        [[ $(cat "$folder/idVendor" 2>/dev/null):$(cat "$folder/idProduct" 2>/dev/null) == "$1" ]] || continue
        device=${folder##*/}
        return 0
    done
    return 1
}

# await_usb VENDOR:PRODUCT WHAT: likewise, and udev has seen it.
await_usb() {
    wait_until 30 find_device "$1" || fail "no $2"
    udevadm settle
}

# Asks the kernel, without a process: a socket that listens, state 0A, at port 4000.
redirect_listens() {
    [[ $(</proc/net/tcp) == *:0FA0\ 00000000:0000\ 0A\ * ]]
}

# redirect VENDOR:PRODUCT: Debian's usbredirect gives the device to one guest, at tcp:127.0.0.1:4000. Sets redirecting.
redirect() {
    usbredirect --device "$1" --as 127.0.0.1:4000 >>usbredirect.log 2>&1 &
    redirecting=$!
    wait_until 30 redirect_listens || fail "usbredirect does not listen: $(<usbredirect.log)"
}

# Its guest has left, and with it usbredirect.
expect_redirected() {
    wait_until 30 ended "$redirecting" || fail "usbredirect does not notice that its guest has left"
    wait "$redirecting" || true
}

# gadget NAME UDC SPEED FUNCTION [SET]: one of the kernel's own functions, such as mass_storage.0, on a controller. SPEED is
# high-speed or super-speed. SET is called before the device appears, with the folders of the gadget and of its function.
gadget() {
    local gadget=/sys/kernel/config/usb_gadget/$1
    mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
    mkdir -p "$gadget/strings/0x409" "$gadget/configs/c.1" "$gadget/functions/$4"
    echo 0x1d6b >"$gadget/idVendor"
    echo 0x0104 >"$gadget/idProduct"
    echo "$1" >"$gadget/strings/0x409/serialnumber"
    echo "$3" >"$gadget/max_speed"
    [[ -z ${5-} ]] || "$5" "$gadget" "$gadget/functions/$4"
    ln -s "$gadget/functions/$4" "$gadget/configs/c.1/"
    echo "$2" >"$gadget/UDC"
}

# The numbers that usbtest knows: "Gadget Zero" (drivers/usb/misc/usbtest.c).
known_to_usbtest() {
    echo 0x0525 >"$1/idVendor"
    echo 0xa4a0 >"$1/idProduct"
}

# gadget_zero NAME UDC SPEED: the kernel's own source and sink.
gadget_zero() {
    gadget "$1" "$2" "$3" SourceSink.0 known_to_usbtest
}

# usbtest's tests: number, iterations, vary, length, scatter-gather entries. Those for isochronous endpoints (15, 16, 22, 23)
# and for interrupt endpoints (25, 26) are not supported where the gadget has none.
USBTESTS='0 1 0 0 0
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

declare -A result

# usb_node BUS_ID: the file by which programs use the device.
usb_node() {
    printf '/dev/bus/usb/%03d/%03d' "$(<"/sys/bus/usb/devices/$1/busnum")" "$(<"/sys/bus/usb/devices/$1/devnum")"
}

# usbtest_all NAME BUS_ID: runs usbtest's tests at a device that it drives. Sets result[NAME,TEST]. vudc moves
# data once in a tick of 4 ms, so that an iteration takes up to 0.1 s, for some twenty transfers (tests 9 and 13); it may take
# five times that.
usbtest_all() {
    local test iterations arguments
    # It runs a test when it is asked by an ioctl of usbfs (drivers/usb/misc/usbtest.c, tools/usb/testusb.c).
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
    while read -r test iterations arguments; do
        # shellcheck disable=SC2086 # words
        result[$1,$test]=$(timeout $((10 + iterations / 2)) perl run-test.pl "$(usb_node "$2")" "$test" "$iterations" \
            $arguments 2>&1 || echo "timeout")
        note "$1, test $test: ${result[$1,$test]}"
    done <<<"$USBTESTS"
}

# usbtest_same WITHOUT WITH LEAST: two runs of usbtest_all came to the same, and so many tests have passed.
usbtest_same() {
    local test passed=() other=() worse=()
    while read -r test _; do
        case ${result[$1,$test]}/${result[$2,$test]} in
            pass/pass) passed+=("$test") ;;
            "${result[$2,$test]}/${result[$2,$test]}") other+=("$test (${result[$2,$test]})") ;;
            *) worse+=("$test ($1: ${result[$1,$test]}, $2: ${result[$2,$test]})") ;;
        esac
    done <<<"$USBTESTS"
    report "usbtest, $1 and $2: passed ${passed[*]}"
    ((${#other[@]} == 0)) || report "not passed by either: ${other[*]}"
    ((${#worse[@]} == 0)) || fail "it makes a difference: ${worse[*]}"
    ((${#passed[@]} >= $3)) || fail "too few tests passed to say anything: ${passed[*]}"
}

# gadget_disk NAME UDC SPEED IMAGE [STALL]: the kernel's own mass-storage function. Where STALL is 1, data that is short ends
# with a stall, as it should.
gadget_disk() {
    local image=$4 stall=${5:-}
    gadget "$1" "$2" "$3" mass_storage.0 has_image
}

# shellcheck disable=SC2154 # of gadget_disk
has_image() {
    # A disk that could be taken out is asked again and again whether it is there, also while it is detached.
    echo 0 >"$2/lun.0/removable"
    [[ -z $stall ]] || echo "$stall" >"$2/stall"
    echo "$image" >"$2/lun.0/file"
}

# generic DISK: its node for SCSI commands.
generic() {
    compgen -G "/sys/block/${1##*/}/device/scsi_generic/sg*" | sed 's,.*/,/dev/,'
}

# conformance_suites [BUT...]: those of libiscsi's conformance test that are not of iSCSI, and none of these.
conformance_suites() {
    iscsi-test-cu -l 2>&1 | sed -n 's/^ALL\.\([A-Za-z0-9]*\)$/\1/p' | grep -v '^iSCSI' |
        grep -vxF -f <(printf '%s\n' iSCSI "$@")
}

# Where tests are too long for /dev/sg of a uas disk behind vhci_hcd, which takes 32 pieces at a time (its sg_tablesize), of
# which uas lets none be longer than a page (its dma_boundary): they compare and write 255 blocks, or write 257; with blocks of
# 4096 bytes there are more of the kind. At another controller uas takes 512 KiB.
TOO_LONG_FOR_UAS=(CompareAndWrite GetLBAStatus)
TOO_LONG_FOR_UAS_4096=("${TOO_LONG_FOR_UAS[@]}" Read6 Unmap WriteSame10 WriteSame16)

# conformance SG SUITE LOG: prints how many of its tests ran and how many failed. Fails without a summary, which the tool
# leaves out where it crashes or hangs.
conformance() {
    local line ran failed
    timeout --kill-after=5 120 iscsi-test-cu -d -n -V -t "ALL.$2" "$1" >"$3" 2>&1 || true
    line=$(grep -E '^ +tests ' "$3") || return 1
    read -r _ _ ran _ failed _ <<<"$line"
    echo "$ran $failed"
}

# refused LOG BLOCK BYTES: how many commands of a suite Linux has not passed on, each for more than BYTES of a disk with blocks
# of BLOCK. Fails where a test has failed for anything else than one of these, and what was to be compared after it.
refused() {
    awk -v block="$2" -v limit="$3" '
        / Send / {
            bytes = match($0, / blocks:[0-9]+/) ? substr($0, RSTART + 8, RLENGTH - 8) * block : 0
            after = 0
        }
        # Of the list of failures at the end of a test.
        / CU_(ASSERT|FAIL)/ {
            if (/CU_ASSERT_EQUAL\(_r,0\)/) { listed++; next_to = 1 }
            else if (next_to) next_to = 0
            else other++
            next
        }
        /\[FAILED\]/ {
            if (/Failed to send .*: SG_IO ioctl failed/ && bytes > limit) { count++; after = 1 }
            else if (!after) other++
        }
        END { print count + 0; exit other > 0 || listed != count }' "$1"
}

# dd_rate DISK MIB: KB/s of direct reads of 1 MiB.
dd_rate() {
    local said
    said=$(LC_ALL=C dd if="$1" of=/dev/null bs=1M count="$2" iflag=direct 2>&1)
    [[ $said =~ copied,\ ([0-9.e-]+)\ s ]] || fail "dd: $said"
    awk -v mib="$2" -v seconds="${BASH_REMATCH[1]}" 'BEGIN { printf "%d", mib * 1024 / seconds }'
}

# fio_rate DISK SECONDS: KB/s of direct reads of 128 KiB, 32 at a time.
fio_rate() {
    fio --name=read --filename="$1" --rw=read --bs=128k --direct=1 --ioengine=libaio --iodepth=32 --size=100% \
        --runtime="$2" --time_based --output-format=terse --terse-version=3 | awk -F ';' '{ print $7 }'
}

# median NUMBER...: the middle one of an odd number of numbers.
median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# What a scenario may leave behind; fails where the kernel does not let go of it.
clean_up() {
    local used port
    awk '$2 ~ "^/tmp/" { print $2 }' /proc/mounts | tac | xargs -r umount --lazy
    losetup --detach-all
    [[ -e $VHCI/status ]] || return 0
    mapfile -t used < <(cat "$VHCI"/status* | awk '$2 ~ /^[0-9]+$/ && $3 != "004" { print $2 + 0 }')
    for port in "${used[@]}"; do
        detach_port "$port"
        wait_until 20 port_free "$port" || {
            echo "port $port stays in state $(port_field "$port" 3)"
            return 1
        }
    done
    udevadm settle
}

# ask FUNCTION WORD...: has the scenario on the host, which booted this guest, call a function, and waits until it is done.
ask() {
    # Only made: it may be gone in a moment, or before the shared folder says that it was made.
    { : >"/lab/ask-$*"; } 2>/dev/null || true
    wait_until 60 test ! -e "/lab/ask-$*" || fail "the host does not $*"
}
