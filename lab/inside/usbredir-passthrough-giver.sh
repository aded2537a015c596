# Gives what it is told to give.

declare -A giving

# give KIND BUS_ID NUMBER WAY
give() {
    usbredir-host --connect "tcp:10.0.2.2:$((first + $3))" --usb "$2,$4" >"$1.log" 2>&1 &
    giving[$1]=$!
    wait_until 30 grep -q '^attached: ' "$1.log" || fail "nobody takes the $1: $(<"$1.log")"
}

# take_back KIND BUS_ID DRIVER
take_back() {
    kill -TERM "${giving[$1]}"
    expect_exit 20 "${giving[$1]}" 0 "giving the $1"
    wait_until 20 driver_is "$2" "$3" || fail "the $1 is with '$(driver_of "$2")', not with $3"
    udevadm settle
}

give_disk() {
    give disk "$stick" 0 "$1"
}

take_back_disk() {
    take_back disk "$stick" usb-storage
}

give_tablet() {
    give tablet "$tablet" 1 "$1"
}

take_back_tablet() {
    take_back tablet "$tablet" usbhid
}

give_serial() {
    give serial "$port_given" 2 "$1"
    stty -F "$line" 115200 raw -echo -crtscts
    # Gives back what comes.
    cat 3<>"$line" <&3 >&3 &
    echo=$!
}

take_back_serial() {
    kill "$echo"
    wait "$echo" || true
    take_back serial "$port_given" ftdi_sio
}

give_uas() {
    give uas "$uas" 3 "$1"
}

take_back_uas() {
    take_back uas "$uas" uas
}

leave() {
    leaving=yes
}

# serial_ports: the bus ids of the two.
serial_ports() {
    grep -l 0403 /sys/bus/usb/devices/*/idVendor | sed 's,.*/\([^/]*\)/idVendor,\1,'
}

has_both() {
    (($(serial_ports | wc -l) == 2)) && node_is "$port_kept" 'ttyUSB*'
}

has_link() {
    link=$(basename "$(compgen -G '/sys/bus/virtio/devices/*/net/*' | sed -n 1p)")
    [[ -n $link ]]
}

first=$(</lab/first)
modprobe -a xhci-pci usb-storage uas sd_mod usbhid evdev ftdi_sio virtio_net
wait_until 20 has_link || fail "no network"
# udev gives it another name.
udevadm settle
has_link
ip link set "$link" up
ip address add 10.0.2.15/24 dev "$link"
wait_until 30 real_device 46f4:0001 || fail "no usb-storage"
stick=$device
wait_until 30 real_device 46f4:0003 || fail "no usb-uas"
uas=$device
wait_until 30 real_device 0627:0001 || fail "no usb-tablet"
tablet=$device
wait_until 30 real_device 0403:6001 || fail "no usb-serial"
{ read -r port_given && read -r port_kept; } < <(serial_ports)
wait_until 30 has_both || fail "no two serial ports"
line=/dev/$(node_of "$port_kept" 'ttyUSB*')
udevadm settle

leaving=
until [[ -n $leaving ]]; do
    wait_until 300 test -e /lab/order || fail "no more orders"
    read -ra words </lab/order
    note "${words[*]}"
    "${words[@]}"
    rm /lab/order
done
