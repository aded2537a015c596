//! The device: command, data, status.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::{
    Actual, Change, Completion, Control, ControlEndpoint, DeviceDescriptors, Function,
    FunctionEvent, Kind, Payload, Segments, Status, Transfer, TransferId,
};

use super::options::{BULK_IN, BULK_OUT, INTERFACE};
use super::wrapper::{CommandStatus, CommandWrapper, StatusWrapper};
use super::{BotError, BotOptions, ShortIn, request};
use crate::arena::Arena;
use crate::scsi::READ_CHUNK;
use crate::{
    BlockError, BlockOp, BlockToken, LogicalUnit, Lun, MediumEvent, Sense, Task, UnitEvent,
};

/// BOT runs one command at a time.
const TASK: Task = Task(0);

/// SPC-4, 6.6.
const INQUIRY: u8 = 0x12;

/// The most that one IN transfer may ask for, and so the most that is gathered for one, in bytes:
/// above, it fails for want of memory, as it would at a real host controller. Hosts ask for 1 MiB
/// at most.
pub(crate) const MAX_IN: u32 = 16 << 20;

/// A USB disk: one or more [`LogicalUnit`]s behind Bulk-Only Transport.
///
/// It is a [`Function`] towards the host, and asks its store by [`poll_block`](Self::poll_block)
/// and [`finish`](Self::finish). When a host's command is malformed, of another direction or
/// another length than the unit's, it does what BOT 1.0 (clause 6) allows without a stall: data
/// that is missing is padded with zeros, data that is too much is swallowed, the rest is in the
/// status. Only a command wrapper that is not valid stalls, until the host resets the transport –
/// and with [`ShortIn::Stall`] the end of data that is short.
///
/// * A read is asked of the store when its command comes, before the host asks for the data.
///   What the store gives reaches the host's transfer uncopied.
/// * An OUT transfer is complete when its data is handed to the store or next in line, which is
///   the back-pressure: at most two pieces are on their way. The command's status comes when the
///   store has taken all, and tells of its errors.
/// * Resets, configuration and alternate setting complete what is pending as cancelled, drop the
///   command, and let no new operation of a unit out before its old ones are finished.
///
/// ```
/// use bytes::Bytes;
/// use msc_bot::{BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, UnitOptions};
/// use usb_descriptors::Speed;
/// use usb_transfer::{Segments, exchange};
///
/// let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
/// let mut disk = BotDevice::new(BotOptions::new(Speed::High), [unit])?;
/// let mut store = vec![0x5a; 64 * 512];
/// let mut host = Initiator::new(disk.descriptors())?;
/// let ticket = host.read(3, 2);
/// let (done, data) = loop {
///     exchange(&mut host, &mut disk);
///     if let Some(result) = host.result() { break result }
///     while let Some(op) = disk.poll_block() {
///         let token = op.token();
///         let result = match op {
///             BlockOp::Read { offset, length, .. } => {
///                 let at = offset as usize;
///                 Bytes::copy_from_slice(&store[at..at + length as usize]).into()
///             }
///             BlockOp::Write { offset, data, .. } => {
///                 store[offset as usize..][..data.len()].copy_from_slice(&data);
///                 Segments::new()
///             }
///             _ => Segments::new(),
///         };
///         disk.finish(token, Ok(result));
///     }
/// };
/// assert_eq!(done, ticket);
/// assert_eq!(data?.len(), 1024);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BotDevice {
    control: ControlEndpoint,
    short_in: ShortIn,
    units: Vec<LogicalUnit>,
    /// Answers for the units that are not there.
    absent: LogicalUnit,
    stage: Stage,
    ins: VecDeque<PendingIn>,
    outs: VecDeque<PendingOut>,
    events: VecDeque<Completion>,
    /// The operation to hand out.
    op: Option<BlockOp>,
    arena: Arena,
    /// How often all was dropped.
    restarts: u32,
}

#[derive(Debug)]
struct PendingIn {
    id: TransferId,
    length: u32,
}

#[derive(Debug)]
struct PendingOut {
    id: TransferId,
    length: u32,
    /// What is not taken yet.
    data: Bytes,
}

impl PendingOut {
    fn taken(&self) -> u32 {
        let left = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.length.saturating_sub(left)
    }
}

#[derive(Debug)]
enum Stage {
    /// A command wrapper is due.
    Command,
    Data(Exchange),
    /// A status wrapper is due.
    Status(StatusWrapper),
    /// A wrapper was not valid: both endpoints stall until the transport is reset
    /// (BOT 1.0, 6.6.1).
    Wedged,
}

/// A command in progress.
#[derive(Debug)]
struct Exchange {
    unit: usize,
    tag: u32,
    direction: Direction,
    /// The bytes that the host expects to move.
    expected: u32,
    /// Of these, moved.
    moved: u32,
    /// Of these, the unit's own, not padding.
    relevant: u32,
    /// For the host, from the unit.
    data: Segments,
    /// What the unit wants of the host.
    wanted: u32,
    /// An INQUIRY: some hosts allow for more bytes in the command than in its wrapper, and the
    /// answer has grown since the standard's first 36.
    is_inquiry: bool,
    outcome: Option<CommandStatus>,
}

impl Exchange {
    fn left(&self) -> u32 {
        self.expected.saturating_sub(self.moved)
    }

    /// Whether host and device mean a data phase that both can live with: cases 2, 3, 7, 8, 10
    /// and 13 of the thirteen cannot (BOT 1.0, table 6.1).
    fn agrees(&self, direction: Option<Direction>, length: u64) -> bool {
        match direction {
            None => true,
            Some(direction) => {
                let fits = length <= u64::from(self.expected) || self.is_inquiry;
                direction == self.direction && fits
            }
        }
    }

    fn status(&self, status: CommandStatus) -> StatusWrapper {
        StatusWrapper {
            tag: self.tag,
            residue: self.expected.saturating_sub(self.relevant),
            status,
        }
    }
}

impl BotDevice {
    /// A device of at least one unit, which get the numbers 0, 1 and so on.
    ///
    /// # Errors
    /// [`BotError`] where there can be no such device.
    pub fn new(
        options: BotOptions,
        units: impl IntoIterator<Item = LogicalUnit>,
    ) -> Result<Self, BotError> {
        Self::build(options, units, false)
    }

    /// With `uas`, for a device that has that beside.
    pub(crate) fn build(
        options: BotOptions,
        units: impl IntoIterator<Item = LogicalUnit>,
        uas: bool,
    ) -> Result<Self, BotError> {
        let mut units: Vec<LogicalUnit> = units.into_iter().collect();
        let count = u8::try_from(units.len()).map_err(|_| BotError::TooManyUnits)?;
        if count == 0 {
            return Err(BotError::NoUnit);
        }
        for (number, unit) in (0..count).zip(&mut units) {
            unit.place(Lun::new(number).ok_or(BotError::TooManyUnits)?, count);
        }
        Ok(Self {
            short_in: options.short_in,
            control: ControlEndpoint::new(options.descriptors(uas)?),
            units,
            absent: LogicalUnit::absent(),
            stage: Stage::Command,
            ins: VecDeque::new(),
            outs: VecDeque::new(),
            events: VecDeque::new(),
            op: None,
            arena: Arena::new(),
            restarts: 0,
        })
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.control.descriptors()
    }

    /// Its units, by number.
    #[must_use]
    pub fn units(&self) -> &[LogicalUnit] {
        &self.units
    }

    /// What the store is to do next; `None` for now. At most one operation of a command is out at
    /// a time.
    pub fn poll_block(&mut self) -> Option<BlockOp> {
        let op = self.op.take();
        if op.is_some() {
            self.advance();
        }
        op
    }

    /// Tells how an operation ended, as [`LogicalUnit::finish`] says.
    /// One that was not handed out yet cannot have ended, and is not taken to have.
    pub fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>) {
        if self.op.as_ref().is_some_and(|op| op.token() == token) {
            return;
        }
        if let Some(unit) = self.units.get_mut(token.unit()) {
            unit.finish(token, result);
            self.advance();
        }
    }

    /// The unit of a number, and what answers where there is none.
    pub(crate) fn unit_mut(&mut self, number: usize) -> &mut LogicalUnit {
        self.units.get_mut(number).unwrap_or(&mut self.absent)
    }

    pub(crate) const fn control(&self) -> &ControlEndpoint {
        &self.control
    }

    pub(crate) const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What a host did with the medium of a unit; `None` for now.
    pub fn poll_medium(&mut self) -> Option<(Lun, MediumEvent)> {
        let mut units = self.units.iter_mut();
        units.find_map(|unit| Some((unit.lun(), unit.poll_medium()?)))
    }

    /// Puts a medium into a unit: [`LogicalUnit::insert`]. A number without a unit is ignored,
    /// here and in the others.
    pub fn insert(&mut self, lun: Lun, blocks: u64, read_only: bool) {
        self.change(lun, |unit| unit.insert(blocks, read_only));
    }

    /// Takes the medium out of a unit: [`LogicalUnit::remove`].
    pub fn remove(&mut self, lun: Lun) {
        self.change(lun, LogicalUnit::remove);
    }

    /// Makes the medium of a unit larger or smaller: [`LogicalUnit::resize`].
    pub fn resize(&mut self, lun: Lun, blocks: u64) {
        self.change(lun, |unit| unit.resize(blocks));
    }

    /// Protects the medium of a unit, or no longer: [`LogicalUnit::write_protect`].
    pub fn write_protect(&mut self, lun: Lun, read_only: bool) {
        self.change(lun, |unit| unit.write_protect(read_only));
    }

    fn change(&mut self, lun: Lun, change: impl FnOnce(&mut LogicalUnit)) {
        let Some(unit) = self.units.get_mut(usize::from(lun.get())) else {
            return;
        };
        change(unit);
        // What was not handed out before its command ended never will be.
        if let Some(op) = self.op.take_if(|op| unit.is_stale(op.token())) {
            unit.finish(op.token(), Err(BlockError::Hardware));
        }
        self.advance();
    }

    /// Does all that can be done without the host and the store.
    fn advance(&mut self) {
        loop {
            self.follow_unit();
            self.settle();
            let moved_in = self.serve_in();
            let moved_out = self.serve_out();
            if !moved_in && !moved_out {
                break;
            }
        }
    }

    /// Takes the events of the unit that is at work. Data for the host is taken one piece ahead.
    fn follow_unit(&mut self) {
        let Stage::Data(exchange) = &mut self.stage else {
            return;
        };
        let unit = self
            .units
            .get_mut(exchange.unit)
            .unwrap_or(&mut self.absent);
        let asked = self.ins.front().map_or(0, |next| next.length);
        let enough = READ_CHUNK.max(asked.min(MAX_IN).min(exchange.left()));
        let enough = usize::try_from(enough).unwrap_or(usize::MAX);
        while self.op.is_none() && exchange.outcome.is_none() && exchange.data.len() < enough {
            match unit.poll() {
                None => break,
                Some(UnitEvent::Block(op)) => self.op = Some(op),
                Some(UnitEvent::Phase(task, direction, length)) => {
                    if !exchange.agrees(direction, length) {
                        unit.abort(task);
                        exchange.outcome = Some(CommandStatus::PhaseError);
                    }
                }
                Some(UnitEvent::In(_, data)) if exchange.data.is_empty() => exchange.data = data,
                Some(UnitEvent::In(_, data)) => exchange.data.append(data),
                Some(UnitEvent::WantOut(_, wanted)) => exchange.wanted = wanted,
                Some(UnitEvent::Done(_, Ok(()))) => {
                    exchange.outcome = Some(CommandStatus::Passed);
                }
                Some(UnitEvent::Done(_, Err(sense))) => {
                    unit.keep_sense(sense);
                    exchange.outcome = Some(CommandStatus::Failed);
                }
            }
        }
    }

    /// Goes to the status when all is moved and the outcome is known.
    fn settle(&mut self) {
        let Stage::Data(exchange) = &self.stage else {
            return;
        };
        let Some(status) = exchange.outcome else {
            return;
        };
        let is_short = exchange.left() > 0;
        if is_short {
            let has_all = exchange.direction == Direction::In && exchange.data.is_empty();
            if self.short_in == ShortIn::Pad || !has_all {
                return;
            }
            // The status is held until the host has cleared the halt.
            self.control.set_halted(BULK_IN, true);
        }
        self.stage = Stage::Status(exchange.status(status));
    }

    /// Completes the oldest IN transfer if there is what it waits for.
    fn serve_in(&mut self) -> bool {
        let Some(&PendingIn { id, length }) = self.ins.front() else {
            return false;
        };
        let completion = if self.control.is_halted(BULK_IN) {
            Completion::failed(id, Direction::In, Status::STALL)
        } else if length > MAX_IN {
            Completion::failed(id, Direction::In, Status::NO_MEMORY)
        } else {
            match &mut self.stage {
                Stage::Data(exchange)
                    if exchange.direction == Direction::In && exchange.left() > 0 =>
                {
                    let piece = length.min(exchange.left());
                    let size = usize::try_from(piece).unwrap_or(usize::MAX);
                    if exchange.data.len() < size && exchange.outcome.is_none() {
                        return false;
                    }
                    let mut data = exchange.data.split_to(size);
                    let relevant = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    if self.short_in == ShortIn::Pad {
                        data.push_zeros(size.saturating_sub(data.len()));
                    }
                    let moved = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    exchange.moved = exchange.moved.saturating_add(moved);
                    exchange.relevant = exchange.relevant.saturating_add(relevant);
                    Completion::new(id, Status::COMPLETED, Actual::In(data))
                }
                Stage::Status(status) => {
                    let mut bytes = self.arena.store(&status.to_bytes());
                    let room = usize::try_from(length).unwrap_or(usize::MAX);
                    if room > 0 {
                        self.stage = Stage::Command;
                    }
                    // A host that asks for less than a status gets what fits; one that asks for
                    // nothing gets that, and the status afterwards.
                    let status = if room > 0 && room < bytes.len() {
                        Status::OVERFLOW
                    } else {
                        Status::COMPLETED
                    };
                    bytes.truncate(room);
                    Completion::new(id, status, Actual::In(bytes.into()))
                }
                _ => return false,
            }
        };
        self.ins.pop_front();
        self.events.push_back(completion);
        true
    }

    /// Takes of the oldest OUT transfer what can be taken, and completes it when all is.
    fn serve_out(&mut self) -> bool {
        let Some(next) = self.outs.front_mut() else {
            return false;
        };
        let mut status = Status::COMPLETED;
        if self.control.is_halted(BULK_OUT) {
            status = Status::STALL;
        } else {
            match &mut self.stage {
                Stage::Command => {
                    let wrapper = CommandWrapper::parse(&core::mem::take(&mut next.data));
                    match wrapper {
                        Some(wrapper) => self.begin(wrapper),
                        None => self.wedge(),
                    }
                }
                Stage::Data(exchange)
                    if exchange.direction == Direction::Out && exchange.left() > 0 =>
                {
                    if exchange.outcome.is_none() && !next.data.is_empty() {
                        let piece = exchange.wanted.min(exchange.left());
                        if piece == 0 {
                            return false;
                        }
                        let size = usize::try_from(piece).unwrap_or(usize::MAX);
                        let data = next.data.split_to(size.min(next.data.len()));
                        let taken = u32::try_from(data.len()).unwrap_or(u32::MAX);
                        exchange.wanted = 0;
                        exchange.moved = exchange.moved.saturating_add(taken);
                        exchange.relevant = exchange.relevant.saturating_add(taken);
                        if let Some(unit) = self.units.get_mut(exchange.unit) {
                            unit.data_out(TASK, data);
                        }
                        if !next.data.is_empty() && exchange.left() > 0 {
                            return true;
                        }
                    } else {
                        // Nobody wants it.
                        let taken = u32::try_from(next.data.len()).unwrap_or(u32::MAX);
                        exchange.moved = exchange.moved.saturating_add(taken);
                    }
                    // What is beyond the data phase is dropped.
                    next.data.clear();
                }
                _ => return false,
            }
        }
        if let Some(done) = self.outs.pop_front() {
            let completion = Completion::new(done.id, status, Actual::Out(done.taken()));
            self.events.push_back(completion);
        }
        true
    }

    fn begin(&mut self, wrapper: CommandWrapper) {
        let unit = usize::from(wrapper.lun);
        let mut exchange = Exchange {
            unit,
            tag: wrapper.tag,
            direction: wrapper.direction,
            expected: wrapper.data_length,
            moved: 0,
            relevant: 0,
            data: Segments::new(),
            wanted: 0,
            is_inquiry: false,
            outcome: None,
        };
        let unit = self.units.get_mut(unit).unwrap_or(&mut self.absent);
        if let Some(sent) = wrapper.sent() {
            exchange.is_inquiry = sent.first() == Some(&INQUIRY) && wrapper.data_length > 0;
            unit.start_sent(TASK, sent);
        } else {
            unit.keep_sense(Sense::INVALID_FIELD);
            exchange.outcome = Some(CommandStatus::Failed);
        }
        self.stage = Stage::Data(exchange);
    }

    fn wedge(&mut self) {
        self.stage = Stage::Wedged;
        self.control.set_halted(BULK_IN, true);
        self.control.set_halted(BULK_OUT, true);
    }

    /// Completes all bulk transfers as cancelled.
    fn cancel_all(&mut self) {
        for pending in self.ins.drain(..) {
            let completion = Completion::failed(pending.id, Direction::In, Status::CANCELLED);
            self.events.push_back(completion);
        }
        for pending in self.outs.drain(..) {
            let moved = Actual::Out(pending.taken());
            let completion = Completion::new(pending.id, Status::CANCELLED, moved);
            self.events.push_back(completion);
        }
    }

    /// Drops the command, and waits for the next.
    fn restart(&mut self) {
        self.restarts = self.restarts.wrapping_add(1);
        self.cancel_all();
        self.stage = Stage::Command;
        for unit in &mut self.units {
            unit.reset();
        }
        self.absent.reset();
        // What was not handed out never will be.
        if let Some(op) = self.op.take() {
            if let Some(unit) = self.units.get_mut(op.token().unit()) {
                unit.finish(op.token(), Err(BlockError::Hardware));
            }
        }
    }

    fn submit_control(&mut self, transfer: Transfer) {
        let completion = match self.control.submit(transfer) {
            Control::Done(completion) => completion,
            Control::Changed(change, completion) => {
                match change {
                    Change::Configuration(_) | Change::Interface { .. } => self.restart(),
                    // Only a reset of the transport frees it (BOT 1.0, 6.6.1).
                    Change::Halt(endpoint, false) if matches!(self.stage, Stage::Wedged) => {
                        self.control.set_halted(endpoint, true);
                    }
                    _ => {}
                }
                // What the change stopped is told first.
                self.advance();
                completion
            }
            Control::Request(transfer) => self.class_request(transfer),
        };
        self.events.push_back(completion);
    }

    /// Requests with other parameters than the specification's are stalled.
    fn class_request(&mut self, transfer: Transfer) -> Completion {
        let Kind::Control(setup) = transfer.kind else {
            return transfer.stall();
        };
        let addressed = setup.value == 0
            && setup.index == u16::from(INTERFACE)
            && self.control.alternate_setting(INTERFACE) == Some(0);
        match (setup.request_type, setup.request, setup.length) {
            (request::TYPE_OUT, request::RESET, 0) if addressed => {
                // Halts and toggles stay (BOT 1.0, 3.1).
                self.restart();
                transfer.complete_out()
            }
            (request::TYPE_IN, request::GET_MAX_LUN, 1) if addressed => {
                let last = self.units.len().saturating_sub(1);
                let answer = self.arena.store(&[u8::try_from(last).unwrap_or(0)]);
                let mut answer = Segments::from(answer);
                answer.truncate(transfer.payload.len());
                transfer.complete_in(answer)
            }
            _ => transfer.stall(),
        }
    }
}

impl Function for BotDevice {
    fn submit(&mut self, transfer: Transfer) {
        if transfer.endpoint.is_control() {
            return self.submit_control(transfer);
        }
        let exists = self.control.endpoints().get(transfer.endpoint).is_some();
        let is_bulk = matches!(transfer.kind, Kind::Data { stream: None });
        let id = transfer.id;
        match transfer.payload {
            Payload::In { length } if exists && is_bulk && transfer.endpoint == BULK_IN => {
                self.ins.push_back(PendingIn { id, length });
            }
            Payload::Out(data) if exists && is_bulk && transfer.endpoint == BULK_OUT => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                self.outs.push_back(PendingOut { id, length, data });
            }
            _ => return self.events.push_back(transfer.stall()),
        }
        self.advance();
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(at) = self.ins.iter().position(|pending| pending.id == id) {
            self.ins.remove(at);
            let completion = Completion::failed(id, Direction::In, Status::CANCELLED);
            self.events.push_back(completion);
        } else if let Some(at) = self.outs.iter().position(|pending| pending.id == id) {
            let taken = self.outs.remove(at).map_or(0, |pending| pending.taken());
            let completion = Completion::new(id, Status::CANCELLED, Actual::Out(taken));
            self.events.push_back(completion);
        }
        // One behind it may be next now.
        self.advance();
    }

    fn reset(&mut self) {
        self.restart();
        self.control.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front().map(FunctionEvent::Complete)
    }
}
