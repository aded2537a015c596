//! What a device is on the bus.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::build::{self, BuildError, Configuration, Device, Interface};
use usb_descriptors::{Bcd, ClassCode, Speed};
use usb_transfer::DeviceDescriptors;

/// What SET_CONFIGURATION selects.
const CONFIGURATION: u8 = 1;

/// Indices of the strings.
const MANUFACTURER: u8 = 1;
const PRODUCT: u8 = 2;
const SERIAL: u8 = 3;

/// What a device of this crate is on the bus, whatever its function.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_functions::DeviceOptions;
/// let options = DeviceOptions::new(Speed::High)
///     .product("Front door")
///     .serial("0123456789AB");
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceOptions {
    speed: Speed,
    vendor_id: u16,
    product_id: u16,
    release: Bcd,
    manufacturer: String,
    product: Option<String>,
    serial: String,
}

impl DeviceOptions {
    /// The vendor of open source projects, <https://pid.codes>, with its product for tests in
    /// private; a device that is given to others wants a number of its own.
    pub const TEST_IDS: (u16, u16) = (0x1209, 0x0001);

    /// A device at a speed, with the [test ids](Self::TEST_IDS), its function's name and the
    /// serial number `000000000001`: give each device its own, for hosts tell devices apart by it.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self {
            speed,
            vendor_id: Self::TEST_IDS.0,
            product_id: Self::TEST_IDS.1,
            release: Bcd(0x0100),
            manufacturer: String::from("pid.codes"),
            product: None,
            serial: String::from("000000000001"),
        }
    }

    /// The vendor's number.
    #[doc(alias = "idVendor")]
    #[must_use]
    pub fn vendor_id(mut self, vendor_id: u16) -> Self {
        self.vendor_id = vendor_id;
        self
    }

    /// The product's number.
    #[doc(alias = "idProduct")]
    #[must_use]
    pub fn product_id(mut self, product_id: u16) -> Self {
        self.product_id = product_id;
        self
    }

    /// The device's release; 1.00 unless it is said.
    #[doc(alias = "bcdDevice")]
    #[must_use]
    pub fn release(mut self, release: Bcd) -> Self {
        self.release = release;
        self
    }

    /// The manufacturer's name.
    #[doc(alias = "iManufacturer")]
    #[must_use]
    pub fn manufacturer(mut self, manufacturer: &str) -> Self {
        self.manufacturer = String::from(manufacturer);
        self
    }

    /// The product's name.
    #[doc(alias = "iProduct")]
    #[must_use]
    pub fn product(mut self, product: &str) -> Self {
        self.product = Some(String::from(product));
        self
    }

    /// The serial number.
    #[doc(alias = "iSerialNumber")]
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = String::from(serial);
        self
    }

    pub(crate) const fn bus_speed(&self) -> Speed {
        self.speed
    }

    /// All descriptors of a device with one configuration, bus-powered and without remote wakeup:
    /// no wire carries a wakeup, and a suspended port would lose what is typed.
    pub(crate) fn descriptors(
        self,
        product: &str,
        class: ClassCode,
        interfaces: impl IntoIterator<Item = Interface>,
    ) -> Result<DeviceDescriptors, DeviceError> {
        let speed = self.speed;
        let device = Device::new(self.vendor_id, self.product_id)
            .class(class)
            .release(self.release)
            .manufacturer_string(MANUFACTURER)
            .product_string(PRODUCT)
            .serial_string(SERIAL);
        let configuration = Configuration::new(CONFIGURATION).max_power(100);
        let configuration = interfaces
            .into_iter()
            .fold(configuration, Configuration::interface);
        let mut all = DeviceDescriptors::new(speed, device.to_bytes(speed));
        all.configurations = Vec::from([configuration.to_bytes(speed)?.into()]);
        // One that works at full speed works at no other, and has no qualifier (USB 2.0, 9.6.2):
        // hosts would look for a faster port.
        if speed == Speed::High {
            all.qualifier = Some(device.to_qualifier_bytes().to_vec().into());
            let bytes = configuration.to_other_speed_bytes(Speed::Full)?;
            all.other_speed_configurations = Vec::from([bytes.into()]);
        }
        all.bos = build::bos(speed).map(Bytes::from_static);
        let product = self.product.as_deref().unwrap_or(product);
        all.add_string(MANUFACTURER, &self.manufacturer)?;
        all.add_string(PRODUCT, product)?;
        all.add_string(SERIAL, &self.serial)?;
        Ok(all)
    }

    /// Refuses low speed, which has neither bulk nor isochronous endpoints (USB 2.0, 5.6.3 and
    /// 5.8.3).
    pub(crate) fn above_low_speed(self) -> Result<Self, DeviceError> {
        match self.speed {
            Speed::Low => Err(DeviceError::LowSpeed),
            _ => Ok(self),
        }
    }
}

/// Why there can be no such device.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceError, DeviceOptions, Serial};
/// let error = Serial::new(DeviceOptions::new(Speed::Low)).unwrap_err();
/// assert_eq!(error, DeviceError::LowSpeed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The function needs endpoints that low speed does not have.
    #[error("no such device exists at low speed, at full speed and above one does")]
    LowSpeed,
    /// There can be no such descriptors: a string is too long.
    #[error(transparent)]
    Descriptors(#[from] BuildError),
}
