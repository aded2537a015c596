//! Times of one request, of the session and of the server that copies, in the same run.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use usb_transfer::Function;

use crate::{Copying, Server, Serving, Urb};

/// How long each is measured.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

/// Serves a request by the session of a device, and by a server that copies from the same bytes.
pub fn compare<F: Function>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    size: usize,
    urb: &Urb,
    mut session: Serving<F>,
    store: &Bytes,
) {
    measure(group, "session", size, urb, &mut session);
    let mut copying = Copying::new(store.to_vec());
    measure(group, "copying", size, urb, &mut copying);
}

/// Serves a request by one server.
pub fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    size: usize,
    urb: &Urb,
    server: &mut impl Server,
) {
    group.bench_function(BenchmarkId::new(name, size), |bencher| {
        bencher.iter_custom(|count| time(server, urb, count));
    });
}

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

/// How many messages to bring at once: as many as one read of a session's buffer brings where they
/// are short, else one. Of a few transfers that belong together a host awaits the last.
fn batch(urb: &Urb) -> usize {
    if urb.transfers > 1 {
        return 1;
    }
    (4096 / urb.message.len()).clamp(1, 10)
}
