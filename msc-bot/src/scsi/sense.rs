//! Sense data: what went wrong, in SCSI's words.

use core::fmt;

use crate::BlockError;

/// The kind of trouble (SPC-4, table 56 "Sense key descriptions").
///
/// ```
/// use msc_bot::SenseKey;
/// assert_eq!(SenseKey::MEDIUM_ERROR.to_string(), "medium error");
/// assert_eq!(SenseKey(0x0c).to_string(), "sense key ch");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct SenseKey(pub u8);

impl SenseKey {
    /// Nothing to tell.
    pub const NO_SENSE: Self = Self(0x0);
    /// Done, with trouble on the way.
    pub const RECOVERED_ERROR: Self = Self(0x1);
    /// The unit cannot be accessed.
    pub const NOT_READY: Self = Self(0x2);
    /// The medium is bad at a place.
    pub const MEDIUM_ERROR: Self = Self(0x3);
    /// The device failed.
    pub const HARDWARE_ERROR: Self = Self(0x4);
    /// The command, or its parameters, make no sense to this unit.
    pub const ILLEGAL_REQUEST: Self = Self(0x5);
    /// Something happened to the unit that the host should know of.
    pub const UNIT_ATTENTION: Self = Self(0x6);
    /// The medium is protected.
    pub const DATA_PROTECT: Self = Self(0x7);
    /// The device gave up the command.
    pub const ABORTED_COMMAND: Self = Self(0xb);
    /// Data and medium differ.
    pub const MISCOMPARE: Self = Self(0xe);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NO_SENSE => "no sense",
            Self::RECOVERED_ERROR => "recovered error",
            Self::NOT_READY => "not ready",
            Self::MEDIUM_ERROR => "medium error",
            Self::HARDWARE_ERROR => "hardware error",
            Self::ILLEGAL_REQUEST => "illegal request",
            Self::UNIT_ATTENTION => "unit attention",
            Self::DATA_PROTECT => "data protect",
            Self::ABORTED_COMMAND => "aborted command",
            Self::MISCOMPARE => "miscompare",
            _ => return None,
        })
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "sense key {:x}h", self.0),
        }
    }
}

/// Why a command failed: key, additional code and qualifier, and perhaps the address of the block
/// (SPC-4, 4.5). The constants are what a [`LogicalUnit`](crate::LogicalUnit) says.
///
/// ```
/// use msc_bot::Sense;
/// assert_eq!(
///     Sense::LBA_OUT_OF_RANGE.to_string(),
///     "illegal request, 21h/00h: logical block address out of range"
/// );
/// let fixed = Sense::LBA_OUT_OF_RANGE.to_fixed();
/// assert_eq!(Sense::parse(&fixed), Some(Sense::LBA_OUT_OF_RANGE));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Sense {
    /// The kind.
    pub key: SenseKey,
    /// The additional sense code.
    #[doc(alias = "ASC")]
    pub code: u8,
    /// Its qualifier.
    #[doc(alias = "ASCQ")]
    pub qualifier: u8,
    /// The information field: for medium errors the address of the block.
    pub information: Option<u64>,
}

/// Response codes (SPC-4, table 30 "Sense data response codes").
const FIXED: u8 = 0x70;
const DESCRIPTOR: u8 = 0x72;

impl Sense {
    /// Nothing to tell.
    pub const NONE: Self = Self::new(SenseKey::NO_SENSE, 0x00, 0x00);
    /// There is no medium.
    pub const NO_MEDIUM: Self = Self::new(SenseKey::NOT_READY, 0x3a, 0x00);
    /// A block could not be read.
    pub const READ_ERROR: Self = Self::new(SenseKey::MEDIUM_ERROR, 0x11, 0x00);
    /// A block could not be written.
    pub const WRITE_ERROR: Self = Self::new(SenseKey::MEDIUM_ERROR, 0x0c, 0x00);
    /// The store failed.
    pub const INTERNAL_FAILURE: Self = Self::new(SenseKey::HARDWARE_ERROR, 0x44, 0x00);
    /// There is no such command.
    pub const INVALID_OPCODE: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x20, 0x00);
    /// A block beyond the end.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x21, 0x00);
    /// A field of the command has a value that is not supported.
    pub const INVALID_FIELD: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x24, 0x00);
    /// There is no such unit.
    pub const NO_UNIT: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x25, 0x00);
    /// A field of the parameters has a value that is not supported.
    pub const INVALID_PARAMETER: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x26, 0x00);
    /// The parameters are of another length than they say or the command does.
    pub const INVALID_PARAMETER_LENGTH: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x1a, 0x00);
    /// What the host compared the medium with differs.
    pub const MISCOMPARE: Self = Self::new(SenseKey::MISCOMPARE, 0x1d, 0x00);
    /// The medium is of another kind than the command is for.
    pub const INCOMPATIBLE_FORMAT: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x30, 0x02);
    /// The track is in another mode than the command is for.
    pub const ILLEGAL_MODE: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x64, 0x00);
    /// The unit was reset.
    pub const RESET: Self = Self::new(SenseKey::UNIT_ATTENTION, 0x29, 0x00);
    /// There is another medium.
    pub const MEDIUM_CHANGED: Self = Self::new(SenseKey::UNIT_ATTENTION, 0x28, 0x00);
    /// The medium became larger or smaller.
    pub const CAPACITY_CHANGED: Self = Self::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x09);
    /// The mode became another, such as write protection.
    pub const MODE_CHANGED: Self = Self::new(SenseKey::UNIT_ATTENTION, 0x2a, 0x01);
    /// No saved mode pages.
    pub const NOT_SAVED: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x39, 0x00);
    /// The medium is locked in.
    pub const REMOVAL_PREVENTED: Self = Self::new(SenseKey::ILLEGAL_REQUEST, 0x53, 0x02);
    /// The medium takes no writes.
    pub const WRITE_PROTECTED: Self = Self::new(SenseKey::DATA_PROTECT, 0x27, 0x00);
    /// A sparse store has no space left.
    pub const SPACE_ALLOCATION_FAILED: Self = Self::new(SenseKey::DATA_PROTECT, 0x27, 0x07);

    /// A sense without information.
    #[must_use]
    pub const fn new(key: SenseKey, code: u8, qualifier: u8) -> Self {
        Self {
            key,
            code,
            qualifier,
            information: None,
        }
    }

    /// The same with the address of a block.
    #[must_use]
    pub const fn with_information(mut self, lba: u64) -> Self {
        self.information = Some(lba);
        self
    }

    /// What a store's error becomes; `medium` is the sense of a bad place, with its block.
    pub(crate) fn of_store(error: BlockError, medium: Self) -> Self {
        match error {
            BlockError::Medium { .. } => medium,
            BlockError::WriteProtected => Self::WRITE_PROTECTED,
            BlockError::NoSpace => Self::SPACE_ALLOCATION_FAILED,
            BlockError::Hardware => Self::INTERNAL_FAILURE,
        }
    }

    /// In fixed format (SPC-4, table 42). Information above 32 bits does not fit and is left out.
    ///
    /// The additional length stays 0Ah: hosts ask for more where it is larger.
    #[must_use]
    pub fn to_fixed(&self) -> [u8; 18] {
        let information = self.information.and_then(|lba| u32::try_from(lba).ok());
        let valid = u8::from(information.is_some()) << 7;
        let [i0, i1, i2, i3] = information.unwrap_or(0).to_be_bytes();
        let Self {
            key: SenseKey(key),
            code,
            qualifier,
            ..
        } = *self;
        [
            valid | FIXED,
            0,
            key & 0x0f,
            i0,
            i1,
            i2,
            i3,
            10,
            0,
            0,
            0,
            0,
            code,
            qualifier,
            0,
            0,
            0,
            0,
        ]
    }

    /// In descriptor format (SPC-4, table 31), and its length: 8 bytes, 20 with information
    /// (SPC-4, table 33).
    #[must_use]
    pub fn to_descriptor(&self) -> ([u8; 20], usize) {
        let mut bytes = [0; 20];
        let (header, information) = bytes.split_at_mut(8);
        let descriptors = if self.information.is_some() { 12 } else { 0 };
        header.copy_from_slice(&[
            DESCRIPTOR,
            self.key.0 & 0x0f,
            self.code,
            self.qualifier,
            0,
            0,
            0,
            descriptors,
        ]);
        let Some(lba) = self.information else {
            return (bytes, 8);
        };
        let (head, value) = information.split_at_mut(4);
        head.copy_from_slice(&[0x00, 0x0a, 0x80, 0]);
        value.copy_from_slice(&lba.to_be_bytes());
        (bytes, 20)
    }

    /// Reads sense data in either format; `None` where it is neither.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            // Current and deferred errors.
            [0x70 | 0x71 | 0xf0 | 0xf1, _, key, i0, i1, i2, i3, rest @ ..] => {
                let information = u32::from_be_bytes([*i0, *i1, *i2, *i3]);
                let valid = bytes.first().is_some_and(|code| code & 0x80 != 0);
                Some(Self {
                    key: SenseKey(key & 0x0f),
                    code: rest.get(5).copied().unwrap_or(0),
                    qualifier: rest.get(6).copied().unwrap_or(0),
                    information: valid.then_some(u64::from(information)),
                })
            }
            [0x72 | 0x73, key, code, qualifier, _, _, _, _, rest @ ..] => {
                let information = match rest {
                    [0x00, 0x0a, flags, _, value @ ..] if flags & 0x80 != 0 => {
                        value.first_chunk().map(|value| u64::from_be_bytes(*value))
                    }
                    _ => None,
                };
                Some(Self {
                    key: SenseKey(key & 0x0f),
                    code: *code,
                    qualifier: *qualifier,
                    information,
                })
            }
            _ => None,
        }
    }

    /// SPC-4, annex E.2, as far as this crate says or expects it.
    const fn text(&self) -> Option<&'static str> {
        Some(match (self.code, self.qualifier) {
            (0x00, 0x00) => "no additional sense information",
            (0x0c, 0x00) => "write error",
            (0x11, 0x00) => "unrecovered read error",
            (0x1a, 0x00) => "parameter list length error",
            (0x1d, 0x00) => "miscompare during verify operation",
            (0x20, 0x00) => "invalid command operation code",
            (0x21, 0x00) => "logical block address out of range",
            (0x24, 0x00) => "invalid field in CDB",
            (0x25, 0x00) => "logical unit not supported",
            (0x26, 0x00) => "invalid field in parameter list",
            (0x27, 0x00) => "write protected",
            (0x27, 0x07) => "space allocation failed write protect",
            (0x28, 0x00) => "not ready to ready change, medium may have changed",
            (0x29, 0x00) => "power on, reset, or bus device reset occurred",
            (0x2a, 0x01) => "mode parameters changed",
            (0x2a, 0x09) => "capacity data has changed",
            (0x30, 0x02) => "cannot read medium, incompatible format",
            (0x39, 0x00) => "saving parameters not supported",
            (0x3a, 0x00) => "medium not present",
            (0x44, 0x00) => "internal target failure",
            (0x53, 0x02) => "medium removal prevented",
            (0x64, 0x00) => "illegal mode for this track",
            _ => return None,
        })
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            code,
            qualifier,
            ..
        } = self;
        write!(f, "{key}, {code:02x}h/{qualifier:02x}h")?;
        if let Some(text) = self.text() {
            write!(f, ": {text}")?;
        }
        match self.information {
            Some(lba) => write!(f, ", block {lba}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_formats_round_trip(key in 0u8..16, code: u8, qualifier: u8, lba: Option<u64>) {
            let sense = Sense { key: SenseKey(key), code, qualifier, information: lba };
            let (bytes, length) = sense.to_descriptor();
            prop_assert_eq!(Sense::parse(&bytes[..length]), Some(sense));
            let information = lba.filter(|lba| u32::try_from(*lba).is_ok());
            prop_assert_eq!(Sense::parse(&sense.to_fixed()), Some(Sense { information, ..sense }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Sense::parse(&bytes);
        }
    }

    extern crate std;
    use std::vec::Vec;

    #[test]
    fn the_lengths_that_fields_state_are_right() {
        let fixed = Sense::NO_MEDIUM.to_fixed();
        assert_eq!(usize::from(fixed[7]) + 8, fixed.len());
        assert_eq!(&fixed[..4], [0x70, 0, 2, 0]);
        let (bytes, length) = Sense::READ_ERROR.with_information(1 << 40).to_descriptor();
        assert_eq!(usize::from(bytes[7]) + 8, length);
        assert_eq!(Sense::READ_ERROR.to_descriptor().1, 8);
    }
}
