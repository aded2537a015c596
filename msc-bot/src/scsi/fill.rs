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
    durable: bool,
    pub(crate) flight: Option<Flight>,
    failed: Option<Sense>,
}

impl Filling {
    pub(crate) fn new(left: Extent, block: &Bytes, durable: bool) -> Self {
        Self {
            left,
            blocks: repeated(block, left.length),
            durable,
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
        Step::Write(offset, data, self.durable)
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

/// Extents that are to read as zeros: UNMAP, and WRITE SAME of zeros.
#[derive(Debug)]
pub(crate) struct Zeroing {
    extents: Extents,
    discard: bool,
    pub(crate) flight: Option<Flight>,
    failed: Option<Sense>,
}

#[derive(Debug)]
pub(crate) enum Extents {
    One(Extent),
    /// Block descriptors of UNMAP, all of them inside the medium, and the block size.
    Descriptors(Bytes, u64),
}

impl Extents {
    /// The next one that is not empty.
    fn next(&mut self) -> Option<Extent> {
        match self {
            Self::One(extent) => {
                let next = *extent;
                extent.length = 0;
                (next.length > 0).then_some(next)
            }
            Self::Descriptors(bytes, size) => loop {
                let (lba, count) = descriptor(bytes)?;
                *bytes = bytes.slice(DESCRIPTOR..);
                if count > 0 {
                    return Some(Extent {
                        offset: lba.saturating_mul(*size),
                        length: count.saturating_mul(*size),
                    });
                }
            },
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::One(extent) => extent.length == 0,
            Self::Descriptors(bytes, _) => descriptors(bytes).all(|(_, count)| count == 0),
        }
    }
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
    pub(crate) const fn new(extents: Extents, discard: bool) -> Self {
        Self {
            extents,
            discard,
            flight: None,
            failed: None,
        }
    }

    pub(crate) fn needs_store(&self) -> bool {
        self.failed.is_none() && self.flight.is_none() && !self.extents.is_empty()
    }

    pub(crate) fn step(&mut self) -> Step {
        if self.flight.is_some() {
            return Step::Wait;
        }
        if let Some(sense) = self.failed {
            return Step::Done(Err(sense));
        }
        match self.extents.next() {
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
