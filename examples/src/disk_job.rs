//! What a host does with a disk: reads it, or writes it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use msc_bot::{Initiator, ScsiError, Unit};
use usb_transfer::{Completion, Frontend, HostEvent, Segments};

use crate::{Host, HostError, Store};

/// Something to be done with a disk, by [`Host::use_disk`].
pub trait DiskJob {
    /// Takes the results that are there and asks for more. Called once the disk is known, and
    /// whenever something was done. `true`: all is done.
    ///
    /// # Errors
    /// The job cannot go on.
    fn advance(&mut self, disk: &mut Initiator, unit: &Unit) -> Result<bool, HostError>;

    /// For how long not a byte may come or go.
    fn patience(&self) -> Duration {
        Host::PATIENCE
    }
}

/// Bytes that are asked for at once.
const PIECE: u32 = 1 << 20;
/// While one piece is looked at, the next are under way: on a long link, commands of several.
const AHEAD: usize = 8;

/// Blocks of a piece, of those that are left.
fn blocks_of_piece(unit: &Unit, left: u64) -> u32 {
    let piece = (PIECE / unit.block_size).max(1);
    u32::try_from(left).map_or(piece, |left| left.min(piece))
}

/// Reads a disk, in order, and hands each piece with its offset to a sink.
#[derive(Debug)]
pub struct ReadDisk<S> {
    sink: S,
    /// The offset of what comes next.
    offset: u64,
    /// The block to ask for next.
    next: u64,
    /// Pieces that were asked for.
    due: usize,
}

impl<S: FnMut(&Unit, u64, Segments) -> io::Result<()>> ReadDisk<S> {
    /// Begins with the first block.
    pub const fn new(sink: S) -> Self {
        Self {
            sink,
            offset: 0,
            next: 0,
            due: 0,
        }
    }
}

impl<S: FnMut(&Unit, u64, Segments) -> io::Result<()>> DiskJob for ReadDisk<S> {
    fn advance(&mut self, disk: &mut Initiator, unit: &Unit) -> Result<bool, HostError> {
        while let Some((_, result)) = disk.result() {
            let data = result?;
            let length = data.len() as u64;
            (self.sink)(unit, self.offset, data).map_err(HostError::Local)?;
            self.offset += length;
            self.due -= 1;
        }
        while self.due < AHEAD && self.next < unit.blocks {
            let blocks = blocks_of_piece(unit, unit.blocks - self.next);
            disk.read(self.next, blocks);
            self.next += u64::from(blocks);
            self.due += 1;
        }
        Ok(self.due == 0)
    }
}

/// Writes the content of a store to a disk, from the first block on.
#[derive(Debug)]
pub struct WriteDisk<S, P> {
    source: S,
    /// Bytes of it.
    length: u64,
    /// Only what is not on the disk already.
    differences: bool,
    /// Told how many bytes are on the disk.
    progress: P,
    next: u64,
    done: u64,
    steps: VecDeque<Step>,
    is_flushed: bool,
}

/// What the disk was asked, in order.
#[derive(Debug)]
enum Step {
    Compare { lba: u64, data: Bytes },
    Write { length: u64 },
    Flush,
}

impl<S: Store, P: FnMut(u64)> WriteDisk<S, P> {
    /// Writes the first `length` bytes of `source`. With `differences` each piece is read first,
    /// and written only if it is not there already: so what was interrupted can be continued.
    /// `progress` is told how many bytes are on the disk.
    pub const fn new(source: S, length: u64, differences: bool, progress: P) -> Self {
        Self {
            source,
            length,
            differences,
            progress,
            next: 0,
            done: 0,
            steps: VecDeque::new(),
            is_flushed: false,
        }
    }

    fn fits(&self, unit: &Unit) -> Result<(), HostError> {
        let (length, block_size) = (self.length, unit.block_size);
        let wrong = if length > unit.capacity() {
            let capacity = unit.capacity();
            format!("{length} bytes are more than the disk has, {capacity}")
        } else if length % u64::from(block_size) != 0 {
            format!("{length} bytes are not whole blocks of {block_size}")
        } else {
            return Ok(());
        };
        let kind = io::ErrorKind::InvalidInput;
        Err(HostError::Local(io::Error::new(kind, wrong)))
    }

    fn take(&mut self, disk: &mut Initiator, result: Segments) {
        match self.steps.pop_front() {
            Some(Step::Compare { lba, data }) => {
                let length = data.len() as u64;
                if is_same(result, &data) {
                    self.count(length);
                } else {
                    disk.write(lba, data);
                    self.steps.push_back(Step::Write { length });
                }
            }
            Some(Step::Write { length }) => self.count(length),
            Some(Step::Flush) => self.is_flushed = true,
            None => {}
        }
    }

    fn count(&mut self, length: u64) {
        self.done += length;
        (self.progress)(self.done);
    }
}

impl<S: Store, P: FnMut(u64)> DiskJob for WriteDisk<S, P> {
    fn advance(&mut self, disk: &mut Initiator, unit: &Unit) -> Result<bool, HostError> {
        self.fits(unit)?;
        while let Some((_, result)) = disk.result() {
            self.take(disk, result?);
        }
        let block_size = u64::from(unit.block_size);
        while self.steps.len() < AHEAD && self.next < self.length {
            let blocks = blocks_of_piece(unit, (self.length - self.next) / block_size);
            let data = self.source.read(self.next, blocks * unit.block_size);
            let data = data.map_err(HostError::Local)?;
            let (lba, length) = (self.next / block_size, data.len() as u64);
            if self.differences {
                disk.read(lba, blocks);
                self.steps.push_back(Step::Compare { lba, data });
            } else {
                disk.write(lba, data);
                self.steps.push_back(Step::Write { length });
            }
            self.next += length;
        }
        if self.steps.is_empty() && !self.is_flushed {
            disk.flush();
            self.steps.push_back(Step::Flush);
        }
        Ok(self.is_flushed)
    }

    /// All that was written may go to a slow medium only when it is flushed.
    fn patience(&self) -> Duration {
        const { Duration::from_secs(300) }
    }
}

fn is_same(pieces: Segments, whole: &[u8]) -> bool {
    let mut rest = whole;
    for piece in pieces {
        match rest.strip_prefix(&piece[..]) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

/// A disk that is being used for a job.
pub(crate) struct DiskUser<'a, J> {
    initiator: Initiator,
    job: &'a mut J,
    outcome: Option<Result<Unit, HostError>>,
    is_over: bool,
}

impl<'a, J: DiskJob> DiskUser<'a, J> {
    pub(crate) const fn new(initiator: Initiator, job: &'a mut J) -> Self {
        Self {
            initiator,
            job,
            outcome: None,
            is_over: false,
        }
    }

    pub(crate) fn patience(&self) -> Duration {
        self.job.patience()
    }

    /// What became of it, once.
    pub(crate) fn outcome(&mut self) -> Option<Result<Unit, HostError>> {
        self.outcome.take()
    }

    fn advance(&mut self) -> Result<Option<Unit>, HostError> {
        let Some(unit) = self.initiator.unit().cloned() else {
            let error: Option<ScsiError> = self.initiator.error();
            return error.map_or(Ok(None), |error| Err(error.into()));
        };
        let is_done = self.job.advance(&mut self.initiator, &unit)?;
        match self.initiator.error() {
            Some(error) if !is_done => Err(error.into()),
            _ => Ok(is_done.then_some(unit)),
        }
    }
}

impl<J: DiskJob> Frontend for DiskUser<'_, J> {
    fn poll(&mut self) -> Option<HostEvent> {
        if !self.is_over {
            if let Some(outcome) = self.advance().transpose() {
                self.is_over = true;
                self.outcome = Some(outcome);
                self.initiator.close();
            }
        }
        self.initiator.poll()
    }

    fn complete(&mut self, completion: Completion) {
        self.initiator.complete(completion);
    }

    fn detach(&mut self) {
        self.initiator.detach();
    }

    fn pending(&self) -> usize {
        self.initiator.pending()
    }
}
