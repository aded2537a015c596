//! A device as text, in the layout that `lsusb -v` made familiar.

use core::fmt;

use crate::layout::Show;
use crate::{
    Asked, Bos, CapabilityType, Configuration, Descriptor, DescriptorType, Descriptors,
    DeviceBytes, EndpointAddress, Field, Layout, Level, Node, Speed, StringDescriptor, names,
    standard,
};

/// All descriptors of a device, field by field, each line ended. Nothing is left out: what is
/// unknown or behind the last known field is shown as bytes, and text of the device is shown
/// without what could steer a terminal.
///
/// ```
/// use usb_descriptors::{DeviceBytes, DeviceListing, Speed, build};
/// let device = build::Device::new(0x1209, 1).to_bytes(Speed::High);
/// let listing = DeviceListing::new(DeviceBytes::new(&device), Speed::High).to_string();
/// assert!(listing.starts_with("Device Descriptor:\n  bLength                18\n"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DeviceListing<'a> {
    device: DeviceBytes<'a>,
    speed: Speed,
}

impl<'a> DeviceListing<'a> {
    /// Shows a device as it is at a speed.
    #[must_use]
    pub const fn new(device: DeviceBytes<'a>, speed: Speed) -> Self {
        Self { device, speed }
    }
}

impl fmt::Display for DeviceListing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Lines {
            f,
            device: self.device,
            speed: self.speed,
        };
        if let Some(bytes) = self.device.device_bytes() {
            lines.run(bytes, 0)?;
        }
        for bytes in self.device.each_configuration() {
            lines.configuration(bytes)?;
        }
        if let Asked::Bytes(bytes) = self.device.bos_bytes() {
            lines.bos(bytes)?;
        }
        if let Asked::Bytes(bytes) = self.device.qualifier_bytes() {
            lines.run(bytes, 0)?;
        }
        for bytes in self.device.each_other_speed() {
            lines.configuration(bytes)?;
        }
        Ok(())
    }
}

/// Column that values end at, behind the indent.
const VALUES: usize = 25;

struct Lines<'a, 'f, 'o> {
    f: &'f mut fmt::Formatter<'o>,
    device: DeviceBytes<'a>,
    speed: Speed,
}

impl Lines<'_, '_, '_> {
    /// Descriptors that stand alone.
    fn run(&mut self, bytes: &[u8], indent: usize) -> fmt::Result {
        for descriptor in Descriptors::new(bytes) {
            self.descriptor(descriptor, descriptor.layout(), indent)?;
        }
        Ok(())
    }

    fn configuration(&mut self, bytes: &[u8]) -> fmt::Result {
        let Ok(configuration) = Configuration::parse(bytes) else {
            return self.run(bytes, 2);
        };
        for node in configuration.nodes() {
            self.node(&node)?;
        }
        let rest = bytes.get(configuration.bytes().len()..).unwrap_or(&[]);
        if rest.is_empty() {
            return Ok(());
        }
        writeln!(self.f, "  Behind the end of the configuration:")?;
        self.run(rest, 4)
    }

    fn node(&mut self, node: &Node<'_>) -> fmt::Result {
        let indent = match node.level() {
            Level::Configuration => 2,
            Level::Function | Level::Interface => 4,
            Level::InterfaceDetail | Level::Endpoint => 6,
            Level::EndpointDetail => 8,
        };
        self.descriptor(node.descriptor(), node.layout(), indent)
    }

    fn bos(&mut self, bytes: &[u8]) -> fmt::Result {
        let Ok(bos) = Bos::parse(bytes) else {
            return self.run(bytes, 0);
        };
        for descriptor in bos.descriptors() {
            let is_header = descriptor.descriptor_type() == Some(DescriptorType::BOS);
            let indent = if is_header { 0 } else { 2 };
            self.descriptor(descriptor, descriptor.layout(), indent)?;
        }
        self.run(bytes.get(bos.bytes().len()..).unwrap_or(&[]), 2)
    }

    fn descriptor(
        &mut self,
        descriptor: Descriptor<'_>,
        layout: Option<&'static Layout>,
        indent: usize,
    ) -> fmt::Result {
        let pad = |f: &mut fmt::Formatter<'_>| write!(f, "{:indent$}", "");
        pad(self.f)?;
        match (layout, descriptor.descriptor_type()) {
            (Some(layout), _) => writeln!(self.f, "{} Descriptor:", layout.title())?,
            (None, Some(DescriptorType::DEVICE_CAPABILITY)) => {
                let kind = descriptor.bytes().get(2).copied().unwrap_or(0);
                writeln!(self.f, "** UNRECOGNIZED {} **", CapabilityType(kind))?;
            }
            (None, _) => writeln!(self.f, "** UNRECOGNIZED **")?,
        }
        let Some(layout) = layout else {
            return self.raw(descriptor.bytes(), indent.saturating_add(2), "bytes");
        };
        let (owner, mut before) = (descriptor.bytes(), [0; 2]);
        for field in layout.fields(descriptor.bytes()) {
            self.field(&field, owner, before, indent.saturating_add(2))?;
            // Class and subclass, which name the field that follows them.
            if let Some(value) = field.value() {
                before = [before[1], u8::try_from(value).unwrap_or(0)];
            }
        }
        if !descriptor.is_complete() {
            pad(self.f)?;
            let (stated, found) = (descriptor.declared_length(), descriptor.bytes().len());
            writeln!(self.f, "  ** {found} bytes, {stated} stated **")?;
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8], indent: usize, name: &str) -> fmt::Result {
        write!(self.f, "{:indent$}{name}:", "")?;
        for byte in bytes {
            write!(self.f, " {byte:02x}")?;
        }
        writeln!(self.f)
    }

    fn field(
        &mut self,
        field: &Field<'_>,
        owner: &[u8],
        before: [u8; 2],
        indent: usize,
    ) -> fmt::Result {
        if field.is_tail() {
            return self.raw(field.bytes(), indent, "junk at descriptor end");
        }
        let kind = DescriptorType(owner.get(1).copied().unwrap_or(0));
        let value = field.value().unwrap_or(0);
        write!(self.f, "{:indent$}{}", "", field.name())?;
        let mut name = field.name().len();
        if let Some(index) = field.index() {
            write!(self.f, "({index})")?;
            name = name.saturating_add(length(&format_args!("({index})")));
        }
        if field.name() == "MaxPower" {
            // In 2 mA, at SuperSpeed in 8 mA (USB 3.2, table 9-22).
            let unit = if self.speed.is_super() { 8 } else { 2 };
            let width = VALUES.saturating_sub(name);
            return writeln!(self.f, "{:>width$}mA", value.saturating_mul(unit));
        }
        let gap = VALUES
            .saturating_sub(name)
            .saturating_sub(length(field))
            .max(1);
        write!(self.f, "{:gap$}{field}", "")?;
        self.meaning(field, kind, value, before)?;
        writeln!(self.f)?;
        self.details(field, kind, value, indent.saturating_add(2))
    }

    /// What stands behind a value.
    fn meaning(
        &mut self,
        field: &Field<'_>,
        kind: DescriptorType,
        value: u32,
        [class, subclass]: [u8; 2],
    ) -> fmt::Result {
        let byte = u8::try_from(value).unwrap_or(0);
        match (field.name(), field.show()) {
            ("bInterfaceSubClass" | "bDeviceSubClass" | "bFunctionSubClass", _) => {
                self.name(names::subclass(subclass, byte))
            }
            ("bInterfaceProtocol" | "bDeviceProtocol" | "bFunctionProtocol", _) => {
                self.name(names::protocol(class, subclass, byte))
            }
            ("idVendor", _) => self.name(names::vendor(value)),
            ("idProduct", _) => {
                let vendor = self.device.device().map_or(0, |device| device.vendor_id());
                self.name(names::product(vendor, u16::try_from(value).unwrap_or(0)))
            }
            ("wMaxPacketSize", _) if kind == DescriptorType::ENDPOINT => {
                let size = value & 0x7ff;
                let transactions = (value >> 11 & 3).saturating_add(1);
                write!(self.f, "  {transactions}x {size} bytes")
            }
            (_, Show::Endpoint) => {
                let address = EndpointAddress::from_byte(byte);
                let (number, direction) = (address.number(), address.direction());
                write!(self.f, "  EP {number} {direction}")
            }
            (_, Show::Text) => match self.device.string(byte) {
                Some(string) => write!(self.f, " {}", Plain(string)),
                None => Ok(()),
            },
            (_, Show::Subtype(name)) => write!(self.f, " ({name})"),
            _ => self.name(field.meaning()),
        }
    }

    fn name(&mut self, name: Option<&str>) -> fmt::Result {
        name.map_or(Ok(()), |name| write!(self.f, " {name}"))
    }

    /// The lines below a value.
    fn details(
        &mut self,
        field: &Field<'_>,
        kind: DescriptorType,
        value: u32,
        indent: usize,
    ) -> fmt::Result {
        let byte = u8::try_from(value).unwrap_or(0);
        match (kind, field.name()) {
            (DescriptorType::ENDPOINT, "bmAttributes") => {
                for (name, meaning) in standard::endpoint_attributes(byte) {
                    writeln!(self.f, "{:indent$}{name:<24} {meaning}", "")?;
                }
                Ok(())
            }
            (DescriptorType::SUPERSPEED_COMPANION, "bmAttributes") => {
                writeln!(self.f, "{:indent$}Streams or Mult {}", "", byte & 0x1f)
            }
            _ => {
                for flag in field.flags() {
                    writeln!(self.f, "{:indent$}{flag}", "")?;
                }
                Ok(())
            }
        }
    }
}

/// Text of a device, which is not to steer a terminal.
struct Plain<'a>(StringDescriptor<'a>);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// How long something is when it is written.
fn length(shown: &dyn fmt::Display) -> usize {
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            Ok(())
        }
    }
    let mut length = Length(0);
    // It never fails, nor does what is written to it here.
    let _ = fmt::Write::write_fmt(&mut length, format_args!("{shown}"));
    length.0
}
