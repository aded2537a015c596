//! A millisecond of sound, a packet each way, from the bytes of its URBs to those of the replies:
//! against as many bytes by bulk transfers and a device that takes no time. Over a millisecond, it
//! is the share of a core that 1000 packets per second and stream take.

use benches::{Echo, Server, Serving, Urb, criterion};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use usb_transfer::Frame;

fn milliseconds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("isochronous");
    let mut session = Serving::playing();
    let urb = Urb::millisecond();
    let mut now = 8;
    group.bench_function("playing and recording", |bencher| {
        bencher.iter(|| {
            session.bring(&urb, 1);
            session.serve();
            now += 8;
            session.start_of_frame(Frame(now));
        });
    });
    let mut session = Serving::new(Echo::new(Bytes::from(vec![7; 192])));
    let urb = Urb::millisecond_of_bulk();
    group.bench_function("bulk", |bencher| {
        bencher.iter(|| {
            session.bring(&urb, 1);
            session.serve();
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = milliseconds }
criterion_main!(benches);
