//! How a device of this machine is to be offered.

use std::fmt;
use std::mem;
use std::str::FromStr;

use thiserror::Error;

use super::Policy;
use super::plugged::{PluggedDevice, Selector};
use super::policy::Requests;

/// How a device is to be offered: `DEVICE[,OPTION]...`. DEVICE is a [`Selector`]. OPTION is `nusb`
/// or `usbfs`, the way to the device; `keep-configuration`; `read-only`, a disk that cannot be
/// written; `requests=TYPE:REQUEST+...`, the only class and vendor requests that are let through, of
/// a disk that is read-only beside its own; or `force`, although this machine uses it. Each is said
/// once.
///
/// ```
/// use examples::PhysicalOptions;
/// let options: PhysicalOptions = "1-2,keep-configuration,requests=21:0a+a1:*".parse().unwrap();
/// assert_eq!(options.selector.to_string(), "1-2");
/// let error = "1-2,quickly".parse::<PhysicalOptions>().unwrap_err();
/// assert!(error.to_string().contains("\"quickly\""));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PhysicalOptions {
    /// Which device.
    pub selector: Selector,
    /// What may be asked of it.
    pub policy: Policy,
    /// The way to it; by itself [`Way::Usbfs`] for devices with isochronous endpoints or streams.
    pub way: Option<Way>,
    /// Whether its disks cannot be written; see [`ReadOnly`](super::ReadOnly).
    pub read_only: bool,
    /// Whether it is offered although this machine uses it.
    pub force: bool,
}

/// The way to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The crate `nusb`: everything but isochronous transfers and streams.
    Nusb,
    /// Linux's usbfs.
    Usbfs,
}

/// A text that says of no device how it is to be offered.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct PhysicalOptionsError(String);

impl PhysicalOptions {
    /// What the help of a program says of them.
    pub const HELP: &str = "
DEVICE is BUSID, as list shows it, or VID:PID[:SERIAL]. It leaves its driver while somebody uses it,
and goes back afterwards. OPTION is, each once,
  nusb, usbfs            the way to it [default: usbfs for isochronous endpoints and
                         streams, else nusb]
  keep-configuration     another configuration cannot be selected
  read-only              a disk that cannot be written: other commands do not reach it, nor do
                         other requests than those of disks and of requests=
  requests=TYPE:REQUEST+...
                         the only class and vendor requests that are let through, such as
                         21:0a+a1:*
  force                  although this machine uses it, such as a disk that is mounted";

    /// Whether both offer a device in the same way, whichever it is.
    pub(crate) fn offer_alike(&self, other: &Self) -> bool {
        let selector = self.selector.clone();
        *self
            == Self {
                selector,
                ..other.clone()
            }
    }
}

impl FromStr for PhysicalOptions {
    type Err = PhysicalOptionsError;

    fn from_str(text: &str) -> Result<Self, PhysicalOptionsError> {
        let error = |error: &dyn fmt::Display| PhysicalOptionsError(error.to_string());
        let mut parts = text.split(',');
        let selector = parts.next().unwrap_or_default();
        let mut options = Self {
            selector: selector.parse().map_err(|wrong| error(&wrong))?,
            policy: Policy::default(),
            way: None,
            read_only: false,
            force: false,
        };
        let (mut keeps_configuration, mut only) = (false, None::<Requests>);
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            let is_first = match (name, value) {
                ("force", None) => !mem::replace(&mut options.force, true),
                ("read-only", None) => !mem::replace(&mut options.read_only, true),
                ("keep-configuration", None) => !mem::replace(&mut keeps_configuration, true),
                ("nusb", None) => options.way.replace(Way::Nusb).is_none(),
                ("usbfs", None) => options.way.replace(Way::Usbfs).is_none(),
                ("requests", Some(requests)) => {
                    let requests = requests.parse().map_err(|wrong| error(&wrong))?;
                    only.replace(requests).is_none()
                }
                _ => {
                    return Err(PhysicalOptionsError(format!(
                        "{part:?} is no option: expected nusb, usbfs, keep-configuration, \
                         read-only, requests=TYPE:REQUEST+... or force"
                    )));
                }
            };
            if !is_first {
                let what = options.way.filter(|_| matches!(name, "nusb" | "usbfs"));
                let what = what.map_or(name, |_| "the way, nusb or usbfs,");
                return Err(PhysicalOptionsError(format!(
                    "{text:?}: {what} is said twice"
                )));
            }
        }
        if options.read_only {
            only = Some(Requests::of_disks().and(only));
        }
        if options.read_only || keeps_configuration {
            options.policy = options.policy.keeping_configuration();
        }
        if let Some(only) = only {
            options.policy = options.policy.only(only);
        }
        Ok(options)
    }
}

/// A device that somebody said by name how to offer, and so is offered in no other way.
#[derive(Clone, Debug)]
pub struct Named {
    pub(super) selector: Selector,
    pub(super) found: PluggedDevice,
}

impl Named {
    /// By what it was named.
    #[must_use]
    pub const fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Whether it is this one, or may be: one that the selector fits, or, wherever it is plugged in,
    /// one that does not differ, down to the serial number.
    #[must_use]
    pub fn may_be(&self, device: &PluggedDevice) -> bool {
        let is_it = device.serial.is_some() && device.difference_from(&self.found).is_none();
        self.selector.fits(device) || (is_it && !device.is_imported)
    }

    /// Whether both are the same that is plugged in now.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.found.address == other.found.address
    }
}

#[cfg(test)]
mod tests {
    use usb_descriptors::SetupPacket;

    use super::super::machine::fake::{Folder, Plug};
    use super::*;

    fn parsed(text: &str) -> PhysicalOptions {
        text.parse().unwrap()
    }

    #[test]
    fn each_option_is_said_once() {
        for (text, what) in [
            ("1-2,force,read-only,force", "force"),
            ("1-2,read-only,read-only", "read-only"),
            (
                "1-2,keep-configuration,keep-configuration",
                "keep-configuration",
            ),
            ("1-2,requests=21:0a,requests=40:01", "requests"),
            ("1-2,nusb,usbfs", "the way, nusb or usbfs,"),
            ("1-2,usbfs,usbfs", "the way, nusb or usbfs,"),
        ] {
            let error = text.parse::<PhysicalOptions>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text:?}: {what} is said twice"));
        }
        for wrong in ["force=1", "requests", "nusb=", "", "Force"] {
            let error = format!("1-2,{wrong}")
                .parse::<PhysicalOptions>()
                .unwrap_err();
            let expected = format!("{wrong:?} is no option: ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_read_only_disk_keeps_its_own_requests() {
        let allows = |text: &str, bytes| {
            let policy = parsed(text).policy;
            policy.allows(SetupPacket::from_bytes(bytes))
        };
        let (reset, luns) = (
            [0x21, 0xff, 0, 0, 0, 0, 0, 0],
            [0xa1, 0xfe, 0, 0, 0, 0, 1, 0],
        );
        let (ours, other) = ([0x40, 1, 0, 0, 0, 0, 0, 0], [0x40, 2, 0, 0, 0, 0, 0, 0]);
        for options in [
            "1-2,read-only,requests=40:01",
            "1-2,requests=40:01,read-only",
        ] {
            assert!(allows(options, reset) && allows(options, luns) && allows(options, ours));
            assert!(!allows(options, other), "{options}");
        }
        assert!(allows("1-2,read-only", reset) && !allows("1-2,read-only", ours));
        assert!(allows("1-2,requests=40:01", ours) && !allows("1-2,requests=40:01", reset));
        assert!(!parsed("1-2,read-only").policy.lets_configure());
    }

    #[test]
    fn a_device_that_was_named_is_known_again() {
        let folder = Folder::new("named");
        let stick = Plug {
            serial: Some("A"),
            ..Plug::new("1-2", (0x46f4, 1))
        };
        folder.plug(&stick);
        let found = folder.machine().devices().unwrap().remove(0);
        let named = |selector: &str| Named {
            selector: selector.parse().unwrap(),
            found: found.clone(),
        };
        let by_place = named("1-2");
        let by_kind = named("46f4:0001");
        let moved = Plug {
            bus_id: "1-3",
            number: 3,
            ..stick.clone()
        };
        let another = Plug {
            serial: Some("B"),
            ..moved.clone()
        };
        let unmarked = Plug {
            serial: None,
            ..moved.clone()
        };
        for (plug, may_be) in [
            (moved, [true, true]),
            (another, [false, true]),
            (unmarked, [false, true]),
        ] {
            folder.plug(&plug);
            let device = folder.machine().devices().unwrap().remove(1);
            let known = [&by_place, &by_kind].map(|named| named.may_be(&device));
            assert_eq!(known, may_be, "{plug:?}");
        }
    }
}
