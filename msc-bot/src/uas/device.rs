//! The device: many commands at a time, on four pipes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use usb_descriptors::Direction;
use usb_transfer::{
    Completion, DeviceDescriptors, Function, FunctionEvent, Kind, Payload, Segments, Status,
    Transfer, TransferId,
};

use super::data::pipe;
use super::task::{PendingIn, PendingOut, Pipe, Running, next_enabled};
use super::unit::{Address, Attribute, Report, Request, Response};
use super::{ALTERNATE, COMMAND, DATA_IN, DATA_OUT, MAX_TASKS, STATUS};
use crate::arena::Arena;
use crate::{
    BlockError, BlockOp, BlockToken, BotDevice, BotError, BotOptions, LogicalUnit, Lun,
    MediumEvent, Sense, SenseKey, Task, UnitEvent,
};

/// Reports that wait for the host to take them: what all tasks can have to say, and as many
/// answers again. A host that asks more without listening is held back.
const MAX_REPORTS: usize = 4 * MAX_TASKS;

/// A command with an attribute that the unit does not know (SAM-5, 8.6).
const INVALID_MESSAGE: Sense = Sense::new(SenseKey::ILLEGAL_REQUEST, 0x49, 0x00);

/// A USB disk with USB Attached SCSI beside Bulk-Only Transport: the host chooses by the alternate
/// setting, 1 or 0.
///
/// Up to 32 commands are in progress at once, each with an operation of its own at the store. At
/// SuperSpeed the data and the status of each go by the stream of its number; where transfers
/// have no streams, as at high speed, the device says whose data is next, and the commands take
/// their turns in the order they came. Task attributes are kept (SAM-5, 8.6): an ordered command
/// begins when all before it in its unit are over.
///
/// What a host gives for a command ends with it: when a command is aborted, the data transfers that
/// were for it complete as cancelled; by streams, those that it did not need complete without data,
/// or swallowed, when it is over.
///
/// An information unit does not say how much the host expects to move, as a command wrapper does.
/// So of Bulk-Only Transport's thirteen cases (clause 6.7) the device can end seven: where both
/// agree, or the host expects more (1, 4, 5, 6, 9, 11, 12). Where the host expects less than the
/// command moves, or the other direction (2, 3, 7, 8, 10, 13), the device waits for the rest, which
/// could come in further transfers, until the host aborts the command or resets the unit; without
/// streams the commands behind it on that pipe wait too.
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
    statuses: Pipe<PendingIn>,
    pub(super) ins: Pipe<PendingIn>,
    pub(super) outs: Pipe<PendingOut>,
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
        let bot = BotDevice::build(options, units, true)?;
        let has_streams = bot.descriptors().speed.is_super();
        Ok(Self {
            bot,
            tasks: Vec::new(),
            commands: VecDeque::new(),
            statuses: Pipe::new(has_streams),
            ins: Pipe::new(has_streams),
            outs: Pipe::new(has_streams),
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
        // One that is ready waits, too, where another command was aborted meanwhile.
        let may_go = |op: &BlockOp| {
            let unit = self.units().get(op.token().unit());
            unit.is_some_and(|unit| !unit.has_stale())
        };
        let next = self.ops.iter().position(may_go);
        let next = next.and_then(|at| self.ops.remove(at));
        next.or_else(|| self.bot.poll_block())
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
            self.enable();
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

    /// Starts the commands whose turn has come.
    fn enable(&mut self) {
        while let Some(at) = next_enabled(&self.tasks) {
            let Some(task) = self.tasks.get_mut(at) else {
                return;
            };
            let Some(command) = task.dormant.take() else {
                return;
            };
            let unit = self.bot.unit_mut(task.unit);
            unit.start(Task(u32::from(task.tag)), &command);
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

    /// Tells of commands that are over: those whose data phase, if it has begun, is.
    fn conclude(&mut self) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            let is_over =
                |result: &Result<(), Sense>| task.left == 0 || result.is_err() && !task.announced;
            let Some(result) = task.result.filter(is_over) else {
                at = at.saturating_add(1);
                continue;
            };
            let task = self.tasks.remove(at);
            self.end_transfers(&task, Status::COMPLETED);
            self.leave_pipes(task.tag);
            self.reports.push_back((task.tag, Report::Status(result)));
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

    pub(super) fn has_streams(&self) -> bool {
        self.ins.has_streams()
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
            let request = Request::parse(&core::mem::take(&mut next.data));
            let tag = match &request {
                Ok(request) => request.tag(),
                Err(tag) => tag.unwrap_or(0),
            };
            // Nobody could hear of a tag that has no stream.
            if self.statuses.of_tag(tag).is_some() {
                self.take_request(tag, request.ok());
            }
        }
        self.events.push_back(next.complete(status));
        true
    }

    fn take_request(&mut self, tag: u16, request: Option<Request>) {
        let response = match request {
            Some(Request::Command {
                attribute,
                lun,
                command,
                ..
            }) => return self.begin(tag, attribute, lun, command),
            Some(Request::TaskManagement {
                function,
                task,
                lun,
                ..
            }) => self.manage(function, task, lun),
            None => Response::InvalidUnit,
        };
        self.reports.push_back((tag, Report::Response(response)));
    }

    fn begin(&mut self, tag: u16, attribute: u8, lun: Address, command: [u8; 16]) {
        if self.tasks.iter().any(|task| task.tag == tag) {
            self.abort(|task| task.tag == tag);
            let overlapped = Report::Response(Response::OverlappedTag);
            return self.reports.push_back((tag, overlapped));
        }
        if self.tasks.len() >= MAX_TASKS {
            return self.reports.push_back((tag, Report::TaskSetFull));
        }
        let attribute = Attribute::of(attribute);
        self.tasks.push(Running {
            tag,
            unit: number(lun),
            attribute: attribute.unwrap_or(Attribute::Simple),
            dormant: attribute.map(|_| command),
            direction: None,
            left: 0,
            announced: false,
            data: Segments::new(),
            wanted: 0,
            result: attribute.is_none().then_some(Err(INVALID_MESSAGE)),
        });
    }

    /// Completes one IN transfer of the status pipe.
    fn serve_status(&mut self) -> bool {
        if self.bot.control().is_halted(STATUS) {
            let stalled = self.statuses.drain();
            let before = self.events.len();
            self.events
                .extend(stalled.map(|each| each.complete(Status::STALL)));
            return self.events.len() > before;
        }
        for at in 0..self.reports.len() {
            let Some(&(tag, report)) = self.reports.get(at) else {
                break;
            };
            let queue = self.statuses.of_tag(tag);
            let to = queue.and_then(|queue| self.statuses.take_oldest(queue));
            let Some(mut to) = to else {
                continue;
            };
            let (bytes, length) = report.to_bytes(tag);
            let mut bytes = self.arena.store(bytes.get(..length).unwrap_or(&bytes));
            let room = to.room();
            bytes.truncate(room);
            // One that asks for nothing gets that.
            let status = if room > 0 && room < length {
                Status::OVERFLOW
            } else {
                Status::COMPLETED
            };
            if room > 0 {
                self.reports.remove(at);
            }
            to.data = bytes.into();
            self.events.push_back(to.complete(status));
            return true;
        }
        false
    }

    /// Completes all transfers of the pipes as cancelled, drops all commands, and is what the
    /// alternate setting says.
    fn restart(&mut self) {
        let ins = self.statuses.drain().chain(self.ins.drain());
        let cancelled = ins.map(|pending| pending.complete(Status::CANCELLED));
        self.events.extend(cancelled);
        let outs = self.commands.drain(..).chain(self.outs.drain());
        let cancelled = outs.map(|pending| pending.complete(Status::CANCELLED));
        self.events.extend(cancelled);
        self.abort(|_| true);
        self.reports.clear();
        let has_queue = self.is_uas();
        for number in 0..self.units().len() {
            self.drop_stale(number);
            self.bot.unit_mut(number).set_queue(has_queue);
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
        let (id, endpoint) = (transfer.id, transfer.endpoint);
        match transfer.payload {
            Payload::In { length } if endpoint == STATUS || endpoint == DATA_IN => {
                let pipe = if endpoint == STATUS {
                    &mut self.statuses
                } else {
                    &mut self.ins
                };
                let Some(queue) = pipe.of_stream(stream) else {
                    let stall = Completion::failed(id, Direction::In, Status::STALL);
                    return self.events.push_back(stall);
                };
                queue.push_back(PendingIn {
                    id,
                    length,
                    data: Segments::new(),
                });
            }
            Payload::Out(data) if endpoint == COMMAND || endpoint == DATA_OUT => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                let pending = PendingOut { id, length, data };
                let queue = if endpoint == DATA_OUT {
                    self.outs.of_stream(stream)
                } else if stream.is_none() {
                    Some(&mut self.commands)
                } else {
                    None
                };
                let Some(queue) = queue else {
                    return self.events.push_back(pending.complete(Status::STALL));
                };
                queue.push_back(pending);
            }
            _ => return self.events.push_back(transfer.stall()),
        }
        self.advance();
    }

    fn cancel(&mut self, id: TransferId) {
        let ins = self.statuses.remove(|pending| pending.id == id);
        let ins = ins.or_else(|| self.ins.remove(|pending| pending.id == id));
        let command = self.commands.iter().position(|pending| pending.id == id);
        let command = command.and_then(|at| self.commands.remove(at));
        let outs = command.or_else(|| self.outs.remove(|pending| pending.id == id));
        let cancelled = match (ins, outs) {
            (Some(pending), _) => pending.complete(Status::CANCELLED),
            (None, Some(pending)) => pending.complete(Status::CANCELLED),
            (None, None) => return self.bot.cancel(id),
        };
        self.events.push_back(cancelled);
        // One behind it may be next now.
        self.advance();
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
