//! The device: many commands at a time, on four pipes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use usb_descriptors::Direction;
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, Function, FunctionEvent, Kind, Payload, Segments,
    Status, Transfer, TransferId,
};

use super::data::pipe;
use super::task::{PendingIn, PendingOut, Running, is_of};
use super::unit::{Address, Report, Request, Response};
use super::{ALTERNATE, COMMAND, DATA_IN, DATA_OUT, MAX_TASKS, STATUS};
use crate::arena::Arena;
use crate::{
    BlockError, BlockOp, BlockToken, BotDevice, BotError, BotOptions, LogicalUnit, Lun,
    MediumEvent, Sense, Task, UnitEvent,
};

/// Reports that wait for the host to take them: what all tasks can have to say, and as many
/// answers again. A host that asks more without listening is held back.
const MAX_REPORTS: usize = 4 * MAX_TASKS;

/// A USB disk with USB Attached SCSI beside Bulk-Only Transport: the host chooses by the alternate
/// setting, 1 or 0.
///
/// Up to 32 commands are in progress at once, each with an operation of its own at the store. At
/// SuperSpeed the data and the status of each go by the stream of its number; where transfers
/// have no streams, as at high speed, the device says whose data is next, and the commands take
/// their turns in the order they came.
///
/// It is used like a [`BotDevice`], which it is in alternate setting 0.
///
/// ```
/// use msc_bot::{BlockSize, BotOptions, LogicalUnit, UasDevice, UnitOptions};
/// use usb_descriptors::Speed;
/// let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
/// let disk = UasDevice::new(BotOptions::new(Speed::High), [unit])?;
/// let settings = disk.descriptors().configurations().next().unwrap();
/// assert_eq!(settings.interfaces().count(), 2);
/// # Ok::<(), msc_bot::BotError>(())
/// ```
#[derive(Debug)]
pub struct UasDevice {
    pub(super) bot: BotDevice,
    pub(super) tasks: Vec<Running>,
    commands: VecDeque<PendingOut>,
    statuses: VecDeque<PendingIn>,
    pub(super) ins: VecDeque<PendingIn>,
    pub(super) outs: VecDeque<PendingOut>,
    pub(super) reports: VecDeque<(u16, Report)>,
    /// Whose data is on the pipe, where there are no streams.
    pub(super) on_pipe: [Option<u16>; 2],
    pub(super) events: VecDeque<Completion>,
    ops: VecDeque<BlockOp>,
    arena: Arena,
}

impl UasDevice {
    /// A device of at least one unit, which get the numbers 0, 1 and so on.
    ///
    /// # Errors
    /// [`BotError`] where there can be no such device.
    pub fn new(
        options: BotOptions,
        units: impl IntoIterator<Item = LogicalUnit>,
    ) -> Result<Self, BotError> {
        let units = units.into_iter().map(|mut unit| {
            unit.queue();
            unit
        });
        Ok(Self {
            bot: BotDevice::build(options, units, true)?,
            tasks: Vec::new(),
            commands: VecDeque::new(),
            statuses: VecDeque::new(),
            ins: VecDeque::new(),
            outs: VecDeque::new(),
            reports: VecDeque::new(),
            on_pipe: [None, None],
            events: VecDeque::new(),
            ops: VecDeque::new(),
            arena: Arena::new(),
        })
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.bot.descriptors()
    }

    /// Its units, by number.
    #[must_use]
    pub fn units(&self) -> &[LogicalUnit] {
        self.bot.units()
    }

    /// What the store is to do next; `None` for now. At most one operation of a command is out at
    /// a time.
    pub fn poll_block(&mut self) -> Option<BlockOp> {
        self.ops.pop_front().or_else(|| self.bot.poll_block())
    }

    /// Tells how an operation ended, as [`LogicalUnit::finish`] says.
    pub fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>) {
        if self.ops.iter().any(|op| op.token() == token) {
            return;
        }
        self.bot.finish(token, result);
        self.advance();
    }

    /// What a host did with the medium of a unit; `None` for now.
    pub fn poll_medium(&mut self) -> Option<(Lun, MediumEvent)> {
        self.bot.poll_medium()
    }

    /// Puts a medium into a unit: [`LogicalUnit::insert`]. A number without a unit is ignored,
    /// here and in the others.
    pub fn insert(&mut self, lun: Lun, blocks: u64, read_only: bool) {
        self.bot.insert(lun, blocks, read_only);
        self.changed(lun);
    }

    /// Takes the medium out of a unit: [`LogicalUnit::remove`].
    pub fn remove(&mut self, lun: Lun) {
        self.bot.remove(lun);
        self.changed(lun);
    }

    /// Makes the medium of a unit larger or smaller: [`LogicalUnit::resize`].
    pub fn resize(&mut self, lun: Lun, blocks: u64) {
        self.bot.resize(lun, blocks);
        self.changed(lun);
    }

    /// Protects the medium of a unit, or no longer: [`LogicalUnit::write_protect`].
    pub fn write_protect(&mut self, lun: Lun, read_only: bool) {
        self.bot.write_protect(lun, read_only);
        self.changed(lun);
    }

    /// What was not handed out before its command ended never will be.
    fn changed(&mut self, lun: Lun) {
        self.drop_stale(usize::from(lun.get()));
        self.advance();
    }

    pub(super) fn drop_stale(&mut self, number: usize) {
        let unit = self.bot.unit_mut(number);
        self.ops.retain(|op| {
            let is_stale = op.token().unit() == number && unit.is_stale(op.token());
            if is_stale {
                unit.finish(op.token(), Err(BlockError::Hardware));
            }
            !is_stale
        });
    }

    fn is_uas(&self) -> bool {
        let setting = self.bot.control().alternate_setting(0);
        setting == Some(ALTERNATE)
    }

    /// Does all that can be done without the host and the store.
    fn advance(&mut self) {
        loop {
            self.follow_units();
            self.conclude();
            self.announce();
            let moved = [
                self.serve_command(),
                self.serve_in(),
                self.serve_out(),
                self.serve_status(),
            ];
            if !moved.contains(&true) {
                break;
            }
        }
    }

    fn follow_units(&mut self) {
        let mut number = 0;
        while let Some(task) = self.tasks.get(number) {
            let unit = task.unit;
            number = number.saturating_add(1);
            // Each unit once: for its first task.
            let mut earlier = self.tasks.iter().take(number.saturating_sub(1));
            if earlier.any(|other| other.unit == unit) {
                continue;
            }
            self.follow(unit);
        }
    }

    fn follow(&mut self, number: usize) {
        loop {
            let tasks = &self.tasks;
            let may = |task: Task| {
                let mut tasks = tasks.iter();
                tasks.any(|other| u32::from(other.tag) == task.0 && other.may_go_on())
            };
            let Some(event) = self.bot.unit_mut(number).poll_some(may) else {
                return;
            };
            let task = match &event {
                UnitEvent::Block(_) => None,
                UnitEvent::Phase(task, ..)
                | UnitEvent::In(task, _)
                | UnitEvent::WantOut(task, _)
                | UnitEvent::Done(task, _) => {
                    let mut tasks = self.tasks.iter_mut();
                    tasks.find(|other| u32::from(other.tag) == task.0)
                }
            };
            match (task, event) {
                (_, UnitEvent::Block(op)) => self.ops.push_back(op),
                (Some(task), UnitEvent::Phase(_, direction, length)) => {
                    (task.direction, task.left) = (direction, length);
                }
                (Some(task), UnitEvent::In(_, data)) => task.data.append(data),
                (Some(task), UnitEvent::WantOut(_, wanted)) => task.wanted = wanted,
                (Some(task), UnitEvent::Done(_, result)) => task.result = Some(result),
                (None, _) => {}
            }
        }
    }

    /// Tells of commands that are over: those whose data phase, if the host was asked for one, is.
    fn conclude(&mut self) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            let is_over =
                |result: &Result<(), Sense>| task.left == 0 || result.is_err() && !task.announced;
            let Some(result) = task.result.filter(is_over) else {
                at = at.saturating_add(1);
                continue;
            };
            let tag = task.tag;
            self.tasks.remove(at);
            self.leave_pipes(tag);
            self.reports.push_back((tag, Report::Status(result)));
        }
    }

    pub(super) fn leave_pipes(&mut self, tag: u16) {
        for pipe in &mut self.on_pipe {
            pipe.take_if(|on_pipe| *on_pipe == tag);
        }
    }

    /// Where there are no streams, gives each data pipe to the next command, and tells the host.
    /// With streams the host has sent its data transfers with the command.
    fn announce(&mut self) {
        if self.has_streams() {
            return;
        }
        for direction in [Direction::In, Direction::Out] {
            let Some(on_pipe) = self.on_pipe.get_mut(pipe(direction)) else {
                continue;
            };
            let mut tasks = self.tasks.iter_mut();
            let next = tasks.find(|task| {
                let has_begun = !task.data.is_empty() || task.wanted > 0;
                task.expects(direction) && has_begun
            });
            if let (None, Some(task)) = (&on_pipe, next) {
                *on_pipe = Some(task.tag);
                task.announced = true;
                let report = match direction {
                    Direction::In => Report::ReadReady,
                    Direction::Out => Report::WriteReady,
                };
                self.reports.push_back((task.tag, report));
            }
        }
    }

    fn has_streams(&self) -> bool {
        self.bot.descriptors().speed.is_super()
    }

    /// Takes the oldest request of the host.
    fn serve_command(&mut self) -> bool {
        if self.reports.len() >= MAX_REPORTS {
            return false;
        }
        let Some(mut next) = self.commands.pop_front() else {
            return false;
        };
        let mut status = Status::COMPLETED;
        if self.bot.control().is_halted(COMMAND) {
            status = Status::STALL;
        } else {
            match Request::parse(&core::mem::take(&mut next.data)) {
                Ok(Request::Command { tag, lun, command }) => self.begin(tag, lun, &command),
                Ok(Request::TaskManagement {
                    tag,
                    function,
                    task,
                    lun,
                }) => {
                    let response = self.manage(function, task, lun);
                    self.reports.push_back((tag, Report::Response(response)));
                }
                Err(tag) => {
                    let invalid = Report::Response(Response::InvalidUnit);
                    self.reports.push_back((tag.unwrap_or(0), invalid));
                }
            }
        }
        self.events.push_back(next.complete(status));
        true
    }

    fn begin(&mut self, tag: u16, lun: Address, command: &[u8; 16]) {
        if self.tasks.iter().any(|task| task.tag == tag) {
            self.abort(|task| task.tag == tag);
            let overlapped = Report::Response(Response::OverlappedTag);
            return self.reports.push_back((tag, overlapped));
        }
        if self.tasks.len() >= MAX_TASKS {
            return self.reports.push_back((tag, Report::TaskSetFull));
        }
        let unit = number(lun);
        self.tasks.push(Running {
            tag,
            unit,
            direction: None,
            left: 0,
            announced: false,
            asked: 0,
            data: Segments::new(),
            wanted: 0,
            result: None,
        });
        self.bot.unit_mut(unit).start(Task(u32::from(tag)), command);
    }

    /// Completes one IN transfer of the status pipe.
    fn serve_status(&mut self) -> bool {
        let is_halted = self.bot.control().is_halted(STATUS);
        for at in 0..self.reports.len() {
            let Some(&(tag, report)) = self.reports.get(at) else {
                break;
            };
            let mut statuses = self.statuses.iter();
            let Some(to) = statuses.position(|status| is_of(status.stream, tag)) else {
                continue;
            };
            let Some(status) = self.statuses.remove(to) else {
                break;
            };
            if is_halted {
                let stall = Completion::failed(status.id, Direction::In, Status::STALL);
                self.events.push_back(stall);
                return true;
            }
            self.reports.remove(at);
            let (bytes, length) = report.to_bytes(tag);
            let mut bytes = self.arena.store(bytes.get(..length).unwrap_or(&bytes));
            let room = usize::try_from(status.length).unwrap_or(usize::MAX);
            let fits = if room < length {
                Status::OVERFLOW
            } else {
                Status::COMPLETED
            };
            bytes.truncate(room);
            let done = Completion::new(status.id, fits, Actual::In(bytes.into()));
            self.events.push_back(done);
            return true;
        }
        false
    }

    /// Completes all transfers of the pipes as cancelled, and drops all commands.
    fn restart(&mut self) {
        for pending in self.statuses.drain(..).chain(self.ins.drain(..)) {
            let cancelled = Completion::failed(pending.id, Direction::In, Status::CANCELLED);
            self.events.push_back(cancelled);
        }
        for pending in self.commands.drain(..).chain(self.outs.drain(..)) {
            self.events.push_back(pending.complete(Status::CANCELLED));
        }
        self.abort(|_| true);
        self.reports.clear();
        for number in 0..self.units().len() {
            self.drop_stale(number);
        }
    }
}

/// The number of a unit; none has the largest.
pub(super) fn number(lun: Address) -> usize {
    lun.map_or(usize::MAX, |lun| usize::from(lun.get()))
}

impl Function for UasDevice {
    fn submit(&mut self, transfer: Transfer) {
        if transfer.endpoint.is_control() || !self.is_uas() {
            let before = self.bot.restarts();
            self.bot.submit(transfer);
            if self.bot.restarts() != before {
                self.restart();
            }
            return self.advance();
        }
        let Kind::Data { stream } = transfer.kind else {
            return self.events.push_back(transfer.stall());
        };
        let has_right_kind = transfer.endpoint == COMMAND && stream.is_none()
            || transfer.endpoint != COMMAND && stream.is_some() == self.has_streams();
        let (id, endpoint) = (transfer.id, transfer.endpoint);
        match transfer.payload {
            Payload::In { length } if has_right_kind && endpoint == STATUS => {
                self.statuses.push_back(PendingIn { id, length, stream });
            }
            Payload::In { length } if has_right_kind && endpoint == DATA_IN => {
                self.ins.push_back(PendingIn { id, length, stream });
            }
            Payload::Out(data)
                if has_right_kind && (endpoint == COMMAND || endpoint == DATA_OUT) =>
            {
                let pending = PendingOut {
                    id,
                    length: u32::try_from(data.len()).unwrap_or(u32::MAX),
                    stream,
                    data,
                };
                if endpoint == COMMAND {
                    self.commands.push_back(pending);
                } else {
                    self.outs.push_back(pending);
                }
            }
            _ => return self.events.push_back(transfer.stall()),
        }
        self.advance();
    }

    fn cancel(&mut self, id: TransferId) {
        let ins = [&mut self.statuses, &mut self.ins];
        let cancelled = ins.into_iter().find_map(|queue| {
            let at = queue.iter().position(|pending| pending.id == id)?;
            queue.remove(at)?;
            Some(Completion::failed(id, Direction::In, Status::CANCELLED))
        });
        let outs = [&mut self.commands, &mut self.outs];
        let cancelled = cancelled.or_else(|| {
            outs.into_iter().find_map(|queue| {
                let at = queue.iter().position(|pending| pending.id == id)?;
                Some(queue.remove(at)?.complete(Status::CANCELLED))
            })
        });
        if let Some(cancelled) = cancelled {
            self.events.push_back(cancelled);
            // One behind it may be next now.
            return self.advance();
        }
        self.bot.cancel(id);
    }

    fn reset(&mut self) {
        self.bot.reset();
        self.restart();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        match self.events.pop_front() {
            Some(completion) => Some(FunctionEvent::Complete(completion)),
            None => self.bot.poll(),
        }
    }
}
