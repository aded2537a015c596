//! One READ(10) of a disk in memory: command, data and status; without a wire, and over USB/IP
//! against a server that copies the same three URBs.

use std::time::{Duration, Instant};

use benches::{Copying, Disk, Server, Serving, Standing, Urb};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

fn time(server: &mut impl Server, urb: &Urb, count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..count {
        server.bring(urb, 1);
        let start = Instant::now();
        server.serve();
        spent += start.elapsed();
    }
    spent
}

fn reads(criterion: &mut Criterion) {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    let mut group = criterion.benchmark_group("bot_read");
    for size in SIZES {
        let mut standing = Standing::new(Disk::new(store.clone()), size);
        group.bench_function(BenchmarkId::new("device", size), |bencher| {
            bencher.iter(|| standing.read());
        });
        let urb = Urb::disk_read(size);
        let mut session = Serving::new(Disk::new(store.clone()));
        session.bring(&Urb::configure(), 1);
        session.serve();
        group.bench_function(BenchmarkId::new("session", size), |bencher| {
            bencher.iter_custom(|count| time(&mut session, &urb, count));
        });
        let mut copying = Copying::new(store.to_vec());
        group.bench_function(BenchmarkId::new("copying", size), |bencher| {
            bencher.iter_custom(|count| time(&mut copying, &urb, count));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = reads
}
criterion_main!(benches);
