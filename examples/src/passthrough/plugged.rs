//! The USB devices of this machine, as sysfs tells of them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::{Configuration, Device, Speed, TransferType};
use usb_transfer::DeviceDescriptors;
use usbip_proto::BusId;

/// A device that is plugged into this machine.
#[derive(Clone, Debug)]
pub struct PluggedDevice {
    /// What Linux calls it, such as `1-2.1`.
    pub bus_id: BusId,
    /// The vendor's number.
    pub vendor_id: u16,
    /// The vendor's number of the product.
    pub product_id: u16,
    /// The serial number, if it has one.
    pub serial: Option<String>,
    /// What vendor and product call themselves, as far as they do.
    pub name: String,
    /// Device and configuration descriptors.
    pub descriptors: DeviceDescriptors,
    /// The configuration it has; 0 for none.
    pub configuration: u8,
    /// Its interfaces, and the drivers that have them.
    pub interfaces: Vec<PluggedInterface>,
    /// What the machine would miss, in words.
    pub uses: Vec<String>,
    /// Whether it is a device of a USB/IP server, behind `vhci_hcd`.
    pub is_imported: bool,
    /// The number of its bus, and its own on that bus.
    pub address: (u16, u16),
}

/// An interface of the current configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluggedInterface {
    /// Its number.
    pub number: u8,
    /// The driver that has it.
    pub driver: Option<String>,
}

/// Which device is meant: `BUSID`, such as `1-2.1`, or `VID:PID` or `VID:PID:SERIAL` with
/// hexadecimal numbers. What was imported from a USB/IP server is meant by its place only: it may be
/// the very device that this machine offers.
///
/// ```
/// use examples::Selector;
/// let selector: Selector = "0627:0001:28754-0000:00:04.0-1".parse()?;
/// assert_eq!(selector.to_string(), "0627:0001:28754-0000:00:04.0-1");
/// # Ok::<(), examples::SelectorError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// The one at this place.
    BusId(BusId),
    /// One of this kind.
    Product {
        /// The vendor's number.
        vendor: u16,
        /// The vendor's number of the product.
        product: u16,
        /// The serial number, where it matters.
        serial: Option<String>,
    },
}

/// A text that selects no device.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0:?} is no device: expected a bus id such as 1-2.1, or VID:PID[:SERIAL]")]
pub struct SelectorError(String);

/// Why a device cannot be had.
#[derive(Debug, Error)]
pub enum FindError {
    /// It is not plugged in.
    #[error("there is no USB device {0}")]
    Missing(Selector),
    /// There are several.
    #[error("{selector} are {}: say which by its bus id", bus_ids(.found))]
    Ambiguous {
        /// What was asked for.
        selector: Selector,
        /// Those that it fits.
        found: Vec<BusId>,
    },
    /// The system does not tell.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Of the file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn bus_ids(found: &[BusId]) -> String {
    let found: Vec<_> = found.iter().map(BusId::to_string).collect();
    found.join(" and ")
}

/// Where Linux has its USB devices.
const DEVICES: &str = "/sys/bus/usb/devices";

impl PluggedDevice {
    /// All devices that are no hubs.
    ///
    /// # Errors
    /// The machine has no USB, or `/sys` is not mounted.
    pub fn all() -> Result<Vec<Self>, FindError> {
        let entries = fs::read_dir(DEVICES).map_err(|error| FindError::Unreadable {
            path: DEVICES.into(),
            error,
        })?;
        let mounts = Mounts::read();
        let paths = entries.flatten().map(|entry| entry.path());
        // What cannot be read has just been unplugged.
        let mut devices: Vec<_> = paths.filter_map(|path| read(&path, &mounts)).collect();
        devices.sort_by_key(|device| device.address);
        Ok(devices)
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// None is, or several are.
    pub fn find(selector: &Selector) -> Result<Self, FindError> {
        let all = Self::all()?;
        let mut found: Vec<_> = all
            .into_iter()
            .filter(|device| selector.fits(device))
            .collect();
        match found.len() {
            0 => Err(FindError::Missing(selector.clone())),
            1 => Ok(found.remove(0)),
            _ => Err(FindError::Ambiguous {
                selector: selector.clone(),
                found: found.iter().map(|device| device.bus_id).collect(),
            }),
        }
    }

    /// The file by which programs use it.
    #[must_use]
    pub fn node(&self) -> PathBuf {
        let (bus, number) = self.address;
        format!("/dev/bus/usb/{bus:03}/{number:03}").into()
    }

    /// Whether it has endpoints that `nusb` cannot use, or not to the full: isochronous ones, and
    /// those with streams.
    #[must_use]
    pub fn needs_usbfs(&self) -> bool {
        let mut configurations = self.descriptors.configurations();
        configurations.any(|configuration| {
            let mut settings = configuration.interfaces();
            settings.any(|setting| {
                let mut endpoints = setting.endpoints();
                endpoints.any(|endpoint| {
                    endpoint.transfer_type() == TransferType::Isochronous
                        || endpoint
                            .companion()
                            .is_some_and(|companion| companion.max_streams() > 0)
                })
            })
        })
    }
}

/// One line: `1-2 0627:0001 QEMU USB Tablet (usbhid)`.
impl fmt::Display for PluggedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bus_id, vendor, product) = (self.bus_id, self.vendor_id, self.product_id);
        write!(f, "{bus_id} {vendor:04x}:{product:04x}")?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name.escape_debug())?;
        }
        let drivers: BTreeSet<_> = self
            .interfaces
            .iter()
            .filter_map(|interface| interface.driver.as_deref())
            .collect();
        if !drivers.is_empty() {
            write!(f, " ({})", Vec::from_iter(drivers).join(", "))?;
        }
        Ok(())
    }
}

impl Selector {
    /// Whether it means this device.
    #[must_use]
    pub fn fits(&self, device: &PluggedDevice) -> bool {
        match self {
            Self::BusId(bus_id) => *bus_id == device.bus_id,
            Self::Product {
                vendor,
                product,
                serial,
            } => {
                *vendor == device.vendor_id
                    && *product == device.product_id
                    && !device.is_imported
                    && (serial.is_none() || *serial == device.serial)
            }
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = || SelectorError(text.into());
        let mut parts = text.splitn(3, ':');
        let (first, second, serial) = (parts.next(), parts.next(), parts.next());
        let (Some(vendor), Some(product)) = (first, second) else {
            let is_bus_id = text.starts_with(|first: char| first.is_ascii_digit());
            let bus_id = text
                .parse()
                .ok()
                .filter(|_| is_bus_id && text.contains('-'));
            return bus_id.map(Self::BusId).ok_or_else(error);
        };
        Ok(Self::Product {
            vendor: number(vendor).ok_or_else(error)?,
            product: number(product).ok_or_else(error)?,
            serial: serial.map(str::to_owned),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BusId(bus_id) => bus_id.fmt(f),
            Self::Product {
                vendor,
                product,
                serial,
            } => {
                write!(f, "{vendor:04x}:{product:04x}")?;
                match serial {
                    Some(serial) => write!(f, ":{serial}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Four hexadecimal digits.
fn number(digits: &str) -> Option<u16> {
    let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

const HUB: u8 = 9;

fn read(path: &Path, mounts: &Mounts) -> Option<PluggedDevice> {
    let place = path.canonicalize().ok()?;
    let bus_id: BusId = path.file_name()?.to_str()?.parse().ok()?;
    // An interface has no descriptors of its own.
    let bytes = Bytes::from(fs::read(path.join("descriptors")).ok()?);
    let speed = speed(&attribute(path, "speed")?)?;
    let descriptors = descriptors(&bytes, speed);
    let device = descriptors.device().ok()?;
    if device.class().class == HUB {
        return None;
    }
    let (vendor_id, product_id) = (device.vendor_id(), device.product_id());
    let names = ["manufacturer", "product"].map(|name| attribute(path, name));
    let configuration = attribute(path, "bConfigurationValue");
    let number = |name| attribute(path, name)?.parse().ok();
    let interfaces = interfaces(path);
    let mut uses = BTreeSet::new();
    mounts.find_uses(path, 0, &mut uses);
    for interface in &interfaces {
        if interface.is_keyboard && interface.driver.is_some() {
            uses.insert("it is a keyboard of this machine".to_owned());
        }
    }
    Some(PluggedDevice {
        bus_id,
        vendor_id,
        product_id,
        serial: attribute(path, "serial"),
        name: names.into_iter().flatten().collect::<Vec<_>>().join(" "),
        configuration: configuration
            .and_then(|value| value.parse().ok())
            .unwrap_or(0),
        interfaces: interfaces
            .into_iter()
            .map(Interface::into_plugged)
            .collect(),
        uses: uses.into_iter().collect(),
        is_imported: place.to_string_lossy().contains("/vhci_hcd."),
        address: (number("busnum")?, number("devnum")?),
        descriptors,
    })
}

struct Interface {
    number: u8,
    driver: Option<String>,
    is_keyboard: bool,
}

impl Interface {
    fn into_plugged(self) -> PluggedInterface {
        PluggedInterface {
            number: self.number,
            driver: self.driver,
        }
    }
}

/// Those of the current configuration: folders like `1-2:1.0`.
fn interfaces(device: &Path) -> Vec<Interface> {
    let entries = fs::read_dir(device).into_iter().flatten().flatten();
    let mut interfaces: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let hex = |name| u8::from_str_radix(&attribute(&path, name)?, 16).ok();
            let driver = fs::read_link(path.join("driver")).ok();
            let driver = driver.and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
            let class = [
                hex("bInterfaceClass")?,
                hex("bInterfaceSubClass")?,
                hex("bInterfaceProtocol")?,
            ];
            Some(Interface {
                number: hex("bInterfaceNumber")?,
                driver,
                is_keyboard: class == [3, 1, 1],
            })
        })
        .collect();
    interfaces.sort_by_key(|interface| interface.number);
    interfaces
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path.join(name)).ok()?;
    Some(text.trim_end_matches('\n').trim().to_owned())
}

/// What the kernel says in Mbit/s (`speed_show` in `drivers/usb/core/sysfs.c`).
fn speed(megabits: &str) -> Option<Speed> {
    match megabits {
        "1.5" => Some(Speed::Low),
        "12" => Some(Speed::Full),
        "480" => Some(Speed::High),
        "5000" => Some(Speed::Super),
        "10000" | "20000" => Some(Speed::SuperPlus),
        _ => None,
    }
}

/// The file `descriptors` of a device: the device descriptor, then the configurations.
fn descriptors(bytes: &Bytes, speed: Speed) -> DeviceDescriptors {
    let length = Device::LENGTH.min(bytes.len());
    let mut descriptors = DeviceDescriptors::new(speed, bytes.get(..length).unwrap_or_default());
    let mut rest = bytes.slice(length..);
    while let Ok(configuration) = Configuration::parse(&rest) {
        let length = configuration.bytes().len();
        if length == 0 {
            break;
        }
        descriptors.configurations.push(rest.split_to(length));
    }
    descriptors
}

/// What is mounted and swapped to, by the numbers of block devices.
struct Mounts(Vec<(String, String)>);

impl Mounts {
    fn read() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(2);
            let (device, _root, place) = (fields.next()?, fields.next()?, fields.next()?);
            Some((device.to_owned(), format!("mounted at {place}")))
        });
        let mut all: Vec<_> = mounts.collect();
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        for line in swaps.lines().skip(1) {
            let name = line
                .split_whitespace()
                .next()
                .and_then(|path| path.strip_prefix("/dev/"));
            let device =
                name.and_then(|name| attribute(&Path::new("/sys/class/block").join(name), "dev"));
            all.extend(device.map(|device| (device, "used for swapping".to_owned())));
        }
        Self(all)
    }

    /// Looks at all block devices below a device, whatever driver made them.
    fn find_uses(&self, folder: &Path, depth: usize, uses: &mut BTreeSet<String>) {
        // A partition of a disk lies ten folders below its device.
        if depth > 16 {
            return;
        }
        if let (Some(number), true) = (attribute(folder, "dev"), folder.join("uevent").exists()) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            for (_, how) in self.0.iter().filter(|(device, _)| *device == number) {
                uses.insert(format!("{name} is {how}"));
            }
            let holders = fs::read_dir(folder.join("holders")).into_iter().flatten();
            for holder in holders.flatten() {
                let holder = holder.file_name();
                uses.insert(format!("{name} is part of {}", holder.to_string_lossy()));
            }
        }
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            self.find_uses(&entry.path(), depth + 1, uses);
        }
    }
}
