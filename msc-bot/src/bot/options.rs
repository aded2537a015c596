//! What a device is, and its descriptors.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::build::{self, BuildError, Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, Speed};
use usb_transfer::DeviceDescriptors;

use crate::uas::pipes;

/// Endpoints of the device, the same at every speed.
pub(crate) const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
pub(crate) const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);
/// The one interface, and the configuration it is in.
pub(crate) const INTERFACE: u8 = 0;
const CONFIGURATION: u8 = 1;

/// Indices of the strings.
const MANUFACTURER: u8 = 1;
const PRODUCT: u8 = 2;
const SERIAL: u8 = 3;

/// Packets per burst at SuperSpeed: the most there are (USB 3.2, table 9-28).
const BURST: u8 = 16;

/// What a [`BotDevice`](crate::BotDevice) is on the bus.
///
/// ```
/// use msc_bot::BotOptions;
/// use usb_descriptors::Speed;
/// let options = BotOptions::new(Speed::High)
///     .product("Test disk")
///     .serial("0123456789AB");
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotOptions {
    speed: Speed,
    vendor_id: u16,
    product_id: u16,
    manufacturer: String,
    product: String,
    serial: String,
    pub(super) short_in: ShortIn,
}

/// What becomes of a data phase for which the host expects more than the unit has: cases 4, 5, 7
/// and 8 of the thirteen. BOT 1.0 (6.7.2) allows both; the residue in the status is the same, as
/// only data of the unit counts.
///
/// ```
/// use msc_bot::{BotOptions, ShortIn};
/// use usb_descriptors::Speed;
/// let options = BotOptions::new(Speed::High).short_in(ShortIn::Stall);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum ShortIn {
    /// It is filled up with zeros. No host has to recover from anything, so this is for all of
    /// them: some firmware cannot clear a halt, and some hosts reset the device instead.
    #[default]
    Pad,
    /// It ends with what there is, and the IN endpoint halts; the status waits until the host has
    /// cleared the halt. Less goes over the wire, and a host shows whether it can do this.
    #[doc(alias = "StallIn")]
    Stall,
}

impl BotOptions {
    /// The vendor of open source projects, <https://pid.codes>, with its product for tests in
    /// private; a device that is given to others wants a number of its own.
    pub const TEST_IDS: (u16, u16) = (0x1209, 0x0001);

    /// A device at a speed, with the [test ids](Self::TEST_IDS) and the serial number
    /// `000000000001`: give each device its own, for hosts tell devices apart by it.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self {
            speed,
            vendor_id: Self::TEST_IDS.0,
            product_id: Self::TEST_IDS.1,
            manufacturer: String::from("pid.codes"),
            product: String::from("USB Disk"),
            serial: String::from("000000000001"),
            short_in: ShortIn::default(),
        }
    }

    /// How a data phase ends for which there is less than the host expects.
    #[must_use]
    pub const fn short_in(mut self, short_in: ShortIn) -> Self {
        self.short_in = short_in;
        self
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

    /// The manufacturer's name.
    #[must_use]
    pub fn manufacturer(mut self, manufacturer: &str) -> Self {
        self.manufacturer = String::from(manufacturer);
        self
    }

    /// The product's name.
    #[must_use]
    pub fn product(mut self, product: &str) -> Self {
        self.product = String::from(product);
        self
    }

    /// The serial number: at least twelve digits and letters A–F, of which the last twelve are
    /// the device's own (BOT 1.0, 4.1.1). Others are said as they are; not every host likes them.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = String::from(serial);
        self
    }

    /// With `uas`, USB Attached SCSI is alternate setting 1.
    pub(crate) fn descriptors(self, uas: bool) -> Result<DeviceDescriptors, BuildError> {
        let device = Device::new(self.vendor_id, self.product_id)
            .manufacturer_string(MANUFACTURER)
            .product_string(PRODUCT)
            .serial_string(SERIAL);
        let interface = Interface::new(INTERFACE, ClassCode::MASS_STORAGE_BULK_ONLY)
            .endpoint(Endpoint::bulk(BULK_IN).packets_per_burst(BURST))
            .endpoint(Endpoint::bulk(BULK_OUT).packets_per_burst(BURST));
        let mut configuration = Configuration::new(CONFIGURATION)
            .max_power(100)
            .interface(interface);
        if uas {
            configuration = configuration.interface(pipes(BURST)?);
        }
        let mut all = DeviceDescriptors::new(self.speed, device.to_bytes(self.speed));
        all.configurations = Vec::from([configuration.to_bytes(self.speed)?.into()]);
        // One that works at full speed works at no other, and has no qualifier (USB 2.0, 9.6.2):
        // hosts would look for a faster port.
        if self.speed == Speed::High {
            all.qualifier = Some(device.to_qualifier_bytes().to_vec().into());
            let bytes = configuration.to_other_speed_bytes(Speed::Full)?;
            all.other_speed_configurations = Vec::from([bytes.into()]);
        }
        all.bos = build::bos(self.speed).map(Bytes::from_static);
        all.add_string(MANUFACTURER, &self.manufacturer)?;
        all.add_string(PRODUCT, &self.product)?;
        all.add_string(SERIAL, &self.serial)?;
        Ok(all)
    }
}

/// Why there can be no such device.
///
/// ```
/// use msc_bot::{BotDevice, BotError, BotOptions};
/// use usb_descriptors::Speed;
/// let error = BotDevice::new(BotOptions::new(Speed::High), []).unwrap_err();
/// assert_eq!(error, BotError::NoUnit);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BotError {
    /// A device has at least one unit.
    #[error("a mass storage device has at least one logical unit")]
    NoUnit,
    /// A command wrapper has four bits for the unit (BOT 1.0, table 5.1).
    #[error("a mass storage device has at most 16 logical units")]
    TooManyUnits,
    /// There can be no such descriptors: no bulk endpoints at low speed, or a string is too long.
    #[error(transparent)]
    Descriptors(#[from] BuildError),
}
