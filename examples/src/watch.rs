//! Devices that are offered when they are plugged in.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use usbip_proto::BusId;

use crate::passthrough::Uevents;
use crate::passthrough::machine::Machine;
use crate::{Failure, Offered, Physical, PhysicalOptions, PluggedDevice, Selector, Server};

/// How often it is looked whether the user of a device that has gone has left it.
const LEAVING: Duration = Duration::from_millis(500);
/// How often it is looked whether a device that could not be offered can be by now: nobody tells
/// when it is not mounted any more.
const REFUSED: Duration = Duration::from_secs(5);

/// Offers every device that one of `wanted` fits as soon as the system has configured it, in a
/// thread of its own, until the server is stopped, and takes it back when it is gone. They are
/// numbered from `first` on; a device that comes back is another one. One that this machine uses is
/// offered as soon as it does not.
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
            machine: Machine::default(),
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
    machine: Machine,
    wanted: Vec<PhysicalOptions>,
    next: u16,
    /// Those that are there.
    known: BTreeMap<Key, State>,
}

#[derive(Debug)]
enum State {
    /// As what.
    Offered(BusId),
    /// Why, as it was told.
    Refused(String),
}

impl Watched {
    fn follow(&mut self, events: &Uevents) {
        loop {
            let patience = self.look();
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

    /// Offers what has come and takes back what has gone. Answers when to look again, if nothing
    /// happens before.
    fn look(&mut self) -> Option<Duration> {
        // A machine without USB may get it.
        let mut devices = self.machine.devices().unwrap_or_default();
        devices.retain(|device| device.configuration != 0);
        let server = &self.server;
        let mut patience = None;
        self.known.retain(|key, state| {
            let is_here = devices.iter().any(|device| key_of(device) == *key);
            if let (false, State::Offered(bus_id)) = (is_here, state) {
                if !server.withdraw(*bus_id) {
                    patience = Some(LEAVING);
                    return true;
                }
                server.note(&format!("{bus_id}: is gone"));
            }
            is_here
        });
        for device in devices {
            let key = key_of(&device);
            let known = self.known.get(&key);
            let mut wanted = self.wanted.iter();
            let wanted = wanted.find(|wanted| wanted.selector.fits(&device));
            let (Some(options), None | Some(State::Refused(_))) = (wanted.cloned(), known) else {
                continue;
            };
            let state = match (self.offer(options, device), known) {
                (Ok((bus_id, name)), _) => {
                    self.next = self.next.saturating_add(1);
                    self.server.note(&format!("{bus_id}: {name}"));
                    State::Offered(bus_id)
                }
                (Err(failure), known) => {
                    let why = failure.into_text();
                    if !matches!(known, Some(State::Refused(told)) if *told == why) {
                        self.server.note(&why);
                    }
                    patience = patience.or(Some(REFUSED));
                    State::Refused(why)
                }
            };
            self.known.insert(key, state);
        }
        patience
    }

    fn offer(
        &self,
        mut options: PhysicalOptions,
        device: PluggedDevice,
    ) -> Result<(BusId, String), Failure> {
        // Another of its kind, elsewhere, is offered for itself.
        options.selector = Selector::BusId(device.bus_id);
        let physical = Physical::new(self.machine.clone(), options, device);
        let offered = Offered::physical(physical.map_err(Failure::failed)?);
        let name = offered.name.clone();
        Ok((self.server.offer(offered, self.next)?, name))
    }
}

fn key_of(device: &PluggedDevice) -> Key {
    (device.bus_id, device.address)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use usbip_proto::OpStatus;

    use super::*;
    use crate::Offers;
    use crate::passthrough::machine::fake::{Folder, Plug};

    fn watched(folder: &Folder, wanted: &[&str]) -> (Watched, impl Fn() -> String + use<>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let same = Arc::clone(&notes);
        let log = move |text: &str| same.lock().unwrap().push(text.to_owned());
        let watched = Watched {
            server: Server::new(log).unwrap(),
            machine: folder.machine(),
            wanted: wanted.iter().map(|text| text.parse().unwrap()).collect(),
            next: 1,
            known: BTreeMap::new(),
        };
        let told = move || {
            notes
                .lock()
                .unwrap()
                .drain(..)
                .collect::<Vec<_>>()
                .join("\n")
        };
        (watched, told)
    }

    fn listed(watched: &Watched) -> Vec<String> {
        let records = watched.server.list();
        let ids = records.iter().map(|record| record.bus_id().to_string());
        ids.collect()
    }

    #[test]
    fn what_was_in_use_is_offered_when_it_is_free() {
        let folder = Folder::new("free");
        let disk = "sys/bus/usb/devices/1-2/1-x:1.0/block/sdz";
        let plug = || {
            folder.plug(&Plug::new("1-2", (0x46f4, 1)));
            folder.write(&format!("{disk}/dev"), "65:144\n");
            folder.write(&format!("{disk}/uevent"), "");
        };
        plug();
        folder.write(
            "proc/self/mountinfo",
            "30 22 65:144 / /mnt rw - vfat /dev/sdz rw\n",
        );
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        assert_eq!(watched.look(), Some(REFUSED));
        let refusal = "1-2: sdz is mounted at /mnt; \"1-2,force\" takes it all the same";
        assert_eq!(told(), refusal);
        assert_eq!(watched.look(), Some(REFUSED));
        assert_eq!(told(), "", "once");
        assert!(listed(&watched).is_empty());
        folder.write("proc/self/mountinfo", "");
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: 1-2 46f4:0001");
        assert_eq!(listed(&watched), ["1-1"]);
        folder.unplug("1-2");
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: is gone");
        assert!(listed(&watched).is_empty());
    }

    /// Before the watch has looked.
    #[test]
    fn who_comes_for_a_device_gets_no_other() {
        let folder = Folder::new("other");
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        folder.plug(&Plug {
            number: 3,
            ..Plug::new("1-3", (0x46f4, 1))
        });
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: 1-2 46f4:0001\n1-2: 1-3 46f4:0001");
        // Its bootloader.
        folder.plug(&Plug {
            number: 4,
            ..Plug::new("1-2", (0x0483, 0xdf11))
        });
        let refused = watched.server.grant("1-1".parse().unwrap()).unwrap_err();
        assert_eq!(refused, OpStatus::DEVICE_ERROR);
        let other = "1-2: another device than the one that is offered: 0483:df11, not 46f4:0001";
        assert_eq!(told(), format!("1-1: {other}"));
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: is gone");
        assert_eq!(listed(&watched), ["1-2"]);
    }
}
