# about: a disk of UAS with two units and a drive with a CD of our server, imported by stock usbip and by our client
# tier: fast
# timeout: 240
# programs: usbip-server usbip-client
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe -a uas sr_mod isofs
mkdir files mnt
for number in {1..5}; do
    head -c $((number * 51200)) /dev/urandom >"files/$number"
done
expected=$(sums files)
xorriso -as mkisofs -quiet -R -V LAB -o disc.iso files
for image in a b; do
    head -c 24M /dev/urandom >"$image.img"
done
start_server --disk a.img --uas --speed high --lun b.img,ro --lun disc.iso,cdrom --cdrom disc.iso

# imported COMMAND...: imports a device. Sets port and bus_id.
imported() {
    "$@"
    wait_until 20 used_port || fail "no port is in use after: $*"
}

# unit LUN: the block device of a unit.
unit() {
    local found
    found=$(compgen -G "/sys/bus/usb/devices/$bus_id:*/host*/target*/*:$1/block/*") && echo "/dev/${found##*/}"
}

has_units() {
    [[ -b $(unit "$1") ]]
}

expect_disc() {
    cmp -n "$(stat -c %s disc.iso)" "$1" disc.iso
    mount -o ro -t iso9660 "$1" mnt
    expect_equal "$(sums mnt)" "$expected" "the files on the disc at $1"
    umount mnt
}

# live DETACH ATTACH...: both devices, by this client.
live() {
    local detach=$1 disk
    shift
    note "three units: $*"
    imported "$@" 1-1
    wait_until 30 has_units 2 || fail "no third unit"
    udevadm settle
    expect_equal "$(driver_of "$bus_id")" uas "driver"
    expect_equal "$(blockdev --getro "$(unit 0)") $(blockdev --getro "$(unit 1)")" "0 1" "write protection"
    cmp "$(unit 0)" a.img
    cmp "$(unit 1)" b.img
    [[ $(unit 2) == /dev/sr* ]] || fail "the third unit is $(unit 2)"
    expect_disc "$(unit 2)"
    disk=$(unit 0)
    mkfs.ext4 -q -F "$disk"
    mount "$disk" mnt
    cp files/* mnt/
    umount mnt
    # shellcheck disable=SC2086 # words
    $detach "$port"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
    wait_until 30 no_block_device "$bus_id" || fail "the disk outlives its port"
    e2fsck -f -n a.img
    mount -o ro,loop a.img mnt
    expect_equal "$(sums mnt | grep -v lost+found)" "$expected" "the files in the image"
    umount mnt

    note "a drive: $*"
    imported "$@" 1-2
    wait_until 30 has_units 0 || fail "no drive"
    udevadm settle
    expect_disc "$(unit 0)"
    # shellcheck disable=SC2086
    $detach "$port"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
}

modprobe loop
live 'usbip detach -p' usbip attach -r 127.0.0.1 -b
wait_until 10 listed 2 || fail "the devices did not come back: $(usbip-client list tcp:127.0.0.1)"
live 'usbip-client detach' usbip-client attach tcp:127.0.0.1
kill -TERM "$server"
expect_exit 10 "$server" 0 "usbip-server"
report "a disk of three units by UAS, and a drive, by stock usbip attach and by usbip-client"
