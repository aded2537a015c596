expected=$(</lab/stick.sum)

# tablet_moves X: it is with its own driver, and what it says arrives.
tablet_moves() {
    watch_input "$tablet"
    pointed "$1" 1
    pointed 2 "$1"
    unwatch_input
    expect_equal "$(read_reports <events | paste -sd ';')" "ABS_X $1 ABS_Y 1;ABS_X 2 ABS_Y $1" "the reports"
}

same_disk() {
    [[ $(dd if="$1" bs=1M iflag=direct status=none | sha256sum | cut -d ' ' -f 1) == "$expected" ]]
}

# read_on DISK: reads the beginning of it again and again, and leaves the processor time for others, until the file enough is
# there. It is always the same.
read_on() {
    local first now
    until [[ -e enough ]]; do
        now=$(dd if="$1" bs=1M count=4 iflag=direct status=none | sha256sum) || return 1
        [[ ${first:=$now} == "$now" ]] || return 1
        pause 0.3
    done
}

# stick_reads: likewise, for the stick.
stick_reads() {
    wait_until 20 block_device "$stick" || fail "no disk of its own"
    udevadm settle
    same_disk "$(block_device "$stick")" || fail "the stick is not what it was"
}

# back_at_once BUS_ID DRIVER WHERE: this driver has it again. Reports when, after the time that began is.
back_at_once() {
    wait_until "$AT_ONCE" driver_is "$1" "$2" || fail "$way: after $AT_ONCE s $1 is with '$(driver_of "$1")'"
    report "$way, $3: $2 has its device $(tenths_since "$began") tenths of a second after the panic"
}

panicked() {
    grep -q "panicked at" program.err
}

# panics_within SECONDS READS: lab-panic panics, with these words. Sets began.
panics_within() {
    wait_until "$1" panicked || fail "$way: no panic: $(<program.err)"
    began=${EPOCHREALTIME/./}
    wait_until 1 grep -q "$2" program.err || fail "$way: a panic without a read under way: $(<program.err)"
}

# serves FIRST OTHER: serves both, and has them behind vhci; sets program, first_id, first_port, other_id and other_port.
serves() {
    lab-panic session "$1,$way" "$2,$way" >program.out 2>program.err &
    program=$!
    wait_until 10 grep -q '^listening' program.out || fail "$way: lab-panic does not listen: $(<program.err)"
    usbip-client attach tcp:127.0.0.1 1-2
    wait_until 20 used_port || fail "no port in use"
    other_id=$bus_id other_port=$port
    usbip-client attach tcp:127.0.0.1 1-1
    wait_until 20 used_port "$other_port" || fail "no second port in use"
    first_id=$bus_id first_port=$port
}

# loses_first BUS_ID DRIVER: the first device, which is the real BUS_ID, is asked for its descriptors, by control transfers, until
# its session panics. It goes back to this driver; that is said, and from then on it is refused.
loses_first() {
    local address
    address=$(<"/sys/bus/usb/devices/$first_id/busnum"):$(<"/sys/bus/usb/devices/$first_id/devnum")
    until panicked; do lsusb -v -s "$address" || true; done >/dev/null 2>&1 &
    panics_within 20 "reads under way"
    back_at_once "$1" "$2" "in a session"
    wait_until 20 port_free "$first_port" || fail "$way: port $first_port is not free"
    expect_equal "$(grep -c '^lab-panic: 1-1: its session has panicked; it is refused from now on$' program.err)" 1 "what is said"
    expect_failure usbip-client attach tcp:127.0.0.1 1-1
}

# ended_badly: it ends when it is told to, and says what became of the first.
ended_badly() {
    kill -TERM "$program"
    expect_exit 10 "$program" 1 "lab-panic"
    grep -q '^lab-panic: 1-1: its session has panicked$' program.err || fail "$way: it does not say why: $(<program.err)"
    wait_until 20 port_free "$other_port" || fail "$way: port $other_port is not free"
}

modprobe -a xhci-pci usbhid evdev usb-storage sd_mod
load_vhci
wait_until 30 real_device 0627:0001 || fail "no tablet"
tablet=$device
wait_until 30 real_device 46f4:0001 || fail "no stick"
stick=$device
udevadm settle
tablet_moves 3
stick_reads

for way in nusb usbfs; do
    note "on the main thread, by $way"
    lab-panic main "$tablet,$way" >program.out 2>program.err &
    program=$!
    panics_within 10 "1 read under way"
    back_at_once "$tablet" usbhid "on the main thread"
    expect_exit "$AT_ONCE" "$program" 101 "lab-panic"
    tablet_moves 4

    note "in the tablet's session, by $way"
    serves "$tablet" "$stick"
    wait_until 30 block_device "$other_id" || fail "no disk behind vhci"
    udevadm settle
    far=$(block_device "$other_id")
    rm -f enough
    read_on "$far" &
    reader=$!
    watch_input "$first_id"
    pointed 5 5
    loses_first "$tablet" usbhid
    wait_until 10 ended "$watching" || fail "$way: evtest hangs"
    tablet_moves 6
    touch enough
    expect_exit 30 "$reader" 0 "reading the other device"
    same_disk "$far" || fail "$way: the other device is not what it was"
    ended_badly
    stick_reads

    note "in the stick's session, by $way"
    serves "$stick" "$tablet"
    wait_until 30 block_device "$first_id" || fail "no disk behind vhci"
    udevadm settle
    far=$(block_device "$first_id")
    watch_input "$other_id"
    # udev lets it sleep, and USB/IP has no word by which a device wakes its host.
    echo on >"/sys/bus/usb/devices/$other_id/power/control"
    pointed 7 7
    while dd if="$far" of=/dev/null bs=1M iflag=direct status=none; do :; done 2>dd.log &
    reader=$!
    loses_first "$stick" usb-storage
    wait_until 20 ended "$reader" || fail "$way: the reader hangs"
    stick_reads
    pointed 8 8
    unwatch_input
    ended_badly
    tablet_moves 9
done
report "the device beside each was served all the time: a stick that is read, a tablet that is moved"
