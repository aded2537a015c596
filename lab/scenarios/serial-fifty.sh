# about: attach-serial attached and detached 50 times, without a warning of the kernel
# tier: full
# timeout: 400
# programs: attach-serial
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe -a cdc-acm
mkfifo input
exec {input}<>input
for round in {1..50}; do
    attach_device attach-serial <input
    if ((round % 2)); then
        kill -TERM "$pid"
    else
        detach_port "$port"
    fi
    expect_detached "$pid" "$port" "$bus_id"
done
