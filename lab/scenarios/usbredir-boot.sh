# about: SeaBIOS boots from our disk through QEMU's usb-redir, on xHCI and EHCI, with every set of layouts
# tier: fast
# where: host
# timeout: 120
# programs: usbredir-host

# Loads the second sector by the BIOS, writes it to the third, prints it to the debug port and leaves QEMU by its exit
# port: xor ax,ax; mov ds,ax; mov es,ax; cld; mov ax,0x201; mov cx,2; mov dh,0; mov bx,0x7e00; int 0x13; jc stop;
# mov ax,0x301; mov cx,3; int 0x13; jc stop; mov si,0x7e00; next: lodsb; test al,al; jz done; out 0xe9,al; jmp next;
# done: mov al,0x10; out 0xf4,al; stop: hlt; jmp stop
boot_sector='\x31\xc0\x8e\xd8\x8e\xc0\xfc\xb8\x01\x02\xb9\x02\x00\xb6\x00\xbb\x00\x7e\xcd\x13\x72\x1a'
boot_sector+='\xb8\x01\x03\xb9\x03\x00\xcd\x13\x72\x10'
boot_sector+='\xbe\x00\x7e\xac\x84\xc0\x74\x04\xe6\xe9\xeb\xf7\xb0\x10\xe6\xf4\xf4\xeb\xfd'
text='the boot sector runs'

# sector N: of the disk, as text up to the first NUL.
sector() {
    dd if=disk.img bs=512 skip="$1" count=1 status=none | tr '\0' '\n' | head -n 1
}

# boot CONTROLLER SPEED CAPABILITIES [PROPERTIES]
boot() {
    local machine host status=0
    note "$*"
    rm -f disk.img usb.socket debug
    truncate -s 1M disk.img
    # shellcheck disable=SC2059 # the bytes
    printf "$boot_sector" | dd of=disk.img conv=notrunc status=none
    printf '\x55\xaa' | dd of=disk.img bs=1 seek=510 conv=notrunc status=none
    printf '%s' "$text" | dd of=disk.img bs=512 seek=1 conv=notrunc status=none
    "${QEMU[@]}" -debugcon file:debug -device isa-debug-exit,iobase=0xf4 -device "$1,id=usb" \
        -chardev socket,id=redirected,path=usb.socket,server=on,wait=on \
        -device "usb-redir,chardev=redirected,bus=usb.0,bootindex=0,debug=4,pcap=$LAB_OUT/$1-$3.pcap${4:-}" \
        >"$LAB_OUT/qemu-$1-$3.log" 2>&1 &
    machine=$!
    wait_until 20 test -S usb.socket || fail "QEMU does not listen"
    usbredir-host --connect unix:usb.socket --disk disk.img --speed "$2" --capabilities "$3" >host.log &
    host=$!
    wait_until 40 ended "$machine" || fail "$1, $3: the boot sector does not run"
    wait "$machine" || status=$?
    # What the boot sector wrote to the exit port, doubled and one more.
    expect_equal "$status" 33 "QEMU's exit status"
    expect_exit 5 "$host" 0 "the guest's end"
    cat host.log
    grep -q "^attached: qemu usb-redir guest .*, capabilities $3\$" host.log || fail "no device attached with $3"
    expect_equal "$(<debug)" "$text" "what the boot sector read"
    expect_equal "$(sector 2)" "$text" "what the boot sector wrote"
    judge "$LAB_OUT/$1-$3.pcap"
}

# judge CAPTURE: QEMU's own record of the transfers is what we believe happened: at least the commands of a boot, each
# with a signature, and not one transfer that failed.
judge() {
    local commands failures
    commands=$(tshark -r "$1" -Y 'usbms.dCBWSignature' 2>/dev/null | wc -l)
    failures=$(tshark -r "$1" -Y 'usb.urb_type == URB_COMPLETE && usb.urb_status != 0' 2>/dev/null | wc -l)
    note "$commands commands, $failures failed transfers"
    ((commands >= 5)) || fail "${1##*/} has $commands commands"
    expect_equal "$failures" 0 "failed transfers in ${1##*/}"
}

boot qemu-xhci super 0xff
boot qemu-xhci super 0xfe
boot qemu-xhci high 0xfe ,streams=off
boot usb-ehci high 0x1a
boot usb-ehci high 0x0
report "booted on xHCI with 0xff and 0xfe, on EHCI with 0x1a and 0"
