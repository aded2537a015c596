//! What descriptors are made of: told once, for views, tree and linter.
//!
//! A [`Layout`] lists the parts of a descriptor in order. [`views!`] makes from one table both a
//! layout and a typed view that reads by it.

mod fields;
mod values;
mod views;

pub use fields::{Field, Fields};
pub use values::Values;
pub(crate) use views::{accessor, family, part, views};

/// What a kind of descriptor is made of.
///
/// ```
/// use usb_descriptors::InterfaceAssociation;
/// let bytes = [8, 0x0b, 1, 2, 1, 0x20, 0, 0];
/// let association = InterfaceAssociation::parse(&bytes).unwrap();
/// assert_eq!(association.layout().title(), "Interface Association");
/// let names: Vec<_> = association.fields().map(|field| field.name()).collect();
/// assert_eq!(names[..3], ["bLength", "bDescriptorType", "bFirstInterface"]);
/// ```
#[derive(Debug)]
pub struct Layout {
    title: &'static str,
    minimum: usize,
    parts: &'static [Part],
}

impl Layout {
    pub(crate) const fn new(title: &'static str, minimum: usize, parts: &'static [Part]) -> Self {
        Self {
            title,
            minimum,
            parts,
        }
    }

    /// What the descriptor is called, in the words that `lsusb -v` made familiar.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// The fewest bytes that such a descriptor has.
    #[must_use]
    pub const fn minimum(&self) -> usize {
        self.minimum
    }

    /// Walks the fields of a descriptor of this layout. What is left behind the last known field,
    /// or of a field that is cut short, is the last item: [`Field::is_tail`].
    #[must_use]
    pub const fn fields<'a>(&'static self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(self.parts, bytes)
    }

    /// The bytes of a part by its place in the layout, and the size of one of its values.
    pub(crate) fn part<'a>(&self, bytes: &'a [u8], index: usize) -> (&'a [u8], usize) {
        let mut offset = 0;
        for (at, part) in self.parts.iter().enumerate() {
            let extent = part.extent(bytes, self.parts, offset);
            if at == index {
                let whole = extent.offset..extent.offset.saturating_add(extent.length());
                // A number that is cut short is not there; of values, those that are.
                let found = bytes.get(whole.clone()).or_else(|| {
                    (part.is_repeated())
                        .then(|| bytes.get(whole.start..))
                        .flatten()
                });
                return (found.unwrap_or(&[]), extent.size);
            }
            offset = extent.offset.saturating_add(extent.length());
        }
        (&[], 1)
    }

    /// The place of a part; a name that no part has does not compile.
    pub(crate) const fn index_of(&self, name: &str) -> usize {
        let mut at = 0;
        #[expect(clippy::arithmetic_side_effects, reason = "below the parts' length")]
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        loop {
            if same(self.parts[at].name, name) {
                return at;
            }
            at += 1;
        }
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "below the lengths")]
#[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
pub(crate) const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// One part of a layout: a number, values that repeat, or a group of numbers that repeats.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    size: Amount,
    count: Amount,
    show: Show,
    group: &'static [Part],
    repeated: bool,
}

/// How many, or how large.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Exactly(usize),
    /// As an earlier field says.
    Field(&'static str),
    /// One for each eight of an earlier field plus one (hubs' bitmaps).
    Bitmap(&'static str),
    /// One more than the low five bits of an earlier field (SuperSpeedPlus).
    OneMore(&'static str),
    /// As many as there are, but for so many bytes at the end.
    RestBut(usize),
}

/// So many.
pub(crate) const fn n(count: usize) -> Amount {
    Amount::Exactly(count)
}

/// As many as an earlier field says.
pub(crate) const fn by(field: &'static str) -> Amount {
    Amount::Field(field)
}

/// As many as there are, but for so many bytes at the end.
pub(crate) const fn rest_but(bytes: usize) -> Amount {
    Amount::RestBut(bytes)
}

/// How a value is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Show {
    Decimal,
    Hex,
    Bcd,
    /// Index of a string.
    Text,
    /// Four bytes, two, two, and eight single ones.
    Guid,
    /// Any bytes, in hexadecimal.
    Raw,
    /// An endpoint's address.
    Endpoint,
    /// The name of this kind of descriptor, in parentheses.
    Subtype(&'static str),
    /// In decimal, with what it means.
    Named(fn(u32) -> Option<&'static str>),
    /// In hexadecimal, with what it means.
    HexNamed(fn(u32) -> Option<&'static str>),
    /// In hexadecimal, with a line for each of these that holds.
    Bits(&'static [Bit]),
    /// In decimal, with a line for each of these that holds.
    DecimalBits(&'static [Bit]),
}

/// What some bits of a field mean where they have a value.
#[derive(Debug)]
pub(crate) struct Bit {
    pub(crate) mask: u32,
    pub(crate) value: u32,
    pub(crate) text: &'static str,
}

/// A single bit that is set.
pub(crate) const fn bit(number: u32, text: &'static str) -> Bit {
    let mask = 1u32.wrapping_shl(number);
    Bit {
        mask,
        value: mask,
        text,
    }
}

/// Bits that have a value together.
pub(crate) const fn bits(mask: u32, value: u32, text: &'static str) -> Bit {
    Bit { mask, value, text }
}

impl Part {
    pub(crate) const fn number(name: &'static str, size: usize, show: Show) -> Self {
        Self {
            name,
            size: Amount::Exactly(size),
            count: Amount::Exactly(1),
            show,
            group: &[],
            repeated: false,
        }
    }

    pub(crate) const fn values(
        name: &'static str,
        size: Amount,
        count: Amount,
        show: Show,
    ) -> Self {
        Self {
            name,
            size,
            count,
            show,
            group: &[],
            repeated: true,
        }
    }

    pub(crate) const fn group(name: &'static str, count: Amount, group: &'static [Self]) -> Self {
        Self {
            name,
            size: Amount::Exactly(1),
            count,
            show: Show::Raw,
            group,
            repeated: true,
        }
    }

    const fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// How many, or how large, by what stands before `offset`.
    const fn amount(
        bytes: &[u8],
        parts: &[Self],
        offset: usize,
        amount: Amount,
        size: usize,
    ) -> usize {
        match amount {
            Amount::Exactly(count) => count,
            Amount::Field(name) => field_value(bytes, parts, name),
            Amount::Bitmap(name) => (field_value(bytes, parts, name) / 8).saturating_add(1),
            Amount::OneMore(name) => (field_value(bytes, parts, name) & 0x1f).saturating_add(1),
            Amount::RestBut(end) => {
                let left = bytes.len().saturating_sub(end).saturating_sub(offset);
                match left.checked_div(size) {
                    Some(count) => count,
                    None => 0,
                }
            }
        }
    }

    /// Bytes of a number of a group, which is always of one size.
    const fn member_size(&self) -> usize {
        match self.size {
            Amount::Exactly(size) => size,
            _ => 0,
        }
    }

    const fn extent(&self, bytes: &[u8], parts: &[Self], offset: usize) -> Extent {
        let size = if self.group.is_empty() {
            Self::amount(bytes, parts, offset, self.size, 1)
        } else {
            let mut members = self.group;
            let mut size = 0usize;
            while let [first, others @ ..] = members {
                size = size.saturating_add(first.member_size());
                members = others;
            }
            size
        };
        let count = if size == 0 {
            0
        } else {
            Self::amount(bytes, parts, offset, self.count, size)
        };
        Extent {
            offset,
            size,
            count,
        }
    }
}

/// Where a part lies.
#[derive(Clone, Copy, Debug)]
struct Extent {
    offset: usize,
    size: usize,
    count: usize,
}

impl Extent {
    const fn length(&self) -> usize {
        self.size.saturating_mul(self.count)
    }
}

/// The value of an earlier number.
const fn field_value(bytes: &[u8], parts: &[Part], name: &str) -> usize {
    let mut offset = 0usize;
    let mut left = parts;
    while let [part, others @ ..] = left {
        let extent = part.extent(bytes, parts, offset);
        if same(part.name, name) {
            return match slice(bytes, offset, extent.length()) {
                Some(bytes) => little_endian(bytes) as usize,
                None => 0,
            };
        }
        offset = offset.saturating_add(extent.length());
        left = others;
    }
    0
}

/// So many bytes from an offset on, where there are.
const fn slice(bytes: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    match bytes.split_at_checked(offset) {
        Some((_, behind)) => match behind.split_at_checked(length) {
            Some((found, _)) => Some(found),
            None => None,
        },
        None => None,
    }
}

/// At most the first four bytes, as a number.
pub(crate) const fn little_endian(bytes: &[u8]) -> u32 {
    match *bytes {
        [] => 0,
        [a] => u32::from_le_bytes([a, 0, 0, 0]),
        [a, b] => u32::from_le_bytes([a, b, 0, 0]),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        [a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
    }
}
