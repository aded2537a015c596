# about: a USB disk that is real to the guest through attach-usb, by nusb and by usbfs, by its serial number, and read-only, UAS beside it too: its class driver works
# tier: full
# boot: own
# timeout: 400
# devices: -drive file=GUEST/initrd,if=none,id=stick,format=raw,snapshot=on -device qemu-xhci,id=xhci -device usb-storage,bus=xhci.0,port=1,drive=stick,serial=first -drive if=none,id=second,driver=null-co,size=64M,read-zeroes=on,snapshot=on -device usb-storage,bus=xhci.0,port=2,drive=second,serial=second
# programs: attach-usb attach-disk usbip-server usbip-client
# Where its user has left, a device is reset; one of ours, which is behind vhci itself, too.
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using xhci_hcd
# allow-log: usb .*: reset high-speed USB device number [0-9]+ using vhci_hcd
# Where a command fails, QEMU's usb-storage fills the packet that it is asked for: by nusb a whole one, which is babble, so
# that the kernel resets the disk. So often, and no oftener: expect_resets.
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using vhci_hcd

load_vhci
modprobe -a xhci-pci usb-storage uas sd_mod sg

# place_of SERIAL: sets place to the bus id of the device with this serial number, which has a disk.
place_of() {
    place=$(grep -lx "$1" /sys/bus/usb/devices/*-*/serial) && place=$(basename "$(dirname "$place")") && block_device "$place"
}

wait_until 50 place_of first || fail "no usb-storage"
storage=$place
disk=$(block_device "$storage")
udevadm settle
expected=$(sha256sum <"$disk")
size=$(blockdev --getsize64 "$disk")

for way in usbfs nusb; do
    note "the disk, by $way"
    attach_device attach-usb --usb "$storage,$way"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    no_block_device "$storage" || fail "the disk is still with its own driver"
    udevadm settle
    disk=$(block_device "$bus_id")
    expect_equal "$(blockdev --getsize64 "$disk")" "$size" "size of the disk by $way"
    expect_equal "$(sha256sum <"$disk")" "$expected" "what is read by $way"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 30 block_device "$storage" || fail "the disk did not come back to its driver from $way"
    udevadm settle
    if [[ $way == nusb ]]; then expect_resets 1 "by nusb"; else expect_resets 0 "by usbfs"; fi
done

note "system calls"
reads=200
attach_device attach-usb --usb "$storage,usbfs"
wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
udevadm settle
strace --follow-forks --summary-only --output=calls --attach="$pid" 2>tracing &
tracer=$!
wait_until 20 grep -q attached tracing || fail "strace: $(<tracing)"
dd if="$(block_device "$bus_id")" of=/dev/null bs=4096 count="$reads" iflag=direct status=none
kill -INT "$tracer"
wait_until 20 ended "$tracer" || fail "strace does not end"
wait "$tracer" || true
# Of each command, of the data and of its status.
transfers=$((3 * reads))
calls=$(awk '$NF == "total" { print $4 }' calls)
report "usbfs: $calls system calls for $transfers transfers: $(awk '$1 ~ /^[0-9.]+$/ && $4 > 20 { print $NF, $4 }' calls | paste -sd ' ')"
((calls >= transfers && calls <= 5 * transfers + transfers / 10)) || fail "more than five system calls a transfer: $(<calls)"
kill -TERM "$pid"
expect_detached "$pid" "$port" "$bus_id"
wait_until 30 block_device "$storage" || fail "the disk did not come back to its driver"
udevadm settle

note "a file system on another of its kind, which only its serial number tells from the first"
wait_until 20 place_of second || fail "no second disk"
udevadm settle
expect_failure attach-usb --usb 46f4:0001 2>ambiguous
grep -q "say which by its bus id" ambiguous || fail "refused without a reason: $(<ambiguous)"
expect_failure attach-usb --usb 46f4:0001:third 2>absent
grep -q "no USB device 46f4:0001:third" absent || fail "refused without a reason: $(<absent)"
holds_files "$place" 46f4:0001:second mkfs.vfat
expect_resets 1 "by nusb and by usbfs"
report "usb-storage, by its serial number: files on vfat are the same both ways, by nusb and usbfs"

# refused REASON BYTE...: the disk does not do this command, whatever the kernel thinks of the disk.
refused() {
    local said
    said=$(sg_raw "${sending[@]}" "$generic" "${@:2}" 2>&1) && fail "the disk does ${*:2}"
    grep -qi "$1" <<<"$said" || fail "${*:2}: $said"
}

for way in usbfs nusb; do
    note "a disk that cannot be written, by $way"
    attach_device attach-usb --usb "$storage,$way,read-only"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    disk=$(block_device "$bus_id")
    expect_equal "$(blockdev --getro "$disk")" 1 "write protection by $way"
    expect_equal "$(sha256sum <"$disk")" "$expected" "what is read by $way"
    generic=/dev/$(basename "$(compgen -G "/sys/bus/usb/devices/$bus_id:*/host*/target*/*/scsi_generic/*")")
    wait_until 10 test -e "$generic" || fail "no $generic"
    sending=(-s 512 -i /dev/zero)
    refused 'write protected' 2a 00 00 00 00 00 00 00 01 00
    refused 'write protected' 8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00
    refused 'write protected' 41 00 00 00 00 00 00 00 01 00
    refused 'invalid command operation code' 55 00 00 00 00 00 00 02 00 00
    sending=()
    refused 'write protected' 04 00 00 00 00 00
    sending=(-r 512)
    refused 'invalid command operation code' 85 08 2e 00 00 00 01 00 00 00 00 00 00 00 ec 00
    # It goes on.
    expect_equal "$(dd if="$disk" bs=4096 count=1024 iflag=direct status=none | sha256sum)" \
        "$(dd if="$disk" bs=4096 count=1024 status=none | sha256sum)" "what is read afterwards by $way"
    kill -TERM "$pid"
    expect_detached "$pid" "$port" "$bus_id"
    wait_until 30 block_device "$storage" || fail "the disk did not come back to its driver from $way"
    udevadm settle
    expect_equal "$(sha256sum <"$(block_device "$storage")")" "$expected" "the disk itself, after $way"
done
expect_resets 0 "read-only"
report "read-only: six commands refused, by nusb and usbfs, the disk the same"

# both_through OPTIONS: the disk of both kinds, behind another host controller of vhci's than its own, as a controller is locked
# while one of its devices is given a configuration. Sets server, port and bus_id.
both_through() {
    local free
    start_server --listen unix:both --usb "$both,$1"
    free=$(awk '$1 == "hs" { print $2 + 0; exit }' "$VHCI/status.1")
    usbip-client attach unix:both 1-1 --port "$free"
    wait_until 20 used_port "$both_port" || fail "no port in use: $(<server.err)"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci, by $1: $(<server.err)"
    udevadm settle
    disk=$(block_device "$bus_id")
    expect_equal "$(sha256sum <"$disk")" "$(sha256sum <both.img)" "what is read, by $1"
}

both_back() {
    kill -TERM "$server"
    expect_exit 10 "$server" 0 "the server"
    wait_until 20 port_free "$port" || fail "port $port is not free"
    wait_until 20 driver_is "$both" uas || fail "$both is with '$(driver_of "$both")'"
    udevadm settle
}

note "a disk of UAS beside Bulk-Only Transport: what cannot be guarded is not told"
head -c 4M /dev/urandom >both.img
attach attach-disk both.img --uas --speed high
both_pid=$pid both_port=$port both=$bus_id
expect_equal "$(driver_of "$both")" uas "its driver"
for way in usbfs nusb; do
    both_through "$way"
    expect_equal "$(driver_of "$bus_id") $(blockdev --getro "$disk")" "uas 0" "driver and write protection by $way"
    both_back
    both_through "$way,read-only"
    expect_equal "$(driver_of "$bus_id") $(blockdev --getro "$disk")" "usb-storage 1" "the same by $way, read-only"
    both_back
done
expect_resets 4 "when a user had left, four times"
kill -TERM "$both_pid"
expect_detached "$both_pid" "$both_port" "$both"
report "UAS beside Bulk-Only Transport: uas drives it, and read-only usb-storage does, by nusb and usbfs"
