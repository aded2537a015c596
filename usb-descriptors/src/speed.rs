//! Signalling speeds.

use core::fmt;

use crate::TransferType;

/// The speed of a link. Wires number them differently; their codes live in the crates of the
/// wires. Ordered from slow to fast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Speed {
    /// 1.5 Mbit/s.
    Low,
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
    /// 10 Gbit/s and more.
    SuperPlus,
}

impl Speed {
    /// Whether USB 3 rules hold: endpoint companions, BOS, `bMaxPacketSize0` as an exponent.
    #[must_use]
    pub const fn is_super(self) -> bool {
        matches!(self, Self::Super | Self::SuperPlus)
    }

    /// The largest `wMaxPacketSize` that a type may have at this speed, in bytes, and the one
    /// that bulk endpoints must have at high speed and above; `None` where the type does not
    /// exist (USB 2.0, 5.5.3–5.8.3; USB 3.2, 8.12).
    ///
    /// ```
    /// use usb_descriptors::{Speed, TransferType};
    /// assert_eq!(Speed::High.max_packet_size(TransferType::Bulk), Some(512));
    /// assert_eq!(Speed::Low.max_packet_size(TransferType::Bulk), None);
    /// ```
    #[must_use]
    pub const fn max_packet_size(self, transfer_type: TransferType) -> Option<u16> {
        use TransferType::{Bulk, Control, Interrupt, Isochronous};
        match (self, transfer_type) {
            (Self::Low, Control | Interrupt) => Some(8),
            (Self::Low, Bulk | Isochronous) => None,
            (Self::Full, Control | Bulk | Interrupt) | (Self::High, Control) => Some(64),
            (Self::Full, Isochronous) => Some(1023),
            (Self::High, Bulk) | (Self::Super | Self::SuperPlus, Control) => Some(512),
            (Self::High, Isochronous | Interrupt)
            | (Self::Super | Self::SuperPlus, Bulk | Isochronous | Interrupt) => Some(1024),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low speed",
            Self::Full => "full speed",
            Self::High => "high speed",
            Self::Super => "SuperSpeed",
            Self::SuperPlus => "SuperSpeed Plus",
        })
    }
}
