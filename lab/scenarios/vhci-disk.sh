# about: a file becomes a disk: what the kernel sees, file systems on it, the same content in the file and attached again
# tier: fast
# timeout: 300
# programs: attach-disk

vendor='Virtual'
model='USB Disk'
# Not a round number, so that a capacity off by one block shows.
size=$((64 * 1024 * 1024 + 3 * 4096))

load_vhci
modprobe -a loop vfat

mkdir -p files/folder/empty
for number in {1..40}; do
    head -c $((number * 25600)) /dev/urandom >"files/folder/$number"
done
: >files/nothing
expected=$(sums files)

make_filesystem() {
    case $1 in
        ext4) mkfs.ext4 -q -F "$2" ;;
        vfat) mkfs.vfat -I "$2" ;;
    esac
}

check_filesystem() {
    case $1 in
        ext4) e2fsck -f -n "$2" ;;
        vfat) fsck.vfat -n "$2" ;;
    esac
}

# expect_files DEVICE WHERE: exactly the files that were written.
expect_files() {
    mount -o ro "$1" mnt
    expect_equal "$(sums mnt | grep -v lost+found)" "$expected" "the files $2"
    umount mnt
}

# expect_disk SPEED BLOCK_SIZE SERIAL: the kernel sees the disk as it was described.
expect_disk() {
    local usb=/sys/bus/usb/devices/$bus_id scsi=/sys/block/${disk##*/}/device
    local -A megabits=([high]=480 [super]=5000)
    expect_equal "$(<"$usb/speed")" "${megabits[$1]}" "speed"
    expect_equal "$(<"$usb/serial")" "$3" "serial number"
    expect_equal "$(xargs <"$scsi/vendor")" "$vendor" "vendor"
    expect_equal "$(xargs <"$scsi/model")" "$model" "model"
    expect_equal "$(blockdev --getss "$disk")" "$2" "block size"
    expect_equal "$(blockdev --getsize64 "$disk")" "$size" "capacity"
    expect_equal "$(blockdev --getro "$disk")" 0 "write protection"
    port_is "$port" 006 || fail "port $port is in state $(port_field "$port" 3)"
}

# One life of an image; SIGNAL is how it is detached.
live() {
    local speed=$1 block_size=$2 filesystem=$3 signal=$4 serial="LAB-$1-$2-$3" loop
    note "$speed speed, blocks of $block_size, $filesystem"
    rm -f disk.img
    truncate -s "$size" disk.img
    attach attach-disk disk.img --speed "$speed" --block-size "$block_size" --serial "$serial"
    expect_disk "$speed" "$block_size" "$serial"
    make_filesystem "$filesystem" "$disk"
    mount "$disk" mnt
    cp -r files/. mnt/
    umount mnt
    check_filesystem "$filesystem" "$disk"
    kill "-$signal" "$pid"
    expect_detached "$pid" "$port" "$bus_id"

    check_filesystem "$filesystem" disk.img
    loop=$(losetup --find --show --sector-size "$block_size" disk.img)
    expect_files "$loop" "in the image"
    losetup --detach "$loop"

    attach attach-disk disk.img --speed "$speed" --block-size "$block_size" --serial "$serial"
    expect_files "$disk" "after attaching again"
    kill "-$signal" "$pid"
    expect_detached "$pid" "$port" "$bus_id"
}

mkdir mnt
while read -r speed block_size; do
    live "$speed" "$block_size" ext4 TERM
    live "$speed" "$block_size" vfat INT
done <<END
high 512
super 512
high 4096
END
