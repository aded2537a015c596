//! Allocations per URB in the steady state, what the receive buffer takes included.

use benches::{Copying, Disk, Echo, SIZES, Server, Serving, Standing, Urb};
use bytes::Bytes;
use testkit::allocations;

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

const ROUNDS: u32 = 1000;

/// Per round, once all has its size.
fn steady(mut round: impl FnMut()) -> f64 {
    (0..10).for_each(|_| round());
    let (count, ()) = allocations(|| (0..ROUNDS).for_each(|_| round()));
    count as f64 / f64::from(ROUNDS)
}

fn served(mut server: impl Server, urb: &Urb) -> f64 {
    steady(|| {
        server.bring(urb, 1);
        server.serve();
    })
}

fn main() {
    let store = Bytes::from(vec![0x5a; 1 << 20]);
    println!(
        "{:<28} {:>9} {:>9}",
        "allocations per", "session", "copying"
    );
    let line = |name: String, urb: &Urb, session: f64| {
        let copying = served(Copying::new(store.to_vec()), urb);
        println!("{name:<28} {session:>9} {copying:>9}");
    };
    for size in SIZES {
        let urb = Urb::bulk_in(size);
        let session = served(Serving::new(Echo::new(store.clone())), &urb);
        line(format!("IN of {size} B"), &urb, session);
    }
    for size in SIZES {
        let urb = Urb::bulk_out(&store[..size]);
        let session = served(Serving::new(Echo::new(store.clone())), &urb);
        line(format!("OUT of {size} B"), &urb, session);
    }
    for size in [4 << 10, 1 << 20] {
        let urb = Urb::disk_read(size);
        let session = Serving::configured(Disk::new(store.clone()));
        line(
            format!("disk read of {size} B"),
            &urb,
            served(session, &urb),
        );
        let mut standing = Standing::new(Disk::new(store.clone()), size);
        let device = steady(|| {
            standing.read();
        });
        println!("{:<28} {device:>9}", "  without a wire");
    }
}
