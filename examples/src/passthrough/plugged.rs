//! The USB devices of this machine, as sysfs tells of them.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::{Configuration, Device, Speed, TransferType};
use usb_transfer::DeviceDescriptors;
use usbip_proto::BusId;

use super::authorization::unauthorized;
use super::machine::{Machine, attribute};
use super::uses::Uses;

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
    /// The driver that has all of it, and gives it to others: the kernel's USB/IP server.
    pub holder: Option<String>,
    /// What the machine would miss, in words.
    pub uses: Vec<String>,
    /// What of it nobody may use before it is authorized: all, by its bus id, or an interface.
    pub unauthorized: Option<String>,
    /// Whether it is a device of a USB/IP server, behind `vhci_hcd`.
    pub is_imported: bool,
    /// Whether it is a hub, which is not given to others.
    pub is_hub: bool,
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
    /// There is no USB, or none that is told of.
    #[error("this machine has no USB: there is no {}", .0.display())]
    NoUsb(PathBuf),
    /// It is not plugged in.
    #[error("there is no USB device {0}")]
    Missing(Selector),
    /// It is a hub.
    #[error("{bus_id} is a hub, which is not given to others: say which device behind it")]
    Hub {
        /// Where.
        bus_id: BusId,
    },
    /// It is not meant by its numbers.
    #[error("{selector} is a device of a USB/IP server: it can be had by its bus id, {bus_id}")]
    Imported {
        /// What was asked for.
        selector: Selector,
        /// Where the one is that it would fit.
        bus_id: BusId,
    },
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

impl FindError {
    /// Of a device that a selector describes and does not mean.
    pub(super) fn not_given(device: &PluggedDevice, selector: &Selector) -> Self {
        let (bus_id, selector) = (device.bus_id, selector.clone());
        if device.is_hub {
            Self::Hub { bus_id }
        } else {
            Self::Imported { selector, bus_id }
        }
    }
}

fn bus_ids(found: &[BusId]) -> String {
    let found: Vec<_> = found.iter().map(BusId::to_string).collect();
    found.join(" and ")
}

/// The driver that takes a device whole and keeps other drivers from its interfaces
/// (`drivers/usb/usbip/stub_dev.c`). All others leave it to the kernel's own, which makes interfaces
/// of it, and is called `usb`.
const HOLDER: &str = "usbip-host";

impl PluggedDevice {
    /// All devices of this machine that are no hubs.
    ///
    /// # Errors
    /// The machine has no USB, or `/sys` is not mounted.
    pub fn all() -> Result<Vec<Self>, FindError> {
        Machine::default().devices()
    }

    /// What tells this device from one that was, at the same place or elsewhere: `None` if it may
    /// be the same.
    #[must_use]
    pub fn difference_from(&self, other: &Self) -> Option<String> {
        let ids = |device: &Self| format!("{:04x}:{:04x}", device.vendor_id, device.product_id);
        let serial = |device: &Self| match &device.serial {
            Some(serial) => format!("the serial number {serial:?}"),
            None => "no serial number".to_owned(),
        };
        let speed = |device: &Self| device.descriptors.speed.to_string();
        let what: &[&dyn Fn(&Self) -> String] = &[&ids, &serial, &speed];
        let different = what.iter().find(|what| what(self) != what(other));
        if let Some(what) = different {
            return Some(format!("{}, not {}", what(self), what(other)));
        }
        (self.descriptors != other.descriptors).then(|| "other descriptors".to_owned())
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
            f.write_str(" ")?;
            write_name(f, &self.name)?;
        }
        let drivers: BTreeSet<_> = self
            .interfaces
            .iter()
            .filter_map(|interface| interface.driver.as_deref())
            .chain(self.holder.as_deref())
            .collect();
        if !drivers.is_empty() {
            write!(f, " ({})", Vec::from_iter(drivers).join(", "))?;
        }
        Ok(())
    }
}

/// A name that a device gives itself, in one line and without what a terminal would obey.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    for letter in name.chars() {
        match letter {
            '\'' | '"' => f.write_char(letter)?,
            _ => write!(f, "{}", letter.escape_debug())?,
        }
    }
    Ok(())
}

impl Selector {
    /// Whether it means this device.
    #[must_use]
    pub fn fits(&self, device: &PluggedDevice) -> bool {
        match self {
            Self::BusId(_) => self.describes(device),
            Self::Product { .. } => self.describes(device) && !device.is_imported,
        }
    }

    /// Whether what it says is true of this device, whether it is meant or not.
    pub(super) fn describes(&self, device: &PluggedDevice) -> bool {
        match self {
            Self::BusId(bus_id) => *bus_id == device.bus_id,
            Self::Product {
                vendor,
                product,
                serial,
            } => {
                *vendor == device.vendor_id
                    && *product == device.product_id
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

impl PluggedDevice {
    /// Reads a folder of sysfs. `None`: it is none of a device.
    pub(super) fn read(path: &Path, uses: &Uses) -> Option<Self> {
        let number = |name| attribute(path, name)?.parse().ok();
        let address = || Some((number("busnum")?, number("devnum")?));
        let before = address()?;
        let place = path.canonicalize().ok()?;
        let bus_id: BusId = path.file_name()?.to_str()?.parse().ok()?;
        // An interface has no descriptors of its own.
        let bytes = Bytes::from(fs::read(path.join("descriptors")).ok()?);
        let speed = speed(&attribute(path, "speed")?)?;
        let descriptors = descriptors(&bytes, speed);
        let device = descriptors.device().ok()?;
        let is_hub = device.class().class == HUB;
        let (vendor_id, product_id) = (device.vendor_id(), device.product_id());
        let names = ["manufacturer", "product"].map(|name| attribute(path, name));
        let configuration = attribute(path, "bConfigurationValue");
        let plugged = Self {
            bus_id,
            vendor_id,
            product_id,
            serial: attribute(path, "serial"),
            name: names.into_iter().flatten().collect::<Vec<_>>().join(" "),
            configuration: configuration
                .and_then(|value| value.parse().ok())
                .unwrap_or(0),
            interfaces: interfaces(path),
            holder: driver(path).filter(|driver| driver == HOLDER),
            // All below a hub is of other devices.
            uses: if is_hub { Vec::new() } else { uses.of(path) },
            is_hub,
            unauthorized: unauthorized(path),
            is_imported: place.to_string_lossy().contains("/vhci_hcd."),
            address: before,
            descriptors,
        };
        // Else it is made of two that were at this place.
        (address()? == before).then_some(plugged)
    }
}

/// Those of the current configuration: folders like `1-2:1.0`.
fn interfaces(device: &Path) -> Vec<PluggedInterface> {
    let entries = fs::read_dir(device).into_iter().flatten().flatten();
    let mut interfaces: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let number = attribute(&path, "bInterfaceNumber")?;
            Some(PluggedInterface {
                number: u8::from_str_radix(&number, 16).ok()?,
                driver: driver(&path),
            })
        })
        .collect();
    interfaces.sort_by_key(|interface| interface.number);
    interfaces
}

/// The driver of a device or an interface.
fn driver(path: &Path) -> Option<String> {
    let link = fs::read_link(path.join("driver")).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
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

#[cfg(test)]
mod tests {
    use super::super::machine::fake::{Folder, Plug};
    use super::*;

    fn find(folder: &Folder, selector: &str) -> Result<String, String> {
        let found = folder.machine().find(&selector.parse().unwrap());
        let found = found.map(|device| device.bus_id.to_string());
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn a_device_is_selected_by_place_kind_or_serial_number() {
        let folder = Folder::new("select");
        for (bus_id, product, serial) in [
            ("1-1", 1, Some("A")),
            ("1-2", 1, Some("B:1")),
            ("1-3.4", 2, None),
        ] {
            let plug = Plug::new(bus_id, (0x46f4, product));
            folder.plug(&Plug { serial, ..plug });
        }
        assert_eq!(find(&folder, "1-3.4").unwrap(), "1-3.4");
        assert_eq!(find(&folder, "46f4:0002").unwrap(), "1-3.4");
        assert_eq!(find(&folder, "46f4:0001:A").unwrap(), "1-1");
        assert_eq!(find(&folder, "46f4:0001:B:1").unwrap(), "1-2");
        assert_eq!(
            find(&folder, "46f4:0001").unwrap_err(),
            "46f4:0001 are 1-1 and 1-2: say which by its bus id"
        );
        for missing in ["1-4", "46f4:0003", "46f4:0001:B", "46f4:0002:"] {
            let error = find(&folder, missing).unwrap_err();
            assert_eq!(error, format!("there is no USB device {missing}"));
        }
    }

    #[test]
    fn a_machine_without_usb_is_told_so() {
        let folder = Folder::new("none");
        let mut machine = folder.machine();
        machine.sysfs.push("bus");
        let error = machine.devices().unwrap_err().to_string();
        assert!(
            error.starts_with("this machine has no USB: there is no "),
            "{error}"
        );
        assert!(error.ends_with("/sys/bus/bus/usb/devices"), "{error}");
        folder.write("sys/bus/bus/usb/devices", "");
        let error = machine.devices().unwrap_err().to_string();
        assert!(error.contains("sys/bus/bus/usb/devices: "), "{error}");
    }

    #[test]
    fn a_hub_is_not_given() {
        let folder = Folder::new("hub");
        folder.plug(&Plug::new("1-1", (0x0bda, 0x5411)));
        let place = "sys/bus/usb/devices/1-1/descriptors";
        let file = folder
            .machine()
            .sysfs
            .join("bus/usb/devices/1-1/descriptors");
        let mut bytes = fs::read(file).unwrap();
        bytes[4] = HUB;
        folder.write(place, bytes);
        assert_eq!(folder.machine().devices().unwrap().len(), 0);
        for selector in ["1-1", "0bda:5411"] {
            assert_eq!(
                find(&folder, selector).unwrap_err(),
                "1-1 is a hub, which is not given to others: say which device behind it"
            );
        }
    }

    #[test]
    fn a_name_is_shown_as_it_is_but_for_what_a_terminal_obeys() {
        let folder = Folder::new("name");
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        folder.write(
            "sys/bus/usb/devices/1-1/product",
            "Dave's Disk 2.5\" \u{1b}[2J\n",
        );
        assert_eq!(
            folder.machine().devices().unwrap()[0].to_string(),
            "1-1 46f4:0001 Dave's Disk 2.5\" \\u{1b}[2J"
        );
    }

    /// It may be what this machine offers itself.
    #[test]
    fn what_was_imported_is_meant_by_its_place_only() {
        let folder = Folder::new("imported");
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        let far = "sys/devices/platform/vhci_hcd.0";
        folder.link(
            "sys/bus/usb/devices/3-1",
            "../../../devices/platform/vhci_hcd.0/3-1",
        );
        for file in ["descriptors", "speed", "busnum", "devnum"] {
            let from = folder
                .machine()
                .sysfs
                .join("bus/usb/devices/1-1")
                .join(file);
            folder.write(&format!("{far}/3-1/{file}"), fs::read(from).unwrap());
        }
        assert_eq!(find(&folder, "46f4:0001").unwrap(), "1-1");
        assert_eq!(find(&folder, "3-1").unwrap(), "3-1");
        folder.unplug("1-1");
        assert_eq!(
            find(&folder, "46f4:0001").unwrap_err(),
            "46f4:0001 is a device of a USB/IP server: it can be had by its bus id, 3-1"
        );
        assert_eq!(find(&folder, "3-1").unwrap(), "3-1");
    }

    #[test]
    fn who_has_all_of_a_device_is_told() {
        let folder = Folder::new("held");
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        let shown = || folder.machine().devices().unwrap()[0].to_string();
        let driver = "sys/bus/usb/devices/1-1/driver";
        folder.link(driver, "../../drivers/usb");
        assert_eq!(shown(), "1-1 46f4:0001");
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        folder.link(driver, "../../drivers/usbip-host");
        assert_eq!(shown(), "1-1 46f4:0001 (usbip-host)");
    }
}
