//! The steady state allocates nothing: all memory is the payloads'.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use bytes::Bytes;
use host::{Host, endpoint, options};
use testkit::allocations;
use usb_descriptors::SetupPacket;
use usb_functions::{AudioLoopback, Keyboard, Serial, Usage};
use usb_transfer::{Frame, Function, IsoPacket, Kind, Payload, Transfer};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

fn take_all(device: &mut impl Function) -> usize {
    std::iter::from_fn(|| device.poll()).count()
}

#[test]
fn a_keystroke_allocates_nothing() {
    let mut host = Host::new(Keyboard::new(options()).unwrap());
    let mut now = 100;
    let mut hit = |host: &mut Host<Keyboard>| {
        host.device.press(Usage::A);
        host.device.release(Usage::A);
        for _ in 0..2 {
            host.ask_in(0x81, 8);
            // It learns when the last report went, and then that the next has its turn.
            for _ in 0..2 {
                now += 100;
                host.device.start_of_frame(Frame(now));
            }
        }
        assert_eq!(take_all(&mut host.device), 2);
    };
    (0..10).for_each(|_| hit(&mut host));
    // Answers are cut from one buffer, which starts over when they are gone.
    let (count, ()) = allocations(|| (0..1000).for_each(|_| hit(&mut host)));
    assert_eq!(count, 0);
}

#[test]
fn an_echo_allocates_nothing() {
    let mut host = Host::new(Serial::loopback(options()).unwrap());
    let piece = Bytes::from(vec![7; 512]);
    let echo = |host: &mut Host<Serial>| {
        host.ask_out(0x02, piece.clone());
        host.ask_in(0x81, 512);
        assert_eq!(take_all(&mut host.device), 2);
    };
    (0..10).for_each(|_| echo(&mut host));
    let (count, ()) = allocations(|| (0..1000).for_each(|_| echo(&mut host)));
    assert_eq!(count, 0);
}

#[test]
fn a_packet_of_sound_allocates_nothing() {
    let mut host = Host::new(AudioLoopback::new(options()).unwrap());
    for interface in [1, 2] {
        host.ok(SetupPacket::set_interface(interface, 1), &[]);
    }
    let sound = Bytes::from(vec![7; 192]);
    let mut now = 100;
    let mut packet = |host: &mut Host<AudioLoopback>, kinds: [Kind; 2]| {
        let [out, back] = kinds;
        let payload = Payload::Out(sound.clone());
        let id = host.ids.mint();
        host.submit(Transfer::new(id, endpoint(0x01), out, payload));
        let id = host.ids.mint();
        let payload = Payload::In { length: 192 };
        host.submit(Transfer::new(id, endpoint(0x82), back, payload));
        now += 8;
        host.device.start_of_frame(Frame(now));
        take_all(&mut host.device);
    };
    // The host's own list of packets is not counted.
    let kinds = || [0; 2].map(|_| Kind::Isochronous(vec![IsoPacket::new(0, 192)]));
    let warm: Vec<_> = (0..1000).map(|_| kinds()).collect();
    let measured: Vec<_> = (0..1000).map(|_| kinds()).collect();
    warm.into_iter().for_each(|kinds| packet(&mut host, kinds));
    let (count, ()) = allocations(|| {
        measured
            .into_iter()
            .for_each(|kinds| packet(&mut host, kinds));
    });
    assert_eq!(count, 0);
}
