# A real disk given to vhci on this machine, and how fast it is read there: for the scenarios that compare.

real=
# real_disk: the usb-storage of QEMU's. Sets real.
real_disk() {
    modprobe -a xhci-pci usb-storage sd_mod usbip-host
    wait_until 30 real_device 46f4:0001 || fail "no usb-storage"
    real=$device
    wait_until 20 block_device "$real" || fail "no disk"
    udevadm settle
    usbipd >usbipd.log 2>&1 &
    wait_until 10 usbipd_listens || fail "usbipd does not listen: $(<usbipd.log)"
    # What is read lies in one piece, or it would depend on the place of a buffer into how many commands a read is split.
    echo 8 >/proc/sys/vm/nr_hugepages
    truncate -s 1G empty.img
}

usbipd_listens() {
    [[ -n $(ss -Hltn "sport = :3240") ]]
}

# given WAY: the disk, given by the kernel's programs ("kernel") or by ours with an adapter ("nusb", "usbfs"), by TCP on this
# machine; or "local" and an adapter: by attach-usb, which has a pair of sockets. "image" is no device at all, but a file of
# zeros, by TCP; "floor" likewise, by a program that does nothing but answer, by a pair of sockets. Sets disk, port and server.
given() {
    local serve=(start_server --listen tcp:127.0.0.1:3241)
    case $1 in
        kernel)
            usbip bind -b "$real" >&2
            usbip attach -r 127.0.0.1 -b "$real"
            ;;
        local-*)
            attach-usb --usb "$real,${1#local-}" >attach.log 2>&1 &
            server=$!
            ;;
        floor)
            lab-floor empty.img super >floor.log 2>&1 &
            server=$!
            ;;
        image) "${serve[@]}" --speed super --disk empty.img ;;
        *) "${serve[@]}" --usb "$real,$1" ;;
    esac
    case $1 in
        kernel | local-* | floor) ;;
        *) usbip-client attach tcp:127.0.0.1:3241 1-1 >&2 ;;
    esac
    wait_until 30 used_port || fail "no port in use by $1"
    wait_until 30 block_device "$bus_id" >&2 || fail "no disk by $1"
    udevadm settle
    disk=$(block_device "$bus_id")
}

# taken WAY: the disk is with its own driver again.
taken() {
    [[ $1 == local-* ]] || echo "$port" >"$VHCI/detach"
    if [[ $1 == kernel ]]; then
        wait_until 20 port_free "$port" || fail "port $port is not free"
        usbip unbind -b "$real" >&2
    elif [[ $1 == floor ]]; then
        wait_until 20 port_free "$port" || fail "port $port is not free"
        expect_exit 20 "$server" 0 "lab-floor"
    else
        kill -TERM "$server"
        expect_exit 20 "$server" 0 "the server"
        wait_until 20 port_free "$port" || fail "port $port is not free"
    fi
    wait_until 30 block_device "$real" >&2 || fail "the disk did not come back from $1"
    udevadm settle
}

# rate BYTES COUNT: direct reads of the disk, one after the other, in KB/s.
rate() {
    local said
    said=$(fio --name=read --filename="$disk" --readonly --direct=1 --rw=read --bs="$1" --io_size=$(($1 * $2)) --size=1g \
        --ioengine=psync --iomem=mmaphuge --hugepage-size=2m --output-format=json) || fail "fio: $said"
    said=$(sed -n '/"read" :/,/"iops" :/ s/.*"bw_bytes" : \([0-9]*\).*/\1/p' <<<"$said")
    ((said > 0)) || fail "fio says no rate"
    echo $((said / 1000))
}

# times A B: A / B, with two digits.
times() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# below RATIO WANTED
below() {
    awk -v ratio="$1" -v wanted="$2" 'BEGIN { exit !(ratio < wanted) }'
}
