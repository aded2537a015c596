# about: which real devices are offered, and when: not what is used, seen or unseen, or not authorized, nor another at its place; by usbredir while there is a guest; back by a second signal
# tier: full
# boot: own
# timeout: 450
# programs: attach-usb usbip-server usbip-client usbredir-host usbredir-guest lab-raw
# allow-log: usb .*: reset high-speed USB device number [0-9]+ using (dummy|vhci)_hcd
# allow-log: vhci_hcd: (urb->status -(104|108)|connection (closed|reset)|the urb \(seqnum [0-9]+\) was already given back)
# allow-log: (Buffer )?I/O error

modprobe dummy_hcd
modprobe -a libcomposite usb-storage sd_mod usbip-host dm-mod vfat
modprobe usbserial vendor=0x1209 product=0x0002
load_vhci
controller=dummy_udc.0
truncate -s 64M disk.img other.img

# plugged: the gadget's device has its driver. Sets real_id.
plugged() {
    local found
    found=$(compgen -G '/sys/devices/platform/dummy_hcd.*/usb*/*-1') || return
    real_id=${found##*/}
    driver_is "$real_id" usb-storage && block_device "$real_id" >/dev/null
}

is_back() {
    wait_until 20 plugged || fail "$1: it is with '$(driver_of "$real_id")'"
    udevadm settle
    disk=$(block_device "$real_id")
}

# plug NAME and unplug NAME: a gadget that was made.
plug() {
    echo "$controller" >"/sys/kernel/config/usb_gadget/$1/UDC"
}

unplug() {
    echo >"/sys/kernel/config/usb_gadget/$1/UDC"
}

# refused REASON [COMMAND...]: by attach-usb, run by COMMAND, and the list says so, too.
refused() {
    local said
    said=$(timeout 10 "${@:2}" attach-usb --usb "$real_id" 2>&1) && fail "taken, although $1"
    grep -q "$1" <<<"$said" || fail "expected: $1; found: $said"
    grep -q "$1" <<<"$("${@:2}" usbip-server list)" || fail "not in the list: $1"
}

gadget_disk disk "$controller" high-speed "$PWD/disk.img"
is_back "plugged in"
expect_equal "$(usbip-server list | grep -c 'in use')" 0 "devices in use"

note "a disk that is mounted where we cannot look"
mkdir mnt
mkfs.ext4 -q -F "$disk"
mount_apart() {
    mount "$disk" mnt && touch mounted && read -r
}
export disk
export -f mount_apart
unshare --mount bash -c mount_apart < <(wait_until 60 test -e looked) &
hidden=$!
wait_until 20 test -e mounted || fail "not mounted"
refused "in a mounted file system (ext4)"
refused "in a mounted file system (ext4)" setpriv --reuid=65534 --clear-groups
touch looked
wait "$hidden" || true

note "a disk that the first process sees mounted, and we do not"
mkfs.vfat -F 16 "$disk" >/dev/null
mount "$disk" mnt
refused "mounted at $PWD/mnt"
printf '#!/bin/bash\numount mnt\nexec "$@"\n' >without
chmod +x without
refused "mounted at $PWD/mnt" unshare --mount ./without

note "it is offered when it is free"
start_server --listen tcp:127.0.0.1 --watch 1d6b:0104
wait_until 10 grep -q "mounted at" server.err || fail "nothing is said of it: $(<server.err)"
expect_equal "$(usbip-client list tcp:127.0.0.1 | wc -l)" 0 "devices that are offered"
expect_equal "$(sed 's/ on .*//' server.out)" listening "what is said of no device"
umount mnt
# As docs/passthrough.md has it.
wait_until $((5 + AT_ONCE)) listed 1 || fail "not offered: $(<server.err)"
expect_equal "$(grep -c "mounted at" server.err)" 1 "how often it is said"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"

note "swap, and a part of another disk"
mkswap "$disk" >/dev/null
swapon "$disk"
refused "used for swapping"
swapoff "$disk"
dmsetup create held --table "0 2048 linear $disk 0"
refused "is part of dm-"
dmsetup remove held

note "not authorized: a device, and an interface"
: >server.err
start_server --listen tcp:127.0.0.1 --watch 1d6b:0104
wait_until 10 listed 1 || fail "not offered: $(<server.err)"
for place in "$real_id" "$real_id:1.0"; do
    file=/sys/bus/usb/devices/$place/authorized
    echo 0 >"$file"
    refused "is not authorized: \"echo 1 | sudo tee $file\" ends that"
    # Without a configuration it is not there for others; without an interface it is, but refused.
    [[ $place == *:* ]] || wait_until 10 listed 0 || fail "offered all the same: $(<server.err)"
    # As the remedy says; an interface is then looked for a driver by hand.
    echo 1 | tee "$file"
    [[ $place != *:* ]] || echo "$place" >/sys/bus/usb/drivers_probe
    is_back "authorized"
    wait_until 10 listed 1 || fail "not offered again: $(<server.err)"
done
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"

note "what usbip-host has"
usbip bind --busid="$real_id"
said=$(timeout 10 attach-usb --usb "$real_id,force" 2>&1) && fail "taken from usbip-host"
expect_equal "$said" "attach-usb: $real_id: is in use by the driver usbip-host: \"usbip unbind --busid=$real_id\" ends that" \
    "the reason"
usbip-server list | grep -q "^$real_id .*(usbip-host)" || fail "the list does not say so: $(usbip-server list)"
usbip unbind --busid="$real_id"
is_back "after usbip unbind"

note "another at its place"
head -c 64M /dev/urandom >disk.img
sum=$(sha256sum <disk.img)
copied() {
    rm -f copy
    timeout 60 "$@" --output copy && expect_equal "$(sha256sum <copy)" "$sum" "what is read"
}
: >server.err
start_server --listen tcp:127.0.0.1 --usb "$real_id"
copied usbip-client read tcp:127.0.0.1 1-1
is_back "the client has left"
unplug disk
gadget_disk other "$controller" high-speed "$PWD/other.img"
is_back "another is plugged in"
expect_failure copied usbip-client read tcp:127.0.0.1 1-1
grep -q 'another device .* the serial number "other", not the serial number "disk"' server.err ||
    fail "refused without a reason: $(<server.err)"
unplug other
plug disk
is_back "plugged in again"
copied usbip-client read tcp:127.0.0.1 1-1
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"
is_back "the server has ended"

note "who stays for a device has it again"
: >server.err
start_server --listen tcp:127.0.0.1 --watch "1d6b:0104"
wait_until 10 listed 1 || fail "not offered: $(<server.err)"
usbip-client attach tcp:127.0.0.1 1-1 --reconnect >client.out 2>client.err &
client=$!
attached() {
    used_port && block_device "$bus_id" >/dev/null
}
for turn in first second; do
    wait_until 30 attached || fail "no disk behind vhci, the $turn time: $(<client.err) $(<server.err)"
    [[ $turn == first ]] || report "--reconnect: a disk again $(tenths_since "$began") tenths of a second after it was plugged in"
    udevadm settle
    expect_equal "$(sha256sum <"$(block_device "$bus_id")")" "$sum" "what is read the $turn time"
    [[ $turn == first ]] || break
    unplug disk
    wait_until 10 port_free "$port" || fail "port $port is not free"
    wait_until 10 grep -q "^usbip-server: 1-1: is gone" server.err || fail "it is not gone: $(<server.err)"
    # Meanwhile another, which has another number.
    plug other
    wait_until 10 listed 1 || fail "the other is not offered: $(<server.err)"
    grep -q "^1-2 " <<<"$(usbip-client list tcp:127.0.0.1)" || fail "it is $(usbip-client list tcp:127.0.0.1)"
    unplug other
    began=${EPOCHREALTIME/./}
    plug disk
done
kill -TERM "$client"
expect_exit 20 "$client" 0 "the client that stays"
is_back "its client has left"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"

note "named in two ways"
said=$(timeout 10 usbip-server --usb "$real_id,read-only" --usb 1d6b:0104 2>&1) && fail "offered twice"
expect_equal "$said" "usbip-server: --usb 1d6b:0104: is offered already" "the reason"
: >server.err
start_server --listen tcp:127.0.0.1 --usb "$real_id,read-only" --watch 1d6b:0104
wait_until 10 grep -q "$real_id: --usb says how it is offered" server.err || fail "not said: $(<server.err)"
expect_equal "$(usbip-client list tcp:127.0.0.1 | wc -l)" 1 "devices that are offered"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"
: >server.err
start_server --listen tcp:127.0.0.1 --watch 1d6b:0104 --watch "$real_id,read-only"
wait_until 10 grep -q "$real_id: not offered, as --watch 1d6b:0104 and --watch $real_id differ" server.err ||
    fail "not said: $(<server.err)"
expect_equal "$(usbip-client list tcp:127.0.0.1 | wc -l)" 0 "devices that are offered"
kill -TERM "$server"
expect_exit 10 "$server" 0 "the server"

note "a guest has it while it is there"
place=unix:$PWD/place
usbredir-host --listen "$place" --usb "$real_id" >host.out 2>host.err &
host=$!
wait_until 10 grep -q "^listening on" host.out || fail "usbredir-host does not listen: $(<host.err)"
driver_is "$real_id" usb-storage || fail "taken before a guest is there"
for guest in first second; do
    copied usbredir-guest read "$place"
    is_back "the $guest guest has left"
done

note "unplugged while a guest has it"
rm -f copy
usbredir-guest read "$place" --output copy >/dev/null 2>guest.err &
guest=$!
wait_until 20 test -s copy || fail "the guest does not read"
began=${EPOCHREALTIME/./}
unplug disk
wait_until 20 ended "$guest" || fail "the guest hangs"
! wait "$guest" || fail "the guest was not disturbed"
report "unplugged: the guest has ended after $(tenths_since "$began") tenths of a second"
wait_until 10 grep -q "^the device has gone" host.out || fail "usbredir-host does not say so: $(<host.out)"
expect_failure timeout 20 usbredir-guest tree "$place"
wait_until 5 grep -q "there is no USB device $real_id" host.err || fail "refused without a reason: $(<host.err)"
plug disk
is_back "plugged in again"
copied usbredir-guest read "$place"
is_back "the last guest has left"
kill -TERM "$host"
expect_exit 10 "$host" 0 "usbredir-host"

note "two signals, at rest"
for gap in 0 0.001 0.003 0.01 0.03; do
    through "$real_id"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    kill -TERM "$pid"
    pause "$gap"
    kill -TERM "$pid" 2>/dev/null || true
    wait_until "$AT_ONCE" ended "$pid" || fail "it has not ended, $gap s between two signals"
    # The second one ends it by itself, if the device was back before.
    status=0
    wait "$pid" || status=$?
    ((status == 0 || status == 128 + 15)) || fail "it has ended with $status, $gap s between two signals"
    is_back "two signals, $gap s between them"
    wait_until 20 port_free "$port" || fail "port $port is not free"
done

# A vendor's device whose bulk endpoints Linux takes for a serial port, and which answers no request of a vendor.
for byte in 12 01 00 02 00 00 00 40 09 12 02 00 00 01 00 00 00 01 09 02 20 00 01 01 00 80 32 09 04 00 00 02 ff 00 00 00 \
    07 05 81 02 00 02 00 07 05 02 02 00 02 00; do
    printf '%b' "\\x$byte"
done >silent.bin
# By usbfs: struct usbdevfs_ctrltransfer, and USBDEVFS_CONTROL, _IOWR('U', 0, 24 bytes).
cat >ask.pl <<'END'
use strict;
my ($path, $milliseconds) = @ARGV;
open(my $device, '+<', $path) or die "$path: $!\n";
my $data = "\0" x 8;
my $request = pack('C2 S3 L x4 P', 0xc0, 1, 0, 0, 8, $milliseconds, $data);
print ioctl($device, 0xc0185500, $request) ? "answered\n" : "$!\n";
END
lab-raw silent.bin high >raw.out &
raw=$!
wait_until 20 used_port || fail "the silent device is not attached: $(<raw.out)"
silent=$bus_id silent_port=$port
# The times of docs/passthrough.md: by nusb, a request that nobody answers is waited for; by usbfs, it is not.
declare -A held=([nusb]=5 [usbfs]=0)
# Behind another of vhci's host controllers, as one is locked while one of its devices is configured.
far_port=$(awk '$1 == "hs" { print $2 + 0; exit }' "$VHCI/status.1")

# given_silent: by way. Sets pid, port and bus_id.
given_silent() {
    wait_until 20 driver_is "$silent" usbserial_generic || fail "$silent is with '$(driver_of "$silent")'"
    attach_device attach-usb --usb "$silent,$way" --port "$far_port"
}

unanswered() {
    grep -c '^left without an answer' raw.out
}

is_asked() {
    (($(unanswered) > before))
}

# asked: it is asked something, for as long as it takes. Sets asking.
asked() {
    before=$(unanswered) || true
    perl ask.pl "$(usb_node "$bus_id")" 0 >asked.out 2>&1 &
    asking=$!
    wait_until 20 is_asked || fail "it is not asked: $(<asked.out)"
}

# silent_is_back SECONDS WHAT: attach-usb has ended well, so long after began, and the device is with its driver.
silent_is_back() {
    local wanted=$1
    wait_until "$wanted" ended "$pid" || fail "$way, $2: not ended within $wanted s"
    report "$way, $2: ended after $(tenths_since "$began") tenths of a second"
    expect_exit 1 "$pid" 0 "$way, $2"
    wait_until "$AT_ONCE" driver_is "$silent" usbserial_generic || fail "$way, $2: $silent is with '$(driver_of "$silent")'"
    wait_until 20 port_free "$port" || fail "port $port is not free"
    wait "$asking" || true
}

for way in nusb usbfs; do
    note "a request without an answer, by $way"
    given_silent
    began=${EPOCHREALTIME/./}
    timeout 60 perl ask.pl "$(usb_node "$bus_id")" 1000 >asked.out || fail "asking takes more than a minute"
    took=$(tenths_since "$began")
    expect_equal "$(<asked.out)" "Connection timed out" "the answer"
    report "$way: a request that was given up after 1 s had its end after $took tenths of a second"
    wanted=$((held[$way] > 1 ? held[$way] : 1))
    ((took <= (wanted + AT_ONCE) * 10)) || fail "$way: more than $wanted s, and $AT_ONCE of the machine's"

    asked
    began=${EPOCHREALTIME/./}
    kill -TERM "$pid"
    silent_is_back $((held[$way] + AT_ONCE)) "a signal"

    given_silent
    asked
    began=${EPOCHREALTIME/./}
    kill -TERM "$pid"
    pause 0.3
    ((held[$way] == 0)) || ! ended "$pid" || fail "$way: nothing was waited for"
    kill -TERM "$pid" 2>/dev/null || true
    # Less than what a single signal has it wait for, even so.
    silent_is_back "$AT_ONCE" "two signals"
done
kill "$raw"
wait "$raw" || true
wait_until 20 port_free "$silent_port" || fail "port $silent_port is not free"
report "used out of sight, by swap, by another disk and usbip-host; not authorized, device and interface; another device at its place; guests one after the other, unplugged in mid-read"
