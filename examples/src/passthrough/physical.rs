//! A device of this machine, offered to others.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use usb_transfer::{DeviceDescriptors, Function};
use usbip_proto::server::Session;
use usbip_proto::{BusId, ProtocolError};

use super::machine::{Machine, one_of};
use super::nusb::Nusb;
use super::options::{Named, PhysicalOptions, Way};
use super::plugged::{FindError, PluggedDevice};
use super::read_only::{Disks, DisksError, ReadOnly};
use super::{ClaimError, HostApi, Passthrough, Usbfs};
use crate::server::Device;
use crate::{Local, Sleeper, Stop, Stream, StreamError, run_until_left, signal};

/// Why a device cannot be used.
#[derive(Debug, Error)]
pub enum PhysicalError {
    /// It cannot be found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// In its place there is another one, or one that has become another, such as a modem that
    /// was a disk or a device that waits for new firmware.
    #[error("{bus_id}: another device than the one that is offered: {difference}")]
    Replaced {
        /// Where.
        bus_id: BusId,
        /// What it has, and what was offered has not.
        difference: String,
    },
    /// The kernel offers it already.
    #[error(
        "{bus_id}: is in use by the driver {driver}: \"usbip unbind --busid={bus_id}\" ends that"
    )]
    Held {
        /// The device.
        bus_id: BusId,
        /// Who has it.
        driver: String,
    },
    /// Nobody may use it yet.
    #[error("{bus_id}: {reason}")]
    Unauthorized {
        /// The device.
        bus_id: BusId,
        /// Of what that is said, and what ends it.
        reason: String,
    },
    /// This machine uses it.
    #[error("{bus_id}: {}; \"{bus_id},force\" takes it all the same", uses.join(", "))]
    Used {
        /// The device.
        bus_id: BusId,
        /// For what.
        uses: Vec<String>,
    },
    /// Its disks cannot be kept from being written.
    #[error("{bus_id}: {error}, so it cannot be read-only")]
    Disks {
        /// The device.
        bus_id: BusId,
        /// Why.
        error: DisksError,
    },
    /// It is not for this user, or cannot be opened.
    #[error("{node}: {error}{}", remedy(.error))]
    Open {
        /// The file by which programs use it.
        node: String,
        /// Why.
        error: io::Error,
    },
    /// Somebody else has it.
    #[error("{bus_id}: {error}")]
    Claim {
        /// The device.
        bus_id: BusId,
        /// Why.
        error: ClaimError,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ": root may, or whom a udev rule lets (docs/passthrough.md)"
        }
        _ => "",
    }
}

/// A device of this machine. It is taken from the machine's drivers while a client has it, and
/// goes back to them afterwards. It may be plugged out and in again meanwhile, and stays the same by
/// its numbers, serial number, speed and descriptors.
#[derive(Debug)]
pub struct Physical {
    options: PhysicalOptions,
    machine: Machine,
    found: PluggedDevice,
    /// As it is offered.
    descriptors: DeviceDescriptors,
    /// Where they are not to be written.
    disks: Option<Disks>,
    taken: Option<Taken>,
}

/// A device that was taken from the machine's drivers. It goes back to them when this is dropped,
/// also by a panic.
#[derive(Debug)]
pub struct Taken {
    /// What its user's loop is to sleep with.
    pub sleeper: Sleeper,
    /// The device.
    pub device: Passthrough<Box<dyn HostApi + Send>>,
}

/// How long a device may take to give back what was asked of it, when its user has left.
const PATIENCE: Duration = Duration::from_secs(5);

impl Physical {
    /// Finds a device. It stays with the machine's drivers.
    ///
    /// # Errors
    /// It is not there, is not authorized, or the machine uses it.
    pub fn find(options: PhysicalOptions) -> Result<Self, PhysicalError> {
        let machine = Machine::default();
        let found = machine.find(&options.selector)?;
        Self::new(machine, options, found)
    }

    /// A device that was found.
    ///
    /// # Errors
    /// It is not authorized, or the machine uses it.
    pub(crate) fn new(
        machine: Machine,
        options: PhysicalOptions,
        found: PluggedDevice,
    ) -> Result<Self, PhysicalError> {
        let bus_id = found.bus_id;
        if let Some(driver) = found.holder {
            return Err(PhysicalError::Held { bus_id, driver });
        }
        if let Some(reason) = found.lack_of_authorization() {
            return Err(PhysicalError::Unauthorized { bus_id, reason });
        }
        if !found.uses.is_empty() && !options.force {
            let uses = found.uses;
            return Err(PhysicalError::Used { bus_id, uses });
        }
        let mut descriptors = found.descriptors.clone();
        let disks = options.read_only.then(|| Disks::guard(&mut descriptors));
        let disks = disks
            .transpose()
            .map_err(|error| PhysicalError::Disks { bus_id, error })?;
        Ok(Self {
            options,
            machine,
            found,
            descriptors,
            disks,
            taken: None,
        })
    }

    /// What the system tells of it.
    #[must_use]
    pub const fn plugged(&self) -> &PluggedDevice {
        &self.found
    }

    /// What it is known by, and how it was asked for.
    #[must_use]
    pub fn named(&self) -> Named {
        Named {
            selector: self.options.selector.clone(),
            found: self.found.clone(),
        }
    }

    /// What it says of itself to those it is offered to.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        &self.descriptors
    }

    /// The same device, which may have been plugged in again: where it was, also if there are more
    /// of its kind by now, or elsewhere.
    fn find_again(&self) -> Result<PluggedDevice, PhysicalError> {
        let selector = &self.options.selector;
        let mut fitting = self.machine.devices()?;
        fitting.retain(|device| selector.fits(device));
        let difference = |device: &PluggedDevice| {
            let difference = device.difference_from(&self.found);
            difference.map(|difference| (device.bus_id, difference))
        };
        let different = fitting.iter().find_map(difference);
        fitting.retain(|device| difference(device).is_none());
        if let (true, Some((bus_id, difference))) = (fitting.is_empty(), different) {
            return Err(PhysicalError::Replaced { bus_id, difference });
        }
        let place = |device: &PluggedDevice| device.bus_id == self.found.bus_id;
        if fitting.iter().any(place) {
            fitting.retain(place);
        }
        Ok(one_of(fitting.into_iter(), selector)?)
    }

    /// Takes the device from the machine's drivers, whatever became of it meanwhile: it may have
    /// been plugged in again.
    ///
    /// # Errors
    /// It is not there any more, or another is; it is not for this user, or in use.
    pub fn take(&mut self) -> Result<Taken, PhysicalError> {
        let found = self.find_again()?;
        *self = Self::new(self.machine.clone(), self.options.clone(), found)?;
        let found = &self.found;
        let node = found.node();
        let failed = |error| PhysicalError::Open {
            node: node.display().to_string(),
            error,
        };
        let mut sleeper = Sleeper::new();
        let way = match self.options.way {
            Some(way) => way,
            None if found.needs_usbfs() => Way::Usbfs,
            None => Way::Nusb,
        };
        let host: Box<dyn HostApi + Send> = match way {
            Way::Usbfs => {
                let host = Usbfs::open(&node).map_err(failed)?;
                let copy = host.as_fd().try_clone_to_owned().map_err(failed)?;
                let unplugged = sleeper.watch(copy, PollFlags::OUT);
                Box::new(host.with_hang_up(unplugged))
            }
            Way::Nusb => {
                let fd = rustix::fs::open(&node, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
                let fd = fd.map_err(|error| failed(error.into()))?;
                let copy = fd.try_clone().map_err(failed)?;
                let unplugged = sleeper.watch(copy, PollFlags::empty());
                let waker = sleeper.waker().map_err(failed)?;
                let host = Nusb::new(&fd, found.configuration, waker, unplugged);
                Box::new(host.map_err(failed)?)
            }
        };
        let host = match &self.disks {
            Some(disks) => Box::new(ReadOnly::new(host, disks.clone())),
            None => host,
        };
        let descriptors = self.descriptors.clone();
        let policy = self.options.policy.clone();
        let mut device = Passthrough::new(host, descriptors, found.configuration, policy);
        device.claim().map_err(|error| PhysicalError::Claim {
            bus_id: found.bus_id,
            error,
        })?;
        Ok(Taken { sleeper, device })
    }
}

impl<H: HostApi> Passthrough<H> {
    /// Waits for what is under way when its user has left, so that the device is at rest when the
    /// drivers get it; not for ever, and not when [time is up](signal::time_is_up). Longer only where
    /// the system takes longer for a reset that is due.
    pub fn come_to_rest(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            while self.poll().is_some() {}
            if self.is_gone() || !self.is_busy() || signal::time_is_up() || Instant::now() >= until
            {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Local for Passthrough<Box<dyn HostApi + Send>> {
    fn close(&mut self) -> io::Result<()> {
        self.come_to_rest();
        self.give_back();
        Ok(())
    }

    fn waits_in_close(&self) -> bool {
        true
    }
}

impl Device for Physical {
    fn open(&mut self, _stop: &Stop) -> Result<(), String> {
        self.taken = Some(self.take().map_err(|error| error.to_string())?);
        Ok(())
    }

    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        let Some(mut taken) = self.taken.take() else {
            return Ok(());
        };
        let served = run_until_left(client, &taken.sleeper, session, &mut taken.device);
        taken.device.come_to_rest();
        served
    }

    fn left(&mut self) {
        self.taken = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake::{Folder, Plug};
    use super::*;

    fn found(folder: &Folder, options: &str) -> Result<Physical, PhysicalError> {
        let options: PhysicalOptions = options.parse().unwrap();
        let machine = folder.machine();
        let found = machine.find(&options.selector)?;
        Physical::new(machine, options, found)
    }

    fn taken(physical: &mut Physical) -> String {
        // It has no node.
        physical.take().unwrap_err().to_string()
    }

    fn is_taken(physical: &mut Physical) {
        let error = taken(physical);
        assert!(error.starts_with("/dev/bus/usb/999/"), "{error}");
    }

    #[test]
    fn a_device_that_is_plugged_in_again_is_the_same() {
        let folder = Folder::new("again");
        let stick = Plug {
            serial: Some("A"),
            ..Plug::new("1-2", (0x46f4, 1))
        };
        folder.plug(&stick);
        let mut by_kind = found(&folder, "46f4:0001").unwrap();
        let mut by_place = found(&folder, "1-2").unwrap();
        folder.plug(&Plug {
            number: 3,
            ..stick.clone()
        });
        is_taken(&mut by_kind);
        is_taken(&mut by_place);
        // Another of its kind is another, wherever it is.
        let other = Plug {
            bus_id: "1-1",
            serial: Some("B"),
            ..stick.clone()
        };
        folder.plug(&other);
        is_taken(&mut by_kind);
        folder.unplug("1-2");
        let error = taken(&mut by_kind);
        assert_eq!(
            error,
            "1-1: another device than the one that is offered: \
             the serial number \"B\", not the serial number \"A\""
        );
        assert_eq!(taken(&mut by_place), "there is no USB device 1-2");
        // It has moved.
        folder.plug(&Plug {
            bus_id: "1-3",
            ..stick
        });
        is_taken(&mut by_kind);
        assert_eq!(by_kind.plugged().bus_id.to_string(), "1-3");
        assert_eq!(taken(&mut by_place), "there is no USB device 1-2");
    }

    #[test]
    fn what_has_become_another_is_not_taken() {
        let folder = Folder::new("becomes");
        let stick = Plug {
            serial: Some("A"),
            ..Plug::new("1-2", (0x46f4, 1))
        };
        for (now, difference) in [
            (
                Plug {
                    ids: (0x1050, 0x407),
                    ..stick.clone()
                },
                "1050:0407, not 46f4:0001",
            ),
            (
                Plug {
                    serial: None,
                    ..stick.clone()
                },
                "no serial number, not the serial number \"A\"",
            ),
            (
                Plug {
                    speed: "5000",
                    ..stick.clone()
                },
                "SuperSpeed, not high speed",
            ),
            (
                Plug {
                    protocol: 98,
                    ..stick.clone()
                },
                "other descriptors",
            ),
        ] {
            folder.plug(&stick);
            let mut physical = found(&folder, "1-2,force").unwrap();
            folder.plug(&now);
            let expected =
                format!("1-2: another device than the one that is offered: {difference}");
            assert_eq!(taken(&mut physical), expected);
            folder.plug(&stick);
            is_taken(&mut physical);
        }
    }

    #[test]
    fn several_that_are_the_same_are_not_guessed_between() {
        let folder = Folder::new("guess");
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        let mut physical = found(&folder, "46f4:0001").unwrap();
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        is_taken(&mut physical);
        folder.unplug("1-2");
        folder.plug(&Plug::new("1-3", (0x46f4, 1)));
        assert_eq!(
            taken(&mut physical),
            "46f4:0001 are 1-1 and 1-3: say which by its bus id"
        );
    }

    #[test]
    fn what_is_not_authorized_is_refused_also_while_it_is_offered() {
        let folder = Folder::new("unauthorized");
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        let mut physical = found(&folder, "1-2").unwrap();
        is_taken(&mut physical);
        let place = "sys/bus/usb/devices/1-2";
        folder.write(&format!("{place}/authorized"), "0\n");
        folder.write(&format!("{place}/bConfigurationValue"), "\n");
        let expected = "1-2: is not authorized: \
                        \"echo 1 | sudo tee /sys/bus/usb/devices/1-2/authorized\" ends that";
        assert_eq!(taken(&mut physical), expected);
        let error = found(&folder, "1-2,force").unwrap_err();
        assert_eq!(error.to_string(), expected);
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        is_taken(&mut physical);
    }

    /// It is offered already, and has no interfaces to be claimed.
    #[test]
    fn what_the_kernel_offers_is_refused_with_the_remedy() {
        let folder = Folder::new("bound");
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        let mut physical = found(&folder, "1-2,force").unwrap();
        folder.link("sys/bus/usb/devices/1-2/driver", "../../drivers/usbip-host");
        let expected =
            "1-2: is in use by the driver usbip-host: \"usbip unbind --busid=1-2\" ends that";
        assert_eq!(taken(&mut physical), expected);
        let error = found(&folder, "1-2,force").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
