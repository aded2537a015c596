# What the scenarios on the host use, beside common/lib.sh; the lab boots its guest by it too.

# Always software emulation: virtualisation may be there and still not work, and figures must not depend on it.
# The CPU does not offer the kernel to copy memory by "rep movsb", which emulation takes byte by byte: several times
# slower than copying by words, while a real CPU is faster by it.
QEMU=(qemu-system-x86_64 -machine q35,accel=tcg -cpu "${LAB_CPU:-max,-erms,-fsrm}" -nodefaults -display none -no-reboot)

# boot_guest QEMU_ARGUMENT...: boots the guest, with devices of the scenario's choice, to run inside/NAME.sh there as a
# scenario. Sets machine, and share: a folder that both sides have, /lab in the guest. QEMU's monitor reads monitor.in.
boot_guest() {
    local inside
    share=$LAB_SCRATCH/share
    inside=$(dirname "$LAB_SCENARIOS")/inside
    mkdir -p "$share/.job/bin" "$share/.job/scenarios" "$share/$name"
    cp -r "$(dirname "$LAB_SCENARIOS")/common" "$(dirname "$LAB_SCENARIOS")/guest" "$share/.job/"
    # With the header of the scenario, which says what its kernel may log.
    { sed '/^# /!q' "$LAB_SCENARIOS/$name.sh" && cat "$inside/$name.sh"; } >"$share/.job/scenarios/$name.sh"
    echo "$name 3600" >"$share/.job/queue"
    mkfifo monitor.in monitor.out
    # Held open, or QEMU would wait for somebody to write.
    exec {monitor}<>monitor.in {monitor_output}<>monitor.out
    "${QEMU[@]}" -m 1024 -kernel "$LAB_GUEST_IMAGE/vmlinuz" -initrd "$LAB_GUEST_IMAGE/initrd" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off log_buf_len=8M printk.devkmsg=on" \
        -drive "file=$LAB_GUEST_IMAGE/root.ext4,if=none,id=root,format=raw,snapshot=on,cache=unsafe" \
        -device virtio-blk-pci,drive=root -device virtio-rng-pci \
        -virtfs "local,path=$share,mount_tag=job,security_model=none" \
        -serial "file:$LAB_OUT/console.log" -chardev pipe,id=monitor,path=monitor -mon chardev=monitor "$@" \
        >"$LAB_OUT/qemu.log" 2>&1 &
    machine=$!
}

# await_inside SECONDS: waits for inside/NAME.sh to end well. Files of the form ask-COMMAND that it makes in the shared
# folder call the function COMMAND meanwhile, and are removed when that has returned.
await_inside() {
    local asked
    local -i end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    until [[ -e $share/$name/status ]]; do
        ((${EPOCHREALTIME/./} < end)) || fail "the guest is not done after $1 s: $(tail -n 1 "$share/$name/log")"
        ! ended "$machine" || fail "the guest died: $(tail -n 1 "$LAB_OUT/console.log" | tr -d '\r')"
        for asked in "$share"/ask-*; do
            [[ -e $asked ]] || continue
            "${asked##*/ask-}"
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
