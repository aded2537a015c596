//! Other people's USB/IP beside this workspace's: servers to be asked, and to be timed.
//!
//! `ci/check peers` lets them judge what the crates say; the program `loopback` puts their speed
//! side by side.

mod bare;
mod crates_io;
mod ours;
mod script;

use usb_descriptors::EndpointAddress;

pub use bare::bare;
pub use crates_io::crates_io;
pub use ours::{Echo, ours, serve};
pub use script::Script;

/// What was written here…
pub const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);
/// …is read here; or nothing, and zeros.
pub const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
pub const INTERRUPT_IN: EndpointAddress = EndpointAddress::from_byte(0x83);
pub const ISOCHRONOUS_IN: EndpointAddress = EndpointAddress::from_byte(0x84);
pub const ISOCHRONOUS_OUT: EndpointAddress = EndpointAddress::from_byte(0x05);

/// The bus id of the device that this workspace's and Python's servers have.
pub const OUR_BUS_ID: &str = "1-1";
/// That of the device of crates.io's, which its `UsbDevice::new` gives it.
pub const THEIR_BUS_ID: &str = "0-0-0";
