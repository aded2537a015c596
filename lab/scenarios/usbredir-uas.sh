# about: Linux's uas driver on our disk through usb-redir, with bulk streams on xHCI and without on EHCI
# where: host
# guest: yes
# timeout: 420
# programs: usbredir-host
# allow-log: reset SuperSpeed

mb=$((1024 * 1024))
truncate -s $((96 * mb)) super.disk high.disk
# Too small for a test that moves 65536 blocks at once.
truncate -s $((24 * mb)) blocks.disk
redirected=()
for at in super:xhci high:ehci blocks:ehci; do
    usb_redir "${at%:*}" "${at#*:}"
    redirected+=("${redir[@]}")
done
boot_guest -device qemu-xhci,id=xhci -device usb-ehci,id=ehci "${redirected[@]}"
await_inside 380
for speed in super high; do
    e2fsck -f -n "$speed.disk"
done
