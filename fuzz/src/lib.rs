//! Fuzz targets: functions over bytes that panic where an invariant is broken.
//!
//! Each module is one target with a function `run`. `cargo fuzz run NAME` searches for inputs that
//! break it; `cargo test -p fuzz` runs it, without any fuzzer, on `corpus/NAME/` and on a few
//! thousand pseudo-random inputs; `cargo run -p fuzz --bin NAME -- FILE` runs it on one file, such
//! as a finding.
//!
//! What checks a crate here reads and writes the wire by itself (`urb`), not through that crate.

pub mod audio;
pub mod bot_device;
mod choices;
pub mod control_endpoint;
pub mod descriptors;
pub mod enumerator;
mod function;
pub mod hid;
pub mod initiator;
pub mod seeds;
pub mod serial;
mod socket;
mod store;
pub mod uas_device;
pub mod uas_initiator;
mod uas_orderly;
mod urb;
pub mod usbip_client;
pub mod usbip_handshake;
pub mod usbip_server;
mod usbredir;
pub mod usbredir_guest;
pub mod usbredir_host;
pub mod vhci_status;

use testkit::Decisions;

/// For the shims.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// A target: its name, and what runs it on one input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("audio", audio::run),
    ("bot_device", bot_device::run),
    ("control_endpoint", control_endpoint::run),
    ("descriptors", descriptors::run),
    ("enumerator", enumerator::run),
    ("hid", hid::run),
    ("initiator", initiator::run),
    ("serial", serial::run),
    ("uas_device", uas_device::run),
    ("uas_initiator", uas_initiator::run),
    ("usbip_client", usbip_client::run),
    ("usbip_handshake", usbip_handshake::run),
    ("usbip_server", usbip_server::run),
    ("usbredir_guest", usbredir_guest::run),
    ("usbredir_host", usbredir_host::run),
    ("vhci_status", vhci_status::run),
];

/// The program of a target: a fuzzer under cargo-fuzz, else one that runs it on files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::$name::run(input));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::io::Result<()> {
            for path in ::std::env::args_os().skip(1) {
                $crate::$name::run(&::std::fs::read(path)?);
            }
            Ok(())
        }
    };
}

/// Cuts an input into choices and bytes: two bytes, big-endian, say how many bytes of choices
/// follow; the rest is what the peer sends.
fn split(input: &[u8]) -> (Decisions<'_>, &[u8]) {
    let (count, rest) = match input {
        [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => (0, input),
    };
    let (choices, stream) = rest.split_at(count.min(rest.len()));
    (Decisions::new(choices), stream)
}
