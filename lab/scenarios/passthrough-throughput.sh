# about: a real disk given by our server against the same disk given by the kernel's usbip-host, in one boot, medians of five
# tier: full
# boot: own
# timeout: 900
# memory: 2048
# devices: -device qemu-xhci,id=xhci -blockdev driver=null-co,node-name=null,size=1073741824,read-zeroes=on -device usb-storage,bus=xhci.0,drive=null
# programs: usbip-server usbip-client
# allow-log: usbip-host .*: reset
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

load_vhci
modprobe -a xhci-pci usb-storage sd_mod usbip-host
wait_until 30 real_device 46f4:0001 || fail "no usb-storage"
real=$device
wait_until 20 block_device "$real" || fail "no disk"
udevadm settle

# given PROGRAM: the disk, given by it, at vhci, by TCP on this machine. Sets disk and port.
given() {
    case $1 in
        kernel)
            usbip bind -b "$real" >&2
            usbip attach -r 127.0.0.1 -b "$real"
            ;;
        *)
            start_server --listen tcp:127.0.0.1:3241 --usb "$real,$1"
            usbip-client attach tcp:127.0.0.1:3241 1-1
            ;;
    esac
    wait_until 30 used_port || fail "no port in use by $1"
    wait_until 30 block_device "$bus_id" || fail "no disk by $1"
    udevadm settle
    disk=$(block_device "$bus_id")
}

# taken PROGRAM: the disk is with its own driver again.
taken() {
    echo "$port" >"$VHCI/detach"
    wait_until 20 port_free "$port" || fail "port $port is not free"
    case $1 in
        kernel) usbip unbind -b "$real" >&2 ;;
        *)
            kill -TERM "$server"
            expect_exit 20 "$server" 0 "the server"
            ;;
    esac
    wait_until 30 block_device "$real" || fail "the disk did not come back from $1"
    udevadm settle
}

# rate BYTES COUNT: direct reads of the disk, in KB/s.
rate() {
    local said
    said=$(LC_ALL=C dd if="$disk" of=/dev/null bs="$1" count="$2" iflag=direct 2>&1)
    [[ $said =~ copied,\ ([0-9.e-]+)\ s ]] || fail "dd: $said"
    awk -v bytes="$(($1 * $2))" -v seconds="${BASH_REMATCH[1]}" 'BEGIN { printf "%d\n", bytes / seconds / 1000 }'
}

usbipd_listens() {
    [[ -n $(ss -Hltn "sport = :3240") ]]
}

usbipd >usbipd.log 2>&1 &
wait_until 10 usbipd_listens || fail "usbipd does not listen: $(<usbipd.log)"
declare -A rates
programs=(kernel nusb usbfs own)
# A device has one user at a time: the programs take turns, five times.
for turn in {1..5}; do
    for program in "${programs[@]}"; do
        if [[ $program == own ]]; then
            disk=$(block_device "$real")
        else
            given "$program"
        fi
        for size in $((1 << 20)) 4096; do
            count=$(((192 << 20) / size))
            ((size > 4096)) || count=3000
            rate "$size" $((count / 8)) >/dev/null
            rates[$program,$size]+=" $(rate "$size" "$count")"
        done
        [[ $program == own ]] || taken "$program"
    done
    note "turn $turn"
done

# middle PROGRAM
middle() {
    # shellcheck disable=SC2086 # words
    median ${rates[$1,$size]}
}

short=()
for size in $((1 << 20)) 4096; do
    for program in "${programs[@]}"; do
        note "$size $program: ${rates[$program,$size]}"
    done
    kernel=$(middle kernel)
    line="$size bytes: kernel $kernel, its own driver $(middle own)"
    for program in nusb usbfs; do
        ours=$(middle "$program")
        ratio=$(awk -v a="$ours" -v b="$kernel" 'BEGIN { printf "%.2f", a / b }')
        line+=", $program $ours (x$ratio)"
        awk -v ratio="$ratio" 'BEGIN { exit !(ratio >= 1.5) }' || short+=("$program/$size")
    done
    report "$line"
done
report "KB/s, direct reads in one boot, medians of five turns"
((${#short[@]} == 0)) || fail "less than 1.5 of what the kernel gives: ${short[*]}"
