//! Who is connected, and who gives way when too many come.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::net::Shutdown;

use crate::Peer;
use crate::listener::Party;

/// The connections that others have opened. Clones are the same.
///
/// There is room for [`MOST_UNDECIDED`](Self::MOST_UNDECIDED) that have not come to a device: as
/// many as wish may connect and say nothing, and cost only each other their place. One more has the
/// oldest leave of the [`Party`] that has the most, itself counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    /// One has left, or nobody comes in any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In the order in which they came.
    open: BTreeMap<u64, Open>,
    is_closed: bool,
}

/// One of them, with a copy of its socket to shut it down.
#[derive(Debug)]
struct Open {
    socket: OwnedFd,
    party: Party,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Undecided,
    GivesWay,
    Decided,
}

impl Connections {
    /// Those that have not come to a device.
    pub(crate) const MOST_UNDECIDED: usize = 256;

    /// Lets somebody in, as soon as there is room. `None`: it is [closed](Self::close).
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(crate) fn enter(&self, socket: impl AsFd, peer: &Peer) -> io::Result<Option<Entry>> {
        let socket = socket.as_fd().try_clone_to_owned()?;
        let mut table = self.table();
        // Who was told to leave is about to: its thread waits for nothing but its socket.
        while !table.is_closed && table.undecided().count() >= Self::MOST_UNDECIDED {
            table.make_room(peer.party);
            let changed = self.shared.changed.wait(table);
            table = changed.unwrap_or_else(PoisonError::into_inner);
        }
        if table.is_closed {
            return Ok(None);
        }
        let number = table.next;
        table.next += 1;
        let entered = Open {
            socket,
            party: peer.party,
            state: State::Undecided,
        };
        table.open.insert(number, entered);
        Ok(Some(Entry {
            connections: self.clone(),
            number,
        }))
    }

    /// Lets nobody in any more, and has those leave that have not come to a device.
    pub(crate) fn close(&self) {
        self.end(|open| open.state != State::Decided);
    }

    /// Likewise, and has all leave.
    pub(crate) fn close_all(&self) {
        self.end(|_| true);
    }

    /// Waits until all have left.
    pub(crate) fn wait_until_empty(&self) {
        let mut table = self.table();
        while !table.open.is_empty() {
            let changed = self.shared.changed.wait(table);
            table = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, is_meant: impl Fn(&Open) -> bool) {
        let mut table = self.table();
        table.is_closed = true;
        for open in table.open.values().filter(|open| is_meant(open)) {
            open.shut_down();
        }
        self.shared.changed.notify_all();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic happens under the lock.
        let table = self.shared.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn undecided(&self) -> impl Iterator<Item = (&u64, &Open)> {
        let open = self.open.iter();
        open.filter(|(_, open)| open.state != State::Decided)
    }

    /// Has one leave for somebody of a party, unless one is on its way.
    fn make_room(&mut self, party: Party) {
        let mut parties = BTreeMap::from([(party, 1)]);
        for (_, open) in self.undecided() {
            if open.state == State::GivesWay {
                return;
            }
            *parties.entry(open.party).or_default() += 1;
        }
        // The first that is found is the oldest.
        let most = parties.values().max();
        let mut undecided = self.undecided();
        let oldest = undecided.find(|(_, open)| parties.get(&open.party) == most);
        let oldest = oldest.map(|(number, _)| *number);
        drop(undecided);
        if let Some(open) = oldest.and_then(|number| self.open.get_mut(&number)) {
            open.state = State::GivesWay;
            open.shut_down();
        }
    }
}

impl Open {
    fn shut_down(&self) {
        // One that is gone already need not be told.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}

/// One of the connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    connections: Connections,
    number: u64,
}

impl Entry {
    /// It has come to a device, or has none after all. `false`: it is to leave.
    pub(crate) fn decide(&self, has_device: bool) -> bool {
        let mut table = self.connections.table();
        let is_closed = table.is_closed;
        let Some(open) = table.open.get_mut(&self.number) else {
            return false;
        };
        if is_closed || open.state == State::GivesWay {
            return false;
        }
        open.state = if has_device {
            State::Decided
        } else {
            State::Undecided
        };
        true
    }

    /// Whether it had to leave for others.
    pub(crate) fn gave_way(&self) -> bool {
        let table = self.connections.table();
        let open = table.open.get(&self.number);
        open.is_some_and(|open| open.state == State::GivesWay)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let left = self.connections.table().open.remove(&self.number);
        // The copy must be closed too for the peer to notice.
        drop(left);
        self.connections.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::IpAddr;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    fn peer(address: &str) -> Peer {
        let address: IpAddr = address.parse().unwrap();
        Peer::at((address, 1).into())
    }

    fn come(connections: &Connections, address: &str) -> (UnixStream, Entry) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let entry = connections.enter(&ours, &peer(address)).unwrap();
        (theirs, entry.unwrap())
    }

    /// Whether the connection was shut down.
    fn is_over((theirs, _): &(UnixStream, Entry)) -> bool {
        theirs.set_nonblocking(true).unwrap();
        (&mut &*theirs).read(&mut [0]).is_ok()
    }

    #[test]
    fn the_oldest_of_the_party_with_the_most_gives_way() {
        let connections = Connections::default();
        let alone = come(&connections, "10.0.0.1");
        let has_device = come(&connections, "10.0.0.2");
        assert!(has_device.1.decide(true));
        // Many addresses, but of one network.
        let network = (1..Connections::MOST_UNDECIDED).map(|n| format!("2001:db8::{n:x}"));
        let mut crowd = network.map(|address| come(&connections, &address));
        let oldest = crowd.next().unwrap();
        let rest: Vec<_> = crowd.collect();

        let others = connections.clone();
        let newcomer = thread::spawn(move || come(&others, "10.0.0.3"));
        assert_eq!((&mut &oldest.0).read(&mut [0]).unwrap(), 0);
        assert!(oldest.1.gave_way() && !oldest.1.decide(true));
        assert!(
            !newcomer.is_finished(),
            "nobody comes in before there is room"
        );
        drop(oldest);
        let newcomer = newcomer.join().unwrap();
        let stay = rest.iter().chain([&alone, &newcomer, &has_device]);
        assert!(stay.into_iter().all(|one| !is_over(one)));
    }

    #[test]
    fn the_end_comes_for_all_or_for_those_without_a_device() {
        let connections = Connections::default();
        let [first, second, third] = ["10.0.0.1"; 3].map(|address| come(&connections, address));
        assert!(first.1.decide(true) && second.1.decide(true) && second.1.decide(false));
        connections.close();
        assert!(!is_over(&first) && is_over(&second) && is_over(&third));
        assert!(!third.1.decide(true));
        let late = connections.enter(&first.0, &peer("10.0.0.1")).unwrap();
        assert!(late.is_none());
        connections.close_all();
        assert!(is_over(&first));
        drop((first, second, third));
        connections.wait_until_empty();
    }
}
