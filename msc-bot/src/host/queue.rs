//! Requests, and the commands they are split into.
//!
//! Commands are sent in the order of the requests, as many at a time as the transport takes, and
//! the device may finish them in any order. One that must not overtake or be overtaken, since it
//! writes where another reads or writes, waits for the other. Their results are taken in order.

use alloc::collections::VecDeque;

use bytes::Bytes;
use usb_transfer::Segments;

use super::transport::{DataPhase, End, Transport};
use super::unit::{ScsiError, Ticket};
use crate::{Sense, SenseKey};

/// How often a command is tried when the transport failed it, or the device was busy.
const ATTEMPTS: u8 = 3;

/// How often it is tried when the unit had something to tell instead. A unit tells of each thing
/// that happened to it once, one by one (SAM-5, 5.14), so no more than there are kinds of things.
const NOTICES: u8 = 16;

/// How often a command failed for reasons that may be gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    faults: u8,
    notices: u8,
}

impl Tries {
    /// Whether what ended so is to be tried again.
    pub(super) fn again(&mut self, end: &End) -> bool {
        let (count, most) = match end {
            End::Failed(Some(sense)) if sense.key == SenseKey::UNIT_ATTENTION => {
                (&mut self.notices, NOTICES)
            }
            End::Broken | End::Busy => (&mut self.faults, ATTEMPTS),
            End::Failed(_) | End::Passed { .. } => return false,
        };
        *count = count.saturating_add(1);
        *count < most
    }
}

/// Commands whose results were not taken, since an older one is still under way.
const WINDOW: usize = 64;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Read,
    Write(Bytes),
    Flush,
}

#[derive(Debug)]
struct Job {
    ticket: Ticket,
    work: Work,
    /// What there is no command for yet.
    lba: u64,
    blocks: u64,
    has_begun: bool,
    is_split: bool,
    /// Commands whose results were not taken.
    due: usize,
    result: Result<Segments, ScsiError>,
}

#[derive(Debug)]
struct Command {
    work: Work,
    lba: u64,
    blocks: u32,
    state: State,
    tries: Tries,
}

#[derive(Debug)]
enum State {
    ToSend,
    Sent,
    Done(Result<Segments, ScsiError>),
}

/// How a disk is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) block_size: u32,
    /// Blocks of one command.
    pub(super) limit: u32,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// Of these, the first that is not split into commands entirely.
    next: usize,
    commands: VecDeque<Command>,
    /// The key of the first command; the others follow.
    first: u64,
    results: VecDeque<(Ticket, Result<Segments, ScsiError>)>,
    next_ticket: u64,
}

impl Command {
    /// Whether it has to wait for another that is under way.
    fn waits_for(&self, other: &Self) -> bool {
        if matches!(other.state, State::Done(_)) {
            return false;
        }
        match (&self.work, &other.work) {
            (Work::Flush, _) | (_, Work::Flush) => true,
            (Work::Read, Work::Read) => false,
            _ => {
                let end = |each: &Self| each.lba.saturating_add(u64::from(each.blocks));
                self.lba < end(other) && other.lba < end(self)
            }
        }
    }

    fn data(&self, shape: Shape) -> DataPhase {
        match &self.work {
            Work::Read => DataPhase::In(self.blocks.saturating_mul(shape.block_size)),
            Work::Write(data) => DataPhase::Out(data.clone()),
            Work::Flush => DataPhase::None,
        }
    }

    fn send(&mut self, key: u64, shape: Shape, transport: &mut dyn Transport) {
        let data = self.data(shape);
        self.state = State::Sent;
        let opcodes = match &self.work {
            Work::Read => READ,
            Work::Write(_) => WRITE,
            // SYNCHRONIZE CACHE(10) of all blocks (SBC-3, 5.28).
            Work::Flush => {
                let flush = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                return transport.command(key, &flush, data);
            }
        };
        let (command, length) = transfer(opcodes, self.lba, self.blocks);
        transport.command(key, command.get(..length).unwrap_or(&command), data);
    }

    fn end(&mut self, end: End, is_alone: bool) {
        let waits = matches!(end, End::Busy) && !is_alone;
        if waits || self.tries.again(&end) {
            return self.state = State::ToSend;
        }
        self.state = State::Done(match end {
            End::Passed { missing: 1.., .. } => Err(ScsiError::Answer),
            End::Passed { data, .. } => Ok(data),
            // A disk that does not know how has no cache.
            End::Failed(Some(sense)) if matches!(self.work, Work::Flush) && is_unknown(sense) => {
                Ok(Segments::new())
            }
            End::Failed(Some(sense)) => Err(ScsiError::Sense(sense)),
            End::Failed(None) | End::Busy => Err(ScsiError::NoReason),
            End::Broken => Err(ScsiError::Transport),
        });
    }
}

/// Whether a disk does not know a command; what stands beside the reason does not matter.
fn is_unknown(sense: Sense) -> bool {
    let bare = Sense {
        information: None,
        ..sense
    };
    bare == Sense::INVALID_OPCODE
}

impl Job {
    /// Its next command; `None` where there is none.
    fn next(&mut self, shape: Shape) -> Option<Command> {
        let Shape { block_size, limit } = shape;
        if !core::mem::replace(&mut self.has_begun, true) {
            if let Work::Write(data) = &self.work {
                let (length, size) = (data.len(), u64::from(block_size));
                self.blocks = (length as u64).checked_div(size).unwrap_or(0);
                if self.blocks.saturating_mul(size) != length as u64 {
                    self.result = Err(ScsiError::NotWholeBlocks { length, block_size });
                }
            }
        }
        let has_none = self.blocks == 0 && !matches!(self.work, Work::Flush);
        if self.is_split || self.result.is_err() || has_none {
            self.is_split = true;
            return None;
        }
        let blocks = u32::try_from(self.blocks).unwrap_or(limit).min(limit);
        let work = match &self.work {
            Work::Write(data) => {
                let length = usize::try_from(blocks.saturating_mul(block_size));
                let mut data = data.clone();
                data.truncate(length.unwrap_or(usize::MAX));
                Work::Write(data)
            }
            Work::Read => Work::Read,
            Work::Flush => Work::Flush,
        };
        Some(Command {
            work,
            lba: self.lba,
            blocks,
            state: State::ToSend,
            tries: Tries::default(),
        })
    }

    /// That one was sent.
    fn advance(&mut self, sent: &Command) {
        if let (Work::Write(left), Work::Write(data)) = (&mut self.work, &sent.work) {
            drop(left.split_to(data.len().min(left.len())));
        }
        self.lba = self.lba.saturating_add(u64::from(sent.blocks));
        self.blocks = self.blocks.saturating_sub(u64::from(sent.blocks));
        self.is_split = self.blocks == 0;
        self.due = self.due.saturating_add(1);
    }

    fn take(&mut self, result: Result<Segments, ScsiError>) {
        match (&mut self.result, result) {
            (Ok(data), Ok(more)) if data.is_empty() => *data = more,
            (Ok(data), Ok(more)) => data.append(more),
            (Ok(_), Err(error)) => {
                self.result = Err(error);
                self.is_split = true;
            }
            (Err(_), _) => {}
        }
    }
}

impl Queue {
    /// Takes a request; where the disk cannot be used, it fails at once.
    pub(super) fn request(
        &mut self,
        lba: u64,
        blocks: u64,
        work: Work,
        error: Option<ScsiError>,
    ) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        match error {
            Some(error) => self.results.push_back((ticket, Err(error))),
            None => self.jobs.push_back(Job {
                ticket,
                work,
                lba,
                blocks,
                has_begun: false,
                is_split: false,
                due: 0,
                result: Ok(Segments::new()),
            }),
        }
        ticket
    }

    pub(super) fn result(&mut self) -> Option<(Ticket, Result<Segments, ScsiError>)> {
        self.results.pop_front()
    }

    /// Sends what can be sent.
    pub(super) fn start(&mut self, shape: Shape, transport: &mut dyn Transport) {
        let keys = self.first..;
        for (key, command) in keys.zip(&mut self.commands) {
            // Again: what it would have had to wait for is done, what has to wait for it waits.
            if matches!(command.state, State::ToSend) {
                if !transport.may_start(&command.data(shape)) {
                    return;
                }
                command.send(key, shape, transport);
            }
        }
        while let Some(job) = self.jobs.get_mut(self.next) {
            let Some(mut command) = job.next(shape) else {
                self.next = self.next.saturating_add(1);
                continue;
            };
            let mut others = self.commands.iter();
            if self.commands.len() >= WINDOW
                || others.any(|other| command.waits_for(other))
                || !transport.may_start(&command.data(shape))
            {
                break;
            }
            job.advance(&command);
            let key = self.first.saturating_add(self.commands.len() as u64);
            command.send(key, shape, transport);
            self.commands.push_back(command);
        }
        self.settle();
    }

    /// Takes how a command ended.
    pub(super) fn end(&mut self, key: u64, end: End) {
        let mut commands = self.commands.iter();
        let mut sent = 0usize;
        commands.all(|command| {
            sent = sent.saturating_add(usize::from(matches!(command.state, State::Sent)));
            sent < 2
        });
        let at = usize::try_from(key.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(command) = self.commands.get_mut(at) {
            command.end(end, sent < 2);
        }
        self.settle();
    }

    /// Takes the results of the commands that are done, and ends the requests that are.
    fn settle(&mut self) {
        loop {
            while let Some(job) = self.jobs.front() {
                if !job.is_split || job.due > 0 {
                    break;
                }
                if let Some(job) = self.jobs.pop_front() {
                    self.next = self.next.saturating_sub(1);
                    self.results.push_back((job.ticket, job.result));
                }
            }
            let is_done = |command: &Command| matches!(command.state, State::Done(_));
            if !self.commands.front().is_some_and(is_done) {
                return;
            }
            let (Some(command), Some(job)) = (self.commands.pop_front(), self.jobs.front_mut())
            else {
                return;
            };
            self.first = self.first.saturating_add(1);
            job.due = job.due.saturating_sub(1);
            if let State::Done(result) = command.state {
                job.take(result);
            }
        }
    }

    /// Fails all.
    pub(super) fn fail(&mut self, error: ScsiError) {
        self.commands.clear();
        self.next = 0;
        let jobs = self.jobs.drain(..);
        self.results
            .extend(jobs.map(|job| (job.ticket, Err(error))));
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
