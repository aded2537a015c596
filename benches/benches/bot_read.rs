//! One READ(10) of a disk in memory: command, data and status; without a wire, and over USB/IP
//! against a server that copies the same three URBs.

use benches::{Disk, Serving, Standing, Urb, compare, criterion};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

fn reads(criterion: &mut Criterion) {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    let mut group = criterion.benchmark_group("bot_read");
    for size in SIZES {
        let mut standing = Standing::new(Disk::new(store.clone()), size);
        group.bench_function(BenchmarkId::new("device", size), |bencher| {
            bencher.iter(|| standing.read());
        });
        let session = Serving::configured(Disk::new(store.clone()));
        compare(&mut group, size, &Urb::disk_read(size), session, &store);
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = reads }
criterion_main!(benches);
