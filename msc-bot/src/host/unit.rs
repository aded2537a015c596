//! What a host knows of a disk, and why it has no more of it.

use alloc::string::String;

use thiserror::Error;
use usb_transfer::Status;

use crate::Sense;

/// Names one request to an [`Initiator`](crate::Initiator) from its call to its result.
///
/// ```
/// # use msc_bot::*;
/// # let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
/// # let disk = BotDevice::new(BotOptions::new(usb_descriptors::Speed::High), [unit])?;
/// let mut host = Initiator::new(disk.descriptors())?;
/// assert_ne!(host.read(0, 1), host.read(0, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub(super) u64);

/// What a host knows of a disk (SPC-4, 6.6.2; SBC-3, 5.15 and 5.16).
///
/// ```
/// # use msc_bot::*;
/// # fn f(host: &Initiator) {
/// if let Some(unit) = host.unit() {
///     println!("{} {}: {} x {} B", unit.vendor, unit.product, unit.blocks, unit.block_size);
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Unit {
    /// The vendor, without the spaces behind it.
    pub vendor: String,
    /// The product.
    pub product: String,
    /// The product's revision.
    pub revision: String,
    /// Whether the medium can be removed.
    pub removable: bool,
    /// How many units the device has, 1–16; this is the first.
    pub units: u8,
    /// How many blocks there are.
    pub blocks: u64,
    /// Bytes in a block.
    pub block_size: u32,
}

impl Unit {
    /// Bytes in all.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size as u64)
    }
}

/// Why a disk did not do what it was asked.
///
/// ```
/// use msc_bot::{ScsiError, Sense};
/// assert_eq!(
///     ScsiError::Sense(Sense::NO_MEDIUM).to_string(),
///     "not ready, 3ah/00h: medium not present"
/// );
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ScsiError {
    /// The disk says why.
    #[error("{0}")]
    Sense(Sense),
    /// The disk failed the command and did not say why.
    #[error("the disk failed without a reason")]
    NoReason,
    /// The device broke the rules of its transport again and again, or reported a phase error; it
    /// was reset each time.
    #[error("the device does not follow the rules of its transport")]
    Transport,
    /// The disk answered with less or other data than its commands are specified to, or took less
    /// than it was sent and called that a success.
    #[error("the disk gave an answer that makes no sense")]
    Answer,
    /// Data to write that is not whole blocks.
    #[error("{length} bytes are not whole blocks of {block_size}")]
    #[non_exhaustive]
    NotWholeBlocks {
        /// Bytes to write.
        length: usize,
        /// Bytes in a block.
        block_size: u32,
    },
    /// The device is gone, does not answer any more, or could not be configured.
    #[error("the device does not work: {0}")]
    Device(Status),
}

/// A device has no mass storage interface that can be used: neither 08/06/50 with a bulk endpoint in
/// each direction, nor 08/06/62 with its four pipes.
///
/// ```
/// use msc_bot::{Initiator, NoMassStorage};
/// use usb_descriptors::Speed;
/// use usb_transfer::DeviceDescriptors;
/// let nothing = DeviceDescriptors::new(Speed::High, []);
/// let error: NoMassStorage = Initiator::new(&nothing).unwrap_err();
/// assert_eq!(error.to_string(), "the device has no mass storage interface that can be used");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the device has no mass storage interface that can be used")]
#[non_exhaustive]
pub struct NoMassStorage;

/// Reads the answer to INQUIRY; `None` where there is no unit or too little.
pub(super) fn inquiry(data: &[u8], units: u8) -> Option<Unit> {
    let (&kind, &flags) = (data.first()?, data.get(1)?);
    let text = |from: usize, to: usize| {
        let field = data.get(from..to)?;
        let text: String = field.iter().copied().map(char::from).collect();
        Some(String::from(text.trim_end_matches([' ', '\0'])))
    };
    // Bits 7..5: a unit is connected (SPC-4, table 143).
    (kind >> 5 == 0).then_some(())?;
    Some(Unit {
        vendor: text(8, 16)?,
        product: text(16, 32)?,
        revision: text(32, 36)?,
        removable: flags & 0x80 != 0,
        units,
        blocks: 0,
        block_size: 0,
    })
}
