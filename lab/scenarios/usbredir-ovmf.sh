# about: OVMF boots from our disk through QEMU's usb-redir on xHCI: it loads an EFI program of one megabyte and starts it
# where: host
# timeout: 240
# programs: usbredir-host

# le BYTES NUMBER...: numbers, little-endian.
le() {
    local bytes=$1 number byte
    shift
    for number; do
        for ((byte = 0; byte < bytes; byte++)); do
            # shellcheck disable=SC2059 # the bytes
            printf "\\x$(printf %02x $((number >> 8 * byte & 0xff)))"
        done
    done
}

# A program of one section (Microsoft's PE format, "PE32+"), which prints the text at its end to the debug port and leaves
# QEMU by its exit port: lea rsi,[rip+text]; next: lodsb; test al,al; jz done; out 0xe9,al; jmp next; done: mov al,0x10;
# out 0xf4,al; stop: hlt; jmp stop
size=$((1 << 20))
program() {
    printf 'MZ%58s' '' | tr ' ' '\0'
    le 4 0x40
    printf 'PE\0\0'
    # For x86-64, with one section and an optional header of 240 bytes.
    le 2 0x8664 1
    le 4 0 0 0
    le 2 240 0x22
    # That header: where code is, how things are aligned, that it is an EFI application (10), 16 empty directories.
    le 2 0x20b 0
    le 4 $size 0 0 0x1000 0x1000
    le 8 0x400000
    le 4 0x1000 0x200 0 0 0 0 $((size + 0x1000)) 0x200 0
    le 2 10 0
    le 8 0x10000 0x1000 0x10000 0x1000
    le 4 0 16
    head -c 128 /dev/zero
    printf '.text\0\0\0'
    le 4 $size 0x1000 $size 0x200 0 0 0 0x60000020
}
text='the EFI program runs'
truncate -s $((0x200 + size)) program.efi
program | dd of=program.efi conv=notrunc status=none
{ printf '\x48\x8d\x35' && le 4 $((size - 64 - 7)) &&
    printf '\xac\x84\xc0\x74\x04\xe6\xe9\xeb\xf7\xb0\x10\xe6\xf4\xf4\xeb\xfd'; } |
    dd of=program.efi bs=512 seek=1 conv=notrunc status=none
printf '%s' "$text" | dd of=program.efi bs=64 seek=$(((0x200 + size) / 64 - 1)) conv=notrunc status=none

mkfs.vfat -C efi.disk 16384 >/dev/null
mmd -i efi.disk ::EFI ::EFI/BOOT
mcopy -i efi.disk program.efi ::EFI/BOOT/BOOTX64.EFI

usb_redir efi usb ,bootindex=0
"${QEMU[@]}" -m 256 -bios /usr/share/ovmf/OVMF.fd -debugcon file:debug -device isa-debug-exit,iobase=0xf4 \
    -serial "file:$LAB_OUT/console.log" -device qemu-xhci,id=usb "${redir[@]}" >"$LAB_OUT/qemu.log" 2>&1 &
machine=$!
wait_until 20 test -S efi.socket || fail "QEMU does not listen: $(<"$LAB_OUT/qemu.log")"
plug efi super --disk efi.disk,ro
wait_until 180 ended "$machine" || fail "the program does not run"
status=0
wait "$machine" || status=$?
expect_equal "$status" 33 "QEMU's exit status"
expect_exit 10 "${plugged[efi]}" 0 "the guest's end"
expect_equal "$(<debug)" "$text" "what the program printed"
commands=$(tshark -r "$LAB_OUT/efi.pcap" -Y 'usbms.dCBWSignature' 2>/dev/null | wc -l)
report "OVMF started a program of $((size >> 20)) MiB from the disk, after $commands commands"
