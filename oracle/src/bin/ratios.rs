//! How long `libusbredirparser` and `usbredir-proto` take for the same bulk packets, in one run:
//! `cargo run --release --bin ratios`.
//!
//! Reading starts with bytes in a buffer: the library's `read` callback copies them out of it, as a
//! socket would; ours has them from the socket in place. Writing ends with slices for a socket:
//! the library's `write` callback copies them, ours hands them on.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use oracle::Oracle;
use usb_descriptors::EndpointAddress;
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Limits};

fn packet(data: &Bytes) -> Packet {
    Packet::Bulk {
        endpoint: EndpointAddress::from_byte(2),
        status: StatusCode::SUCCESS,
        stream: 0,
        length: data.len() as u32,
        data: data.clone().into(),
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

/// The best of several runs, in nanoseconds for each of `count`.
fn best(count: u32, mut run: impl FnMut() -> Duration) -> f64 {
    let best = (0..9).map(|_| run()).min().unwrap_or_default();
    best.as_nanos() as f64 / f64::from(count)
}

fn main() {
    let fixed = |length: usize| {
        let [a, b, c, d] = (length as u32).to_le_bytes();
        [2, 0, a, b, 0, 0, 0, 0, c, d]
    };
    println!("bulk packet, ns       encode C   encode   ratio    decode C   decode   ratio");
    for size in [31, 512, 64 << 10, 1 << 20] {
        let data = Bytes::from(vec![0x5a; size]);
        let count: u32 = if size > 4096 { 50 } else { 20_000 };
        let (codec, mut oracle) = (ours(Role::Guest), theirs(Role::Guest));
        let mut tx = TxQueue::new();
        let encode = best(count, || {
            let start = Instant::now();
            for id in 0..count {
                codec
                    .encode(id.into(), packet(&data), &mut tx)
                    .expect("fits");
                black_box(tx.slices().count());
                tx.advance(tx.remaining());
            }
            start.elapsed()
        });
        let encode_c = best(count, || {
            let start = Instant::now();
            for id in 0..count {
                oracle.send(101, id.into(), &fixed(size), &data);
                oracle.discard();
            }
            start.elapsed()
        });

        let mut tx = TxQueue::new();
        codec.encode(7, packet(&data), &mut tx).expect("fits");
        let message = drain(&mut tx);
        let (mut codec, mut oracle) = (ours(Role::Host), theirs(Role::Host));
        // As many as one read of the buffer brings.
        let batch = (4096 / message.len()).clamp(1, 10) as u32;
        let decode = best(count, || {
            let mut spent = Duration::ZERO;
            let mut rx = BytesMut::new();
            for _ in 0..count / batch {
                rx.reserve(message.len() * batch as usize);
                (0..batch).for_each(|_| rx.extend_from_slice(&message));
                let start = Instant::now();
                while let Decoded::Packet { packet, .. } = codec.decode(&mut rx).expect("fits") {
                    drop(black_box(packet));
                }
                spent += start.elapsed();
            }
            spent
        });
        let decode_c = best(count, || {
            let mut spent = Duration::ZERO;
            for _ in 0..count / batch {
                (0..batch).for_each(|_| oracle.bring(&message));
                let start = Instant::now();
                oracle.read().expect("fits");
                spent += start.elapsed();
            }
            spent
        });
        println!(
            "{size:>8} bytes       {encode_c:>8.0} {encode:>8.0} {:>7.2}    {decode_c:>8.0} {decode:>8.0} {:>7.2}",
            encode / encode_c,
            decode / decode_c
        );
    }

    println!("\nqueued without writing, ns each      C     ours");
    let data = Bytes::from(vec![0x5a; 512]);
    for count in [1_000u32, 10_000, 40_000] {
        let (codec, mut oracle, mut tx) = (ours(Role::Guest), theirs(Role::Guest), TxQueue::new());
        let start = Instant::now();
        for id in 0..count {
            codec
                .encode(id.into(), packet(&data), &mut tx)
                .expect("fits");
        }
        let ours = start.elapsed().as_nanos() / u128::from(count);
        let start = Instant::now();
        for id in 0..count {
            oracle.send(101, id.into(), &fixed(512), &data);
        }
        let theirs = start.elapsed().as_nanos() / u128::from(count);
        println!("{count:>8} packets          {theirs:>12} {ours:>8}");
    }
}
