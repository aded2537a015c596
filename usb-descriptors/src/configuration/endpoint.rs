//! Endpoints and their companions.

use core::fmt;
use core::iter::FusedIterator;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::groups::{self, ClassDescriptors};
use crate::{
    ClassCode, DescriptorType, Descriptors, EndpointAddress, Placement, Speed,
    SuperSpeedPlusCompanion, TransferType,
};

/// The endpoints of an alternate setting: [`Interface::endpoints`](super::Interface::endpoints).
///
/// An endpoint descriptor shorter than its 7 bytes, or not all there, is passed over, as Linux
/// does; [`Interface::descriptors`](super::Interface::descriptors) still shows it.
#[derive(Clone, Debug)]
pub struct Endpoints<'a> {
    class: ClassCode,
    rest: &'a [u8],
}

impl<'a> Endpoints<'a> {
    pub(super) const fn new(class: ClassCode, run: &'a [u8]) -> Self {
        Self { class, rest: run }
    }
}

impl<'a> Iterator for Endpoints<'a> {
    type Item = Endpoint<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        use DescriptorType as Type;
        let (run, behind) = groups::find(self.rest, Type::ENDPOINT, Endpoint::LENGTH)?;
        let (layout, _) = EndpointLayout::ref_from_prefix(run).ok()?;
        self.rest =
            groups::from(behind, Type::ENDPOINT, Type::INTERFACE_ASSOCIATION).unwrap_or(&[]);
        Some(Endpoint {
            layout,
            bytes: groups::before(run, self.rest),
            class: self.class,
        })
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
