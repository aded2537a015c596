//! One URB from its bytes to the bytes of its reply, with a device that takes no time.

use benches::{Echo, SIZES, Serving, Urb, compare, criterion};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

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
            let session = Serving::new(Echo::new(store.clone()));
            compare(&mut group, size, &urb, session, &store);
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = criterion(); targets = round_trips }
criterion_main!(benches);
