//! Devices that are offered when they are plugged in.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use usbip_proto::BusId;

use crate::passthrough::Uevents;
use crate::{Failure, Offered, Physical, PhysicalOptions, PluggedDevice, Selector, Server};

/// How often it is looked whether the user of a device that has gone has left it.
const PERIOD: Duration = Duration::from_millis(500);

/// Offers every device that one of `wanted` fits as soon as the system has configured it, in a
/// thread of its own, until the server is stopped, and takes it back when it is gone. They are
/// numbered from `first` on; a device that comes back is another one.
///
/// # Errors
/// The kernel does not tell of its devices, or the system has no thread left.
pub fn watch(server: &Server, wanted: Vec<PhysicalOptions>, first: u16) -> io::Result<()> {
    let server = server.clone();
    let events = Uevents::new()?;
    let thread = thread::Builder::new().name("watch".into());
    thread.spawn(move || {
        let mut watched = Watched {
            server,
            wanted,
            next: first,
            known: BTreeMap::new(),
        };
        watched.follow(&events);
    })?;
    Ok(())
}

/// Its place, and what is new whenever something is plugged in there.
type Key = (BusId, (u16, u16));

#[derive(Debug)]
struct Watched {
    server: Server,
    wanted: Vec<PhysicalOptions>,
    next: u16,
    /// Those that are there, and as what each is offered, if it can be.
    known: BTreeMap<Key, Option<BusId>>,
}

impl Watched {
    fn follow(&mut self, events: &Uevents) {
        loop {
            let patience = if self.look() { None } else { Some(PERIOD) };
            loop {
                match self.server.wait_for_stop_or(events, patience) {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => return self.server.note(&format!("watch: {error}")),
                }
                if events.take() || patience.is_some() {
                    break;
                }
            }
        }
    }

    /// Offers what has come and takes back what has gone. `false`: somebody still has some of it.
    fn look(&mut self) -> bool {
        // A machine without USB may get it.
        let mut devices = PluggedDevice::all().unwrap_or_default();
        devices.retain(|device| device.configuration != 0);
        let server = &self.server;
        let mut is_settled = true;
        self.known.retain(|key, offered| {
            let is_here = devices.iter().any(|device| key_of(device) == *key);
            if let (false, Some(bus_id)) = (is_here, &offered) {
                if !server.withdraw(*bus_id) {
                    is_settled = false;
                    return true;
                }
                server.note(&format!("{bus_id}: is gone"));
            }
            is_here
        });
        for device in &devices {
            let key = key_of(device);
            let mut wanted = self.wanted.iter();
            let wanted = wanted.find(|wanted| wanted.selector.fits(device));
            if let (Some(options), false) = (wanted.cloned(), self.known.contains_key(&key)) {
                let offered = self.offer(options, device);
                self.known.insert(key, offered);
            }
        }
        is_settled
    }

    /// `None`: it cannot be offered.
    fn offer(&mut self, mut options: PhysicalOptions, device: &PluggedDevice) -> Option<BusId> {
        // There may be several of its kind.
        options.selector = Selector::BusId(device.bus_id);
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let offered = open(options).and_then(|offered| {
            let name = offered.name.clone();
            Ok((self.server.offer(offered, number)?, name))
        });
        match offered {
            Ok((bus_id, name)) => {
                self.server.note(&format!("{bus_id}: {name}"));
                Some(bus_id)
            }
            Err(failure) => {
                self.server.note(&failure.into_text());
                None
            }
        }
    }
}

fn open(options: PhysicalOptions) -> Result<Offered, Failure> {
    let physical = Physical::find(options).map_err(Failure::failed)?;
    Ok(Offered::physical(physical))
}

fn key_of(device: &PluggedDevice) -> Key {
    (device.bus_id, device.address)
}
