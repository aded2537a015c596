# declared KEY: what the unit says of it.
declared() {
    sed -n "s/^$1=//p" /lab/unit
}

modprobe -a xhci-pci usb-storage sd_mod
load_vhci
wait_until 30 real_device 46f4:0001 || fail "no stick"
real=$device
wait_until 20 block_device "$real" || fail "no disk"

note "user and rule"
bash -e /lab/user.sh
cp /lab/70-usbip.rules /etc/udev/rules.d/
udevadm control --reload
udevadm trigger --subsystem-match=usb
udevadm settle
expect_equal "$(stat -c '%G %a' "$(usb_node "$real")")" "usbip 660" "who may use the node"

expect_equal "$(declared User) $(declared Group) $(declared NoNewPrivileges)" "usbip usbip yes" "the user"
expect_equal "$(declared CapabilityBoundingSet)$(declared ProtectSystem)$(declared DevicePolicy)" "strictclosed" "limits"
ln -s "$(command -v usbip-server)" /usr/local/bin/usbip-server
mkdir -m 777 /run/trace
read -ra start <<<"$(declared ExecStart)"

# What the unit declares, as far as there are tools for it: nothing can be written but what the scenario wants to know,
# and there are no devices but those of the USB.
cat >/run/shut-in <<'END'
set -e
mount --bind /run/trace /run/trace
mount -t tmpfs tmpfs /root
mkdir -p /run/usb
mount --bind /dev/bus/usb /run/usb
mount -t tmpfs tmpfs /dev
mkdir -p /dev/bus/usb
mount --bind /run/usb /dev/bus/usb
mknod -m 666 /dev/null c 1 3
for place in / /run /tmp /lab /sys; do
    mount -o remount,bind,ro "$place"
done
cd /
exec setpriv --reuid usbip --regid usbip --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    strace -f -qq -o /run/trace/calls "$@" --allow 127.0.0.0/8 >/run/trace/out 2>/run/trace/err
END

serve() {
    rm -f /run/trace/out
    unshare --mount --propagation private bash /run/shut-in "${start[@]}" &
    shut_in=$!
    wait_until 30 grep -qs '^listening on ' /run/trace/out || fail "the server does not listen: $(cat /run/trace/err)"
    wait_until 10 grep -q ' 46f4:0001' /run/trace/err || fail "the stick is not offered: $(cat /run/trace/err)"
    server=$(pgrep -u usbip -x usbip-server)
}

imported() {
    usbip-client attach tcp:127.0.0.1 1-1
    wait_until 20 used_port || fail "no port in use: $(cat /run/trace/err)"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
}

note "a disk"
serve
grep -E '^(Uid|CapBnd|CapEff|NoNewPrivs)' "/proc/$server/status"
imported
expect_equal "$(sha256sum <"$(block_device "$bus_id")" | cut -d ' ' -f 1)" "$(</lab/stick.sum)" "what is read"
expect_equal "$(blockdev --getro "$(block_device "$bus_id")")" 1 "write protection"
kill -TERM "$server"
expect_exit 20 "$shut_in" 0 "the server"
wait_until 20 driver_is "$real" usb-storage || fail "$real is with '$(driver_of "$real")'"
wait_until 20 port_free "$port" || fail "port $port is not free"
udevadm settle
# The tracer itself starts the server.
sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' /run/trace/calls | sort -u >/lab/calls
(($(wc -l </lab/calls) > 20)) || fail "too few system calls to believe it"
sed -n 's/.*socket(\(AF_[A-Z0-9]*\).*/\1/p' /run/trace/calls | sort -u >families
while read -r family; do
    grep -qw "$family" <<<"$(declared RestrictAddressFamilies)" || fail "the unit does not allow $family"
done <families
! grep -E '(mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC' /run/trace/calls || fail "memory that is written and executed"

note "killed"
serve
imported
kill -KILL "$server"
wait "$shut_in" || true
wait_until 20 port_free "$port" || fail "port $port is not free"
wait_until 5 driver_is "$real" "" || fail "$real is with '$(driver_of "$real")': nothing to bring back"
stop_post=$(declared ExecStopPost)
stop_post=${stop_post#+}
# systemd's word for a single one.
eval "${stop_post//\$\$/\$}"
wait_until 20 driver_is "$real" usb-storage || fail "$real is with '$(driver_of "$real")' after ExecStopPost"
report "user, rule and unit: a disk read without root, its driver back after SIGTERM and, by ExecStopPost, after SIGKILL"
