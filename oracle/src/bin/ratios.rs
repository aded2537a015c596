//! How long `libusbredirparser` and `usbredir-proto` take for the same bulk packets, in one run:
//! `cargo run --release --bin ratios`.
//!
//! Reading starts with bytes in a buffer: the library's `read` callback copies them out of it, as a
//! socket would; ours has them from the socket in place. It ends when the data was freed. Writing
//! starts with data that its caller has, and ends with slices for a socket, which neither side's
//! socket copies; ours gives the data up with it, what the library's caller does later.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use oracle::Oracle;
use usb_descriptors::EndpointAddress;
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Limits};

fn packet(data: Bytes) -> Packet {
    Packet::Bulk {
        endpoint: EndpointAddress::from_byte(2),
        status: StatusCode::SUCCESS,
        stream: 0,
        length: data.len() as u32,
        data: data.into(),
    }
}

fn drain(tx: &mut TxQueue) -> Vec<u8> {
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

fn hello(role: Role) -> Vec<u8> {
    let codec = Codec::new(role, Capabilities::ALL, Limits::default());
    let mut tx = TxQueue::new();
    let hello = Packet::Hello(codec.hello("ratios"));
    codec.encode(0, hello, &mut tx).expect("a hello");
    drain(&mut tx)
}

fn ours(role: Role) -> Codec {
    let mut codec = Codec::new(role, Capabilities::ALL, Limits::default());
    let mut rx = BytesMut::from(&hello(role.peer())[..]);
    let _ = codec.decode(&mut rx).expect("a hello");
    codec
}

fn theirs(role: Role) -> Oracle {
    let mut oracle = Oracle::new(role == Role::Host, 0xff);
    oracle.bring(&hello(role.peer()));
    oracle.read().expect("a hello");
    oracle.discard();
    oracle.count_only();
    oracle
}

const RUNS: usize = 200;

/// What `run` takes for each of `count`, in nanoseconds: the best of several.
fn best(count: usize, mut prepare: impl FnMut(), mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        prepare();
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default().as_nanos() as f64 / count as f64
}

fn fixed(length: usize) -> [u8; 10] {
    let [a, b, c, d] = (length as u32).to_le_bytes();
    [2, 0, a, b, 0, 0, 0, 0, c, d]
}

/// Each packet is queued and written: ours, then the library's.
fn encode(data: &Bytes) -> (f64, f64) {
    let count = if data.len() > 4096 { 50 } else { 1000 };
    let (codec, mut oracle) = (ours(Role::Guest), theirs(Role::Guest));
    let mut tx = TxQueue::new();
    let payloads = RefCell::new(Vec::new());
    let ours = best(
        count,
        || *payloads.borrow_mut() = vec![data.clone(); count],
        || {
            for (id, data) in payloads.borrow_mut().drain(..).enumerate() {
                codec
                    .encode(id as u64, packet(data), &mut tx)
                    .expect("fits");
                black_box(tx.slices().count());
                tx.advance(tx.remaining());
            }
        },
    );
    let before = oracle.discard();
    let theirs = best(
        count,
        || (),
        || {
            for id in 0..count {
                oracle.send(101, id as u64, &fixed(data.len()), data);
                black_box(oracle.discard());
            }
        },
    );
    assert!(oracle.discard() - before >= RUNS * count * data.len());
    (ours, theirs)
}

/// As many packets as one read brings, of many connections, so that the clock is read once for many
/// packets: ours, then the library's.
fn decode(data: &Bytes) -> (f64, f64) {
    let (codec, mut tx) = (ours(Role::Guest), TxQueue::new());
    codec
        .encode(7, packet(data.clone()), &mut tx)
        .expect("fits");
    let message = drain(&mut tx);
    let batch = (4096 / message.len()).max(1);
    let connections = if data.len() > 4096 { 4 } else { 32 };
    let count = connections * batch;

    let buffers = || (ours(Role::Host), BytesMut::new());
    let connected: Vec<_> = std::iter::repeat_with(buffers).take(connections).collect();
    let connected = RefCell::new(connected);
    let ours = best(
        count,
        || {
            for (_, rx) in connected.borrow_mut().iter_mut() {
                rx.reserve(message.len() * batch);
                (0..batch).for_each(|_| rx.extend_from_slice(&message));
            }
        },
        || {
            for (codec, rx) in connected.borrow_mut().iter_mut() {
                loop {
                    match codec.decode(rx).expect("fits") {
                        Decoded::Packet {
                            id,
                            packet: Packet::Bulk { length, data, .. },
                        } => {
                            black_box((id, length));
                            black_box(data.iter().next().map(|piece| piece.as_ptr()));
                        }
                        Decoded::Packet { packet, .. } => panic!("{packet:?}"),
                        Decoded::Missing(_) => break,
                    }
                }
            }
        },
    );
    let connected: Vec<_> = (0..connections).map(|_| theirs(Role::Host)).collect();
    let connected = RefCell::new(connected);
    let theirs = best(
        count,
        || {
            for oracle in connected.borrow_mut().iter_mut() {
                (0..batch).for_each(|_| oracle.bring(&message));
            }
        },
        || {
            for oracle in connected.borrow_mut().iter_mut() {
                oracle.read().expect("fits");
            }
        },
    );
    let seen: u64 = connected.into_inner().iter().map(Oracle::count).sum();
    assert!(seen >= (RUNS * count) as u64);
    (ours, theirs)
}

/// Packets of 512 bytes queued while nothing is written: ours, then the library's, each.
fn queue(count: u32) -> (f64, f64) {
    let data = Bytes::from(vec![0x5a; 512]);
    let (codec, mut oracle, mut tx) = (ours(Role::Guest), theirs(Role::Guest), TxQueue::new());
    let start = Instant::now();
    for id in 0..count {
        let packet = packet(data.clone());
        codec.encode(id.into(), packet, &mut tx).expect("fits");
    }
    let ours = start.elapsed();
    let start = Instant::now();
    for id in 0..count {
        oracle.send(101, id.into(), &fixed(512), &data);
    }
    let each = |spent: Duration| spent.as_nanos() as f64 / f64::from(count);
    (each(ours), each(start.elapsed()))
}

fn main() {
    println!("bulk packet, ns      encode C     ours   ratio    decode C     ours   ratio");
    for size in [31, 512, 64 << 10, 1 << 20] {
        let data = Bytes::from(vec![0x5a; size]);
        let ((encode, encode_c), (decode, decode_c)) = (encode(&data), decode(&data));
        println!(
            "{size:>8} bytes       {encode_c:>8.1} {encode:>8.1} {:>7.2}    {decode_c:>8.1} {decode:>8.1} {:>7.2}",
            encode / encode_c,
            decode / decode_c
        );
    }
    println!("\nqueued without writing, ns each      C     ours");
    for count in [1_000, 10_000, 40_000] {
        let (ours, theirs) = queue(count);
        println!("{count:>8} packets           {theirs:>11.0} {ours:>8.0}");
    }
}
