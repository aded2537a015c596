# about: trying
# tier: fast
note hello
load_vhci
cat "$VHCI"/status
udevadm --version
ls /dev
lsmod
uptime
free -m
