//! Blocks of the medium and bytes of the host, side by side.

use bytes::Bytes;
use usb_transfer::Segments;

use super::Sense;
use super::transfer::{Extent, Flight, READ_CHUNK, Step, checked};
use super::work::take_wanted;
use crate::{BlockError, BlockSize};

/// VERIFY with data: the host's bytes are compared with the medium's, or each block of the medium
/// with one block of the host's. WRITE AND VERIFY: the host's bytes are written first.
#[derive(Debug)]
pub(crate) struct Comparing {
    /// Not yet begun.
    left: Extent,
    /// The block that all are compared with, repeated to a chunk.
    pattern: Option<Bytes>,
    writes: bool,
    /// Where the piece in progress is, and how many bytes it has; 0 between two.
    at: u64,
    piece: u32,
    stage: Stage,
    wanted: u32,
    host: Segments,
    medium: Option<Segments>,
    pub(crate) flight: Option<Flight>,
    failed: Option<Sense>,
}

/// What is next, or in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Write,
    Writing,
    Read,
    Reading,
}

/// Bytes that a block is repeated to, so that one operation does for many blocks.
const REPEATED: usize = 64 << 10;

/// A block over and over, for at most so many bytes.
pub(crate) fn repeated(block: &Bytes, length: u64) -> Bytes {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(REPEATED);
    let times = length.checked_div(block.len()).unwrap_or(0);
    if times <= 1 {
        return block.clone();
    }
    block.repeat(times).into()
}

impl Comparing {
    /// With as many bytes of the host's, which may be written before.
    pub(crate) const fn new(left: Extent, writes: bool) -> Self {
        Self {
            left,
            pattern: None,
            writes,
            at: 0,
            piece: 0,
            stage: Stage::Read,
            wanted: 0,
            host: Segments::new(),
            medium: None,
            flight: None,
            failed: None,
        }
    }

    /// With one block.
    pub(crate) fn with_block(left: Extent, block: &Bytes) -> Self {
        let mut comparing = Self::new(left, false);
        comparing.pattern = Some(repeated(block, left.length));
        comparing
    }

    /// What the host is to send.
    pub(crate) const fn missing(&self) -> u64 {
        match self.pattern {
            Some(_) => 0,
            None => self.left.length,
        }
    }

    fn has_host_data(&self) -> bool {
        self.host.len() >= usize::try_from(self.piece).unwrap_or(usize::MAX)
    }

    pub(crate) fn needs_store(&self) -> bool {
        let next = match (self.piece, self.stage) {
            (0, _) => self.left.length > 0 && !self.writes,
            (_, Stage::Write) => self.has_host_data(),
            (_, stage) => stage == Stage::Read,
        };
        next && self.failed.is_none()
    }

    pub(crate) fn step(&mut self) -> Step {
        if let (Some(sense), None) = (self.failed, &self.flight) {
            return Step::Done(Err(sense));
        }
        if self.piece == 0 {
            let limit = match &self.pattern {
                Some(pattern) => u32::try_from(pattern.len()).unwrap_or(READ_CHUNK),
                None => READ_CHUNK,
            };
            (self.at, self.piece) = self.left.split_to(limit);
            if self.piece == 0 {
                return Step::Done(Ok(()));
            }
            self.stage = if self.writes {
                Stage::Write
            } else {
                Stage::Read
            };
        }
        match self.stage {
            Stage::Read => {
                self.stage = Stage::Reading;
                return Step::Read(self.at, self.piece, true);
            }
            Stage::Write if self.has_host_data() => {
                self.stage = Stage::Writing;
                return Step::Write(self.at, self.host.to_bytes(), true);
            }
            _ => {}
        }
        let is_asking = self.wanted > 0 || self.pattern.is_some() || self.failed.is_some();
        if self.has_host_data() || is_asking {
            return Step::Wait;
        }
        let came = u32::try_from(self.host.len()).unwrap_or(u32::MAX);
        self.wanted = self.piece.saturating_sub(came);
        Step::WantOut(self.wanted)
    }

    pub(crate) fn take(&mut self, data: Bytes) {
        take_wanted(&mut self.host, &mut self.wanted, data);
        self.compare();
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        result: Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        if self.stage == Stage::Writing {
            match result {
                Ok(_) => self.stage = Stage::Read,
                Err(error) => self.failed = Some(flight.sense(error, Sense::WRITE_ERROR, size)),
            }
            return;
        }
        match checked(&flight, result, size) {
            Ok(data) => self.medium = Some(data),
            Err(sense) => self.failed = Some(sense),
        }
        self.compare();
    }

    /// Once both have come.
    fn compare(&mut self) {
        let piece = usize::try_from(self.piece).unwrap_or(usize::MAX);
        let host = match &self.pattern {
            Some(pattern) => pattern.slice(..piece.min(pattern.len())),
            None if self.host.len() < piece => return,
            None => self.host.to_bytes(),
        };
        let Some(medium) = self.medium.take() else {
            return;
        };
        self.host = Segments::new();
        self.piece = 0;
        if medium.to_bytes() != host {
            self.failed = Some(Sense::MISCOMPARE);
        }
    }
}

/// COMPARE AND WRITE: blocks are written if they were as the host says.
#[derive(Debug)]
pub(crate) struct Swapping {
    extent: Extent,
    /// What the blocks must be, then what they become.
    expected: Bytes,
    new: Bytes,
    /// The host asks for it past the cache (FUA).
    forced: bool,
    stage: SwapStage,
    pub(crate) flight: Option<Flight>,
}

#[derive(Debug)]
enum SwapStage {
    Read,
    Write,
    Over(Result<(), Sense>),
}

impl Swapping {
    /// `data`: both halves.
    pub(crate) fn new(extent: Extent, mut data: Bytes, forced: bool) -> Self {
        let half = usize::try_from(extent.length).unwrap_or(usize::MAX);
        let new = data.split_off(half.min(data.len()));
        Self {
            extent,
            expected: data,
            new,
            forced,
            stage: SwapStage::Read,
            flight: None,
        }
    }

    pub(crate) const fn needs_store(&self) -> bool {
        self.flight.is_none() && !matches!(self.stage, SwapStage::Over(_))
    }

    pub(crate) fn step(&mut self) -> Step {
        if self.flight.is_some() {
            return Step::Wait;
        }
        let Extent { offset, length } = self.extent;
        match &self.stage {
            SwapStage::Read => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                Step::Read(offset, length, true)
            }
            SwapStage::Write => Step::Write(offset, self.new.clone(), self.forced),
            SwapStage::Over(result) => Step::Done(*result),
        }
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        result: Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        self.stage = match self.stage {
            SwapStage::Read => match checked(&flight, result, size) {
                Ok(data) => self.compare(&data.to_bytes()),
                Err(sense) => SwapStage::Over(Err(sense)),
            },
            SwapStage::Write | SwapStage::Over(_) => SwapStage::Over(match result {
                Ok(_) => Ok(()),
                Err(error) => Err(flight.sense(error, Sense::WRITE_ERROR, size)),
            }),
        };
    }

    /// The information is where they begin to differ, in bytes (SBC-3, 5.2).
    fn compare(&self, medium: &[u8]) -> SwapStage {
        let mut pairs = self.expected.iter().zip(medium);
        match pairs.position(|(expected, found)| expected != found) {
            None => SwapStage::Write,
            Some(at) => SwapStage::Over(Err(Sense::MISCOMPARE.with_information(at as u64))),
        }
    }
}
