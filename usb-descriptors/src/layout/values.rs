//! Values of a field that repeats.

use core::iter::FusedIterator;

use super::little_endian;

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
