//! Payloads keep their place in memory, and the steady state allocates nothing but them.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{DEVICE, Submit};
use testkit::{allocations, kept_bytes};
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{
    Frontend, Function, HostEvent, Payload, Step, Transfer, TransferIds, TxQueue, Wire,
};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits, client};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

fn session() -> Session {
    Session::new(DeviceId::from_u32(DEVICE), Speed::High, Limits::default())
}

/// Takes what is queued as a socket does, by vectored writes.
fn drain(tx: &mut TxQueue) {
    while tx.has_remaining() {
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let count = tx.chunks_vectored(&mut slices);
        let written = slices[..count].iter().map(|slice| slice.len()).sum();
        tx.advance(written);
    }
}

#[test]
fn data_in_goes_from_the_store_to_the_socket_in_place() {
    let mut session = session();
    let mut rx = BytesMut::from(&Submit::new(1, 1, 1, 4096).header()[..]);
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    let Some(HostEvent::Submit(transfer)) = session.poll() else {
        panic!()
    };
    let stored = Bytes::from(vec![1; 4096]);
    session.complete(transfer.complete_in(stored.clone()));
    let slices: Vec<_> = session
        .tx()
        .slices()
        .map(|slice| (slice.as_ptr(), slice.len()))
        .collect();
    assert_eq!(slices[1], (stored.as_ptr(), 4096));
}

#[test]
fn data_out_goes_from_the_receive_buffer_to_the_function_in_place() {
    let mut session = session();
    let mut rx = BytesMut::with_capacity(8192);
    rx.extend_from_slice(&Submit::new(1, 0, 2, 4096).header());
    rx.extend_from_slice(&[7; 4096]);
    let payload = rx[48..].as_ptr();
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    let Some(HostEvent::Submit(transfer)) = session.poll() else {
        panic!()
    };
    let Payload::Out(data) = transfer.payload else {
        panic!()
    };
    assert_eq!(data.as_ptr(), payload);
}

/// Requests as a socket delivers them: the loop reads into the room that the session makes.
fn round_trips(count: u32, length: usize, direction: u32) -> u64 {
    let mut session = session();
    let mut rx = BytesMut::new();
    let stored = Bytes::from(vec![1; length]);
    let mut message = Submit::new(0, direction, 1, length as i32)
        .header()
        .to_vec();
    if direction == 0 {
        message.resize(48 + length, 7);
    }
    let mut run = |count: u32, seqnum: &mut u32| {
        for _ in 0..count {
            *seqnum += 1;
            message[4..8].copy_from_slice(&seqnum.to_be_bytes());
            let mut sent = 0;
            let event = loop {
                match session.receive(&mut rx).unwrap() {
                    Step::Ready => break session.poll(),
                    Step::Io(_) => {
                        // A read fills the room there is.
                        let room = (rx.capacity() - rx.len()).min(message.len() - sent);
                        assert!(room > 0);
                        rx.extend_from_slice(&message[sent..sent + room]);
                        sent += room;
                    }
                }
            };
            let Some(HostEvent::Submit(transfer)) = event else {
                panic!()
            };
            let completion = match transfer.payload {
                Payload::In { .. } => transfer.complete_in(stored.clone()),
                Payload::Out(_) => transfer.complete_out(),
            };
            session.complete(completion);
            drain(session.tx());
        }
    };
    let mut seqnum = 0;
    run(200, &mut seqnum);
    allocations(|| run(count, &mut seqnum)).0
}

#[test]
fn a_request_costs_no_allocation_beyond_its_payload() {
    for length in [0, 1, 512, 4096, 65_536, 1 << 20] {
        assert_eq!(round_trips(100, length, 1), 0, "IN, {length} bytes");
    }
    // A payload is a part of the receive buffer, which is used again, or a small copy.
    for (length, payloads) in [(0, 0), (31, 1), (512, 0), (65_536, 0), (122_880, 0)] {
        assert_eq!(
            round_trips(100, length, 0),
            payloads * 100,
            "OUT, {length} bytes"
        );
    }
}

/// A stream of isochronous transfers, eight in flight.
#[test]
fn an_isochronous_request_costs_no_allocation_either() {
    let head = Submit {
        packets: 8,
        interval: 8,
        ..Submit::new(0, 1, 3, 800)
    }
    .header();
    let packets: Vec<u8> = (0..8)
        .flat_map(|at| common::packet(at * 100, 100))
        .collect();
    let mut message = [&head[..], &packets].concat();
    let stored = Bytes::from(vec![1; 800]);
    let mut session = session();
    let mut rx = BytesMut::new();
    let mut pending = std::collections::VecDeque::with_capacity(8);
    let mut run = |numbers: std::ops::Range<u32>| {
        for seqnum in numbers {
            message[4..8].copy_from_slice(&seqnum.to_be_bytes());
            let Step::Io(_) = session.receive(&mut rx).unwrap() else {
                panic!()
            };
            rx.extend_from_slice(&message);
            assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
            let Some(HostEvent::Submit(transfer)) = session.poll() else {
                panic!()
            };
            pending.push_back(transfer);
            if pending.len() == 8 {
                let mut transfer: Transfer = pending.pop_front().unwrap();
                let list = match &mut transfer.kind {
                    usb_transfer::Kind::Isochronous(list) => std::mem::take(list),
                    _ => panic!(),
                };
                let mut list = list;
                list.iter_mut()
                    .for_each(|packet| packet.actual = packet.length);
                session.complete(transfer.complete_packets(list, stored.clone().into()));
                drain(session.tx());
            }
        }
    };
    run(0..200);
    assert_eq!(allocations(|| run(200..1200)).0, 0);
}

/// Lets the session read a stream of writes of these lengths, as much as there is room for, and
/// hands each transfer on.
fn write_all(
    session: &mut Session,
    rx: &mut BytesMut,
    lengths: impl IntoIterator<Item = usize>,
    mut device: impl FnMut(&mut Session, Transfer),
) {
    let mut stream = Vec::new();
    let mut lengths = (1..).zip(lengths).peekable();
    loop {
        match session.receive(rx).unwrap() {
            Step::Ready => match session.poll() {
                Some(HostEvent::Submit(transfer)) => device(session, transfer),
                other => panic!("{other:?}"),
            },
            Step::Io(wants) => {
                drain(session.tx());
                let room = (rx.capacity() - rx.len()).max(wants.read.unwrap().get());
                while stream.len() < room && lengths.peek().is_some() {
                    let (seqnum, length) = lengths.next().unwrap();
                    stream.extend(Submit::new(seqnum, 0, 2, length as i32).header());
                    stream.resize(stream.len() + length, 7);
                }
                if stream.is_empty() {
                    return;
                }
                let now = room.min(stream.len());
                rx.extend_from_slice(&stream[..now]);
                stream.drain(..now);
            }
        }
    }
}

#[test]
fn a_burst_of_writes_is_taken_in_place() {
    for length in [4096, 16 << 10, 64 << 10] {
        let (mut session, mut rx) = (session(), BytesMut::new());
        let mut copies = 0;
        let mut number = 0;
        let mut last = 0;
        write_all(&mut session, &mut rx, [length; 500], |session, transfer| {
            let Payload::Out(data) = &transfer.payload else {
                panic!()
            };
            // Two neighbours lie a header apart.
            let place = data.as_ptr() as usize;
            number += 1;
            copies += usize::from(number > 100 && place.wrapping_sub(last) != length + 48);
            last = place;
            session.complete(transfer.complete_out());
        });
        // The first of each read has no neighbour.
        let reads = 400usize
            .div_ceil((256 << 10) / (length + 48) - 1)
            .max(400 / 15);
        assert!(
            copies <= reads + 2,
            "{copies} of {length} bytes, {reads} reads"
        );
    }
}

/// The bound that [`Limits::max_in_flight_bytes`] states.
#[test]
fn held_payloads_keep_no_more_alive_than_the_limits_say() {
    for length in [300, 4096, 16 << 10, 17_000, 60_000] {
        let (mut session, mut rx) = (session(), BytesMut::new());
        let mut held = Vec::with_capacity(600);
        let (kept, ()) = kept_bytes(|| {
            // A long one among short ones keeps the room for long ones. One in sixteen is held.
            let lengths = (0..9600).map(|number| if number % 60 == 1 { 200_000 } else { length });
            let mut number = 0;
            write_all(&mut session, &mut rx, lengths, |session, transfer| {
                number += 1;
                if number % 16 == 0 && transfer.payload.len() == length {
                    held.push(transfer);
                } else {
                    session.complete(transfer.complete_out());
                }
            });
        });
        let payloads = held.len() * length;
        assert!(held.len() > 500);
        let most = 2 * payloads + 64 * (256 << 10) + (1 << 20);
        assert!(kept as usize <= most, "{kept} for {payloads} bytes held");
    }
}

/// The bounds that `client::Session` states, with many in flight and with few.
#[test]
fn payloads_of_replies_keep_no_more_alive_than_is_said() {
    for length in [16 << 10, 17_000] {
        let (kept, payloads) = kept_by_replies(3200, length, 16);
        let most = 2 * payloads + 64 * (256 << 10) + (1 << 20);
        assert!(kept <= most, "{kept} for {payloads} bytes held");
    }
    for length in [2000, 4096, 16 << 10, 17_000] {
        let (kept, payloads) = kept_by_replies(60, length, 64);
        let most = 16 * payloads + (1 << 20);
        assert!(kept <= most, "{kept} for {payloads} bytes held");
    }
}

/// Of 3200 replies, with so many requests in flight, one in `every` is kept: the bytes that those
/// keep alive, and their own.
fn kept_by_replies(depth: usize, length: usize, every: usize) -> (usize, usize) {
    const ASKED: usize = 3200;
    let device = DeviceId::from_u32(DEVICE);
    let mut session = client::Session::new(device, Speed::High, Limits::default());
    let (mut rx, mut ids) = (BytesMut::new(), TransferIds::default());
    // A long one among short ones keeps the room for long ones.
    let has_long = depth > 64;
    let length_of = |number: usize| {
        let is_long = has_long && number % 60 == 1;
        if is_long { 200_000 } else { length }
    };
    let mut ask = |session: &mut client::Session, number| {
        let (id, endpoint) = (ids.mint(), EndpointAddress::from_byte(0x81));
        session.submit(Transfer::data_in(id, endpoint, length_of(number) as u32));
        drain(session.tx());
    };
    (0..depth).for_each(|number| ask(&mut session, number));
    let mut held = Vec::with_capacity(ASKED);
    let (kept, ()) = kept_bytes(|| {
        let (mut number, mut message, mut sent) = (0, Vec::new(), 0);
        let (mut asked, mut replied) = (depth, 0);
        while replied < ASKED {
            match session.receive(&mut rx).unwrap() {
                Step::Ready => {
                    let event = session.poll();
                    replied += 1;
                    held.extend(event.filter(|_| replied % every == 0));
                    if asked < ASKED {
                        ask(&mut session, asked);
                        asked += 1;
                    }
                }
                Step::Io(_) => {
                    // A read fills the room there is.
                    while rx.len() < rx.capacity() && (number < asked || sent < message.len()) {
                        if sent == message.len() {
                            let length = length_of(number);
                            number += 1;
                            message = common::ret(3, number as u32, 0, length as i32, 0).to_vec();
                            message.resize(48 + length, 7);
                            sent = 0;
                        }
                        let now = (rx.capacity() - rx.len()).min(message.len() - sent);
                        rx.extend_from_slice(&message[sent..sent + now]);
                        sent += now;
                    }
                }
            }
        }
    });
    (kept as usize, held.len() * length)
}

/// Of isochronous transfers no more lists are kept than `Limits` says.
#[test]
fn lists_of_packets_are_kept_to_a_limit() {
    let mut session = session();
    let mut rx = BytesMut::new();
    let mut pending = Vec::new();
    for seqnum in 0..200 {
        let head = Submit {
            // Lengths that grow, so that lists grow too.
            packets: 513 + seqnum as i32 * 2,
            ..Submit::new(seqnum, 1, 3, 0)
        };
        rx.extend_from_slice(&head.header());
        rx.resize(rx.len() + 16 * head.packets as usize, 0);
        assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
        let Some(HostEvent::Submit(transfer)) = session.poll() else {
            panic!()
        };
        pending.push(transfer);
        if pending.len() == 40 {
            for transfer in pending.drain(..) {
                session.complete(transfer.complete_in(Bytes::new()));
            }
            drain(session.tx());
        }
    }
    let lists = session.footprint() - session.tx().footprint();
    assert!(lists > 32 * 513 * 16, "they are counted: {lists}");
    let table = 64 * 128;
    assert!(lists <= (1 << 20) + table, "{lists}");
}

#[test]
fn an_idle_session_is_small() {
    let mut session = session();
    let mut rx = BytesMut::new();
    // A long transfer, then small ones.
    rx.extend_from_slice(&Submit::new(0, 0, 2, 16 << 20).header());
    rx.resize(48 + (16 << 20), 7);
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    let Some(HostEvent::Submit(transfer)) = session.poll() else {
        panic!()
    };
    session.complete(transfer.complete_out());
    drain(session.tx());
    for seqnum in 1..300 {
        let Step::Io(_) = session.receive(&mut rx).unwrap() else {
            panic!()
        };
        rx.extend_from_slice(&Submit::new(seqnum, 1, 1, 512).header());
        assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
        let Some(HostEvent::Submit(transfer)) = session.poll() else {
            panic!()
        };
        session.complete(transfer.complete_in(Bytes::from_static(&[0; 512])));
        drain(session.tx());
    }
    let Step::Io(_) = session.receive(&mut rx).unwrap() else {
        panic!()
    };
    assert!(rx.is_empty());
    let owned = size_of::<Session>() + session.footprint();
    assert!(
        owned + rx.capacity() < 4096,
        "{owned} and {} to read into",
        rx.capacity()
    );
}
