//! The text of the files in `/sys/devices/platform/vhci_hcd.0`, by which a program attaches a
//! socket to a virtual port of the Linux kernel (`drivers/usb/usbip/vhci_sysfs.c`).
//!
//! Nothing here touches a file: read `nports` and `status`, `status.1` … into [`Ports`], write
//! what [`Attach`] and [`Detach`] display.
//!
//! ```
//! use usb_descriptors::Speed;
//! use usbip_proto::DeviceId;
//! use usbip_proto::vhci::{Attach, Ports};
//!
//! let status = "\
//! hub port sta spd dev      sockfd local_busid
//! hs  0000 006 003 00010002 000003 1-1
//! hs  0001 004 000 00000000 000000 0-0
//! ss  0002 004 000 00000000 000000 0-0
//! ";
//! let ports = Ports::parse(status)?;
//! let port = ports.free(Speed::High).unwrap().number;
//! assert_eq!(port, 1);
//! let attach = Attach { port, socket: 5, device_id: DeviceId::new(1, 2), speed: Speed::High };
//! assert_eq!(attach.to_string(), "1 5 65538 3");
//! # Ok::<(), usbip_proto::vhci::StatusError>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use usb_descriptors::Speed;

use crate::{DeviceId, SpeedCode};

/// Which of a controller's two root hubs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a controller has these two")]
pub enum Hub {
    /// Low, full and high speed, `hs`.
    HighSpeed,
    /// SuperSpeed and above, `ss`.
    SuperSpeed,
}

impl Hub {
    /// The hub that devices of a speed are attached to.
    #[must_use]
    pub const fn for_speed(speed: Speed) -> Self {
        if speed.is_super() {
            Self::SuperSpeed
        } else {
            Self::HighSpeed
        }
    }
}

/// The state of a port (`include/uapi/linux/usbip.h`, `enum usbip_device_status`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct PortState(pub u32);

impl PortState {
    /// Free.
    #[doc(alias = "VDEV_ST_NULL")]
    pub const FREE: Self = Self(4);
    /// A socket was accepted; the device has no address yet.
    #[doc(alias = "VDEV_ST_NOTASSIGNED")]
    pub const NOT_ASSIGNED: Self = Self(5);
    /// In use.
    #[doc(alias = "VDEV_ST_USED")]
    pub const USED: Self = Self(6);
    /// The connection broke.
    #[doc(alias = "VDEV_ST_ERROR")]
    pub const ERROR: Self = Self(7);
}

/// A virtual port: one line of a `status` file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Port {
    /// The hub it belongs to.
    pub hub: Hub,
    /// Its number, counted over all controllers.
    pub number: u16,
    /// Its state.
    pub state: PortState,
    /// The speed it was attached at; 0 unless in use.
    pub speed: SpeedCode,
    /// The id it was attached with; 0 unless in use.
    pub device_id: DeviceId,
    /// The name of the device on this machine, such as `1-1`; `0-0` unless in use.
    pub bus_id: String,
}

/// The ports of one `status` file or of several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ports {
    ports: Vec<Port>,
}

/// A line that is not of a `status` file.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line} of the port status: expected {expected}, found {found:?}")]
#[non_exhaustive]
pub struct StatusError {
    /// The line, counted from 1.
    pub line: usize,
    /// What was to stand there.
    pub expected: &'static str,
    /// What stands there.
    pub found: String,
}

impl Ports {
    /// Reads the text of a `status` file.
    ///
    /// # Errors
    /// [`StatusError`] where a line is not of that form.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        let lines = text.lines().enumerate();
        // Each file starts with the names of the columns.
        let lines = lines.filter(|(_, line)| !line.starts_with("hub") && !line.trim().is_empty());
        let ports = lines.map(|(at, line)| Port::parse(at.saturating_add(1), line));
        Ok(Self {
            ports: ports.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the text of `nports`: how many ports all `status` files have together, without reading
    /// them. To find them it is not needed: there is one for each controller.
    ///
    /// # Errors
    /// [`StatusError`] where it is no number.
    ///
    /// ```
    /// assert_eq!(usbip_proto::vhci::Ports::parse_count("240\n")?, 240);
    /// # Ok::<(), usbip_proto::vhci::StatusError>(())
    /// ```
    pub fn parse_count(text: &str) -> Result<u16, StatusError> {
        let found = text.trim();
        let expected = "the number of ports";
        let error = |_| StatusError {
            line: 1,
            expected,
            found: found.into(),
        };
        found.parse().map_err(error)
    }

    /// Adds the ports of another file.
    pub fn append(&mut self, mut other: Self) {
        self.ports.append(&mut other.ports);
    }

    /// The ports, in order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter()
    }

    /// The port of a number.
    #[must_use]
    pub fn get(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// The first free port for a speed.
    #[must_use]
    pub fn free(&self, speed: Speed) -> Option<&Port> {
        let hub = Hub::for_speed(speed);
        self.ports
            .iter()
            .find(|port| port.hub == hub && port.state == PortState::FREE)
    }
}

impl Port {
    /// `hub port sta spd dev sockfd local_busid`.
    fn parse(line_number: usize, line: &str) -> Result<Self, StatusError> {
        let error = |expected, found: &str| StatusError {
            line: line_number,
            expected,
            found: found.into(),
        };
        let mut fields = line.split_ascii_whitespace();
        let hub = match fields.next() {
            Some("hs") => Hub::HighSpeed,
            Some("ss") => Hub::SuperSpeed,
            found => return Err(error("hs or ss", found.unwrap_or_default())),
        };
        let mut field = |expected, radix| {
            let found = fields.next().unwrap_or_default();
            u32::from_str_radix(found, radix).map_err(|_| error(expected, found))
        };
        let number = field("a port number", 10)?;
        let number = u16::try_from(number).map_err(|_| error("a port number", line))?;
        let state = PortState(field("a state", 10)?);
        let speed = SpeedCode(field("a speed", 10)?);
        let device_id = DeviceId::from_u32(field("a device id", 16)?);
        field("a socket", 10)?;
        let bus_id = fields.next().unwrap_or_default().into();
        Ok(Self {
            hub,
            number,
            state,
            speed,
            device_id,
            bus_id,
        })
    }
}

/// What to write to `attach`: displays as `port sockfd devid speed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the four numbers of the kernel's interface"
)]
pub struct Attach {
    /// A free port of the hub for the speed.
    pub port: u16,
    /// The file descriptor, in the writing process, of a connected stream socket; the kernel
    /// takes a reference of its own.
    pub socket: i32,
    /// The id that each request will carry.
    pub device_id: DeviceId,
    /// The device's speed.
    pub speed: Speed,
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            port,
            socket,
            device_id,
            speed,
        } = *self;
        write!(
            f,
            "{port} {socket} {} {}",
            device_id.to_u32(),
            SpeedCode::from(speed).0
        )
    }
}

/// What to write to `detach`: displays as the port's number.
///
/// ```
/// assert_eq!(usbip_proto::vhci::Detach { port: 15 }.to_string(), "15");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the one number of the kernel's interface"
)]
pub struct Detach {
    /// The port, as `status` shows it.
    pub port: u16,
}

impl fmt::Display for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)
    }
}
