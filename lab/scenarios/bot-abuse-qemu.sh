# about: the host without manners on QEMU's usb-storage, to compare with: what fails there, and what QEMU itself does not survive
# tier: full
# where: host
# guest: yes
# timeout: 900
# programs: lab-abuse
# allow-log: reset .*[Ss]peed|I/O error|device offline

truncate -s 4M disk.img
mkdir -p share/.job/bin
cp "$LAB_BIN/lab-abuse" share/.job/bin/
fatal=()
# Each check that ends QEMU is left out of the next machine.
while true; do
    rm -rf monitor.in monitor.out "share/$name"
    mkdir -p "share/$name"
    printf '%s\n' "${fatal[@]}" >share/left-out
    boot_guest -device qemu-xhci,id=xhci,p2=4,p3=0 -drive file=disk.img,if=none,id=stick,format=raw \
        -device usb-storage,bus=xhci.0,drive=stick,serial=0123456789AB
    wait_until 300 ended "$machine" || fail "the machine does not end"
    [[ ! -e share/$name/status ]] || break
    # In a check, or in the recovery from one that failed.
    last=$(tail -n 1 "share/$name/checks")
    [[ $last == *': ' || $last == *': FAILED: '* || $last == '  '* ]] ||
        fail "QEMU ended without a check: $(tail -n 1 "$LAB_OUT/qemu.log")"
    last=$(grep -E '^[^ ].*: ($|FAILED)' "share/$name/checks" | tail -n 1)
    last=${last%%: *}
    fatal+=("$last")
    report "QEMU ends in \"$last\": $(tail -n 1 "$LAB_OUT/qemu.log")"
    ((${#fatal[@]} < 12)) || break
done
cp "share/$name/checks" "$LAB_OUT/"
grep -qE ': (ok$|FAILED)' "$LAB_OUT/checks" || fail "nothing was checked"
report "$(qemu-system-x86_64 --version | head -n 1): $(tail -n 1 "$LAB_OUT/checks"), ${#fatal[@]} end QEMU"
