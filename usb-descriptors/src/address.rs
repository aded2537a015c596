//! Endpoint addresses, directions and transfer types.

use core::fmt;

/// Which way data flows, seen from the host (USB 2.0, 2.1: "the direction is relative to the
/// host").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "USB has two directions")]
pub enum Direction {
    /// Host to device.
    Out,
    /// Device to host.
    In,
}

impl Direction {
    /// The direction that bit 7 of an endpoint address or of `bmRequestType` states.
    #[must_use]
    pub const fn from_bit_7(byte: u8) -> Self {
        if byte & 0x80 == 0 {
            Self::Out
        } else {
            Self::In
        }
    }

    /// Bit 7 of an endpoint address or of `bmRequestType`: 0x00 or 0x80.
    #[must_use]
    pub const fn bit_7(self) -> u8 {
        match self {
            Self::Out => 0x00,
            Self::In => 0x80,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Out => "OUT",
            Self::In => "IN",
        })
    }
}

/// How an endpoint moves data (USB 2.0, table 9-13, `bmAttributes` bits 1..0).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "two bits, four types")]
pub enum TransferType {
    /// Control: setup packet, optional data, status.
    Control,
    /// Isochronous: guaranteed bandwidth, no retries.
    Isochronous,
    /// Bulk: reliable, no guaranteed bandwidth.
    Bulk,
    /// Interrupt: reliable, polled at an interval.
    Interrupt,
}

impl TransferType {
    /// Reads the type from an endpoint's `bmAttributes`. Only bits 1..0 say it: an isochronous
    /// endpoint with synchronisation or usage bits set is still isochronous.
    ///
    /// ```
    /// use usb_descriptors::TransferType;
    /// // isochronous, adaptive, data endpoint
    /// assert_eq!(TransferType::from_attributes(0x09), TransferType::Isochronous);
    /// ```
    #[doc(alias = "bmAttributes")]
    #[must_use]
    pub const fn from_attributes(attributes: u8) -> Self {
        match attributes & 0b11 {
            0 => Self::Control,
            1 => Self::Isochronous,
            2 => Self::Bulk,
            _ => Self::Interrupt,
        }
    }

    /// The two bits of `bmAttributes`.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Isochronous => 1,
            Self::Bulk => 2,
            Self::Interrupt => 3,
        }
    }

    /// Whether the host polls such an endpoint at an interval.
    #[must_use]
    pub const fn is_periodic(self) -> bool {
        matches!(self, Self::Isochronous | Self::Interrupt)
    }
}

impl fmt::Display for TransferType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Control => "control",
            Self::Isochronous => "isochronous",
            Self::Bulk => "bulk",
            Self::Interrupt => "interrupt",
        })
    }
}

/// An endpoint's number (0–15) and direction (USB 2.0, table 9-13, `bEndpointAddress`).
///
/// Endpoint 0 is the control endpoint; it exists in both directions, and the address then says
/// which way the data stage flows.
///
/// ```
/// use usb_descriptors::{Direction, EndpointAddress};
/// let address = EndpointAddress::from_byte(0x81);
/// assert_eq!((address.number(), address.direction()), (1, Direction::In));
/// assert_eq!(address.to_string(), "81");
/// ```
#[doc(alias = "bEndpointAddress")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddress(u8);

impl EndpointAddress {
    /// Endpoint 0, host to device.
    pub const CONTROL_OUT: Self = Self(0x00);
    /// Endpoint 0, device to host.
    pub const CONTROL_IN: Self = Self(0x80);

    /// Takes an address as descriptors and requests carry it: number in bits 3..0, direction in
    /// bit 7. The reserved bits 6..4 are dropped, as Linux does.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & 0x8f)
    }

    /// Composes an address; `None` where `number` is above 15.
    #[must_use]
    pub const fn new(number: u8, direction: Direction) -> Option<Self> {
        if number > 15 {
            return None;
        }
        Some(Self(number | direction.bit_7()))
    }

    /// The same number in another direction.
    #[must_use]
    pub const fn with_direction(self, direction: Direction) -> Self {
        Self(self.number() | direction.bit_7())
    }

    /// The endpoint number, 0–15.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 & 0x0f
    }

    /// Which way data flows.
    #[must_use]
    pub const fn direction(self) -> Direction {
        Direction::from_bit_7(self.0)
    }

    /// The byte that descriptors and requests carry.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether this is endpoint 0.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.number() == 0
    }

    /// A position in a table of 32: OUT endpoints first (0–15), then IN (16–31).
    #[must_use]
    pub const fn index(self) -> u8 {
        (self.0 & 0x80) >> 3 | self.number()
    }
}

impl fmt::Debug for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointAddress({:02x})", self.0)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_address_bits_are_dropped() {
        assert_eq!(EndpointAddress::from_byte(0xf2).to_byte(), 0x82);
        assert_eq!(EndpointAddress::new(16, Direction::Out), None);
    }

    #[test]
    fn indices_are_distinct_and_below_32() {
        let mut seen = 0u32;
        for byte in 0..=255 {
            let address = EndpointAddress::from_byte(byte);
            assert!(address.index() < 32);
            seen |= 1 << address.index();
        }
        assert_eq!(seen, u32::MAX);
    }

    #[test]
    fn only_two_bits_make_the_type() {
        for attributes in 0..=255u8 {
            let kind = TransferType::from_attributes(attributes);
            assert_eq!(kind.bits(), attributes & 3);
        }
    }
}
