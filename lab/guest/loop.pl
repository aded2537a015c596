#!/usr/bin/env perl
# loop.pl usbfs NODE IN OUT [LOSES]   or   loop.pl wire SOCKET IN OUT
# Judges the kernel's loopback (f_loopback, 32 buffers of 4096 bytes, high speed): every byte that is written comes back, once and
# in order, also where transfers are cancelled while others are under way. By usbfs (include/uapi/linux/usbdevice_fs.h,
# drivers/usb/core/devio.c), which cancels one after the other; or by USB/IP to a server's Unix socket
# (Documentation/usb/usbip_protocol.rst), as 1-1, which asks for several cancels in one go. IN and OUT are the endpoints, in
# hexadecimal. LOSES: what a cancelled read had is lost on the way, as USB/IP has no word for it.
use strict;
use warnings;

my $PACKET = 512;
my $BUFFER = 4096;
my $BUFFERS = 32;

my ($kind, $path, $in, $out, $loses) = @ARGV;
my $device = $kind eq 'wire' ? Wire->new($path) : Usbfs->new($path);
$loses ||= $kind eq 'wire';
my $noise = join '', map { chr int rand 256 } 1 .. 65536;
# Of writes.
my $number = 0;

lengths();
my @orders = ([4], [1], [0], [2, 4, 6], [6, 4, 2], [1 .. 7], reverse_of(1 .. 7), [7, 0, 3]);
reads_are_cancelled($_) for @orders;
writes_are_cancelled($_) for @orders;
my ($cancelled, $all) = mixed(60);
die "only $cancelled transfers were cancelled\n" if $cancelled < 20;
$device->leave;
print scalar @orders, " orders of cancelling; of $all transfers both ways $cancelled were cancelled\n";

sub reverse_of { [reverse @_] }

# This write's bytes: each packet says whose it is, and which.
sub content {
    my ($whose, $length) = @_;
    my $all = '';
    for (my $at = 0; $at * $PACKET < $length; $at++) {
        $all .= pack('N2', $whose, $at) . substr $noise, ($whose * 131 + $at * 17) % 65000, $PACKET - 8;
    }
    return substr $all, 0, $length;
}

sub written {
    my ($length, $zero) = @_;
    my $data = content(++$number, $length);
    return $device->submit({ out => 1, data => $data, length => $length, zero => $zero, number => $number });
}

sub wanted { $device->submit({ length => shift, zero => 0 }) }

sub await {
    for my $urb (@_) {
        until ($urb->{done}) { $device->reap(20) or die "a transfer does not end\n" }
    }
}

# Until what is under way has got where it stays: nothing tells.
sub settle { select undef, undef, undef, 0.3 }

sub expect {
    my ($urb, $data, $what) = @_;
    await($urb);
    die "$what: status $urb->{status}\n" if $urb->{status};
    die "$what: $urb->{actual} bytes instead of ", length $data, "\n" if $urb->{actual} != length $data;
    die "$what: other bytes\n" if !$urb->{out} && $urb->{data} ne $data;
}

sub cancel {
    my ($urbs, $order, $what) = @_;
    settle();
    $device->discard(@$urbs[@$order]);
    await(@$urbs[@$order]);
    $_->{status} == -2 || $_->{status} == -104 or die "$what is cancelled: status $_->{status}\n" for @$urbs[@$order];
    my %gone = map { $_ => 1 } @$order;
    return grep { !$gone{$_} } 0 .. $#$urbs;
}

# Packets that end early, a full buffer of the gadget, several writes before the first read, empty packets.
sub lengths {
    for my $lengths ([1], [511], [513], [1000], [4095], [4096], [0], [5, 4096, 77, 0, 3000, 0, 0, 1]) {
        my @writes = map { written($_) } @$lengths;
        expect($_, $_->{data}, 'written') for @writes;
        expect(wanted($BUFFER), $_->{data}, 'read') for @writes;
    }
}

# Of eight reads, the first of which has half of what it wants.
sub reads_are_cancelled {
    my $order = shift;
    my $what = "reads @$order of 8 cancelled";
    my @reads = map { wanted(2 * $BUFFER) } 0 .. 7;
    my $half = written($BUFFER);
    await($half);
    my @left = cancel(\@reads, $order, $what);
    my @expected;
    for (@left) {
        # A read ends when it has all, or with a packet that is short.
        my $write = written($_ == 0 ? $BUFFER : $_ % 3 ? 2 * $BUFFER : 3000);
        push @expected, ($_ == 0 ? $half->{data} : '') . $write->{data};
    }
    expect($reads[$_], shift @expected, "$what, read $_") for @left;
    is_empty($what);
}

# Of eight writes, the first of which is half taken, as there is no room for more.
sub writes_are_cancelled {
    my $order = shift;
    my $what = "writes @$order of 8 cancelled";
    my @fill = map { written($BUFFER) } 2 .. $BUFFERS;
    await(@fill);
    my @writes = map { written(@$_) } [2 * $BUFFER], [$BUFFER], [0], [$BUFFER], [2 * $PACKET, 1], [3000], [0], [$BUFFER];
    my @left = cancel(\@writes, $order, $what);
    my @expected = map { $_->{data} } @fill;
    my ($taken, $rest) = unpack "a$BUFFER a*", $writes[0]{data};
    push @expected, $taken;
    push @expected, $_ ? $writes[$_]{data} : $rest for @left;
    my @reads = map { wanted($BUFFER) } @expected;
    expect($reads[$_], $expected[$_], "$what, read $_ of $#expected") for 0 .. $#expected;
    expect($writes[$_], $writes[$_]{data}, "$what, write $_") for @left;
    is_empty($what);
}

# What is written next is what is read next.
sub is_empty {
    my $read = wanted($BUFFER);
    my $write = written(77);
    expect($read, $write->{data}, "after $_[0]");
}

sub under_way { grep { !$_->{done} } @_ }

# One way until nothing moves, then a little the other way, and at once some are cancelled, from either end.
sub mixed {
    my $rounds = shift;
    my (@reads, @writes);
    my $fill = sub {
        my ($urbs, $more) = @_;
        push @$urbs, $more->($PACKET * (1 + int rand 24)) while under_way(@$urbs) < 8;
    };
    for my $round (1 .. $rounds) {
        my @sides = ([\@writes, \&written], [\@reads, \&wanted]);
        my ($side, $other) = $round % 2 ? @sides : reverse @sides;
        do { $fill->(@$side) } while $device->reap(0.05);
        $fill->(@$other) if rand() < 0.7;
        my @some = grep { rand() < 0.4 } under_way(@{ $side->[0] });
        select undef, undef, undef, rand 0.005;
        $device->discard(rand() < 0.5 ? @some : reverse @some);
    }
    while (under_way(@writes)) {
        $fill->(\@reads, \&wanted);
        $device->reap(20) or die "the writes do not end\n";
    }
    my $last = written(100);
    until (grep { $_->{done} && !$_->{status} && $_->{actual} % $PACKET } @reads) {
        $fill->(\@reads, \&wanted);
        $device->reap(20) or die "the end does not come\n";
    }
    my @idle = under_way(@reads);
    $device->discard(reverse @idle);
    await(@idle);
    compare(\@reads, [@writes, $last]);
    is_empty('a mix');
    return (scalar(grep { $_->{status} } @reads[0 .. $#reads - @idle], @writes), @reads - @idle + @writes);
}

# Each packet of a write that was not cancelled is in a read that was not cancelled, or between two reads where one was.
sub compare {
    my ($reads, $writes) = @_;
    my ($write, $packet, $lost, $short) = (0, 0, 0, 0);
    my $pass = sub {
        my $current = $writes->[$write] or die "more was read than was written\n";
        $packet++;
        ($write, $packet) = ($write + 1, 0) if $packet * $PACKET >= $current->{length};
    };
    # Up to this packet of this write.
    my $skip = sub {
        my ($to, $at) = @_;
        until ($write == $to && $packet == $at) {
            my $current = $writes->[$write];
            die "a packet comes twice or too late\n" if $write > $to || $write == $to && $packet > $at;
            if ($write < $to && $current->{status} && ($loses || $packet * $PACKET >= $current->{actual})) {
                ($write, $packet) = ($write + 1, 0);
            } elsif ($lost-- > 0) {
                $pass->();
            } else {
                die "packet $packet of write $current->{number} is lost, before that of ", $writes->[$to]{number}, "\n";
            }
        }
        $lost = 0;
    };
    for my $read (@$reads) {
        die "a read ends with $read->{status}\n" if $read->{status} && $read->{status} != -2 && $read->{status} != -104;
        my $data = $read->{data};
        die "data after the end\n" if $short && length $data;
        for (my $at = 0; $at < length $data; $at += $PACKET) {
            my $came = substr $data, $at, $PACKET;
            my ($whose, $index) = unpack 'N2', $came;
            my $to = $whose - $writes->[0]{number};
            die "what never was written\n" if $to < 0 || $to > $#$writes || $index * $PACKET >= $writes->[$to]{length};
            $skip->($to, $index);
            die "other bytes\n" if $came ne substr $writes->[$to]{data}, $index * $PACKET, $PACKET;
            $pass->();
            $short = length $came < $PACKET;
        }
        $lost += ($read->{length} - $read->{actual}) / $PACKET if $read->{status} && $loses;
    }
    $skip->(scalar @$writes, 0);
    for (@$writes) {
        next if $_->{status} == -2 || $_->{status} == -104;
        die "a write ends with $_->{status}, of $_->{actual} bytes\n" if $_->{status} || $_->{actual} != $_->{length};
    }
}

package Usbfs;

sub new {
    my ($class, $path) = @_;
    open my $file, '+<', $path or die "$path: $!\n";
    my $self = bless { file => $file, urbs => {} }, $class;
    $self->ask(0xc0105512, pack 'l L x8', 0, 0x5516); # USBDEVFS_IOCTL: USBDEVFS_DISCONNECT
    $self->ask(0x8004550f, pack 'L', 0);              # USBDEVFS_CLAIMINTERFACE
    return $self;
}

sub leave {
    my $self = shift;
    $self->ask(0x80045510, pack 'L', 0);              # USBDEVFS_RELEASEINTERFACE
    $self->ask(0xc0105512, pack 'l L x8', 0, 0x5517); # USBDEVFS_CONNECT
}

sub ask {
    my ($self, $request, $data) = @_;
    ioctl $self->{file}, $request, $data or die sprintf "%x: %s\n", $request, $!;
}

# The kernel keeps the address of the urb and of its data: both strings are of this transfer alone, and are not changed.
sub submit {
    my ($self, $urb) = @_;
    $urb->{room} = '';
    vec($urb->{room}, $urb->{length} + 15, 8) = 0;
    substr($urb->{room}, 0, $urb->{length}) = $urb->{data} if $urb->{out};
    # struct usbdevfs_urb, with room for the 256 bytes that an ioctl of perl has at least: type, endpoint, status, flags, buffer.
    $urb->{asked} = pack 'C2 x2 l L x4 P l5 L x8 x208', 3, hex($urb->{out} ? $out : $in), 0, $urb->{zero} ? 0x40 : 0,
        $urb->{room}, $urb->{length}, 0, 0, 0, 0, 0;
    ioctl $self->{file}, 0x8038550a, $urb->{asked} or die "USBDEVFS_SUBMITURB: $!\n";
    $self->{urbs}{ unpack 'J', pack 'P', $urb->{asked} } = $urb;
    return $urb;
}

# Each is back when the next one goes.
sub discard {
    my ($self, @urbs) = @_;
    for (@urbs) {
        ioctl $self->{file}, 0x550b, $_->{asked} or $!{EINVAL} or die "USBDEVFS_DISCARDURB: $!\n";
    }
}

# Whether any came within so many seconds.
sub reap {
    my ($self, $seconds) = @_;
    vec(my $ready = '', fileno $self->{file}, 1) = 1;
    select undef, $ready, undef, $seconds or return;
    my $address = "\0" x 256;
    while (ioctl $self->{file}, 0x4008550d, $address) { # USBDEVFS_REAPURBNDELAY
        my $urb = delete $self->{urbs}{ unpack 'J', $address } or die "an urb that nobody asked for\n";
        @$urb{qw(status actual)} = unpack 'x4 l x20 l', $urb->{asked};
        $urb->{data} = substr $urb->{room}, 0, $urb->{actual} unless $urb->{out};
        $urb->{done} = 1;
    }
    $!{EAGAIN} or die "USBDEVFS_REAPURB: $!\n";
    return 1;
}

package Wire;

use IO::Socket::UNIX;

sub new {
    my ($class, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!\n";
    my $self = bless { socket => $socket, last => 0, urbs => {}, unlinks => {} }, $class;
    syswrite $socket, pack 'n2 N a32', 0x111, 0x8003, 0, '1-1';
    my $status = unpack 'x4 N', $self->take(8);
    die "1-1 is not given: $status\n" if $status;
    # struct usbip_usb_device: path, bus id, bus and device number.
    my ($bus, $address) = unpack 'x256 x32 N2', $self->take(312);
    $self->{id} = $bus << 16 | $address;
    return $self;
}

sub leave { close shift->{socket} }

sub take {
    my ($self, $length) = @_;
    my $data = '';
    while (length $data < $length) {
        sysread $self->{socket}, $data, $length - length $data, length $data or die "the server has left\n";
    }
    return $data;
}

sub header {
    my ($self, $command, $urb) = @_;
    my ($direction, $endpoint) = $urb->{out} ? (0, hex($out) & 15) : (1, hex($in) & 15);
    return pack 'N5', $command, ++$self->{last}, $self->{id}, $direction, $endpoint;
}

sub send_all {
    my ($self, $bytes) = @_;
    while (length $bytes) {
        my $sent = syswrite $self->{socket}, $bytes or die "the server does not listen: $!\n";
        substr($bytes, 0, $sent) = '';
    }
}

sub submit {
    my ($self, $urb) = @_;
    my $message = $self->header(1, $urb);
    $message .= pack 'N5 x8', $urb->{zero} ? 0x40 : 0, $urb->{length}, 0, 0xffffffff, 0;
    $self->send_all($message . ($urb->{out} ? $urb->{data} : ''));
    $self->{urbs}{ $urb->{sequence} = $self->{last} } = $urb;
    return $urb;
}

# In one go, and each once.
sub discard {
    my ($self, @urbs) = @_;
    my $messages = '';
    for (grep { !$_->{asked}++ } @urbs) {
        $messages .= $self->header(2, $_) . pack 'N x24', $_->{sequence};
        $self->{unlinks}{ $self->{last} } = $_;
    }
    $self->send_all($messages);
}

sub reap {
    my ($self, $seconds) = @_;
    vec(my $ready = '', fileno $self->{socket}, 1) = 1;
    select $ready, undef, undef, $seconds or return;
    my ($command, $sequence, $status, $actual) = unpack 'N2 x12 l>2', $self->take(48);
    if ($command == 3) {
        my $urb = delete $self->{urbs}{$sequence} or die "an answer to what nobody asked\n";
        @$urb{qw(status actual done)} = ($status, $actual, 1);
        $urb->{data} = $self->take($actual) unless $urb->{out};
    } elsif ($command == 4) {
        my $urb = delete $self->{unlinks}{$sequence} or die "an answer to what nobody asked\n";
        die "unlinked: $status, done: ", $urb->{done} // 0, "\n" if $status != ($urb->{done} ? 0 : -104);
        return 1 if $urb->{done};
        delete $self->{urbs}{ $urb->{sequence} };
        @$urb{qw(status actual done)} = ($status, 0, 1);
        $urb->{data} = '' unless $urb->{out};
    } else {
        die "command $command\n";
    }
    return 1;
}
