//! Devices of other machines at ports of this one, for as long as a program runs.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use usbip_proto::{BusId, DeviceRecord, Limits};

use crate::connections::{Connections, Entry};
use crate::import::into_socket;
use crate::said::Said;
use crate::{
    Address, Attachment, Failure, ImportError, Listener, Network, Origin, Peer, Record, Stop,
    Stream, Vhci, import, import_from, import_socket, list, say, signal,
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
    said: Said,
}

/// Between attempts to reach a server, at first.
const RETRY: Duration = Duration::from_millis(500);
/// Where it leaves each time soon after it was reached, at last.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// A device at a port, and what is told of where it is from.
struct Held {
    attachment: Attachment,
    port: u16,
    record: Option<Record>,
    begin: Instant,
}

/// How a device was given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// This was told to end.
    Told,
    /// The port was detached on this machine.
    Detached,
    /// The connection has ended.
    Lost,
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
        let said = Said::default();
        let shared = Arc::new(Shared {
            vhci,
            stop,
            note,
            said,
        });
        Ok(Self { shared })
    }

    /// Attaches a device, and again whenever the connection has ended, until it is told to end or
    /// somebody detaches the port: who does so takes its [`Record`] away first. Without a `port` the
    /// first free one, and the same again if it can be had.
    ///
    /// # Errors
    /// It cannot be attached the first time.
    pub fn keep(&self, address: &Address, bus_id: BusId, port: Option<u16>) -> Result<(), Failure> {
        let origin = Origin::at(address, bus_id);
        let mut last = None;
        let mut pause = RETRY;
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
                    let port = held.port;
                    match self.hold(&held) {
                        End::Told => return Ok(()),
                        End::Detached => {
                            self.note(format_args!("{address}: port {port} was detached"));
                            return Ok(());
                        }
                        End::Lost => {}
                    }
                    if self.shared.said.lasted(held.begin) {
                        pause = RETRY;
                    }
                    let ended = format!("{address}: the connection has ended");
                    self.note_once(&ended, &ended);
                    if self.shared.stop.wait(pause) {
                        return Ok(());
                    }
                    pause = (pause * 2).min(LAST_RETRY);
                }
                Err(failure) if last.is_none() => return Err(failure),
                Err(Failure::Mistake(text) | Failure::Failed(text)) => {
                    self.note_once(&text, format_args!("{text}, trying again"));
                    if self.shared.stop.wait(RETRY) {
                        return Ok(());
                    }
                }
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
                    // The next time it will have come from another port.
                    let who = peer
                        .ip
                        .map_or_else(|| peer.to_string(), |ip| ip.to_string());
                    let text = format_args!("{peer}: {error}");
                    keeper.note_once(&format!("{who}: {error}"), text);
                }
            }
        })?;
        Ok(())
    }

    /// Takes a device of a server that has connected, and holds it.
    fn take(
        &self,
        stream: Stream,
        peer: &Peer,
        bus_id: Option<BusId>,
        entry: &Entry,
    ) -> Result<(), String> {
        let (record, socket) = self.choose(stream, bus_id)?;
        if !entry.decide(true) {
            return Err("had to leave".into());
        }
        let origin = Origin::of(peer, record.bus_id());
        let held = self.attach(&record, socket, None, &origin);
        let held = held.map_err(Failure::into_text)?;
        let ending = match self.hold(&held) {
            End::Told => return Ok(()),
            End::Detached => "was detached",
            End::Lost => "the connection has ended",
        };
        self.shared.said.lasted(held.begin);
        let text = format!("port {}: {ending}", held.port);
        self.note_once(&text, &text);
        Ok(())
    }

    /// Imports the device that was named, or the first that the server offers and gives and that
    /// has a free port.
    fn choose(
        &self,
        mut stream: Stream,
        bus_id: Option<BusId>,
    ) -> Result<(DeviceRecord, OwnedFd), String> {
        let text = |error: ImportError| error.to_string();
        if let Some(bus_id) = bus_id {
            return import_socket(stream, bus_id).map_err(text);
        }
        let devices = list(&mut stream, Limits::default()).map_err(text)?;
        let ports = self
            .shared
            .vhci
            .ports()
            .map_err(|error| error.to_string())?;
        let mut reason = "offers nothing".into();
        for device in devices {
            let (bus_id, code) = (device.bus_id(), device.speed_code());
            let Some(speed) = code.speed() else {
                reason = format!("{bus_id}: vhci_hcd does not know its speed, {}", code.0);
                continue;
            };
            if ports.free(speed).is_none() {
                reason = format!("{bus_id}: no free port for {speed}");
                continue;
            }
            match import(&mut stream, bus_id, Limits::default()) {
                Ok((record, _)) => return Ok((record, into_socket(stream).map_err(text)?)),
                // Another may still be asked for.
                Err(error @ ImportError::Refused(_)) => reason = format!("{bus_id}: {error}"),
                Err(error) => return Err(text(error)),
            }
        }
        Err(reason)
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
            begin: Instant::now(),
        })
    }

    /// Waits until the connection has ended, or this is told to end.
    fn hold(&self, held: &Held) -> End {
        let ended = self.shared.stop.wait_for_hang_up(held.attachment.socket());
        let mut end = End::Lost;
        // Before the port is given back; or it is lost, and may be another's by now.
        if let (Some(origins), Some(record)) = (self.shared.vhci.origins(), &held.record) {
            if origins.is_forgotten(record) {
                end = End::Detached;
            }
            origins.remove(record);
        }
        if ended.is_ok_and(|ended| ended) {
            held.attachment.gone();
            return end;
        }
        held.attachment.end_with_notes(self.shared.note);
        End::Told
    }

    /// Tells it, unless the same was told since the last connection that lasted.
    fn note_once(&self, key: &str, text: impl Display) {
        if self.shared.said.is_new(key) {
            self.note(text);
        }
    }

    fn note(&self, text: impl Display) {
        (self.shared.note)(&text.to_string());
    }
}
