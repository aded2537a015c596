//! The steady state allocates nothing but payloads, and of those only what arrives.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{BULK_IN, BULK_OUT, address, descriptors};
use testkit::{allocations, kept_bytes};
use usb_transfer::{Frontend, HostEvent, Payload, Step, TxQueue, Wire};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Host, Limits, Options};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

const ROUNDS: u64 = 100;

/// In so many rounds, once everything has its size.
fn steady(mut round: impl FnMut()) -> u64 {
    (0..10).for_each(|_| round());
    allocations(|| (0..ROUNDS).for_each(|_| round())).0
}

fn bulk(endpoint: u8, length: u32, data: Bytes) -> Packet {
    Packet::Bulk {
        endpoint: address(endpoint),
        status: StatusCode::SUCCESS,
        stream: 0,
        length,
        data: data.into(),
    }
}

/// The guest of a host, and what it has said: a hello.
fn guest() -> (Codec, TxQueue) {
    let mut guest = Codec::new(Role::Guest, Capabilities::ALL, Limits::default());
    let host = Codec::new(Role::Host, Capabilities::ALL, Limits::default());
    let mut tx = TxQueue::new();
    host.encode(0, Packet::Hello(host.hello("host")), &mut tx)
        .unwrap();
    let mut rx = BytesMut::from(&tx.copy_to_bytes(tx.remaining())[..]);
    assert!(matches!(guest.decode(&mut rx), Ok(Decoded::Packet { .. })));
    let hello = Packet::Hello(guest.hello("guest"));
    guest.encode(0, hello, &mut tx).unwrap();
    (guest, tx)
}

fn attached() -> (Host, Codec) {
    let (guest, mut tx) = guest();
    let mut host = Host::new(Options::default());
    host.attach(descriptors()).unwrap();
    let mut rx = BytesMut::from(&tx.copy_to_bytes(tx.remaining())[..]);
    assert!(matches!(host.receive(&mut rx), Ok(Step::Io(_))));
    host.tx().clear();
    (host, guest)
}

#[test]
fn a_packet_is_written_without_an_allocation() {
    let (guest, mut tx) = guest();
    for size in [0, 31, 512, 1 << 16, 1 << 20] {
        let data = Bytes::from(vec![7; size]);
        // A second reference, which is counted from now on.
        let _kept = data.clone();
        let count = steady(|| {
            let packet = bulk(BULK_OUT, size as u32, data.clone());
            guest.encode(1, packet, &mut tx).unwrap();
            tx.advance(tx.remaining());
        });
        assert_eq!(count, 0, "{size} bytes");
    }
}

/// From the bytes of a request to those of its reply.
fn requests(size: usize, endpoint: u8) -> u64 {
    let (mut host, guest) = attached();
    let (mut tx, data) = (TxQueue::new(), Bytes::from(vec![7; size]));
    let sent = if endpoint == BULK_OUT {
        data.clone()
    } else {
        Bytes::new()
    };
    guest
        .encode(9, bulk(endpoint, size as u32, sent), &mut tx)
        .unwrap();
    let request = tx.copy_to_bytes(tx.remaining());
    let mut rx = BytesMut::with_capacity(4096);
    steady(|| {
        rx.extend_from_slice(&request);
        assert_eq!(host.receive(&mut rx), Ok(Step::Ready));
        let Some(HostEvent::Submit(transfer)) = host.poll() else {
            panic!()
        };
        let completion = match transfer.payload {
            Payload::In { .. } => transfer.complete_in(data.clone()),
            Payload::Out(_) => transfer.complete_out(),
        };
        host.complete(completion);
        assert!(matches!(host.receive(&mut rx), Ok(Step::Io(_))));
        assert!(host.tx().has_remaining());
        host.tx().clear();
    })
}

/// The bound that [`Limits::max_in_flight_bytes`] states.
#[test]
fn held_payloads_keep_no_more_alive_than_the_limits_say() {
    const ASKED: usize = 3200;
    for length in [16 << 10, 17_000] {
        let (mut host, guest) = attached();
        let (mut rx, mut stream) = (BytesMut::new(), TxQueue::new());
        // A long one among short ones keeps the room for long ones. One in sixteen is held.
        let length_of = |number: usize| if number % 60 == 1 { 200_000 } else { length };
        let data = Bytes::from(vec![7; 200_000]);
        let mut held = Vec::with_capacity(ASKED);
        let (kept, ()) = kept_bytes(|| {
            let (mut number, mut taken) = (0, 0);
            while taken < ASKED {
                match host.receive(&mut rx).unwrap() {
                    Step::Ready => {
                        let Some(HostEvent::Submit(transfer)) = host.poll() else {
                            panic!()
                        };
                        taken += 1;
                        if taken % 16 == 0 {
                            held.push(transfer);
                        } else {
                            host.complete(transfer.complete_out());
                        }
                    }
                    Step::Io(_) => {
                        host.tx().clear();
                        // A read fills the room there is.
                        let room = rx.capacity() - rx.len();
                        while stream.remaining() < room && number < ASKED {
                            let sent = data.slice(..length_of(number));
                            let packet = bulk(BULK_OUT, sent.len() as u32, sent);
                            guest.encode(number as u64, packet, &mut stream).unwrap();
                            number += 1;
                        }
                        let mut left = room.min(stream.remaining());
                        while left > 0 {
                            let now = left.min(stream.chunk().len());
                            rx.extend_from_slice(&stream.chunk()[..now]);
                            stream.advance(now);
                            left -= now;
                        }
                    }
                }
            }
        });
        let payloads = held.len() * length;
        let most = 2 * payloads + 64 * (256 << 10) + (1 << 20);
        assert!(kept as usize <= most, "{kept} for {payloads} bytes held");
    }
}

#[test]
fn a_request_costs_at_most_its_payload() {
    for size in [31, 512, 1 << 16, 1 << 20] {
        assert_eq!(requests(size, BULK_IN), 0, "IN of {size} bytes");
    }
    for size in [31, 512] {
        // None where it is handed on in its place.
        let count = requests(size, BULK_OUT);
        assert!(count <= ROUNDS, "OUT of {size} bytes: {count}");
    }
}
