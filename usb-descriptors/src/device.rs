//! Device and device qualifier descriptors.

use core::fmt;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::check;
use crate::{ClassCode, DescriptorError, DescriptorType};

/// A binary-coded release number: 0x0210 is 2.10 (USB 2.0, table 9-8, `bcdUSB`, `bcdDevice`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "two bytes; any value may stand in a descriptor"
)]
pub struct Bcd(pub u16);

impl Bcd {
    /// Whether each of its four digits is one of 0–9.
    #[must_use]
    pub fn is_decimal(self) -> bool {
        [0, 4, 8, 12]
            .iter()
            .all(|&shift| self.0.wrapping_shr(shift) & 0xf < 10)
    }
}

impl fmt::Display for Bcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor] = self.0.to_be_bytes();
        write!(f, "{major:x}.{minor:02x}")
    }
}

/// USB 2.0, table 9-8.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DeviceLayout {
    length: u8,
    descriptor_type: u8,
    usb: U16,
    class: u8,
    subclass: u8,
    protocol: u8,
    max_packet_size_0: u8,
    vendor: U16,
    product: U16,
    release: U16,
    manufacturer_string: u8,
    product_string: u8,
    serial_string: u8,
    configurations: u8,
}

/// A device descriptor, read in place (USB 2.0, table 9-8).
///
/// ```
/// use usb_descriptors::Device;
/// let bytes = [18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 1, 2, 3, 1];
/// let device = Device::parse(&bytes)?;
/// assert_eq!((device.vendor_id(), device.product_id()), (0x1234, 0x5678));
/// assert_eq!(device.usb_release().to_string(), "2.00");
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Device<'a> {
    layout: &'a DeviceLayout,
}

impl<'a> Device<'a> {
    /// Bytes of the descriptor.
    pub const LENGTH: usize = size_of::<DeviceLayout>();

    /// Reads the descriptor at the start of `bytes`.
    ///
    /// # Errors
    /// [`DescriptorError`] where the type is another or fewer than 18 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        check(bytes, DescriptorType::DEVICE, Self::LENGTH)?;
        let (layout, _) =
            DeviceLayout::ref_from_prefix(bytes).map_err(|_| DescriptorError::TooShort {
                expected_type: DescriptorType::DEVICE,
                expected: Self::LENGTH,
                found: bytes.len(),
            })?;
        Ok(Self { layout })
    }

    /// The release of USB that the device follows.
    #[doc(alias = "bcdUSB")]
    #[must_use]
    pub fn usb_release(&self) -> Bcd {
        Bcd(self.layout.usb.get())
    }

    /// The device's class; [`ClassCode::PER_INTERFACE`] for most.
    #[doc(alias = "bDeviceClass")]
    #[must_use]
    pub fn class(&self) -> ClassCode {
        ClassCode::new(
            self.layout.class,
            self.layout.subclass,
            self.layout.protocol,
        )
    }

    /// The largest packet of endpoint 0 in bytes; `None` where the field, an exponent of two from
    /// USB 3.0 on, is out of range.
    #[doc(alias = "bMaxPacketSize0")]
    #[must_use]
    pub fn control_max_packet_size(&self) -> Option<u16> {
        let field = self.layout.max_packet_size_0;
        if self.usb_release() >= Bcd(0x0300) {
            1u16.checked_shl(u32::from(field))
        } else {
            Some(u16::from(field))
        }
    }

    /// `bMaxPacketSize0` as it stands.
    #[must_use]
    pub(crate) const fn raw_max_packet_size(self) -> u8 {
        self.layout.max_packet_size_0
    }

    /// The vendor's number, given by the USB-IF.
    #[doc(alias = "idVendor")]
    #[must_use]
    pub fn vendor_id(&self) -> u16 {
        self.layout.vendor.get()
    }

    /// The product's number, given by the vendor.
    #[doc(alias = "idProduct")]
    #[must_use]
    pub fn product_id(&self) -> u16 {
        self.layout.product.get()
    }

    /// The device's release.
    #[doc(alias = "bcdDevice")]
    #[must_use]
    pub fn device_release(&self) -> Bcd {
        Bcd(self.layout.release.get())
    }

    /// Index of the manufacturer's string; 0 for none.
    #[doc(alias = "iManufacturer")]
    #[must_use]
    pub fn manufacturer_string(&self) -> u8 {
        self.layout.manufacturer_string
    }

    /// Index of the product's string; 0 for none.
    #[doc(alias = "iProduct")]
    #[must_use]
    pub fn product_string(&self) -> u8 {
        self.layout.product_string
    }

    /// Index of the serial number's string; 0 for none.
    #[doc(alias = "iSerialNumber")]
    #[must_use]
    pub fn serial_string(&self) -> u8 {
        self.layout.serial_string
    }

    /// How many configurations there are at this speed.
    #[doc(alias = "bNumConfigurations")]
    #[must_use]
    pub fn configuration_count(&self) -> u8 {
        self.layout.configurations
    }
}

impl fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("usb_release", &self.usb_release())
            .field("class", &self.class())
            .field("control_max_packet_size", &self.control_max_packet_size())
            .field("vendor_id", &format_args!("{:04x}", self.vendor_id()))
            .field("product_id", &format_args!("{:04x}", self.product_id()))
            .field("device_release", &self.device_release())
            .field("configuration_count", &self.configuration_count())
            .finish_non_exhaustive()
    }
}

/// USB 2.0, table 9-9.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct QualifierLayout {
    length: u8,
    descriptor_type: u8,
    usb: U16,
    class: u8,
    subclass: u8,
    protocol: u8,
    max_packet_size_0: u8,
    configurations: u8,
    reserved: u8,
}

/// A device qualifier, read in place: what a device that works at full and at high speed would
/// say of itself at the other of the two (USB 2.0, table 9-9).
///
/// ```
/// use usb_descriptors::DeviceQualifier;
/// let qualifier = DeviceQualifier::parse(&[10, 6, 0, 2, 0, 0, 0, 64, 1, 0])?;
/// assert_eq!(qualifier.control_max_packet_size(), 64);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct DeviceQualifier<'a> {
    layout: &'a QualifierLayout,
}

impl<'a> DeviceQualifier<'a> {
    /// Bytes of the descriptor.
    pub const LENGTH: usize = size_of::<QualifierLayout>();

    /// Reads the descriptor at the start of `bytes`.
    ///
    /// # Errors
    /// [`DescriptorError`] where the type is another or fewer than 10 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        check(bytes, DescriptorType::DEVICE_QUALIFIER, Self::LENGTH)?;
        let (layout, _) =
            QualifierLayout::ref_from_prefix(bytes).map_err(|_| DescriptorError::TooShort {
                expected_type: DescriptorType::DEVICE_QUALIFIER,
                expected: Self::LENGTH,
                found: bytes.len(),
            })?;
        Ok(Self { layout })
    }

    /// The release of USB that the device follows.
    #[doc(alias = "bcdUSB")]
    #[must_use]
    pub fn usb_release(&self) -> Bcd {
        Bcd(self.layout.usb.get())
    }

    /// The device's class at the other speed.
    #[must_use]
    pub fn class(&self) -> ClassCode {
        ClassCode::new(
            self.layout.class,
            self.layout.subclass,
            self.layout.protocol,
        )
    }

    /// The largest packet of endpoint 0 at the other speed, in bytes.
    #[doc(alias = "bMaxPacketSize0")]
    #[must_use]
    pub fn control_max_packet_size(&self) -> u8 {
        self.layout.max_packet_size_0
    }

    /// How many configurations there are at the other speed.
    #[doc(alias = "bNumConfigurations")]
    #[must_use]
    pub fn configuration_count(&self) -> u8 {
        self.layout.configurations
    }
}

impl fmt::Debug for DeviceQualifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceQualifier")
            .field("usb_release", &self.usb_release())
            .field("class", &self.class())
            .field("control_max_packet_size", &self.control_max_packet_size())
            .field("configuration_count", &self.configuration_count())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_what_was_expected() {
        extern crate std;
        use std::string::ToString;
        let cut = Device::parse(&[18, 1, 0]).unwrap_err();
        assert_eq!(
            cut.to_string(),
            "device descriptor: 3 bytes, expected at least 18"
        );
        let other = Device::parse(&[9, 2, 0]).unwrap_err();
        assert_eq!(
            other.to_string(),
            "expected a device descriptor, found configuration"
        );
        assert!(Device::parse(&[]).is_err());
    }

    #[test]
    fn packet_size_0_is_an_exponent_from_usb_3_on() {
        let mut bytes = [18, 1, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            Device::parse(&bytes).unwrap().control_max_packet_size(),
            Some(512)
        );
        bytes[7] = 16;
        assert_eq!(
            Device::parse(&bytes).unwrap().control_max_packet_size(),
            None
        );
        bytes[3] = 2;
        assert_eq!(
            Device::parse(&bytes).unwrap().control_max_packet_size(),
            Some(16)
        );
    }
}
