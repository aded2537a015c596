# What the scenarios on the host use, beside common/lib.sh; the lab boots its guest by it too.

# Always software emulation: virtualisation may be there and still not work, and figures must not depend on it.
# The CPU does not offer the kernel to copy memory by "rep movsb", which emulation takes byte by byte: several times
# slower than copying by words, while a real CPU is faster by it.
QEMU=(qemu-system-x86_64 -machine q35,accel=tcg -cpu "${LAB_CPU:-max,-erms,-fsrm}" -nodefaults -display none -no-reboot)

# What the guest's kernel is told. Where the machine is busy the emulated timer comes late, and the kernel, which tests it, gives up.
GUEST_KERNEL_WORDS='console=ttyS0 quiet panic=-1 mitigations=off no_timer_check log_buf_len=8M printk.devkmsg=on'

# boot_guest QEMU_ARGUMENT...: boots the guest, with devices of the scenario's choice, to run inside/NAME.sh there as a
# scenario, with the programs under test. Sets machine, and share: a folder that both sides have, /lab in the guest. QEMU's
# monitor reads monitor.in. As "as=WORD boot_guest ..." it is a machine beside another, and runs inside/NAME-WORD.sh; as
# "systemd=yes boot_guest ..." systemd is its process 1.
boot_guest() {
    local inside as=${as:+-$as} systemd=${systemd:+ lab.systemd}
    share=$LAB_SCRATCH/share$as
    inside=$(dirname "$LAB_SCENARIOS")/inside
    mkdir -p "$share/.job/bin" "$share/.job/scenarios" "$share/$name"
    cp -r "$(dirname "$LAB_SCENARIOS")/common" "$(dirname "$LAB_SCENARIOS")/guest" "$share/.job/"
    cp -r "$LAB_BIN/." "$share/.job/bin/"
    # With the header of the scenario, which says what its kernel may log.
    { sed '/^# /!q' "$LAB_SCENARIOS/$name.sh" && cat "$inside/$name$as.sh"; } >"$share/.job/scenarios/$name.sh"
    echo "$name 3600" >"$share/.job/queue"
    mkfifo "monitor$as.in" "monitor$as.out"
    # Held open, or QEMU would wait for somebody to write.
    exec {monitor}<>"monitor$as.in" {monitor_output}<>"monitor$as.out"
    "${QEMU[@]}" -m 1024 -kernel "$LAB_GUEST_IMAGE/vmlinuz" -initrd "$LAB_GUEST_IMAGE/initrd" \
        -append "$GUEST_KERNEL_WORDS$systemd" \
        -drive "file=$LAB_GUEST_IMAGE/root.ext4,if=none,id=root,format=raw,snapshot=on,cache=unsafe" \
        -device virtio-blk-pci,drive=root -device virtio-rng-pci \
        -virtfs "local,path=$share,mount_tag=job,security_model=none" \
        -serial "file:$LAB_OUT/console$as.log" -chardev "pipe,id=monitor,path=monitor$as" -mon chardev=monitor "$@" \
        >"$LAB_OUT/qemu$as.log" 2>&1 &
    machine=$!
}

# open_qmp: sets qmp to QEMU's arguments for a monitor that programs use, for a machine to be booted.
open_qmp() {
    mkfifo qmp.in qmp.out
    exec {qmp_in}<>qmp.in {qmp_out}<>qmp.out
    echo '{"execute": "qmp_capabilities"}' >&"$qmp_in"
    qmp=(-chardev pipe,id=qmp,path=qmp -mon chardev=qmp,mode=control)
}

# point X Y [DOWN]: where the machine's tablet points to, and whether its button is down: true or false.
point() {
    local events="{\"type\": \"abs\", \"data\": {\"axis\": \"x\", \"value\": $1}}"
    events+=", {\"type\": \"abs\", \"data\": {\"axis\": \"y\", \"value\": $2}}"
    [[ -z ${3-} ]] || events+=", {\"type\": \"btn\", \"data\": {\"button\": \"left\", \"down\": $3}}"
    echo "{\"execute\": \"input-send-event\", \"arguments\": {\"events\": [$events]}}" >&"$qmp_in"
}

# await_inside SECONDS: waits for inside/NAME.sh to end well. What it asks for by "ask FUNCTION WORD..." is done meanwhile.
await_inside() {
    local asked words
    local -i end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    until [[ -e $share/$name/status ]]; do
        ((${EPOCHREALTIME/./} < end)) || fail "the guest is not done after $1 s: $(tail -n 1 "$share/$name/log")"
        ! ended "$machine" || fail "the guest died: $(tail -n 1 "$LAB_OUT/console.log" | tr -d '\r')"
        for asked in "$share"/ask-*; do
            [[ -e $asked ]] || continue
            read -ra words <<<"${asked##*/ask-}"
            "${words[@]}"
            rm "$asked"
        done
        pause 0.1
    done
    mkdir -p "$LAB_OUT/inside"
    cp -r "$share/$name/." "$LAB_OUT/inside/"
    [[ ! -e $share/$name/report ]] || cat "$share/$name/report" >>"$LAB_OUT/report"
    [[ $(<"$share/$name/status") == pass* ]] || fail "inside: $(cat "$share/$name/reason")"
    wait_until 30 ended "$machine" || fail "the guest does not power off"
}

# plug PLACE SPEED DEVICE...: our usbredir-host gives a device, at this speed, to the machine's usb-redir that waits at
# PLACE.socket. Its output is host-PLACE.log.
plug() {
    local place=$1 speed=$2
    shift 2
    usbredir-host --connect "unix:$place.socket" "$@" --speed "$speed" >"host-$place.log" &
    plugged[$place]=$!
    wait_until 20 grep -q '^attached: ' "host-$place.log" || fail "no device at $place: $(<"host-$place.log")"
}

declare -A plugged

# unplug PLACE
unplug() {
    kill -TERM "${plugged[$1]}"
    expect_exit 20 "${plugged[$1]}" 0 "unplugging at $1"
    cat "host-$1.log"
}

# usb_redir PLACE BUS [PROPERTIES]: sets redir to QEMU's arguments for a usb-redir at a bus that waits at PLACE.socket, and
# records its transfers.
usb_redir() {
    redir=(
        -chardev "socket,id=$1,path=$1.socket,server=on,wait=off"
        -device "usb-redir,id=redir-$1,chardev=$1,bus=$2.0,pcap=$LAB_OUT/$1.pcap${3:-}"
    )
}
