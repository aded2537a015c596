# about: attach-tablet attached and detached 50 times, a mouse every other time, without a warning of the kernel
# tier: full
# timeout: 400
# programs: attach-tablet
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe -a usbhid evdev
mkfifo input
exec {input}<>input
kind=()
for round in {1..50}; do
    attach_device attach-tablet "${kind[@]}" <input
    if ((round % 2)); then
        kind=(--mouse)
        kill -TERM "$pid"
    else
        kind=()
        detach_port "$port"
    fi
    expect_detached "$pid" "$port" "$bus_id"
done
