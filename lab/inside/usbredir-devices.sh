# watch: starts evtest at the device; sets reader.
watch() {
    wait_until 20 node_is "$bus_id" 'event*' || fail "no input device"
    rm -f events
    evtest --grab "/dev/input/$(node_of "$bus_id" 'event*')" >events &
    reader=$!
    wait_until 20 grep -qs Testing events || fail "evtest does not start"
}

unwatch() {
    kill "$reader"
    wait "$reader" || true
}

line_ended() {
    grep -q 'KEY_ENTER), value 0' events
}

# typed HOW: has the text typed. Sets found, what evtest makes of it.
typed() {
    watch
    ask "type_$1"
    wait_until 20 line_ended || note "the line's end is lost"
    unwatch
    found=$(read_text <events)
    lines=$((lines + 1))
}

# count_missing SPEED: adds to missing how many characters of the text were not found. What was found is in its order.
count_missing() {
    local rest=$found place
    for ((place = 0; place < ${#text}; place++)); do
        if [[ ${rest::1} == "${text:place:1}" ]]; then rest=${rest:1}; fi
    done
    [[ -z $rest ]] || fail "the text at $1 speed: found '$found'"
    missing=$((missing + ${#text} - ${#found}))
}

# keyboard SPEED RATE
keyboard() {
    local light found again=2
    note "a keyboard at $1 speed"
    ask plug "$1" "$1" --keys keys
    await_device_at "$2" 03 01
    typed at_once
    # On EHCI and UHCI QEMU may stop receiving for a moment, and loses what it has not passed on: often at once, and where
    # the machine is busy at a person's speed too, for which there is another try.
    [[ $1 != super ]] || expect_equal "$found" "$text" "the text at once at $1 speed"
    count_missing "$1"
    report "$1 speed: ${#found} of ${#text} characters at once"
    typed slowly
    while [[ $found != "$text" && $1 != super ]] && ((again-- > 0)); do
        count_missing "$1"
        report "$1 speed: ${#found} of ${#text} characters at twenty a second, and again"
        typed slowly
    done
    expect_equal "$found" "$text" "the text at $1 speed"
    light=$(compgen -G "/sys/bus/usb/devices/$bus_id:1.0/*/input/input*/input*::capslock")
    echo 1 >"$light/brightness"
    ask lit "$1" caps-lock
    echo 0 >"$light/brightness"
    ask lit "$1" none
    ask unplug "$1"
}

# moves COUNT: so many reports of the tablet have come.
moves() {
    (($(grep -c SYN_REPORT events) >= $1))
}

tablet() {
    local count=0 place
    note "a tablet at $1 speed"
    ask plug "$1" "$1" --tablet motions
    await_device_at "$2" 03 00
    watch
    for place in '1 2' '32767 32767' '16384 0' '12345 6789'; do
        # shellcheck disable=SC2086 # words
        ask move $place
        count=$((count + 1))
        wait_until 20 moves "$count" || fail "nothing comes of '$place' at $1 speed"
    done
    unwatch
    expect_equal "$(read_reports <events | paste -sd ';')" \
        'ABS_X 1 ABS_Y 2;ABS_X 32767 ABS_Y 32767;ABS_X 16384 ABS_Y 0;ABS_X 12345 ABS_Y 6789' "the reports at $1 speed"
    ask unplug "$1"
}

# plug_serial SPEED RATE [OPTION...]: sets tty to the open port. What is sent comes back.
plug_serial() {
    local node
    ask plug "$1" "$1" --serial "${@:3}"
    await_device_at "$2" 02
    wait_until 20 node_is "$bus_id" 'ttyACM*' || fail "no serial port"
    node=/dev/$(node_of "$bus_id" 'ttyACM*')
    exec {tty}<>"$node"
    stty -F "$node" raw -echo
    ask loop_back "$1"
}

unplug_serial() {
    exec {tty}>&-
    ask unplug "$1"
}

# serial SPEED RATE MEGABYTES
serial() {
    local tty writer started tenths
    note "a serial port at $1 speed"
    plug_serial "$1" "$2"
    head -c "$3M" /dev/urandom >sent
    started=${EPOCHREALTIME/./}
    cat sent >&"$tty" &
    writer=$!
    head -c "$3M" <&"$tty" >received
    tenths=$(tenths_since "$started")
    expect_exit 10 "$writer" 0 "the writer"
    cmp sent received || fail "$3 MB came back changed at $1 speed"
    report "$3 MB there and back at $1 speed in $((tenths / 10)).$((tenths % 10)) s"
    unplug_serial "$1"
}

# QEMU has the input of a few serial converters polled for it. A CP2102 by its numbers is one; the class's driver takes it
# where its own is not there. When the guest stops reading, QEMU loses what it has polled, so there is never much of it.
converter() {
    local tty piece
    note "a serial converter"
    echo 'blacklist cp210x' >>/etc/modprobe.d/lab.conf
    plug_serial high 480 --id 10c4:ea60
    for piece in {1..50}; do
        head -c 1000 /dev/urandom >sent
        cat sent >&"$tty"
        timeout --foreground 10 head -c 1000 <&"$tty" >received || fail "piece $piece of 1000 bytes does not come back whole"
        cmp sent received || fail "piece $piece came back changed"
    done
    report "50 times 1000 bytes there and back by buffered bulk"
    unplug_serial high
}

# The first port that is opened is the terminal of this session, and carrier that goes ends sessions.
trap '' HUP
modprobe -a xhci-pci ehci-pci uhci-hcd usbhid hid-generic evdev input-leds cdc-acm usb-storage sd-mod

text='The quick brown fox, 0123456789 times: ~!@#$%^&*()_+{}|:"<>?'
text+=" \`-=[]\\;',./ jumps OVER the LAZY dog."
printf '%s\n' "$text" >/lab/text
lines=0 missing=0
keyboard super 5000
keyboard high 480
keyboard full 12
keyboard low 1.5
echo "$lines $missing" >/lab/typed
report "${#text} characters at twenty a second at super, high, full and low speed, and the light of caps lock"

tablet super 5000
tablet high 480
tablet full 12

serial super 5000 10
serial high 480 10
serial full 12 2

converter

note "a disk at full speed"
ask plug full full --disk full.disk,ro
await_device_at 12 08
disk=$(block_device "$bus_id")
[[ -b $disk ]] || wait_until 30 test -n "$(block_device "$bus_id")"
disk=$(block_device "$bus_id")
expect_equal "$(sha256sum <"$disk" | cut -d ' ' -f 1)" "$(</lab/full.sum)" "the disk at full speed"
ask unplug full
