//! Serves so many messages of a kind: `serve KIND SIZE COUNT [time]`, for `benches/instructions`. With
//! `time` it prints the nanoseconds that one took, in the median, without what brings it and
//! without the clock.

use std::time::{Duration, Instant};

use benches::{Copying, Disk, Echo, Server, Serving, Turning, Urb};
use bytes::Bytes;

/// Requests in flight of `deep-*`.
const DEPTH: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, size, count, time @ ..] = &arguments[..] else {
        panic!(
            "serve in|out|alone-in|alone-out|deep-in|deep-out|read|copying-in|copying-out SIZE COUNT [time]"
        );
    };
    let size: usize = size.parse().expect("a size in bytes");
    let count: usize = count.parse().expect("a number of messages");
    let store = Bytes::from(vec![0x5a; size.max(512)]);
    let out = || Urb::bulk_out(&store[..size]);
    let alone = |urb: Urb, depth| -> (Box<dyn Server>, Urb) {
        let turning = Turning::new(store.slice(..size), &urb, depth);
        (Box::new(turning), urb)
    };
    let (mut server, urb): (Box<dyn Server>, Urb) = match kind.as_str() {
        "in" => (
            Box::new(Serving::new(Echo::new(store.clone()))),
            Urb::bulk_in(size),
        ),
        "out" => (Box::new(Serving::new(Echo::new(store.clone()))), out()),
        "alone-in" => alone(Urb::bulk_in(size), 1),
        "alone-out" => alone(out(), 1),
        "deep-in" => alone(Urb::bulk_in(size), DEPTH),
        "deep-out" => alone(out(), DEPTH),
        "copying-in" => (Box::new(Copying::new(store.to_vec())), Urb::bulk_in(size)),
        "copying-out" => (Box::new(Copying::new(store.to_vec())), out()),
        "read" => (
            Box::new(Serving::configured(Disk::new(store.clone()))),
            Urb::disk_read(size),
        ),
        other => panic!("unknown kind: {other}"),
    };
    if time.is_empty() {
        for _ in 0..count {
            server.bring(&urb, 1);
            server.serve();
        }
        return;
    }
    let (mut spent, mut clock) = (Vec::new(), Vec::new());
    for _ in 0..count {
        server.bring(&urb, 1);
        let start = Instant::now();
        server.serve();
        let end = Instant::now();
        spent.push(end - start);
        clock.push(end.elapsed());
    }
    println!("{}", median(spent).saturating_sub(median(clock)).as_nanos());
}

/// What others do on the machine meanwhile does not move it.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
