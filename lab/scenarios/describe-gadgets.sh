# about: the kernel's own gadgets: no byte of their descriptors is lost, no error found, and lsusb -v says the same
# boot: own
# timeout: 400
# programs: describe

modprobe libcomposite
modprobe dummy_hcd is_super_speed=1 num=1
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
gadgets=/sys/kernel/config/usb_gadget

# function KIND FOLDER: what a function needs beyond its folder.
function_details() {
    local at=$2
    case $1 in
        mass_storage)
            truncate -s 1M disk.img
            echo "$PWD/disk.img" >"$at/lun.0/file"
            ;;
        hid)
            echo 1 >"$at/protocol"
            echo 1 >"$at/subclass"
            echo 8 >"$at/report_length"
            printf '\x05\x01\x09\x06\xa1\x01\x05\x07\x19\xe0\x29\xe7\x15\x00\x25\x01\x75\x01\x95\x08\x81\x02\xc0' >"$at/report_desc"
            ;;
        uvc)
            mkdir -p "$at/control/header/h" "$at/streaming/uncompressed/u/360p" "$at/streaming/mjpeg/m/720p" \
                "$at/streaming/header/h"
            for frame in "$at/streaming/uncompressed/u/360p" "$at/streaming/mjpeg/m/720p"; do
                printf '666666\n1000000\n5000000\n' >"$frame/dwFrameInterval"
            done
            ln -s "$at/streaming/uncompressed/u" "$at/streaming/header/h/u"
            ln -s "$at/streaming/mjpeg/m" "$at/streaming/header/h/m"
            for speed in fs hs ss; do ln -s "$at/streaming/header/h" "$at/streaming/class/$speed/h"; done
            for speed in fs ss; do ln -s "$at/control/header/h" "$at/control/class/$speed/h"; done
            ;;
    esac
}

# Names and values of fields, without the layout: "name value", an index without blanks in it.
fields() {
    sed -nE 's/\( *([0-9]+)\)/(\1)/; s/^ *([a-zA-Z_]+[A-Z0-9][A-Za-z0-9_]*(\([0-9]+\))?) +([^ ]+).*$/\1 \3/p' |
        sed -E 's/^(iManufacturer|iProduct|iSerial) .*/\1/'
}

kinds=0 found=0
# examine KIND SPEED: one gadget of one function, at a speed.
examine() {
    local kind=$1 speed=$2 gadget=$gadgets/g device='' bytes
    mkdir -p "$gadget/strings/0x409" "$gadget/configs/c.1/strings/0x409"
    echo 0x1d6b >"$gadget/idVendor"
    echo 0x0104 >"$gadget/idProduct"
    echo "$speed-speed" >"$gadget/max_speed"
    echo gadget >"$gadget/strings/0x409/product"
    echo one >"$gadget/configs/c.1/strings/0x409/configuration"
    mkdir "$gadget/functions/$kind.0" || fail "this kernel has no gadget function $kind"
    function_details "$kind" "$gadget/functions/$kind.0"
    ln -s "$gadget/functions/$kind.0" "$gadget/configs/c.1/"
    echo dummy_udc.0 >"$gadget/UDC"
    wait_until 20 configured || fail "$kind at $speed speed: not configured"
    device=$(dirname "$(grep -ls '^0104' /sys/bus/usb/devices/*/idProduct)")
    udevadm settle

    cat "$device/descriptors" >"$LAB_OUT/$kind-$speed.bin"
    describe "$device" >"$LAB_OUT/$kind-$speed.txt" || cat "$LAB_OUT/$kind-$speed.txt"
    describe --json "$device" >"$kind.json" || true
    # All bytes come back, in order.
    bytes=$(grep -oE '"bytes":"[0-9a-f]*"' "$kind.json" | cut -d '"' -f 4 | tr -d '\n')
    expect_equal "$bytes" "$(od -An -v -tx1 "$device/descriptors" | tr -d ' \n')" "$kind at $speed speed: bytes"
    grep -E '^(error|warning|info):' "$LAB_OUT/$kind-$speed.txt" | sed "s/^/$kind, $speed speed: /" >>"$LAB_OUT/findings" || true

    lsusb -v -s "$(<"$device/busnum"):$(<"$device/devnum")" >"$LAB_OUT/$kind-$speed.lsusb" 2>/dev/null
    fields <"$LAB_OUT/$kind-$speed.lsusb" >theirs
    fields <"$LAB_OUT/$kind-$speed.txt" >ours
    diff theirs ours >"$LAB_OUT/$kind-$speed.diff" || true
    kinds=$((kinds + 1))
    found=$((found + $(wc -l <ours)))

    echo '' >"$gadget/UDC"
    wait_until 20 gone || fail "$kind at $speed speed: it does not leave"
    rm "$gadget/configs/c.1/$kind.0"
    if [[ $kind == uvc ]]; then
        find "$gadget/functions/uvc.0" -type l -delete
        find "$gadget/functions/uvc.0" -mindepth 3 -depth -type d \( -path '*/header/h' -o -path '*/360p' -o -path '*/720p' -o -path '*/uncompressed/u' -o -path '*/mjpeg/m' \) -exec rmdir {} +
    fi
    rmdir "$gadget/functions/$kind.0"
    rmdir "$gadget/configs/c.1/strings/0x409" "$gadget/configs/c.1" "$gadget/strings/0x409" "$gadget"
}

configured() {
    grep -ls '^0104' /sys/bus/usb/devices/*/idProduct | grep -q . && compgen -G '/sys/bus/usb/devices/*:1.0' | grep -vq '/usb\|-0:'
}

gone() {
    ! grep -ls '^0104' /sys/bus/usb/devices/*/idProduct | grep -q .
}

for speed in high super; do
    for kind in mass_storage acm ncm hid midi uac1 uac2 uvc; do
        note "$kind at $speed speed"
        examine "$kind" "$speed"
    done
done
report "$kinds devices, $found fields"
