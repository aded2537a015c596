//! Data of commands: asked for when the device says whose it is, or ahead.

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::{Actual, Completion, Status, Transfer, TransferId};

use super::{Role, Running, Transport};
use crate::host::End;

#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) id: TransferId,
    pub(super) length: u32,
    /// It is complete: the device has not yet said for whom.
    pub(super) done: Option<Completion>,
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
    /// Moves the data of a task whose turn it is.
    pub(super) fn ask_data(&mut self, tag: u16) {
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

    pub(super) fn ask_ahead(&mut self, length: u32) {
        let transfer = Transfer::data_in(self.ids.mint(), self.pipes.data_in, length);
        let id = self.submit(transfer, Role::Ahead);
        self.ahead.push_back(Ahead {
            id,
            length,
            done: None,
        });
    }

    /// Reads that the device has not begun to answer.
    pub(super) fn waiting_reads(&self) -> usize {
        let waits = |task: &&Running| {
            task.direction == Direction::In && task.moves == Moves::Waiting && task.end.is_none()
        };
        self.tasks.iter().filter(waits).count()
    }

    /// The pipe is the task's.
    pub(super) fn ready(&mut self, tag: u16, direction: Direction) {
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
    pub(super) fn take_ahead(&mut self, completion: Completion) {
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

    /// Calls off all that was asked for ahead and is nobody's.
    pub(super) fn withdraw_ahead(&mut self) {
        for at in (0..self.ahead.len()).rev() {
            if let Some(id) = self.ahead.get(at).map(|ahead| ahead.id) {
                self.withdraw(id);
            }
        }
    }
}
