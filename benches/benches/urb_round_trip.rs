//! One URB from its bytes to the bytes of its reply, with a device that takes no time.

use std::time::{Duration, Instant};

use benches::{Copying, Echo, SIZES, Server, Serving, Urb, batch};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn time(server: &mut impl Server, urb: &Urb, count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = count as usize;
    while left > 0 {
        let now = left.min(batch(urb));
        server.bring(urb, now);
        let start = Instant::now();
        server.serve();
        spent += start.elapsed();
        left -= now;
    }
    spent
}

fn round_trips(criterion: &mut Criterion) {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    for (direction, is_in) in [("in", true), ("out", false)] {
        let mut group = criterion.benchmark_group(format!("urb_round_trip_{direction}"));
        for size in SIZES {
            let urb = if is_in {
                Urb::bulk_in(size)
            } else {
                Urb::bulk_out(&store[..size])
            };
            group.throughput(Throughput::Elements(1));
            let mut session = Serving::new(Echo::new(store.clone()));
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
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = round_trips
}
criterion_main!(benches);
