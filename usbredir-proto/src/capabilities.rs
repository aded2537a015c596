//! Capabilities, which both sides tell in their hello.

use core::fmt;
use core::ops::{BitAnd, BitOr};

/// What a side can do (usb-redirection-protocol 0.7, "usb_redir_hello"). What both sides can do
/// decides layouts and which packets may be sent. Bits without a name are kept.
///
/// ```
/// use usbredir_proto::Capabilities;
/// let both = Capabilities::ALL & Capabilities::from_bits(0x1a);
/// assert!(both.contains(Capabilities::DEVICE_DISCONNECT_ACK));
/// assert!(!both.contains(Capabilities::IDS_64_BITS));
/// assert_eq!(both.bits(), 0x1a);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// None, as of a side that states no word of them.
    pub const NONE: Self = Self(0);
    /// Bulk streams; needs [`ENDPOINT_MAX_PACKET_SIZE`](Self::ENDPOINT_MAX_PACKET_SIZE).
    #[doc(alias = "usb_redir_cap_bulk_streams")]
    pub const BULK_STREAMS: Self = Self(1 << 0);
    /// `device_connect` tells the device's release.
    #[doc(alias = "usb_redir_cap_connect_device_version")]
    pub const CONNECT_DEVICE_VERSION: Self = Self(1 << 1);
    /// `filter_filter` and `filter_reject` may be sent.
    #[doc(alias = "usb_redir_cap_filter")]
    pub const FILTER: Self = Self(1 << 2);
    /// Each `device_disconnect` is acknowledged.
    #[doc(alias = "usb_redir_cap_device_disconnect_ack")]
    pub const DEVICE_DISCONNECT_ACK: Self = Self(1 << 3);
    /// `ep_info` tells the largest packets.
    #[doc(alias = "usb_redir_cap_ep_info_max_packet_size")]
    pub const ENDPOINT_MAX_PACKET_SIZE: Self = Self(1 << 4);
    /// Ids have 64 bits, so that headers after the hello have 16 bytes.
    #[doc(alias = "usb_redir_cap_64bits_ids")]
    pub const IDS_64_BITS: Self = Self(1 << 5);
    /// Lengths of bulk packets have 32 bits.
    #[doc(alias = "usb_redir_cap_32bits_bulk_length")]
    pub const BULK_LENGTH_32_BITS: Self = Self(1 << 6);
    /// Buffered bulk input.
    #[doc(alias = "usb_redir_cap_bulk_receiving")]
    pub const BULK_RECEIVING: Self = Self(1 << 7);
    /// All that are defined.
    pub const ALL: Self = Self(0xff);

    /// The capabilities of the first word of a hello.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The first word of a hello.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Without those whose precondition is missing: bulk streams are told in a place that only
    /// exists after the largest packets. `libusbredirparser` does the same with both sides' words.
    pub(crate) const fn settled(self) -> Self {
        if self.contains(Self::ENDPOINT_MAX_PACKET_SIZE) {
            self
        } else {
            self.without(Self::BULK_STREAMS)
        }
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#04x})", self.0)
    }
}
