//! What the host does when something went wrong: from the smallest to the largest.
//!
//! 1. A data pipe has stalled. Its halt is ended, and no data is asked for ahead on it any more; a
//!    task whose own data that was is aborted.
//! 2. A device that does not abort it, or breaks the rules otherwise, loses all that is under way:
//!    every transfer is called off, the alternate setting is chosen again, which ends all halts,
//!    and the unit is reset.
//! 3. A device that does not do that either is given up.

use usb_descriptors::{Direction, SetupPacket};
use usb_transfer::{Completion, Segments, Status, TransferId};

use super::Transport;
use super::data::Moves;
use crate::Lun;
use crate::host::{self, End, Event};
use crate::uas::unit::{ABORT_TASK, LOGICAL_UNIT_RESET, Request, Response};

/// Where the transport is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Ready,
    /// Ends the halt of a pipe; this task is aborted then.
    Clearing(TransferId, Option<u16>),
    /// Waits for the response to ABORT TASK.
    Aborting(u16),
    /// Waits until nothing is at the device.
    Draining,
    /// Chooses the alternate setting.
    Setting(TransferId),
    /// Waits for the response to LOGICAL UNIT RESET.
    Resetting,
    Dead,
}

impl Stage {
    /// Commands may be sent, and all pipes used.
    pub(super) const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }

    /// The device is listened to.
    pub(super) const fn is_working(self) -> bool {
        matches!(
            self,
            Self::Ready | Self::Clearing(..) | Self::Aborting(_) | Self::Resetting
        )
    }

    /// A response is due.
    pub(super) const fn is_managing(self) -> bool {
        matches!(self, Self::Aborting(_) | Self::Resetting)
    }

    pub(super) const fn is_draining(self) -> bool {
        matches!(self, Self::Draining)
    }
}

impl Transport {
    /// Ends the halt of a data pipe, and then a task.
    pub(super) fn clear(&mut self, direction: Direction, task: Option<u16>) {
        if direction == Direction::In {
            self.asks_ahead = false;
            self.withdraw_ahead();
        }
        match (self.stage, task) {
            (Stage::Ready, task) => {
                let setup = SetupPacket::clear_halt(self.pipes.data(direction));
                let id = self.ask_control(setup);
                self.stage = Stage::Clearing(id, task);
            }
            // It was queued behind the one that is being cleared.
            (Stage::Clearing(..), None) => {}
            _ => self.reset(),
        }
    }

    /// Takes the answer to a control request.
    pub(super) fn controlled(&mut self, completion: &Completion) {
        let is_done = completion.status.is_completed();
        match self.stage {
            Stage::Clearing(id, task) if id == completion.id => {
                if !is_done {
                    return self.reset();
                }
                self.stage = Stage::Ready;
                let Some(tag) = task else {
                    return self.go_on();
                };
                match self.task(tag) {
                    Some(task) if task.end.is_none() => {
                        self.stage = Stage::Aborting(tag);
                        self.manage(ABORT_TASK, tag);
                    }
                    _ => {
                        self.conclude(tag);
                        self.go_on();
                    }
                }
            }
            Stage::Setting(id) if id == completion.id => {
                if !is_done {
                    return host::Transport::close(self, completion.status);
                }
                self.stage = Stage::Resetting;
                self.strays = 0;
                self.manage(LOGICAL_UNIT_RESET, 0);
            }
            _ => {
                let result = if is_done {
                    Ok(Segments::new())
                } else {
                    Err(completion.status)
                };
                self.told.push_back(Event::Answer(result));
            }
        }
    }

    fn manage(&mut self, function: u8, task: u16) {
        let tag = self.management_tag();
        self.ask_status(tag);
        let lun = Some(Lun::ZERO);
        let request = Request::TaskManagement {
            tag,
            function,
            task,
            lun,
        };
        self.request(tag, request);
    }

    /// Takes the response to task management.
    pub(super) fn managed(&mut self, code: u8) {
        let is_done = code == Response::Complete as u8 || code == Response::Succeeded as u8;
        match self.stage {
            Stage::Aborting(tag) if is_done => {
                self.stage = Stage::Ready;
                if let Some(task) = self.task(tag) {
                    task.moves = Moves::Over;
                    task.end.get_or_insert(End::Broken);
                }
                self.withdraw_status(tag);
                self.conclude(tag);
                self.go_on();
            }
            // A device that knows no such reset has lost its tasks by the setting.
            Stage::Resetting => self.stage = Stage::Ready,
            _ => self.reset(),
        }
    }

    /// Something was said of no task.
    pub(super) fn stray(&mut self) {
        // It may be of one that was dropped, until the unit is reset; each had two to come.
        let most = self.pipes.tags().saturating_mul(2);
        if self.stage == Stage::Resetting && self.strays < most {
            self.strays = self.strays.saturating_add(1);
            return self.ask_status(self.management_tag());
        }
        self.reset();
    }

    /// Begins anew with all that is under way.
    pub(super) fn reset(&mut self) {
        match self.stage {
            Stage::Dead | Stage::Draining => return,
            // It does not even take this.
            Stage::Resetting | Stage::Setting(_) => {
                return host::Transport::close(self, Status::PROTOCOL);
            }
            Stage::Ready | Stage::Clearing(..) | Stage::Aborting(_) => {}
        }
        self.stage = Stage::Draining;
        self.drop_tasks();
        let mut at = self.transfers.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            if let Some(id) = self.transfers.get(at).map(|pending| pending.id) {
                self.withdraw(id);
            }
        }
        self.drained();
    }

    /// Goes on once nothing is at the device any more.
    pub(super) fn drained(&mut self) {
        if self.stage.is_draining() && self.transfers.is_empty() {
            let place = self.pipes.place;
            let setup = SetupPacket::set_interface(place.interface, place.alternate);
            let id = self.ask_control(setup);
            self.stage = Stage::Setting(id);
        }
    }
}
