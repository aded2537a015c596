# about: a real disk given by our server against the same disk given by the kernel's usbip-host, in one boot, medians of seven
# tier: full
# boot: own
# timeout: 1200
# memory: 2048
# devices: -device qemu-xhci,id=xhci -blockdev driver=null-co,node-name=null,size=1073741824,read-zeroes=on -device usb-storage,bus=xhci.0,drive=null
# programs: usbip-server usbip-client attach-usb lab-floor
# allow-log: usbip-host .*: reset
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

source "$LAB_GUEST/passthrough.sh"
load_vhci
real_disk

# The ratio to the kernel's programs that a way must have, for reads of 1 MiB. TCP on one machine, vhci and the reader take
# most of the time, which is what "image" shows, a disk that costs its server nothing, and without TCP "floor", which has no
# device and no library either. From one boot to the next, even medians scatter by a tenth or two (docs/passthrough.md), and
# these are below the least that was seen; passthrough-instructions is the sharper judge.
declare -A wanted=([nusb]=0.7 [usbfs]=0.8 [local-nusb]=1.1 [local-usbfs]=1.2)
ways=(kernel nusb usbfs image local-nusb local-usbfs floor)
sizes=($((1 << 20)) 4096)
declare -A rates count=([$((1 << 20))]=512 [4096]=4000)
# A device has one user at a time: they take turns. What an emulated machine does at a time changes from minute to minute, so
# that rates are compared with the kernel's of the same turn.
for turn in {1..7}; do
    for way in own "${ways[@]}"; do
        if [[ $way == own ]]; then
            disk=$(block_device "$real")
        else
            given "$way"
        fi
        for size in "${sizes[@]}"; do
            rate "$size" $((count[$size] / 8)) >/dev/null
            rates[$way,$size]+=" $(rate "$size" "${count[$size]}")"
        done
        [[ $way == own ]] || taken "$way"
    done
    note "turn $turn"
done

# of_kernel SIZE RATE...: the median of the ratios to the kernel's rates, turn by turn.
of_kernel() {
    local size=$1 kernel turn=0 rate ratios=()
    shift
    read -ra kernel <<<"${rates[kernel,$size]}"
    for rate; do
        ratios+=("$(times "$rate" "${kernel[turn]}")")
        turn=$((turn + 1))
    done
    median "${ratios[@]}"
}

short=()
report "$(printf '%-12s %10s %10s %10s %10s' way '1 MiB' of-kernel '4 KiB' of-kernel)"
for way in own "${ways[@]}"; do
    line=$(printf '%-12s' "$way")
    for size in "${sizes[@]}"; do
        note "$way $size:${rates[$way,$size]}"
        # shellcheck disable=SC2086 # words
        ratio=$(of_kernel "$size" ${rates[$way,$size]})
        # shellcheck disable=SC2086 # words
        line+=$(printf ' %10s %10s' "$(median ${rates[$way,$size]})" "$ratio")
        if ((size > 4096)) && [[ -v wanted[$way] ]] && below "$ratio" "${wanted[$way]}"; then
            short+=("$way: $ratio, wanted ${wanted[$way]}")
        fi
    done
    report "$line"
done
report "KB/s, direct reads in one boot, and ratios to the kernel's in the same turn: medians of seven turns"
((${#short[@]} == 0)) || fail "less of what the kernel gives than wanted: ${short[*]}"
