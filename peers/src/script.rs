//! A host that does what it was told.

use std::collections::VecDeque;

use examples::Host;
use usb_transfer::{Completion, Frontend, HostEvent, Transfer, TransferId, TransferIds};

/// Transfers to be made one after the other, or at once.
#[derive(Debug, Default)]
pub struct Script {
    ids: TransferIds,
    events: VecDeque<HostEvent>,
    out: usize,
    done: VecDeque<Completion>,
}

impl Script {
    /// Makes one transfer, and waits for it.
    pub fn make(
        &mut self,
        host: &mut Host,
        make: impl FnOnce(TransferId) -> Transfer,
    ) -> Completion {
        self.submit(make);
        self.finish(host).pop().expect("one")
    }

    /// Puts a transfer on the way.
    pub fn submit(&mut self, make: impl FnOnce(TransferId) -> Transfer) -> TransferId {
        let id = self.ids.mint();
        self.events.push_back(HostEvent::Submit(make(id)));
        self.out += 1;
        id
    }

    /// Cancels one that is on the way.
    pub fn cancel(&mut self, id: TransferId) {
        self.events.push_back(HostEvent::Cancel(id));
    }

    /// Waits for all of them.
    pub fn finish(&mut self, host: &mut Host) -> Vec<Completion> {
        let finished = |script: &mut Self| {
            let finished = script.out == 0 && script.events.is_empty();
            finished.then(|| script.done.drain(..).collect())
        };
        host.drive(self, finished).expect("the server stays")
    }
}

impl Frontend for Script {
    fn poll(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    fn complete(&mut self, completion: Completion) {
        self.out -= 1;
        self.done.push_back(completion);
    }

    fn detach(&mut self) {}

    fn pending(&self) -> usize {
        self.out
    }
}
