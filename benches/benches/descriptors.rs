//! A webcam's configuration read into its tree – settings, endpoints and the descriptors between
//! them – against nusb's parser, and the allocations of both.
//!
//! Both read in place, as far as they are asked. Asked is what a driver looks at: of each
//! setting its number and class, how many descriptors belong to it, and of each endpoint its
//! address and size; the sums of both are the same. Class descriptors are counted and not read,
//! because nusb has no views of them. Each walks a setting once to find its end and once to count;
//! for endpoints nusb walks it once more, and ours goes on where the first walk met the first one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{criterion, webcam};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use testkit::allocations;
use usb_descriptors::Configuration;

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

/// Of all settings and endpoints: what a driver looks at.
fn ours(bytes: &[u8]) -> usize {
    let configuration = Configuration::parse(bytes).expect("a configuration");
    let mut sum = 0;
    for interface in configuration.interfaces() {
        sum += usize::from(interface.number()) + usize::from(interface.alternate_setting());
        // nusb's begin behind the interface itself.
        sum += usize::from(interface.class().class) + interface.descriptors().skip(1).count();
        for endpoint in interface.endpoints() {
            sum += usize::from(endpoint.max_packet_size());
            sum += usize::from(endpoint.address().to_byte());
        }
    }
    sum
}

/// The same.
fn nusb(bytes: &[u8]) -> usize {
    let configuration =
        nusb::descriptors::ConfigurationDescriptor::new(bytes).expect("a configuration");
    let mut sum = 0;
    for interface in configuration.interface_alt_settings() {
        sum += usize::from(interface.interface_number());
        sum += usize::from(interface.alternate_setting());
        sum += usize::from(interface.class()) + interface.descriptors().count();
        for endpoint in interface.endpoints() {
            sum += endpoint.max_packet_size();
            sum += usize::from(endpoint.address());
        }
    }
    sum
}

fn parse(criterion: &mut Criterion) {
    let bytes = webcam();
    assert_eq!(ours(&bytes), nusb(&bytes), "both see the same");
    let counts = [ours, nusb].map(|parser| allocations(|| parser(&bytes)).0);
    println!(
        "{} bytes; allocations: {} ours, {} nusb's",
        bytes.len(),
        counts[0],
        counts[1]
    );
    assert_eq!(counts[0], 0);
    let mut group = criterion.benchmark_group("webcam");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("ours", |bencher| bencher.iter(|| ours(black_box(&bytes))));
    group.bench_function("nusb", |bencher| bencher.iter(|| nusb(black_box(&bytes))));
    group.finish();
    // What else the machine does falls on both: the least of rounds in turn is what they cost.
    let mut least = [Duration::MAX; 2];
    for _ in 0..500 {
        for (parser, least) in [ours, nusb].into_iter().zip(&mut least) {
            let start = Instant::now();
            for _ in 0..ROUND {
                black_box(parser(black_box(&bytes)));
            }
            *least = start.elapsed().min(*least);
        }
    }
    let [ours, nusb] = least.map(|least| least.as_secs_f64() * 1e9 / f64::from(ROUND));
    println!(
        "least of rounds in turn: {ours:.0} ns ours, {nusb:.0} ns nusb's, ratio {:.2}",
        ours / nusb
    );
}

/// How often each parses before it is the other's turn.
const ROUND: u32 = 1000;

criterion_group! {
    name = benches;
    config = criterion();
    targets = parse
}
criterion_main!(benches);
