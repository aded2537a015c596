//! Descriptors as text.

use core::fmt;

use crate::{Configuration, Device, Speed};

/// A device descriptor on one line.
///
/// ```
/// use usb_descriptors::{Device, DeviceLine};
/// let bytes = [18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 1, 0, 0, 1, 0, 0, 0, 1];
/// assert_eq!(
///     DeviceLine(Device::parse(&bytes)?).to_string(),
///     "Device 1209:0001, release 1.00, USB 2.00, class 00/00/00 (per interface)",
/// );
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a view to be written in place")]
pub struct DeviceLine<'a>(pub Device<'a>);

impl fmt::Display for DeviceLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(device) = self;
        write!(
            f,
            "Device {:04x}:{:04x}, release {}, USB {}, class {}",
            device.vendor_id(),
            device.product_id(),
            device.device_release(),
            device.usb_release(),
            device.class(),
        )?;
        device
            .class()
            .class_name()
            .map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// A configuration as an indented tree of interfaces and endpoints, each line ended.
///
/// ```
/// use usb_descriptors::{Configuration, ConfigurationTree, Speed};
/// let bytes = [
///     9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 8, 6, 0x50, 0, 7, 5, 0x81, 2, 0, 2, 0,
/// ];
/// let tree = ConfigurationTree::new(Configuration::parse(&bytes)?, Speed::High);
/// assert_eq!(
///     tree.to_string(),
///     "Configuration 1, bus powered, 100 mA\n  \
///        Interface 0, class 08/06/50 (mass storage)\n    \
///          Endpoint 81, bulk IN, 512 bytes\n",
/// );
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationTree<'a> {
    configuration: Configuration<'a>,
    speed: Speed,
}

impl<'a> ConfigurationTree<'a> {
    /// Shows a configuration as it is at a speed.
    #[must_use]
    pub const fn new(configuration: Configuration<'a>, speed: Speed) -> Self {
        Self {
            configuration,
            speed,
        }
    }
}

impl fmt::Display for ConfigurationTree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            configuration,
            speed,
        } = *self;
        let attributes = configuration.attributes();
        let source = if attributes.self_powered() {
            "self"
        } else {
            "bus"
        };
        let wakeup = if attributes.remote_wakeup() {
            ", remote wakeup"
        } else {
            ""
        };
        let (value, power) = (configuration.value(), configuration.max_power(speed));
        writeln!(
            f,
            "Configuration {value}, {source} powered{wakeup}, {power} mA"
        )?;
        for interface in configuration.interfaces() {
            write!(f, "  Interface {}", interface.number())?;
            if interface.alternate_setting() != 0 {
                write!(f, ", alternate setting {}", interface.alternate_setting())?;
            }
            write!(f, ", class {}", interface.class())?;
            match interface.class().class_name() {
                Some(name) if interface.class().class != 0 => writeln!(f, " ({name})")?,
                _ => writeln!(f)?,
            }
            for endpoint in interface.endpoints() {
                let address = endpoint.address();
                write!(
                    f,
                    "    Endpoint {address}, {} {}, {} bytes",
                    endpoint.transfer_type(),
                    address.direction(),
                    endpoint.max_packet_size(),
                )?;
                if endpoint.transfer_type().is_periodic() {
                    write!(
                        f,
                        ", every {} µs",
                        endpoint.interval(speed).saturating_mul(125)
                    )?;
                }
                match endpoint.companion() {
                    Some(companion) => {
                        writeln!(f, ", bursts of {}", companion.packets_per_burst())?;
                    }
                    None => writeln!(f)?,
                }
            }
        }
        Ok(())
    }
}
