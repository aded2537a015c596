//! What descriptors are made of: told once, for views, tree and linter.
//!
//! A [`Layout`] lists the parts of a descriptor in order. [`views!`] makes from one table both a
//! layout and a typed view that reads by it.

use core::fmt;
use core::iter::FusedIterator;

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
        Fields {
            bytes,
            parts: self.parts,
            next: 0,
            offset: 0,
            group: None,
        }
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
const fn same(one: &str, other: &str) -> bool {
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

    fn extent(&self, bytes: &[u8], parts: &[Self], offset: usize) -> Extent {
        let amount = |amount, size: usize| match amount {
            Amount::Exactly(count) => count,
            Amount::Field(name) => field_value(bytes, parts, name),
            Amount::Bitmap(name) => field_value(bytes, parts, name)
                .saturating_div(8)
                .saturating_add(1),
            Amount::OneMore(name) => (field_value(bytes, parts, name) & 0x1f).saturating_add(1),
            Amount::RestBut(end) => bytes
                .len()
                .saturating_sub(end)
                .saturating_sub(offset)
                .checked_div(size)
                .unwrap_or(0),
        };
        let size = if self.group.is_empty() {
            amount(self.size, 1)
        } else {
            self.group
                .iter()
                .map(|part| match part.size {
                    Amount::Exactly(size) => size,
                    _ => 0,
                })
                .sum()
        };
        Extent {
            offset,
            size,
            count: if size == 0 {
                0
            } else {
                amount(self.count, size)
            },
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
fn field_value(bytes: &[u8], parts: &[Part], name: &str) -> usize {
    let mut offset = 0usize;
    for part in parts {
        let extent = part.extent(bytes, parts, offset);
        if part.name == name {
            let end = offset.saturating_add(extent.length());
            return bytes.get(offset..end).map_or(0, |bytes| {
                usize::try_from(little_endian(bytes)).unwrap_or(usize::MAX)
            });
        }
        offset = offset.saturating_add(extent.length());
    }
    0
}

/// At most the first four bytes, as a number.
pub(crate) fn little_endian(bytes: &[u8]) -> u32 {
    let mut number = [0; 4];
    for (to, from) in number.iter_mut().zip(bytes) {
        *to = *from;
    }
    u32::from_le_bytes(number)
}

/// Walks the fields of a descriptor: [`Layout::fields`]. Their bytes joined are the descriptor.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    parts: &'static [Part],
    next: usize,
    offset: usize,
    group: Option<Repetition>,
}

/// Values that are being walked.
#[derive(Clone, Copy, Debug)]
struct Repetition {
    part: &'static Part,
    size: usize,
    count: usize,
    index: usize,
    member: usize,
}

/// One field of a descriptor, or one of its values where it repeats.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    name: &'static str,
    index: Option<usize>,
    offset: usize,
    bytes: &'a [u8],
    show: Show,
}

impl<'a> Field<'a> {
    /// The specification's name; empty for what stands behind the last known field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Which of the values this is where a field repeats, from 0.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        self.index
    }

    /// Where it starts in its descriptor, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its value, where it has at most four bytes.
    #[must_use]
    pub fn value(&self) -> Option<u32> {
        (self.bytes.len() <= 4 && !self.is_tail()).then(|| little_endian(self.bytes))
    }

    /// Whether this is what stands behind the last known field.
    #[must_use]
    pub const fn is_tail(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether it is the index of a string.
    #[must_use]
    pub const fn is_string_index(&self) -> bool {
        matches!(self.show, Show::Text)
    }

    /// What the value means, where it has a name.
    #[must_use]
    pub fn meaning(&self) -> Option<&'static str> {
        match self.show {
            Show::Subtype(name) => Some(name),
            Show::Named(name) | Show::HexNamed(name) => name(self.value()?),
            _ => None,
        }
    }

    /// What its bits mean, those that hold.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        let value = self.value().unwrap_or(0);
        let table = match self.show {
            Show::Bits(table) | Show::DecimalBits(table) => table,
            _ => &[],
        };
        table
            .iter()
            .filter(move |bit| value & bit.mask == bit.value)
            .map(|bit| bit.text)
    }

    pub(crate) const fn show(&self) -> Show {
        self.show
    }
}

/// The value alone: 9, 0x0200, 2.00, or bytes.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = little_endian(self.bytes);
        match (self.show, self.bytes.len()) {
            _ if self.is_tail() => raw(self.bytes, f),
            (Show::Raw, _) | (_, 5..=15 | 17..) => raw(self.bytes, f),
            (Show::Guid, 16) => guid(self.bytes, f),
            (Show::Bcd, _) => write!(f, "{:x}.{:02x}", number.wrapping_shr(8), number & 0xff),
            (Show::Hex | Show::HexNamed(_) | Show::Bits(_) | Show::Endpoint, length) => {
                let digits = length.saturating_mul(2);
                write!(f, "0x{number:0digits$x}")
            }
            _ => write!(f, "{number}"),
        }
    }
}

fn raw(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, byte) in bytes.iter().enumerate() {
        write!(f, "{}{byte:02x}", if at == 0 { "" } else { " " })?;
    }
    Ok(())
}

/// The first three groups are little-endian numbers (RFC 4122, section 4.1.2, as Microsoft and the
/// USB-IF store it).
fn guid(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    f.write_str("{")?;
    for (at, from) in ORDER.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{:02x}", bytes.get(from).copied().unwrap_or(0))?;
    }
    f.write_str("}")
}

impl<'a> Fields<'a> {
    fn take(&mut self, size: usize) -> Option<(usize, &'a [u8])> {
        let end = self.offset.checked_add(size)?;
        let bytes = self.bytes.get(self.offset..end)?;
        let offset = self.offset;
        self.offset = end;
        Some((offset, bytes))
    }

    fn tail(&mut self) -> Option<Field<'a>> {
        let (offset, bytes) = (self.offset, self.bytes.get(self.offset..)?);
        self.offset = self.bytes.len();
        self.next = self.parts.len();
        self.group = None;
        (!bytes.is_empty()).then_some(Field {
            name: "",
            index: None,
            offset,
            bytes,
            show: Show::Raw,
        })
    }

    fn next_value(&mut self, mut repetition: Repetition) -> Option<Field<'a>> {
        let part = repetition.part;
        let index = repetition.index;
        let (name, show, size) = match part.group.get(repetition.member) {
            Some(member) => {
                let size = match member.size {
                    Amount::Exactly(size) => size,
                    _ => 0,
                };
                (member.name, member.show, size)
            }
            None => (part.name, part.show, repetition.size),
        };
        repetition.member = repetition.member.saturating_add(1);
        if repetition.member >= part.group.len() {
            repetition.member = 0;
            repetition.index = repetition.index.saturating_add(1);
        }
        self.group = (repetition.index < repetition.count).then_some(repetition);
        let Some((offset, bytes)) = self.take(size) else {
            return self.tail();
        };
        Some(Field {
            name,
            index: Some(index),
            offset,
            bytes,
            show,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(repetition) = self.group {
            return self.next_value(repetition);
        }
        while let Some(part) = self.parts.get(self.next) {
            let extent = part.extent(self.bytes, self.parts, self.offset);
            self.next = self.next.saturating_add(1);
            if !part.is_repeated() {
                let Some((offset, bytes)) = self.take(extent.size) else {
                    return self.tail();
                };
                return Some(Field {
                    name: part.name,
                    index: None,
                    offset,
                    bytes,
                    show: part.show,
                });
            }
            if extent.count > 0 {
                return self.next_value(Repetition {
                    part,
                    size: extent.size,
                    count: extent.count,
                    index: 0,
                    member: 0,
                });
            }
        }
        self.tail()
    }
}

impl FusedIterator for Fields<'_> {}

/// Values of one field that repeats, each a number of up to four bytes.
///
/// ```
/// use usb_descriptors::class::video::FrameUncompressed;
/// let mut bytes = [0; 34];
/// bytes[..3].copy_from_slice(&[34, 0x24, 5]);
/// bytes[25] = 2; // two intervals, in 100 ns
/// bytes[26..30].copy_from_slice(&333_333u32.to_le_bytes());
/// bytes[30..].copy_from_slice(&666_666u32.to_le_bytes());
/// let frame = FrameUncompressed::parse(&bytes).unwrap();
/// assert_eq!(frame.intervals().collect::<Vec<_>>(), [333_333, 666_666]);
/// ```
#[derive(Clone, Debug)]
pub struct Values<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Values<'a> {
    pub(crate) const fn new((bytes, size): (&'a [u8], usize)) -> Self {
        Self { bytes, size }
    }

    /// The bytes not yet walked.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Iterator for Values<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.size == 0 {
            return None;
        }
        let (value, rest) = self.bytes.split_at_checked(self.size)?;
        self.bytes = rest;
        Some(little_endian(value))
    }
}

impl FusedIterator for Values<'_> {}

/// Typed views with their layouts, from tables:
///
/// ```text
/// /// Documentation.
/// View "title" ("NAME OF THE SUBTYPE") minimum {
///     accessor: kind = "specName", Show, "documentation";
/// }
/// ```
///
/// where `kind` is `u8`, `u16`, `u32`, `bytes(n)`, `values(size, count)` or `group(count, parts)`.
macro_rules! views {
    ($(
        $(#[$meta:meta])*
        $view:ident $title:literal ($($subtype:literal)?) $minimum:literal {
            $( $accessor:ident : $kind:ident $(($($argument:expr),+))? = $spec:literal, $show:expr, $doc:literal; )*
        }
    )*) => {$(
        $(#[$meta])*
        ///
        /// A view in place; fields that the bytes are too short for read as 0.
        #[derive(Clone, Copy)]
        pub struct $view<'a> {
            bytes: &'a [u8],
        }

        impl<'a> $view<'a> {
            /// The fewest bytes of such a descriptor.
            pub const MINIMUM: usize = $minimum;

            pub(crate) const LAYOUT: &'static $crate::layout::Layout = &$crate::layout::Layout::new(
                $title,
                $minimum,
                &[
                    $crate::layout::Part::number("bLength", 1, $crate::layout::Show::Decimal),
                    $crate::layout::Part::number("bDescriptorType", 1, $crate::layout::Show::Decimal),
                    $($crate::layout::Part::number(
                        "bDescriptorSubtype",
                        1,
                        $crate::layout::Show::Subtype($subtype),
                    ),)?
                    $($crate::layout::part!($kind $(($($argument),+))?, $spec, $show),)*
                ],
            );

            /// Views `bytes`, which are one descriptor, as this kind; `None` where they are too
            /// few. Which kind they are is told by where they stand:
            /// [`ClassDescriptor`](crate::ClassDescriptor).
            #[must_use]
            pub const fn parse(bytes: &'a [u8]) -> Option<Self> {
                if bytes.len() < Self::MINIMUM {
                    return None;
                }
                Some(Self { bytes })
            }

            /// All its bytes.
            #[must_use]
            pub const fn bytes(&self) -> &'a [u8] {
                self.bytes
            }

            /// What it is made of.
            #[must_use]
            pub const fn layout(&self) -> &'static $crate::Layout {
                Self::LAYOUT
            }

            /// Its fields, in order of bytes.
            #[must_use]
            pub const fn fields(&self) -> $crate::Fields<'a> {
                Self::LAYOUT.fields(self.bytes)
            }

            $($crate::layout::accessor!($accessor, $kind, $spec, $doc);)*
        }

        impl core::fmt::Debug for $view<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut shown = f.debug_struct(stringify!($view));
                for field in self.fields() {
                    if !field.is_tail() {
                        shown.field(field.name(), &format_args!("{field}"));
                    }
                }
                shown.finish()
            }
        }
    )*};
}

macro_rules! part {
    (u8, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 1, $show)
    };
    (u16, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 2, $show)
    };
    (u32, $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, 4, $show)
    };
    (bytes($size:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::number($spec, $size, $show)
    };
    (values($size:expr, $count:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::values($spec, $size, $count, $show)
    };
    (group($count:expr, $parts:expr), $spec:literal, $show:expr) => {
        $crate::layout::Part::group($spec, $count, $parts)
    };
}

macro_rules! accessor {
    ($accessor:ident, u8, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u8 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            bytes.first().copied().unwrap_or(0)
        }
    };
    ($accessor:ident, u16, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u16 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            match *bytes {
                [low, high] => u16::from_le_bytes([low, high]),
                _ => 0,
            }
        }
    };
    ($accessor:ident, u32, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> u32 {
            let (bytes, _) = Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) });
            $crate::layout::little_endian(bytes)
        }
    };
    ($accessor:ident, values, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> $crate::Values<'a> {
            $crate::Values::new(
                Self::LAYOUT.part(self.bytes, const { Self::LAYOUT.index_of($spec) }),
            )
        }
    };
    // The bytes of a long field or of a group.
    ($accessor:ident, $kind:ident, $spec:literal, $doc:literal) => {
        #[doc = concat!("`", $spec, "`: ", $doc, ".")]
        #[doc(alias = $spec)]
        #[must_use]
        pub fn $accessor(&self) -> &'a [u8] {
            Self::LAYOUT
                .part(self.bytes, const { Self::LAYOUT.index_of($spec) })
                .0
        }
    };
}

/// An enumeration of views with what tells them apart, from a table of patterns on their bytes.
macro_rules! family {
    (
        $(#[$meta:meta])*
        $family:ident { $($pattern:pat => $variant:ident($view:ident),)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub enum $family<'a> {
            $(
                #[doc = concat!("See [`", stringify!($view), "`].")]
                $variant($view<'a>),
            )*
        }

        impl<'a> $family<'a> {
            /// What such a descriptor is made of, however short these bytes are; `None` where the
            /// kind is unknown.
            pub(crate) const fn layout_for(bytes: &[u8]) -> Option<&'static $crate::Layout> {
                match bytes {
                    $($pattern => Some($view::LAYOUT),)*
                    _ => None,
                }
            }

            /// Views `bytes`, one class descriptor of this family; `None` where the kind is
            /// unknown or the bytes are too few for it.
            #[must_use]
            pub fn parse(bytes: &'a [u8]) -> Option<Self> {
                match bytes {
                    $($pattern => $view::parse(bytes).map(Self::$variant),)*
                    _ => None,
                }
            }

            /// All its bytes.
            #[must_use]
            pub const fn bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$variant(view) => view.bytes(),)*
                }
            }

            /// What it is made of.
            #[must_use]
            pub const fn layout(&self) -> &'static $crate::Layout {
                match self {
                    $(Self::$variant(_) => $view::LAYOUT,)*
                }
            }
        }
    };
}

pub(crate) use {accessor, family, part, views};
