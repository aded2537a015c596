//! The host's side of the transport: many commands at a time.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use bytes::Bytes;
use usb_descriptors::{Direction, SetupPacket};
use usb_transfer::{
    Actual, Completion, HostEvent, Kind, Segments, Status, StreamId, Transfer, TransferId,
    TransferIds,
};

use super::Pipes;
use super::recovery::Stage;
use super::unit::{BUSY, GOOD, Request, TASK_SET_FULL, Told};
use crate::Lun;
use crate::arena::Arena;
use crate::host::{self, DataPhase, End, Event};

/// Commands and task management for one device.
///
/// Without streams, the device says whose data is on a pipe next. To wait for that costs a round
/// trip for each command. So data of reads is asked for ahead, with the command: whose it will be,
/// the device says, but how much each of them asks for must be the same for all. Reads of another
/// length wait for those to be done. What was asked for ahead and is not needed, since a command
/// failed before it had data, serves the next, or is called off when there is none. After a stall
/// of the pipe nothing is asked for ahead any more, and what comes of that all the same is not
/// trusted.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(super) pipes: Pipes,
    ids: TransferIds,
    pub(super) events: VecDeque<HostEvent>,
    /// Transfers that were asked for and did not complete.
    pub(super) transfers: Vec<Pending>,
    pub(super) tasks: Vec<Running>,
    /// Tasks at a time.
    pub(super) room: usize,
    next_tag: u16,
    arena: Arena,
    pub(super) told: VecDeque<Event>,
    pub(super) stage: Stage,
    /// What was said of no task since the last reset.
    pub(super) strays: usize,
    /// Data may be asked for ahead.
    pub(super) asks_ahead: bool,
    /// What was asked for ahead and is nobody's yet, in order.
    pub(super) ahead: VecDeque<Ahead>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) id: TransferId,
    pub(super) role: Role,
    is_submitted: bool,
    is_withdrawn: bool,
}

/// What a transfer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Control,
    /// The command of a tag, or a task management function.
    Request(u16),
    /// The status of a stream; without streams any.
    Status(u16),
    /// Data of a tag.
    Data(u16, Direction),
    /// Data of a read, whose is not known yet.
    Ahead,
}

#[derive(Debug)]
pub(super) struct Ahead {
    id: TransferId,
    length: u32,
    /// It is complete: the device has not yet said for whom.
    done: Option<Completion>,
}

/// A command under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tag: u16,
    key: u64,
    direction: Direction,
    expected: u32,
    /// What is to be sent.
    data: Bytes,
    is_sent: bool,
    pub(super) moves: Moves,
    /// Of the expected bytes, those that were moved.
    moved: u32,
    received: Segments,
    pub(super) end: Option<End>,
}

/// How far the data of a command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moves {
    /// The device has not asked for it.
    Waiting,
    /// It has, and the pipe is not usable at the time, or has stalled.
    Ready,
    Asked {
        id: TransferId,
        ahead: bool,
    },
    /// None, or no more.
    Over,
}

impl Transport {
    pub(crate) fn new(pipes: Pipes) -> Self {
        Self {
            pipes,
            ids: TransferIds::default(),
            events: VecDeque::new(),
            transfers: Vec::new(),
            tasks: Vec::new(),
            room: pipes.tags(),
            next_tag: 0,
            arena: Arena::new(),
            told: VecDeque::new(),
            stage: Stage::Ready,
            strays: 0,
            asks_ahead: !pipes.has_streams(),
            ahead: VecDeque::new(),
        }
    }

    /// The tag of task management: above those of commands.
    pub(super) fn management_tag(&self) -> u16 {
        u16::try_from(self.pipes.tags())
            .unwrap_or(u16::MAX)
            .saturating_add(1)
    }

    pub(super) fn task(&mut self, tag: u16) -> Option<&mut Running> {
        self.tasks.iter_mut().find(|task| task.tag == tag)
    }

    /// A tag that is free, in turn, so that what comes late is not taken for another's.
    fn mint_tag(&mut self) -> u16 {
        let count = self.management_tag();
        for _ in 0..count {
            self.next_tag = self.next_tag.saturating_add(1);
            if self.next_tag >= count {
                self.next_tag = 1;
            }
            let tag = self.next_tag;
            if self.task(tag).is_none() {
                break;
            }
        }
        self.next_tag
    }

    pub(super) fn submit(&mut self, transfer: Transfer, role: Role) -> TransferId {
        let id = transfer.id;
        self.transfers.push(Pending {
            id,
            role,
            is_submitted: false,
            is_withdrawn: false,
        });
        self.events.push_back(HostEvent::Submit(transfer));
        id
    }

    pub(super) fn ask_control(&mut self, setup: SetupPacket) -> TransferId {
        let transfer = Transfer::control_in(self.ids.mint(), setup);
        self.submit(transfer, Role::Control)
    }

    /// Sends a command or a task management function.
    pub(super) fn request(&mut self, tag: u16, request: Request) {
        let (bytes, length) = request.to_bytes();
        let bytes = self.arena.store(bytes.get(..length).unwrap_or(&bytes));
        let transfer = Transfer::data_out(self.ids.mint(), self.pipes.command, bytes);
        self.submit(transfer, Role::Request(tag));
    }

    fn on_stream(&self, mut transfer: Transfer, tag: u16) -> Transfer {
        if self.pipes.has_streams() {
            let stream = NonZeroU16::new(tag).map(StreamId);
            transfer.kind = Kind::Data { stream };
        }
        transfer
    }

    /// Asks for the status of a stream; without streams, for as many as may come.
    pub(super) fn ask_status(&mut self, tag: u16) {
        if self.pipes.has_streams() {
            return self.ask_one_status(tag);
        }
        let tasks = self.tasks.iter();
        let wanted = tasks.fold(0usize, |wanted, task| {
            let status = usize::from(task.end.is_none());
            let ready = usize::from(task.end.is_none() && task.moves == Moves::Waiting);
            wanted.saturating_add(status).saturating_add(ready)
        });
        let wanted = wanted.saturating_add(usize::from(self.stage.is_managing()));
        let is_status = |each: &&Pending| matches!(each.role, Role::Status(_));
        let asked = self.transfers.iter().filter(is_status).count();
        for _ in asked..wanted {
            self.ask_one_status(tag);
        }
    }

    fn ask_one_status(&mut self, tag: u16) {
        let transfer = Transfer::data_in(self.ids.mint(), self.pipes.status, Told::LONGEST);
        let transfer = self.on_stream(transfer, tag);
        self.submit(transfer, Role::Status(tag));
    }

    /// Moves the data of a task whose turn it is.
    fn ask_data(&mut self, tag: u16) {
        let id = self.ids.mint();
        let Some(task) = self.tasks.iter_mut().find(|task| task.tag == tag) else {
            return;
        };
        let direction = task.direction;
        let endpoint = self.pipes.data(direction);
        let transfer = match direction {
            Direction::In => Transfer::data_in(id, endpoint, task.expected),
            Direction::Out => Transfer::data_out(id, endpoint, task.data.clone()),
        };
        task.moves = Moves::Asked { id, ahead: false };
        let transfer = self.on_stream(transfer, tag);
        self.submit(transfer, Role::Data(tag, direction));
    }

    fn ask_ahead(&mut self, length: u32) {
        let transfer = Transfer::data_in(self.ids.mint(), self.pipes.data_in, length);
        let id = self.submit(transfer, Role::Ahead);
        self.ahead.push_back(Ahead {
            id,
            length,
            done: None,
        });
    }

    /// Reads that the device has not begun to answer.
    fn waiting_reads(&self) -> usize {
        let waits = |task: &&Running| {
            task.direction == Direction::In && task.moves == Moves::Waiting && task.end.is_none()
        };
        self.tasks.iter().filter(waits).count()
    }

    /// Calls a transfer off: before it is sent, or by a cancel.
    pub(super) fn withdraw(&mut self, id: TransferId) {
        let mut transfers = self.transfers.iter_mut();
        let Some(pending) = transfers.find(|pending| pending.id == id) else {
            return;
        };
        if core::mem::replace(&mut pending.is_withdrawn, true) {
            return;
        }
        if pending.is_submitted {
            return self.events.push_back(HostEvent::Cancel(id));
        }
        self.events
            .retain(|event| !matches!(event, HostEvent::Submit(each) if each.id == id));
        self.transfers.retain(|pending| pending.id != id);
        self.ahead.retain(|ahead| ahead.id != id);
    }

    /// Calls off the status of a stream whose task was aborted.
    pub(super) fn withdraw_status(&mut self, tag: u16) {
        let is_it = |pending: &&Pending| pending.role == Role::Status(tag);
        if let (true, Some(pending)) = (self.pipes.has_streams(), self.transfers.iter().find(is_it))
        {
            self.withdraw(pending.id);
        }
    }

    /// Calls off all that was asked for ahead and is nobody's.
    pub(super) fn withdraw_ahead(&mut self) {
        for at in (0..self.ahead.len()).rev() {
            if let Some(id) = self.ahead.get(at).map(|ahead| ahead.id) {
                self.withdraw(id);
            }
        }
    }

    /// What the device says on the status pipe.
    pub(super) fn take_status(&mut self, bytes: &[u8]) {
        let Some((tag, told)) = Told::parse(bytes) else {
            return self.reset();
        };
        if let (Told::Response(code), true) = (told, self.stage.is_managing()) {
            if tag == self.management_tag() {
                return self.managed(code);
            }
        }
        let Some(task) = self.task(tag).filter(|task| task.end.is_none()) else {
            return self.stray();
        };
        match told {
            Told::Ready(direction) => {
                if task.direction != direction || task.moves != Moves::Waiting {
                    return self.reset();
                }
                self.ready(tag, direction);
            }
            Told::Status(GOOD, _) => {
                let passed = End::Passed {
                    data: Segments::new(),
                    missing: 0,
                };
                self.answer(tag, passed);
            }
            Told::Status(TASK_SET_FULL | BUSY, _) => {
                self.room = self.tasks.len().saturating_sub(1).max(1);
                self.answer(tag, End::Busy);
            }
            Told::Status(_, sense) => self.answer(tag, End::Failed(sense)),
            // The device did not take it for a command (UAS r04, table 15).
            Told::Response(_) => self.answer(tag, End::Broken),
        }
    }

    /// The pipe is the task's.
    fn ready(&mut self, tag: u16, direction: Direction) {
        let ahead = match direction {
            Direction::In => self.ahead.pop_front(),
            Direction::Out => None,
        };
        let is_usable = self.stage.is_ready();
        let Some(task) = self.task(tag) else { return };
        let Some(ahead) = ahead else {
            task.moves = Moves::Ready;
            if is_usable {
                self.ask_data(tag);
            }
            return;
        };
        let id = ahead.id;
        task.moves = Moves::Asked { id, ahead: true };
        if let Some(done) = ahead.done {
            return self.take_data(tag, done);
        }
        let mut transfers = self.transfers.iter_mut();
        if let Some(pending) = transfers.find(|pending| pending.id == id) {
            pending.role = Role::Data(tag, direction);
        }
    }

    /// Asks for the data that had to wait for the pipe.
    pub(super) fn go_on(&mut self) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            if task.moves == Moves::Ready && self.stage.is_ready() {
                self.ask_data(task.tag);
            }
            at = at.saturating_add(1);
        }
    }

    /// The status of a task came.
    fn answer(&mut self, tag: u16, end: End) {
        let Some(task) = self.task(tag) else { return };
        let is_good = matches!(end, End::Passed { .. });
        task.end = Some(end);
        match task.moves {
            // What it was ahead of may get into it: only the pipe's reset tells them apart.
            Moves::Asked { ahead: true, .. } if !is_good => return self.reset(),
            Moves::Asked { id, .. } if !is_good => self.withdraw(id),
            // The device had none.
            Moves::Waiting => task.moves = Moves::Over,
            // It had, and did not move it.
            Moves::Ready => {
                task.moves = Moves::Over;
                if is_good {
                    task.end = Some(End::Broken);
                }
            }
            Moves::Asked { .. } | Moves::Over => {}
        }
        self.conclude(tag);
    }

    /// Takes what became of the data of a task.
    pub(super) fn take_data(&mut self, tag: u16, completion: Completion) {
        let Completion { status, actual, .. } = completion;
        let is_trusted = self.asks_ahead;
        let Some(task) = self.task(tag) else { return };
        let Moves::Asked { ahead, .. } = task.moves else {
            return;
        };
        let is_empty = actual.is_empty();
        task.moves = Moves::Over;
        task.data = Bytes::new();
        let moved = match (task.direction, actual) {
            (Direction::In, Actual::In(mut data)) => {
                data.truncate(usize::try_from(task.expected).unwrap_or(usize::MAX));
                let moved = data.len();
                task.received = data;
                u32::try_from(moved).unwrap_or(u32::MAX)
            }
            (Direction::Out, Actual::Out(taken)) => taken,
            _ => 0,
        };
        task.moved = moved.min(task.expected);
        let (direction, has_end) = (task.direction, task.end.is_some());
        match status {
            // After a stall nobody knows whose it is.
            Status::COMPLETED if ahead && !is_trusted => self.reset(),
            Status::COMPLETED => self.conclude(tag),
            // It was called off when it was nobody's yet, or the pipe was halted before.
            Status::CANCELLED | Status::STALL if ahead && is_empty && !has_end => {
                task.moves = Moves::Ready;
                if status == Status::STALL {
                    self.clear(direction, None);
                } else if self.stage.is_ready() {
                    self.ask_data(tag);
                }
            }
            Status::CANCELLED if has_end => {
                // It was called off for the sake of another, and is missed now.
                if let Some(End::Passed { .. }) = task.end {
                    task.end = Some(End::Broken);
                }
                self.conclude(tag);
            }
            Status::STALL => {
                task.moves = if has_end { Moves::Over } else { Moves::Ready };
                self.clear(direction, Some(tag));
            }
            _ => self.reset(),
        }
    }

    /// Takes data that nobody has asked for yet.
    fn take_ahead(&mut self, completion: Completion) {
        let mut ahead = self.ahead.iter();
        let Some(at) = ahead.position(|ahead| ahead.id == completion.id) else {
            return;
        };
        match completion.status {
            Status::COMPLETED if self.asks_ahead => {
                if let Some(ahead) = self.ahead.get_mut(at) {
                    ahead.done = Some(completion);
                }
            }
            Status::CANCELLED if completion.actual.is_empty() => {
                self.ahead.remove(at);
            }
            Status::STALL if completion.actual.is_empty() => {
                self.ahead.remove(at);
                self.clear(Direction::In, None);
            }
            _ => self.reset(),
        }
    }

    /// Ends a task that is over, and tells of it.
    pub(super) fn conclude(&mut self, tag: u16) {
        let is_over = |task: &Running| {
            task.tag == tag && task.end.is_some() && task.is_sent && task.moves == Moves::Over
        };
        let Some(at) = self.tasks.iter().position(is_over) else {
            return;
        };
        let task = self.tasks.swap_remove(at);
        let end = match task.end {
            Some(End::Passed { .. }) => End::Passed {
                data: task.received,
                missing: task.expected.saturating_sub(task.moved),
            },
            Some(end) => end,
            None => return,
        };
        self.told.push_back(Event::Ended(task.key, end));
        if self.waiting_reads() == 0 && !self.ahead.is_empty() {
            if self.ahead.iter().any(|ahead| ahead.done.is_some()) {
                // Data that is nobody's.
                return self.reset();
            }
            self.withdraw_ahead();
        }
    }

    /// All tasks end: those that the device did not answer before, as broken.
    pub(super) fn drop_tasks(&mut self) {
        self.ahead.clear();
        for task in self.tasks.drain(..) {
            let end = match task.end {
                Some(End::Passed { .. }) | None => End::Broken,
                Some(end) => end,
            };
            self.told.push_back(Event::Ended(task.key, end));
        }
    }
}

impl host::Transport for Transport {
    fn may_start(&self, data: &DataPhase) -> bool {
        let has_room = self.stage.is_ready() && self.tasks.len() < self.room;
        has_room
            && match data {
                // Behind what was asked for ahead, only the same fits.
                DataPhase::In(length) => {
                    let mut ahead = self.ahead.iter();
                    ahead.all(|ahead| ahead.length == *length)
                        && (self.ahead.is_empty() || self.waiting_reads() > 0)
                }
                DataPhase::None | DataPhase::Out(_) => true,
            }
    }

    fn control(&mut self, setup: SetupPacket) {
        self.ask_control(setup);
    }

    fn command(&mut self, key: u64, command: &[u8], data: DataPhase) {
        let tag = self.mint_tag();
        let mut block = [0; 16];
        for (to, from) in block.iter_mut().zip(command) {
            *to = *from;
        }
        let (direction, expected) = data.extent();
        self.tasks.push(Running {
            tag,
            key,
            direction,
            expected,
            data: match data {
                DataPhase::Out(data) => data,
                DataPhase::None | DataPhase::In(_) => Bytes::new(),
            },
            is_sent: false,
            moves: if expected == 0 {
                Moves::Over
            } else {
                Moves::Waiting
            },
            moved: 0,
            received: Segments::new(),
            end: None,
        });
        self.ask_status(tag);
        if expected > 0 && self.pipes.has_streams() {
            self.ask_data(tag);
        } else if expected > 0 && direction == Direction::In && self.asks_ahead {
            // What an earlier one has left over serves.
            for _ in self.ahead.len()..self.waiting_reads() {
                self.ask_ahead(expected);
            }
        }
        let lun = Some(Lun::ZERO);
        let command = block;
        self.request(tag, Request::Command { tag, lun, command });
    }

    fn event(&mut self) -> Option<Event> {
        self.told.pop_front()
    }

    fn close(&mut self, status: Status) {
        if !matches!(self.stage, Stage::Dead) {
            self.events.clear();
            self.events.push_back(HostEvent::Reset);
            self.transfers.retain(|pending| pending.is_submitted);
            self.tasks.clear();
            self.ahead.clear();
            self.stage = Stage::Dead;
            self.told.push_back(Event::Dead(status));
        }
    }

    fn poll(&mut self) -> Option<HostEvent> {
        let event = self.events.pop_front();
        if let Some(HostEvent::Submit(transfer)) = &event {
            let mut transfers = self.transfers.iter_mut();
            if let Some(pending) = transfers.find(|pending| pending.id == transfer.id) {
                pending.is_submitted = true;
            }
        }
        event
    }

    fn complete(&mut self, completion: Completion) {
        let is_it = |pending: &Pending| pending.id == completion.id && pending.is_submitted;
        let Some(at) = self.transfers.iter().position(is_it) else {
            return;
        };
        let role = self.transfers.swap_remove(at).role;
        let status = completion.status;
        if matches!(status, Status::DISCONNECTED | Status::SHUTDOWN) {
            return host::Transport::close(self, status);
        }
        // A cancel of it would find nothing any more.
        let id = completion.id;
        self.events
            .retain(|event| !matches!(event, HostEvent::Cancel(each) if *each == id));
        if self.stage.is_draining() {
            return self.drained();
        }
        match role {
            _ if self.stage == Stage::Dead => {}
            Role::Control => self.controlled(&completion),
            Role::Request(tag) => {
                let is_whole = completion.actual.len() >= 16;
                if !status.is_completed() || !is_whole {
                    return self.reset();
                }
                if let Some(task) = self.task(tag) {
                    task.is_sent = true;
                }
                self.conclude(tag);
            }
            Role::Status(_) => match (status, completion.actual) {
                // Its task was aborted.
                (Status::CANCELLED, _) if self.pipes.has_streams() => {}
                (Status::COMPLETED, Actual::In(data)) => {
                    let mut bytes = [0; Told::LONGEST as usize];
                    let length = data.copy_to_slice(&mut bytes);
                    self.take_status(bytes.get(..length).unwrap_or(&bytes));
                }
                _ => self.reset(),
            },
            Role::Data(tag, _) => self.take_data(tag, completion),
            Role::Ahead => self.take_ahead(completion),
        }
        if !self.pipes.has_streams() && self.stage.is_working() {
            self.ask_status(0);
        }
    }

    fn pending(&self) -> usize {
        let submitted = self.transfers.iter();
        submitted.filter(|pending| pending.is_submitted).count()
    }
}
