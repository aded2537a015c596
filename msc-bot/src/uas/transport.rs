//! The host's side of the transport: many commands at a time.

mod data;
mod recovery;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use bytes::Bytes;
use usb_descriptors::{Direction, SetupPacket};
use usb_transfer::{
    Actual, Completion, HostEvent, Kind, Segments, Status, StreamId, Transfer, TransferId,
    TransferIds,
};

use self::data::{Ahead, Moves};
use self::recovery::Stage;
use super::Pipes;
use super::unit::{Attribute, BUSY, GOOD, Request, TASK_SET_FULL, Told};
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
    pipes: Pipes,
    ids: TransferIds,
    events: VecDeque<HostEvent>,
    /// Transfers that were asked for and did not complete.
    transfers: Vec<Pending>,
    tasks: Vec<Running>,
    /// Tasks at a time.
    room: usize,
    next_tag: u16,
    arena: Arena,
    told: VecDeque<Event>,
    stage: Stage,
    /// What was said of no task since the last reset.
    strays: usize,
    /// Data may be asked for ahead.
    asks_ahead: bool,
    /// What was asked for ahead and is nobody's yet, in order.
    ahead: VecDeque<Ahead>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pending {
    id: TransferId,
    role: Role,
    is_submitted: bool,
    is_withdrawn: bool,
}

/// What a transfer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
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

/// A command under way.
#[derive(Debug)]
struct Running {
    tag: u16,
    key: u64,
    direction: Direction,
    expected: u32,
    /// What is to be sent.
    data: Bytes,
    is_sent: bool,
    moves: Moves,
    /// Of the expected bytes, those that were moved.
    moved: u32,
    received: Segments,
    end: Option<End>,
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
    fn management_tag(&self) -> u16 {
        u16::try_from(self.pipes.tags())
            .unwrap_or(u16::MAX)
            .saturating_add(1)
    }

    fn task(&mut self, tag: u16) -> Option<&mut Running> {
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

    fn submit(&mut self, transfer: Transfer, role: Role) -> TransferId {
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

    fn ask_control(&mut self, setup: SetupPacket) -> TransferId {
        let transfer = Transfer::control_in(self.ids.mint(), setup);
        self.submit(transfer, Role::Control)
    }

    /// Sends a command or a task management function.
    fn request(&mut self, tag: u16, request: Request) {
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
    fn ask_status(&mut self, tag: u16) {
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

    /// Calls a transfer off: before it is sent, or by a cancel.
    fn withdraw(&mut self, id: TransferId) {
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
    fn withdraw_status(&mut self, tag: u16) {
        let is_it = |pending: &&Pending| pending.role == Role::Status(tag);
        if let (true, Some(pending)) = (self.pipes.has_streams(), self.transfers.iter().find(is_it))
        {
            self.withdraw(pending.id);
        }
    }

    /// What the device says on the status pipe.
    fn take_status(&mut self, bytes: &[u8]) {
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

    /// Ends a task that is over, and tells of it.
    fn conclude(&mut self, tag: u16) {
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
    fn drop_tasks(&mut self) {
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
        let request = Request::Command {
            tag,
            attribute: Attribute::Simple as u8,
            lun,
            command: block,
        };
        self.request(tag, request);
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
