# about: how many instructions a read of a real disk is by our server and by the kernel's usbip-host, on a machine whose clock counts them
# tier: full
# boot: own
# timeout: 600
# memory: 2048
# devices: -icount shift=3,sleep=off -device qemu-xhci,id=xhci -blockdev driver=null-co,node-name=null,size=1073741824,read-zeroes=on -device usb-storage,bus=xhci.0,drive=null
# programs: usbip-server usbip-client attach-usb lab-floor
# allow-log: usbip-host .*: reset
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using .hci_hcd
# allow-log: vhci_hcd: urb->status -104

# An emulated machine forgets all address translations whenever another program runs, which a server of the kernel's is
# not: rates of short reads show that more than the servers. Here an instruction takes 8 ns, whatever it is, and waiting
# takes none.
source "$LAB_GUEST/passthrough.sh"
load_vhci
real_disk

# instructions BYTES COUNT: thousands of them, of the whole machine, for one read.
instructions() {
    echo $(($1 * 1000 / 8 / $(rate "$1" "$2")))
}

# Of the kernel's, at most.
declare -A kernel wanted=(
    [nusb,1048576]=0.90 [usbfs,1048576]=0.80 [local-usbfs,1048576]=0.75
    [nusb,4096]=1.25 [usbfs,4096]=1.10 [local-usbfs,4096]=0.95
)
short=()
report "$(printf '%-12s %10s %10s %10s %10s' way '1 MiB' of-kernel '4 KiB' of-kernel)"
for way in kernel nusb usbfs image local-nusb local-usbfs floor; do
    given "$way"
    line=$(printf '%-12s' "$way")
    for size in $((1 << 20)) 4096; do
        count=$((size > 4096 ? 48 : 600))
        rate "$size" $((count / 8)) >/dev/null
        ours=$(instructions "$size" "$count")
        [[ $way != kernel ]] || kernel[$size]=$ours
        ratio=$(times "$ours" "${kernel[$size]}")
        line+=$(printf ' %10s %10s' "$ours" "$ratio")
        if [[ -v wanted[$way,$size] ]] && ! below "$ratio" "${wanted[$way,$size]}"; then
            short+=("$way/$size: $ratio, wanted less than ${wanted[$way,$size]}")
        fi
    done
    report "$line"
    taken "$way"
done
report "thousands of instructions of the whole machine for one direct read"
((${#short[@]} == 0)) || fail "more instructions than the kernel's than wanted: ${short[*]}"
