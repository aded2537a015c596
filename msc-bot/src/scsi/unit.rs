//! A logical unit: commands in, events out.

use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::Segments;

use super::command::{Cdb, Command, Entry, Unknown, find};
use super::medium::Medium;
use super::transfer::{Extent, Flight, Step};
use super::work::Work;
use super::{Sense, UnitOptions};
use crate::arena::Arena;
use crate::{BlockError, BlockOp, BlockToken, Lun};

/// Names one command of a unit from its start to its [`Done`](UnitEvent::Done). The transport
/// chooses: a constant where there is one command at a time, else its tag.
///
/// ```
/// use msc_bot::Task;
/// assert_ne!(Task(1), Task(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Task(pub u32);

/// What a unit has to tell its transport.
///
/// Each command that is started and not aborted gives one `Phase`, then `In` or `WantOut` as
/// often as it takes, then one `Done`.
///
/// ```
/// use msc_bot::{BlockSize, LogicalUnit, Task, UnitEvent, UnitOptions};
/// let mut unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 100));
/// unit.start(Task(0), &[0; 16]); // TEST UNIT READY
/// assert_eq!(unit.poll(), Some(UnitEvent::Phase(Task(0), None, 0)));
/// assert_eq!(unit.poll(), Some(UnitEvent::Done(Task(0), Ok(()))));
/// assert_eq!(unit.poll(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a transport must handle each")]
pub enum UnitEvent {
    /// The store is to do something; answer with [`LogicalUnit::finish`].
    Block(BlockOp),
    /// Which way the command moves data, and how many bytes if nothing fails.
    Phase(Task, Option<Direction>, u64),
    /// Data for the host.
    In(Task, Segments),
    /// Up to so many bytes from the host are wanted, by one [`LogicalUnit::data_out`].
    WantOut(Task, u32),
    /// The command is over. A transport that does not send the sense along keeps it for the
    /// host's question: [`LogicalUnit::keep_sense`].
    Done(Task, Result<(), Sense>),
}

/// A SCSI disk (direct access block device, SBC-3), without a transport and without storage.
///
/// It decodes commands, checks them against its size and state, and turns them into operations on
/// blocks. Reads and writes go in pieces of at most 1 MiB: the transport takes the next piece by
/// polling, so that one that does not poll holds the data back; data to write is asked for by
/// [`WantOut`](UnitEvent::WantOut), at most one piece ahead of the store.
///
/// An aborted command may have left operations at the store. No new one is handed out until they
/// are finished, so that a write of before never lands on one of after.
///
/// ```
/// use bytes::Bytes;
/// use msc_bot::{BlockOp, BlockSize, LogicalUnit, Task, UnitEvent, UnitOptions};
/// let mut unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 100));
/// let read_block_7 = [0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
/// unit.start(Task(0), &read_block_7);
/// assert!(matches!(unit.poll(), Some(UnitEvent::Phase(_, Some(_), 512))));
/// let Some(UnitEvent::Block(BlockOp::Read { token, offset, length, .. })) = unit.poll() else {
///     panic!()
/// };
/// assert_eq!((offset, length), (7 * 512, 512));
/// unit.finish(token, Ok(Bytes::from(vec![0xaa; 512]).into()));
/// assert!(matches!(unit.poll(), Some(UnitEvent::In(_, data)) if data.len() == 512));
/// assert_eq!(unit.poll(), Some(UnitEvent::Done(Task(0), Ok(()))));
/// ```
#[derive(Debug)]
pub struct LogicalUnit {
    pub(super) options: UnitOptions,
    lun: Lun,
    /// How many units the device has.
    pub(super) units: u8,
    /// The transport runs many commands at a time.
    pub(super) has_queue: bool,
    kind: Kind,
    pub(super) medium: Medium,
    /// Whether a write is durable only when it is flushed. The host may change it until the next
    /// reset.
    pub(super) write_cache: bool,
    kept: Option<Sense>,
    running: Vec<Running>,
    /// The command that must have the store for itself.
    exclusive: Option<Task>,
    /// Operations at the store whose command was aborted.
    stale: Vec<BlockToken>,
    next_token: u64,
    /// Where an answer is put together.
    pub(super) scratch: Vec<u8>,
    arena: Arena,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Disk,
    /// What answers for the numbers behind which there is no unit.
    Absent,
}

#[derive(Debug)]
struct Running {
    task: Task,
    /// What the phase is, until it was told.
    phase: Option<(Option<Direction>, u64)>,
    work: Work,
    /// It has written what is durable only when it is flushed.
    unflushed: bool,
}

impl LogicalUnit {
    /// A unit; with its medium, if it has a block at all.
    #[must_use]
    pub fn new(options: UnitOptions) -> Self {
        Self {
            medium: Medium::new(&options),
            write_cache: options.write_cache,
            options,
            lun: Lun::ZERO,
            units: 1,
            has_queue: false,
            kind: Kind::Disk,
            kept: None,
            running: Vec::new(),
            exclusive: None,
            stale: Vec::new(),
            next_token: 0,
            scratch: Vec::new(),
            arena: Arena::new(),
        }
    }

    /// What answers where there is no unit (SPC-4, 6.6.2 and 6.39; SAM-5, 5.14): INQUIRY says
    /// so, all else fails.
    pub(crate) fn absent() -> Self {
        let mut unit = Self::new(UnitOptions::new(crate::BlockSize::BYTES_512, 0));
        unit.kind = Kind::Absent;
        unit
    }

    /// Whether its transport runs many commands at a time.
    pub(crate) fn set_queue(&mut self, has_queue: bool) {
        self.has_queue = has_queue;
    }

    /// Gives the unit its place among those of a device.
    pub(crate) fn place(&mut self, lun: Lun, units: u8) {
        self.lun = lun;
        self.units = units;
    }

    pub(crate) const fn lun(&self) -> Lun {
        self.lun
    }

    /// Whether the command of an operation was aborted.
    pub(crate) fn is_stale(&self, token: BlockToken) -> bool {
        self.stale.contains(&token)
    }

    /// Whether an aborted command has left something at the store.
    pub(crate) fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// What the unit is.
    #[must_use]
    pub const fn options(&self) -> &UnitOptions {
        &self.options
    }

    /// Starts a command, given as 16 bytes whatever its length. A task of the same name that is
    /// not done is aborted.
    pub fn start(&mut self, task: Task, cdb: &[u8; 16]) {
        self.start_sent(task, cdb);
    }

    /// Starts a command of which so many bytes were sent: too few are refused, those beyond its
    /// length have no meaning.
    pub(crate) fn start_sent(&mut self, task: Task, sent: &[u8]) {
        self.abort(task);
        self.scratch.clear();
        let cdb = Cdb::new(sent).without_lun(self.lun.get());
        let work = match self.begin(cdb, sent.len()) {
            Ok(work) => work,
            Err(sense) => Work::End(Err(sense)),
        };
        self.running.push(Running {
            task,
            phase: Some(work.phase()),
            work,
            unflushed: false,
        });
    }

    /// Hands over data that was wanted. What was not is dropped.
    pub fn data_out(&mut self, task: Task, data: Bytes) {
        let size = self.options.block_size;
        let mut tasks = self.running.iter_mut();
        if let Some(running) = tasks.find(|running| running.task == task) {
            running.work.take(data, size);
        }
    }

    /// Tells how an operation ended. It cannot refuse: a token that is not out is ignored, data
    /// beyond what was asked is cut, and less than was asked counts as a failure of the store.
    pub fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>) {
        if let Some(at) = self.stale.iter().position(|stale| *stale == token) {
            self.stale.swap_remove(at);
            return;
        }
        let size = self.options.block_size;
        for running in &mut self.running {
            let Some(slot) = running.work.flight_mut() else {
                continue;
            };
            if let Some(flight) = slot.take_if(|flight| flight.token == token) {
                return running.work.finish(flight, result, size);
            }
        }
    }

    /// Gives a command up. It has no more events, but what it has out at the store is still to be
    /// finished.
    pub fn abort(&mut self, task: Task) {
        let at = self.running.iter().position(|running| running.task == task);
        let Some(mut running) = at.and_then(|at| self.forget(at)) else {
            return;
        };
        if let Some(flight) = running.work.flight_mut().and_then(Option::take) {
            self.stale.push(flight.token);
        }
    }

    /// The transport was reset: gives all commands up, forgets the kept sense and lets the medium
    /// be ejected (SPC-4, 6.18). A host that has used the unit is told by a unit attention.
    pub fn reset(&mut self) {
        while let Some(task) = self.running.first().map(|running| running.task) {
            self.abort(task);
        }
        self.kept = None;
        self.medium.reset();
        self.write_cache = self.options.write_cache;
    }

    /// Keeps a sense until the host asks for it by REQUEST SENSE or starts another command: for
    /// transports that do not send it with the status.
    pub fn keep_sense(&mut self, sense: Sense) {
        self.kept = Some(sense);
    }

    /// What there is to tell; `None` for now.
    pub fn poll(&mut self) -> Option<UnitEvent> {
        self.poll_some(|_| true)
    }

    /// The same of those tasks that `may` go on.
    pub(crate) fn poll_some(&mut self, may: impl Fn(Task) -> bool) -> Option<UnitEvent> {
        let mut at = 0;
        while let Some(running) = self.running.get_mut(at) {
            let task = running.task;
            if !may(task) {
                at = at.saturating_add(1);
                continue;
            }
            if let Some((direction, length)) = running.phase.take() {
                return Some(UnitEvent::Phase(task, direction, length));
            }
            let needs_store = running.work.needs_store();
            if self.is_held(at) || needs_store && !self.may_use_store(at) {
                at = at.saturating_add(1);
                continue;
            }
            let Some(running) = self.running.get_mut(at) else {
                break;
            };
            let (token, lun) = (BlockToken::new(self.lun, self.next_token), self.lun);
            let (offset, length, op) = match running.work.step() {
                Step::Wait => {
                    at = at.saturating_add(1);
                    continue;
                }
                Step::In(data) => return Some(UnitEvent::In(task, data)),
                Step::WantOut(wanted) => return Some(UnitEvent::WantOut(task, wanted)),
                // Without a cache, also one that is no longer there, it ends when all is durable.
                Step::Done(Ok(())) if running.unflushed && !self.write_cache => {
                    running.unflushed = false;
                    running.work = Work::FLUSH;
                    self.exclusive.take_if(|exclusive| *exclusive == task);
                    continue;
                }
                Step::Done(result) => {
                    self.forget(at);
                    return Some(UnitEvent::Done(task, result));
                }
                Step::Gathered => {
                    self.gathered(at);
                    continue;
                }
                Step::Eject => {
                    self.ejected();
                    continue;
                }
                Step::Read(offset, length, inspected) => {
                    let op = BlockOp::Read {
                        token,
                        lun,
                        offset,
                        length,
                        inspected,
                    };
                    (offset, u64::from(length), op)
                }
                Step::Write(offset, data, forced) => {
                    let length = data.len() as u64;
                    let durable = forced || !self.write_cache;
                    running.unflushed |= !durable;
                    let op = BlockOp::Write {
                        token,
                        lun,
                        offset,
                        data,
                        durable,
                    };
                    (offset, length, op)
                }
                Step::Zero(Extent { offset, length }, discard) => {
                    running.unflushed = true;
                    let op = BlockOp::Zero {
                        token,
                        lun,
                        offset,
                        length,
                        discard,
                    };
                    (offset, length, op)
                }
                Step::Flush => (0, 0, BlockOp::Flush { token, lun }),
            };
            if let Some(slot) = running.work.flight_mut() {
                *slot = Some(Flight {
                    token,
                    offset,
                    length,
                });
            }
            self.next_token = self.next_token.wrapping_add(1);
            return Some(UnitEvent::Block(op));
        }
        None
    }

    /// Whether a command has to wait for one before it: one that is ordered does for all that need
    /// the medium, and those behind it do for it. They take no data either, lest it be in the way of
    /// what those before it wait for.
    fn is_held(&self, at: usize) -> bool {
        let Some((running, before)) = self.running.get(..=at).and_then(<[_]>::split_last) else {
            return false;
        };
        let is_ordered = running.work.is_ordered();
        let holds =
            |other: &Running| other.work.is_ordered() || is_ordered && other.work.needs_medium();
        running.work.needs_medium() && before.iter().any(holds)
    }

    /// Whether a command may ask something of the store. Nobody may before what was aborted is
    /// finished; one that must be alone waits until it is, and is until it ends.
    fn may_use_store(&mut self, at: usize) -> bool {
        if !self.stale.is_empty() {
            return false;
        }
        let Some(running) = self.running.get(at) else {
            return false;
        };
        if !running.work.is_exclusive() {
            return self.exclusive.is_none();
        }
        let task = running.task;
        let is_its_turn = *self.exclusive.get_or_insert(task) == task;
        let mut all = self.running.iter_mut();
        is_its_turn && !all.any(|other| other.work.flight_mut().is_some_and(|slot| slot.is_some()))
    }

    /// Ends all commands that use the medium.
    pub(super) fn end_all(&mut self, sense: Sense) {
        for running in &mut self.running {
            if !running.work.needs_medium() {
                continue;
            }
            if let Some(flight) = running.work.flight_mut().and_then(Option::take) {
                self.stale.push(flight.token);
            }
            running.work = Work::End(Err(sense));
        }
        self.exclusive = None;
    }

    fn forget(&mut self, at: usize) -> Option<Running> {
        if at >= self.running.len() {
            return None;
        }
        let running = self.running.remove(at);
        self.exclusive.take_if(|task| *task == running.task);
        Some(running)
    }

    /// The host's part of a command has come: it goes on as what it is.
    fn gathered(&mut self, at: usize) {
        let Some(Work::Gather(gathering)) = self.running.get(at).map(|running| &running.work)
        else {
            return;
        };
        let (entry, cdb, data) = (gathering.entry, gathering.cdb, gathering.data());
        let work = self.execute_gathered(entry, cdb, &data);
        if let Some(running) = self.running.get_mut(at) {
            running.work = work.unwrap_or_else(|sense| Work::End(Err(sense)));
        }
    }

    fn begin(&mut self, cdb: Cdb, sent: usize) -> Result<Work, Sense> {
        let found = find(cdb, |entry| self.options.knows(entry));
        // The one command that asks for it leaves it (SPC-4, 6.39).
        let kept = self.kept.take();
        match found.map(|entry| entry.command) {
            Ok(Command::Inquiry | Command::RequestSense) => {}
            _ if self.kind == Kind::Absent => return Err(Sense::NO_UNIT),
            // These too work in spite of unit attentions (SAM-5, 5.14; MMC-6, 4.1.6.1).
            Ok(Command::ReportLuns | Command::GetConfiguration | Command::GetEventStatus) => {}
            _ => {
                if let Some(sense) = self.medium.attention() {
                    return Err(sense);
                }
            }
        }
        let entry = found.map_err(|unknown| match unknown {
            Unknown::Opcode => Sense::INVALID_OPCODE,
            Unknown::ServiceAction => Sense::INVALID_FIELD,
        })?;
        if sent < entry.usage.len() {
            return Err(Sense::INVALID_FIELD);
        }
        if !entry.permits(cdb) {
            // Of a WRITE SAME that is refused for both, hosts want to hear that nothing is written.
            let is_protected =
                self.options.read_only && matches!(entry.command, Command::WriteSame(_));
            return Err(if is_protected {
                Sense::WRITE_PROTECTED
            } else {
                Sense::INVALID_FIELD
            });
        }
        self.execute(entry, cdb, kept)
    }

    fn execute(
        &mut self,
        entry: &'static Entry,
        cdb: Cdb,
        kept: Option<Sense>,
    ) -> Result<Work, Sense> {
        let allocation_16 = |at| usize::from(cdb.be16(at));
        let allocation_32 = |at| usize::try_from(cdb.be32(at)).unwrap_or(usize::MAX);
        let allocation = match entry.command {
            Command::TestUnitReady => {
                return self.medium.check().map(|()| Work::End(Ok(())));
            }
            Command::StartStopUnit => return self.start_stop(cdb),
            Command::PreventAllow => {
                self.medium.lock(cdb.bit(4, 0x03));
                return Ok(Work::End(Ok(())));
            }
            Command::Read(form) => return self.read(form, cdb),
            Command::Write(form) => return self.write(form, cdb),
            Command::WriteAndVerify(form) => return self.write_and_verify(form, cdb),
            Command::Verify(form) => return self.verify(entry, form, cdb),
            Command::CompareAndWrite => return self.compare_and_write(entry, cdb),
            Command::WriteSame(form) => return self.write_same(entry, form, cdb),
            Command::Unmap => return self.unmap(entry, cdb),
            Command::ReadCd => return self.read_cd(cdb),
            Command::ReadCdMsf => return self.read_cd_msf(cdb),
            Command::PreFetch(form) => {
                self.extent(form, cdb)?;
                return Ok(Work::End(Ok(())));
            }
            Command::SynchronizeCache(form) => {
                self.extent(form, cdb)?;
                return Ok(Work::FLUSH);
            }
            Command::ModeSelect6 => {
                return Self::mode_select(entry, cdb, u32::from(cdb.byte(4)));
            }
            Command::ModeSelect10 => {
                return Self::mode_select(entry, cdb, u32::from(cdb.be16(7)));
            }
            Command::RequestSense => {
                self.request_sense(cdb, kept);
                usize::from(cdb.byte(4))
            }
            Command::Inquiry => {
                match self.kind {
                    Kind::Disk => self.inquiry(cdb)?,
                    Kind::Absent => self.absent_inquiry(),
                }
                allocation_16(3)
            }
            Command::ModeSense6 => {
                self.mode_sense(cdb, false)?;
                usize::from(cdb.byte(4))
            }
            Command::ModeSense10 => {
                self.mode_sense(cdb, true)?;
                allocation_16(7)
            }
            Command::ReadFormatCapacities => {
                self.read_format_capacities();
                allocation_16(7)
            }
            Command::ReadCapacity10 => {
                self.read_capacity_10(cdb)?;
                usize::MAX
            }
            Command::ReadCapacity16 => {
                self.read_capacity_16(cdb)?;
                allocation_32(10)
            }
            Command::ReportLuns => {
                self.report_luns(cdb)?;
                allocation_32(6)
            }
            Command::ReadToc
            | Command::GetConfiguration
            | Command::GetEventStatus
            | Command::ReadDiscInformation
            | Command::ReadTrackInformation
            | Command::ReadDiscStructure
            | Command::MechanismStatus => self.multimedia(entry.command, cdb)?,
            Command::ReportOpcodes => {
                self.report_opcodes(cdb)?;
                allocation_32(6)
            }
        };
        self.scratch.truncate(allocation);
        if self.scratch.is_empty() {
            return Ok(Work::End(Ok(())));
        }
        Ok(Work::Answer(self.arena.store(&self.scratch).into()))
    }

    /// Goes on with a command of which the host has sent its part.
    fn execute_gathered(&mut self, entry: &Entry, cdb: Cdb, data: &Bytes) -> Result<Work, Sense> {
        match entry.command {
            Command::ModeSelect6 => self.select_mode(data, false),
            Command::ModeSelect10 => self.select_mode(data, true),
            Command::Unmap => self.unmap_gathered(data),
            Command::WriteSame(form) => self.write_same_gathered(form, cdb, data),
            Command::CompareAndWrite => self.compare_and_write_gathered(cdb, data),
            Command::Verify(form) => self.verify_gathered(form, cdb, data),
            _ => Err(Sense::INTERNAL_FAILURE),
        }
    }

    /// REQUEST SENSE (SPC-4, 6.39): never fails, and clears what it tells.
    fn request_sense(&mut self, cdb: Cdb, kept: Option<Sense>) {
        let none = match self.kind {
            Kind::Disk => Sense::NONE,
            Kind::Absent => Sense::NO_UNIT,
        };
        let sense = kept.or_else(|| self.medium.attention()).unwrap_or(none);
        if cdb.bit(1, 0x01) {
            let (bytes, length) = sense.to_descriptor();
            self.scratch.extend(bytes.iter().take(length));
        } else {
            self.scratch.extend_from_slice(&sense.to_fixed());
        }
    }
}

#[cfg(test)]
mod tests;
