//! What a side says of itself, and what it allows.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::{Capabilities, Limits};

/// What a [`Host`](crate::Host) or a [`Guest`](crate::Guest) is created with.
///
/// ```
/// use usbredir_proto::{Capabilities, Host, Options};
/// let mut options = Options::default();
/// options.version = "my virtual devices".into();
/// options.capabilities = Capabilities::ALL.without(Capabilities::BULK_STREAMS);
/// let host = Host::new(options);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Who speaks, for people to read; 63 bytes of it are sent. Default: this crate and its
    /// version.
    pub version: String,
    /// What this side says that it can do. Default: all. QEMU refuses a host on a controller with
    /// SuperSpeed ports that cannot do all of
    /// [`ENDPOINT_MAX_PACKET_SIZE`](Capabilities::ENDPOINT_MAX_PACKET_SIZE),
    /// [`IDS_64_BITS`](Capabilities::IDS_64_BITS) and
    /// [`BULK_LENGTH_32_BITS`](Capabilities::BULK_LENGTH_32_BITS), without a word to it where it
    /// cannot do [`FILTER`](Capabilities::FILTER).
    pub capabilities: Capabilities,
    /// What the peer may ask for.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: concat!("usbredir-proto ", env!("CARGO_PKG_VERSION")).to_owned(),
            capabilities: Capabilities::ALL,
            limits: Limits::default(),
        }
    }
}
