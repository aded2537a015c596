//! How devices are named and described to clients.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use usb_descriptors::{Bcd, ClassCode, Configuration, Speed};
use usb_transfer::DeviceDescriptors;

use crate::RecordError;
use crate::wire::op::MAX_PATH;

/// The number that each request repeats: bus number in the high half, device number in the low
/// (`devid` of the kernel's USB/IP document). A gadget exported by `usbip-vudc` has 0.
///
/// ```
/// use usbip_proto::DeviceId;
/// let id = DeviceId::new(3, 2);
/// assert_eq!(id.to_u32(), 0x0003_0002);
/// assert_eq!(id.to_string(), "3-2");
/// ```
#[doc(alias = "devid")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceId(u32);

impl DeviceId {
    /// Composes an id.
    #[must_use]
    pub const fn new(bus_number: u16, device_number: u16) -> Self {
        let [b0, b1] = bus_number.to_be_bytes();
        let [d0, d1] = device_number.to_be_bytes();
        Self(u32::from_be_bytes([b0, b1, d0, d1]))
    }

    /// The id of a number as requests carry it.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self(number)
    }

    /// The number that requests carry.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// The bus number.
    #[must_use]
    pub const fn bus_number(self) -> u16 {
        let [b0, b1, _, _] = self.0.to_be_bytes();
        u16::from_be_bytes([b0, b1])
    }

    /// The device number.
    #[must_use]
    pub const fn device_number(self) -> u16 {
        let [_, _, d0, d1] = self.0.to_be_bytes();
        u16::from_be_bytes([d0, d1])
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.bus_number(), self.device_number())
    }
}

/// The name by which a client asks for a device, such as `1-1.2`; any printable ASCII serves.
///
/// ```
/// use usbip_proto::BusId;
/// let bus_id: BusId = "usbip-vudc.0".parse()?;
/// assert_eq!(bus_id.as_str(), "usbip-vudc.0");
/// assert!("".parse::<BusId>().is_err());
/// # Ok::<(), usbip_proto::RecordError>(())
/// ```
#[doc(alias = "busid")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusId {
    /// NUL-padded; at least one NUL.
    bytes: [u8; 32],
}

impl BusId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        self.bytes
            .get(..length)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// The field as the wire carries it.
    pub(crate) const fn to_field(self) -> [u8; 32] {
        self.bytes
    }

    /// Reads the field: what follows the first NUL is padding.
    pub(crate) fn from_field(field: &[u8; 32]) -> Option<Self> {
        let length = field.iter().position(|byte| *byte == 0)?;
        core::str::from_utf8(field.get(..length)?)
            .ok()?
            .parse()
            .ok()
    }
}

impl FromStr for BusId {
    type Err = RecordError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let fits = (1..bytes.len()).contains(&name.len());
        match bytes.get_mut(..name.len()) {
            Some(into) if fits && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                into.copy_from_slice(name.as_bytes());
                Ok(Self { bytes })
            }
            _ => Err(RecordError::BusId),
        }
    }
}

impl fmt::Display for BusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for BusId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusId({})", self.as_str())
    }
}

/// The kernel's code of a speed (`include/uapi/linux/usb/ch9.h`, `enum usb_device_speed`). Note
/// that 4 is wireless USB: SuperSpeed is 5.
///
/// ```
/// use usb_descriptors::Speed;
/// use usbip_proto::SpeedCode;
/// assert_eq!(SpeedCode::from(Speed::Super), SpeedCode(5));
/// assert_eq!(SpeedCode(4).speed(), None);
/// ```
#[doc(alias = "USB_SPEED_SUPER")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct SpeedCode(pub u32);

impl SpeedCode {
    /// The speed; `None` for unknown, wireless and what is not defined.
    #[must_use]
    pub const fn speed(self) -> Option<Speed> {
        Some(match self.0 {
            1 => Speed::Low,
            2 => Speed::Full,
            3 => Speed::High,
            5 => Speed::Super,
            6 => Speed::SuperPlus,
            _ => return None,
        })
    }
}

impl From<Speed> for SpeedCode {
    fn from(speed: Speed) -> Self {
        Self(match speed {
            Speed::Low => 1,
            Speed::Full => 2,
            Speed::High => 3,
            Speed::Super => 5,
            // The kernel has no code beyond it.
            _ => 6,
        })
    }
}

/// A device as a server describes it: 312 bytes, and 4 for each interface in a list.
///
/// ```
/// # use usb_descriptors::Speed;
/// # use usb_transfer::DeviceDescriptors;
/// use usbip_proto::{DeviceId, DeviceRecord};
/// # let descriptors = DeviceDescriptors::new(
/// #     Speed::High, usb_descriptors::build::Device::new(0x1209, 1).to_bytes(Speed::High));
/// let bus_id = "1-1".parse()?;
/// let record = DeviceRecord::new("/virtual/disk", bus_id, DeviceId::new(1, 2), &descriptors)?;
/// assert_eq!(record.vendor_id(), 0x1209);
/// assert_eq!(record.speed_code().speed(), Some(Speed::High));
/// # Ok::<(), usbip_proto::RecordError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRecord {
    pub(crate) path: String,
    pub(crate) bus_id: BusId,
    pub(crate) device_id: DeviceId,
    pub(crate) speed: SpeedCode,
    pub(crate) vendor_id: u16,
    pub(crate) product_id: u16,
    pub(crate) release: Bcd,
    pub(crate) class: ClassCode,
    pub(crate) configuration: u8,
    pub(crate) configuration_count: u8,
    /// As stated; a reply to an import may state some and carry none.
    pub(crate) interface_count: u8,
    pub(crate) interfaces: Vec<ClassCode>,
}

impl DeviceRecord {
    /// Describes a device in its first configuration.
    ///
    /// `path` is shown to people; the kernel's tools send the path in sysfs.
    ///
    /// # Errors
    /// [`RecordError`] where the path is too long or the device descriptor cannot be read.
    pub fn new(
        path: &str,
        bus_id: BusId,
        device_id: DeviceId,
        device: &DeviceDescriptors,
    ) -> Result<Self, RecordError> {
        if path.len() > MAX_PATH || path.contains('\0') {
            return Err(RecordError::Path { found: path.len() });
        }
        let descriptor = device.device()?;
        let configuration = device.configurations().next();
        let settings = configuration.iter().flat_map(Configuration::interfaces);
        let interfaces: Vec<_> = settings
            .filter(|setting| setting.alternate_setting() == 0)
            .map(|setting| setting.class())
            .collect();
        let interface_count =
            u8::try_from(interfaces.len()).map_err(|_| RecordError::Interfaces {
                found: interfaces.len(),
            })?;
        Ok(Self {
            path: path.into(),
            bus_id,
            device_id,
            speed: device.speed.into(),
            vendor_id: descriptor.vendor_id(),
            product_id: descriptor.product_id(),
            release: descriptor.device_release(),
            class: descriptor.class(),
            configuration: configuration.map_or(0, |each| each.value()),
            configuration_count: descriptor.configuration_count(),
            interface_count,
            interfaces,
        })
    }

    /// The same device under another name and number, for a server that passes on what it imported.
    ///
    /// ```
    /// # use usbip_proto::{DeviceId, DeviceRecord};
    /// # fn f(imported: DeviceRecord) -> Result<DeviceRecord, usbip_proto::RecordError> {
    /// Ok(imported.with_name("2-1".parse()?, DeviceId::new(2, 1)))
    /// # }
    /// ```
    #[must_use]
    pub fn with_name(self, bus_id: BusId, device_id: DeviceId) -> Self {
        Self {
            bus_id,
            device_id,
            ..self
        }
    }

    /// Where the server has the device.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name to ask for it by.
    #[must_use]
    pub const fn bus_id(&self) -> BusId {
        self.bus_id
    }

    /// The number that requests repeat.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// The kernel's code of its speed.
    #[must_use]
    pub const fn speed_code(&self) -> SpeedCode {
        self.speed
    }

    /// The vendor's number.
    #[must_use]
    pub const fn vendor_id(&self) -> u16 {
        self.vendor_id
    }

    /// The product's number.
    #[must_use]
    pub const fn product_id(&self) -> u16 {
        self.product_id
    }

    /// The device's release.
    #[must_use]
    pub const fn device_release(&self) -> Bcd {
        self.release
    }

    /// The device's class.
    #[must_use]
    pub const fn class(&self) -> ClassCode {
        self.class
    }

    /// The value of the configuration described.
    #[must_use]
    pub const fn configuration(&self) -> u8 {
        self.configuration
    }

    /// How many configurations it has.
    #[must_use]
    pub const fn configuration_count(&self) -> u8 {
        self.configuration_count
    }

    /// The classes of its interfaces. Empty after an import, whose reply does not carry them.
    #[must_use]
    pub fn interfaces(&self) -> &[ClassCode] {
        &self.interfaces
    }
}
