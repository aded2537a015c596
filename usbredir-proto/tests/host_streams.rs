//! What bounds a host's streams, and what ends them.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{INTERRUPT_IN, ISO_OUT, address, descriptors};
use testkit::kept_bytes;
use usb_transfer::{Frontend, HostEvent, Kind, Status, Transfer, TxQueue, Wire};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Host, Limits, Options};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

/// A host with its device, and a guest that says what the test wants.
struct Bench {
    host: Host,
    guest: Codec,
    to_host: BytesMut,
    from_host: BytesMut,
}

impl Bench {
    fn with(limits: Limits) -> Self {
        let mut options = Options::default();
        options.limits = limits;
        let mut bench = Self {
            host: Host::new(options),
            guest: Codec::new(Role::Guest, Capabilities::ALL, Limits::default()),
            to_host: BytesMut::new(),
            from_host: BytesMut::new(),
        };
        bench.host.attach(descriptors()).unwrap();
        bench.heard();
        let hello = Packet::Hello(bench.guest.hello("test"));
        bench.say(hello);
        assert_eq!(bench.heard().len(), 3);
        bench
    }

    fn say(&mut self, packet: Packet) {
        let mut tx = TxQueue::new();
        self.guest.encode(0, packet, &mut tx).unwrap();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.to_host.extend_from_slice(&bytes);
        let _ = self.host.receive(&mut self.to_host).unwrap();
    }

    fn heard(&mut self) -> Vec<Packet> {
        let tx = self.host.tx();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.from_host.extend_from_slice(&bytes);
        let mut heard = Vec::new();
        while let Decoded::Packet { packet, .. } = self.guest.decode(&mut self.from_host).unwrap() {
            heard.push(packet);
        }
        heard
    }

    fn submitted(&mut self) -> Vec<Transfer> {
        let events = std::iter::from_fn(|| self.host.poll());
        let submit = |event| match event {
            HostEvent::Submit(transfer) => transfer,
            other => panic!("{other:?}"),
        };
        events.map(submit).collect()
    }

    fn start_sound(&mut self) {
        self.say(Packet::StartIsoStream {
            endpoint: address(ISO_OUT),
            packets_per_transfer: 32,
            transfers: 16,
        });
        self.heard();
    }

    fn sound(&mut self, length: u16) {
        self.say(Packet::Iso {
            endpoint: address(ISO_OUT),
            status: StatusCode::SUCCESS,
            length,
            data: Bytes::from(vec![1; length.into()]).into(),
        });
    }

    /// The five transfers of a stream that polls.
    fn poll_interrupt(&mut self) -> Vec<Transfer> {
        self.say(Packet::StartInterruptReceiving {
            endpoint: address(INTERRUPT_IN),
        });
        self.heard();
        self.submitted()
    }
}

#[test]
fn a_packet_that_is_longer_than_its_endpoints_is_dropped() {
    let mut bench = Bench::with(Limits::default());
    bench.start_sound();
    let (kept, held) = kept_bytes(|| {
        let mut held = Vec::new();
        for _ in 0..1024 {
            bench.sound(u16::MAX);
            held.append(&mut bench.submitted());
        }
        held
    });
    assert!(held.is_empty());
    assert!(kept < 1 << 20, "{kept}");
    (0..256).for_each(|_| bench.sound(100));
    let transfers = bench.submitted();
    assert_eq!(transfers.len(), 8, "half of them");
    let Kind::Isochronous(packets) = &transfers[0].kind else {
        panic!()
    };
    assert!(packets.iter().all(|packet| packet.length == 100));
}

#[test]
fn streams_count_as_what_is_in_flight() {
    let mut limits = Limits::default();
    limits.max_in_flight_bytes = 30_000;
    let mut bench = Bench::with(limits);
    bench.start_sound();
    let mut standing = Vec::new();
    for _ in 0..1024 {
        bench.sound(100);
        standing.append(&mut bench.submitted());
    }
    // Of 300 packets, 32 to a transfer.
    assert_eq!(standing.len(), 9);
    let interrupts = bench.poll_interrupt();
    assert!(interrupts.is_empty(), "nothing is left for 8 bytes");
    let first = standing.remove(0);
    bench.host.complete(first.complete_out());
    assert_eq!(bench.submitted().len(), 5, "now there is");

    let mut limits = Limits::default();
    limits.max_in_flight = 3;
    let mut bench = Bench::with(limits);
    assert_eq!(bench.poll_interrupt().len(), 3);
    assert_eq!(bench.host.pending(), 3);
}

#[test]
fn a_change_that_fails_leaves_the_streams_as_they_are() {
    let changes = [
        Packet::SetConfiguration { value: 9 },
        Packet::SetAltSetting {
            interface: 0,
            alternate: 9,
        },
    ];
    for change in changes {
        let mut bench = Bench::with(Limits::default());
        let mut standing = bench.poll_interrupt();
        assert_eq!(standing.len(), 5);
        bench.say(change.clone());
        let [set] = &bench.submitted()[..] else {
            panic!()
        };
        // One is cancelled by it, which is nobody's; meanwhile none is made.
        let cancelled = standing.remove(0).fail(Status::CANCELLED);
        bench.host.complete(cancelled);
        assert!(bench.submitted().is_empty() && bench.heard().is_empty());
        bench.host.complete(set.clone().stall());
        assert_eq!(bench.heard().len(), 1, "its status");
        assert_eq!(bench.submitted().len(), 1, "they go on");
        let key = standing.remove(0).complete_in(vec![7]);
        bench.host.complete(key);
        assert!(matches!(bench.heard()[..], [Packet::Interrupt { .. }]));
    }
}

#[test]
fn a_change_that_succeeds_ends_them() {
    let mut bench = Bench::with(Limits::default());
    let mut standing = bench.poll_interrupt();
    bench.say(Packet::SetConfiguration { value: 1 });
    let [set] = &bench.submitted()[..] else {
        panic!()
    };
    let cancelled = standing.remove(0).fail(Status::CANCELLED);
    bench.host.complete(cancelled);
    bench.host.complete(set.clone().complete_out());
    // A device that left them standing is told.
    let events: Vec<_> = std::iter::from_fn(|| bench.host.poll()).collect();
    let expected = standing.iter().map(|one| HostEvent::Cancel(one.id));
    assert_eq!(events, expected.collect::<Vec<_>>());
    assert_eq!(bench.heard().len(), 3, "what there is, and its status");
    bench.host.complete(standing.remove(0).complete_in(vec![7]));
    assert!(bench.heard().is_empty());
}

#[test]
fn a_stream_whose_transfers_fail_at_once_ends() {
    for (status, most) in [(Status::INVALID, 1), (Status::PROTOCOL, 32)] {
        let mut bench = Bench::with(Limits::default());
        let endpoint = address(INTERRUPT_IN);
        bench.say(Packet::StartInterruptReceiving { endpoint });
        bench.heard();
        let mut failed = 0;
        while let Some(event) = bench.host.poll() {
            if let HostEvent::Submit(transfer) = event {
                bench.host.complete(transfer.fail(status));
                failed += 1;
            }
            assert!(failed <= most, "{status:?} without end");
        }
        assert_eq!(failed, most);
        let stalled = Packet::InterruptReceivingStatus {
            status: StatusCode::STALL,
            endpoint,
        };
        assert_eq!(bench.heard().last(), Some(&stalled));
    }
}
