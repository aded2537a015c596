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
mod configuration;
pub mod constant;
mod device;
#[cfg(feature = "alloc")]
mod endpoint;
mod fields;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use thiserror::Error;

#[cfg(feature = "alloc")]
use crate::LanguageId;
use crate::lint::Rule;
use crate::{CapabilityType, DescriptorType, EndpointAddress, Speed, TransferType};

#[cfg(feature = "alloc")]
pub use configuration::{Configuration, Interface};
pub use device::Device;
#[cfg(feature = "alloc")]
pub use endpoint::Endpoint;
pub use fields::{Synchronization, Usage};

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
    /// A type has no such thing, or not so much of it.
    #[error("endpoint {address}: {what} of {found} is not for {transfer_type} at {speed}")]
    #[non_exhaustive]
    Endpoint {
        /// The endpoint.
        address: EndpointAddress,
        /// Its type.
        transfer_type: TransferType,
        /// What was said of it.
        what: &'static str,
        /// The value said.
        found: u32,
        /// The speed to build for.
        speed: Speed,
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
    /// A descriptor to be put in that does not state its own length.
    #[error("a descriptor of {found} bytes states the length {stated}")]
    #[non_exhaustive]
    DescriptorLength {
        /// Its bytes.
        found: usize,
        /// What it states.
        stated: u8,
    },
    /// A standard descriptor to be put in as one of a class.
    #[error("descriptors of type {found} are made by the builder itself")]
    #[non_exhaustive]
    StandardDescriptor {
        /// Its type.
        found: DescriptorType,
    },
    /// What was described breaks a rule of the linter, as an error.
    #[error("{}: {} (byte {offset})", rule.id(), rule.explanation())]
    #[non_exhaustive]
    Lint {
        /// The rule.
        rule: &'static Rule,
        /// Where in the configuration.
        offset: usize,
    },
}

impl BuildError {
    /// What is wrong, without where: for the compiler's messages, which
    /// [`configuration!`](crate::configuration) makes of it.
    #[must_use]
    pub const fn explanation(&self) -> &'static str {
        match self {
            Self::TransferType { .. } => "an endpoint's type does not exist at this speed",
            Self::ConfigurationValue => "a configuration has the value 0",
            Self::ControlEndpoint => "endpoint 0 is described, which never has a descriptor",
            Self::DuplicateEndpoint { .. } => "an endpoint is described twice",
            Self::DuplicateSetting { .. } => "an alternate setting is described twice",
            Self::Endpoint { .. } => "an endpoint has more than its type has at this speed",
            Self::MaxPower { .. } => "more power than a port gives",
            Self::TooLong { .. } => "more bytes than a length can say",
            Self::DescriptorLength { .. } => "a class descriptor does not state its own length",
            Self::StandardDescriptor { .. } => "a standard descriptor among those of the class",
            Self::Lint { rule, .. } => rule.explanation(),
        }
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

#[cfg(all(test, feature = "alloc"))]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;
    use crate::{Bos, ClassCode, Direction, StringDescriptor};

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
