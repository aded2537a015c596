# What the lab takes from Debian, all in one place.

LAB_SUITE=bookworm

# On the machine that runs the lab.
LAB_HOST_PACKAGES=(
    qemu-system-x86 ovmf debootstrap debian-archive-keyring busybox-static cpio kmod e2fsprogs dosfstools mtools procps tshark
)

# In the guest, beside Debian's minimal system.
LAB_GUEST_PACKAGES=(
    kmod udev systemd procps iproute2 strace tcpdump tshark
    usbutils usbip sg3-utils fio libiscsi-bin xorriso eject
    fdisk e2fsprogs dosfstools exfatprogs
    alsa-utils evtest usbredirect v4l-utils
    pcscd libccid pcsc-tools mtp-tools
)

# Loaded before the root file system is there; what they depend on follows by itself.
LAB_BOOT_MODULES=(virtio_pci virtio_blk virtio_rng ext4 9p 9pnet_virtio)

# Half of the kernel package's size, for hardware that no scenario has.
LAB_UNUSED_DRIVERS=(gpu hwmon iio infiniband net/ethernet net/wireless staging)
