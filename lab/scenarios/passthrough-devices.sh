# about: devices that are real to the guest, through attach-usb: each one's class driver works, and its own driver gets it back
# tier: full
# boot: own
# timeout: 600
# devices: -device qemu-xhci,id=xhci,p2=8,p3=4 -device usb-ehci,id=ehci -device piix3-usb-uhci,id=uhci -drive file=GUEST/initrd,if=none,id=initrd,format=raw,snapshot=on -device virtio-blk-pci,drive=initrd -drive if=none,id=bot,driver=null-co,size=64M,read-zeroes=on,snapshot=on -device usb-bot,id=usbbot,bus=xhci.0 -device scsi-hd,bus=usbbot.0,drive=bot -drive file=GUEST/vmlinuz,if=none,id=uas,format=raw,snapshot=on -device usb-uas,id=usbuas,bus=ehci.0 -device scsi-hd,bus=usbuas.0,drive=uas -device usb-ccid,bus=xhci.0 -device usb-mtp,bus=xhci.0,rootdir=GUEST -device usb-kbd,bus=xhci.0 -chardev socket,id=one,path=RUN/serial,server=on,wait=off -chardev socket,id=other,path=RUN/serial -device usb-serial,bus=xhci.0,chardev=one,serial=one -device usb-serial,bus=xhci.0,chardev=other,serial=other -netdev user,id=net,restrict=on -device usb-net,bus=xhci.0,netdev=net -audiodev wav,id=wav,path=RUN/sound.wav,out.frequency=48000,out.channels=2,out.format=s16 -device usb-audio,bus=uhci.0,audiodev=wav
# programs: attach-usb usbip-server
# Where its user has left, a device is reset.
# allow-log: usb .*: reset ((full|high)-speed|SuperSpeed) USB device number [0-9]+ using ([xu]hci_hcd|ehci-pci)
# Where a command fails, QEMU's disk fills the packet that it is asked for: by nusb a whole one, which is babble, and Linux
# resets the disk. So often, and no oftener: expect_resets.
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using vhci_hcd
# allow-log: vhci_hcd: urb->status -104

# Or either of two drivers has QEMU's network, as it comes.
rm "$(modinfo -n cdc_subset)"
load_vhci
modprobe -a xhci-pci ehci-pci uhci-hcd usb-storage uas sd_mod usbhid ftdi_sio cdc_ether rndis_host snd-usb-audio
wait_until 30 real_device 46f4:0002 || fail "no usb-audio"
udevadm settle
lsusb
usbip-server list | tee list

# place_of TEXT: the bus id of the first device that the list shows with this text.
place_of() {
    sed -n "s/^\([0-9.-]*\) .*$1.*/\1/p" list | sed -n 1p
}

# verified DISK WHAT OPTION...: each block has what fio writes there, 32 commands at a time. Leaves fio.out.
verified() {
    fio --name=deep --filename="$1" --bs=8k --size=7m --direct=1 --ioengine=libaio --iodepth=32 --verify=crc32c --verify_fatal=1 \
        --output-format=json "${@:3}" >fio.out 2>&1 || fail "fio, $2: $(<fio.out)"
}

note "a UAS disk"
uas=$(place_of 'Attached SCSI')
wait_until 30 block_device "$uas" || fail "no disk of its own"
disk=$(block_device "$uas")
udevadm settle
expected=$(sha256sum <"$disk")
for way in usbfs nusb; do
    through "$uas" ",$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    expect_equal "$(driver_of "$bus_id")" uas "its driver"
    expect_equal "$(sha256sum <"$(block_device "$bus_id")")" "$expected" "its content, by $way"
    back
    wait_until 30 block_device "$uas" || fail "the disk is not back"
done
for way in usbfs nusb; do
    through "$uas" ",$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    verified "$(block_device "$bus_id")" "behind vhci, by $way" --rw=randwrite
    deep=$(sed -n 's/.*"32" : \([0-9]*\)\..*/\1/p' fio.out | sed -n 1p)
    ((deep >= 90)) || fail "32 commands were under way $deep % of the time: $(<fio.out)"
    back
    wait_until 30 block_device "$uas" || fail "the disk is not back"
    udevadm settle
    verified "$(block_device "$uas")" "by its own driver, after $way" --rw=randwrite --verify_only
done
holds_files "$uas" "$uas" mkfs.ext4 -q -F
expect_resets 0 "of a UAS disk"
report "usb-uas" "the same content, 32 writes and reads at a time verified, and files on ext4 the same both ways, by usbfs and nusb"

note "a disk of UAS alone cannot be given read-only"
expect_failure attach-usb --usb "$uas,read-only" 2>refused
grep -q "without Bulk-Only Transport" refused || fail "refused without a reason: $(<refused)"

note "a disk that is mounted is refused"
mkdir mnt
mkfs.ext4 -q -F "$(block_device "$uas")"
mount "$(block_device "$uas")" mnt
expect_failure attach-usb --usb "$uas" 2>refused
grep -q "mounted at $PWD/mnt" refused || fail "refused without a reason: $(<refused)"
usbip-server list | grep -A1 "^$uas" | grep -q "in use: .*mounted at" || fail "the list does not say so"
umount mnt

note "a keyboard of this machine is refused, unless forced"
keyboard=$(place_of Keyboard)
grep -A1 "^$keyboard " list | grep -q "in use: .*it is a keyboard of this machine" || fail "the list does not say so: $(<list)"
expect_failure attach-usb --usb "$keyboard" 2>refused
grep -q "it is a keyboard of this machine" refused || fail "refused without a reason: $(<refused)"
# What it types, and its lights: passthrough-tablet.
through "$keyboard" ",force"
expect_equal "$(driver_of "$bus_id")" usbhid "the keyboard's driver"
expect_failure attach-usb --usb "$keyboard,force" 2>taken
grep -q "in use by another program" taken || fail "taken twice, or without a reason: $(<taken)"
back

note "a serial port"
ports=$(sed -n 's/^\([0-9.-]*\) 0403:6001.*/\1/p' list)
one=$(sed -n 1p <<<"$ports") other=$(sed -n 2p <<<"$ports")
far=/dev/$(node_of "$other" 'ttyUSB*')
head -c 20000 /dev/urandom >sent
for way in nusb usbfs; do
    through "$one" ",$way"
    wait_until 20 node_is "$bus_id" 'ttyUSB*' || fail "no serial port at $bus_id"
    near=/dev/$(node_of "$bus_id" 'ttyUSB*')
    udevadm settle
    for tty in "$near" "$far"; do
        stty -F "$tty" 115200 raw -echo -crtscts
    done
    echoes "$near" "$far" sent "by $way"
    back
done
report "usb-serial" "20000 bytes each way, by nusb and by usbfs"

# pings COUNT: echoes of ICMP, each of another length up to what a frame holds, that come back whole. Nothing in the guest
# pings.
cat >ping.pl <<'END'
use strict;
use Socket;
my ($host, $count) = @ARGV;
socket(my $socket, AF_INET, SOCK_RAW, getprotobyname('icmp') // 1) or die "socket: $!\n";
my $whole = 0;
for my $number (1 .. $count) {
    my $data = join '', map { chr(($_ * 7 + $number) % 251) } 1 .. int(1472 * $number / $count);
    my $sum = 0;
    $sum += $_ for unpack 'n*', pack('CCnnn', 8, 0, 0, $$ & 0xffff, $number) . $data . "\0" x (length($data) % 2);
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    send($socket, pack('CCnnn', 8, 0, ~$sum & 0xffff, $$ & 0xffff, $number) . $data, 0, pack_sockaddr_in(0, inet_aton($host)))
        or die "send: $!\n";
    my $end = time + 20;
    while (time < $end) {
        vec(my $ready = '', fileno $socket, 1) = 1;
        select($ready, undef, undef, 1) or next;
        recv($socket, my $packet, 65536, 0);
        my $reply = substr $packet, 4 * (ord($packet) & 15);
        my ($type, $code, undef, $id, $sequence) = unpack 'CCnnn', $reply;
        next unless $type == 0 && $id == ($$ & 0xffff) && $sequence == $number;
        die length($data), " bytes came back changed\n" if substr($reply, 8) ne $data;
        $whole++;
        last;
    }
}
print "$whole\n";
END

note "a network"
net=$(place_of Network)
for way in nusb usbfs; do
    through "$net" ",$way"
    wait_until 20 compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" || fail "no network interface at $bus_id"
    udevadm settle
    link=$(basename "$(compgen -G "/sys/bus/usb/devices/$bus_id:*/net/*" | sed -n 1p)")
    ip link set "$link" up
    ip address add 10.0.2.15/24 dev "$link"
    expect_equal "$(perl ping.pl 10.0.2.2 23)" 23 "echoes of the gateway, by $way: $(ip neighbour show dev "$link")"
    back
done
report "usb-net: 23 pings of 64 to 1472 bytes come back whole, by nusb and by usbfs"

note "a sound card, isochronously"
audio=$(place_of Audio)
through "$audio"
wait_until 20 node_is "$bus_id" 'card[0-9]*' || fail "no sound card at $bus_id"
card=$(node_of "$bus_id" 'card[0-9]*')
# Five seconds of frames that say their number by two parts of it, then silence, by which QEMU writes the last of them. Its
# card begins with a volume of 240 of 255, which makes 17 k + 8 to 16 k + 7.
perl -e 'for my $n (1 .. 240000) { print pack "v2", 17 * ($n % 1900) + 8, 17 * int($n / 1900) + 8 } print "\0" x 384000' >sound
start=$(date +%s%N)
timeout 60 aplay -q -D "hw:${card#card}" -f S16_LE -c 2 -r 48000 --buffer-time=500000 sound 2>&1 | tee aplay.log
milliseconds=$((($(date +%s%N) - start) / 1000000))
pause 1
tail -c +45 "$(dirname "$LAB_OUT")/sound.wav" >played
perl -e '
    local $/;
    my %place = map { (pack("v2", 16 * ($_ % 1900) + 7, 16 * int($_ / 1900) + 7) => $_) } 1 .. 240000;
    my ($right, $gaps, $back, $other, $last) = (0, 0, 0, 0, 0);
    for my $frame (unpack "(a4)*", <STDIN>) {
        next if $frame eq "\0\0\0\0";
        my $number = $place{$frame};
        if (!defined $number) { $other++; next }
        $back++ if $number <= $last;
        $gaps++ if $number != $last + 1;
        $right++;
        $last = $number;
    }
    print "$right $gaps $back $other\n"' <played >heard
read -r right gaps strayed strange <heard
report "usb-audio" "7 s, the last 2 silent, played in $milliseconds ms by usbfs: of 240000 frames $right arrived, with $gaps gaps, $strayed out of order, $strange changed"
expect_equal "$(<heard)" "240000 0 0 0" "frames that arrived, gaps, frames out of order, and changed"
((milliseconds >= 6500 && milliseconds <= 30000)) || fail "7 s were played in $milliseconds ms"
back

has_reader() {
    timeout 10 pcsc_scan -r >readers 2>&1 || true
    grep -q '^0: ' readers
}

note "a reader of chip cards"
reader=$(place_of CCID)
for way in nusb usbfs; do
    through "$reader" ",$way"
    pcscd --foreground >pcscd.log 2>&1 &
    daemon=$!
    wait_until 30 has_reader || fail "pcscd sees no reader: $(<readers) $(<pcscd.log)"
    report "usb-ccid, by $way: $(sed -n 's/^0: //p' readers)"
    kill "$daemon"
    wait "$daemon" || true
    back
done

note "a file system on a disk of Bulk-Only Transport"
real_device 46f4:0001 || fail "no usb-bot"
wait_until 30 block_device "$device" || fail "usb-bot has no disk"
expect_resets 0 "before the disk of Bulk-Only Transport"
holds_files "$device" "$device" mkfs.ext4 -q -F
expect_resets 1 "of a disk by usbfs and nusb"
report "usb-bot: files on ext4 are the same both ways, by nusb and usbfs"

note "files by MTP"
player=$(place_of filesharing)
for way in nusb usbfs; do
    through "$player" ",$way"
    timeout 60 mtp-files >files 2>&1 || fail "mtp-files: $(tail -n 5 files)"
    number=$(awk '/^File ID:/ { id = $3 } /Filename: initrd$/ { print id; exit }' files)
    [[ -n $number ]] || fail "no initrd in: $(<files)"
    timeout 60 mtp-getfile "$number" fetched >getfile.log 2>&1 || fail "mtp-getfile: $(tail -n 5 getfile.log)"
    # The same file is a disk, too, which is not of USB.
    expect_equal "$(sha256sum <fetched)" "$(head -c "$(stat -c %s fetched)" /dev/vdb | sha256sum)" \
        "the file by MTP, by $way"
    report "usb-mtp, by $way: $(grep -c '^File ID' files) files are listed, initrd of $(stat -c %s fetched) bytes is the same"
    rm fetched
    back
done
expect_resets 0 "after the disk of Bulk-Only Transport"
