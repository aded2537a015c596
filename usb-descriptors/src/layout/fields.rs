//! The fields of a descriptor, walked by its layout.

use core::fmt;
use core::iter::FusedIterator;

use super::{Part, Show, little_endian, slice};

/// Walks the fields of a descriptor: [`Layout::fields`](super::Layout::fields). Their bytes joined
/// are the descriptor.
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
    pub(super) const fn new(parts: &'static [Part], bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            parts,
            next: 0,
            offset: 0,
            group: None,
        }
    }

    const fn take(&mut self, size: usize) -> Option<(usize, &'a [u8])> {
        let Some(bytes) = slice(self.bytes, self.offset, size) else {
            return None;
        };
        let offset = self.offset;
        self.offset = offset.saturating_add(size);
        Some((offset, bytes))
    }

    const fn tail(&mut self) -> Option<Field<'a>> {
        let Some((_, bytes)) = self.bytes.split_at_checked(self.offset) else {
            return None;
        };
        let offset = self.offset;
        self.offset = self.bytes.len();
        self.next = self.parts.len();
        self.group = None;
        if bytes.is_empty() {
            return None;
        }
        Some(Field {
            name: "",
            index: None,
            offset,
            bytes,
            show: Show::Raw,
        })
    }

    const fn next_value(&mut self, mut repetition: Repetition) -> Option<Field<'a>> {
        let part = repetition.part;
        let index = repetition.index;
        let (name, show, size) = match part.group.split_at_checked(repetition.member) {
            Some((_, [member, ..])) => (member.name, member.show, member.member_size()),
            _ => (part.name, part.show, repetition.size),
        };
        repetition.member = repetition.member.saturating_add(1);
        if repetition.member >= part.group.len() {
            repetition.member = 0;
            repetition.index = repetition.index.saturating_add(1);
        }
        self.group = if repetition.index < repetition.count {
            Some(repetition)
        } else {
            None
        };
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

    /// The next field, as [`Iterator::next`] gives it, in constants too.
    pub(crate) const fn advance(&mut self) -> Option<Field<'a>> {
        if let Some(repetition) = self.group {
            return self.next_value(repetition);
        }
        while let Some((_, [part, ..])) = self.parts.split_at_checked(self.next) {
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

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance()
    }
}

impl FusedIterator for Fields<'_> {}
