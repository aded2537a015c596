# about: SeaBIOS boots, through QEMU's usb-redir and our bridge, from a disk that usbip-server exports
# tier: fast
# where: host
# timeout: 60
# programs: usbip-server bridge

# See usbredir-boot for the program: here it only prints the second sector and leaves.
boot_sector='\x31\xc0\x8e\xd8\x8e\xc0\xfc\xb8\x01\x02\xb9\x02\x00\xb6\x00\xbb\x00\x7e\xcd\x13\x72\x10'
boot_sector+='\xbe\x00\x7e\xac\x84\xc0\x74\x04\xe6\xe9\xeb\xf7\xb0\x10\xe6\xf4\xf4\xeb\xfd'
text='the boot sector runs over two wires'

truncate -s 1M disk.img
# shellcheck disable=SC2059 # the bytes
printf "$boot_sector" | dd of=disk.img conv=notrunc status=none
printf '\x55\xaa' | dd of=disk.img bs=1 seek=510 conv=notrunc status=none
printf '%s' "$text" | dd of=disk.img bs=512 seek=1 conv=notrunc status=none

usbip-server --listen unix:usbip.socket --disk disk.img,ro >server.log &
server=$!
wait_until 10 test -S usbip.socket || fail "usbip-server does not listen"
"${QEMU[@]}" -debugcon file:debug -device isa-debug-exit,iobase=0xf4 -device qemu-xhci,id=usb \
    -chardev socket,id=redirected,path=usb.socket,server=on,wait=on \
    -device "usb-redir,chardev=redirected,bus=usb.0,bootindex=0,pcap=$LAB_OUT/bridge.pcap" >"$LAB_OUT/qemu.log" 2>&1 &
machine=$!
wait_until 20 test -S usb.socket || fail "QEMU does not listen"
bridge to-usbredir unix:usbip.socket 1-1 unix:usb.socket >bridge.log &
bridge=$!
status=0
wait_until 30 ended "$machine" || fail "the boot sector does not run"
wait "$machine" || status=$?
expect_equal "$status" 33 "QEMU's exit status"
expect_equal "$(<debug)" "$text" "what the boot sector read"
expect_exit 10 "$bridge" 0 "the guest's end"
kill "$server"
expect_exit 10 "$server" 0 "the server's end"
