//! Human interface devices (HID 1.11).

use core::iter::FusedIterator;

use crate::layout::Show::{Bcd, Decimal, Named};
use crate::layout::{Part, little_endian, rest_but, views};
use crate::names;

views! {
    /// The HID descriptor, read in place (HID 1.11, 6.2.1). Report and physical descriptors are
    /// fetched separately, in the lengths told here.
    HidDescriptor "HID Device" () 6 {
        release: u16 = "bcdHID", Bcd, "release of the HID class";
        country: u8 = "bCountryCode", Named(names::hid_country), "country that the hardware is made for";
        descriptor_count: u8 = "bNumDescriptors", Decimal, "class descriptors that it states to have";
        entries: group(rest_but(0), &[
            Part::number("bDescriptorType", 1, Named(names::hid_descriptor)),
            Part::number("wDescriptorLength", 2, Decimal),
        ]) = "bDescriptorTypes", Decimal, "type and length of each class descriptor, three bytes each";
    }
}

impl<'a> HidDescriptor<'a> {
    /// Type code and length in bytes of each class descriptor that the device has; 0x22 is a
    /// report, 0x23 a physical descriptor.
    pub fn descriptors(&self) -> impl Iterator<Item = (u8, u16)> + use<'a> {
        self.entries().chunks_exact(3).map(|entry| match *entry {
            [kind, low, high] => (kind, u16::from_le_bytes([low, high])),
            _ => (0, 0),
        })
    }

    /// The length of the report descriptor in bytes.
    #[must_use]
    pub fn report_length(&self) -> Option<u16> {
        self.descriptors()
            .find_map(|(kind, length)| (kind == 0x22).then_some(length))
    }
}

/// What an item of a report descriptor belongs to (HID 1.11, 6.2.2.2, `bType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "two bits, four types")]
pub enum ItemType {
    /// Input, output, feature, collection.
    Main,
    /// Usage page, logical range, report size, count and id.
    Global,
    /// Usages and their ranges.
    Local,
    /// Reserved; long items have this type.
    Reserved,
}

/// One item of a report descriptor, read in place (HID 1.11, 6.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportItem<'a> {
    bytes: &'a [u8],
    data: usize,
    complete: bool,
}

impl<'a> ReportItem<'a> {
    const LONG: u8 = 0xfe;

    /// All its bytes, the prefix first. Never empty.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes behind its prefix, at most 4 for a short item.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.bytes.get(self.data..).unwrap_or(&[])
    }

    /// What it belongs to.
    #[doc(alias = "bType")]
    #[must_use]
    pub fn item_type(&self) -> ItemType {
        match self.prefix() >> 2 & 3 {
            0 => ItemType::Main,
            1 => ItemType::Global,
            2 => ItemType::Local,
            _ => ItemType::Reserved,
        }
    }

    /// Its tag: four bits of a short item, a byte of a long one.
    #[doc(alias = "bTag")]
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self.bytes {
            [Self::LONG, _, tag, ..] => *tag,
            _ => self.prefix() >> 4,
        }
    }

    /// Whether it is a long item, of which HID 1.11 defines none.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.prefix() == Self::LONG
    }

    /// Whether it has all the bytes that it states.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The data of a short item as a number without sign.
    #[must_use]
    pub fn value(&self) -> u32 {
        little_endian(self.data())
    }

    /// The data of a short item as a number with sign, as logical ranges have it.
    #[must_use]
    pub fn signed_value(&self) -> i32 {
        match *self.data() {
            [low] => i32::from(i8::from_le_bytes([low])),
            [low, high] => i32::from(i16::from_le_bytes([low, high])),
            _ => i32::from_le_bytes(self.value().to_le_bytes()),
        }
    }

    fn prefix(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }
}

/// Walks a report descriptor and loses no byte: the items joined are the descriptor. What is cut
/// short is the last item.
///
/// ```
/// use usb_descriptors::class::hid::{ItemType, ReportItems};
/// // usage page (generic desktop), usage (mouse), collection, end
/// let items: Vec<_> = ReportItems::new(&[5, 1, 9, 2, 0xa1, 1, 0xc0]).collect();
/// assert_eq!(items.len(), 4);
/// assert_eq!((items[0].item_type(), items[0].tag(), items[0].value()), (ItemType::Global, 0, 1));
/// ```
#[derive(Clone, Debug)]
pub struct ReportItems<'a> {
    rest: &'a [u8],
}

impl<'a> ReportItems<'a> {
    /// Starts at the first byte of a report descriptor.
    #[must_use]
    pub const fn new(report: &'a [u8]) -> Self {
        Self { rest: report }
    }
}

impl<'a> Iterator for ReportItems<'a> {
    type Item = ReportItem<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (data, length) = match *self.rest {
            [] => return None,
            [ReportItem::LONG, size, ..] => (3, usize::from(size)),
            [ReportItem::LONG] => (3, 0),
            // Sizes 0, 1, 2 and 4.
            [prefix, ..] => (1, [0, 1, 2, 4].get(usize::from(prefix & 3)).copied()?),
        };
        let wanted = length.saturating_add(data);
        let (bytes, rest) = self.rest.split_at(wanted.min(self.rest.len()));
        self.rest = rest;
        Some(ReportItem {
            bytes,
            data,
            complete: bytes.len() == wanted,
        })
    }
}

impl FusedIterator for ReportItems<'_> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports_are_told_by_type() {
        let bytes = [12, 0x21, 0x11, 1, 0, 2, 0x23, 5, 0, 0x22, 74, 1];
        let hid = HidDescriptor::parse(&bytes).unwrap();
        assert_eq!(hid.descriptors().count(), 2);
        assert_eq!(hid.report_length(), Some(330));
    }

    #[test]
    fn items_have_signs_and_long_forms() {
        let items: Vec<_> = ReportItems::new(&[0x15, 0x81, 0xfe, 2, 0x40, 7, 8, 0x26, 1]).collect();
        assert_eq!(items[0].signed_value(), -127);
        assert_eq!(items[0].value(), 129);
        assert!(items[1].is_long());
        assert_eq!((items[1].tag(), items[1].data()), (0x40, &[7, 8][..]));
        assert!(!items[2].is_complete());
    }

    proptest! {
        #[test]
        fn no_byte_of_a_report_is_lost(report: Vec<u8>) {
            let joined: Vec<u8> =
                ReportItems::new(&report).flat_map(|item| item.bytes().to_vec()).collect();
            prop_assert_eq!(joined, report);
        }
    }
}
