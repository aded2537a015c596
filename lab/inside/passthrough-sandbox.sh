# Of an address that the unit allows.
ADDRESS=192.168.7.1

# shown PROPERTY: what systemd says of the service.
shown() {
    systemctl show --value --property "$1" usbip-server
}

has_stick() {
    real_device 46f4:0001 && real=$device && driver_is "$real" usb-storage && block_device "$real" >/dev/null
}

# is_offered: as number.
is_offered() {
    number=$(usbip-client list "tcp:$ADDRESS" 2>/dev/null | sed -n 's/^\(1-[0-9]*\)\b.* 46f4:0001.*/\1/p')
    [[ -n $number ]]
}

said() {
    journalctl --unit=usbip-server --output=cat
}

imported() {
    wait_until 20 is_offered || fail "the stick is not offered: $(said)"
    usbip-client attach "tcp:$ADDRESS" "$number"
    wait_until 20 used_port || fail "no port in use: $(said)"
    wait_until 30 block_device "$bus_id" || fail "no disk behind vhci"
    udevadm settle
    far=$(block_device "$bus_id")
    expect_equal "$(sha256sum <"$far" | cut -d ' ' -f 1)" "$(</lab/stick.sum)" "what is read"
}

# read_on: begins to read the disk again and again. Sets reader.
read_on() {
    (while dd if="$far" of=/dev/null bs=64k iflag=direct status=none; do :; done) 2>dd.log &
    reader=$!
    pause 0.5
    ! ended "$reader" || fail "dd does not read: $(<dd.log)"
}

# came_back WHAT: the port is free, and the stick with its driver.
came_back() {
    wait_until 20 port_free "$port" || fail "$1: port $port is not free"
    wait_until 20 has_stick || fail "$1: $real is with '$(driver_of "$real")': $(said)"
    wait_until 20 ended "$reader" || fail "$1: the reader hangs"
    udevadm settle
}

expect_equal "$(</proc/1/comm)" systemd "process 1"
modprobe -a xhci-pci usb-storage sd_mod
load_vhci
wait_until 30 has_stick || fail "no stick"
ip address add "$ADDRESS/32" dev lo

note "user, rule and unit"
cp "$(command -v usbip-server)" /usr/local/bin/
bash -e /lab/user.sh
cp /lab/70-usbip.rules /etc/udev/rules.d/
cp /lab/usbip-server.service /etc/systemd/system/
complaints=$(systemd-analyze verify --man=no --recursive-errors=no /etc/systemd/system/usbip-server.service 2>&1) ||
    fail "systemd-analyze: $complaints"
[[ -z $complaints ]] || fail "systemd-analyze: $complaints"
bash -e /lab/start.sh
udevadm settle
expect_equal "$(stat -c '%G %a' "$(usb_node "$real")")" "usbip 660" "who may use the node"

note "a disk"
imported
expect_equal "$(blockdev --getro "$far")" 1 "write protection"
server=$(shown MainPID)
user="$(id -u usbip) $(id -u usbip) $(id -u usbip) $(id -u usbip)"
none=0000000000000000
expect_equal "$(awk '
    /^(Uid|Groups|Cap...|NoNewPrivs|Seccomp):/ { name = $1; sub(/^[^\t]*[\t ]*/, ""); gsub(/[\t ]+/, " "); sub(/ $/, ""); print name, $0 }
    ' "/proc/$server/status")" "Uid: $user
Groups: $(id -g usbip)
CapInh: $none
CapPrm: $none
CapEff: $none
CapBnd: $none
CapAmb: $none
NoNewPrivs: 1
Seccomp: 2" "the server"
expect_failure usbip-client list tcp:127.0.0.1

note "killed"
read_on
kill -KILL "$server"
came_back killed
# By systemd, not because the server could not stand what it is forbidden.
expect_equal "$(shown NRestarts)" 1 "restarts"
imported
[[ $(shown MainPID) != "$server" ]] || fail "the killed server lives"

note "unplugged and plugged in again"
first=$number
read_on
ask take_out
wait_until 20 port_free "$port" || fail "port $port is not free"
ask put_in
wait_until 20 has_stick || fail "no stick"
imported
expect_equal "$number" "$first" "the number of a disk that has come back"

note "stopped"
read_on
systemctl stop usbip-server
came_back stopped
expect_equal "$(shown ActiveState) $(shown Result) $(shown NRestarts)" "inactive success 1" "the service"

note "by the other way"
sed -i 's/,read-only/&,usbfs/' /etc/systemd/system/usbip-server.service
systemctl daemon-reload
systemctl start usbip-server
imported
[[ $(systemctl show --value --property ExecStart usbip-server) == *,usbfs* ]] || fail "not by usbfs"
systemctl stop usbip-server
came_back "stopped, by usbfs"
expect_equal "$(shown Result)" success "the service"

# What the unit forbids, tried by root with the rest of the unit around it, so that only what the unit says can deny it. Each
# is tried in a process of its own, and ends with a number of errno or a signal. System calls by their numbers on x86-64:
# unshare with CLONE_NEWUSER, mmap, personality, sethostname and adjtimex; sockets of AF_NETLINK and AF_PACKET.
cat >/etc/fences.pl <<'END'
use strict;
use Fcntl;
use Socket;

my ($stick) = @ARGV;
my $write = O_WRONLY | O_CREAT;
my @tries = (
    ['the device', sub { sysopen my $file, $stick, O_RDWR }],
    ['/dev/null', sub { sysopen my $file, '/dev/null', O_RDWR }],
    ['a disk', sub { sysopen my $file, '/dev/vda', O_RDONLY }],
    ['the kernel log', sub { sysopen my $file, '/dev/kmsg', O_RDONLY }],
    ['/etc', sub { sysopen my $file, '/etc/fence', $write }],
    ['/var', sub { sysopen my $file, '/var/fence', $write }],
    ['/root', sub { opendir my $folder, '/root' }],
    ['/home', sub { opendir my $folder, '/home' }],
    ['/tmp', sub { sysopen my $file, '/tmp/secret', O_RDONLY }],
    ['/proc/sys', sub { sysopen my $file, '/proc/sys/kernel/sysrq', O_WRONLY }],
    ['/sys', sub { sysopen my $file, '/sys/bus/usb/drivers_probe', O_WRONLY }],
    ['/sys/fs/cgroup', sub { sysopen my $file, '/sys/fs/cgroup/cgroup.subtree_control', O_WRONLY }],
    ['IPv4', sub { socket my $socket, AF_INET, SOCK_STREAM, 0 }],
    ['IPv6', sub { socket my $socket, AF_INET6, SOCK_STREAM, 0 }],
    ['uevents', sub { socket my $socket, 16, SOCK_RAW, 15 }],
    ['packets', sub { socket my $socket, 17, SOCK_RAW, 0 }],
    ['namespaces', sub { 0 == syscall 272, 0x10000000 }],
    ['memory to write and execute', sub { -1 != syscall 9, 0, 4096, 7, 0x22, -1, 0 }],
    ['set-user-ID', sub { open my $file, '>', '/tmp/fence' and chmod 04755, '/tmp/fence' }],
    ['personality', sub { -1 != syscall 135, 8 }],
    ['chroot', sub { chroot '/' }],
    ['a host name', sub { my $name = 'lab'; 0 == syscall 170, $name, 3 }],
    ['the clock', sub { my $zero = pack 'x256'; -1 != syscall 159, $zero }],
    ['priority', sub { setpriority 0, 0, 0 }],
);
for my $try (@tries) {
    my $child = fork // die;
    exit($try->[1]->() ? 0 : $! + 0) unless $child;
    waitpid $child, 0;
    my $how = $? & 127 ? 'signal ' . ($? & 127) : $? ? do { local $! = $? >> 8; "$!" } : 'done';
    print "$try->[0]: $how\n";
}
END

note "fences"
mkdir -p /root /home
touch /tmp/secret
node=$(usb_node "$real")
sed -e '/^\(User\|Group\|Restart\|ExecStopPost\)=/ d' -e "s|^ExecStart=.*|ExecStart=/usr/bin/perl /etc/fences.pl $node|" \
    -e 's|^\[Service\]|&\nType=oneshot\nStandardOutput=file:/run/fenced|' /lab/usbip-server.service \
    >/run/systemd/system/fences.service
systemctl daemon-reload
systemctl start fences || fail "the fences: $(journalctl --unit=fences --output=cat)"
perl /etc/fences.pl "$node" >free
cat /run/fenced
! grep -v ': done$' free || fail "also without the unit"
expect_equal "$(</run/fenced)" 'the device: done
/dev/null: done
a disk: Operation not permitted
the kernel log: Permission denied
/etc: Read-only file system
/var: Read-only file system
/root: Permission denied
/home: Permission denied
/tmp: No such file or directory
/proc/sys: Read-only file system
/sys: Read-only file system
/sys/fs/cgroup: Read-only file system
IPv4: done
IPv6: done
uevents: done
packets: Address family not supported by protocol
namespaces: Operation not permitted
memory to write and execute: Operation not permitted
set-user-ID: Operation not permitted
personality: Operation not permitted
chroot: signal 31
a host name: signal 31
the clock: signal 31
priority: signal 31' "what the unit lets happen"
denied=$(grep -vc ': done$' /run/fenced)
report "user, rule and unit under systemd: a disk read without root, its driver back after SIGKILL and stop; $denied things denied"
