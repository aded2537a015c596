//! Devices that are offered when they are plugged in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::thread;
use std::time::Duration;

use usbip_proto::BusId;

use crate::passthrough::Uevents;
use crate::passthrough::machine::Machine;
use crate::{Failure, Named, Offered, Physical, PhysicalOptions, PluggedDevice, Selector, Server};

/// How often it is looked whether the user of a device that has gone has left it.
const LEAVING: Duration = Duration::from_millis(500);
/// How often it is looked whether a device that could not be offered can be by now: nobody tells
/// when it is not mounted any more.
const REFUSED: Duration = Duration::from_secs(5);
/// Of so many devices that have gone, the last ones, it is known which number each had.
const REMEMBERED: usize = 256;

/// Offers every device that one of `wanted` fits as soon as the system has configured it, in a
/// thread of its own, until the server is stopped, and takes it back when it is gone. One that this
/// machine uses is offered as soon as it does not; one that is `named` elsewhere, or that several
/// of `wanted` fit which differ, is not.
///
/// They are numbered from `first` on. A device that comes back has the number that it had: at the
/// same place, or elsewhere with the same serial number. Another has one that nobody had, or, behind
/// many, those had that are gone longest.
///
/// # Errors
/// A device is said twice; the kernel does not tell of its devices, or the system has no thread left.
pub fn watch(
    server: &Server,
    wanted: Vec<PhysicalOptions>,
    named: Vec<Named>,
    first: u16,
) -> Result<(), Failure> {
    let mut selectors: Vec<&Selector> = named.iter().map(Named::selector).collect();
    for PhysicalOptions { selector, .. } in &wanted {
        if selectors.contains(&selector) {
            return Err(Failure::Mistake(format!(
                "--watch {selector}: it is said already how that is offered"
            )));
        }
        selectors.push(selector);
    }
    let events = Uevents::new().map_err(Failure::failed)?;
    let mut watched = Watched {
        server: server.clone(),
        machine: Machine::default(),
        wanted,
        named,
        first,
        known: BTreeMap::new(),
        lack: None,
        gone: VecDeque::new(),
    };
    let thread = thread::Builder::new().name("watch".into());
    let thread = thread.spawn(move || watched.follow(&events));
    thread.map(drop).map_err(Failure::failed)
}

/// Its place, and what is new whenever something is plugged in there.
type Key = (BusId, (u16, u16));

#[derive(Debug)]
struct Watched {
    server: Server,
    machine: Machine,
    wanted: Vec<PhysicalOptions>,
    named: Vec<Named>,
    first: u16,
    /// Those that are there, and those that are gone and not yet left by who used them.
    known: BTreeMap<Key, State>,
    /// Why none can be seen, as it was told.
    lack: Option<String>,
    /// What had which number, the one that is gone longest first.
    gone: VecDeque<Shown>,
}

/// A device that is offered, or was.
#[derive(Clone, Debug)]
struct Shown {
    number: u16,
    bus_id: BusId,
    device: PluggedDevice,
}

#[derive(Debug)]
enum State {
    Offered(Box<Shown>),
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
        let found = self.machine.devices();
        let lack = found.as_ref().err().map(ToString::to_string);
        if let Some(lack) = lack
            .as_ref()
            .filter(|lack| Some(*lack) != self.lack.as_ref())
        {
            self.server.note(&format!("watch: {lack}"));
        }
        self.lack = lack;
        let mut devices = found.unwrap_or_default();
        devices.retain(|device| device.configuration != 0);
        self.know_again(&devices);
        let mut patience = self.take_back(&devices);
        let here: BTreeSet<Key> = devices.iter().map(key_of).collect();
        for device in devices {
            let key = key_of(&device);
            if matches!(self.known.get(&key), Some(State::Offered(_))) {
                continue;
            }
            let options = match self.choice(&device) {
                None => continue,
                Some(Err(why)) => {
                    self.refuse(key, why);
                    continue;
                }
                Some(Ok(options)) => options,
            };
            // Its number is in use until what it was before has been left.
            let leaving = self.known.iter().filter(|(key, _)| !here.contains(key));
            if leaving.into_iter().any(|(_, state)| state.is_of(&device)) {
                patience = Some(LEAVING);
                continue;
            }
            match self.offer(options, device) {
                Ok((shown, name)) => {
                    self.server.note(&format!("{}: {name}", shown.bus_id));
                    self.gone.retain(|gone| gone.number != shown.number);
                    self.known.insert(key, State::Offered(Box::new(shown)));
                }
                Err(failure) => {
                    patience = patience.or(Some(REFUSED));
                    self.refuse(key, failure.into_text());
                }
            }
        }
        patience
    }

    /// What was plugged out and in again since the last look stays offered: who takes it finds it.
    fn know_again(&mut self, devices: &[PluggedDevice]) {
        for device in devices {
            let key = key_of(device);
            let before = self.known.iter().find(|(before, state)| {
                let is_here = devices.iter().any(|device| key_of(device) == **before);
                !is_here && before.0 == key.0 && state.is_of(device)
            });
            let before = before.map(|(before, _)| *before);
            if let Some(state) = before.and_then(|before| self.known.remove(&before)) {
                self.known.insert(key, state);
            }
        }
    }

    fn take_back(&mut self, devices: &[PluggedDevice]) -> Option<Duration> {
        let (server, gone) = (&self.server, &mut self.gone);
        let mut patience = None;
        self.known.retain(|key, state| {
            let is_here = devices.iter().any(|device| key_of(device) == *key);
            if let (false, State::Offered(shown)) = (is_here, state) {
                if !server.withdraw(shown.bus_id) {
                    patience = Some(LEAVING);
                    return true;
                }
                server.note(&format!("{}: is gone", shown.bus_id));
                gone.push_back((**shown).clone());
            }
            is_here
        });
        let too_many = gone.len().saturating_sub(REMEMBERED);
        gone.drain(..too_many);
        patience
    }

    /// How a device is to be offered, or why it is not, if somebody asks for it.
    fn choice(&self, device: &PluggedDevice) -> Option<Result<PhysicalOptions, String>> {
        let fitting = self.wanted.iter();
        let mut fitting = fitting.filter(|wanted| wanted.selector.fits(device));
        let first = fitting.next()?;
        let bus_id = device.bus_id;
        if self.named.iter().any(|named| named.may_be(device)) {
            return Some(Err(format!(
                "{bus_id}: --usb says how it is offered, so --watch does not offer it"
            )));
        }
        if let Some(other) = fitting.find(|other| !other.offer_alike(first)) {
            let (first, other) = (&first.selector, &other.selector);
            return Some(Err(format!(
                "{bus_id}: not offered, as --watch {first} and --watch {other} differ in how"
            )));
        }
        Some(Ok(first.clone()))
    }

    /// Tells why a device is not offered, once.
    fn refuse(&mut self, key: Key, why: String) {
        if !matches!(self.known.get(&key), Some(State::Refused(told)) if *told == why) {
            self.server.note(&why);
        }
        self.known.insert(key, State::Refused(why));
    }

    fn offer(
        &self,
        mut options: PhysicalOptions,
        device: PluggedDevice,
    ) -> Result<(Shown, String), Failure> {
        // Another of its kind, elsewhere, is offered for itself.
        options.selector = Selector::BusId(device.bus_id);
        let number = self.number_for(&device);
        let physical = Physical::new(self.machine.clone(), options, device.clone());
        let offered = Offered::physical(physical.map_err(Failure::failed)?);
        let name = offered.name.clone();
        let shown = Shown {
            number,
            bus_id: self.server.offer(offered, number)?,
            device,
        };
        Ok((shown, name))
    }

    /// The number that it had, or one that nobody has or is known to have had.
    fn number_for(&self, device: &PluggedDevice) -> u16 {
        let same = || self.gone.iter().filter(|gone| gone.is_of(device));
        let mut at_place = same().filter(|gone| gone.device.bus_id == device.bus_id);
        // Several with one serial number are not guessed between.
        let only = || same().next().filter(|_| same().count() == 1);
        if let Some(gone) = at_place.next().or_else(only) {
            return gone.number;
        }
        let offered = self.known.values().filter_map(|state| match state {
            State::Offered(shown) => Some(shown.number),
            State::Refused(_) => None,
        });
        let had = self.gone.iter().map(|gone| gone.number);
        let used: BTreeSet<u16> = offered.chain(had).collect();
        let mut numbers = self.first..=u16::MAX;
        let free = numbers.find(|number| !used.contains(number));
        free.unwrap_or(u16::MAX)
    }
}

impl Shown {
    /// Whether it may be this one: at the same place, or with the same serial number.
    fn is_of(&self, device: &PluggedDevice) -> bool {
        let is_known = device.serial.is_some() || device.bus_id == self.device.bus_id;
        is_known && device.difference_from(&self.device).is_none()
    }
}

impl State {
    fn is_of(&self, device: &PluggedDevice) -> bool {
        matches!(self, Self::Offered(shown) if shown.is_of(device))
    }
}

fn key_of(device: &PluggedDevice) -> Key {
    (device.bus_id, device.address)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use usbip_proto::server::Session;
    use usbip_proto::{OpStatus, ProtocolError};

    use super::*;
    use crate::passthrough::machine::fake::{Folder, Plug};
    use crate::{Device, Offers, Stream, StreamError};

    fn watched(folder: &Folder, wanted: &[&str]) -> (Watched, impl Fn() -> String + use<>) {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let same = Arc::clone(&notes);
        let log = move |text: &str| same.lock().unwrap().push(text.to_owned());
        let watched = Watched {
            server: Server::new(log).unwrap(),
            machine: folder.machine(),
            wanted: wanted.iter().map(|text| text.parse().unwrap()).collect(),
            named: Vec::new(),
            first: 1,
            known: BTreeMap::new(),
            lack: None,
            gone: VecDeque::new(),
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
        let mut ids: Vec<_> = ids.collect();
        ids.sort();
        ids
    }

    #[test]
    fn what_is_not_authorized_is_offered_when_it_is() {
        let folder = Folder::new("watched");
        // Without that it has no configuration.
        let plug = |authorized, configuration| {
            folder.plug(&Plug::new("1-2", (0x46f4, 1)));
            let set = |name, text| folder.write(&format!("sys/bus/usb/devices/1-2/{name}"), text);
            set("authorized", authorized);
            set("bConfigurationValue", configuration);
        };
        plug("0\n", "\n");
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "");
        plug("1\n", "1\n");
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: 1-2 46f4:0001");
        plug("0\n", "\n");
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: is gone");
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

    #[test]
    fn that_there_is_no_usb_is_told_and_not_the_end() {
        let folder = Folder::new("lack");
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        let machine = folder.machine();
        watched.machine.sysfs.push("bus");
        assert_eq!(watched.look(), None);
        let lack = told();
        assert!(
            lack.starts_with("watch: this machine has no USB: "),
            "{lack}"
        );
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "", "once");
        watched.machine = machine;
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "1-1: 1-2 46f4:0001");
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

    fn stick(bus_id: &'static str, serial: Option<&'static str>, number: u16) -> Plug {
        Plug {
            serial,
            number,
            ..Plug::new(bus_id, (0x46f4, 1))
        }
    }

    /// What is told after a look, without the devices' names.
    fn looked(watched: &mut Watched, told: &impl Fn() -> String) -> String {
        assert_eq!(watched.look(), None);
        told().replace(" 46f4:0001", "")
    }

    #[test]
    fn a_device_that_comes_back_has_the_number_that_it_had() {
        let folder = Folder::new("numbers");
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        folder.plug(&stick("1-2", Some("A"), 2));
        folder.plug(&stick("1-3", Some("B"), 3));
        assert_eq!(looked(&mut watched, &told), "1-1: 1-2\n1-2: 1-3");
        folder.unplug("1-2");
        folder.unplug("1-3");
        assert_eq!(looked(&mut watched, &told), "1-1: is gone\n1-2: is gone");
        // Another has none of theirs, not even at their place.
        folder.plug(&stick("1-2", Some("C"), 4));
        assert_eq!(looked(&mut watched, &told), "1-3: 1-2");
        folder.plug(&stick("1-4", Some("A"), 5));
        assert_eq!(looked(&mut watched, &told), "1-1: 1-4");
        folder.plug(&stick("1-3", Some("B"), 6));
        assert_eq!(looked(&mut watched, &told), "1-2: 1-3");
        // It was quicker than a look, and is the same.
        folder.plug(&stick("1-3", Some("B"), 7));
        assert_eq!(looked(&mut watched, &told), "");
        assert_eq!(listed(&watched), ["1-1", "1-2", "1-3"]);
        folder.unplug("1-3");
        assert_eq!(looked(&mut watched, &told), "1-2: is gone");
    }

    #[test]
    fn those_that_are_alike_do_not_change_their_numbers() {
        for serial in [None, Some("0123456789")] {
            let folder = Folder::new(serial.unwrap_or("alike"));
            let (mut watched, told) = watched(&folder, &["46f4:0001"]);
            folder.plug(&stick("1-2", serial, 2));
            folder.plug(&stick("1-3", serial, 3));
            assert_eq!(looked(&mut watched, &told), "1-1: 1-2\n1-2: 1-3");
            folder.unplug("1-2");
            folder.unplug("1-3");
            assert_eq!(looked(&mut watched, &told), "1-1: is gone\n1-2: is gone");
            folder.plug(&stick("1-3", serial, 4));
            assert_eq!(looked(&mut watched, &told), "1-2: 1-3");
            folder.plug(&stick("1-2", serial, 5));
            assert_eq!(looked(&mut watched, &told), "1-1: 1-2");
            folder.unplug("1-2");
            folder.unplug("1-3");
            assert_eq!(looked(&mut watched, &told), "1-1: is gone\n1-2: is gone");
            // Either of them, or a third.
            folder.plug(&stick("1-4", serial, 6));
            assert_eq!(looked(&mut watched, &told), "1-3: 1-4");
        }
    }

    /// A device that anybody can take.
    struct Willing;

    impl Device for Willing {
        fn serve(
            &mut self,
            _: &mut Stream,
            _: &mut Session,
        ) -> Result<(), StreamError<ProtocolError>> {
            Ok(())
        }
    }

    /// What is plugged in elsewhere before its user has left keeps its number, too.
    #[test]
    fn a_number_is_waited_for() {
        let folder = Folder::new("waits");
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        folder.plug(&stick("1-2", Some("A"), 2));
        assert_eq!(looked(&mut watched, &told), "1-1: 1-2");
        // As who used it would have it.
        let record = watched.server.list().remove(0);
        assert!(watched.server.withdraw(record.bus_id()));
        let server = &watched.server;
        server.export(record.clone(), Box::new(Willing)).unwrap();
        let lease = server.grant(record.bus_id()).unwrap();
        folder.unplug("1-2");
        folder.plug(&stick("1-3", Some("A"), 3));
        assert_eq!(watched.look(), Some(LEAVING));
        assert_eq!(told(), "");
        drop(lease);
        assert_eq!(looked(&mut watched, &told), "1-1: is gone\n1-1: 1-3");
    }

    #[test]
    fn numbers_do_not_run_out() {
        let folder = Folder::new("many");
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        folder.plug(&stick("1-2", None, 2));
        let device = watched.machine.devices().unwrap().remove(0);
        let bus_id = device.bus_id;
        folder.unplug("1-2");
        for number in 1..=u16::try_from(REMEMBERED).unwrap() + 1 {
            let mut device = device.clone();
            device.serial = Some(format!("{number}"));
            watched.gone.push_back(Shown {
                number,
                bus_id,
                device,
            });
        }
        assert_eq!(looked(&mut watched, &told), "");
        assert_eq!(watched.gone.len(), REMEMBERED);
        folder.plug(&stick("1-2", None, 3));
        assert_eq!(
            looked(&mut watched, &told),
            "1-1: 1-2",
            "that of the one gone longest"
        );
        folder.plug(&stick("1-3", None, 4));
        assert_eq!(looked(&mut watched, &told), "1-258: 1-3");
    }

    #[test]
    fn what_is_said_of_a_device_in_two_ways_is_not_offered() {
        let folder = Folder::new("twice");
        let wanted = ["46f4:0001", "1-2,read-only", "1-3"];
        let (mut watched, told) = watched(&folder, &wanted);
        folder.plug(&stick("1-2", None, 2));
        folder.plug(&stick("1-3", None, 3));
        let expected = "1-2: not offered, as --watch 46f4:0001 and --watch 1-2 differ in how\n\
                        1-1: 1-3 46f4:0001";
        assert_eq!(watched.look(), None);
        assert_eq!(told(), expected);
        assert_eq!(watched.look(), None);
        assert_eq!(told(), "", "once");
        assert_eq!(listed(&watched), ["1-1"]);
    }

    #[test]
    fn what_is_named_is_not_watched() {
        let folder = Folder::new("named-elsewhere");
        folder.plug(&stick("1-2", Some("A"), 2));
        let (mut watched, told) = watched(&folder, &["46f4:0001"]);
        let found = watched.machine.devices().unwrap().remove(0);
        let options = "1-2,read-only".parse().unwrap();
        let physical = Physical::new(watched.machine.clone(), options, found).unwrap();
        watched.named.push(physical.named());
        let why = "--usb says how it is offered, so --watch does not offer it";
        assert_eq!(watched.look(), None);
        assert_eq!(told(), format!("1-2: {why}"));
        folder.unplug("1-2");
        folder.plug(&stick("1-3", Some("A"), 3));
        folder.plug(&stick("1-4", Some("B"), 4));
        assert_eq!(watched.look(), None);
        assert_eq!(told(), format!("1-3: {why}\n1-1: 1-4 46f4:0001"));
    }

    #[test]
    fn what_is_said_twice_is_a_mistake() {
        let server = Server::new(|_| ()).unwrap();
        let wanted = |texts: &[&str]| -> Vec<PhysicalOptions> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let twice = wanted(&["46f4:0001,read-only", "46f4:0001"]);
        let failure = watch(&server, twice, Vec::new(), 1).unwrap_err();
        let expected = "--watch 46f4:0001: it is said already how that is offered";
        assert_eq!(failure, Failure::Mistake(expected.into()));
    }
}
