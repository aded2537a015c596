# about: usbtest against the kernel's source and sink, through our relay: what passes without the relay passes with it
# tier: full
# boot: own
# timeout: 600
# programs: usbip-server usbip-client
# allow-log: vhci_hcd: (urb->status -104|the urb \(seqnum [0-9]+\) was already given back)

# Not usbip-host: with unlinks its kernel thread uses what it has freed, and takes the machine with it (Linux 6.1,
# stub_rx_loop, usbtest's test 11 without anything of ours).
modprobe -a libcomposite usbip-vudc
load_vhci
modprobe usb_f_ss_lb || skip "the kernel has no source and sink function"
# In its alternate setting 1 the gadget has isochronous endpoints beside those for bulk.
modprobe usbtest alt=1 || skip "the kernel has no usbtest"
gadget_zero zero usbip-vudc.0 high-speed
usbipd --device >usbipd.log 2>&1 &
gadget=usbip-vudc.0

# Of isochronous tests (15, 16, 22, 23) none passes: vudc gives each packet back with -EXDEV and no data (vudc_transfer.c),
# and usbtest calls that an error. What they come to must be the same with the relay.

# chain NAME ADDRESS BUS_ID: attaches and tests.
chain() {
    usbip-client attach "$2" "$3"
    wait_until 20 used_port || fail "$1: no port in use"
    wait_until 10 test -e "/sys/bus/usb/drivers/usbtest/$bus_id:1.0" || fail "$1: usbtest did not take the device"
    usbtest_all "$1" "$bus_id"
    usbip-client detach "$port"
    wait_until 10 port_free "$port" || fail "port $port is in state $(port_field "$port" 3)"
}

wait_until 10 usbip-client list tcp:127.0.0.1
chain kernel tcp:127.0.0.1 "$gadget"
start_server --listen unix:relay --relay tcp:127.0.0.1 "$gadget"
chain relay unix:relay 1-1
kill -TERM "$server"
expect_exit 10 "$server" 0 "the relay"

usbtest_same kernel relay 20
