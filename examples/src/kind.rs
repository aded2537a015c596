//! The kinds of device that a server can be told to offer.

use std::ffi::{OsStr, OsString};

use lexopt::Parser;
use msc_bot::MassStorage as _;
use usb_transfer::DeviceDescriptors;
use usbip_proto::{BusId, DeviceId, DeviceRecord, RecordError};

use crate::server::Device;
use crate::{Address, DiskOptions, Failure, Relay, UnitImage, simulated, typed_strokes};

/// One kind of device, and the option of the programs by which it is asked for. To add one, write
/// what opens it and a line in [`KINDS`].
#[derive(Debug)]
pub struct Kind {
    /// The option, without its dashes.
    pub option: &'static str,
    /// The values it takes, each with the name that the help gives it.
    pub values: &'static [&'static str],
    /// What the help says of it.
    pub about: &'static str,
    /// It is a disk, whose unit 0 is the image of its value.
    pub is_disk: bool,
    /// Opens the device. It gets as many values as it takes.
    pub open: fn(&Wanted) -> Result<Offered, Failure>,
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        option: "disk",
        values: &["IMAGE[,ro]"],
        about: "a disk; with ,ro it cannot be written",
        is_disk: true,
        open: disk,
    },
    Kind {
        option: "cdrom",
        values: &["ISO"],
        about: "a drive with a CD or DVD, such as an ISO file",
        is_disk: true,
        open: disk,
    },
    Kind {
        option: "keyboard",
        values: &["TEXT"],
        about: "a keyboard that types TEXT to each client",
        is_disk: false,
        open: keyboard,
    },
    Kind {
        option: "serial",
        values: &[],
        about: "a serial port; its other end is a pseudo-terminal",
        is_disk: false,
        open: |_| simulated::serial(),
    },
    Kind {
        option: "audio",
        values: &[],
        about: "a sound card that records what it plays",
        is_disk: false,
        open: |_| simulated::audio(),
    },
    Kind {
        option: "relay",
        values: &["ADDR", "BUSID"],
        about: "a device of another server",
        is_disk: false,
        open: relay,
    },
];

/// A device that was asked for, with all that was said of it.
#[derive(Debug)]
pub struct Wanted {
    /// Its kind.
    pub kind: &'static Kind,
    /// The values of the kind's option.
    pub values: Vec<OsString>,
    /// What is said of a disk.
    pub disk: DiskOptions,
}

impl Wanted {
    /// Opens the device.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(&self) -> Result<Offered, Failure> {
        (self.kind.open)(self)
    }
}

/// The devices that a command line asks for. An option of disks is of the disk before it; before
/// the first device, of every disk.
#[derive(Debug, Default)]
pub struct Devices {
    /// In their order.
    pub wanted: Vec<Wanted>,
    every_disk: DiskOptions,
}

impl Devices {
    /// What the help says of the devices and their options.
    #[must_use]
    pub fn help() -> String {
        let devices = KINDS.iter().map(|kind| {
            let usage = format!("--{} {}", kind.option, kind.values.join(" "));
            format!("  {usage:<21} {}\n", kind.about)
        });
        let (devices, options) = (devices.collect::<String>(), DiskOptions::HELP);
        format!(
            "{devices}\nOptions of the disk before them, or, before all devices, of every disk:\n{options}"
        )
    }

    /// Reads the values of an option, if it asks for a device or is of a disk.
    ///
    /// # Errors
    /// A value is missing or none of the option's, or there is no disk that it could be of.
    pub fn take(&mut self, option: &str, arguments: &mut Parser) -> Result<bool, lexopt::Error> {
        if let Some(kind) = KINDS.iter().find(|kind| kind.option == option) {
            let values = kind.values.iter().map(|_| arguments.value());
            let values = values.collect::<Result<Vec<_>, _>>()?;
            let mut disk = self.every_disk.clone();
            if let Some(value) = values.first().filter(|_| kind.is_disk) {
                let image = UnitImage::parse(value);
                let is_cd = kind.option == "cdrom";
                disk.units.push(if is_cd { image.cd() } else { image });
            }
            self.wanted.push(Wanted { kind, values, disk });
            return Ok(true);
        }
        let disk = match self.wanted.last_mut() {
            Some(wanted) => &mut wanted.disk,
            None => &mut self.every_disk,
        };
        if !disk.take(option, arguments)? {
            return Ok(false);
        }
        let is_disk = match self.wanted.last() {
            Some(wanted) => wanted.kind.is_disk,
            None => option != "lun",
        };
        if is_disk {
            Ok(true)
        } else {
            Err(format!("--{option} is of a disk: it comes after --disk or --cdrom").into())
        }
    }
}

/// A device that is ready to be offered.
pub struct Offered {
    /// What it is, for people.
    pub name: String,
    description: Description,
    /// The device.
    pub device: Box<dyn Device>,
}

enum Description {
    Own(DeviceDescriptors),
    Imported(DeviceRecord),
}

impl Offered {
    /// A device of this machine.
    #[must_use]
    pub fn new(
        name: String,
        descriptors: DeviceDescriptors,
        device: impl Device + 'static,
    ) -> Self {
        Self {
            name,
            description: Description::Own(descriptors),
            device: Box::new(device),
        }
    }

    /// What clients are told of it, when it is offered under this name and number.
    ///
    /// # Errors
    /// Its descriptors cannot be read.
    pub fn record(&self, bus_id: BusId, id: DeviceId) -> Result<DeviceRecord, RecordError> {
        match &self.description {
            Description::Own(descriptors) => {
                DeviceRecord::new(&format!("/usbip-server/{bus_id}"), bus_id, id, descriptors)
            }
            Description::Imported(record) => Ok(record.clone().with_name(bus_id, id)),
        }
    }
}

impl std::fmt::Debug for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offered")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn disk(wanted: &Wanted) -> Result<Offered, Failure> {
    let disk = wanted.disk.open()?;
    let descriptors = disk.device().descriptors().clone();
    let names = wanted.disk.units.iter();
    let names = names.map(|unit| unit.path.display().to_string());
    let name = names.collect::<Vec<_>>().join(", ");
    Ok(Offered::new(name, descriptors, disk))
}

fn keyboard(wanted: &Wanted) -> Result<Offered, Failure> {
    let text = wanted
        .values
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    let strokes = typed_strokes(&text.to_string_lossy());
    simulated::keyboard(strokes.map_err(|error| Failure::Mistake(format!("--keyboard: {error}")))?)
}

fn relay(wanted: &Wanted) -> Result<Offered, Failure> {
    let texts = wanted.values.iter().map(|value| value.to_string_lossy());
    let [address, bus_id] = &texts.collect::<Vec<_>>()[..] else {
        return Err(Failure::Mistake("--relay takes ADDR and BUSID".into()));
    };
    let mistake = |text: &str, error: &dyn std::fmt::Display| {
        Failure::Mistake(format!("--relay: {text:?}: {error}"))
    };
    let address: Address = address.parse().map_err(|error| mistake(address, &error))?;
    let bus_id: BusId = bus_id.parse().map_err(|error| mistake(bus_id, &error))?;
    let name = format!("{bus_id} at {address}");
    let relay = Relay::new(address.clone(), bus_id)
        .map_err(|error| Failure::Failed(format!("{address}: {error}")))?;
    Ok(Offered {
        name,
        description: Description::Imported(relay.record().clone()),
        device: Box::new(relay),
    })
}
