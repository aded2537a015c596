//! Building descriptors: lengths, totals and counts are computed, sizes follow from the speed.
//!
//! ```
//! use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
//! use usb_descriptors::{ClassCode, Direction, EndpointAddress, Speed};
//!
//! // Fixed parts can be constants.
//! const DEVICE: Device = Device::new(0x1209, 0x0001).product_string(1);
//! assert_eq!(DEVICE.to_bytes(Speed::Super)[7], 9); // 2^9 bytes on endpoint 0
//!
//! let bulk_in = EndpointAddress::new(1, Direction::In).unwrap();
//! let configuration = Configuration::new(1).max_power(100).interface(
//!     Interface::new(0, ClassCode::new(0xff, 0, 0)).endpoint(Endpoint::bulk(bulk_in)),
//! );
//! let high = configuration.to_bytes(Speed::High)?;
//! assert_eq!(high.len(), 9 + 9 + 7);
//! let fast = configuration.to_bytes(Speed::Super)?; // with a companion
//! assert_eq!(fast.len(), 9 + 9 + 7 + 6);
//! # Ok::<(), usb_descriptors::build::BuildError>(())
//! ```

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use thiserror::Error;

#[cfg(feature = "alloc")]
use crate::LanguageId;
use crate::{Bcd, CapabilityType, ClassCode, DescriptorType, EndpointAddress, Speed, TransferType};

/// Why a description cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No endpoint of this type exists at this speed.
    #[error("endpoint {address}: no {transfer_type} endpoint exists at {speed}")]
    #[non_exhaustive]
    TransferType {
        /// The endpoint.
        address: EndpointAddress,
        /// Its type.
        transfer_type: TransferType,
        /// The speed to build for.
        speed: Speed,
    },
    /// A configuration of value 0, which means "not configured".
    #[error("a configuration cannot have the value 0, which means not configured")]
    ConfigurationValue,
    /// Endpoint 0 is never described.
    #[error("endpoint 0 is the control endpoint, which has no descriptor")]
    ControlEndpoint,
    /// An address twice in one alternate setting, or in two interfaces.
    #[error("endpoint {address} of interface {interface} is described already")]
    #[non_exhaustive]
    DuplicateEndpoint {
        /// The endpoint.
        address: EndpointAddress,
        /// The interface that describes it again.
        interface: u8,
    },
    /// An alternate setting twice.
    #[error("alternate setting {alternate} of interface {interface} is described already")]
    #[non_exhaustive]
    DuplicateSetting {
        /// The interface.
        interface: u8,
        /// Its alternate setting.
        alternate: u8,
    },
    /// More power than a port gives.
    #[error("{found} mA is more than a port gives at {speed}: {limit} mA")]
    #[non_exhaustive]
    MaxPower {
        /// What was asked, in mA.
        found: u16,
        /// What a port gives, in mA.
        limit: u16,
        /// The speed to build for.
        speed: Speed,
    },
    /// More bytes than the length field can say.
    #[error("{found} bytes, but a {limit}-byte length is the most the field can say")]
    #[non_exhaustive]
    TooLong {
        /// Bytes needed.
        found: usize,
        /// Bytes possible.
        limit: usize,
    },
}

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

/// The BOS that a device must have at a speed: none up to high speed; USB 2.0 link power management
/// and SuperSpeed from there on, and above that SuperSpeedPlus with one lane of 10 Gbit/s each way
/// (USB 3.2, 9.6.2.1, 9.6.2.2 and 9.6.2.5).
///
/// ```
/// use usb_descriptors::{Bos, Speed, build};
/// assert_eq!(build::bos(Speed::High), None);
/// assert_eq!(Bos::parse(build::bos(Speed::Super).unwrap())?.capability_count(), 2);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[must_use]
pub const fn bos(speed: Speed) -> Option<&'static [u8]> {
    match speed {
        Speed::Low | Speed::Full | Speed::High => None,
        Speed::Super => Some(&SUPERSPEED_BOS),
        Speed::SuperPlus => Some(&SUPERSPEED_PLUS_BOS),
    }
}

const CAPABILITY: u8 = DescriptorType::DEVICE_CAPABILITY.0;

#[rustfmt::skip]
const SUPERSPEED_BOS: [u8; 22] = [
    5, DescriptorType::BOS.0, 22, 0, 2,
    7, CAPABILITY, CapabilityType::USB_2_0_EXTENSION.0, 0x02, 0, 0, 0, // LPM
    10, CAPABILITY, CapabilityType::SUPERSPEED.0, 0, 0x0e, 0, // full, high and 5 Gbit/s
    1, 0x0a, 0xff, 0x07, // full function from full speed; exit in 10 µs and 2047 µs
];

#[rustfmt::skip]
const SUPERSPEED_PLUS_BOS: [u8; 42] = [
    5, DescriptorType::BOS.0, 42, 0, 3,
    7, CAPABILITY, CapabilityType::USB_2_0_EXTENSION.0, 0x02, 0, 0, 0,
    10, CAPABILITY, CapabilityType::SUPERSPEED.0, 0, 0x0e, 0,
    1, 0x0a, 0xff, 0x07,
    20, CAPABILITY, CapabilityType::SUPERSPEED_PLUS.0, 0,
    0x01, 0, 0, 0, // two attributes for one sublink speed
    0x00, 0x11, 0, 0, // works with one lane each way
    0x30, 0x40, 0x0a, 0, // receiving, 10 Gbit/s
    0xb0, 0x40, 0x0a, 0, // sending, 10 Gbit/s
];

/// A string descriptor's bytes (USB 2.0, table 9-16).
///
/// # Errors
/// [`BuildError::TooLong`] above 126 UTF-16 units.
#[cfg(feature = "alloc")]
pub fn string(text: &str) -> Result<Vec<u8>, BuildError> {
    units(text.encode_utf16())
}

/// The string descriptor at index 0: the languages there are (USB 2.0, table 9-15).
///
/// # Errors
/// [`BuildError::TooLong`] above 126 languages.
#[cfg(feature = "alloc")]
pub fn languages(languages: impl IntoIterator<Item = LanguageId>) -> Result<Vec<u8>, BuildError> {
    units(languages.into_iter().map(|language| language.0))
}

#[cfg(feature = "alloc")]
fn units(units: impl Iterator<Item = u16>) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::from([0, DescriptorType::STRING.0]);
    bytes.extend(units.flat_map(u16::to_le_bytes));
    // 254 is the longest even length.
    let found = bytes.len();
    let length = u8::try_from(found).ok().filter(|_| found <= 254);
    match (length, bytes.first_mut()) {
        (Some(length), Some(first)) => *first = length,
        _ => return Err(BuildError::TooLong { found, limit: 254 }),
    }
    Ok(bytes)
}

/// A configuration to build (USB 2.0, table 9-10).
#[cfg(feature = "alloc")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    value: u8,
    string: u8,
    self_powered: bool,
    remote_wakeup: bool,
    max_power: u16,
    interfaces: Vec<Interface>,
}

#[cfg(feature = "alloc")]
impl Configuration {
    /// A bus-powered configuration without interfaces; `value` is what selects it, not 0.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self {
            value,
            string: 0,
            self_powered: false,
            remote_wakeup: false,
            max_power: 0,
            interfaces: Vec::new(),
        }
    }

    /// Index of its string.
    #[must_use]
    pub const fn string(mut self, index: u8) -> Self {
        self.string = index;
        self
    }

    /// The device has power of its own.
    #[must_use]
    pub const fn self_powered(mut self) -> Self {
        self.self_powered = true;
        self
    }

    /// The device can wake the host.
    #[must_use]
    pub const fn remote_wakeup(mut self) -> Self {
        self.remote_wakeup = true;
        self
    }

    /// What it draws from the bus, in mA; rounded up to the unit of the speed.
    #[must_use]
    pub const fn max_power(mut self, milliamperes: u16) -> Self {
        self.max_power = milliamperes;
        self
    }

    /// Adds an alternate setting of an interface.
    #[must_use]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interfaces.push(interface);
        self
    }

    /// The configuration with all that belongs to it, at a speed.
    ///
    /// # Errors
    /// [`BuildError`] where no such configuration can exist at this speed.
    pub fn to_bytes(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        self.encode(DescriptorType::CONFIGURATION, speed)
    }

    /// The same as an other-speed configuration: what it would be at `speed`, told at the other
    /// of full and high speed (USB 2.0, 9.6.4).
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_other_speed_bytes(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        self.encode(DescriptorType::OTHER_SPEED_CONFIGURATION, speed)
    }

    fn encode(&self, kind: DescriptorType, speed: Speed) -> Result<Vec<u8>, BuildError> {
        if self.value == 0 {
            return Err(BuildError::ConfigurationValue);
        }
        self.check_distinct()?;
        let mut numbers: Vec<u8> = self.interfaces.iter().map(|each| each.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let count = u8::try_from(numbers.len()).map_err(|_| BuildError::TooLong {
            found: numbers.len(),
            limit: 255,
        })?;
        let attributes =
            0x80 | u8::from(self.self_powered) << 6 | u8::from(self.remote_wakeup) << 5;
        let mut bytes = Vec::from([
            9,
            kind.0,
            0,
            0,
            count,
            self.value,
            self.string,
            attributes,
            self.power_field(speed)?,
        ]);
        for interface in &self.interfaces {
            interface.encode(speed, &mut bytes)?;
        }
        let total = u16::try_from(bytes.len()).map_err(|_| BuildError::TooLong {
            found: bytes.len(),
            limit: 0xffff,
        })?;
        if let Some(field) = bytes.get_mut(2..4) {
            field.copy_from_slice(&total.to_le_bytes());
        }
        Ok(bytes)
    }

    fn power_field(&self, speed: Speed) -> Result<u8, BuildError> {
        let (unit, limit) = if speed.is_super() { (8, 900) } else { (2, 500) };
        let refused = BuildError::MaxPower {
            found: self.max_power,
            limit,
            speed,
        };
        if self.max_power > limit {
            return Err(refused);
        }
        u8::try_from(self.max_power.div_ceil(unit)).map_err(|_| refused)
    }

    fn check_distinct(&self) -> Result<(), BuildError> {
        for (at, interface) in self.interfaces.iter().enumerate() {
            let earlier = self.interfaces.get(..at).unwrap_or(&[]);
            let number = interface.number;
            if earlier
                .iter()
                .any(|other| other.setting() == interface.setting())
            {
                let alternate = interface.alternate;
                return Err(BuildError::DuplicateSetting {
                    interface: number,
                    alternate,
                });
            }
            for (at, endpoint) in interface.endpoints.iter().enumerate() {
                let address = endpoint.address;
                if address.is_control() {
                    return Err(BuildError::ControlEndpoint);
                }
                let siblings = interface.endpoints.get(..at).unwrap_or(&[]);
                let others = earlier.iter().filter(|other| other.number != number);
                let mut described = siblings
                    .iter()
                    .chain(others.flat_map(|other| &other.endpoints));
                if described.any(|other| other.address == address) {
                    return Err(BuildError::DuplicateEndpoint {
                        address,
                        interface: number,
                    });
                }
            }
        }
        Ok(())
    }
}

/// One alternate setting of an interface to build (USB 2.0, table 9-12).
#[cfg(feature = "alloc")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    number: u8,
    alternate: u8,
    class: ClassCode,
    string: u8,
    endpoints: Vec<Endpoint>,
}

#[cfg(feature = "alloc")]
impl Interface {
    /// Alternate setting 0 of interface `number`, without endpoints.
    #[must_use]
    pub const fn new(number: u8, class: ClassCode) -> Self {
        Self {
            number,
            alternate: 0,
            class,
            string: 0,
            endpoints: Vec::new(),
        }
    }

    /// Which alternate setting this is.
    #[must_use]
    pub const fn alternate_setting(mut self, alternate: u8) -> Self {
        self.alternate = alternate;
        self
    }

    /// Index of its string.
    #[must_use]
    pub const fn string(mut self, index: u8) -> Self {
        self.string = index;
        self
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    const fn setting(&self) -> (u8, u8) {
        (self.number, self.alternate)
    }

    fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        let found = self.endpoints.len();
        let count = u8::try_from(found).map_err(|_| BuildError::TooLong { found, limit: 255 })?;
        let ClassCode {
            class,
            subclass,
            protocol,
        } = self.class;
        let kind = DescriptorType::INTERFACE.0;
        bytes.extend([
            9,
            kind,
            self.number,
            self.alternate,
            count,
            class,
            subclass,
            protocol,
            self.string,
        ]);
        self.endpoints
            .iter()
            .try_for_each(|endpoint| endpoint.encode(speed, bytes))
    }
}

/// An endpoint to build (USB 2.0, table 9-13; USB 3.2, table 9-27).
#[cfg(feature = "alloc")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    address: EndpointAddress,
    transfer_type: TransferType,
    packets_per_burst: u8,
}

#[cfg(feature = "alloc")]
impl Endpoint {
    /// A bulk endpoint with the packet size of the speed: 64, 512 or 1024 bytes.
    #[must_use]
    pub const fn bulk(address: EndpointAddress) -> Self {
        Self {
            address,
            transfer_type: TransferType::Bulk,
            packets_per_burst: 1,
        }
    }

    /// Packets that may be sent without an acknowledgement at SuperSpeed, 1–16; other values are
    /// clamped.
    #[must_use]
    pub fn packets_per_burst(mut self, packets: u8) -> Self {
        self.packets_per_burst = packets.clamp(1, 16);
        self
    }

    fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        let Self {
            address,
            transfer_type,
            packets_per_burst,
        } = *self;
        let Some(size) = speed.max_packet_size(transfer_type) else {
            return Err(BuildError::TransferType {
                address,
                transfer_type,
                speed,
            });
        };
        let [size0, size1] = size.to_le_bytes();
        let kind = DescriptorType::ENDPOINT.0;
        bytes.extend([
            7,
            kind,
            address.to_byte(),
            transfer_type.bits(),
            size0,
            size1,
            0,
        ]);
        if speed.is_super() {
            let max_burst = packets_per_burst.saturating_sub(1);
            bytes.extend([
                6,
                DescriptorType::SUPERSPEED_COMPANION.0,
                max_burst,
                0,
                0,
                0,
            ]);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;
    use crate::{Bos, Direction, StringDescriptor};

    fn storage() -> Interface {
        Interface::new(0, ClassCode::MASS_STORAGE_BULK_ONLY)
            .endpoint(Endpoint::bulk(EndpointAddress::from_byte(0x81)).packets_per_burst(16))
            .endpoint(Endpoint::bulk(EndpointAddress::from_byte(0x02)))
    }

    #[test]
    fn what_is_built_parses_to_what_was_said() {
        let built = Configuration::new(1)
            .self_powered()
            .max_power(101)
            .interface(storage());
        for speed in [Speed::Full, Speed::High, Speed::Super] {
            let bytes = built.to_bytes(speed).unwrap();
            let parsed = crate::Configuration::parse(&bytes).unwrap();
            assert_eq!(usize::from(parsed.total_length()), bytes.len());
            assert_eq!(parsed.interface_count(), 1);
            assert!(parsed.attributes().self_powered());
            assert!(parsed.max_power(speed) >= 101);
            let endpoints: Vec<_> = parsed.interface(0, 0).unwrap().endpoints().collect();
            assert_eq!(endpoints.len(), 2);
            assert_eq!(endpoints[0].address().direction(), Direction::In);
            assert_eq!(
                Some(endpoints[0].max_packet_size()),
                speed.max_packet_size(TransferType::Bulk)
            );
            assert_eq!(
                endpoints[0]
                    .companion()
                    .map(|companion| companion.packets_per_burst()),
                speed.is_super().then_some(16)
            );
        }
        let other = built.to_other_speed_bytes(Speed::Full).unwrap();
        assert_eq!(other[1], 7);
        assert!(crate::Configuration::parse(&other).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        let low = Configuration::new(1)
            .interface(storage())
            .to_bytes(Speed::Low)
            .unwrap_err();
        assert_eq!(
            low.to_string(),
            "endpoint 81: no bulk endpoint exists at low speed"
        );
        let twice = Configuration::new(1)
            .interface(storage())
            .interface(storage());
        assert!(matches!(
            twice.to_bytes(Speed::High),
            Err(BuildError::DuplicateSetting {
                interface: 0,
                alternate: 0
            })
        ));
        let shared = Endpoint::bulk(EndpointAddress::from_byte(0x81));
        let shared = Interface::new(1, ClassCode::new(255, 0, 0)).endpoint(shared);
        let shared = Configuration::new(1).interface(storage()).interface(shared);
        assert!(matches!(
            shared.to_bytes(Speed::High),
            Err(BuildError::DuplicateEndpoint { interface: 1, .. })
        ));
        let sibling = Configuration::new(1)
            .interface(storage())
            .interface(storage().alternate_setting(1));
        assert!(
            sibling.to_bytes(Speed::High).is_ok(),
            "settings may share an endpoint"
        );
        let none = Configuration::new(0).to_bytes(Speed::High);
        assert_eq!(none, Err(BuildError::ConfigurationValue));
        let hungry = Configuration::new(1).max_power(501);
        assert!(hungry.to_bytes(Speed::High).is_err());
        assert!(hungry.to_bytes(Speed::Super).is_ok());
    }

    #[test]
    fn strings_up_to_126_units() {
        let bytes = string("Grüße").unwrap();
        assert_eq!(
            StringDescriptor::parse(&bytes).unwrap().to_string(),
            "Grüße"
        );
        assert_eq!(string(&"x".repeat(126)).unwrap().len(), 254);
        assert!(string(&"x".repeat(127)).is_err());
    }

    #[test]
    fn the_bos_has_what_it_counts() {
        for bytes in [Speed::Super, Speed::SuperPlus].map(|speed| bos(speed).unwrap()) {
            let bos = Bos::parse(bytes).unwrap();
            assert_eq!(usize::from(bos.total_length()), bytes.len());
            assert_eq!(
                bos.capabilities().count(),
                usize::from(bos.capability_count())
            );
            assert!(bos.descriptors().all(|descriptor| descriptor.is_complete()));
        }
    }
}
