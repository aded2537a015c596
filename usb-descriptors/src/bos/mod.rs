//! The binary device object store.

pub mod capability;

use core::fmt;

use capability::CapabilityDescriptor;

use crate::error::check;
use crate::{Descriptor, DescriptorError, DescriptorType, Descriptors};

/// What a device capability is about (USB 3.2, table 9-14, `bDevCapabilityType`).
#[doc(alias = "bDevCapabilityType")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct CapabilityType(pub u8);

impl CapabilityType {
    /// USB 2.0 extension: link power management.
    pub const USB_2_0_EXTENSION: Self = Self(0x02);
    /// SuperSpeed: speeds and exit latencies.
    pub const SUPERSPEED: Self = Self(0x03);
    /// A number that is the same in every mode of one device.
    pub const CONTAINER_ID: Self = Self(0x04);
    /// Named by a UUID: WebUSB, Microsoft OS 2.0 and others.
    pub const PLATFORM: Self = Self(0x05);
    /// SuperSpeed Plus: lanes and their speeds.
    pub const SUPERSPEED_PLUS: Self = Self(0x0a);
    /// Precision time measurement.
    pub const PRECISION_TIME: Self = Self(0x0b);
    /// Alternate modes of a Type-C device.
    pub const BILLBOARD: Self = Self(0x0d);
}

impl fmt::Display for CapabilityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::USB_2_0_EXTENSION => f.pad("USB 2.0 extension"),
            Self::SUPERSPEED => f.pad("SuperSpeed"),
            Self::CONTAINER_ID => f.pad("container id"),
            Self::PLATFORM => f.pad("platform"),
            Self::SUPERSPEED_PLUS => f.pad("SuperSpeed Plus"),
            Self::PRECISION_TIME => f.pad("precision time measurement"),
            Self::BILLBOARD => f.pad("billboard"),
            Self(other) => write!(f, "capability {other:02x}h"),
        }
    }
}

/// A binary device object store, read in place (USB 3.2, 9.6.2).
///
/// ```
/// use usb_descriptors::{Bos, CapabilityType};
/// let bytes = [5, 15, 12, 0, 1, 7, 16, 2, 2, 0, 0, 0];
/// let bos = Bos::parse(&bytes)?;
/// let capability = bos.capabilities().next().unwrap();
/// assert_eq!(capability.capability_type(), CapabilityType::USB_2_0_EXTENSION);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[doc(alias = "BinaryObjectStore")]
#[derive(Clone, Copy, Debug)]
pub struct Bos<'a> {
    bytes: &'a [u8],
}

impl<'a> Bos<'a> {
    /// Bytes of the header.
    pub const LENGTH: usize = 5;

    /// Reads the store that `bytes` starts with; bytes beyond its `wTotalLength` are not looked
    /// at.
    ///
    /// # Errors
    /// [`DescriptorError`] where the type is another or fewer than 5 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        check(bytes, DescriptorType::BOS, Self::LENGTH)?;
        let mut bos = Self { bytes };
        let total = usize::from(bos.total_length()).max(Self::LENGTH);
        bos.bytes = bytes.get(..total).unwrap_or(bytes);
        Ok(bos)
    }

    /// All bytes, the header included, up to `wTotalLength` or the end.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The length the store states for itself, in bytes.
    #[doc(alias = "wTotalLength")]
    #[must_use]
    pub fn total_length(&self) -> u16 {
        match self.bytes {
            &[_, _, low, high, ..] => u16::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    /// How many capabilities it states to have.
    #[doc(alias = "bNumDeviceCaps")]
    #[must_use]
    pub fn capability_count(&self) -> u8 {
        self.bytes.get(4).copied().unwrap_or(0)
    }

    /// Every descriptor, the header first, in order of bytes.
    #[must_use]
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors::new(self.bytes)
    }

    /// Its capabilities, in order of bytes.
    #[must_use]
    pub fn capabilities(&self) -> BosCapabilities<'a> {
        BosCapabilities {
            walk: self.descriptors(),
        }
    }
}

/// The capabilities of a device: [`Bos::capabilities`].
#[derive(Clone, Debug)]
pub struct BosCapabilities<'a> {
    walk: Descriptors<'a>,
}

impl<'a> Iterator for BosCapabilities<'a> {
    type Item = Capability<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.find_map(Capability::from_descriptor)
    }
}

/// One device capability, read in place (USB 3.2, table 9-13).
#[derive(Clone, Copy, Debug)]
pub struct Capability<'a> {
    capability_type: CapabilityType,
    descriptor: Descriptor<'a>,
}

impl<'a> Capability<'a> {
    fn from_descriptor(descriptor: Descriptor<'a>) -> Option<Self> {
        if descriptor.descriptor_type() != Some(DescriptorType::DEVICE_CAPABILITY) {
            return None;
        }
        let capability_type = CapabilityType(*descriptor.bytes().get(2)?);
        Some(Self {
            capability_type,
            descriptor,
        })
    }

    /// What it is about.
    #[must_use]
    pub const fn capability_type(&self) -> CapabilityType {
        self.capability_type
    }

    /// All its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.descriptor.bytes()
    }

    /// Where it starts in the store, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.descriptor.offset()
    }

    /// The typed view of it; `None` where its kind is unknown or it is too short.
    #[must_use]
    pub fn view(&self) -> Option<CapabilityDescriptor<'a>> {
        CapabilityDescriptor::parse(self.descriptor.bytes())
    }

    /// What follows the type, in the layout of the type.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.descriptor.bytes().get(3..).unwrap_or(&[])
    }
}
