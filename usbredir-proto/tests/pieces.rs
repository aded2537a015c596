//! Bulk transfers that a guest sends in pieces, where the host's lengths have 16 bits.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use std::collections::VecDeque;
use std::num::NonZeroU16;

use bytes::{BufMut, Bytes, BytesMut};
use common::bench::{Bench, bytes_of};
use common::{BULK_IN, BULK_OUT, address, descriptors};
use usb_transfer::{
    Actual, Completion, Flags, Function, FunctionEvent, Kind, Payload, Status, Step, StreamId,
    Transfer, TransferId, TransferIds, Wire, exchange,
};
use usbredir_proto::codec::{EndpointInfo, Packet, StatusCode};
use usbredir_proto::{Capabilities, Guest, Host, Options};

const PIECE: usize = 64_512;

fn without(capabilities: Capabilities) -> Bench {
    let mut options = Options::default();
    options.capabilities = Capabilities::ALL.without(capabilities);
    Bench::with(options)
}

fn bench() -> Bench {
    without(Capabilities::BULK_LENGTH_32_BITS)
}

/// Bytes of which no two places look the same.
fn noise(length: usize) -> Bytes {
    let bytes = (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
    bytes.collect::<Vec<u8>>().into()
}

/// A piece as the host got it: its id, length and data.
#[track_caller]
fn piece(bench: &mut Bench) -> (u64, u32, Bytes) {
    match &bench.heard_with_ids()[..] {
        [(id, Packet::Bulk { length, data, .. })] => (*id, *length, data.to_bytes()),
        other => panic!("{other:?}"),
    }
}

fn reply(endpoint: u8, status: StatusCode, length: usize, data: Bytes) -> Packet {
    Packet::Bulk {
        endpoint: address(endpoint),
        status,
        stream: 0,
        length: length as u32,
        data: data.into(),
    }
}

/// The host brings so much of what it was asked for.
fn bring(bench: &mut Bench, id: u64, status: StatusCode, data: Bytes) {
    bench.say(id, reply(BULK_IN, status, data.len(), data));
}

fn take(bench: &mut Bench, id: u64, status: StatusCode, length: u32) {
    bench.say(id, reply(BULK_OUT, status, length as usize, Bytes::new()));
}

fn write(bench: &mut Bench, data: Bytes, zero_packet: bool) -> TransferId {
    let flags = Flags {
        zero_packet,
        ..Flags::default()
    };
    let transfer = Transfer::data_out(bench.ids.mint(), address(BULK_OUT), data);
    bench.submit(transfer.with_flags(flags))
}

#[track_caller]
fn brought(bench: &mut Bench, id: TransferId) -> (Status, usize) {
    let completion = bench.completed(id);
    (completion.status, completion.actual.len())
}

#[test]
fn what_is_read_comes_piece_by_piece_and_is_not_copied() {
    let mut bench = bench();
    let all = noise(150_000);
    let transfer = bench.read(BULK_IN, 150_000);
    let mut at = 0;
    for expected in [PIECE, PIECE, 150_000 - 2 * PIECE] {
        let (id, length, data) = piece(&mut bench);
        assert_eq!((length as usize, data.len()), (expected, 0));
        assert_eq!(bench.event(), None);
        bring(
            &mut bench,
            id,
            StatusCode::SUCCESS,
            all.slice(at..at + expected),
        );
        at += expected;
    }
    let completion = bench.completed(transfer);
    assert_eq!(completion.status, Status::COMPLETED);
    let Actual::In(data) = &completion.actual else {
        panic!("{completion:?}")
    };
    assert_eq!(data.iter().count(), 3, "as they came");
    assert_eq!(bytes_of(&completion), all);
    bench.is_quiet();
}

#[test]
fn what_is_written_goes_piece_by_piece() {
    let mut bench = bench();
    let all = noise(2 * PIECE);
    let transfer = write(&mut bench, all.clone(), false);
    let mut gone = Vec::new();
    for _ in 0..2 {
        let (id, length, data) = piece(&mut bench);
        assert_eq!((length as usize, data.len()), (PIECE, PIECE));
        gone.extend_from_slice(&data);
        assert_eq!(bench.event(), None);
        take(&mut bench, id, StatusCode::SUCCESS, length);
    }
    assert_eq!(gone, all);
    assert_eq!(
        bench.completed(transfer).actual,
        Actual::Out(2 * PIECE as u32)
    );
    bench.is_quiet();
}

#[test]
fn what_fits_goes_at_once() {
    let mut lesser = bench();
    lesser.read(BULK_IN, 0xffff);
    assert_eq!(piece(&mut lesser).1, 0xffff);
    lesser.read(BULK_IN, 0xffff);
    assert_eq!(piece(&mut lesser).1, 0xffff, "it waits for nothing");
    let mut able = Bench::new();
    able.read(BULK_IN, 0x10_0000);
    assert_eq!(piece(&mut able).1, 0x10_0000);
    // What is more than the limit is refused, as by any.
    let long = lesser.read(BULK_IN, (16 << 20) + 1);
    lesser.ends(long, Status::INVALID);
}

#[test]
fn a_piece_that_is_short_or_fails_ends_the_transfer() {
    let mut bench = bench();
    for short in [0, 1, PIECE - 1] {
        let transfer = bench.read(BULK_IN, 1 << 20);
        for length in [PIECE, short] {
            let (id, ..) = piece(&mut bench);
            bring(&mut bench, id, StatusCode::SUCCESS, noise(length));
        }
        let moved = PIECE + short;
        assert_eq!(brought(&mut bench, transfer), (Status::COMPLETED, moved));
        bench.is_quiet();
    }
    let transfer = bench.read(BULK_IN, 1 << 20);
    for (status, length) in [(StatusCode::SUCCESS, PIECE), (StatusCode::STALL, 7)] {
        let (id, ..) = piece(&mut bench);
        bring(&mut bench, id, status, noise(length));
    }
    assert_eq!(brought(&mut bench, transfer), (Status::STALL, PIECE + 7));
    // More than it was asked for.
    let transfer = bench.read(BULK_IN, 1 << 20);
    let (id, ..) = piece(&mut bench);
    bring(&mut bench, id, StatusCode::SUCCESS, noise(PIECE + 1));
    assert_eq!(brought(&mut bench, transfer), (Status::OVERFLOW, PIECE));
    // OUT, a device took a part.
    let transfer = write(&mut bench, noise(100_000), false);
    let (id, ..) = piece(&mut bench);
    take(&mut bench, id, StatusCode::SUCCESS, 512);
    assert_eq!(brought(&mut bench, transfer), (Status::COMPLETED, 512));
    bench.is_quiet();
}

#[test]
fn what_follows_on_the_endpoint_waits() {
    let mut bench = bench();
    let first = bench.read(BULK_IN, 100_000);
    let (one, ..) = piece(&mut bench);
    let second = bench.read(BULK_IN, 13);
    let third = bench.read(BULK_IN, 70_000);
    let fourth = bench.read(BULK_IN, 31);
    bench.is_quiet();
    // Of another endpoint nothing does.
    let other = write(&mut bench, noise(31), false);
    let (id, length, _) = piece(&mut bench);
    take(&mut bench, id, StatusCode::SUCCESS, length);
    bench.ends(other, Status::COMPLETED);

    bring(&mut bench, one, StatusCode::SUCCESS, noise(PIECE));
    let (one, ..) = piece(&mut bench);
    bring(&mut bench, one, StatusCode::SUCCESS, Bytes::new());
    assert_eq!(brought(&mut bench, first), (Status::COMPLETED, PIECE));
    // The next two follow at once, and the last only after the pieces of the third.
    let heard = bench.heard_with_ids();
    let [
        (two, Packet::Bulk { length: 13, .. }),
        (three, Packet::Bulk { length: 64_512, .. }),
    ] = heard[..]
    else {
        panic!("{heard:?}")
    };
    bring(&mut bench, three, StatusCode::SUCCESS, noise(PIECE));
    let (three, ..) = piece(&mut bench);
    bring(&mut bench, two, StatusCode::SUCCESS, noise(13));
    assert_eq!(brought(&mut bench, second), (Status::COMPLETED, 13));
    bench.is_quiet();
    bring(
        &mut bench,
        three,
        StatusCode::SUCCESS,
        noise(70_000 - PIECE),
    );
    assert_eq!(brought(&mut bench, third), (Status::COMPLETED, 70_000));
    let (four, length, _) = piece(&mut bench);
    assert_eq!(length, 31);
    bring(&mut bench, four, StatusCode::SUCCESS, noise(31));
    assert_eq!(brought(&mut bench, fourth), (Status::COMPLETED, 31));
    bench.is_quiet();
}

/// Which piece's reply meets the cancel, how it ended, how much it brought, and what the transfer
/// of two pieces then completes with.
#[test]
fn cancel_goes_to_the_piece_under_way() {
    let (success, cancelled) = (StatusCode::SUCCESS, StatusCode::CANCELLED);
    for (pieces_before, status, length, expected) in [
        // As asked.
        (0, cancelled, 100, (Status::CANCELLED, 100)),
        (1, cancelled, 100, (Status::CANCELLED, PIECE + 100)),
        // The piece was faster, but the transfer is not done.
        (0, success, PIECE, (Status::CANCELLED, PIECE)),
        // The device had no more, or nothing was missing.
        (0, success, 100, (Status::COMPLETED, 100)),
        (1, success, 100_000 - PIECE, (Status::COMPLETED, 100_000)),
        (0, StatusCode::STALL, 100, (Status::STALL, 100)),
    ] {
        let mut bench = bench();
        let transfer = bench.read(BULK_IN, 100_000);
        let next = bench.read(BULK_IN, 13);
        for _ in 0..pieces_before {
            let (id, ..) = piece(&mut bench);
            bring(&mut bench, id, success, noise(PIECE));
        }
        let (id, ..) = piece(&mut bench);
        bench.guest.cancel(transfer);
        bench.guest.cancel(transfer);
        assert_eq!(bench.heard_with_ids(), [(id, Packet::CancelDataPacket)]);
        assert_eq!(bench.event(), None, "the host has the word");
        bring(&mut bench, id, status, noise(length));
        assert_eq!(brought(&mut bench, transfer), expected);
        // What waited goes, and the reply may not come again.
        let (next_id, length, _) = piece(&mut bench);
        assert_eq!(length, 13);
        bring(&mut bench, id, status, Bytes::new());
        bench.is_quiet();
        bring(&mut bench, next_id, success, noise(13));
        bench.ends(next, Status::COMPLETED);
    }
}

#[test]
fn what_waits_is_cancelled_at_once() {
    let mut bench = bench();
    let first = bench.read(BULK_IN, 70_000);
    let (id, ..) = piece(&mut bench);
    let waiting: Vec<_> = (1..4).map(|length| bench.read(BULK_IN, length)).collect();
    bench.guest.cancel(waiting[1]);
    bench.ends(waiting[1], Status::CANCELLED);
    bench.is_quiet();
    bring(&mut bench, id, StatusCode::SUCCESS, noise(5));
    bench.ends(first, Status::COMPLETED);
    let heard = bench.heard();
    let lengths = heard.iter().map(|packet| match packet {
        Packet::Bulk { length, .. } => *length,
        other => panic!("{other:?}"),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [1, 3]);
}

/// Both transfers of an endpoint end, the first with what has moved.
#[test]
fn a_reset_a_configuration_and_an_unplugging_end_all() {
    type End = fn(&mut Bench);
    let reset: End = |bench| bench.guest.reset();
    let configure: End = |bench| {
        bench.control([0, 9, 1, 0, 0, 0, 0, 0]);
    };
    let unplug: End = |bench| bench.say(0, Packet::DeviceDisconnect);
    let end: End = |bench| bench.guest.end();
    for (how, status) in [
        (reset, Status::CANCELLED),
        (configure, Status::CANCELLED),
        (unplug, Status::DISCONNECTED),
        (end, Status::DISCONNECTED),
    ] {
        let mut bench = bench();
        let first = bench.read(BULK_IN, 100_000);
        let second = bench.read(BULK_IN, 100_000);
        let (id, ..) = piece(&mut bench);
        bring(&mut bench, id, StatusCode::SUCCESS, noise(PIECE));
        let (id, ..) = piece(&mut bench);
        how(&mut bench);
        assert_eq!(brought(&mut bench, first), (status, PIECE));
        assert_eq!(brought(&mut bench, second), (status, 0));
        if status == Status::CANCELLED {
            assert_eq!(bench.heard_with_ids()[0], (id, Packet::CancelDataPacket));
            // Late, and about nothing.
            bring(&mut bench, id, StatusCode::SUCCESS, noise(9));
            bench.is_quiet();
            // The endpoint is free.
            bench.read(BULK_IN, 4);
            assert_eq!(piece(&mut bench).1, 4);
        }
    }
}

#[test]
fn an_empty_packet_follows_the_last_piece_where_it_is_wanted() {
    // Bytes, and pieces where 512 go in a packet.
    let cases: [(usize, &[u32]); 6] = [
        (1024, &[1024, 0]),
        (1000, &[1000]),
        (0, &[0]),
        (2 * PIECE, &[64_512, 64_512, 0]),
        (PIECE + 512, &[65_024, 0]),
        (PIECE + 1030, &[64_512, 1030]),
    ];
    for (length, expected) in cases {
        let mut bench = bench();
        let transfer = write(&mut bench, noise(length), true);
        for &expected in expected {
            let (id, length, data) = piece(&mut bench);
            assert_eq!((length, data.len()), (expected, expected as usize));
            take(&mut bench, id, StatusCode::SUCCESS, length);
        }
        let moved = (Status::COMPLETED, length);
        assert_eq!(brought(&mut bench, transfer), moved);
        bench.is_quiet();
    }
    // In one packet of the wire, too, and not for those who do not ask.
    let mut able = Bench::new();
    write(&mut able, noise(1 << 17), true);
    let (id, length, _) = piece(&mut able);
    take(&mut able, id, StatusCode::SUCCESS, length);
    assert_eq!(piece(&mut able).1, 0);
    write(&mut able, noise(512), false);
    able.is_quiet();
    // Nobody knows how long packets are.
    let mut lesser = without(Capabilities::ENDPOINT_MAX_PACKET_SIZE);
    let transfer = write(&mut lesser, noise(1024), true);
    let (id, length, _) = piece(&mut lesser);
    take(&mut lesser, id, StatusCode::SUCCESS, length);
    lesser.ends(transfer, Status::COMPLETED);
}

/// The device decides which stream goes on, so none may wait for another.
#[test]
fn streams_of_an_endpoint_do_not_wait_for_each_other() {
    let mut bench = bench();
    let mut endpoints = EndpointInfo::default();
    let mut entry = bench.guest.device().unwrap().endpoint(address(BULK_IN));
    entry.max_streams = 4;
    endpoints.set(address(BULK_IN), entry);
    bench.say(0, Packet::EndpointInfo(endpoints));
    let read = |bench: &mut Bench, stream| {
        let stream = NonZeroU16::new(stream).map(StreamId);
        let payload = Payload::In { length: 100_000 };
        let transfer = Transfer::new(
            bench.ids.mint(),
            address(BULK_IN),
            Kind::Data { stream },
            payload,
        );
        bench.submit(transfer)
    };
    let transfers = [1, 2, 2].map(|stream| read(&mut bench, stream));
    let heard = bench.heard_with_ids();
    let [
        (_, Packet::AllocBulkStreams { .. }),
        (one, Packet::Bulk { stream: 1, .. }),
        (two, Packet::Bulk { stream: 2, .. }),
    ] = heard[..]
    else {
        panic!("{heard:?}")
    };
    bring(&mut bench, two, StatusCode::SUCCESS, noise(PIECE));
    let (two, ..) = piece(&mut bench);
    bring(&mut bench, two, StatusCode::SUCCESS, Bytes::new());
    bench.ends(transfers[1], Status::COMPLETED);
    assert_eq!(
        piece(&mut bench).1 as usize,
        PIECE,
        "the other of its stream"
    );
    bring(&mut bench, one, StatusCode::SUCCESS, Bytes::new());
    bench.ends(transfers[0], Status::COMPLETED);
}

/// Takes all it is sent, and sends as much as it is asked for.
#[derive(Default)]
struct Store {
    taken: Vec<u8>,
    given: usize,
    longest: usize,
    done: VecDeque<Completion>,
}

impl Function for Store {
    fn submit(&mut self, transfer: Transfer) {
        self.longest = self.longest.max(transfer.payload.len());
        self.done.push_back(match transfer.payload.clone() {
            Payload::Out(data) => {
                self.taken.extend_from_slice(&data);
                transfer.complete_out()
            }
            Payload::In { length } => {
                let from = self.given;
                self.given += length as usize;
                transfer.complete_in(noise(self.given).slice(from..))
            }
        });
    }

    fn cancel(&mut self, _: TransferId) {}

    fn reset(&mut self) {}

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.done.pop_front().map(FunctionEvent::Complete)
    }
}

/// A host of ours needs nothing for a guest without long lengths: none is asked of it, and it has
/// none to tell.
#[test]
fn a_host_serves_a_guest_without_long_lengths() {
    for (lesser_guest, lesser_host) in [(true, false), (false, true)] {
        let options = |is_lesser| {
            let mut options = Options::default();
            if is_lesser {
                let long = Capabilities::BULK_LENGTH_32_BITS;
                options.capabilities = Capabilities::ALL.without(long);
            }
            options
        };
        let mut host = Host::new(options(lesser_host));
        host.attach(descriptors()).unwrap();
        let mut guest = Guest::new(options(lesser_guest));
        let (mut to_host, mut to_guest) = (BytesMut::new(), BytesMut::new());
        let mut store = Store::default();
        let mut turn = |guest: &mut Guest, store: &mut Store| {
            for _ in 0..40 {
                to_host.put(guest.tx());
                while host.receive(&mut to_host).unwrap() == Step::Ready {
                    exchange(&mut host, store);
                }
                exchange(&mut host, store);
                to_guest.put(host.tx());
                let _ = guest.receive(&mut to_guest).unwrap();
            }
        };
        turn(&mut guest, &mut store);
        let mut ids = TransferIds::default();
        let all = noise(200_000);
        guest.submit(Transfer::data_out(
            ids.mint(),
            address(BULK_OUT),
            all.clone(),
        ));
        guest.submit(Transfer::data_in(ids.mint(), address(BULK_IN), 200_000));
        let mut done = Vec::new();
        for _ in 0..10 {
            turn(&mut guest, &mut store);
            while let Some(FunctionEvent::Complete(completion)) = guest.poll() {
                assert_eq!(completion.status, Status::COMPLETED);
                done.push(completion.actual);
            }
        }
        assert!(store.taken == all, "what was written");
        assert_eq!(store.longest, PIECE);
        assert_eq!(done.len(), 2);
        for actual in done {
            match actual {
                Actual::Out(taken) => assert_eq!(taken, 200_000),
                Actual::In(data) => assert!(data == all, "what was read"),
            }
        }
    }
}
