//! Any descriptor, and the flat walk over a run of them.

use core::fmt;
use core::iter::FusedIterator;

use crate::capability::CapabilityDescriptor;
use crate::{Fields, Hub, Layout, SuperSpeedHub, standard};

/// A descriptor's type code, `bDescriptorType` (USB 2.0, table 9-5; USB 3.2, table 9-6).
///
/// Codes of class descriptors collide: what 0x24 is depends on the interface it stands behind.
///
/// ```
/// use usb_descriptors::DescriptorType;
/// assert_eq!(DescriptorType::ENDPOINT.to_string(), "endpoint");
/// assert_eq!(DescriptorType(0x24).to_string(), "type 24h");
/// ```
#[doc(alias = "bDescriptorType")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an open code space: any byte is a type"
)]
pub struct DescriptorType(pub u8);

impl DescriptorType {
    /// Device, 18 bytes.
    pub const DEVICE: Self = Self(0x01);
    /// Configuration, 9 bytes, followed by all that belongs to it.
    pub const CONFIGURATION: Self = Self(0x02);
    /// String, or the table of languages at index 0.
    pub const STRING: Self = Self(0x03);
    /// Interface (one alternate setting of it), 9 bytes.
    pub const INTERFACE: Self = Self(0x04);
    /// Endpoint, 7 bytes, 9 in audio class 1.
    pub const ENDPOINT: Self = Self(0x05);
    /// Device qualifier, 10 bytes: what the device would be at the other of full and high speed.
    pub const DEVICE_QUALIFIER: Self = Self(0x06);
    /// A configuration as it would be at the other of full and high speed.
    pub const OTHER_SPEED_CONFIGURATION: Self = Self(0x07);
    /// Power of an interface, 15 bytes; obsolete.
    pub const INTERFACE_POWER: Self = Self(0x08);
    /// On-The-Go, 3 bytes, 5 from 2.0 on.
    pub const OTG: Self = Self(0x09);
    /// Debug port, 4 bytes.
    pub const DEBUG: Self = Self(0x0a);
    /// Interface association, 8 bytes.
    pub const INTERFACE_ASSOCIATION: Self = Self(0x0b);
    /// Security of wireless devices, 5 bytes.
    pub const SECURITY: Self = Self(0x0c);
    /// A key of a wireless device.
    pub const KEY: Self = Self(0x0d);
    /// An encryption of a wireless device.
    pub const ENCRYPTION: Self = Self(0x0e);
    /// Binary device object store, 5 bytes, followed by device capabilities.
    pub const BOS: Self = Self(0x0f);
    /// A device capability within the BOS.
    pub const DEVICE_CAPABILITY: Self = Self(0x10);
    /// Endpoint companion of wireless devices, 10 bytes.
    pub const WIRELESS_COMPANION: Self = Self(0x11);
    /// Isochronous endpoint companion of eUSB2 version 2, 8 bytes.
    pub const EUSB2_COMPANION: Self = Self(0x12);
    /// HID, DFU, smart card reader or printer: whichever the interface's class says.
    pub const CLASS_FUNCTIONAL: Self = Self(0x21);
    /// Of an interface's class, and with USB Attached SCSI of an endpoint's.
    #[doc(alias = "CS_INTERFACE")]
    pub const CLASS_INTERFACE: Self = Self(0x24);
    /// Of an endpoint's class.
    #[doc(alias = "CS_ENDPOINT")]
    pub const CLASS_ENDPOINT: Self = Self(0x25);
    /// Hub, up to USB 2.0; fetched by a class request.
    pub const HUB: Self = Self(0x29);
    /// Hub of USB 3, 12 bytes; fetched by a class request.
    pub const SUPERSPEED_HUB: Self = Self(0x2a);
    /// SuperSpeed endpoint companion, 6 bytes, right after its endpoint.
    pub const SUPERSPEED_COMPANION: Self = Self(0x30);
    /// SuperSpeedPlus isochronous endpoint companion, 8 bytes, right after the SuperSpeed one.
    pub const SUPERSPEED_PLUS_COMPANION: Self = Self(0x31);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DEVICE => "device",
            Self::CONFIGURATION => "configuration",
            Self::STRING => "string",
            Self::INTERFACE => "interface",
            Self::ENDPOINT => "endpoint",
            Self::DEVICE_QUALIFIER => "device qualifier",
            Self::OTHER_SPEED_CONFIGURATION => "other-speed configuration",
            Self::INTERFACE_POWER => "interface power",
            Self::OTG => "OTG",
            Self::DEBUG => "debug",
            Self::SECURITY => "security",
            Self::KEY => "key",
            Self::ENCRYPTION => "encryption type",
            Self::WIRELESS_COMPANION => "wireless endpoint companion",
            Self::EUSB2_COMPANION => "eUSB2 isochronous endpoint companion",
            Self::HUB => "hub",
            Self::SUPERSPEED_HUB => "SuperSpeed hub",
            Self::SUPERSPEED_PLUS_COMPANION => "SuperSpeedPlus isochronous endpoint companion",
            Self::INTERFACE_ASSOCIATION => "interface association",
            Self::BOS => "BOS",
            Self::DEVICE_CAPABILITY => "device capability",
            Self::SUPERSPEED_COMPANION => "SuperSpeed endpoint companion",
            _ => return None,
        })
    }
}

impl fmt::Display for DescriptorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "type {:02x}h", self.0),
        }
    }
}

/// One descriptor in a run of them, whole or cut short.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Descriptor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Descriptor<'a> {
    /// All its bytes, `bLength` and `bDescriptorType` included. Never empty.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it starts in the run, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Its type, or `None` where the run ends after `bLength`.
    #[must_use]
    pub fn descriptor_type(&self) -> Option<DescriptorType> {
        self.bytes.get(1).map(|&code| DescriptorType(code))
    }

    /// What it is made of where it stands alone, as answers of a device do: by its type, and a
    /// capability's; `None` where that is unknown. Inside a configuration
    /// [`Node::layout`](crate::Node::layout) tells.
    #[must_use]
    pub fn layout(&self) -> Option<&'static Layout> {
        match self.descriptor_type()? {
            DescriptorType::DEVICE_CAPABILITY => CapabilityDescriptor::layout_for(self.bytes),
            DescriptorType::HUB => Some(Hub::LAYOUT),
            DescriptorType::SUPERSPEED_HUB => Some(SuperSpeedHub::LAYOUT),
            kind => standard::layout(kind),
        }
    }

    /// Its fields by [`layout`](Self::layout), in order of bytes; their bytes joined are the
    /// descriptor.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        self.layout()
            .unwrap_or_else(standard::unknown)
            .fields(self.bytes)
    }

    /// The length it states for itself, in bytes.
    #[doc(alias = "bLength")]
    #[must_use]
    pub fn declared_length(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }

    /// Whether it states a length of at least 2 and has all those bytes. What is not complete is
    /// the last of its run and holds all the bytes that were left.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let declared = usize::from(self.declared_length());
        declared >= 2 && declared == self.bytes.len()
    }
}

/// Walks a run of descriptors in order of bytes and loses none: the pieces joined are the run.
///
/// A descriptor that states a length below 2 or beyond the end of the run is the last item; it
/// holds the rest and is not [complete](Descriptor::is_complete).
///
/// ```
/// use usb_descriptors::{DescriptorType, Descriptors};
/// let run = [2, 0x24, 3, 0x25, 7, 9, 0x04];
/// let walk: Vec<_> = Descriptors::new(&run).collect();
/// assert_eq!(walk.len(), 3);
/// assert_eq!(walk[1].bytes(), [3, 0x25, 7]);
/// assert!(!walk[2].is_complete());
/// ```
#[derive(Clone, Debug)]
pub struct Descriptors<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Descriptors<'a> {
    /// Starts at the first byte of `run`.
    #[must_use]
    pub const fn new(run: &'a [u8]) -> Self {
        Self {
            rest: run,
            offset: 0,
        }
    }

    /// The bytes not yet walked.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Descriptors<'a> {
    type Item = Descriptor<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let &declared = self.rest.first()?;
        let (bytes, rest) = match self.rest.split_at_checked(declared.into()) {
            Some(pieces) if declared >= 2 => pieces,
            _ => incomplete(self.rest),
        };
        let offset = self.offset;
        self.rest = rest;
        self.offset = offset.saturating_add(bytes.len());
        Some(Descriptor { bytes, offset })
    }
}

impl FusedIterator for Descriptors<'_> {}

/// Out of line, so that the processor foresees where the next descriptor begins.
#[cold]
const fn incomplete(run: &[u8]) -> (&[u8], &[u8]) {
    (run, &[])
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_byte_is_lost(run: Vec<u8>) {
            let mut joined = Vec::new();
            let mut incomplete = 0;
            for descriptor in Descriptors::new(&run) {
                prop_assert_eq!(descriptor.offset(), joined.len());
                prop_assert_eq!(incomplete, 0, "only the last may be incomplete");
                incomplete += usize::from(!descriptor.is_complete());
                joined.extend_from_slice(descriptor.bytes());
            }
            prop_assert_eq!(joined, run);
        }
    }
}
