//! String descriptors.

use core::char::{REPLACEMENT_CHARACTER, decode_utf16};
use core::fmt;

use crate::error::check;
use crate::{DescriptorError, DescriptorType};

/// The language of a string descriptor (USB-IF, "Language Identifiers").
#[doc(alias = "LANGID")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct LanguageId(pub u16);

impl LanguageId {
    /// English (United States), which every host asks for.
    pub const ENGLISH_US: Self = Self(0x0409);
    /// No language: strings that are the same in all, such as Microsoft's at index 0xee.
    pub const NONE: Self = Self(0);
}

/// A string descriptor, read in place: text in UTF-16LE, or at index 0 the table of languages
/// (USB 2.0, 9.6.7). Displays as its text; a lone surrogate as U+FFFD.
///
/// ```
/// use usb_descriptors::StringDescriptor;
/// let string = StringDescriptor::parse(&[6, 3, b'U', 0, 0xb5, 0])?;
/// assert_eq!(string.to_string(), "Uµ");
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StringDescriptor<'a> {
    units: &'a [u8],
}

impl<'a> StringDescriptor<'a> {
    /// Reads the descriptor at the start of `bytes`. A length beyond the bytes is cut to them,
    /// and an odd last byte is dropped, as hosts do.
    ///
    /// # Errors
    /// [`DescriptorError`] where the type is another or fewer than 2 bytes are there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        check(bytes, DescriptorType::STRING, 2)?;
        let declared = bytes.first().copied().map_or(0, usize::from);
        let end = declared.min(bytes.len()) & !1;
        Ok(Self {
            units: bytes.get(2..end).unwrap_or(&[]),
        })
    }

    fn units(&self) -> impl Iterator<Item = u16> + 'a {
        self.units.chunks_exact(2).map(|pair| match *pair {
            [low, high] => u16::from_le_bytes([low, high]),
            _ => 0,
        })
    }

    /// The text; a lone surrogate is U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + 'a {
        decode_utf16(self.units()).map(|unit| unit.unwrap_or(REPLACEMENT_CHARACTER))
    }

    /// The languages, if this is the descriptor at index 0.
    pub fn languages(&self) -> impl Iterator<Item = LanguageId> + 'a {
        self.units().map(LanguageId)
    }
}

impl fmt::Display for StringDescriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars()
            .try_for_each(|character| f.write_char(character))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn odd_lengths_and_lone_surrogates_are_read() {
        let odd = StringDescriptor::parse(&[5, 3, b'A', 0, b'B']).unwrap();
        assert_eq!(odd.to_string(), "A");
        let lone = StringDescriptor::parse(&[4, 3, 0x00, 0xd8]).unwrap();
        assert_eq!(lone.to_string(), "\u{fffd}");
        let overlong = StringDescriptor::parse(&[200, 3, b'A', 0]).unwrap();
        assert_eq!(overlong.to_string(), "A");
        assert!(StringDescriptor::parse(&[2]).is_err());
    }
}
