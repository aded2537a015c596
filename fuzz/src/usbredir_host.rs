//! A usbredir host that is sent anything: it stays within what it may send, and its device gets
//! everything back.

use bytes::BytesMut;
use testkit::ModelDevice;
use usb_transfer::{Frontend, Step, Wire, exchange};
use usbredir_proto::codec::Role;
use usbredir_proto::{Capabilities, Host, Options};

use crate::usbredir::{Listener, descriptors};

/// Runs a conversation: choices cut the guest's bytes and finish transfers.
pub fn run(input: &[u8]) {
    let (mut decisions, mut stream) = crate::split(input);
    let mut options = Options::default();
    options.limits.max_transfer = 1 << 16;
    options.limits.tx_high_water = 1 << 12;
    let mut host = Host::new(options);
    host.attach(descriptors()).expect("nothing else is");
    let mut guest = Listener::new(Role::Guest);
    let mut rx = BytesMut::new();
    if decisions.chance() {
        rx.extend_from_slice(&guest.hello());
    }
    let mut device = ModelDevice::default();
    let mut is_pulled = false;
    loop {
        let mut is_over = false;
        // A device that answers for ever would be polled for ever.
        for _ in 0..64 {
            exchange(&mut host, &mut device);
            match host.receive(&mut rx) {
                Ok(Step::Ready) => {
                    // With a request that it was not given yet.
                    if std::mem::take(&mut is_pulled) {
                        device.unplug();
                    }
                }
                Ok(Step::Io(_)) => break,
                Err(_) => {
                    is_over = true;
                    break;
                }
            }
        }
        match decisions.below(4) {
            0 => device.finish_one(&mut decisions),
            1 if can_all(&host) => drop(guest.hear(host.tx())),
            2 if decisions.byte() == 0xff => device.unplug(),
            3 => is_pulled = decisions.byte() == 0xff,
            _ => {}
        }
        let (piece, rest) = stream.split_at(stream.len().min(decisions.below(100) + 1));
        rx.extend_from_slice(piece);
        stream = rest;
        if is_over || piece.is_empty() && decisions.is_empty() {
            break;
        }
    }
    assert!(rx.capacity() < 1 << 20, "{}", rx.capacity());
    host.end();
    exchange(&mut host, &mut device);
    assert_eq!(host.pending(), 0);
    assert!(device.resets > 0, "the last event");
    if can_all(&host) {
        guest.hear(host.tx());
    }
}

/// The guest that listens can do everything: what a lesser one is told reads otherwise.
fn can_all(host: &Host) -> bool {
    host.capabilities() == Some(Capabilities::ALL)
}
