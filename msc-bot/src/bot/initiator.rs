//! The host's side: a disk behind any function.

use alloc::collections::VecDeque;
use alloc::string::String;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::SetupPacket;
use usb_transfer::{Completion, DeviceDescriptors, Frontend, HostEvent, Segments, Status};

use super::transport::{DataPhase, Outcome, Pipes, Transport};
use crate::{Sense, SenseKey};

/// The most that one command moves, in bytes: what Linux asks of a disk at high speed
/// (`drivers/usb/storage/scsiglue.c`: 240 sectors), so that every disk is used to it.
const MAX_COMMAND: u32 = 240 * 512;

/// How often a command is tried when it failed for a reason that may be gone.
const ATTEMPTS: u8 = 3;

/// The largest block of a disk that is taken, in bytes.
const MAX_BLOCK: u32 = 64 * 1024;

/// Names one request to an [`Initiator`] from its call to its result.
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
pub struct Ticket(u64);

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
    /// The device broke the rules of Bulk-Only Transport again and again, or reported a phase
    /// error; it was reset each time.
    #[error("the device does not follow Bulk-Only Transport")]
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

/// A device has no interface of class 08/06/50 with a bulk endpoint in each direction.
///
/// ```
/// use msc_bot::{Initiator, NoBulkOnly};
/// use usb_descriptors::Speed;
/// use usb_transfer::DeviceDescriptors;
/// let nothing = DeviceDescriptors::new(Speed::High, []);
/// let error: NoBulkOnly = Initiator::new(&nothing).unwrap_err();
/// assert_eq!(error.to_string(), "the device has no Bulk-Only mass storage interface");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the device has no Bulk-Only mass storage interface")]
#[non_exhaustive]
pub struct NoBulkOnly;

/// Uses a USB disk: a [`Frontend`] for the first unit of any Bulk-Only device.
///
/// It configures the device and gets to know the unit by itself; requests may be made at once and
/// are done in their order. Long ones are split into commands of at most 120 KiB. Wrapper, data
/// and status of a command are submitted together. Stalls are cleared, broken transport is reset,
/// and what failed for a reason that may be gone is tried three times.
///
/// It ends by [`close`](Self::close) or when the device fails; then every request has its result.
///
/// The example at [`BotDevice`](crate::BotDevice) shows one at work.
#[derive(Debug)]
pub struct Initiator {
    transport: Transport,
    pipes: Pipes,
    phase: Phase,
    /// The last command failed: the sense is asked for first.
    asks_sense: bool,
    attempts: u8,
    max_lun: u8,
    inquiry: Option<Unit>,
    unit: Option<Unit>,
    jobs: VecDeque<Job>,
    results: VecDeque<(Ticket, Result<Segments, ScsiError>)>,
    next_ticket: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Configure,
    MaxLun,
    Inquiry,
    TestUnitReady,
    ReadCapacity10,
    ReadCapacity16,
    Jobs,
    Over(ScsiError),
}

#[derive(Debug)]
struct Job {
    ticket: Ticket,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Read { lba: u64, left: u32, data: Segments },
    Write { lba: u64, data: Bytes },
    Flush,
}

impl Initiator {
    /// Will use the device that is so described.
    ///
    /// # Errors
    /// [`NoBulkOnly`] where it is no disk of this kind.
    pub fn new(device: &DeviceDescriptors) -> Result<Self, NoBulkOnly> {
        let pipes = Pipes::find(device).ok_or(NoBulkOnly)?;
        Ok(Self {
            transport: Transport::new(pipes),
            pipes,
            phase: Phase::Configure,
            asks_sense: false,
            attempts: 0,
            max_lun: 0,
            inquiry: None,
            unit: None,
            jobs: VecDeque::new(),
            results: VecDeque::new(),
            next_ticket: 0,
        })
    }

    /// The disk, once it is known.
    #[must_use]
    pub const fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// Why nothing more can be asked, if that is so.
    #[must_use]
    pub const fn error(&self) -> Option<ScsiError> {
        match self.phase {
            Phase::Over(error) => Some(error),
            _ => None,
        }
    }

    /// Reads so many blocks.
    pub fn read(&mut self, lba: u64, blocks: u32) -> Ticket {
        self.request(Work::Read {
            lba,
            left: blocks,
            data: Segments::new(),
        })
    }

    /// Writes whole blocks. They are durable when a later [`flush`](Self::flush) is done. After an
    /// error any of them may be written.
    pub fn write(&mut self, lba: u64, data: Bytes) -> Ticket {
        self.request(Work::Write { lba, data })
    }

    /// Makes all that was written before durable. A disk that does not know how has no cache.
    pub fn flush(&mut self) -> Ticket {
        self.request(Work::Flush)
    }

    /// The result of the oldest request that is done: its data, if it was a read.
    pub fn result(&mut self) -> Option<(Ticket, Result<Segments, ScsiError>)> {
        self.results.pop_front()
    }

    /// Ends the use of the device: what is not done fails.
    pub fn close(&mut self) {
        self.transport.close(Status::SHUTDOWN);
        self.follow();
    }

    fn request(&mut self, work: Work) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        match self.error() {
            Some(error) => self.results.push_back((ticket, Err(error))),
            None => self.jobs.push_back(Job { ticket, work }),
        }
        ticket
    }

    /// Takes what became of the last command.
    fn follow(&mut self) {
        let Some(outcome) = self.transport.outcome() else {
            return;
        };
        let asked_sense = core::mem::replace(&mut self.asks_sense, false);
        match outcome {
            Outcome::Passed { data, .. } if asked_sense => {
                let sense = Sense::parse(&data.to_bytes());
                self.fail(sense.map_or(ScsiError::NoReason, ScsiError::Sense));
            }
            Outcome::Passed { data, missing } => {
                self.attempts = 0;
                self.pass(data, missing);
            }
            Outcome::Failed if asked_sense => self.fail(ScsiError::NoReason),
            Outcome::Failed => self.asks_sense = true,
            // A device of one unit need not know the request (BOT 1.0, 3.2).
            Outcome::Refused(_) if self.phase == Phase::MaxLun => self.phase = Phase::Inquiry,
            Outcome::Refused(status) => self.transport.close(status),
            Outcome::Recovered => self.fail(ScsiError::Transport),
            Outcome::Dead(status) => self.end(ScsiError::Device(status)),
        }
        if let Some(Outcome::Dead(status)) = self.transport.outcome() {
            self.end(ScsiError::Device(status));
        }
    }

    fn pass(&mut self, data: Segments, missing: u32) {
        match self.phase {
            Phase::Configure => self.phase = Phase::MaxLun,
            Phase::MaxLun => {
                let answer = data.to_bytes();
                self.max_lun = answer.first().copied().unwrap_or(0).min(15);
                self.phase = Phase::Inquiry;
            }
            Phase::Inquiry => match inquiry(&data.to_bytes(), self.max_lun) {
                Some(unit) => {
                    self.inquiry = Some(unit);
                    self.phase = Phase::TestUnitReady;
                }
                None => self.give_up(ScsiError::Answer),
            },
            Phase::TestUnitReady => self.phase = Phase::ReadCapacity10,
            Phase::ReadCapacity10 => match *data.to_bytes() {
                // The disk is larger than this answer can say.
                [0xff, 0xff, 0xff, 0xff, _, _, _, _] => self.phase = Phase::ReadCapacity16,
                [l0, l1, l2, l3, s0, s1, s2, s3] => {
                    let last = u32::from_be_bytes([l0, l1, l2, l3]);
                    let size = u32::from_be_bytes([s0, s1, s2, s3]);
                    self.know(u64::from(last), size);
                }
                _ => self.give_up(ScsiError::Answer),
            },
            Phase::ReadCapacity16 => {
                let data = data.to_bytes();
                let last = data.first_chunk().map(|last| u64::from_be_bytes(*last));
                let size = data.get(8..).and_then(<[u8]>::first_chunk);
                match (last, size.map(|size| u32::from_be_bytes(*size))) {
                    (Some(last), Some(size)) => self.know(last, size),
                    _ => self.give_up(ScsiError::Answer),
                }
            }
            Phase::Jobs => self.pass_job(data, missing),
            Phase::Over(_) => {}
        }
    }

    fn know(&mut self, last: u64, block_size: u32) {
        let (Some(unit), 1..=MAX_BLOCK) = (self.inquiry.take(), block_size) else {
            return self.give_up(ScsiError::Answer);
        };
        self.unit = Some(Unit {
            blocks: last.saturating_add(1),
            block_size,
            ..unit
        });
        self.phase = Phase::Jobs;
    }

    /// A command of the first job was done, but for the bytes that are missing.
    fn pass_job(&mut self, got: Segments, missing: u32) {
        if missing > 0 {
            return self.finish_job(Err(ScsiError::Answer));
        }
        let block_size = self.unit.as_ref().map_or(1, |unit| unit.block_size);
        let Some(job) = self.jobs.front_mut() else {
            return;
        };
        let result = match &mut job.work {
            Work::Read { lba, left, data } => {
                let blocks = (*left).min(blocks_per_command(block_size));
                *lba = lba.saturating_add(u64::from(blocks));
                *left = left.saturating_sub(blocks);
                if data.is_empty() {
                    *data = got;
                } else {
                    data.append(got);
                }
                if *left > 0 {
                    return;
                }
                Ok(core::mem::take(data))
            }
            Work::Write { lba, data } => {
                let blocks = blocks_per_command(block_size);
                let length = usize::try_from(blocks.saturating_mul(block_size));
                let length = length.unwrap_or(usize::MAX).min(data.len());
                *lba = lba.saturating_add(u64::from(blocks));
                drop(data.split_to(length));
                if !data.is_empty() {
                    return;
                }
                Ok(Segments::new())
            }
            Work::Flush => Ok(Segments::new()),
        };
        self.finish_job(result);
    }

    fn finish_job(&mut self, result: Result<Segments, ScsiError>) {
        if let Some(job) = self.jobs.pop_front() {
            self.attempts = 0;
            self.results.push_back((job.ticket, result));
        }
    }

    /// A command failed: it is tried again where that may help.
    fn fail(&mut self, error: ScsiError) {
        let may_be_gone = match error {
            ScsiError::Sense(sense) => sense.key == SenseKey::UNIT_ATTENTION,
            ScsiError::Transport => true,
            _ => false,
        };
        self.attempts = self.attempts.saturating_add(1);
        if may_be_gone && self.attempts < ATTEMPTS {
            return;
        }
        self.attempts = 0;
        if self.phase == Phase::Jobs {
            let is_flush =
                matches!(self.jobs.front(), Some(job) if matches!(job.work, Work::Flush));
            if is_flush && error == ScsiError::Sense(Sense::INVALID_OPCODE) {
                return self.finish_job(Ok(Segments::new()));
            }
            return self.finish_job(Err(error));
        }
        self.give_up(error);
    }

    /// The disk cannot be used.
    fn give_up(&mut self, error: ScsiError) {
        self.end(error);
        self.transport.close(Status::SHUTDOWN);
    }

    fn end(&mut self, error: ScsiError) {
        if self.error().is_none() {
            self.phase = Phase::Over(error);
            let jobs = self.jobs.drain(..);
            self.results
                .extend(jobs.map(|job| (job.ticket, Err(error))));
        }
    }

    /// Starts the next command, if there is one.
    fn start(&mut self) {
        if self.asks_sense {
            // REQUEST SENSE (SPC-4, 6.39), fixed format.
            return self
                .transport
                .command(&[0x03, 0, 0, 0, 18, 0], DataPhase::In(18));
        }
        match self.phase {
            Phase::Configure => {
                let setup = SetupPacket::set_configuration(self.pipes.configuration);
                self.transport.control(setup);
            }
            Phase::MaxLun => self.transport.control(self.transport.get_max_lun()),
            Phase::Inquiry => {
                let inquiry = [0x12, 0, 0, 0, 36, 0];
                self.transport.command(&inquiry, DataPhase::In(36));
            }
            Phase::TestUnitReady => self.transport.command(&[0; 6], DataPhase::None),
            Phase::ReadCapacity10 => {
                let read_capacity = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                self.transport.command(&read_capacity, DataPhase::In(8));
            }
            Phase::ReadCapacity16 => {
                let mut read_capacity = [0; 16];
                if let Some(head) = read_capacity.first_chunk_mut() {
                    *head = [0x9e, 0x10];
                }
                if let Some(length) = read_capacity.get_mut(13) {
                    *length = 32;
                }
                self.transport.command(&read_capacity, DataPhase::In(32));
            }
            Phase::Jobs => self.start_job(),
            Phase::Over(_) => {}
        }
    }

    fn start_job(&mut self) {
        let block_size = self.unit.as_ref().map_or(1, |unit| unit.block_size);
        let limit = blocks_per_command(block_size);
        loop {
            let Some(job) = self.jobs.front() else {
                return;
            };
            let refused = match &job.work {
                Work::Read { left: 0, .. } => Ok(Segments::new()),
                Work::Read { lba, left, .. } => {
                    let blocks = (*left).min(limit);
                    let length = blocks.saturating_mul(block_size);
                    let (command, size) = transfer(READ, *lba, blocks);
                    let command = command.get(..size).unwrap_or(&command);
                    return self.transport.command(command, DataPhase::In(length));
                }
                Work::Write { data, .. } if data.is_empty() => Ok(Segments::new()),
                Work::Write { lba, data } => {
                    let size = usize::try_from(block_size).unwrap_or(usize::MAX);
                    if data.len().checked_rem(size) == Some(0) {
                        let length = usize::try_from(limit.saturating_mul(block_size));
                        let mut data = data.clone();
                        data.truncate(length.unwrap_or(usize::MAX));
                        let blocks = data.len().checked_div(size).unwrap_or(0);
                        let blocks = u32::try_from(blocks).unwrap_or(limit);
                        let (command, size) = transfer(WRITE, *lba, blocks);
                        let command = command.get(..size).unwrap_or(&command);
                        return self.transport.command(command, DataPhase::Out(data));
                    }
                    let length = data.len();
                    Err(ScsiError::NotWholeBlocks { length, block_size })
                }
                Work::Flush => {
                    // SYNCHRONIZE CACHE(10) of all blocks (SBC-3, 5.28).
                    let flush = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    return self.transport.command(&flush, DataPhase::None);
                }
            };
            self.finish_job(refused);
        }
    }
}

/// Opcodes of the forms of 10 and of 16 bytes (SBC-3, table 33).
const READ: (u8, u8) = (0x28, 0x88);
const WRITE: (u8, u8) = (0x2a, 0x8a);

/// A command that moves blocks, and its length.
fn transfer((opcode_10, opcode_16): (u8, u8), lba: u64, blocks: u32) -> ([u8; 16], usize) {
    let [b0, b1, b2, b3] = blocks.to_be_bytes();
    if let (Ok(lba), 0, 0) = (u32::try_from(lba), b0, b1) {
        let [l0, l1, l2, l3] = lba.to_be_bytes();
        let command = [opcode_10, 0, l0, l1, l2, l3, 0, b2, b3, 0, 0, 0, 0, 0, 0, 0];
        return (command, 10);
    }
    let [l0, l1, l2, l3, l4, l5, l6, l7] = lba.to_be_bytes();
    let command = [
        opcode_16, 0, l0, l1, l2, l3, l4, l5, l6, l7, b0, b1, b2, b3, 0, 0,
    ];
    (command, 16)
}

fn blocks_per_command(block_size: u32) -> u32 {
    MAX_COMMAND.checked_div(block_size).unwrap_or(1).max(1)
}

/// Reads the answer to INQUIRY; `None` where there is no unit or too little.
fn inquiry(data: &[u8], max_lun: u8) -> Option<Unit> {
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
        units: max_lun.saturating_add(1),
        blocks: 0,
        block_size: 0,
    })
}

impl Frontend for Initiator {
    fn poll(&mut self) -> Option<HostEvent> {
        if self.transport.is_idle() {
            self.start();
        }
        self.transport.poll()
    }

    fn complete(&mut self, completion: Completion) {
        self.transport.complete(completion);
        self.follow();
    }

    fn detach(&mut self) {
        self.transport.close(Status::DISCONNECTED);
        self.follow();
    }

    fn pending(&self) -> usize {
        self.transport.pending()
    }
}
