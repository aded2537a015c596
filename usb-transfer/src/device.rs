//! All descriptors of a device.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use usb_descriptors::build::{self, BuildError};
use usb_descriptors::lint::{Finding, lint};
use usb_descriptors::{
    Configuration, ConfigurationTree, DescriptorError, Device, DeviceBytes, DeviceLine, LanguageId,
    Speed, StringBytes, StringDescriptor,
};

/// The descriptors of a device as it is at one speed, each as the bytes that go over the bus, so
/// that even a broken device is describable.
///
/// ```
/// use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
/// use usb_descriptors::{ClassCode, EndpointAddress, Speed};
/// use usb_transfer::DeviceDescriptors;
///
/// let device = Device::new(0x1209, 0x0001).product_string(1);
/// let bulk = Endpoint::bulk(EndpointAddress::from_byte(0x81));
/// let interface = Interface::new(0, ClassCode::new(0xff, 0, 0)).endpoint(bulk);
/// let configuration = Configuration::new(1).interface(interface);
/// let mut descriptors = DeviceDescriptors::new(Speed::High, device.to_bytes(Speed::High));
/// descriptors.configurations.push(configuration.to_bytes(Speed::High)?.into());
/// descriptors.add_string(1, "A device")?;
/// assert_eq!(descriptors.string(1).unwrap().to_string(), "A device");
/// print!("{descriptors}");
/// # Ok::<(), usb_descriptors::build::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeviceDescriptors {
    /// The speed at which all this holds.
    pub speed: Speed,
    /// The device descriptor.
    pub device: Bytes,
    /// The configurations, each with all that belongs to it, by index.
    pub configurations: Vec<Bytes>,
    /// The binary device object store with its capabilities.
    pub bos: Option<Bytes>,
    /// The device qualifier: present if the device also works at the other of full and high
    /// speed.
    pub qualifier: Option<Bytes>,
    /// The configurations at that other speed, by index.
    pub other_speed_configurations: Vec<Bytes>,
    /// The strings, in any order. The table of languages is made from them, unless a string of
    /// index 0 is given.
    pub strings: Vec<DeviceString>,
}

/// One string descriptor with what it is asked by.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an entry of a table that callers write"
)]
pub struct DeviceString {
    /// Its index, as other descriptors name it.
    pub index: u8,
    /// Its language; [`LanguageId::NONE`] answers in all.
    pub language: LanguageId,
    /// The descriptor's bytes.
    pub descriptor: Bytes,
}

impl DeviceDescriptors {
    /// A device with nothing but its device descriptor.
    #[must_use]
    pub fn new(speed: Speed, device: impl AsRef<[u8]>) -> Self {
        Self {
            speed,
            device: Bytes::copy_from_slice(device.as_ref()),
            configurations: Vec::new(),
            bos: None,
            qualifier: None,
            other_speed_configurations: Vec::new(),
            strings: Vec::new(),
        }
    }

    /// Adds a string in English (United States).
    ///
    /// # Errors
    /// [`BuildError::TooLong`] above 126 UTF-16 units.
    pub fn add_string(&mut self, index: u8, text: &str) -> Result<(), BuildError> {
        let descriptor = build::string(text)?.into();
        self.strings.push(DeviceString {
            index,
            language: LanguageId::ENGLISH_US,
            descriptor,
        });
        Ok(())
    }

    /// Reports all that is wrong with the descriptors. What is not there counts as absent.
    ///
    /// ```
    /// use usb_descriptors::{Speed, build};
    /// let device = build::Device::new(0x1209, 0x0001).to_bytes(Speed::High);
    /// let mut descriptors = usb_transfer::DeviceDescriptors::new(Speed::High, device);
    /// descriptors.configurations.push(build::Configuration::new(1).to_bytes(Speed::High)?.into());
    /// descriptors.lint(&mut |finding| assert_eq!(finding.rule.id(), "qualifier-missing"));
    /// # Ok::<(), usb_descriptors::build::BuildError>(())
    /// ```
    pub fn lint(&self, report: &mut dyn FnMut(Finding)) {
        self.with_bytes(|bytes| lint(bytes, self.speed, report));
    }

    /// All of it as the linter and the listing of `usb-descriptors` take it, for as long as `look`
    /// looks at it.
    pub fn with_bytes<T>(&self, look: impl FnOnce(DeviceBytes<'_>) -> T) -> T {
        let configurations = self.configurations.iter().map(AsRef::as_ref);
        let configurations: Vec<&[u8]> = configurations.collect();
        let other_speed = self.other_speed_configurations.iter().map(AsRef::as_ref);
        let other_speed: Vec<&[u8]> = other_speed.collect();
        let strings = self.strings.iter().map(|string| StringBytes {
            index: string.index,
            language: string.language,
            bytes: &string.descriptor,
        });
        let strings: Vec<_> = strings.collect();
        let bytes = DeviceBytes::new(&self.device)
            .configurations(&configurations)
            .other_speed_configurations(&other_speed)
            .bos(self.bos.as_deref())
            .qualifier(self.qualifier.as_deref())
            .strings(&strings);
        look(bytes)
    }

    /// The device descriptor, read.
    ///
    /// # Errors
    /// [`DescriptorError`] where it is none.
    pub fn device(&self) -> Result<Device<'_>, DescriptorError> {
        Device::parse(&self.device)
    }

    /// The configurations that can be read.
    pub fn configurations(&self) -> impl Iterator<Item = Configuration<'_>> {
        self.configurations
            .iter()
            .filter_map(|bytes| Configuration::parse(bytes).ok())
    }

    /// The configuration that SET_CONFIGURATION selects by `value`; 0 selects none, even where a
    /// device describes one of that value.
    #[must_use]
    pub fn configuration(&self, value: u8) -> Option<Configuration<'_>> {
        let mut configurations = self.configurations();
        configurations.find(|configuration| value != 0 && configuration.value() == value)
    }

    /// The string of an index, in the first language that has it; `None` for index 0, which is
    /// "no string" and the table of languages.
    #[must_use]
    pub fn string(&self, index: u8) -> Option<StringDescriptor<'_>> {
        let mut strings = self.strings.iter().filter(|string| string.index == index);
        let string = strings.next().filter(|_| index != 0)?;
        StringDescriptor::parse(&string.descriptor).ok()
    }

    /// The languages of the strings, in order of appearance.
    #[must_use]
    pub fn languages(&self) -> Vec<LanguageId> {
        let mut languages = Vec::new();
        for string in &self.strings {
            if string.language != LanguageId::NONE && !languages.contains(&string.language) {
                languages.push(string.language);
            }
        }
        languages
    }
}

/// The device as a tree, each line ended. Control characters in strings are escaped.
impl fmt::Display for DeviceDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device() {
            Ok(device) => {
                writeln!(f, "{}, {}", DeviceLine(device), self.speed)?;
                let strings = [
                    ("Manufacturer", device.manufacturer_string()),
                    ("Product", device.product_string()),
                    ("Serial number", device.serial_string()),
                ];
                for (name, index) in strings {
                    if let Some(string) = self.string(index) {
                        write!(f, "  {name}: ")?;
                        // A device is not to steer a terminal.
                        for character in string.chars() {
                            if character.is_control() {
                                write!(f, "{}", character.escape_default())?;
                            } else {
                                write!(f, "{character}")?;
                            }
                        }
                        writeln!(f)?;
                    }
                }
            }
            Err(error) => writeln!(f, "Device with a broken descriptor: {error}")?,
        }
        for bytes in &self.configurations {
            match Configuration::parse(bytes) {
                Ok(configuration) => {
                    ConfigurationTree::new(configuration, self.speed).fmt(f)?;
                }
                Err(error) => writeln!(f, "Configuration with a broken descriptor: {error}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use usb_descriptors::build::Device as Build;

    use super::*;

    #[test]
    fn strings_cannot_steer_a_terminal() {
        let device = Build::new(1, 2).product_string(1).to_bytes(Speed::High);
        let mut descriptors = DeviceDescriptors::new(Speed::High, device);
        descriptors
            .add_string(1, "\x1b[2Jdisk\nSerial number: é")
            .unwrap();
        let shown = descriptors.to_string();
        assert!(
            shown.ends_with("  Product: \\u{1b}[2Jdisk\\nSerial number: é\n"),
            "{shown}"
        );
    }
}
