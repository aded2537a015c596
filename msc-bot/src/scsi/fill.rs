//! Blocks that become all the same, or nothing.

use bytes::Bytes;
use usb_transfer::Segments;

use super::Sense;
use super::compare::repeated;
use super::transfer::{Extent, Flight, Step};
use crate::{BlockError, BlockSize};

/// WRITE SAME of a block that is not all zeros.
#[derive(Debug)]
pub(crate) struct Filling {
    left: Extent,
    blocks: Bytes,
    pub(crate) flight: Option<Flight>,
    failed: Option<Sense>,
}

impl Filling {
    pub(crate) fn new(left: Extent, block: &Bytes) -> Self {
        Self {
            left,
            blocks: repeated(block, left.length),
            flight: None,
            failed: None,
        }
    }

    pub(crate) const fn needs_store(&self) -> bool {
        self.failed.is_none() && self.flight.is_none() && self.left.length > 0
    }

    pub(crate) fn step(&mut self) -> Step {
        if self.flight.is_some() {
            return Step::Wait;
        }
        if let Some(sense) = self.failed {
            return Step::Done(Err(sense));
        }
        let limit = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let (offset, length) = self.left.split_to(limit);
        if length == 0 {
            return Step::Done(Ok(()));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let data = self.blocks.slice(..length.min(self.blocks.len()));
        Step::Write(offset, data, false)
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        result: &Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        if let Err(error) = result {
            self.failed = Some(flight.sense(*error, Sense::WRITE_ERROR, size));
        }
    }
}

/// The most that one `Zero` is about, in bytes: a store that has to write the zeros does not keep a
/// host that aborts the command waiting for long.
pub(crate) const ZERO_CHUNK: u32 = 64 << 20;

/// Extents that are to read as zeros: UNMAP, and WRITE SAME of zeros.
#[derive(Debug)]
pub(crate) struct Zeroing {
    /// What is left of the extent in progress.
    left: Extent,
    /// Block descriptors of UNMAP, all of them inside the medium, and the block size.
    descriptors: Bytes,
    size: u64,
    discard: bool,
    pub(crate) flight: Option<Flight>,
    failed: Option<Sense>,
}

/// Bytes of an UNMAP block descriptor (SBC-3, table 113).
pub(crate) const DESCRIPTOR: usize = 16;

fn descriptor(bytes: &[u8]) -> Option<(u64, u64)> {
    let [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3, ..] = *bytes.get(..DESCRIPTOR)? else {
        return None;
    };
    let lba = u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
    Some((lba, u64::from(u32::from_be_bytes([c0, c1, c2, c3]))))
}

/// First block and number of blocks of each whole descriptor.
pub(crate) fn descriptors(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    bytes.chunks_exact(DESCRIPTOR).filter_map(descriptor)
}

impl Zeroing {
    pub(crate) const fn one(extent: Extent, discard: bool) -> Self {
        Self::new(extent, Bytes::new(), 0, discard)
    }

    /// Gives back what descriptors say, in blocks of a size.
    pub(crate) const fn discard(descriptors: Bytes, size: u64) -> Self {
        let nothing = Extent {
            offset: 0,
            length: 0,
        };
        Self::new(nothing, descriptors, size, true)
    }

    const fn new(left: Extent, descriptors: Bytes, size: u64, discard: bool) -> Self {
        Self {
            left,
            descriptors,
            size,
            discard,
            flight: None,
            failed: None,
        }
    }

    /// The next piece. Pieces end at multiples of their size, so that a store in a file can give
    /// back whole blocks of its own.
    fn next(&mut self) -> Option<Extent> {
        while self.left.length == 0 {
            let (lba, count) = descriptor(&self.descriptors)?;
            self.descriptors = self.descriptors.slice(DESCRIPTOR..);
            self.left = Extent {
                offset: lba.saturating_mul(self.size),
                length: count.saturating_mul(self.size),
            };
        }
        let inside = self.left.offset.checked_rem(ZERO_CHUNK.into()).unwrap_or(0);
        let inside = u32::try_from(inside).unwrap_or(0);
        let (offset, length) = self.left.split_to(ZERO_CHUNK.saturating_sub(inside));
        Some(Extent {
            offset,
            length: length.into(),
        })
    }

    fn is_over(&self) -> bool {
        self.left.length == 0 && descriptors(&self.descriptors).all(|(_, count)| count == 0)
    }

    pub(crate) fn needs_store(&self) -> bool {
        self.failed.is_none() && self.flight.is_none() && !self.is_over()
    }

    pub(crate) fn step(&mut self) -> Step {
        if self.flight.is_some() {
            return Step::Wait;
        }
        if let Some(sense) = self.failed {
            return Step::Done(Err(sense));
        }
        match self.next() {
            Some(extent) => Step::Zero(extent, self.discard),
            None => Step::Done(Ok(())),
        }
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        result: &Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        if let Err(error) = result {
            self.failed = Some(flight.sense(*error, Sense::WRITE_ERROR, size));
        }
    }
}
