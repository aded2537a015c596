//! The data pipes.

use usb_descriptors::Direction;
use usb_transfer::Status;

use super::device::UasDevice;
use super::task::Running;
use super::{DATA_IN, DATA_OUT};
use crate::Task;
use crate::bot::MAX_IN;

/// What became of a transfer.
enum Moved {
    Nothing,
    Part,
    All,
}

pub(super) const fn pipe(direction: Direction) -> usize {
    match direction {
        Direction::Out => 0,
        Direction::In => 1,
    }
}

impl UasDevice {
    /// The command whose turn it is to move data by the transfers of a queue.
    fn on_queue(&self, queue: usize, direction: Direction) -> Option<usize> {
        let on_pipe = self.on_pipe.get(pipe(direction)).copied().flatten();
        let mut tasks = self.tasks.iter();
        tasks.position(|task| {
            let has_turn = if self.has_streams() {
                self.ins.of_tag(task.tag) == Some(queue)
            } else {
                on_pipe == Some(task.tag)
            };
            has_turn && task.expects(direction)
        })
    }

    /// Serves the IN transfers of data; whether there was anything to do.
    pub(super) fn serve_in(&mut self) -> bool {
        let mut has_moved = false;
        for queue in self.ins.queues() {
            while self.serve_oldest_in(queue) {
                has_moved = true;
            }
        }
        has_moved
    }

    fn serve_oldest_in(&mut self, queue: usize) -> bool {
        let is_halted = self.bot.control().is_halted(DATA_IN);
        let Some(next) = self.ins.oldest(queue) else {
            return false;
        };
        let status = if is_halted {
            Status::STALL
        } else if next.length > MAX_IN {
            Status::NO_MEMORY
        } else {
            match self.fill(queue) {
                Moved::Nothing => return false,
                Moved::Part => return true,
                Moved::All => Status::COMPLETED,
            }
        };
        let Some(done) = self.ins.take_oldest(queue) else {
            return false;
        };
        self.events.push_back(done.complete(status));
        true
    }

    /// Gives the oldest transfer of a queue what there is for it. Of those that are longer than a
    /// piece one at a time holds more than one, so that all commands together hold little.
    fn fill(&mut self, queue: usize) -> Moved {
        let task = self.on_queue(queue, Direction::In);
        let gathering = self.ins.all_oldest().find(|other| other.gathers());
        let gathering = gathering.map(|other| other.id);
        let Some(task) = task.and_then(|task| self.tasks.get_mut(task)) else {
            return Moved::Nothing;
        };
        let Some(next) = self.ins.oldest(queue) else {
            return Moved::Nothing;
        };
        let left = usize::try_from(task.left).unwrap_or(usize::MAX);
        let room = next.room().min(left);
        let is_last = task.data.len() >= room || task.result.is_some();
        let may_gather = gathering.is_none_or(|other| other == next.id);
        if !is_last && (task.data.is_empty() || !may_gather) {
            return Moved::Nothing;
        }
        let data = task.data.split_to(room);
        task.announced |= !data.is_empty();
        task.left = task.left.saturating_sub(data.len() as u64);
        if next.data.is_empty() {
            next.data = data;
        } else {
            next.data.append(data);
        }
        if !is_last {
            return Moved::Part;
        }
        // A transfer that is not filled ends the data.
        if next.room() > 0 {
            task.left = 0;
        }
        if task.left == 0 {
            let tag = task.tag;
            self.leave_pipes(tag);
        }
        Moved::All
    }

    /// Serves the OUT transfers of data; whether there was anything to do.
    pub(super) fn serve_out(&mut self) -> bool {
        let mut has_moved = false;
        for queue in self.outs.queues() {
            while self.serve_oldest_out(queue) {
                has_moved = true;
            }
        }
        has_moved
    }

    fn serve_oldest_out(&mut self, queue: usize) -> bool {
        let status = if self.bot.control().is_halted(DATA_OUT) {
            Status::STALL
        } else {
            match self.take(queue) {
                Moved::Nothing => return false,
                Moved::Part => return true,
                Moved::All => Status::COMPLETED,
            }
        };
        let Some(done) = self.outs.take_oldest(queue) else {
            return false;
        };
        self.events.push_back(done.complete(status));
        true
    }

    /// Takes of the oldest transfer of a queue what is wanted.
    fn take(&mut self, queue: usize) -> Moved {
        let task = self.on_queue(queue, Direction::Out);
        let Some(task) = task.and_then(|task| self.tasks.get_mut(task)) else {
            return Moved::Nothing;
        };
        let Some(next) = self.outs.oldest(queue) else {
            return Moved::Nothing;
        };
        let left = usize::try_from(task.left).unwrap_or(usize::MAX);
        let count = if task.result.is_none() && !next.data.is_empty() {
            let wanted = usize::try_from(task.wanted).unwrap_or(usize::MAX).min(left);
            if wanted == 0 {
                return Moved::Nothing;
            }
            task.wanted = 0;
            let data = next.data.split_to(wanted.min(next.data.len()));
            let count = data.len();
            let unit = self.bot.unit_mut(task.unit);
            unit.data_out(Task(u32::from(task.tag)), data);
            count
        } else {
            // Nobody wants it.
            next.data.len()
        };
        task.announced |= count > 0;
        task.left = task.left.saturating_sub(count as u64);
        if task.result.is_none() && task.left > 0 && !next.data.is_empty() {
            return Moved::Part;
        }
        // What is beyond the data phase is dropped.
        next.data.clear();
        if task.left == 0 {
            let tag = task.tag;
            self.leave_pipes(tag);
        }
        Moved::All
    }

    /// Ends the transfers that were given for a command that is over. With streams these are all
    /// of its stream; without, what its data would have taken, since those behind are another's.
    pub(super) fn end_transfers(&mut self, task: &Running, status: Status) {
        for direction in [Direction::In, Direction::Out] {
            let on_pipe = self.on_pipe.get(pipe(direction)).copied().flatten();
            let (queue, mut left) = match self.ins.of_tag(task.tag) {
                Some(queue) if self.has_streams() => (queue, u64::MAX),
                Some(queue) if on_pipe == Some(task.tag) => (queue, task.left),
                _ => continue,
            };
            while left > 0 {
                let (moved, done) = match direction {
                    Direction::In => {
                        let Some(next) = self.ins.take_oldest(queue) else {
                            break;
                        };
                        (next.room(), next.complete(status))
                    }
                    Direction::Out => {
                        let Some(mut next) = self.outs.take_oldest(queue) else {
                            break;
                        };
                        let rest = next.data.len();
                        // Nobody wants it.
                        if status.is_completed() {
                            next.data.clear();
                        }
                        (rest, next.complete(status))
                    }
                };
                left = left.saturating_sub(moved as u64);
                self.events.push_back(done);
            }
        }
    }
}
