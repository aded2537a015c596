# about: Linux under QEMU uses our keyboard, tablet, serial port and disk through usb-redir, on xHCI, EHCI and UHCI
# where: host
# guest: yes
# timeout: 500
# programs: usbredir-host

# A session whose first terminal goes is ended with it.
trap '' HUP
declare -A controller=([super]=xhci [high]=ehci [full]=uhci [low]=uhci)
mb=$((1024 * 1024))
mkfifo keys motions
exec {keys}<>keys {motions}<>motions
head -c $((4 * mb)) /dev/urandom >full.disk

# With a line's end; the text comes by the shared folder.
type_at_once() {
    cat "$share/text" >&"$keys"
}

# As a person does, at twenty keys a second.
type_slowly() {
    local character
    while IFS= read -r -n 1 -d '' character; do
        printf '%s' "$character" >&"$keys"
        pause 0.05
    done <"$share/text"
}

# lit SPEED LIGHTS...
lit() {
    wait_until 20 ends_with "host-$1.log" "leds: ${*:2}" || fail "no lights '${*:2}': $(<"host-$1.log")"
}

ends_with() {
    [[ $(tail -n 1 "$1") == "$2" ]]
}

move() {
    echo "$*" >&"$motions"
}

# Gives back what comes out of the serial port.
loop_back() {
    local line
    exec {line}<>"$(sed -n 's/^serial port at //p' "host-$1.log")"
    cat <&"$line" >&"$line" &
}

redirected=()
for speed in super high full low; do
    usb_redir "$speed" "${controller[$speed]}" ,debug=4
    redirected+=("${redir[@]}")
done
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci -device piix3-usb-uhci,id=uhci "${redirected[@]}"
sha256sum <full.disk | cut -d ' ' -f 1 >"$share/full.sum"
await_inside 450

# logged PATTERN: how many lines of QEMU's there are.
logged() {
    grep -acE "$1" "$LAB_OUT/qemu.log" || true
}

# Each key is pressed and released. QEMU has got each report, and those it has not passed on to the guest are what is
# missing there.
read -r lines missing <"$share/typed"
got=$(logged 'interrupt-in status 0 ep 81 len 8 ')
passed=$(logged 'interrupt-token-in ep 81 summary status 0 len 8$')
expect_equal "$got" $((2 * lines * $(wc -m <"$share/text"))) "reports of keyboards that QEMU has got"
note "$((got - passed)) reports are not passed on, $missing characters missing"
((missing <= got - passed)) || fail "$missing characters are missing, $((got - passed)) reports"
polled=$(logged 'buffered-bulk-in status 0 ep 81 ')
((polled >= 50 * 2)) || fail "QEMU has got $polled packets of buffered bulk"
