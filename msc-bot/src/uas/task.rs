//! Commands in progress, and the transfers that wait.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::{Actual, Completion, Segments, Status, StreamId, TransferId};

use super::MAX_TASKS;
use super::unit::Attribute;
use crate::Sense;
use crate::scsi::READ_CHUNK;

/// The transfers that wait on a pipe: a queue for each stream, or one where there are none. Only
/// the oldest of a queue is ever served, so that none overtakes another.
#[derive(Debug)]
pub(super) struct Pipe<T> {
    queues: Vec<VecDeque<T>>,
}

impl<T> Pipe<T> {
    pub(super) fn new(has_streams: bool) -> Self {
        let count = if has_streams { MAX_TASKS } else { 1 };
        let queues = core::iter::repeat_with(VecDeque::new).take(count);
        Self {
            queues: queues.collect(),
        }
    }

    pub(super) fn has_streams(&self) -> bool {
        self.queues.len() > 1
    }

    /// The queues by number: the stream's less one.
    pub(super) fn queues(&self) -> core::ops::Range<usize> {
        0..self.queues.len()
    }

    /// The queue that a tag goes by; `None` if there is no such stream.
    pub(super) fn of_tag(&self, tag: u16) -> Option<usize> {
        if !self.has_streams() {
            return Some(0);
        }
        let number = usize::from(tag).checked_sub(1)?;
        self.queues().contains(&number).then_some(number)
    }

    /// The queue of a transfer; `None` if it is on no stream of the pipe.
    pub(super) fn of_stream(&mut self, stream: Option<StreamId>) -> Option<&mut VecDeque<T>> {
        if stream.is_some() != self.has_streams() {
            return None;
        }
        let number = self.of_tag(stream.map_or(0, |stream| stream.0.get()))?;
        self.queues.get_mut(number)
    }

    pub(super) fn oldest(&mut self, queue: usize) -> Option<&mut T> {
        self.queues.get_mut(queue)?.front_mut()
    }

    /// The oldest of each queue.
    pub(super) fn all_oldest(&self) -> impl Iterator<Item = &T> {
        self.queues.iter().filter_map(VecDeque::front)
    }

    pub(super) fn take_oldest(&mut self, queue: usize) -> Option<T> {
        self.queues.get_mut(queue)?.pop_front()
    }

    pub(super) fn remove(&mut self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        self.queues.iter_mut().find_map(|queue| {
            let at = queue.iter().position(&is_it)?;
            queue.remove(at)
        })
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.queues.iter_mut().flat_map(|queue| queue.drain(..))
    }
}

#[derive(Debug)]
pub(super) struct PendingIn {
    pub(super) id: TransferId,
    pub(super) length: u32,
    /// What it has of its data.
    pub(super) data: Segments,
}

#[derive(Debug)]
pub(super) struct PendingOut {
    pub(super) id: TransferId,
    pub(super) length: u32,
    /// What is not taken yet.
    pub(super) data: Bytes,
}

/// A command in progress.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tag: u16,
    pub(super) unit: usize,
    pub(super) attribute: Attribute,
    /// What the unit is to start when the command's turn comes.
    pub(super) dormant: Option<[u8; 16]>,
    pub(super) direction: Option<Direction>,
    /// Bytes of the data phase that were not moved.
    pub(super) left: u64,
    /// The host was told to move data, or has begun to.
    pub(super) announced: bool,
    /// For the host, from the unit.
    pub(super) data: Segments,
    /// What the unit wants of the host.
    pub(super) wanted: u32,
    pub(super) result: Option<Result<(), Sense>>,
}

impl Running {
    /// Whether the unit may go on: data is taken one piece ahead.
    pub(super) fn may_go_on(&self) -> bool {
        self.data.len() < READ_CHUNK as usize
    }

    pub(super) fn expects(&self, direction: Direction) -> bool {
        self.direction == Some(direction) && self.left > 0
    }
}

/// The dormant command whose turn has come (SAM-5, 8.6): an ordered one when all before it are
/// over, a simple one when all ordered ones before it are, and either when none is at the head.
pub(super) fn next_enabled(tasks: &[Running]) -> Option<usize> {
    tasks.iter().enumerate().position(|(at, task)| {
        let mut older = tasks
            .iter()
            .take(at)
            .filter(|other| other.unit == task.unit);
        let mut all = tasks.iter().filter(|other| other.unit == task.unit);
        let mut has_head = || all.any(|other| other.attribute == Attribute::HeadOfQueue);
        task.dormant.is_some()
            && match task.attribute {
                Attribute::HeadOfQueue => true,
                Attribute::Ordered => older.next().is_none() && !has_head(),
                Attribute::Simple => {
                    !older.any(|other| other.attribute == Attribute::Ordered) && !has_head()
                }
            }
    })
}

impl PendingIn {
    pub(super) fn room(&self) -> usize {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        length.saturating_sub(self.data.len())
    }

    /// Whether it holds data, and may come to hold more than one piece.
    pub(super) fn gathers(&self) -> bool {
        self.length > READ_CHUNK && !self.data.is_empty()
    }

    pub(super) fn complete(self, status: Status) -> Completion {
        Completion::new(self.id, status, Actual::In(self.data))
    }
}

impl PendingOut {
    fn taken(&self) -> u32 {
        let left = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.length.saturating_sub(left)
    }

    pub(super) fn complete(&self, status: Status) -> Completion {
        Completion::new(self.id, status, Actual::Out(self.taken()))
    }
}
