//! Blocks on their way between host and store, in bounded pieces.

use core::mem;

use bytes::{Bytes, BytesMut};
use usb_transfer::Segments;

use crate::{BlockError, BlockSize, BlockToken};

use super::Sense;

/// The most that one `Read` asks for, in bytes: as much as one command of Linux does, which is
/// thus one operation (`drivers/usb/storage/scsiglue.c`: 2048 sectors at SuperSpeed).
pub(crate) const READ_CHUNK: u32 = 1 << 20;

/// The most that one `WantOut` asks for, and so the most that one `Write` carries, in bytes.
pub(crate) const WRITE_CHUNK: u32 = 1 << 20;

/// Bytes of the disk, whole blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Extent {
    /// Takes up to `limit` bytes off the front.
    pub(crate) fn split_to(&mut self, limit: u32) -> (u64, u32) {
        let taken = u32::try_from(self.length).unwrap_or(u32::MAX).min(limit);
        let offset = self.offset;
        self.offset = offset.saturating_add(u64::from(taken));
        self.length = self.length.saturating_sub(u64::from(taken));
        (offset, taken)
    }
}

/// An operation that is out at the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flight {
    pub(crate) token: BlockToken,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Flight {
    /// The block that a store names as bad, if it lies in this operation; else its first.
    fn bad_block(&self, offset: u64, size: BlockSize) -> u64 {
        let last = self.length.saturating_sub(1);
        let offset = offset.clamp(self.offset, self.offset.saturating_add(last));
        offset.checked_div(size.bytes()).unwrap_or(0)
    }

    pub(crate) fn sense(&self, error: BlockError, medium: Sense, size: BlockSize) -> Sense {
        match error {
            BlockError::Medium { offset } => medium.with_information(self.bad_block(offset, size)),
            other => Sense::of_store(other, medium),
        }
    }
}

/// What a command in progress does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing before the store or the transport has done its part.
    Wait,
    /// Where and how much, and whether what comes is looked at.
    Read(u64, u32, bool),
    /// Where and what, and whether it is to be durable whatever the cache is.
    Write(u64, Bytes, bool),
    /// Which bytes, and whether they may be given back.
    Zero(Extent, bool),
    Flush,
    /// The medium is to leave.
    Eject,
    In(Segments),
    WantOut(u32),
    /// All that the command needs of the host is there.
    Gathered,
    Done(Result<(), Sense>),
}

/// Blocks to the host, or only checked.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) left: Extent,
    /// The data goes nowhere: VERIFY.
    pub(crate) verify: bool,
    pub(crate) flight: Option<Flight>,
    pub(crate) ready: Segments,
    pub(crate) failed: Option<Sense>,
}

/// What a store gave, cut to what was asked of it; less is a failure of the store.
#[inline]
pub(crate) fn checked(
    flight: &Flight,
    result: Result<Segments, BlockError>,
    size: BlockSize,
) -> Result<Segments, Sense> {
    let mut data = result.map_err(|error| flight.sense(error, Sense::READ_ERROR, size))?;
    let length = usize::try_from(flight.length).unwrap_or(usize::MAX);
    data.truncate(length);
    if data.len() < length {
        return Err(Sense::INTERNAL_FAILURE);
    }
    Ok(data)
}

impl Reading {
    pub(crate) const fn new(left: Extent, verify: bool) -> Self {
        Self {
            left,
            verify,
            flight: None,
            ready: Segments::new(),
            failed: None,
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        if !self.ready.is_empty() {
            return Step::In(mem::take(&mut self.ready));
        }
        if let Some(sense) = self.failed {
            return Step::Done(Err(sense));
        }
        if self.flight.is_some() {
            return Step::Wait;
        }
        if self.left.length == 0 {
            return Step::Done(Ok(()));
        }
        let (offset, length) = self.left.split_to(READ_CHUNK);
        Step::Read(offset, length, false)
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        result: Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        match checked(&flight, result, size) {
            Ok(data) if !self.verify => self.ready = data,
            Ok(_) => {}
            Err(sense) => self.failed = Some(sense),
        }
    }
}

/// Blocks from the host. One operation is out at a time, and what the next one needs is taken
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Writing {
    /// Not yet handed to the store.
    pub(crate) left: Extent,
    /// Not yet come from the host.
    pub(crate) missing: u64,
    /// The host asks for it past the cache (FUA).
    pub(crate) forced: bool,
    /// What was asked of the transport and has not come.
    pub(crate) wanted: u32,
    /// The start of a block whose rest has not come: the one thing that is copied.
    pub(crate) carry: BytesMut,
    /// A block completed from the carry, then the blocks behind it; both may be empty.
    pub(crate) block: Bytes,
    pub(crate) body: Bytes,
    pub(crate) flight: Option<Flight>,
    pub(crate) failed: Option<Sense>,
}

impl Writing {
    pub(crate) fn new(left: Extent, forced: bool) -> Self {
        Self {
            left,
            missing: left.length,
            forced,
            wanted: 0,
            carry: BytesMut::new(),
            block: Bytes::new(),
            body: Bytes::new(),
            flight: None,
            failed: None,
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        if let (Some(sense), None) = (self.failed, &self.flight) {
            return Step::Done(Err(sense));
        }
        if self.flight.is_none() {
            let mut data = mem::take(&mut self.block);
            if data.is_empty() {
                data = mem::take(&mut self.body);
            }
            if !data.is_empty() {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let (offset, _) = self.left.split_to(length);
                return Step::Write(offset, data, self.forced);
            }
        }
        let is_full = !self.block.is_empty() || !self.body.is_empty();
        if is_full || self.wanted > 0 || self.failed.is_some() {
            Step::Wait
        } else if self.missing > 0 {
            let wanted = u32::try_from(self.missing).unwrap_or(u32::MAX);
            self.wanted = wanted.min(WRITE_CHUNK);
            Step::WantOut(self.wanted)
        } else if self.flight.is_some() {
            Step::Wait
        } else {
            Step::Done(Ok(()))
        }
    }

    /// Takes data, if it was wanted. More than was wanted is cut.
    pub(crate) fn take(&mut self, mut data: Bytes, size: BlockSize) {
        if self.wanted == 0 {
            return;
        }
        data.truncate(usize::try_from(self.wanted).unwrap_or(usize::MAX));
        self.wanted = 0;
        self.missing = self.missing.saturating_sub(data.len() as u64);
        let size = size.get() as usize;
        if !self.carry.is_empty() {
            let rest = size.saturating_sub(self.carry.len()).min(data.len());
            self.carry.extend_from_slice(&data.split_to(rest));
            if self.carry.len() == size {
                self.block = mem::take(&mut self.carry).freeze();
            }
        }
        let odd = data.len().checked_rem(size).unwrap_or(0);
        let tail = data.split_off(data.len().saturating_sub(odd));
        if !tail.is_empty() {
            self.carry.reserve(size);
            self.carry.extend_from_slice(&tail);
        }
        self.body = data;
    }

    pub(crate) fn needs_store(&self) -> bool {
        self.failed.is_none()
            && self.flight.is_none()
            && !(self.block.is_empty() && self.body.is_empty())
    }

    pub(crate) fn fail(&mut self, flight: Flight, error: BlockError, size: BlockSize) {
        self.failed = Some(flight.sense(error, Sense::WRITE_ERROR, size));
    }
}
