//! Rules of the device, its qualifier, BOS and strings.

use super::{At, Linter, Subject, rules};
use crate::capability::CapabilityDescriptor;
use crate::{
    Asked, Bcd, Bos, CapabilityType, Configuration, Descriptor, DescriptorType, Descriptors,
    Device, Speed, standard,
};

impl Linter<'_, '_> {
    pub(super) fn device(&mut self) {
        let count = self.device.each_configuration().count();
        if let Some(bytes) = self.device.device_bytes() {
            self.alone(bytes);
        }
        if let Some(device) = self.device.device() {
            self.device_fields(device, count);
        }
        if count > 8 {
            let found = u32::try_from(count).ok();
            self.find_values(&rules::TOO_MANY, At::NOWHERE, found, Some(8));
        }
        self.configuration_values();
        if let Asked::Bytes(bytes) = self.device.qualifier_bytes() {
            self.subject = Subject::Qualifier;
            self.alone(bytes);
        }
    }

    /// One descriptor that stands alone.
    pub(super) fn alone(&mut self, bytes: &[u8]) {
        self.run(bytes);
        for descriptor in Descriptors::new(bytes).filter(Descriptor::is_complete) {
            if let Some(layout) = descriptor.descriptor_type().and_then(standard::layout) {
                let at = At::of(descriptor.bytes(), bytes);
                self.layout(layout, descriptor.bytes(), at);
            }
        }
    }

    fn device_fields(&mut self, device: Device<'_>, count: usize) {
        let release = device.usb_release();
        let at = |offset, length| At { offset, length };
        let size = device.raw_max_packet_size();
        let is_legal = match self.speed {
            Speed::Low => size == 8,
            Speed::Full => matches!(size, 8 | 16 | 32 | 64),
            Speed::High => size == 64,
            Speed::Super | Speed::SuperPlus => size == 9,
        };
        if !is_legal {
            let found = Some(u32::from(size));
            self.find_values(&rules::CONTROL_PACKET_SIZE, at(7, 1), found, None);
        }
        if self.speed.is_super() && release < Bcd(0x0300) {
            let (found, expected) = (u32::from(release.0), 0x0300);
            self.find_values(&rules::SUPER_RELEASE, at(2, 2), Some(found), Some(expected));
        }
        for (offset, release) in [(2, release), (12, device.device_release())] {
            if !release.is_decimal() {
                let found = Some(u32::from(release.0));
                self.find_values(&rules::RELEASE_DIGITS, at(offset, 2), found, None);
            }
        }
        let stated = device.configuration_count();
        if stated == 0 {
            self.find(&rules::NO_CONFIGURATION, at(17, 1));
        } else if count > 0 && usize::from(stated) != count {
            let (found, expected) = (Some(u32::from(stated)), u32::try_from(count).ok());
            self.find_values(&rules::CONFIGURATION_COUNT, at(17, 1), found, expected);
        }
        if self.device.bos_bytes() == Asked::Absent && release >= Bcd(0x0201) {
            self.find(&rules::BOS_MISSING, At::NOWHERE);
        }
        if self.device.qualifier_bytes() == Asked::Absent && release >= Bcd(0x0200) {
            match self.speed {
                Speed::High => self.find(&rules::QUALIFIER_MISSING, At::NOWHERE),
                Speed::Full => self.find(&rules::FULL_SPEED_ONLY, At::NOWHERE),
                _ => {}
            }
        }
        let strings = [
            device.manufacturer_string(),
            device.product_string(),
            device.serial_string(),
        ];
        for (offset, index) in (14..).zip(strings) {
            self.string_index(index, at(offset, 1));
        }
    }

    fn configuration_values(&mut self) {
        let mut seen = super::ByteSet::default();
        for (index, bytes) in self.device.each_configuration().enumerate() {
            let Ok(configuration) = Configuration::parse(bytes) else {
                continue;
            };
            self.subject = Subject::Configuration(index);
            let at = At {
                offset: 5,
                length: 1,
            };
            let value = configuration.value();
            if value == 0 {
                self.find(&rules::CONFIGURATION_VALUE_ZERO, at);
            }
            if !seen.insert(value) {
                let found = Some(u32::from(value));
                self.find_values(&rules::CONFIGURATION_VALUE_REPEATED, at, found, None);
            }
        }
        self.subject = Subject::Device;
    }

    pub(super) fn bos(&mut self, bytes: &[u8]) {
        let Ok(bos) = Bos::parse(bytes) else {
            self.alone(bytes);
            return;
        };
        self.total(bos.total_length(), bytes);
        self.run(bos.bytes());
        for descriptor in bos.descriptors().filter(Descriptor::is_complete) {
            let layout = match descriptor.descriptor_type() {
                Some(DescriptorType::DEVICE_CAPABILITY) => {
                    CapabilityDescriptor::layout_for(descriptor.bytes())
                }
                other => other.and_then(standard::layout),
            };
            if let Some(layout) = layout {
                let at = At::of(descriptor.bytes(), bytes);
                self.layout(layout, descriptor.bytes(), at);
            }
        }
        let count = bos.capabilities().count();
        if count != usize::from(bos.capability_count()) {
            let at = At {
                offset: 4,
                length: 1,
            };
            let found = Some(u32::from(bos.capability_count()));
            self.find_values(&rules::BOS_COUNT, at, found, u32::try_from(count).ok());
        }
        if self.speed.is_super() {
            let has = |kind| {
                bos.capabilities()
                    .any(|each| each.capability_type() == kind)
            };
            if !has(CapabilityType::USB_2_0_EXTENSION) {
                self.find(&rules::BOS_USB2_EXTENSION, At::NOWHERE);
            }
            if !has(CapabilityType::SUPERSPEED) {
                self.find(&rules::BOS_SUPERSPEED, At::NOWHERE);
            }
        }
    }

    pub(super) fn string_index(&mut self, index: u8, at: At) {
        let Some(strings) = self.device.known_strings() else {
            return;
        };
        if index != 0 && !strings.iter().any(|string| string.index == index) {
            let found = Some(u32::from(index));
            self.find_values(&rules::STRING_MISSING, at, found, None);
        }
    }

    pub(super) fn strings(&mut self) {
        let strings = self.device.known_strings().unwrap_or(&[]);
        for string in strings {
            self.subject = Subject::String(string.index);
            let bytes = string.bytes;
            let stated = bytes.first().copied().map_or(0, usize::from);
            let at = At::all(bytes);
            let is_odd = bytes.len() % 2 != 0 || stated != bytes.len();
            let units = || {
                let pairs = bytes.get(2..).unwrap_or(&[]).chunks_exact(2);
                pairs.map(|pair| match *pair {
                    [low, high] => u16::from_le_bytes([low, high]),
                    _ => 0,
                })
            };
            if string.index == 0 {
                if is_odd || units().next().is_none() {
                    self.find(&rules::LANGUAGES, at);
                }
                continue;
            }
            if is_odd {
                self.find(&rules::STRING_ODD, at);
            }
            if units().next_back() == Some(0) {
                self.find(&rules::STRING_NUL, at);
            }
            if core::char::decode_utf16(units()).any(|unit| unit.is_err()) {
                self.find(&rules::STRING_SURROGATE, at);
            }
        }
    }
}
