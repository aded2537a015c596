//! Alternate settings of interfaces.

use core::fmt;
use core::iter::FusedIterator;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::endpoint::Endpoints;
use super::groups::{self, ClassDescriptors};
use crate::{ClassCode, DescriptorType, Descriptors, Placement};

/// The alternate settings of a configuration's interfaces:
/// [`Configuration::interfaces`](super::Configuration::interfaces).
///
/// An interface descriptor shorter than its 9 bytes, or not all there, is passed over, as Linux
/// does; [`Configuration::descriptors`](super::Configuration::descriptors) still shows it.
#[derive(Clone, Debug)]
pub struct Interfaces<'a> {
    rest: &'a [u8],
}

impl<'a> Interfaces<'a> {
    pub(super) const fn new(run: &'a [u8]) -> Self {
        Self { rest: run }
    }
}

impl<'a> Iterator for Interfaces<'a> {
    type Item = Interface<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        use DescriptorType as Type;
        let (run, behind) = groups::find(self.rest, Type::INTERFACE, Interface::LENGTH)?;
        let (layout, _) = InterfaceLayout::ref_from_prefix(run).ok()?;
        let endpoints = groups::from(behind, Type::ENDPOINT, Type::INTERFACE).unwrap_or(&[]);
        self.rest = groups::from(endpoints, Type::INTERFACE, Type::INTERFACE).unwrap_or(&[]);
        Some(Interface {
            layout,
            bytes: groups::before(run, self.rest),
            endpoints: groups::before(endpoints, self.rest),
        })
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
    /// The end of `bytes` that begins with the first endpoint.
    endpoints: &'a [u8],
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
        let run = groups::before(self.bytes, self.endpoints);
        ClassDescriptors::new(run, self.class(), Placement::Interface)
    }

    /// Its endpoints, in order of bytes.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints<'a> {
        Endpoints::new(self.class(), self.endpoints)
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
