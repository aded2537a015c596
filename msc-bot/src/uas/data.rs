//! The data pipes.

use usb_descriptors::Direction;
use usb_transfer::{Actual, Completion, Status, StreamId};

use super::device::UasDevice;
use super::task::PendingIn;
use super::{DATA_IN, DATA_OUT};
use crate::Task;

/// The most that one IN transfer may ask for, in bytes.
const MAX_IN: u32 = 16 << 20;

/// What became of an OUT transfer.
enum Taken {
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
    /// The command whose turn it is to move data by a transfer.
    fn on_transfer(&self, stream: Option<StreamId>, direction: Direction) -> Option<usize> {
        let on_pipe = self.on_pipe.get(pipe(direction)).copied().flatten();
        let tag = stream.map_or(on_pipe, |stream| Some(stream.0.get()))?;
        let mut tasks = self.tasks.iter();
        tasks.position(|task| task.tag == tag && task.expects(direction))
    }

    /// Completes one IN transfer of data, if there is what it waits for. Of those without a
    /// stream only the oldest can be.
    pub(super) fn serve_in(&mut self) -> bool {
        let is_halted = self.bot.control().is_halted(DATA_IN);
        for at in 0..self.ins.len() {
            let Some(&PendingIn { id, length, stream }) = self.ins.get(at) else {
                break;
            };
            let completion = if is_halted {
                Completion::failed(id, Direction::In, Status::STALL)
            } else if length > MAX_IN {
                Completion::failed(id, Direction::In, Status::NO_MEMORY)
            } else {
                let task = self.on_transfer(stream, Direction::In);
                let Some(task) = task.and_then(|task| self.tasks.get_mut(task)) else {
                    continue;
                };
                let piece = u32::try_from(task.left).unwrap_or(u32::MAX).min(length);
                let size = usize::try_from(piece).unwrap_or(usize::MAX);
                if task.data.len() < size && task.result.is_none() {
                    if task.asked < size {
                        task.asked = size;
                        return true;
                    }
                    continue;
                }
                task.announced = true;
                task.asked = 0;
                let data = task.data.split_to(size);
                // A transfer that is not filled ends the data.
                let is_short = data.len() < length as usize;
                let moved = data.len() as u64;
                task.left = if is_short {
                    0
                } else {
                    task.left.saturating_sub(moved)
                };
                if task.left == 0 {
                    let tag = task.tag;
                    self.leave_pipes(tag);
                }
                Completion::new(id, Status::COMPLETED, Actual::In(data))
            };
            self.ins.remove(at);
            self.events.push_back(completion);
            return true;
        }
        false
    }

    /// Takes of one OUT transfer of data what can be taken, and completes it when all is.
    pub(super) fn serve_out(&mut self) -> bool {
        let is_halted = self.bot.control().is_halted(DATA_OUT);
        for at in 0..self.outs.len() {
            let Some(stream) = self.outs.get(at).map(|next| next.stream) else {
                break;
            };
            if !is_halted {
                let Some(task) = self.on_transfer(stream, Direction::Out) else {
                    continue;
                };
                match self.take(at, task) {
                    Taken::Nothing => continue,
                    Taken::Part => return true,
                    Taken::All => {}
                }
            }
            let status = if is_halted {
                Status::STALL
            } else {
                Status::COMPLETED
            };
            if let Some(done) = self.outs.remove(at) {
                self.events.push_back(done.complete(status));
            }
            return true;
        }
        false
    }

    fn take(&mut self, at: usize, task: usize) -> Taken {
        let (Some(next), Some(task)) = (self.outs.get_mut(at), self.tasks.get_mut(task)) else {
            return Taken::Nothing;
        };
        let left = usize::try_from(task.left).unwrap_or(usize::MAX);
        let count = if task.result.is_none() && !next.data.is_empty() {
            let wanted = usize::try_from(task.wanted).unwrap_or(usize::MAX).min(left);
            if wanted == 0 {
                return Taken::Nothing;
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
        task.announced = true;
        task.left = task.left.saturating_sub(count as u64);
        if task.result.is_none() && task.left > 0 && !next.data.is_empty() {
            return Taken::Part;
        }
        // What is beyond the data phase is dropped.
        next.data.clear();
        if task.left == 0 {
            let tag = task.tag;
            self.leave_pipes(tag);
        }
        Taken::All
    }
}
