//! Configurations, their interfaces and endpoints.

use core::fmt;
use core::iter::FusedIterator;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::check;
use crate::{
    ClassCode, ClassDescriptor, Descriptor, DescriptorError, DescriptorType, Descriptors,
    EndpointAddress, InterfaceAssociation, Nodes, Placement, Speed, SuperSpeedPlusCompanion,
    TransferType, standard,
};

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
        Interfaces {
            groups: Groups::new(self.bytes, DescriptorType::INTERFACE, &[]),
        }
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

/// Splits a run into groups that start at a descriptor of one type and end before the next of it
/// or before one of the types in `ends`.
#[derive(Clone, Debug)]
struct Groups<'a> {
    walk: Descriptors<'a>,
    run: &'a [u8],
    starts: DescriptorType,
    ends: &'static [DescriptorType],
}

impl<'a> Groups<'a> {
    const fn new(run: &'a [u8], starts: DescriptorType, ends: &'static [DescriptorType]) -> Self {
        Self {
            walk: Descriptors::new(run),
            run,
            starts,
            ends,
        }
    }

    /// The next group: its first descriptor, and all its bytes.
    fn next(&mut self) -> Option<(Descriptor<'a>, &'a [u8])> {
        let starts = self.starts;
        let head = self
            .walk
            .find(|item| item.descriptor_type() == Some(starts) && item.is_complete())?;
        let mut end = head.offset().saturating_add(head.bytes().len());
        loop {
            let kind = self.walk.rest().get(1).copied().map(DescriptorType);
            if kind == Some(starts) || kind.is_some_and(|kind| self.ends.contains(&kind)) {
                break;
            }
            let Some(item) = self.walk.next() else { break };
            end = item.offset().saturating_add(item.bytes().len());
        }
        Some((head, self.run.get(head.offset()..end)?))
    }
}

/// The alternate settings of a configuration's interfaces: [`Configuration::interfaces`].
///
/// An interface descriptor shorter than its 9 bytes, or not all there, is passed over, as Linux
/// does; [`Configuration::descriptors`] still shows it.
#[derive(Clone, Debug)]
pub struct Interfaces<'a> {
    groups: Groups<'a>,
}

impl<'a> Iterator for Interfaces<'a> {
    type Item = Interface<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (head, bytes) = self.groups.next()?;
            if let Ok((layout, _)) = InterfaceLayout::ref_from_prefix(head.bytes()) {
                return Some(Interface { layout, bytes });
            }
        }
    }
}

impl FusedIterator for Interfaces<'_> {}

/// USB 2.0, table 9-12.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct InterfaceLayout {
    length: u8,
    descriptor_type: u8,
    number: u8,
    alternate: u8,
    endpoints: u8,
    class: u8,
    subclass: u8,
    protocol: u8,
    string: u8,
}

/// One alternate setting of an interface with all that follows it, read in place
/// (USB 2.0, 9.6.5).
///
/// ```
/// # let bytes = [9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 8, 6, 0x50, 0];
/// let configuration = usb_descriptors::Configuration::parse(&bytes)?;
/// let interface = configuration.interface(0, 0).unwrap();
/// assert_eq!(interface.class(), usb_descriptors::ClassCode::MASS_STORAGE_BULK_ONLY);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Interface<'a> {
    layout: &'a InterfaceLayout,
    bytes: &'a [u8],
}

impl<'a> Interface<'a> {
    /// Bytes of the interface descriptor itself.
    pub const LENGTH: usize = size_of::<InterfaceLayout>();

    /// Its bytes: the interface descriptor and all up to the next one.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the interface descriptor alone.
    pub(crate) fn own_bytes(&self) -> &'a [u8] {
        let length = usize::from(self.layout.length);
        self.bytes.get(..length).unwrap_or(self.bytes)
    }

    /// The interface's number.
    #[doc(alias = "bInterfaceNumber")]
    #[must_use]
    pub fn number(&self) -> u8 {
        self.layout.number
    }

    /// Which of the interface's settings this is.
    #[doc(alias = "bAlternateSetting")]
    #[must_use]
    pub fn alternate_setting(&self) -> u8 {
        self.layout.alternate
    }

    /// How many endpoints it states to have, endpoint 0 not counted.
    #[doc(alias = "bNumEndpoints")]
    #[must_use]
    pub fn endpoint_count(&self) -> u8 {
        self.layout.endpoints
    }

    /// Class, subclass and protocol.
    #[doc(alias = "bInterfaceClass")]
    #[must_use]
    pub fn class(&self) -> ClassCode {
        ClassCode::new(
            self.layout.class,
            self.layout.subclass,
            self.layout.protocol,
        )
    }

    /// Index of its string; 0 for none.
    #[doc(alias = "iInterface")]
    #[must_use]
    pub fn string(&self) -> u8 {
        self.layout.string
    }

    /// Every descriptor, the interface itself first, in order of bytes.
    #[must_use]
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors::new(self.bytes)
    }

    /// The class descriptors before its first endpoint, in order of bytes.
    #[must_use]
    pub fn class_descriptors(&self) -> ClassDescriptors<'a> {
        ClassDescriptors::new(self.bytes, self.class(), Placement::Interface)
    }

    /// Its endpoints, in order of bytes.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints<'a> {
        const ENDS: &[DescriptorType] = &[DescriptorType::INTERFACE_ASSOCIATION];
        Endpoints {
            class: self.class(),
            groups: Groups::new(self.bytes, DescriptorType::ENDPOINT, ENDS),
        }
    }
}

impl fmt::Debug for Interface<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interface")
            .field("number", &self.number())
            .field("alternate_setting", &self.alternate_setting())
            .field("class", &self.class())
            .field("endpoint_count", &self.endpoint_count())
            .finish_non_exhaustive()
    }
}

/// The endpoints of an alternate setting: [`Interface::endpoints`].
///
/// An endpoint descriptor shorter than its 7 bytes, or not all there, is passed over, as Linux
/// does; [`Interface::descriptors`] still shows it.
#[derive(Clone, Debug)]
pub struct Endpoints<'a> {
    class: ClassCode,
    groups: Groups<'a>,
}

impl<'a> Iterator for Endpoints<'a> {
    type Item = Endpoint<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (head, bytes) = self.groups.next()?;
            if let Ok((layout, _)) = EndpointLayout::ref_from_prefix(head.bytes()) {
                let class = self.class;
                return Some(Endpoint {
                    layout,
                    bytes,
                    class,
                });
            }
        }
    }
}

impl FusedIterator for Endpoints<'_> {}

/// USB 2.0, table 9-13.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EndpointLayout {
    length: u8,
    descriptor_type: u8,
    address: u8,
    attributes: u8,
    max_packet_size: U16,
    interval: u8,
}

/// An endpoint with its companions and class descriptors, read in place (USB 2.0, 9.6.6).
///
/// ```
/// # let bytes = [9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 3, 0, 0, 0, 7, 5, 0x81, 3, 8, 0, 7];
/// use usb_descriptors::{Configuration, Speed};
/// let configuration = Configuration::parse(&bytes)?;
/// let endpoint = configuration.interface(0, 0).unwrap().endpoints().next().unwrap();
/// // bInterval 7 at high speed: 2^6 microframes, 8 ms
/// assert_eq!(endpoint.interval(Speed::High), 64);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    layout: &'a EndpointLayout,
    bytes: &'a [u8],
    class: ClassCode,
}

impl<'a> Endpoint<'a> {
    /// Bytes of the endpoint descriptor itself; audio class 1 adds two.
    pub const LENGTH: usize = size_of::<EndpointLayout>();

    /// Its bytes: the endpoint descriptor and all up to the next endpoint or the end.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the endpoint descriptor alone.
    pub(crate) fn own_bytes(&self) -> &'a [u8] {
        let length = usize::from(self.layout.length);
        self.bytes.get(..length).unwrap_or(self.bytes)
    }

    /// Number and direction.
    #[doc(alias = "bEndpointAddress")]
    #[must_use]
    pub fn address(&self) -> EndpointAddress {
        EndpointAddress::from_byte(self.layout.address)
    }

    /// How it moves data.
    #[must_use]
    pub fn transfer_type(&self) -> TransferType {
        TransferType::from_attributes(self.layout.attributes)
    }

    /// `bmAttributes` as it stands: type, and for isochronous synchronisation and usage.
    #[doc(alias = "bmAttributes")]
    #[must_use]
    pub fn attributes(&self) -> u8 {
        self.layout.attributes
    }

    /// The largest packet in bytes: bits 10..0 of `wMaxPacketSize`.
    #[doc(alias = "wMaxPacketSize")]
    #[must_use]
    pub fn max_packet_size(&self) -> u16 {
        self.layout.max_packet_size.get() & 0x07ff
    }

    /// Packets per microframe, 1–3: bits 12..11 of `wMaxPacketSize`, meaningful for periodic
    /// endpoints at high speed. The reserved value 3 reads as 4.
    #[must_use]
    pub fn transactions_per_microframe(&self) -> u8 {
        let [_, high] = self.layout.max_packet_size.get().to_le_bytes();
        (high >> 3 & 0b11).saturating_add(1)
    }

    /// `bInterval` as it stands; [`interval`](Self::interval) gives its meaning.
    #[doc(alias = "bInterval")]
    #[must_use]
    pub fn raw_interval(&self) -> u8 {
        self.layout.interval
    }

    /// How often the host polls it, in units of 125 µs; 0 where the type is not polled. Values
    /// out of range are clamped (USB 2.0, table 9-13).
    #[must_use]
    pub fn interval(&self, speed: Speed) -> u32 {
        let raw = u32::from(self.layout.interval);
        let exponent = raw.clamp(1, 16).saturating_sub(1);
        match (self.transfer_type(), speed) {
            (TransferType::Control | TransferType::Bulk, _) => 0,
            (TransferType::Interrupt, Speed::Low | Speed::Full) => raw.max(1).saturating_mul(8),
            (TransferType::Isochronous, Speed::Low | Speed::Full) => 8u32 << exponent,
            _ => 1u32 << exponent,
        }
    }

    /// Every descriptor, the endpoint itself first, in order of bytes.
    #[must_use]
    pub fn descriptors(&self) -> Descriptors<'a> {
        Descriptors::new(self.bytes)
    }

    /// The class descriptors behind it, in order of bytes.
    #[must_use]
    pub fn class_descriptors(&self) -> ClassDescriptors<'a> {
        ClassDescriptors::new(self.bytes, self.class, Placement::Endpoint)
    }

    /// What SuperSpeedPlus adds to it, where it is isochronous.
    #[must_use]
    pub fn plus_companion(&self) -> Option<SuperSpeedPlusCompanion<'a>> {
        self.descriptors().find_map(|item| {
            let kind = DescriptorType::SUPERSPEED_PLUS_COMPANION;
            let is_one = item.descriptor_type() == Some(kind);
            SuperSpeedPlusCompanion::parse(item.bytes()).filter(|_| is_one)
        })
    }

    /// The SuperSpeed companion that follows it.
    #[must_use]
    pub fn companion(&self) -> Option<SuperSpeedCompanion<'a>> {
        let companion = Descriptors::new(self.bytes)
            .find(|item| item.descriptor_type() == Some(DescriptorType::SUPERSPEED_COMPANION))?;
        let (layout, _) = CompanionLayout::ref_from_prefix(companion.bytes()).ok()?;
        Some(SuperSpeedCompanion { layout })
    }
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .field("transfer_type", &self.transfer_type())
            .field("max_packet_size", &self.max_packet_size())
            .field("raw_interval", &self.raw_interval())
            .finish_non_exhaustive()
    }
}

/// The class descriptors of an interface or an endpoint: [`Interface::class_descriptors`],
/// [`Endpoint::class_descriptors`]. Vendors' are among them, as unknown ones.
#[derive(Clone, Debug)]
pub struct ClassDescriptors<'a> {
    walk: Descriptors<'a>,
    class: ClassCode,
    placement: Placement,
}

impl<'a> ClassDescriptors<'a> {
    /// `run` begins with the interface or endpoint itself.
    fn new(run: &'a [u8], class: ClassCode, placement: Placement) -> Self {
        let mut walk = Descriptors::new(run);
        walk.next();
        Self {
            walk,
            class,
            placement,
        }
    }
}

impl<'a> Iterator for ClassDescriptors<'a> {
    type Item = ClassDescriptor<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let item = self.walk.next()?;
            match item.descriptor_type() {
                Some(DescriptorType::ENDPOINT) => {
                    self.walk = Descriptors::new(&[]);
                    return None;
                }
                Some(kind) if standard::layout(kind).is_some() => {}
                _ => return Some(ClassDescriptor::read(self.class, self.placement, item)),
            }
        }
    }
}

impl FusedIterator for ClassDescriptors<'_> {}

/// USB 3.2, table 9-27.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CompanionLayout {
    length: u8,
    descriptor_type: u8,
    max_burst: u8,
    attributes: u8,
    bytes_per_interval: U16,
}

/// What SuperSpeed adds to an endpoint, read in place (USB 3.2, 9.6.7).
///
/// ```
/// # let bytes = [9, 2, 31, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 8, 6, 80, 0,
/// #     7, 5, 0x81, 2, 0, 4, 0, 6, 0x30, 15, 5, 0, 0];
/// # let configuration = usb_descriptors::Configuration::parse(&bytes)?;
/// # let endpoint = configuration.interface(0, 0).unwrap().endpoints().next().unwrap();
/// let companion = endpoint.companion().unwrap();
/// assert_eq!(companion.packets_per_burst(), 16);
/// assert_eq!(companion.max_streams(), 32);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[doc(alias = "SUPERSPEED_USB_ENDPOINT_COMPANION")]
#[derive(Clone, Copy)]
pub struct SuperSpeedCompanion<'a> {
    layout: &'a CompanionLayout,
}

impl SuperSpeedCompanion<'_> {
    /// Bytes of the descriptor.
    pub const LENGTH: usize = size_of::<CompanionLayout>();

    /// Packets that may be sent without an acknowledgement, 1–16: `bMaxBurst` plus one, which is
    /// reported as it stands above 15.
    #[doc(alias = "bMaxBurst")]
    #[must_use]
    pub fn packets_per_burst(&self) -> u16 {
        u16::from(self.layout.max_burst).saturating_add(1)
    }

    /// Streams of a bulk endpoint; 0 where it has none.
    #[must_use]
    pub fn max_streams(&self) -> u32 {
        match self.layout.attributes & 0x1f {
            0 => 0,
            exponent => 1u32.checked_shl(exponent.into()).unwrap_or(0),
        }
    }

    /// `bmAttributes` as it stands: streams of a bulk, bursts per interval of an isochronous
    /// endpoint.
    #[doc(alias = "bmAttributes")]
    #[must_use]
    pub fn attributes(&self) -> u8 {
        self.layout.attributes
    }

    /// Bytes that a periodic endpoint moves in each interval.
    #[doc(alias = "wBytesPerInterval")]
    #[must_use]
    pub fn bytes_per_interval(&self) -> u16 {
        self.layout.bytes_per_interval.get()
    }
}

impl fmt::Debug for SuperSpeedCompanion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuperSpeedCompanion")
            .field("packets_per_burst", &self.packets_per_burst())
            .field("attributes", &self.attributes())
            .field("bytes_per_interval", &self.bytes_per_interval())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

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
    }
}
