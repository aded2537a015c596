//! Devices of other machines at ports of this one, for as long as a program runs.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use usbip_proto::vhci::PortState;
use usbip_proto::{BusId, DeviceRecord, Limits};

use crate::{
    Address, Attachment, Failure, ImportError, Listener, Network, Origin, Origins, Peer, Stop,
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
    origins: Origins,
    stop: Stop,
    note: fn(&str),
}

/// Between attempts to reach a server.
const RETRY: Duration = Duration::from_millis(500);
/// Servers that are connected at the same time; more are turned away.
const MOST_SERVERS: usize = 256;

impl Keeper {
    /// From now on the signals are its own. `note` is told what happens, for people; the ports are
    /// told on standard output.
    ///
    /// # Errors
    /// The system gives no thread or file descriptor.
    pub fn new(vhci: Vhci, origins: Origins, note: fn(&str)) -> io::Result<Self> {
        let stop = Stop::new()?;
        let stopped = stop.clone();
        signal::on_first_signal(move || stopped.stop())?;
        let shared = Arc::new(Shared {
            vhci,
            origins,
            stop,
            note,
        });
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
            let wanted = port.or_else(|| last.filter(|port| self.is_free(*port)));
            let attached = import_from(address, bus_id)
                .map_err(|error| Failure::Failed(format!("{address}: {error}")))
                .and_then(|(record, socket)| self.attach(&record, socket, wanted, &origin));
            match attached {
                Ok((attachment, port)) => {
                    last = Some(port);
                    is_quiet = false;
                    if !self.hold(&attachment, port) {
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
        let mut servers = Vec::new();
        let accept = || listener.accept(&self.shared.stop).map_err(failed);
        while let Some((socket, peer)) = accept()? {
            servers.retain(|server: &thread::JoinHandle<()>| !server.is_finished());
            if !peer.is_allowed(allowed) || servers.len() >= MOST_SERVERS {
                self.note(format_args!("{peer}: turned away"));
                continue;
            }
            let keeper = self.clone();
            servers.push(thread::spawn(move || {
                if let Err(error) = keeper.take(socket, &peer, bus_id) {
                    keeper.note(format_args!("{peer}: {error}"));
                }
            }));
        }
        for server in servers {
            // One that panicked has said so.
            let _ = server.join();
        }
        Ok(())
    }

    /// Takes a device of a server that has connected, and holds it.
    fn take(&self, socket: OwnedFd, peer: &Peer, bus_id: Option<BusId>) -> Result<(), String> {
        let text = |error: ImportError| error.to_string();
        let mut stream = Stream::new(socket).map_err(|error| error.to_string())?;
        let bus_id = match bus_id {
            Some(bus_id) => bus_id,
            None => list(&mut stream, Limits::default())
                .map_err(text)?
                .first()
                .map(DeviceRecord::bus_id)
                .ok_or("offers nothing")?,
        };
        let (record, socket) = import_socket(stream, bus_id).map_err(text)?;
        let attached = self.attach(&record, socket, None, &Origin::of(peer, bus_id));
        let (attachment, port) =
            attached.map_err(|(Failure::Mistake(text) | Failure::Failed(text))| text)?;
        if self.hold(&attachment, port) {
            self.note(format_args!("port {port}: the connection has ended"));
        }
        Ok(())
    }

    fn attach(
        &self,
        record: &DeviceRecord,
        socket: OwnedFd,
        port: Option<u16>,
        origin: &Origin,
    ) -> Result<(Attachment, u16), Failure> {
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
        // Whoever looks what is attached is not told where it is from; else nothing is amiss.
        let _ = self.shared.origins.record(port, origin);
        say(format_args!("port: {port}"))?;
        attachment.announce();
        Ok((attachment, port))
    }

    /// Waits until the connection has ended; `false`: until this was told to end.
    fn hold(&self, attachment: &Attachment, port: u16) -> bool {
        let ended = self.shared.stop.wait_for_hang_up(attachment.socket());
        self.shared.origins.forget(port);
        if ended.is_ok_and(|ended| ended) {
            attachment.gone();
            return true;
        }
        attachment.end_with_notes(self.shared.note);
        false
    }

    fn is_free(&self, port: u16) -> bool {
        let ports = self.shared.vhci.ports();
        ports.is_ok_and(|ports| {
            ports
                .get(port)
                .is_some_and(|port| port.state == PortState::FREE)
        })
    }

    fn note(&self, text: impl Display) {
        (self.shared.note)(&text.to_string());
    }
}
