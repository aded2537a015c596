//! Configurations, their interfaces and endpoints.

mod endpoint;
mod groups;
mod interface;

use core::fmt;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::check;
use crate::{DescriptorError, DescriptorType, Descriptors, InterfaceAssociation, Nodes, Speed};

pub use endpoint::{Endpoint, Endpoints, SuperSpeedCompanion};
pub use groups::ClassDescriptors;
pub use interface::{Interface, Interfaces};

/// USB 2.0, table 9-10.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ConfigurationLayout {
    length: u8,
    descriptor_type: u8,
    total_length: U16,
    interfaces: u8,
    value: u8,
    string: u8,
    attributes: u8,
    max_power: u8,
}

/// What a configuration says of power (USB 2.0, table 9-10, `bmAttributes`).
#[doc(alias = "bmAttributes")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConfigurationAttributes(u8);

impl ConfigurationAttributes {
    /// The byte as it stands in the descriptor.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the device has power of its own in this configuration.
    #[must_use]
    pub const fn self_powered(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Whether the device can wake the host.
    #[must_use]
    pub const fn remote_wakeup(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// A configuration with all that belongs to it, read in place (USB 2.0, 9.6.3).
///
/// Reading is tolerant: `wTotalLength`, `bNumInterfaces` and `bNumEndpoints` are reported, and
/// what is there is walked.
///
/// ```
/// use usb_descriptors::{Configuration, TransferType};
/// let bytes = [
///     9, 2, 25, 0, 1, 1, 0, 0x80, 50, // configuration 1, 100 mA
///     9, 4, 0, 0, 1, 0xff, 0, 0, 0, // interface 0
///     7, 5, 0x81, 2, 0, 2, 0, // bulk IN, 512 bytes
/// ];
/// let configuration = Configuration::parse(&bytes)?;
/// let interface = configuration.interfaces().next().unwrap();
/// let endpoint = interface.endpoints().next().unwrap();
/// assert_eq!(endpoint.transfer_type(), TransferType::Bulk);
/// assert_eq!(endpoint.max_packet_size(), 512);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Configuration<'a> {
    layout: &'a ConfigurationLayout,
    bytes: &'a [u8],
}

impl<'a> Configuration<'a> {
    /// Bytes of the configuration descriptor itself.
    pub const LENGTH: usize = size_of::<ConfigurationLayout>();

    /// Reads the configuration that `bytes` starts with; bytes beyond its `wTotalLength` are not
    /// looked at. The body of an other-speed configuration has the same layout and is taken too.
    ///
    /// # Errors
    /// [`DescriptorError`] where the type is another or fewer than 9 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        let expected_type = match bytes.get(1) {
            Some(&code) if DescriptorType(code) == DescriptorType::OTHER_SPEED_CONFIGURATION => {
                DescriptorType::OTHER_SPEED_CONFIGURATION
            }
            _ => DescriptorType::CONFIGURATION,
        };
        check(bytes, expected_type, Self::LENGTH)?;
        let (layout, _) =
            ConfigurationLayout::ref_from_prefix(bytes).map_err(|_| DescriptorError::TooShort {
                expected_type,
                expected: Self::LENGTH,
                found: bytes.len(),
            })?;
        let total = usize::from(layout.total_length.get());
        let bytes = bytes.get(..total.max(Self::LENGTH)).unwrap_or(bytes);
        Ok(Self { layout, bytes })
    }

    /// What stands behind a first descriptor that is no configuration or too short for its
    /// fields, which mean nothing then; `None` where fewer than 9 bytes are there.
    pub(crate) fn unread(bytes: &'a [u8]) -> Option<Self> {
        let (layout, _) = ConfigurationLayout::ref_from_prefix(bytes).ok()?;
        Some(Self { layout, bytes })
    }

    /// All bytes, the configuration descriptor included, up to `wTotalLength` or the end.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The length the configuration states for itself, in bytes.
    #[doc(alias = "wTotalLength")]
    #[must_use]
    pub fn total_length(&self) -> u16 {
        self.layout.total_length.get()
    }

    /// How many interfaces it states to have.
    #[doc(alias = "bNumInterfaces")]
    #[must_use]
    pub fn interface_count(&self) -> u8 {
        self.layout.interfaces
    }

    /// The value that SET_CONFIGURATION selects it by.
    #[doc(alias = "bConfigurationValue")]
    #[must_use]
    pub fn value(&self) -> u8 {
        self.layout.value
    }

    /// Index of its string; 0 for none.
    #[doc(alias = "iConfiguration")]
    #[must_use]
    pub fn string(&self) -> u8 {
        self.layout.string
    }

    /// Power source and remote wakeup.
    #[must_use]
    pub fn attributes(&self) -> ConfigurationAttributes {
        ConfigurationAttributes(self.layout.attributes)
    }

    /// The most it draws from the bus, in mA: the field counts 2 mA, 8 mA at SuperSpeed.
    #[doc(alias = "bMaxPower")]
    #[must_use]
    pub fn max_power(&self, speed: Speed) -> u16 {
        let unit = if speed.is_super() { 8 } else { 2 };
        u16::from(self.layout.max_power).saturating_mul(unit)
    }

    /// Every descriptor, the configuration itself first, in order of bytes.
    #[must_use]
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors::new(self.bytes)
    }

    /// Every alternate setting of every interface, in order of bytes.
    #[must_use]
    pub fn interfaces(&self) -> Interfaces<'a> {
        Interfaces::new(self.bytes)
    }

    /// Every descriptor with its place, the configuration itself first, in order of bytes.
    #[must_use]
    pub const fn nodes(&self) -> Nodes<'a> {
        Nodes::new(self)
    }

    /// Its interface associations, in order of bytes.
    pub fn associations(&self) -> impl Iterator<Item = InterfaceAssociation<'a>> + use<'a> {
        self.descriptors().filter_map(|item| {
            let is_one = item.descriptor_type() == Some(DescriptorType::INTERFACE_ASSOCIATION);
            InterfaceAssociation::parse(item.bytes()).filter(|_| is_one)
        })
    }

    /// The alternate setting `alternate` of interface `number`.
    #[must_use]
    pub fn interface(&self, number: u8, alternate: u8) -> Option<Interface<'a>> {
        self.interfaces().find(|interface| {
            interface.number() == number && interface.alternate_setting() == alternate
        })
    }
}

impl fmt::Debug for Configuration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("value", &self.value())
            .field("interface_count", &self.interface_count())
            .field("attributes", &self.attributes())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::TransferType;

    /// Interface 0 with a class descriptor and two endpoints, interface 1 with two settings.
    #[rustfmt::skip]
    const BYTES: [u8; 74] = [
        9, 2, 74, 0, 2, 1, 4, 0xe0, 50,
        9, 4, 0, 0, 2, 8, 6, 0x50, 5,
        2, 0x24,
        7, 5, 0x81, 2, 0, 4, 0,
        6, 0x30, 15, 4, 0, 0,
        7, 5, 0x02, 2, 0, 4, 0,
        8, 0x0b, 1, 1, 1, 1, 0, 0,
        9, 4, 1, 0, 0, 1, 2, 0, 0,
        9, 4, 1, 1, 1, 1, 2, 0, 0,
        8, 5, 0x83, 0x0d, 0x00, 0x14, 4, 0,
    ];

    #[test]
    fn the_tree_has_every_setting_and_endpoint() {
        let configuration = Configuration::parse(&BYTES).unwrap();
        assert!(configuration.attributes().self_powered());
        assert_eq!(configuration.max_power(Speed::High), 100);
        assert_eq!(configuration.max_power(Speed::Super), 400);
        let settings: Vec<_> = configuration
            .interfaces()
            .map(|i| (i.number(), i.alternate_setting()))
            .collect();
        assert_eq!(settings, [(0, 0), (1, 0), (1, 1)]);
        let storage = configuration.interface(0, 0).unwrap();
        let endpoints: Vec<_> = storage.endpoints().collect();
        assert_eq!(endpoints.len(), 2);
        assert_eq!(endpoints[0].companion().unwrap().max_streams(), 16);
        assert!(endpoints[1].companion().is_none());
        let audio = configuration
            .interface(1, 1)
            .unwrap()
            .endpoints()
            .next()
            .unwrap();
        assert_eq!(audio.transfer_type(), TransferType::Isochronous);
        assert_eq!(audio.transactions_per_microframe(), 3);
        assert_eq!(audio.max_packet_size(), 0x400);
        assert_eq!(audio.interval(Speed::High), 8);
        assert_eq!(audio.interval(Speed::Full), 64);
    }

    #[test]
    fn what_states_no_length_or_too_much_is_no_endpoint() {
        // Linux: "invalid descriptor of length 0, skipping remainder".
        for length in [0, 1, 8, 255] {
            let mut bytes = BYTES;
            bytes[33] = length;
            let configuration = Configuration::parse(&bytes[..40]).unwrap();
            let storage = configuration.interface(0, 0).unwrap();
            assert_eq!(storage.endpoints().count(), 1, "{length}");
        }
    }

    #[test]
    fn a_total_length_beyond_the_bytes_is_no_error() {
        let mut bytes = BYTES;
        bytes[2] = 0xff;
        assert_eq!(
            Configuration::parse(&bytes).unwrap().interfaces().count(),
            3
        );
        bytes[2] = 18;
        assert_eq!(
            Configuration::parse(&bytes).unwrap().interfaces().count(),
            1
        );
        bytes[2] = 0;
        assert_eq!(Configuration::parse(&bytes).unwrap().bytes().len(), 9);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 9..200)) {
            bytes[0] = 9;
            bytes[1] = 2;
            let configuration = Configuration::parse(&bytes).unwrap();
            for interface in configuration.interfaces() {
                for endpoint in interface.endpoints() {
                    let _ = (endpoint.companion(), endpoint.interval(Speed::High));
                    prop_assert!(endpoint.interval(Speed::Full) <= 8 << 15);
                }
            }
        }

        /// The tree against the flat walk, cut where interfaces and endpoints begin.
        #[test]
        fn the_tree_has_what_the_flat_walk_has(
            pieces in prop::collection::vec((0u8..11, 0u8..13, any::<[u8; 9]>()), 0..20),
        ) {
            let mut bytes = vec![9, 2, 0xff, 0xff, 1, 1, 0, 0x80, 50];
            for (length, kind, rest) in pieces {
                bytes.extend([length, kind]);
                bytes.extend(rest.iter().take(usize::from(length.saturating_sub(2))));
            }
            let configuration = Configuration::parse(&bytes).unwrap();
            let mut settings: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
            let (mut in_setting, mut in_endpoint) = (false, false);
            for item in configuration.descriptors() {
                let kind = item.bytes().get(1).copied();
                let length = if item.is_complete() { item.bytes().len() } else { 0 };
                match kind {
                    Some(4) => {
                        in_setting = length >= 9;
                        in_endpoint = false;
                        if in_setting {
                            settings.push((Vec::new(), Vec::new()));
                        }
                    }
                    Some(5) if in_setting => {
                        in_endpoint = length >= 7;
                        if in_endpoint {
                            settings.last_mut().unwrap().1.push(Vec::new());
                        }
                    }
                    Some(11) => in_endpoint = false,
                    _ => {}
                }
                if in_setting {
                    let setting = settings.last_mut().unwrap();
                    setting.0.extend(item.bytes());
                    if in_endpoint {
                        setting.1.last_mut().unwrap().extend(item.bytes());
                    }
                }
            }
            let tree: Vec<(Vec<u8>, Vec<Vec<u8>>)> = configuration
                .interfaces()
                .map(|interface| {
                    let endpoints = interface.endpoints().map(|each| each.bytes().to_vec());
                    (interface.bytes().to_vec(), endpoints.collect())
                })
                .collect();
            prop_assert_eq!(tree, settings);
        }
    }
}
