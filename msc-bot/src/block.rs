//! What a logical unit asks of its store.

use core::fmt;

use bytes::Bytes;
use thiserror::Error;

/// Bytes in a block: one of the sizes that hosts take for a disk.
///
/// ```
/// use msc_bot::BlockSize;
/// assert_eq!(BlockSize::new(4096), Some(BlockSize::BYTES_4096));
/// assert_eq!(BlockSize::new(520), None);
/// assert_eq!(BlockSize::BYTES_512.get(), 512);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockSize(u32);

impl BlockSize {
    /// 512 bytes: what every host and firmware takes.
    pub const BYTES_512: Self = Self(512);
    /// 1024 bytes.
    pub const BYTES_1024: Self = Self(1024);
    /// 2048 bytes, as on CDs.
    pub const BYTES_2048: Self = Self(2048);
    /// 4096 bytes: "4Kn".
    pub const BYTES_4096: Self = Self(4096);

    /// The size of so many bytes; `None` unless it is 512, 1024, 2048 or 4096, the sizes that
    /// Linux takes (`drivers/scsi/sd.c`, `sd_read_capacity`).
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        match bytes {
            512 | 1024 | 2048 | 4096 => Some(Self(bytes)),
            _ => None,
        }
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// In bytes, for arithmetic with offsets.
    pub(crate) const fn bytes(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// The number of a logical unit, 0–15: what four bits of a command wrapper say
/// (Bulk-Only Transport 1.0, table 5.1, `bCBWLUN`).
///
/// ```
/// use msc_bot::Lun;
/// assert_eq!(Lun::new(3).map(Lun::get), Some(3));
/// assert_eq!(Lun::new(16), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Lun(u8);

impl Lun {
    /// The first unit, and the only one of most devices.
    pub const ZERO: Self = Self(0);

    /// The unit of a number; `None` above 15.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number > 15 {
            return None;
        }
        Some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one [`BlockOp`] from its hand-out to its finish. No two operations of a device have the
/// same.
///
/// ```
/// use msc_bot::BlockToken;
/// // As the user data of an asynchronous interface.
/// let token = BlockToken::from_u64(7);
/// assert_eq!(token.to_u64(), 7);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockToken(u64);

impl BlockToken {
    /// The unit stands in the four high bits, so that a device finds the unit of a finish.
    pub(crate) const fn new(lun: Lun, sequence: u64) -> Self {
        Self((lun.0 as u64) << 60 | sequence & (u64::MAX >> 4))
    }

    /// The unit it belongs to, as an index.
    pub(crate) const fn unit(self) -> usize {
        (self.0 >> 60) as usize
    }

    /// The number, for a table or a C interface that wants one.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The token of a number that [`to_u64`](Self::to_u64) gave.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for BlockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.unit(), self.0 & (u64::MAX >> 4))
    }
}

/// One request to the store behind a unit. Offsets and lengths are in bytes, whole blocks, not
/// zero, and inside the capacity.
///
/// Each is answered by exactly one `finish`; in what order does not matter.
///
/// ```
/// use bytes::Bytes;
/// use msc_bot::{BlockError, BlockOp};
/// use usb_transfer::Segments;
///
/// fn serve(disk: &mut [u8], op: BlockOp) -> Result<Segments, BlockError> {
///     match op {
///         BlockOp::Read { offset, length, .. } => {
///             let at = offset as usize;
///             Ok(Bytes::copy_from_slice(&disk[at..at + length as usize]).into())
///         }
///         BlockOp::Write { offset, data, .. } => {
///             let at = offset as usize;
///             disk[at..at + data.len()].copy_from_slice(&data);
///             Ok(Segments::new())
///         }
///         BlockOp::Zero { offset, length, .. } => {
///             let at = offset as usize;
///             disk[at..at + length as usize].fill(0);
///             Ok(Segments::new())
///         }
///         BlockOp::Flush { .. } => Ok(Segments::new()), // nothing is more durable than memory
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a store must be able to do each of them"
)]
pub enum BlockOp {
    /// Reads; finished with exactly `length` bytes.
    #[non_exhaustive]
    Read {
        /// Its name.
        token: BlockToken,
        /// The unit.
        lun: Lun,
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        length: u32,
        /// The unit looks at the bytes itself, to compare them: they must stay as readable as
        /// memory is. Others are only handed on to the host, and may be pages of a file that
        /// somebody else can cut short.
        inspected: bool,
    },
    /// Writes; finished with no bytes, when the store has taken the data: later reads see it.
    #[non_exhaustive]
    Write {
        /// Its name.
        token: BlockToken,
        /// The unit.
        lun: Lun,
        /// Where, in bytes.
        offset: u64,
        /// What.
        data: Bytes,
        /// Finished only when the data would survive a loss of power. What was written before need
        /// not.
        durable: bool,
    },
    /// Makes a range of at most 64 MiB read as zeros; finished with no bytes. Where that is to be
    /// durable, a flush follows.
    #[non_exhaustive]
    Zero {
        /// Its name.
        token: BlockToken,
        /// The unit.
        lun: Lun,
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes.
        length: u64,
        /// The range is no longer needed: its space may be given back.
        discard: bool,
    },
    /// Finished, with no bytes, when all writes that were finished before would survive a loss
    /// of power.
    #[non_exhaustive]
    Flush {
        /// Its name.
        token: BlockToken,
        /// The unit.
        lun: Lun,
    },
}

impl BlockOp {
    /// Its name.
    #[must_use]
    pub const fn token(&self) -> BlockToken {
        match self {
            Self::Read { token, .. }
            | Self::Write { token, .. }
            | Self::Zero { token, .. }
            | Self::Flush { token, .. } => *token,
        }
    }

    /// The unit.
    #[must_use]
    pub const fn lun(&self) -> Lun {
        match self {
            Self::Read { lun, .. }
            | Self::Write { lun, .. }
            | Self::Zero { lun, .. }
            | Self::Flush { lun, .. } => *lun,
        }
    }
}

/// Why a store could not do what it was asked. Each becomes a sense of its own for the host.
///
/// ```
/// use msc_bot::BlockError;
/// let error = BlockError::Medium { offset: 4096 };
/// assert_eq!(error.to_string(), "the medium is bad at byte 4096");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A place of the medium cannot be read or written: medium error, with the block's address.
    #[error("the medium is bad at byte {offset}")]
    Medium {
        /// Where, in bytes from the start of the disk.
        offset: u64,
    },
    /// The store takes no writes: data protect, write protected.
    #[error("the store is write protected")]
    WriteProtected,
    /// A sparse store cannot grow: data protect, space allocation failed.
    #[error("no space is left for the data")]
    NoSpace,
    /// Anything else: hardware error, internal target failure.
    #[error("the store failed")]
    Hardware,
}
