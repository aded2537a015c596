# What the scenarios on the host use, beside common/lib.sh; the lab boots its guest by it too.

# The kernel's virtualisation may be there and still not work, and figures must not depend on it.
QEMU=(qemu-system-x86_64 -machine q35,accel=tcg -cpu max,-erms,-fsrm -nodefaults -display none -no-reboot)
