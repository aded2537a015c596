# about: the kernel's own gadgets through attach-usb, by nusb and by usbfs: their class drivers work
# tier: full
# boot: own
# timeout: 900
# programs: attach-usb
# Where its user has left, a device is reset.
# allow-log: usb .*: reset high-speed USB device number [0-9]+ using dummy_hcd
# allow-log: vhci_hcd: (urb->status -104|the urb \(seqnum [0-9]+\) was already given back)

modprobe dummy_hcd num=6
modprobe -a libcomposite usb-storage sd_mod cdc_acm usbhid cdc_ether cdc_ncm evdev
load_vhci

# plugged NAME: the gadget's device, not behind vhci, and with a driver. Sets real_id.
plugged() {
    local folder
    for folder in /sys/devices/platform/dummy_hcd.*/usb*/*-1; do
        [[ $(cat "$folder/serial" 2>/dev/null) == "$1" ]] || continue
        real_id=${folder##*/}
        [[ -n $(driver_of "$real_id") ]] && return
    done
    return 1
}

# given NAME: waits for it.
given() {
    wait_until 20 plugged "$1" || fail "no gadget $1 with a driver: $(lsusb -t)"
    udevadm settle
}

note "a disk"
truncate -s 16M disk.img
gadget_disk disk dummy_udc.0 high-speed "$PWD/disk.img"
given disk
head -c 4M /dev/urandom >content
for way in nusb usbfs; do
    through "$real_id" ",$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    disk=$(block_device "$bus_id")
    mkfs.ext4 -q -F "$disk"
    mkdir -p mnt
    mount "$disk" mnt
    cp content mnt/
    umount mnt
    e2fsck -fn "$disk" >fsck.log 2>&1 || fail "fsck, by $way: $(<fsck.log)"
    mount -o ro "$disk" mnt
    cmp content mnt/content
    umount mnt
    back
done
report "mass_storage: formatted, 4 MB written and read back, by nusb and usbfs"

note "a serial port"
gadget acm dummy_udc.1 high-speed acm.0
given acm
head -c 20000 /dev/urandom >sent
for way in nusb usbfs; do
    through "$real_id" ",$way"
    wait_until 20 node_is "$bus_id" 'ttyACM*' || fail "no serial port at $bus_id"
    near=/dev/$(node_of "$bus_id" 'ttyACM*')
    stty -F "$near" 115200 raw -echo -crtscts
    stty -F /dev/ttyGS0 raw -echo
    echoes "$near" /dev/ttyGS0 sent "by $way"
    back
done
report "acm: 20000 bytes each way, by nusb and usbfs"

# A keyboard without the boot protocol.
is_keyboard() {
    echo 0 >"$2/protocol"
    echo 0 >"$2/subclass"
    echo 8 >"$2/report_length"
    perl -e 'print pack "H*", shift' "05010906a101050719e029e715002501750195088102950175088103\
95057501050819012905910295017503910395067508150025650507190029658100c0" >"$2/report_desc"
}

note "a human interface device"
gadget hid dummy_udc.2 high-speed hid.0 is_keyboard
given hid
said=$(timeout 10 attach-usb --usb "$real_id" 2>&1) && fail "a keyboard of this machine is taken"
grep -q "a keyboard of this machine" <<<"$said" || fail "refused without a reason: $said"
for way in nusb usbfs; do
    through "$real_id" ",$way,force"
    wait_until 20 node_is "$bus_id" 'event*' || fail "no input device at $bus_id"
    rm -f events
    evtest --grab "/dev/input/$(node_of "$bus_id" 'event*')" >events &
    reader=$!
    wait_until 20 grep -qs Testing events || fail "evtest does not start"
    for key in 04 05 06; do
        printf '%b' "\\0\\0\\x$key\\0\\0\\0\\0\\0" >/dev/hidg0
        printf '\0\0\0\0\0\0\0\0' >/dev/hidg0
    done
    wait_until 10 grep -q 'KEY_C), value 0' events || fail "the keys do not arrive: $(<events)"
    kill "$reader"
    wait "$reader" || true
    expect_equal "$(read_text <events)" abc "what was typed, by $way"
    light=$(find "/sys/bus/usb/devices/$bus_id/" -name '*::capslock' -type d | sed -n 1p)
    timeout 10 head -c 1 </dev/hidg0 >lights &
    reader=$!
    sleep 0.5
    echo 1 >"$light/brightness"
    expect_exit 15 "$reader" 0 "reading the lights"
    expect_equal "$(od -An -tx1 <lights)" " 02" "the light of caps lock, by $way"
    echo 0 >"$light/brightness"
    back
done
report "hid: three keys and a light, by nusb and usbfs"

# A megabyte from the gadget's side, in a network of its own, to ours and back.
cat >network.pl <<'END'
use strict;
use IO::Socket::INET;
$SIG{ALRM} = sub { die "no end of it\n" };
alarm 60;
my $data = join '', map { chr(($_ * 7 + ($_ >> 8)) % 251) } 0 .. 999_999;
if (@ARGV) {
    my $socket;
    for (1 .. 100) { last if $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 7, Timeout => 5); select undef, undef, undef, 0.1 }
    die "cannot connect: $@\n" unless $socket;
    print $socket $data;
    shutdown $socket, 1;
    local $/;
    die "other data came back\n" unless <$socket> eq $data;
} else {
    my $listener = IO::Socket::INET->new(Listen => 1, LocalPort => 7, ReuseAddr => 1) or die "$@\n";
    my $socket = $listener->accept;
    local $/;
    my $all = <$socket>;
    print $socket $all;
}
END

number=3
for kind in ecm ncm; do
    note "a network by $kind"
    gadget "$kind" "dummy_udc.$number" high-speed "$kind.usb0"
    given "$kind"
    ip netns add "far-$kind"
    ip link set "$(<"/sys/kernel/config/usb_gadget/$kind/functions/$kind.usb0/ifname")" netns "far-$kind" name far0
    ip -n "far-$kind" address add "10.$number.0.2/24" dev far0
    ip -n "far-$kind" link set far0 up
    for way in nusb usbfs; do
        through "$real_id" ",$way"
        wait_until 20 compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" || fail "no network interface at $bus_id"
        udevadm settle
        link=$(basename "$(compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" | sed -n 1p)")
        ip address add "10.$number.0.1/24" dev "$link"
        ip link set "$link" up
        ip netns exec "far-$kind" perl network.pl &
        server=$!
        perl network.pl "10.$number.0.2" || fail "$kind by $way"
        expect_exit 10 "$server" 0 "the gadget's side"
        back
    done
    report "$kind: 1 MB by TCP there and back, by nusb and usbfs"
    number=$((number + 1))
done

# dummy_hcd has no isochronous endpoints to give.
for kind in uac1 uac2; do
    said=$(gadget "$kind" dummy_udc.5 high-speed "$kind.0" 2>&1) && fail "dummy_hcd has learnt isochronous transfers: try $kind"
    report "$kind: not on dummy_hcd: ${said##*: }"
done
