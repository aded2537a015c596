//! Device descriptors and qualifiers.

use crate::{Bcd, ClassCode, Speed};

/// A device descriptor to build (USB 2.0, table 9-8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    vendor_id: u16,
    product_id: u16,
    release: Bcd,
    class: ClassCode,
    manufacturer_string: u8,
    product_string: u8,
    serial_string: u8,
    configurations: u8,
}

impl Device {
    /// A device of release 1.00 with one configuration, whose interfaces state their classes.
    #[must_use]
    pub const fn new(vendor_id: u16, product_id: u16) -> Self {
        Self {
            vendor_id,
            product_id,
            release: Bcd(0x0100),
            class: ClassCode::PER_INTERFACE,
            manufacturer_string: 0,
            product_string: 0,
            serial_string: 0,
            configurations: 1,
        }
    }

    /// The device's release, `bcdDevice`.
    #[must_use]
    pub const fn release(mut self, release: Bcd) -> Self {
        self.release = release;
        self
    }

    /// The device's class.
    #[must_use]
    pub const fn class(mut self, class: ClassCode) -> Self {
        self.class = class;
        self
    }

    /// Index of the manufacturer's string.
    #[must_use]
    pub const fn manufacturer_string(mut self, index: u8) -> Self {
        self.manufacturer_string = index;
        self
    }

    /// Index of the product's string.
    #[must_use]
    pub const fn product_string(mut self, index: u8) -> Self {
        self.product_string = index;
        self
    }

    /// Index of the serial number's string.
    #[must_use]
    pub const fn serial_string(mut self, index: u8) -> Self {
        self.serial_string = index;
        self
    }

    /// How many configurations there are.
    #[must_use]
    pub const fn configurations(mut self, count: u8) -> Self {
        self.configurations = count;
        self
    }

    /// The descriptor at a speed, which sets `bcdUSB` and `bMaxPacketSize0`.
    #[must_use]
    pub const fn to_bytes(&self, speed: Speed) -> [u8; 18] {
        let [usb0, usb1] = usb_release(speed).0.to_le_bytes();
        let [vendor0, vendor1] = self.vendor_id.to_le_bytes();
        let [product0, product1] = self.product_id.to_le_bytes();
        let [release0, release1] = self.release.0.to_le_bytes();
        let ClassCode {
            class,
            subclass,
            protocol,
        } = self.class;
        [
            18,
            0x01,
            usb0,
            usb1,
            class,
            subclass,
            protocol,
            max_packet_size_0(speed),
            vendor0,
            vendor1,
            product0,
            product1,
            release0,
            release1,
            self.manufacturer_string,
            self.product_string,
            self.serial_string,
            self.configurations,
        ]
    }

    /// The device qualifier of a device that also works at the other of full and high speed
    /// (USB 2.0, table 9-9).
    #[must_use]
    pub const fn to_qualifier_bytes(&self) -> [u8; 10] {
        let [usb0, usb1] = usb_release(Speed::High).0.to_le_bytes();
        let ClassCode {
            class,
            subclass,
            protocol,
        } = self.class;
        let packet = max_packet_size_0(Speed::High);
        [
            10,
            0x06,
            usb0,
            usb1,
            class,
            subclass,
            protocol,
            packet,
            self.configurations,
            0,
        ]
    }
}

const fn usb_release(speed: Speed) -> Bcd {
    match speed {
        Speed::Low | Speed::Full | Speed::High => Bcd(0x0200),
        Speed::Super => Bcd(0x0300),
        Speed::SuperPlus => Bcd(0x0310),
    }
}

/// In bytes up to high speed, as an exponent of two above (USB 3.2, table 9-11).
const fn max_packet_size_0(speed: Speed) -> u8 {
    match speed {
        Speed::Low => 8,
        Speed::Full | Speed::High => 64,
        Speed::Super | Speed::SuperPlus => 9,
    }
}
