//! Task management.

use usb_transfer::Status;

use super::device::{UasDevice, number};
use super::task::Running;
use super::unit::{
    ABORT_TASK, ABORT_TASK_SET, Address, CLEAR_TASK_SET, LOGICAL_UNIT_RESET, NEXUS_RESET,
    QUERY_TASK, QUERY_TASK_SET, Response,
};
use crate::Task;

impl UasDevice {
    /// Task management (UAS r04, 6.2.6; SAM-5, clause 7).
    pub(super) fn manage(&mut self, function: u8, tag: u16, lun: Address) -> Response {
        let unit = number(lun);
        if function != NEXUS_RESET && unit >= self.units().len() {
            return Response::IncorrectUnit;
        }
        let is_named = |task: &Running| task.unit == unit && task.tag == tag;
        let is_there = match function {
            QUERY_TASK => self.tasks.iter().any(is_named),
            QUERY_TASK_SET => self.tasks.iter().any(|task| task.unit == unit),
            ABORT_TASK => {
                self.abort(is_named);
                false
            }
            ABORT_TASK_SET | CLEAR_TASK_SET => {
                self.abort(|task| task.unit == unit);
                false
            }
            LOGICAL_UNIT_RESET => {
                self.abort(|task| task.unit == unit);
                self.bot.unit_mut(unit).reset();
                false
            }
            NEXUS_RESET => {
                self.abort(|_| true);
                for unit in 0..self.units().len() {
                    self.bot.unit_mut(unit).reset();
                }
                false
            }
            _ => return Response::NotSupported,
        };
        if is_there {
            Response::Succeeded
        } else {
            Response::Complete
        }
    }

    /// Gives commands up, and the transfers that were for them; the host hears no more of them.
    pub(super) fn abort(&mut self, which: impl Fn(&Running) -> bool) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            if !which(task) {
                at = at.saturating_add(1);
                continue;
            }
            let (tag, unit) = (task.tag, task.unit);
            let task = self.tasks.remove(at);
            self.bot.unit_mut(unit).abort(Task(u32::from(tag)));
            self.drop_stale(unit);
            self.end_transfers(&task, Status::CANCELLED);
            self.leave_pipes(tag);
            self.reports.retain(|(other, _)| *other != tag);
        }
    }
}
