//! What a unit is.

use alloc::string::String;

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
pub struct UnitOptions {
    pub(crate) block_size: BlockSize,
    pub(crate) blocks: u64,
    pub(crate) vendor: [u8; 8],
    pub(crate) product: [u8; 16],
    pub(crate) revision: [u8; 4],
    pub(crate) serial: String,
    pub(crate) read_only: bool,
    pub(crate) removable: bool,
    pub(crate) write_cache: bool,
}

impl UnitOptions {
    /// A writable, removable disk with a write cache, as USB sticks say of themselves. A disk of
    /// 0 blocks has no medium; one that would not end below 2^64 bytes is cut there.
    #[must_use]
    pub fn new(block_size: BlockSize, blocks: u64) -> Self {
        let limit = u64::MAX.checked_div(block_size.bytes()).unwrap_or(0);
        Self {
            block_size,
            blocks: blocks.min(limit),
            vendor: text("Virtual"),
            product: text("USB Disk"),
            revision: text("1.0"),
            serial: String::new(),
            read_only: false,
            removable: true,
            write_cache: true,
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

    /// The unit's serial number: up to 64 characters, none at first. It is another than that of
    /// the USB device, which may have many units; with one unit let both be the same.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = serial.chars().take(64).map(printable).collect();
        self
    }

    /// Writes are refused, and the host is told so beforehand.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// The medium may be ejected. Hosts look after a removable medium every few seconds.
    #[must_use]
    pub fn removable(mut self, removable: bool) -> Self {
        self.removable = removable;
        self
    }

    /// With a write cache (as at first) a write is durable when the host flushes or asks for it
    /// (FUA); without one every write is.
    #[must_use]
    pub fn write_cache(mut self, write_cache: bool) -> Self {
        self.write_cache = write_cache;
        self
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

    /// Bytes in all.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size.bytes())
    }
}

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
