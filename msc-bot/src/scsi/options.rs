//! What a unit is.

use alloc::string::String;

use super::command::{Entry, Scope};
use crate::BlockSize;

/// What a [`LogicalUnit`](crate::LogicalUnit) is: its size, its name and what it allows.
///
/// ```
/// use msc_bot::{BlockSize, UnitOptions};
/// let options = UnitOptions::new(BlockSize::BYTES_512, 131_072) // 64 MiB
///     .vendor("Example")
///     .product("Test disk")
///     .serial("0123456789AB")
///     .read_only(true);
/// assert_eq!(options.blocks(), 131_072);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct UnitOptions {
    pub(crate) block_size: BlockSize,
    pub(crate) blocks: u64,
    pub(crate) vendor: [u8; 8],
    pub(crate) product: [u8; 16],
    pub(crate) revision: [u8; 4],
    pub(crate) serial: String,
    pub(crate) read_only: bool,
    pub(crate) removable: bool,
    lockable: bool,
    pub(crate) write_cache: bool,
    pub(crate) discard: bool,
    kind: DeviceType,
}

/// What kind of unit it is (SPC-4, table 144).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeviceType {
    Disk,
    Cd,
}

impl UnitOptions {
    /// A writable, removable disk with a write cache, as USB sticks say of themselves. A disk of
    /// 0 blocks has no medium; one that would not end below 2^64 bytes is cut there.
    #[must_use]
    pub fn new(block_size: BlockSize, blocks: u64) -> Self {
        let mut options = Self {
            block_size,
            blocks: 0,
            vendor: text("Virtual"),
            product: text("USB Disk"),
            revision: text("1.0"),
            serial: String::new(),
            read_only: false,
            removable: true,
            lockable: true,
            write_cache: true,
            discard: false,
            kind: DeviceType::Disk,
        };
        options.set_blocks(blocks);
        options
    }

    /// A CD or, above 74 minutes' worth of blocks, a DVD, of so many blocks of 2048 bytes: what an
    /// ISO 9660 image is. It is read-only and removable, and a drive without one has 0 blocks.
    #[must_use]
    pub fn cd(blocks: u64) -> Self {
        Self {
            product: text("USB CD-ROM"),
            read_only: true,
            kind: DeviceType::Cd,
            ..Self::new(BlockSize::BYTES_2048, blocks)
        }
    }

    /// The vendor as INQUIRY tells it: 8 characters.
    ///
    /// Here and in the other texts what is longer is cut, and characters other than printable
    /// ASCII become `?` (SPC-4, 4.3.1).
    #[must_use]
    pub fn vendor(mut self, vendor: &str) -> Self {
        self.vendor = text(vendor);
        self
    }

    /// The product: 16 characters.
    #[must_use]
    pub fn product(mut self, product: &str) -> Self {
        self.product = text(product);
        self
    }

    /// The product's revision: 4 characters.
    #[must_use]
    pub fn revision(mut self, revision: &str) -> Self {
        self.revision = text(revision);
        self
    }

    /// The unit's serial number: up to 200 characters, none at first. It is another than that of
    /// the USB device, which may have many units; with one unit let both be the same. Hosts know a
    /// unit by it, so no two may have the same.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = serial.chars().take(SERIAL).map(printable).collect();
        self
    }

    /// Writes are refused, and the host is told so beforehand; those to a CD always are.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only || self.is_cd();
        self
    }

    /// The medium may be ejected. Hosts look after a removable medium every few seconds.
    #[must_use]
    pub fn removable(mut self, removable: bool) -> Self {
        self.removable = removable;
        self
    }

    /// Whether the host may lock a removable medium in (PREVENT ALLOW MEDIUM REMOVAL), as it may at
    /// first. macOS stops to ask whether a medium is there once it may: where one is to be exchanged
    /// or removed under it, forbid that. A medium that is not removable is never locked.
    #[must_use]
    pub fn lockable(mut self, lockable: bool) -> Self {
        self.lockable = lockable;
        self
    }

    /// With a write cache (as at first) a write is durable when the host flushes or asks for it
    /// (FUA); without one every write is.
    #[must_use]
    pub fn write_cache(mut self, write_cache: bool) -> Self {
        self.write_cache = write_cache;
        self
    }

    /// Blocks that the host gives back (UNMAP, WRITE SAME with UNMAP) become
    /// [`BlockOp::Zero`](crate::BlockOp::Zero) with `discard`, and the unit says that it is thinly
    /// provisioned. Without, the host cannot give any back.
    #[must_use]
    pub fn discard(mut self, discard: bool) -> Self {
        self.discard = discard;
        self
    }

    pub(crate) fn set_blocks(&mut self, blocks: u64) {
        let limit = u64::MAX.checked_div(self.block_size.bytes());
        self.blocks = blocks.min(limit.unwrap_or(0));
    }

    pub(crate) const fn is_cd(&self) -> bool {
        matches!(self.kind, DeviceType::Cd)
    }

    pub(crate) const fn can_lock(&self) -> bool {
        self.lockable && self.removable
    }

    pub(crate) fn knows(&self, entry: &Entry) -> bool {
        match entry.scope {
            Scope::All => true,
            Scope::Disk => !self.is_cd(),
            Scope::Cd => self.is_cd(),
            Scope::Discarding => self.discard && !self.is_cd(),
            Scope::Keeping => !self.discard && !self.is_cd(),
            Scope::Lockable => self.can_lock(),
        }
    }

    /// Bytes in a block.
    #[must_use]
    pub const fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// How many blocks there are.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Whether writes are refused.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Bytes in all.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size.bytes())
    }
}

/// The longest serial number: with vendor and product before it, it fits a designator, whose length is
/// one byte (SPC-4, 7.8.6).
const SERIAL: usize = 200;

fn printable(character: char) -> char {
    match character {
        ' '..='~' => character,
        _ => '?',
    }
}

/// Left-aligned, filled with spaces.
fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.chars().map(printable)) {
        *to = u8::try_from(from).unwrap_or(b'?');
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_filled_and_made_printable() {
        let options = UnitOptions::new(BlockSize::BYTES_512, 1)
            .vendor("Größe\n and more")
            .product("x");
        assert_eq!(&options.vendor, b"Gr??e? a");
        assert_eq!(&options.product, b"x               ");
    }

    #[test]
    fn no_disk_ends_beyond_64_bits() {
        let options = UnitOptions::new(BlockSize::BYTES_4096, u64::MAX);
        assert_eq!(options.blocks(), u64::MAX / 4096);
        assert!(options.capacity() > u64::MAX - 4096);
    }
}
