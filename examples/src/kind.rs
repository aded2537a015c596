//! The kinds of device that a server can be told to offer.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use msc_bot::{BlockSize, BotDevice, BotOptions, LogicalUnit, UnitOptions};
use usb_descriptors::Speed;
use usb_transfer::DeviceDescriptors;
use usbip_proto::{BusId, DeviceId, DeviceRecord, RecordError};

use crate::server::Device;
use crate::{Access, Address, Disk, Failure, RawImage, Relay, simulated, typed_strokes};

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
    /// Opens the device. It gets as many values as it takes.
    pub open: fn(&[OsString]) -> Result<Offered, Failure>,
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        option: "disk",
        values: &["IMAGE[,ro]"],
        about: "a disk; with ,ro it cannot be written",
        open: disk,
    },
    Kind {
        option: "keyboard",
        values: &["TEXT"],
        about: "a keyboard that types TEXT to each client",
        open: keyboard,
    },
    Kind {
        option: "serial",
        values: &[],
        about: "a serial port; its other end is a pseudo-terminal",
        open: |_| simulated::serial(),
    },
    Kind {
        option: "audio",
        values: &[],
        about: "a sound card that records what it plays",
        open: |_| simulated::audio(),
    },
    Kind {
        option: "relay",
        values: &["ADDR", "BUSID"],
        about: "a device of another server",
        open: relay,
    },
];

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

/// What a virtual disk calls itself.
const VENDOR: &str = "Virtual";
const PRODUCT: &str = "USB Disk";

/// What `IMAGE[,ro]` names, and how it is to be used.
fn image_of(value: &OsStr) -> (&Path, Access) {
    match value.as_bytes().strip_suffix(b",ro") {
        Some(path) => (Path::new(OsStr::from_bytes(path)), Access::ReadOnly),
        None => (Path::new(value), Access::ReadWrite),
    }
}

/// The disk of `IMAGE[,ro]`.
///
/// # Errors
/// The image cannot be used.
pub fn open_disk(value: &OsStr, speed: Speed) -> Result<Disk<RawImage>, Failure> {
    let (path, access) = image_of(value);
    let image = RawImage::open(path, access).map_err(Failure::mistake)?;
    let block_size = BlockSize::BYTES_512;
    let blocks = image.size() / u64::from(block_size.get());
    if blocks == 0 {
        let (path, size) = (path.display(), image.size());
        return Err(Failure::Mistake(format!(
            "{path}: {size} bytes are less than one block"
        )));
    }
    let serial = serial_of(path);
    let unit = UnitOptions::new(block_size, blocks)
        .vendor(VENDOR)
        .product(PRODUCT)
        .serial(&serial)
        .read_only(access == Access::ReadOnly)
        // A medium that cannot be taken out is not asked for again and again.
        .removable(false);
    let options = BotOptions::new(speed)
        .manufacturer(VENDOR)
        .product(PRODUCT)
        .serial(&serial);
    let device = BotDevice::new(options, [LogicalUnit::new(unit)]).map_err(Failure::mistake)?;
    Ok(Disk::new(device, image))
}

fn disk(values: &[OsString]) -> Result<Offered, Failure> {
    let value = values.first().map_or(OsStr::new(""), OsString::as_os_str);
    let disk = open_disk(value, Speed::Super)?;
    let descriptors = disk.device().descriptors().clone();
    let name = image_of(value).0.display().to_string();
    Ok(Offered::new(name, descriptors, disk))
}

fn keyboard(values: &[OsString]) -> Result<Offered, Failure> {
    let text = values.first().map_or(OsStr::new(""), OsString::as_os_str);
    let strokes = typed_strokes(&text.to_string_lossy());
    simulated::keyboard(strokes.map_err(|error| Failure::Mistake(format!("--keyboard: {error}")))?)
}

fn relay(values: &[OsString]) -> Result<Offered, Failure> {
    let texts = values.iter().map(|value| value.to_string_lossy());
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

/// A serial number for the disk in an image: sixteen hex digits, the same whenever the same path
/// is used (FNV-1a).
#[must_use]
pub fn serial_of(image: &Path) -> String {
    let path = fs::canonicalize(image).unwrap_or_else(|_| image.into());
    let bytes = path.as_os_str().as_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016X}")
}
