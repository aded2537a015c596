//! A USB/IP server: several devices, several clients.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::Shutdown;
use usbip_proto::server::{ExportState, Exports, Session};
use usbip_proto::{BusId, DeviceId, DeviceRecord, Limits, OpStatus, ProtocolError, RecordError};

use crate::{
    Address, Failure, Listener, Network, Offered, Offers, Peer, Sleeper, Stop, Stream, StreamError,
    offer,
};

/// What a server has to offer: a function, or the way to one.
pub trait Device: Send {
    /// Gets ready for a client, who waits meanwhile.
    ///
    /// # Errors
    /// Why it cannot be used now; the client is told that the device has an error.
    fn open(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Serves a client until it is gone. Afterwards the device is free for another.
    ///
    /// # Errors
    /// The client broke the protocol, or the connection failed.
    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>>;

    /// Called before the server ends.
    ///
    /// # Errors
    /// Something that a client left may be lost.
    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Offers devices to clients that come in by themselves or are dialled, each in a thread of its
/// own. A device has one user at a time, and meanwhile the others do not see it.
///
/// Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    connections: Mutex<Connections>,
    /// A connection has ended, or a device is free again.
    changed: Condvar,
    stop: Stop,
    log: Box<dyn Fn(&str) + Send + Sync>,
}

/// What nobody uses lies here.
#[derive(Default)]
struct Table {
    exports: Exports,
    devices: BTreeMap<BusId, Box<dyn Device>>,
}

/// Those that are open, to be shut down when the server ends.
#[derive(Default)]
struct Connections {
    next: u64,
    open: BTreeMap<u64, OwnedFd>,
    closed: bool,
}

/// Of clients that are connected at the same time; more are turned away.
const MOST_CONNECTIONS: usize = 256;
/// How long a client may take to choose a device.
const CHOICE: Duration = Duration::from_secs(30);
/// Between attempts to dial a client.
const REDIAL: Duration = Duration::from_secs(1);

impl Server {
    /// A server without devices; `log` is told what happens, for people.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(log: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Shared {
            table: Mutex::default(),
            connections: Mutex::default(),
            changed: Condvar::new(),
            stop: Stop::new()?,
            log: Box::new(log),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Offers a device.
    ///
    /// # Errors
    /// Another has its bus id.
    pub fn export(&self, record: DeviceRecord, device: Box<dyn Device>) -> Result<(), RecordError> {
        let bus_id = record.bus_id();
        let mut table = self.table();
        table.exports.add(record)?;
        table.devices.insert(bus_id, device);
        Ok(())
    }

    /// Offers a device as `1-NUMBER`.
    ///
    /// # Errors
    /// Its descriptors cannot be read, or another has the number.
    pub fn offer(&self, offered: Offered, number: u16) -> Result<BusId, Failure> {
        let bus_id: BusId = format!("1-{number}").parse().map_err(Failure::failed)?;
        let record = offered.record(bus_id, DeviceId::new(1, number));
        let record =
            record.map_err(|error| Failure::failed(format!("{}: {error}", offered.name)))?;
        let exported = self.export(record, offered.into_device());
        exported.map_err(Failure::failed)?;
        Ok(bus_id)
    }

    /// Does not offer a device any more. `false`: somebody has it now.
    #[must_use]
    pub fn withdraw(&self, bus_id: BusId) -> bool {
        let mut table = self.table();
        if table.exports.state(bus_id) == Some(ExportState::InUse) {
            return false;
        }
        table.exports.remove(bus_id);
        table.devices.remove(&bus_id);
        true
    }

    /// Tells people what happens.
    pub fn note(&self, text: &str) {
        self.log(text);
    }

    /// Waits until the server is stopped, or for so long. `true`: it was.
    #[must_use]
    pub fn wait_for_stop(&self, time: Duration) -> bool {
        self.shared.stop.wait(time)
    }

    /// Serves all that come in and are allowed, until the server is stopped. Where `allowed` is
    /// empty, all are.
    ///
    /// # Errors
    /// No more clients can be accepted.
    pub fn listen(&self, listener: &Listener, allowed: &[Network]) -> io::Result<()> {
        while let Some((socket, peer)) = listener.accept(&self.shared.stop)? {
            if !peer.is_allowed(allowed) {
                self.log(&format!("{peer}: not allowed"));
                continue;
            }
            let Some(connection) = self.connection(socket, &peer) else {
                continue;
            };
            self.spawn(&peer.clone(), move |server| {
                let granted = server.greet(connection, &peer, Some(CHOICE));
                if let Some(granted) = granted {
                    granted.serve(&peer);
                }
            });
        }
        Ok(())
    }

    /// Dials a client again and again, as long as there is a device to be had, until the server
    /// is stopped.
    pub fn dial(&self, address: &Address) {
        let peer = Peer::named(address.to_string());
        let mut is_reached = true;
        while !self.shared.stop.wait(Duration::ZERO) {
            if !self.wait_for_free_device() {
                break;
            }
            let granted = match address.connect() {
                Ok(socket) => {
                    is_reached = true;
                    self.connection(socket, &peer)
                        .and_then(|connection| self.greet(connection, &peer, None))
                }
                Err(error) => {
                    if mem::replace(&mut is_reached, false) {
                        self.log(&format!("{peer}: {error}, trying again"));
                    }
                    None
                }
            };
            if let Some(granted) = granted {
                let user = peer.clone();
                self.spawn(&peer, move |_| granted.serve(&user));
            } else if self.shared.stop.wait(REDIAL) {
                break;
            }
        }
    }

    /// Ends [`listen`](Self::listen), [`dial`](Self::dial) and all connections, and waits for
    /// none of them.
    pub fn stop(&self) {
        self.shared.stop.stop();
        let mut connections = self.connections();
        connections.closed = true;
        for socket in connections.open.values() {
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    /// Stops, waits until the devices are free, and closes them.
    ///
    /// # Errors
    /// The first of the errors of closing a device.
    pub fn end(&self) -> io::Result<()> {
        self.stop();
        let mut connections = self.connections();
        while !connections.open.is_empty() {
            connections = self.wait(connections);
        }
        drop(connections);
        let mut result = Ok(());
        for (bus_id, device) in &mut self.table().devices {
            let closed = device.close();
            let named = |error| io::Error::other(format!("{bus_id}: {error}"));
            result = result.and(closed.map_err(named));
        }
        result
    }

    /// A connection that ends when the server does. `None`: it ends at once.
    fn connection(&self, socket: OwnedFd, peer: &Peer) -> Option<Connection> {
        let stream = match socket.try_clone().and_then(|copy| {
            let stream = Stream::new(socket)?;
            Ok((stream, copy))
        }) {
            Ok(both) => both,
            Err(error) => {
                self.log(&format!("{peer}: {error}"));
                return None;
            }
        };
        let (stream, copy) = stream;
        let mut connections = self.connections();
        if connections.closed {
            return None;
        }
        if connections.open.len() >= MOST_CONNECTIONS {
            drop(connections);
            self.log(&format!(
                "{peer}: turned away, there are {MOST_CONNECTIONS} connections"
            ));
            return None;
        }
        let number = connections.next;
        connections.next += 1;
        connections.open.insert(number, copy);
        Some(Connection {
            stream,
            number,
            server: self.clone(),
        })
    }

    /// Lets a client choose.
    fn greet(
        &self,
        mut connection: Connection,
        peer: &Peer,
        patience: Option<Duration>,
    ) -> Option<Granted> {
        let sleeper = Sleeper::new();
        let until = patience.map(|patience| sleeper.after(patience));
        let stream = &mut connection.stream;
        match offer(stream, &sleeper, self, Limits::default(), until) {
            Ok(Some((lease, session))) => Some(Granted {
                lease,
                connection,
                session: Box::new(session),
            }),
            Ok(None) => None,
            Err(error) => {
                self.log(&format!("{peer}: {error}"));
                None
            }
        }
    }

    fn spawn(&self, peer: &Peer, serve: impl FnOnce(&Self) + Send + 'static) {
        let server = self.clone();
        let thread = thread::Builder::new().name("client".into());
        // What it would have served is dropped with it.
        if let Err(error) = thread.spawn(move || serve(&server)) {
            self.log(&format!("{peer}: {error}"));
        }
    }

    /// `false`: the server ends.
    fn wait_for_free_device(&self) -> bool {
        let mut connections = self.connections();
        loop {
            if connections.closed {
                return false;
            }
            if !self.table().devices.is_empty() {
                return true;
            }
            connections = self.wait(connections);
        }
    }

    fn wait<'a>(&self, connections: MutexGuard<'a, Connections>) -> MutexGuard<'a, Connections> {
        let woken = self.shared.changed.wait(connections);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, text: &str) {
        (self.shared.log)(text);
    }

    /// Locked after `connections`, where both are.
    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic happens under the lock.
        let table = self.shared.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        let connections = self.shared.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offers for Server {
    type Granted = Lease;

    fn list(&self) -> Vec<DeviceRecord> {
        self.table().exports.listed().cloned().collect()
    }

    fn grant(&self, bus_id: BusId) -> Result<(DeviceRecord, Lease), OpStatus> {
        let mut table = self.table();
        let record = table.exports.import(bus_id)?.clone();
        let device = table.devices.remove(&bus_id);
        drop(table);
        let mut lease = Lease {
            device,
            bus_id,
            server: self.clone(),
        };
        // Others are served while it takes its time.
        match lease.device.as_mut().map(|device| device.open()) {
            Some(Err(error)) => {
                self.log(&format!("{bus_id}: {error}"));
                Err(OpStatus::DEVICE_ERROR)
            }
            _ => Ok((record, lease)),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.table().devices.len();
        let connections = self.connections().open.len();
        f.debug_struct("Server")
            .field("free", &free)
            .field("connections", &connections)
            .finish_non_exhaustive()
    }
}

/// A device in the hands of one client. It comes back when this is dropped.
pub struct Lease {
    device: Option<Box<dyn Device>>,
    bus_id: BusId,
    server: Server,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let device = self.device.take().filter(|_| !thread::panicking());
        // Whoever waits for a free device looks for one under both locks.
        let connections = self.server.connections();
        let mut table = self.server.table();
        if let Some(device) = device {
            table.devices.insert(self.bus_id, device);
            table.exports.release(self.bus_id);
        } else {
            table.exports.set_state(self.bus_id, ExportState::Failed);
        }
        drop(table);
        self.server.shared.changed.notify_all();
        drop(connections);
    }
}

/// One of those that are open, until it is dropped.
struct Connection {
    stream: Stream,
    number: u64,
    server: Server,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let ended = self.server.connections().open.remove(&self.number);
        // The copy must be closed too for the peer to notice.
        drop(ended);
        self.server.shared.changed.notify_all();
    }
}

/// A client with its device.
struct Granted {
    /// Comes back first: a client that sees the end of its connection can have the device again.
    lease: Lease,
    connection: Connection,
    session: Box<Session>,
}

impl Granted {
    fn serve(mut self, peer: &Peer) {
        let server = self.lease.server.clone();
        let bus_id = self.lease.bus_id;
        server.log(&format!("{peer}: uses {bus_id}"));
        if let Some(device) = &mut self.lease.device {
            let result = device.serve(&mut self.connection.stream, &mut self.session);
            match result {
                Ok(()) => server.log(&format!("{peer}: has left {bus_id}")),
                Err(error) => server.log(&format!("{peer}: has lost {bus_id}: {error}")),
            }
        }
    }
}
