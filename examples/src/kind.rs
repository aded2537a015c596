//! The kinds of device that a server can be told to offer.

use std::ffi::{OsStr, OsString};

use lexopt::{Parser, ValueExt};
use msc_bot::MassStorage as _;
use usb_transfer::DeviceDescriptors;
use usbip_proto::{BusId, DeviceId, DeviceRecord, RecordError};

use crate::server::Device;
use crate::simulated::{Looks, serial_number};
use crate::{
    Address, DiskOptions, Failure, LocalDevice, Named, Physical, PhysicalOptions, Relay, Sleeper,
    Taken, UnitImage, read_speed, simulated, typed_strokes,
};

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
    /// Which options come after it.
    pub takes: Takes,
    /// Opens the device. It gets as many values as it takes.
    pub open: fn(&Wanted) -> Result<Offered, Failure>,
}

/// What can be said of a device beside the values of its own option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// It is a disk, whose unit 0 is the image of its value.
    OfDisks,
    /// It is simulated: its speed, numbers and serial number.
    Looks,
    /// It is what it is.
    Nothing,
}

impl Kind {
    fn is_disk(&self) -> bool {
        self.takes == Takes::OfDisks
    }
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        option: "disk",
        values: &["IMAGE[,ro]"],
        about: "a disk; with ,ro it cannot be written",
        takes: Takes::OfDisks,
        open: disk,
    },
    Kind {
        option: "cdrom",
        values: &["ISO"],
        about: "a drive with a CD or DVD, such as an ISO file",
        takes: Takes::OfDisks,
        open: disk,
    },
    Kind {
        option: "keyboard",
        values: &["TEXT"],
        about: "a keyboard that types TEXT to each client",
        takes: Takes::Looks,
        open: keyboard,
    },
    Kind {
        option: "keys",
        values: &["FILE"],
        about: "a keyboard that types what FILE brings, such as /dev/stdin",
        takes: Takes::Looks,
        open: |wanted| simulated::keys(wanted.value(), &wanted.looks),
    },
    Kind {
        option: "tablet",
        values: &["FILE"],
        about: "a tablet that is moved by lines X Y [BUTTONS [WHEEL]] of FILE",
        takes: Takes::Looks,
        open: |wanted| simulated::tablet(wanted.value(), &wanted.looks),
    },
    Kind {
        option: "serial",
        values: &[],
        about: "a serial port; its other end is a pseudo-terminal",
        takes: Takes::Looks,
        open: |wanted| simulated::serial(&wanted.looks),
    },
    Kind {
        option: "audio",
        values: &[],
        about: "a sound card that records what it plays",
        takes: Takes::Looks,
        open: |wanted| simulated::audio(&wanted.looks),
    },
    Kind {
        option: "usb",
        values: &["DEVICE[,OPTION]..."],
        about: "a real device of this machine",
        takes: Takes::Nothing,
        open: physical,
    },
    Kind {
        option: "relay",
        values: &["ADDR", "BUSID"],
        about: "a device of another server",
        takes: Takes::Nothing,
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
    /// What is said of a simulated device.
    pub looks: Looks,
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

    /// The first value.
    fn value(&self) -> &OsStr {
        self.values
            .first()
            .map_or(OsStr::new(""), OsString::as_os_str)
    }
}

/// The devices that a command line asks for. An option is of the device before it; before the first
/// one, of every device.
#[derive(Debug, Default)]
pub struct Devices {
    /// In their order.
    pub wanted: Vec<Wanted>,
    every_looks: Looks,
    every_disk: DiskOptions,
    /// The last one that was said of every device.
    of_every: Option<String>,
}

impl Devices {
    /// What the help says of the devices that a program has, and of their options.
    #[must_use]
    pub fn help(has: fn(&Kind) -> bool) -> String {
        let kinds = KINDS.iter().filter(|kind| has(kind));
        let devices = kinds.map(|kind| {
            let usage = format!("--{} {}", kind.option, kind.values.join(" "));
            format!("  {usage:<21} {}\n", kind.about)
        });
        let (devices, options) = (devices.collect::<String>(), DiskOptions::HELP);
        format!(
            "{devices}\nOptions of the disk before them, or, before all devices, of every disk:\n{options}
Of other simulated devices:
  --speed SPEED         low, full, high or super [default: high]
  --id VENDOR:PRODUCT   their numbers, four hexadecimal digits each [default: 1209:0001]
  --serial-number TEXT  the serial number of the device before it [default: such as KEYBOARD-1]
{}
",
            PhysicalOptions::HELP
        )
    }

    /// Whether there is a device for what was said of every one.
    ///
    /// # Errors
    /// There is none.
    pub fn check(&self) -> Result<(), lexopt::Error> {
        let mut kinds = self.wanted.iter().map(|wanted| wanted.kind);
        match &self.of_every {
            Some(option) if kinds.all(|kind| kind.takes == Takes::Nothing) => {
                Err(format!("--{option} is of simulated devices, and there is none").into())
            }
            _ => Ok(()),
        }
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
            if let Some(value) = values.first().filter(|_| kind.is_disk()) {
                let image = UnitImage::parse(value);
                let is_cd = kind.option == "cdrom";
                disk.units.push(if is_cd { image.cd() } else { image });
            }
            let before = self.wanted.iter();
            let before = before.filter(|wanted| wanted.kind.option == option);
            let mut looks = self.every_looks.clone();
            looks.serial = Some(serial_number(option, before.count() + 1));
            self.wanted.push(Wanted {
                kind,
                values,
                looks,
                disk,
            });
            return Ok(true);
        }
        let is_of_looks = matches!(option, "speed" | "id" | "serial-number");
        let (looks, disk) = match self.wanted.last_mut() {
            Some(wanted) if is_of_looks && wanted.kind.takes == Takes::Nothing => {
                let kind = wanted.kind.option;
                return Err(format!("--{option} is of simulated devices, not of --{kind}").into());
            }
            Some(wanted) => (&mut wanted.looks, &mut wanted.disk),
            None => {
                self.of_every = Some(option.to_owned());
                (&mut self.every_looks, &mut self.every_disk)
            }
        };
        match option {
            "speed" => {
                let speed = arguments.value()?.parse_with(read_speed)?;
                (looks.speed, disk.speed) = (Some(speed), speed);
                return Ok(true);
            }
            "id" => {
                looks.ids = Some(arguments.value()?.parse_with(read_ids)?);
                let wanted = self.wanted.last();
                if wanted.is_some_and(|wanted| wanted.kind.is_disk()) {
                    return Err("--id is not of a disk".into());
                }
                return Ok(true);
            }
            "serial-number" => {
                looks.serial = Some(arguments.value()?.parse()?);
                return match self.wanted.last() {
                    Some(wanted) if !wanted.kind.is_disk() => Ok(true),
                    _ => Err("--serial-number is of the device before it, which is no disk".into()),
                };
            }
            _ => {}
        }
        if !disk.take(option, arguments)? {
            return Ok(false);
        }
        let is_disk = match self.wanted.last() {
            Some(wanted) => wanted.kind.is_disk(),
            None => option != "lun",
        };
        if is_disk {
            Ok(true)
        } else {
            Err(format!("--{option} is of a disk: it comes after --disk or --cdrom").into())
        }
    }
}

fn read_ids(text: &str) -> Result<(u16, u16), &'static str> {
    let number = |text| u16::from_str_radix(text, 16).ok();
    let ids = text.split_once(':');
    ids.and_then(|(vendor, product)| Some((number(vendor)?, number(product)?)))
        .ok_or("numbers are VENDOR:PRODUCT, such as 1209:0001")
}

/// A device that is ready to be offered.
pub struct Offered {
    /// What it is, for people.
    pub name: String,
    /// What they may not expect of it, line by line.
    pub notes: Vec<String>,
    source: Source,
}

enum Source {
    Local(Box<LocalDevice>),
    Physical(Box<Physical>),
    Relay(Box<Relay>),
}

impl Offered {
    /// A device of this machine.
    #[must_use]
    pub fn local(name: String, device: LocalDevice) -> Self {
        Self {
            name,
            notes: Vec::new(),
            source: Source::Local(Box::new(device)),
        }
    }

    /// A device that is plugged into this machine.
    #[must_use]
    pub fn physical(device: Physical) -> Self {
        Self {
            name: device.plugged().to_string(),
            notes: Vec::new(),
            source: Source::Physical(Box::new(device)),
        }
    }

    /// What a device that is plugged into this machine is known by.
    #[must_use]
    pub fn named(&self) -> Option<Named> {
        match &self.source {
            Source::Physical(device) => Some(device.named()),
            Source::Local(_) | Source::Relay(_) => None,
        }
    }

    /// What clients of USB/IP are told of it, when it is offered under this name and number.
    ///
    /// # Errors
    /// Its descriptors cannot be read.
    pub fn record(&self, bus_id: BusId, id: DeviceId) -> Result<DeviceRecord, RecordError> {
        match &self.source {
            Source::Local(device) => own_record(bus_id, id, &device.descriptors),
            Source::Physical(device) => own_record(bus_id, id, device.descriptors()),
            Source::Relay(relay) => Ok(relay.record().clone().with_name(bus_id, id)),
        }
    }

    /// What serves clients of USB/IP.
    #[must_use]
    pub fn into_device(self) -> Box<dyn Device> {
        match self.source {
            Source::Local(device) => device,
            Source::Physical(device) => device,
            Source::Relay(relay) => relay,
        }
    }

    /// Has a host served with the device, if it is one of this machine. A real one is taken from its
    /// driver for that long.
    ///
    /// # Errors
    /// It is not, or cannot be had now.
    pub fn lend<T>(&mut self, serve: impl FnOnce(&mut LocalDevice) -> T) -> Result<T, Failure> {
        match &mut self.source {
            Source::Local(device) => Ok(serve(device)),
            Source::Physical(device) => {
                let Taken { sleeper, device } = device.take().map_err(Failure::mistake)?;
                let descriptors = device.descriptors().clone();
                let mut device = LocalDevice::new(descriptors, device, sleeper);
                let served = serve(&mut device);
                device.function.close().map_err(Failure::failed)?;
                Ok(served)
            }
            Source::Relay(_) => Err(Failure::Mistake(format!(
                "{} is not of this machine",
                self.name
            ))),
        }
    }
}

fn own_record(
    bus_id: BusId,
    id: DeviceId,
    descriptors: &DeviceDescriptors,
) -> Result<DeviceRecord, RecordError> {
    DeviceRecord::new(&format!("/usbip-server/{bus_id}"), bus_id, id, descriptors)
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
    let notes = wanted.disk.left_out(&disk);
    let names = wanted.disk.units.iter();
    let names = names.map(|unit| unit.path.display().to_string());
    let name = names.collect::<Vec<_>>().join(", ");
    let device = LocalDevice::new(descriptors, disk, Sleeper::new());
    Ok(Offered {
        notes,
        ..Offered::local(name, device)
    })
}

fn keyboard(wanted: &Wanted) -> Result<Offered, Failure> {
    let strokes = typed_strokes(&wanted.value().to_string_lossy())
        .map_err(|error| Failure::Mistake(format!("--keyboard: {error}")))?;
    simulated::keyboard(strokes, &wanted.looks)
}

fn physical(wanted: &Wanted) -> Result<Offered, Failure> {
    let options = wanted.value().to_string_lossy().parse();
    let options = options.map_err(|error| Failure::Mistake(format!("--usb: {error}")))?;
    let device = Physical::find(options).map_err(Failure::mistake)?;
    Ok(Offered::physical(device))
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
        notes: Vec::new(),
        source: Source::Relay(Box::new(relay)),
    })
}
