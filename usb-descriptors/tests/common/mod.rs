//! What the tests of both builders share.

use proptest::prelude::*;
use usb_descriptors::Speed;

pub(crate) const SPEEDS: [Speed; 5] = [
    Speed::Low,
    Speed::Full,
    Speed::High,
    Speed::Super,
    Speed::SuperPlus,
];

/// Of packets: those that are legal somewhere, and others.
pub(crate) fn packet_size() -> impl Strategy<Value = u16> {
    prop_oneof![Just(8u16), Just(64), Just(512), Just(1024), any::<u16>()]
}
