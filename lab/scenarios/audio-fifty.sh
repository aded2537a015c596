# about: attach-audio attached and detached 50 times, without a warning of the kernel
# tier: full
# timeout: 400
# programs: attach-audio
# allow-log: vhci_hcd: (urb->status -|the urb .* was already given back)

load_vhci
modprobe -a snd-usb-audio
mkfifo input
exec {input}<>input
for round in {1..50}; do
    attach_device attach-audio <input
    if ((round % 2)); then
        kill -TERM "$pid"
    else
        detach_port "$port"
    fi
    expect_detached "$pid" "$port" "$bus_id"
done
