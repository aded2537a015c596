//! Which keys make a character.

use thiserror::Error;

use super::usage::{Modifiers, Usage};

/// A key with the modifiers that are held while it is hit.
///
/// ```
/// use usb_functions::{Modifiers, Stroke, Usage};
/// let save = Stroke::new(Modifiers::LEFT_CONTROL, Usage(0x16));
/// assert_eq!(save.usage.0, Usage::A.0 + (b's' - b'a'));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an entry of a table that callers write"
)]
pub struct Stroke {
    /// What is held.
    pub modifiers: Modifiers,
    /// What is hit.
    pub usage: Usage,
}

impl Stroke {
    /// A key with modifiers.
    #[must_use]
    pub const fn new(modifiers: Modifiers, usage: Usage) -> Self {
        Self { modifiers, usage }
    }

    const fn plain(usage: u8) -> Self {
        Self::new(Modifiers::NONE, Usage(usage))
    }

    const fn shifted(usage: u8) -> Self {
        Self::new(Modifiers::LEFT_SHIFT, Usage(usage))
    }
}

/// Which stroke makes which character, where the host has the same layout.
///
/// ```
/// use usb_functions::{KeyboardLayout, Modifiers, Stroke, Usage};
/// assert_eq!(KeyboardLayout::US.stroke('A').unwrap().modifiers, Modifiers::LEFT_SHIFT);
///
/// static GERMAN: &[(char, Stroke)] = &[('z', Stroke::new(Modifiers::NONE, Usage(0x1c)))];
/// let german = KeyboardLayout::new(GERMAN);
/// assert_eq!(german.stroke('z').unwrap().usage, Usage(0x1c));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyboardLayout {
    strokes: &'static [(char, Stroke)],
}

/// A character that a layout has no key for.
///
/// ```
/// use usb_functions::KeyboardLayout;
/// let error = KeyboardLayout::US.strokes("naïve").last().unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "no key makes 'ï', at byte 2");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no key makes {character:?}, at byte {at}")]
#[non_exhaustive]
pub struct NoKey {
    /// The character.
    pub character: char,
    /// Where it is in the text, in bytes.
    pub at: usize,
}

/// Why a text was not typed.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, Keyboard, KeyboardLayout, TypingError};
/// let mut keyboard = Keyboard::new(DeviceOptions::new(Speed::High))?;
/// let error = keyboard.type_text("Größe", KeyboardLayout::US).unwrap_err();
/// assert!(matches!(error, TypingError::NoKey(_)));
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TypingError {
    /// The layout lacks a character.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// Too much waits for the host already.
    #[error("{found} strokes, but there is room for {room} until the host asks for some")]
    #[non_exhaustive]
    TooLong {
        /// Strokes of the text.
        found: usize,
        /// Strokes possible now.
        room: usize,
    },
    /// The keyboard was taken away.
    #[error("the keyboard was taken away from its host")]
    Detached,
}

impl KeyboardLayout {
    /// The layout of the United States, with all of ASCII that has a key: a line's end is Enter, a
    /// backspace Backspace, and `\u{7f}` the forward Delete.
    pub const US: Self = Self::new(US);

    /// A layout from its table. Of a character that is in it twice, the first entry counts.
    #[must_use]
    pub const fn new(strokes: &'static [(char, Stroke)]) -> Self {
        Self { strokes }
    }

    /// What makes a character, if anything does.
    #[must_use]
    pub fn stroke(&self, character: char) -> Option<Stroke> {
        let mut strokes = self.strokes.iter();
        strokes
            .find(|(made, _)| *made == character)
            .map(|(_, stroke)| *stroke)
    }

    /// What makes a text, up to the first character that nothing makes.
    pub fn strokes<'a>(
        &'a self,
        text: &'a str,
    ) -> impl Iterator<Item = Result<Stroke, NoKey>> + 'a {
        let mut failed = false;
        text.char_indices().map_while(move |(at, character)| {
            if failed {
                return None;
            }
            let stroke = self.stroke(character).ok_or(NoKey { character, at });
            failed = stroke.is_err();
            Some(stroke)
        })
    }
}

/// HUT, section 10, where the usages are named by the characters that this layout has on them.
#[rustfmt::skip]
static US: &[(char, Stroke)] = &[
    ('a', Stroke::plain(0x04)), ('A', Stroke::shifted(0x04)),
    ('b', Stroke::plain(0x05)), ('B', Stroke::shifted(0x05)),
    ('c', Stroke::plain(0x06)), ('C', Stroke::shifted(0x06)),
    ('d', Stroke::plain(0x07)), ('D', Stroke::shifted(0x07)),
    ('e', Stroke::plain(0x08)), ('E', Stroke::shifted(0x08)),
    ('f', Stroke::plain(0x09)), ('F', Stroke::shifted(0x09)),
    ('g', Stroke::plain(0x0a)), ('G', Stroke::shifted(0x0a)),
    ('h', Stroke::plain(0x0b)), ('H', Stroke::shifted(0x0b)),
    ('i', Stroke::plain(0x0c)), ('I', Stroke::shifted(0x0c)),
    ('j', Stroke::plain(0x0d)), ('J', Stroke::shifted(0x0d)),
    ('k', Stroke::plain(0x0e)), ('K', Stroke::shifted(0x0e)),
    ('l', Stroke::plain(0x0f)), ('L', Stroke::shifted(0x0f)),
    ('m', Stroke::plain(0x10)), ('M', Stroke::shifted(0x10)),
    ('n', Stroke::plain(0x11)), ('N', Stroke::shifted(0x11)),
    ('o', Stroke::plain(0x12)), ('O', Stroke::shifted(0x12)),
    ('p', Stroke::plain(0x13)), ('P', Stroke::shifted(0x13)),
    ('q', Stroke::plain(0x14)), ('Q', Stroke::shifted(0x14)),
    ('r', Stroke::plain(0x15)), ('R', Stroke::shifted(0x15)),
    ('s', Stroke::plain(0x16)), ('S', Stroke::shifted(0x16)),
    ('t', Stroke::plain(0x17)), ('T', Stroke::shifted(0x17)),
    ('u', Stroke::plain(0x18)), ('U', Stroke::shifted(0x18)),
    ('v', Stroke::plain(0x19)), ('V', Stroke::shifted(0x19)),
    ('w', Stroke::plain(0x1a)), ('W', Stroke::shifted(0x1a)),
    ('x', Stroke::plain(0x1b)), ('X', Stroke::shifted(0x1b)),
    ('y', Stroke::plain(0x1c)), ('Y', Stroke::shifted(0x1c)),
    ('z', Stroke::plain(0x1d)), ('Z', Stroke::shifted(0x1d)),
    ('1', Stroke::plain(0x1e)), ('!', Stroke::shifted(0x1e)),
    ('2', Stroke::plain(0x1f)), ('@', Stroke::shifted(0x1f)),
    ('3', Stroke::plain(0x20)), ('#', Stroke::shifted(0x20)),
    ('4', Stroke::plain(0x21)), ('$', Stroke::shifted(0x21)),
    ('5', Stroke::plain(0x22)), ('%', Stroke::shifted(0x22)),
    ('6', Stroke::plain(0x23)), ('^', Stroke::shifted(0x23)),
    ('7', Stroke::plain(0x24)), ('&', Stroke::shifted(0x24)),
    ('8', Stroke::plain(0x25)), ('*', Stroke::shifted(0x25)),
    ('9', Stroke::plain(0x26)), ('(', Stroke::shifted(0x26)),
    ('0', Stroke::plain(0x27)), (')', Stroke::shifted(0x27)),
    ('\n', Stroke::plain(0x28)), ('\r', Stroke::plain(0x28)),
    ('\u{1b}', Stroke::plain(0x29)),
    ('\u{8}', Stroke::plain(0x2a)),
    ('\t', Stroke::plain(0x2b)),
    (' ', Stroke::plain(0x2c)),
    ('-', Stroke::plain(0x2d)), ('_', Stroke::shifted(0x2d)),
    ('=', Stroke::plain(0x2e)), ('+', Stroke::shifted(0x2e)),
    ('[', Stroke::plain(0x2f)), ('{', Stroke::shifted(0x2f)),
    (']', Stroke::plain(0x30)), ('}', Stroke::shifted(0x30)),
    ('\\', Stroke::plain(0x31)), ('|', Stroke::shifted(0x31)),
    (';', Stroke::plain(0x33)), (':', Stroke::shifted(0x33)),
    ('\'', Stroke::plain(0x34)), ('"', Stroke::shifted(0x34)),
    ('`', Stroke::plain(0x35)), ('~', Stroke::shifted(0x35)),
    (',', Stroke::plain(0x36)), ('<', Stroke::shifted(0x36)),
    ('.', Stroke::plain(0x37)), ('>', Stroke::shifted(0x37)),
    ('/', Stroke::plain(0x38)), ('?', Stroke::shifted(0x38)),
    ('\u{7f}', Stroke::plain(0x4c)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_of_ascii_has_one_stroke_of_its_own() {
        for character in ' '..='~' {
            let stroke = KeyboardLayout::US.stroke(character).unwrap();
            let same = US.iter().filter(|(_, other)| *other == stroke);
            assert_eq!(same.count(), 1, "{character}");
        }
        assert_eq!(KeyboardLayout::US.stroke('é'), None);
    }

    #[test]
    fn a_text_ends_where_a_key_is_missing() {
        let strokes: alloc::vec::Vec<_> = KeyboardLayout::US.strokes("aéb").collect();
        let missing = NoKey {
            character: 'é',
            at: 1,
        };
        assert_eq!(strokes, [Ok(Stroke::plain(0x04)), Err(missing)]);
    }
}
