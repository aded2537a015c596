//! usbredir: a bulk packet to its bytes and back, against a copy of it; and from the bytes of a
//! request to those of the reply, against a server that copies and speaks USB/IP.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{Copying, Disk, Echo, Redirecting, SIZES, Urb, bulk, criterion, greeted, measure};
use bytes::{Buf, Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Decoded, Role};

fn packets(criterion: &mut Criterion) {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    let sizes = [31, 512, 64 << 10, 1 << 20];
    let mut group = criterion.benchmark_group("usbredir_encode");
    for size in sizes {
        let (codec, mut tx) = (greeted(Role::Guest), TxQueue::new());
        let data = store.slice(..size);
        group.bench_function(BenchmarkId::new("session", size), |bencher| {
            bencher.iter(|| {
                let packet = bulk(&data, false);
                codec.encode(1, packet, &mut tx).expect("it fits");
                black_box(tx.slices().count());
                tx.advance(tx.remaining());
            });
        });
        let message = Urb::redirected(&data, false).message;
        let mut copy = Vec::new();
        group.bench_function(BenchmarkId::new("copying", size), |bencher| {
            bencher.iter(|| {
                copy.clear();
                copy.extend_from_slice(black_box(&message));
                black_box(copy.as_ptr());
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("usbredir_decode");
    for size in sizes {
        let message = Urb::redirected(&store.slice(..size), false).message;
        let (mut codec, mut rx) = (greeted(Role::Host), BytesMut::new());
        group.bench_function(BenchmarkId::new("session", size), |bencher| {
            let mut decode = |rx: &mut BytesMut| match codec.decode(rx) {
                Ok(Decoded::Packet { packet, .. }) => drop(black_box(packet)),
                other => panic!("{other:?}"),
            };
            let batch = (4096 / message.len()).max(1);
            bencher.iter_custom(|count| {
                let (mut spent, mut left) = (Duration::ZERO, count as usize);
                while left > 0 {
                    let now = left.min(batch);
                    rx.reserve(now * message.len());
                    (0..now).for_each(|_| rx.extend_from_slice(&message));
                    let start = Instant::now();
                    (0..now).for_each(|_| decode(&mut rx));
                    spent += start.elapsed();
                    left -= now;
                }
                spent
            });
        });
        group.bench_function(BenchmarkId::new("copying", size), |bencher| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(&message)));
        });
    }
    group.finish();
}

fn transfers(criterion: &mut Criterion) {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    for (direction, is_in) in [("in", true), ("out", false)] {
        let mut group = criterion.benchmark_group(format!("usbredir_round_trip_{direction}"));
        for size in SIZES {
            let payload = store.slice(..size);
            let descriptors = Disk::new(store.clone()).descriptors();
            let mut host = Redirecting::new(Echo::new(store.clone()), descriptors);
            let urb = Urb::redirected(&payload, is_in);
            measure(&mut group, "session", size, &urb, &mut host);
            let urb = if is_in {
                Urb::bulk_in(size)
            } else {
                Urb::bulk_out(&payload)
            };
            let mut copying = Copying::new(store.to_vec());
            measure(&mut group, "copying", size, &urb, &mut copying);
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("usbredir_bot_read");
    for size in [4 << 10, 64 << 10, 1 << 20] {
        let mut host = Redirecting::disk(Disk::new(store.clone()));
        let urb = Urb::redirected_disk_read(&store, size);
        measure(&mut group, "session", size, &urb, &mut host);
        let mut copying = Copying::new(store.to_vec());
        let urb = Urb::disk_read(size);
        measure(&mut group, "copying", size, &urb, &mut copying);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = packets, transfers }
criterion_main!(benches);
