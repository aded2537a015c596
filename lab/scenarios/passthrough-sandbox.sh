# about: the server without root, with the user, rule and unit of docs/passthrough.md: a disk is read, and has its driver again
# where: host
# guest: yes
# timeout: 240
# programs: usbip-server usbip-client
# allow-log: (Buffer )?I/O error
# allow-log: usb .*: reset SuperSpeed USB device number [0-9]+ using [xv]hci_hcd
# allow-log: vhci_hcd: (urb->status -(104|108)|connection (closed|reset)|the urb \(seqnum [0-9]+\) was already given back)

page=$(dirname "$LAB_SCENARIOS")/../docs/passthrough.md

# block LANGUAGE: what stands on the page in that language.
block() {
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/ { /^\`\`\`/! p }" "$page"
}

head -c 32M /dev/urandom >stick.img
boot_guest -device qemu-xhci,id=xhci \
    -blockdev "driver=raw,node-name=medium,file.driver=file,file.filename=$PWD/stick.img" \
    -device usb-storage,id=stick,bus=xhci.0,drive=medium
sha256sum <stick.img | cut -d ' ' -f 1 >"$share/stick.sum"
block sh >"$share/user.sh"
block udev >"$share/70-usbip.rules"
block ini >"$share/unit"
await_inside 200

command -v systemd-analyze >/dev/null || fail "no systemd-analyze, to say what the unit allows"
# calls GROUP: the system calls of a group, and of the groups in it.
calls() {
    local line
    sed -n "/^$1\$/,/^\$/ p" all-groups | sed -n 's/^ \+\([@a-z0-9_-]*\)$/\1/p' | while read -r line; do
        case $line in
            @*) calls "$line" ;;
            *) echo "$line" ;;
        esac
    done
}
systemd-analyze syscall-filter >all-groups
{ calls @default && calls @system-service; } | sort -u >allowed
{ calls @privileged && calls @resources; } | sort -u >refused
(($(wc -l <allowed) > 200 && $(wc -l <refused) > 20)) || fail "systemd-analyze tells of $(wc -l <allowed) calls"
comm -23 allowed refused >permitted
beyond=$(comm -13 permitted <(sort -u "$share/calls") | paste -sd ' ')
[[ -z $beyond ]] || fail "the unit does not allow: $beyond"
report "$(wc -l <"$share/calls") system calls are used, all of them allowed"
