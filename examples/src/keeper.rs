//! Devices of other machines at ports of this one, for as long as a program runs.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use usbip_proto::{BusId, DeviceRecord, Limits};

use crate::connections::{Connections, Entry};
use crate::{
    Address, Attachment, Failure, ImportError, Listener, Network, Origin, Peer, Record, Stop,
    Stream, Vhci, import_from, import_socket, list, say, signal,
};

/// Attaches devices and detaches them when it is told to end, by SIGINT or SIGTERM. Clones are
/// the same.
#[derive(Clone, Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    vhci: Vhci,
    stop: Stop,
    note: fn(&str),
}

/// Between attempts to reach a server.
const RETRY: Duration = Duration::from_millis(500);

/// A device at a port, and what is told of where it is from.
struct Held {
    attachment: Attachment,
    port: u16,
    record: Option<Record>,
}

impl Keeper {
    /// From now on the signals are its own. `note` is told what happens, for people; the ports are
    /// told on standard output.
    ///
    /// # Errors
    /// The system gives no thread or file descriptor.
    pub fn new(vhci: Vhci, note: fn(&str)) -> io::Result<Self> {
        let stop = Stop::new()?;
        let stopped = stop.clone();
        signal::on_first_signal(move || stopped.stop())?;
        let shared = Arc::new(Shared { vhci, stop, note });
        Ok(Self { shared })
    }

    /// Attaches a device, and again whenever the connection has ended, until it is told to end.
    /// Without a `port` the first free one, and the same again if it can be had.
    ///
    /// # Errors
    /// It cannot be attached the first time.
    pub fn keep(&self, address: &Address, bus_id: BusId, port: Option<u16>) -> Result<(), Failure> {
        let origin = Origin::at(address, bus_id);
        let mut last = None;
        let mut is_quiet = false;
        loop {
            let server = address.clone();
            let imported = self
                .shared
                .stop
                .unless(move || import_from(&server, bus_id));
            let Some(imported) = imported.map_err(Failure::failed)? else {
                return Ok(());
            };
            let wanted = port.or_else(|| last.filter(|port| self.shared.vhci.is_free(*port)));
            let attached = imported
                .map_err(|error| Failure::Failed(format!("{address}: {error}")))
                .and_then(|(record, socket)| self.attach(&record, socket, wanted, &origin));
            match attached {
                Ok(held) => {
                    last = Some(held.port);
                    is_quiet = false;
                    if !self.hold(&held) {
                        return Ok(());
                    }
                    self.note(format_args!("{address}: the connection has ended"));
                }
                Err(failure) if last.is_none() => return Err(failure),
                Err(Failure::Mistake(text) | Failure::Failed(text)) => {
                    if !is_quiet {
                        self.note(format_args!("{text}, trying again"));
                    }
                    is_quiet = true;
                }
            }
            if self.shared.stop.wait(RETRY) {
                return Ok(());
            }
        }
    }

    /// Attaches a device of each server that connects, until it is told to end: the one that was
    /// named, or the first it offers. Where `allowed` is empty, all servers are.
    ///
    /// # Errors
    /// Nothing can be accepted there.
    pub fn listen(
        &self,
        address: &Address,
        allowed: &[Network],
        bus_id: Option<BusId>,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("{address}: {error}"));
        let listener = Listener::bind(address).map_err(failed)?;
        say(format_args!(
            "listening on {}",
            listener.address().map_err(failed)?
        ))?;
        let connections = Connections::default();
        let result = loop {
            match listener.accept(&self.shared.stop) {
                Ok(Some((socket, peer))) if peer.is_allowed(allowed) => {
                    if let Err(error) = self.receive(socket, &peer, bus_id, &connections) {
                        self.note(format_args!("{peer}: {error}"));
                    }
                }
                Ok(Some((_, peer))) => self.note(format_args!("{peer}: not allowed")),
                Ok(None) => break Ok(()),
                Err(error) => break Err(failed(error)),
            }
        };
        // Those that hold a device detach it; the others need not answer any more.
        self.shared.stop.stop();
        connections.close();
        connections.wait_until_empty();
        result
    }

    /// Serves one that has connected, in a thread of its own.
    fn receive(
        &self,
        socket: OwnedFd,
        peer: &Peer,
        bus_id: Option<BusId>,
        connections: &Connections,
    ) -> io::Result<()> {
        let stream = Stream::new(socket)?;
        let Some(entry) = connections.enter(&stream, peer)? else {
            return Ok(());
        };
        let (keeper, peer) = (self.clone(), peer.clone());
        let thread = thread::Builder::new().name("server".into());
        thread.spawn(move || {
            if let Err(error) = keeper.take(stream, &peer, bus_id, &entry) {
                let error = if entry.gave_way() {
                    "gave way to others".into()
                } else {
                    error
                };
                if !keeper.shared.stop.is_set() {
                    keeper.note(format_args!("{peer}: {error}"));
                }
            }
        })?;
        Ok(())
    }

    /// Takes a device of a server that has connected, and holds it.
    fn take(
        &self,
        mut stream: Stream,
        peer: &Peer,
        bus_id: Option<BusId>,
        entry: &Entry,
    ) -> Result<(), String> {
        let text = |error: ImportError| error.to_string();
        let bus_id = match bus_id {
            Some(bus_id) => bus_id,
            None => list(&mut stream, Limits::default())
                .map_err(text)?
                .first()
                .map(DeviceRecord::bus_id)
                .ok_or("offers nothing")?,
        };
        let (record, socket) = import_socket(stream, bus_id).map_err(text)?;
        if !entry.decide(true) {
            return Err("had to leave".into());
        }
        let held = self.attach(&record, socket, None, &Origin::of(peer, bus_id));
        let held = held.map_err(Failure::into_text)?;
        if self.hold(&held) {
            self.note(format_args!("port {}: the connection has ended", held.port));
        }
        Ok(())
    }

    fn attach(
        &self,
        record: &DeviceRecord,
        socket: OwnedFd,
        port: Option<u16>,
        origin: &Origin,
    ) -> Result<Held, Failure> {
        let speed = record.speed_code().speed().ok_or_else(|| {
            let (bus_id, code) = (record.bus_id(), record.speed_code().0);
            Failure::Failed(format!(
                "{bus_id} has speed {code}, which vhci_hcd does not know"
            ))
        })?;
        let attachment =
            Attachment::new(self.shared.vhci.clone(), &socket).map_err(Failure::failed)?;
        let port = attachment.attach(socket, record.device_id(), speed, port);
        let port = port.map_err(Failure::mistake)?;
        let port = port.ok_or_else(|| Failure::Failed("was ended".into()))?;
        let origins = self.shared.vhci.origins();
        let record = origins.map(|origins| origins.record(port, origin));
        let record = record.transpose().unwrap_or_else(|error| {
            self.note(format_args!(
                "port {port}: usbip port will not know where it is from: {error}"
            ));
            None
        });
        say(format_args!("port: {port}"))?;
        attachment.announce();
        Ok(Held {
            attachment,
            port,
            record,
        })
    }

    /// Waits until the connection has ended; `false`: until this was told to end.
    fn hold(&self, held: &Held) -> bool {
        let ended = self.shared.stop.wait_for_hang_up(held.attachment.socket());
        // Before the port is given back; or it is lost, and may be another's by now.
        if let (Some(origins), Some(record)) = (self.shared.vhci.origins(), &held.record) {
            origins.remove(record);
        }
        if ended.is_ok_and(|ended| ended) {
            held.attachment.gone();
            return true;
        }
        held.attachment.end_with_notes(self.shared.note);
        false
    }

    fn note(&self, text: impl Display) {
        (self.shared.note)(&text.to_string());
    }
}
