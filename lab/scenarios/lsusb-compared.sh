# about: every USB device that QEMU has and the kernel's gadgets at each speed: no byte lost, built again, shown as lsusb -v shows it
# boot: own
# timeout: 900
# devices: -device qemu-xhci,id=xhci,p2=15,p3=15 -device usb-ehci,id=ehci -device piix3-usb-uhci,id=uhci -chardev file,id=port,path=/dev/null -chardev file,id=lines,path=/dev/null -audiodev none,id=none -drive file=GUEST/initrd,if=none,id=d1,format=raw,snapshot=on -drive file=GUEST/initrd,if=none,id=d2,format=raw,snapshot=on -drive file=GUEST/initrd,if=none,id=d3,format=raw,snapshot=on -drive file=GUEST/initrd,if=none,id=d4,format=raw,snapshot=on -drive file=GUEST/initrd,if=none,id=d5,format=raw,snapshot=on -device usb-kbd,bus=xhci.0 -device usb-mouse,bus=xhci.0 -device usb-tablet,bus=xhci.0 -device usb-storage,bus=xhci.0,drive=d1 -device usb-bot,id=bot,bus=xhci.0 -device scsi-hd,bus=bot.0,drive=d2 -device usb-uas,id=uas,bus=xhci.0 -device scsi-hd,bus=uas.0,drive=d3 -device usb-serial,bus=xhci.0,chardev=port -device usb-braille,bus=xhci.0,chardev=lines -device usb-net,bus=xhci.0 -device usb-ccid,bus=xhci.0 -device usb-mtp,bus=xhci.0,rootdir=/usr/share/zoneinfo/Europe -device usb-audio,bus=xhci.0,audiodev=none -device usb-audio,bus=xhci.0,audiodev=none,multi=on -device usb-wacom-tablet,bus=xhci.0 -device usb-hub,bus=xhci.0 -device usb-storage,bus=ehci.0,drive=d4 -device usb-uas,id=uas2,bus=ehci.0 -device scsi-hd,bus=uas2.0,drive=d5 -device usb-mouse,bus=uhci.0
# programs: describe lab-probe
# allow-log: usbip-host .*: reset
# allow-log: usb .*: Int endpoint with wBytesPerInterval of 0

# Of QEMU's devices these are left out: usb-redir and usb-host, which are other devices, and u2f-passthru, which wants a key of
# the machine.
QEMU_DEVICES=18
# Their isochronous endpoints exist on the controller of usbip-vudc alone, which has no SuperSpeed.
ISOCHRONOUS='uac1 uac2 uvc'
# At each speed, and at high speed alone.
GADGETS='acm ncm mass_storage hid midi ecm rndis'
# Beside these there are obex, which hosts see once a program has opened its port, phonet and ffs.
MORE_GADGETS='eem printer gser geth Loopback SourceSink'

# The differences there may be, as extended regular expressions of DEVICE lsusb|ours: TITLE: FIELD. Each must still occur.
allowed() {
    sed -n 's/^    //p' <<'END'
# A line of its own that no descriptor has.
    [^ ]* lsusb:  Device: ID .*
# Release 014 does not name class 0, releases from 015 on say [unknown].
    [^ ]* lsusb: (Device|Device Qualifier.*): bDeviceClass 0
    [^ ]* ours: (Device|Device Qualifier.*): bDeviceClass 0 \[unknown\]
# It asks for a qualifier where bcdUSB is 2.00 alone, and leaves out the last byte.
    [^ ]* ours: Device Qualifier.*:( (bLength 10|bDescriptorType 6|bcdUSB 2.10|bDevice(SubClass|Protocol) 0|bMaxPacketSize0 64|bNumConfigurations 1))?
    [^ ]* ours: Device Qualifier.*: bReserved 0
# It leaves out lengths and types of CDC's descriptors and of what belongs to an endpoint, and shows of those what it shows as
# fields of the endpoint.
    [^ ]* ours: CDC [^:]*: (bLength|bDescriptorType|bDescriptorSubtype) .*
    [^ ]* ours: SuperSpeed Endpoint Companion:.*
    [^ ]* lsusb: Endpoint: (bMaxBurst|MaxStreams) .*
    [^ ]* ours: Pipe Usage:.*
    [^ ]* lsusb: Endpoint: (Command|Status|Data-in|Data-out) pipe \(0x0[1-4]\)
# It has a unit behind some values, and some names in parentheses.
    [^ ]* lsusb: SuperSpeed USB Device Capability: bU[12]DevExitLat [0-9]* micro seconds
    [^ ]* ours: SuperSpeed USB Device Capability: bU[12]DevExitLat [0-9]*
    [^ ]* lsusb: AudioStreaming Interface: bDelay [0-9]* frames
    [^ ]* ours: AudioStreaming Interface: bDelay [0-9]*
    [^ ]* lsusb: AudioStreaming Interface: bFormatType 1 \(FORMAT_TYPE_I\)
    [^ ]* ours: AudioStreaming Interface: bFormatType 1 FORMAT_TYPE_I
# Protocols that its table of names lacks.
    [^ ]* lsusb: (Device: bDeviceProtocol 3|Interface: bInterfaceProtocol 98|Interface.*: b(Function|Interface)SubClass 13)
    [^ ]* ours: (Device: bDeviceProtocol 3 USB 3.0 hub|Interface: bInterfaceProtocol 98 USB Attached SCSI)
    [^ ]* ours: Interface.*: b(Function|Interface)SubClass 13 Network Control Model
# It writes these in hexadecimal without 0x, and the bytes on one line.
    geth-[^ ]* lsusb: CDC MDLM detail: (bGuidDescriptorType 00|bDetailData 00 00)
    geth-[^ ]* ours: CDC MDLM detail: (bGuidDescriptorType 0x00|bDetailData 00)
# Of audio class 2 it names no categories, and says of a clock's kind in one line what we say in two.
    uac2-[^ ]* lsusb: AudioControl Interface: (bCategory 8|bmAttributes 1 Internal fixed clock)
    uac2-[^ ]* ours: AudioControl Interface: (bCategory 8 I/O box|bmAttributes 0x01|Internal fixed)
# Of video it has a unit, eight digits of controls, names in parentheses; and leaves out what belongs to an endpoint.
    uvc-[^ ]* lsusb: VideoControl Interface: (dwClockFrequency 48.000000MHz|bmControls 0x0000000[12])
    uvc-[^ ]* ours: VideoControl Interface: (dwClockFrequency 48000000|bmControls 0x(000002|0001))
    uvc-[^ ]* ours: VideoControl Endpoint:.*
    uvc-[^ ]* lsusb: VideoStreaming Interface: (bFlags 0|b(ColorPrimaries|TransferCharacteristics|MatrixCoefficients) . \(.*\))
    uvc-[^ ]* ours: VideoStreaming Interface: (bFlags 0x00|b(ColorPrimaries|TransferCharacteristics|MatrixCoefficients) . [^(].*)
# It reads this bit of MJPEG the other way round than of uncompressed video. Both payload specifications have 0 for two fields.
    uvc-[^ ]* lsusb: VideoStreaming Interface: Fields per frame: 1 fields
    uvc-[^ ]* ours: VideoStreaming Interface: Fields per frame: 2 fields
# QEMU's sound card states protocol 4, which Linux takes for audio class 1, as we do, and lsusb for a later one.
# It is the one feature unit, shown as a selector with bytes behind it.
    QEMU-USB-Audio-[^ ]* lsusb: AudioControl Interface: (bDescriptorSubtype 6 \(SELECTOR_UNIT\)|bNrInPins 1|baSourceID 2|iSelector 1 QEMU)
    QEMU-USB-Audio-[^ ]* lsusb: Warning: Junk at end of descriptor \((6|18) bytes\):( 00 02)*( 00 07)?
    QEMU-USB-Audio-[^ ]* ours: AudioControl Interface: (bDescriptorSubtype 6 \(FEATURE_UNIT\)|bSourceID 1|bControlSize 2|bmaControls 0x000[12])
    QEMU-USB-Audio-[^ ]* ours: AudioControl Interface: ((Mute|Volume) Control|iFeature 7 Audio Output Volume Control)
# Of a reader it writes what bits mean behind the value, in digits of its own choice.
    QEMU-USB-CCID-[^ ]* lsusb: ChipCard Interface: bcdCCID 1.10 \(Warning: Only accurate for version 1.0\)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: bcdCCID 1.10
    QEMU-USB-CCID-[^ ]* lsusb: ChipCard Interface: (bVoltageSupport 7 5.0V 3.0V 1.8V|bPINSupport 1 verification|dwProtocols 1 T=0)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: (bVoltageSupport 0x07|5.0V|3.0V|1.8V|bPINSupport 0x01|verification|dwProtocols 0x00000001|T=0)
    QEMU-USB-CCID-[^ ]* lsusb: ChipCard Interface: (dwDataRate 9600 bps|dwMaxDataRate 115200 bps|bNumDataRatesSupp. 0)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: (dwDataRate 9600|dwMaxDataRate 115200|bNumDataRatesSupp 0)
    QEMU-USB-CCID-[^ ]* lsusb: ChipCard Interface: (dwSyncProtocols 00000000|dwMechanical 00000000|dwFeatures 000104FE)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: (dwSyncProtocols 0x00000000|dwMechanical 0x00000000|dwFeatures 0x000104fe)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: Auto PPS made by CCID
    QEMU-USB-CCID-[^ ]* lsusb: ChipCard Interface: (bClassGetResponse echo|bClassEnvelope echo|wlcdLayout none)
    QEMU-USB-CCID-[^ ]* ours: ChipCard Interface: (bClassGetResponse 0xff|bClassEnvelope 0xff|wlcdLayout 0x0000)
# Hubs are not to be had through usbip-host, and the kernel has no file with the BOS.
    xHCI-Host-Controller-usb2 lsusb: (Binary Object Store|SuperSpeed USB Device Capability):.*
END
}

devices=$LAB_OUT/devices
mkdir "$devices"
differing=$LAB_OUT/differences
: >"$differing"

# lines FILE: one for each title and each field, with the title that it stands below. One space is between words, and there are
# no places of values that repeat. What is no descriptor of this speed is left out: lsusb asks for none of the other, and
# neither the device's status nor what a hub or a report descriptor says is ours to fetch.
# shellcheck disable=SC2016 # awk's own variables
lines() {
    awk '
        /^(error|warning|info): |^at .* errors?,/ { next }
        { indent = match($0, /[^ ]/); gsub(/[ \t]+/, " "); sub(/^ /, ""); sub(/ $/, "") }
        /^$/ { next }
        skipping && indent > skipping { next }
        { skipping = 0 }
        /^(Device Status|Report Descriptors|Hub Descriptor|Hub Port Status):/ { skipping = indent; next }
        /^[^ ].*:$/ && indent < 4 { other = /^Other Speed/ }
        other { next }
        /:$/ { sub(/ Descriptor:$/, ":"); title = $0; print; next }
        { sub(/ ?[[(] ?[0-9]+[])]/, ""); print title " " $0 }
    ' "$1"
}

# compare NAME TEXT: what describe says with what lsusb says.
compare() {
    diff --old-line-format="$1 lsusb: %L" --new-line-format="$1 ours: %L" --unchanged-line-format= \
        <(lines "$devices/$1.lsusb") <(lines "$2") >>"$differing" || true
}

# look NAME BUS_ID: keeps what the kernel has of a device and what lsusb says of it. The counts are the kernel's too.
look() {
    local name=$1 folder=/sys/bus/usb/devices/$2 counts=$devices/$1.counts kernel
    cat "$folder/descriptors" >"$devices/$name.bin"
    lsusb -v -D "/dev/bus/usb/$(printf '%03d/%03d' "$(<"$folder/busnum")" "$(<"$folder/devnum")")" >"$devices/$name.lsusb"
    describe "$folder" >"$devices/$name.sysfs" || true
    lab-probe corpus "$devices/$name.bin" "$(<"$folder/speed")" >"$counts" || fail "$name: $(<"$counts")"
    kernel=$(tr -d ' ' <"$folder/bNumConfigurations")
    [[ $(<"$counts") == "$kernel configurations, $kernel of them built again, "* ]] || fail "$name: $(<"$counts")"
    note "$name: $(<"$counts")"
}

# judge NAME BUS_ID: and asks the device itself, through usbip-host, which takes no hubs.
judge() {
    look "$@"
    if [[ $(<"/sys/bus/usb/devices/$2/bDeviceClass") == 09 ]]; then
        compare "$1" "$devices/$1.sysfs"
        return
    fi
    usbip bind -b "$2" 2>/dev/null
    describe "$2@tcp:127.0.0.1" >"$devices/$1.describe" || true
    usbip unbind -b "$2" 2>/dev/null
    compare "$1" "$devices/$1.describe"
}

modprobe -a xhci-pci ehci-pci uhci-hcd libcomposite usbip-host
usbipd >usbipd.log 2>&1 &

note "QEMU's devices"
qemu_devices() {
    local folder
    for folder in /sys/bus/usb/devices/*-*; do
        [[ -e $folder/descriptors && $folder != *:* ]] && echo "${folder##*/}"
    done
}
all_there() {
    (($(qemu_devices | wc -l) == QEMU_DEVICES))
}
wait_until 60 all_there || fail "QEMU's devices: $(lsusb)"
udevadm settle
for bus_id in usb1 usb2 usb3 usb4 $(qemu_devices); do
    judge "$(tr ' /' -- <"/sys/bus/usb/devices/$bus_id/product")-$bus_id" "$bus_id"
done

root=/sys/kernel/config/usb_gadget
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
head -c 1M /dev/zero >disk.img

# make FUNCTION SPEED CONTROLLER: the gadget, with what makes the function complete.
make() {
    local function=$1 gadget=$root/$1-$2 folder=$root/$1-$2/functions/$1.0 frame speed
    mkdir -p "$gadget/strings/0x409" "$gadget/configs/c.1/strings/0x409" "$folder"
    echo 0x1d6b >"$gadget/idVendor"
    echo 0x0104 >"$gadget/idProduct"
    echo lab >"$gadget/strings/0x409/manufacturer"
    echo "$function" >"$gadget/strings/0x409/product"
    echo described >"$gadget/configs/c.1/strings/0x409/configuration"
    echo "$2" >"$gadget/max_speed"
    case $function in
        hid)
            echo 1 >"$folder/protocol"
            echo 1 >"$folder/subclass"
            echo 8 >"$folder/report_length"
            printf '\x05\x01\x09\x06\xa1\x01\xc0' >"$folder/report_desc"
            ;;
        mass_storage) echo "$PWD/disk.img" >"$folder/lun.0/file" ;;
        uvc)
            mkdir -p "$folder"/streaming/{uncompressed/u/360p,mjpeg/m/720p,header/h} "$folder/control/header/h"
            for frame in uncompressed/u/360p mjpeg/m/720p; do
                cat <<<$'666666\n1000000\n5000000' >"$folder/streaming/$frame/dwFrameInterval"
            done
            ln -s "$folder/streaming/uncompressed/u" "$folder/streaming/mjpeg/m" "$folder/streaming/header/h/"
            for speed in fs hs ss; do ln -s "$folder/streaming/header/h" "$folder/streaming/class/$speed/"; done
            for speed in fs ss; do ln -s "$folder/control/header/h" "$folder/control/class/$speed/"; done
            ;;
    esac
    ln -s "$folder" "$gadget/configs/c.1/"
    echo "$3" >"$gadget/UDC"
}

unmake() {
    local gadget=$root/$1-$2
    echo >"$gadget/UDC"
    rm "$gadget/configs/c.1/$1.0"
    case $1 in
        uvc) ;;
        *) rmdir "$gadget/functions/$1.0" ;;
    esac
}

# gadget_there: sets bus_id.
gadget_there() {
    bus_id=$(grep -lx 0104 /sys/bus/usb/devices/*/idProduct) || return 1
    bus_id=$(basename "$(dirname "$bus_id")")
    [[ -e /sys/bus/usb/devices/$bus_id:1.0 ]]
}
no_gadget() {
    ! gadget_there
}

note "gadgets at each speed"
modprobe dummy_hcd is_super_speed=1
# on_dummy SPEED FUNCTION...
on_dummy() {
    local speed=$1 function
    shift
    for function; do
        make "$function" "$speed" dummy_udc.0
        wait_until 30 gadget_there || fail "$function does not appear at $speed"
        udevadm settle
        judge "$function-$speed" "$bus_id"
        unmake "$function" "$speed"
        wait_until 20 no_gadget || fail "$function does not go"
    done
}
# shellcheck disable=SC2086 # lists
{
    on_dummy full-speed $GADGETS
    on_dummy high-speed $GADGETS $MORE_GADGETS
    on_dummy super-speed $GADGETS
}

note "gadgets with isochronous endpoints"
load_vhci
modprobe usbip-vudc num=1
# Without drivers of the host: usbip-vudc reads through a null pointer where a gadget takes back a request, which snd-usb-audio
# makes that of sound do, and the kernel is dead.
for folder in /sys/bus/usb/devices/usb*; do echo 0 >"$folder/interface_authorized_default"; done
usbipd --device --tcp-port 3241 >usbipd-device.log 2>&1 &
offered() {
    cat /sys/devices/platform/usbip-vudc.0/dev_desc >/dev/null 2>&1
}
for function in $ISOCHRONOUS; do
    for speed in full-speed high-speed; do
        make "$function" "$speed" usbip-vudc.0
        if [[ $function == uvc ]]; then
            # It is there for hosts once a program waits for their requests: UVC_EVENT_SETUP.
            wait_until 10 compgen -G '/dev/video*' >/dev/null || fail "no video device"
            v4l2-ctl -d "$(compgen -G '/dev/video*' | tail -n 1)" --wait-for-event=$((0x08000004)) &
            waiter=$!
        fi
        wait_until 20 offered || fail "$function is not to be had at $speed"
        usbip --tcp-port 3241 attach -r 127.0.0.1 -d usbip-vudc.0
        wait_until 60 gadget_there || fail "$function does not appear at $speed"
        udevadm settle
        used_port
        look "$function-$speed" "$bus_id"
        detach_port "$port"
        wait_until 20 port_free "$port" || fail "port $port is not free"
        describe usbip-vudc.0@tcp:127.0.0.1:3241 >"$devices/$function-$speed.describe" || true
        compare "$function-$speed" "$devices/$function-$speed.describe"
        [[ $function != uvc ]] || kill "$waiter"
        unmake "$function" "$speed"
    done
done

note "differences"
grep -vxEf <(allowed) "$differing" >"$LAB_OUT/unlisted" || (($? == 1))
[[ ! -s $LAB_OUT/unlisted ]] || fail "lsusb says otherwise: $(wc -l <"$LAB_OUT/unlisted") lines, first: $(head -n 1 "$LAB_OUT/unlisted")"
allowed | while read -r pattern; do
    grep -qxE "$pattern" "$differing" || fail "no longer different: $pattern"
done
report "$(find "$devices" -name '*.bin' | wc -l) devices: no byte lost, each built again, $(cat "$devices"/*.lsusb | wc -l) lines of lsusb -v, of which" \
    "$(grep -c ' lsusb: ' "$differing") differ as listed"
