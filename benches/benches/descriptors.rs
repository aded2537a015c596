//! A webcam's configuration read into its tree – settings, endpoints and the descriptors between
//! them – against nusb's parser, and the allocations of both.

use std::hint::black_box;

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
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = parse
}
criterion_main!(benches);
