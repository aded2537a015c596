//! What bounds a host's streams, and what ends them.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::Bytes;
use common::host_bench::HostBench;
use common::{INTERRUPT_IN, ISO_OUT, address};
use testkit::kept_bytes;
use usb_transfer::{Frontend, HostEvent, Kind, Status, Transfer};
use usbredir_proto::Limits;
use usbredir_proto::codec::{Packet, StatusCode};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

fn start_sound(bench: &mut HostBench) {
    let start = Packet::StartIsoStream {
        endpoint: address(ISO_OUT),
        packets_per_transfer: 32,
        transfers: 16,
    };
    bench.say(0, start);
    bench.heard();
}

fn sound(bench: &mut HostBench, length: u16) {
    let packet = Packet::Iso {
        endpoint: address(ISO_OUT),
        status: StatusCode::SUCCESS,
        length,
        data: Bytes::from(vec![1; length.into()]).into(),
    };
    bench.say(0, packet);
}

/// The five transfers of a stream that polls.
fn poll_interrupt(bench: &mut HostBench) -> Vec<Transfer> {
    let endpoint = address(INTERRUPT_IN);
    bench.say(0, Packet::StartInterruptReceiving { endpoint });
    bench.heard();
    bench.all_submitted()
}

#[test]
fn a_packet_that_is_longer_than_its_endpoints_is_dropped() {
    let mut bench = HostBench::new();
    start_sound(&mut bench);
    let (kept, held) = kept_bytes(|| {
        let mut held = Vec::new();
        for _ in 0..1024 {
            sound(&mut bench, u16::MAX);
            held.append(&mut bench.all_submitted());
        }
        held
    });
    assert!(held.is_empty());
    assert!(kept < 1 << 20, "{kept}");
    (0..256).for_each(|_| sound(&mut bench, 100));
    let transfers = bench.all_submitted();
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
    let mut bench = HostBench::with(limits);
    start_sound(&mut bench);
    let mut standing = Vec::new();
    for _ in 0..1024 {
        sound(&mut bench, 100);
        standing.append(&mut bench.all_submitted());
    }
    // Of 300 packets, 32 to a transfer.
    assert_eq!(standing.len(), 9);
    let interrupts = poll_interrupt(&mut bench);
    assert!(interrupts.is_empty(), "nothing is left for 8 bytes");
    let first = standing.remove(0);
    bench.host.complete(first.complete_out());
    assert_eq!(bench.all_submitted().len(), 5, "now there is");

    let mut limits = Limits::default();
    limits.max_in_flight = 3;
    let mut bench = HostBench::with(limits);
    assert_eq!(poll_interrupt(&mut bench).len(), 3);
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
        let mut bench = HostBench::new();
        let mut standing = poll_interrupt(&mut bench);
        assert_eq!(standing.len(), 5);
        bench.say(0, change.clone());
        let [set] = &bench.all_submitted()[..] else {
            panic!()
        };
        // One is cancelled by it, which is nobody's; meanwhile none is made.
        let cancelled = standing.remove(0).fail(Status::CANCELLED);
        bench.host.complete(cancelled);
        assert!(bench.all_submitted().is_empty() && bench.heard().is_empty());
        bench.host.complete(set.clone().stall());
        assert_eq!(bench.heard().len(), 1, "its status");
        assert_eq!(bench.all_submitted().len(), 1, "they go on");
        let key = standing.remove(0).complete_in(vec![7]);
        bench.host.complete(key);
        assert!(matches!(bench.heard()[..], [(_, Packet::Interrupt { .. })]));
    }
}

#[test]
fn a_change_that_succeeds_ends_them() {
    let mut bench = HostBench::new();
    let mut standing = poll_interrupt(&mut bench);
    bench.say(0, Packet::SetConfiguration { value: 1 });
    let [set] = &bench.all_submitted()[..] else {
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
        let mut bench = HostBench::new();
        let endpoint = address(INTERRUPT_IN);
        bench.say(0, Packet::StartInterruptReceiving { endpoint });
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
        assert_eq!(bench.heard().last(), Some(&(0, stalled)));
    }
}
