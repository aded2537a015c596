//! Class codes.

use core::fmt;

/// Class, subclass and protocol of a device, an interface or an interface association
/// (USB-IF, "Defined Class Codes").
///
/// ```
/// use usb_descriptors::ClassCode;
/// assert_eq!(ClassCode::MASS_STORAGE_BULK_ONLY.to_string(), "08/06/50");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "three bytes in every descriptor that has one"
)]
pub struct ClassCode {
    /// `bDeviceClass`, `bInterfaceClass` or `bFunctionClass`.
    pub class: u8,
    /// `bDeviceSubClass`, `bInterfaceSubClass` or `bFunctionSubClass`.
    pub subclass: u8,
    /// `bDeviceProtocol`, `bInterfaceProtocol` or `bFunctionProtocol`.
    pub protocol: u8,
}

impl ClassCode {
    /// In a device descriptor: each interface states its own class.
    pub const PER_INTERFACE: Self = Self::new(0, 0, 0);
    /// Mass storage, SCSI transparent command set, Bulk-Only Transport.
    pub const MASS_STORAGE_BULK_ONLY: Self = Self::new(0x08, 0x06, 0x50);
    /// SCSI disks by USB Attached SCSI (Mass Storage Class Specification Overview 1.4, table 2).
    pub const MASS_STORAGE_UAS: Self = Self::new(0x08, 0x06, 0x62);

    /// Composes a class code.
    #[must_use]
    pub const fn new(class: u8, subclass: u8, protocol: u8) -> Self {
        Self {
            class,
            subclass,
            protocol,
        }
    }

    /// The name of the class alone, where the USB-IF gave it one.
    #[must_use]
    pub const fn class_name(self) -> Option<&'static str> {
        Some(match self.class {
            0x00 => "per interface",
            0x01 => "audio",
            0x02 => "communications",
            0x03 => "human interface device",
            0x05 => "physical",
            0x06 => "still image",
            0x07 => "printer",
            0x08 => "mass storage",
            0x09 => "hub",
            0x0a => "CDC data",
            0x0b => "smart card",
            0x0d => "content security",
            0x0e => "video",
            0x0f => "personal healthcare",
            0x10 => "audio/video",
            0x11 => "billboard",
            0x12 => "Type-C bridge",
            0xdc => "diagnostic",
            0xe0 => "wireless controller",
            0xef => "miscellaneous",
            0xfe => "application specific",
            0xff => "vendor specific",
            _ => return None,
        })
    }
}

impl fmt::Display for ClassCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}/{:02x}/{:02x}",
            self.class, self.subclass, self.protocol
        )
    }
}
