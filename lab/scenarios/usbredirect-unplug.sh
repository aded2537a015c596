# about: a device of QEMU's that Debian's usbredirect gives to our guest is unplugged, and the kernel asks it for something
# where: host
# guest: yes
# timeout: 240
# programs: usbredir-guest
# allow-log: reset .*[Ss]peed|Buffer I/O error|I/O error

head -c 16M /dev/urandom >stick.disk

plug_stick() {
    echo "device_add usb-storage,id=stick,drive=stick,bus=xhci.0" >&"$monitor"
}

unplug_stick() {
    echo "device_del stick" >&"$monitor"
}

boot_guest -device qemu-xhci,id=xhci -drive file=stick.disk,if=none,id=stick,format=raw
cp "$(command -v usbredir-guest)" "$share/.job/bin/"
await_inside 200
