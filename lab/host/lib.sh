# What the scenarios on the host use, beside common/lib.sh; the lab boots its guest by it too.

# Always software emulation: virtualisation may be there and still not work, and figures must not depend on it.
# The CPU does not offer the kernel to copy memory by "rep movsb", which emulation takes byte by byte: several times
# slower than copying by words, while a real CPU is faster by it.
QEMU=(qemu-system-x86_64 -machine q35,accel=tcg -cpu "${LAB_CPU:-max,-erms,-fsrm}" -nodefaults -display none -no-reboot)
