//! A USB/IP server: several devices, several clients.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use usbip_proto::server::{ExportState, Exports, Session};
use usbip_proto::{BusId, DeviceId, DeviceRecord, Limits, OpStatus, ProtocolError, RecordError};

use crate::connections::{Connections, Entry};
use crate::said::Said;
use crate::{
    Address, Failure, Listener, Network, Offered, Offers, Peer, Sleeper, Stop, Stream, StreamError,
    offer,
};

/// What a server has to offer: a function, or the way to one.
pub trait Device: Send {
    /// Gets ready for a client, who waits meanwhile. Gives up when it is told to stop.
    ///
    /// # Errors
    /// Why it cannot be used now; the client is told that the device has an error.
    fn open(&mut self, _stop: &Stop) -> Result<(), String> {
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

    /// Called when the client is gone, also where it was never served after [`open`](Self::open):
    /// what was got ready is let go.
    fn left(&mut self) {}

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
/// A thread that panics costs its client the connection and the server its device, which is dropped:
/// what it had is let go, and from then on it is refused. The others are served as before, and
/// [`end`](Self::end) tells. Where the thread panics that lets clients in, all are served no more and
/// all devices closed before the panic goes on, because a process may end with it.
///
/// Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    /// A device is free again, or the server ends.
    changed: Condvar,
    connections: Connections,
    stop: Stop,
    log: Box<dyn Fn(&str) + Send + Sync>,
}

/// What nobody uses lies here.
#[derive(Default)]
struct Table {
    exports: Exports,
    devices: BTreeMap<BusId, Box<dyn Device>>,
    /// Those whose session has panicked.
    broken: Vec<BusId>,
}

/// How long a client may take to choose a device.
const CHOICE: Duration = Duration::from_secs(30);
/// Between attempts to dial a client.
const REDIAL: Duration = Duration::from_secs(1);
/// What is said of a device that was lost by a panic.
const PANICKED: &str = "its session has panicked";

impl Server {
    /// A server without devices; `log` is told what happens, for people.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(log: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Shared {
            table: Mutex::default(),
            changed: Condvar::new(),
            connections: Connections::default(),
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

    /// Waits until the server is stopped, a file can be read, or, at the latest, for so long.
    /// `true`: it was stopped.
    ///
    /// # Errors
    /// The system has no memory for the call.
    pub fn wait_for_stop_or(
        &self,
        file: impl AsFd,
        patience: Option<Duration>,
    ) -> io::Result<bool> {
        self.shared.stop.wait_or_read(file, patience)
    }

    /// Serves all that come in and are allowed, until the server is stopped. Where `allowed` is
    /// empty, all are.
    ///
    /// # Errors
    /// The listener does not listen.
    pub fn listen(&self, listener: &Listener, allowed: &[Network]) -> io::Result<()> {
        let _unless_it_panics = EndOnPanic(self);
        while let Some((socket, peer)) = listener.accept(&self.shared.stop)? {
            if !peer.is_allowed(allowed) {
                self.log(&format!("{peer}: not allowed"));
                continue;
            }
            let Some(connection) = self.connection(socket, &peer) else {
                continue;
            };
            self.spawn(&peer.clone(), move |server| {
                let log = |text: &str| server.log(text);
                let granted = server.greet(connection, &peer, Some(CHOICE), &log);
                if let Some(mut granted) = granted {
                    granted.serve(&peer, &log);
                }
            });
        }
        Ok(())
    }

    /// Dials a client again and again, as long as there is a device to be had, until the server
    /// is stopped; after a pause, where the one before took none or left soon. What happens each
    /// time is said once.
    pub fn dial(&self, address: &Address) {
        let _unless_it_panics = EndOnPanic(self);
        let peer = Peer::named(address.to_string());
        let said = Arc::new(Said::default());
        // Somebody has left soon since the last pause.
        let is_futile = Arc::new(AtomicBool::new(false));
        let log = |text: &str| {
            if said.is_new(text) {
                self.log(text);
            }
        };
        while self.wait_for_free_device() {
            if is_futile.swap(false, Ordering::AcqRel) && self.shared.stop.wait(REDIAL) {
                break;
            }
            let place = address.clone();
            let connected = self.shared.stop.unless(move || place.connect());
            let granted = match connected.and_then(Option::transpose) {
                Ok(None) => break,
                Ok(Some(socket)) => self
                    .connection(socket, &peer)
                    .and_then(|connection| self.greet(connection, &peer, None, &log)),
                Err(error) => {
                    log(&format!("{peer}: {error}, trying again"));
                    None
                }
            };
            let Some(mut granted) = granted else {
                is_futile.store(true, Ordering::Release);
                continue;
            };
            let (user, said, is_futile) = (peer.clone(), Arc::clone(&said), Arc::clone(&is_futile));
            self.spawn(&peer, move |server| {
                let begin = Instant::now();
                granted.serve(&user, &|text| {
                    if said.is_new(text) {
                        server.log(text);
                    }
                });
                // Before the device comes back and is offered again.
                if !said.lasted(begin) {
                    is_futile.store(true, Ordering::Release);
                }
            });
        }
    }

    /// Ends [`listen`](Self::listen), [`dial`](Self::dial) and all connections, and waits for
    /// none of them.
    pub fn stop(&self) {
        self.shared.stop.stop();
        self.shared.connections.close_all();
        // Whoever waits for a device has looked before, or waits by now.
        drop(self.table());
        self.shared.changed.notify_all();
    }

    /// Stops, waits until the devices are free, and closes them.
    ///
    /// # Errors
    /// The first of the errors of closing a device, or a device was lost by a panic and could not be
    /// closed.
    pub fn end(&self) -> io::Result<()> {
        self.stop();
        self.shared.connections.wait_until_empty();
        let mut result = Ok(());
        let mut table = self.table();
        for (bus_id, device) in &mut table.devices {
            let closed = device.close();
            let named = |error| io::Error::other(format!("{bus_id}: {error}"));
            result = result.and(closed.map_err(named));
        }
        let broken = table.broken.first();
        let broken = broken.map(|bus_id| io::Error::other(format!("{bus_id}: {PANICKED}")));
        result.and(broken.map_or(Ok(()), Err))
    }

    /// A connection that ends when the server does. `None`: it ends at once.
    fn connection(&self, socket: OwnedFd, peer: &Peer) -> Option<Connection> {
        let entered = Stream::new(socket).and_then(|stream| {
            let entry = self.shared.connections.enter(&stream, peer)?;
            Ok(entry.map(|entry| Connection { stream, entry }))
        });
        entered.unwrap_or_else(|error| {
            self.log(&format!("{peer}: {error}"));
            None
        })
    }

    /// Lets a client choose.
    fn greet(
        &self,
        mut connection: Connection,
        peer: &Peer,
        patience: Option<Duration>,
        log: &dyn Fn(&str),
    ) -> Option<Granted> {
        let sleeper = Sleeper::new();
        let until = patience.map(|patience| sleeper.after(patience));
        let Connection { stream, entry } = &mut connection;
        let choice = Choice {
            server: self,
            entry,
            log,
        };
        match offer(stream, &sleeper, &choice, Limits::default(), until) {
            Ok(Some((lease, session))) => Some(Granted {
                lease,
                connection,
                session: Box::new(session),
            }),
            Ok(None) => {
                if entry.gave_way() {
                    log(&format!("{peer}: gave way to others"));
                }
                None
            }
            Err(error) => {
                log(&format!("{peer}: {error}"));
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
        let mut table = self.table();
        while !self.shared.stop.is_set() {
            if !table.devices.is_empty() {
                return true;
            }
            let woken = self.shared.changed.wait(table);
            table = woken.unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn log(&self, text: &str) {
        (self.shared.log)(text);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic happens under the lock.
        let table = self.shared.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offers for Server {
    type Granted = Lease;

    fn list(&self) -> Vec<DeviceRecord> {
        self.table().exports.listed().cloned().collect()
    }

    fn grant(&self, bus_id: BusId) -> Result<(DeviceRecord, Lease), OpStatus> {
        self.lease(bus_id, &|text| self.log(text))
    }
}

impl Server {
    fn lease(&self, bus_id: BusId, log: &dyn Fn(&str)) -> Result<(DeviceRecord, Lease), OpStatus> {
        let mut table = self.table();
        let export = table.exports.import(bus_id)?;
        let device = table.devices.remove(&bus_id);
        drop(table);
        let record = export.device().clone();
        let mut lease = Lease {
            device,
            bus_id,
            export: Some(export),
            server: self.clone(),
        };
        // Others are served while it takes its time.
        let stop = &self.shared.stop;
        match lease.device.as_mut().map(|device| device.open(stop)) {
            Some(Err(error)) => {
                log(&format!("{bus_id}: {error}"));
                Err(OpStatus::DEVICE_ERROR)
            }
            _ => Ok((record, lease)),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.table().devices.len();
        f.debug_struct("Server")
            .field("free", &free)
            .finish_non_exhaustive()
    }
}

/// What is offered to one client.
struct Choice<'a> {
    server: &'a Server,
    entry: &'a Entry,
    log: &'a dyn Fn(&str),
}

impl Offers for Choice<'_> {
    type Granted = Lease;

    fn list(&self) -> Vec<DeviceRecord> {
        self.server.list()
    }

    fn grant(&self, bus_id: BusId) -> Result<(DeviceRecord, Lease), OpStatus> {
        // Before the device, which may take its time.
        if !self.entry.decide(true) {
            return Err(OpStatus::ERROR);
        }
        let granted = self.server.lease(bus_id, self.log);
        if granted.is_err() {
            self.entry.decide(false);
        }
        granted
    }
}

/// A device in the hands of one client. It comes back when this is dropped.
pub struct Lease {
    device: Option<Box<dyn Device>>,
    bus_id: BusId,
    /// Taken when it comes back.
    export: Option<usbip_proto::server::Lease>,
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
        let device = device.map(|mut device| {
            device.left();
            device
        });
        let is_broken = device.is_none();
        let mut table = self.server.table();
        if let Some(device) = device {
            table.devices.insert(self.bus_id, device);
        } else {
            table.exports.set_state(self.bus_id, ExportState::Failed);
            table.broken.push(self.bus_id);
        }
        if let Some(export) = self.export.take() {
            table.exports.release(export);
        }
        drop(table);
        self.server.shared.changed.notify_all();
        if is_broken {
            let bus_id = self.bus_id;
            self.server
                .log(&format!("{bus_id}: {PANICKED}; it is refused from now on"));
        }
    }
}

/// Where it is dropped by a panic, all are served no more and the devices closed.
struct EndOnPanic<'a>(&'a Server);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // The panic is what there is to be told.
            let _ = self.0.end();
        }
    }
}

/// One of those that are open, until it is dropped.
struct Connection {
    stream: Stream,
    entry: Entry,
}

/// A client with its device.
struct Granted {
    /// Comes back first: a client that sees the end of its connection can have the device again.
    lease: Lease,
    connection: Connection,
    session: Box<Session>,
}

impl Granted {
    fn serve(&mut self, peer: &Peer, log: &dyn Fn(&str)) {
        let bus_id = self.lease.bus_id;
        log(&format!("{peer}: uses {bus_id}"));
        if let Some(device) = &mut self.lease.device {
            let result = device.serve(&mut self.connection.stream, &mut self.session);
            match result {
                Ok(()) => log(&format!("{peer}: has left {bus_id}")),
                Err(error) => log(&format!("{peer}: has lost {bus_id}: {error}")),
            }
        }
    }
}
