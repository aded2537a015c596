//! Devices to be broken, and their parts.

use std::collections::BTreeSet;
use std::ops::Range;

use usb_descriptors::lint::{Subject, lint};
use usb_descriptors::{DeviceBytes, LanguageId, Speed, StringBytes};

use Speed::{Full, High, Low, Super};

/// A device to be changed: all that `DeviceBytes` can be given.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) speed: Speed,
    pub(crate) device: Vec<u8>,
    pub(crate) configurations: Vec<Vec<u8>>,
    pub(crate) bos: Option<Option<Vec<u8>>>,
    pub(crate) qualifier: Option<Option<Vec<u8>>>,
    pub(crate) other_speed: Vec<Vec<u8>>,
    pub(crate) strings: Option<Vec<(u8, Vec<u8>)>>,
}

impl Case {
    /// Without a flaw; the configurations are the descriptors behind their headers.
    pub(crate) fn new(speed: Speed, descriptors: &[&[u8]]) -> Self {
        let (release, packet) = match speed {
            Low => (2, 8),
            Full | High => (2, 64),
            _ => (3, 9),
        };
        let device = vec![
            18, 1, 0, release, 0, 0, 0, packet, 9, 0x12, 1, 0, 0, 1, 0, 0, 0, 1,
        ];
        Self {
            speed,
            device,
            configurations: vec![configuration(descriptors)],
            bos: None,
            qualifier: None,
            other_speed: vec![],
            strings: None,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn found(&self) -> BTreeSet<&'static str> {
        self.findings().into_iter().map(|(id, _)| id).collect()
    }

    /// Rules, and where in what it is about each is broken.
    pub(crate) fn findings(&self) -> Vec<(&'static str, Range<usize>)> {
        let mut all = Vec::new();
        let configurations: Vec<&[u8]> = self.configurations.iter().map(|each| &each[..]).collect();
        let other: Vec<&[u8]> = self.other_speed.iter().map(|each| &each[..]).collect();
        let strings: Vec<StringBytes<'_>> = self
            .strings
            .iter()
            .flatten()
            .map(|(index, bytes)| StringBytes {
                index: *index,
                language: LanguageId::NONE,
                bytes,
            })
            .collect();
        let mut device = DeviceBytes::new(&self.device)
            .configurations(&configurations)
            .other_speed_configurations(&other);
        if let Some(bos) = &self.bos {
            device = device.bos(bos.as_deref());
        }
        if let Some(qualifier) = &self.qualifier {
            device = device.qualifier(qualifier.as_deref());
        }
        if self.strings.is_some() {
            device = device.strings(&strings);
        }
        lint(device, self.speed, &mut |finding| {
            assert!(finding.to_string().contains(finding.rule.id()));
            let subject = match finding.subject {
                Subject::Configuration(index) => self.configurations[index].as_slice(),
                Subject::OtherSpeed(index) => &self.other_speed[index],
                Subject::Bos => self.bos.as_ref().unwrap().as_ref().unwrap(),
                Subject::Qualifier => self.qualifier.as_ref().unwrap().as_ref().unwrap(),
                Subject::String(index) => {
                    let mut all = self.strings.iter().flatten();
                    &all.find(|string| string.0 == index).unwrap().1
                }
                _ => &self.device,
            };
            assert!(finding.range().end <= subject.len(), "{finding}");
            all.push((finding.rule.id(), finding.range()));
        });
        all
    }
}

/// A configuration of value 1 around descriptors, with what must be computed.
pub(crate) fn configuration(descriptors: &[&[u8]]) -> Vec<u8> {
    let body = descriptors.concat();
    let numbers: BTreeSet<u8> = descriptors
        .iter()
        .filter(|each| each.get(1) == Some(&4) && each.len() > 2)
        .map(|each| each[2])
        .collect();
    let total = (body.len() + 9) as u16;
    let [low, high] = total.to_le_bytes();
    let mut bytes = vec![9, 2, low, high, numbers.len() as u8, 1, 0, 0x80, 50];
    bytes.extend(body);
    bytes
}

/// An interface of a vendor's class.
pub(crate) const fn interface(number: u8, setting: u8, endpoints: u8) -> [u8; 9] {
    class(number, setting, endpoints, [0xff, 0, 0])
}

pub(crate) const fn class(
    number: u8,
    setting: u8,
    endpoints: u8,
    [class, sub, protocol]: [u8; 3],
) -> [u8; 9] {
    [9, 4, number, setting, endpoints, class, sub, protocol, 0]
}

pub(crate) const fn endpoint(address: u8, attributes: u8, size: u16, interval: u8) -> [u8; 7] {
    let [low, high] = size.to_le_bytes();
    [7, 5, address, attributes, low, high, interval]
}

pub(crate) const fn companion(burst: u8, attributes: u8, bytes: u16) -> [u8; 6] {
    let [low, high] = bytes.to_le_bytes();
    [6, 0x30, burst, attributes, low, high]
}

pub(crate) const BULK_IN: [u8; 7] = endpoint(0x81, 2, 512, 0);
pub(crate) const BULK_OUT: [u8; 7] = endpoint(0x02, 2, 512, 0);
pub(crate) const SUPER_IN: [u8; 7] = endpoint(0x81, 2, 1024, 0);

pub(crate) fn high(descriptors: &[&[u8]]) -> Case {
    Case::new(High, descriptors)
}

/// One vendor interface without endpoints.
pub(crate) fn plain() -> Case {
    high(&[&interface(0, 0, 0)])
}

/// One endpoint in an interface.
pub(crate) fn one(speed: Speed, descriptors: &[&[u8]]) -> Case {
    let first = interface(0, 0, 1);
    let mut all: Vec<&[u8]> = vec![&first];
    all.extend(descriptors);
    Case::new(speed, &all)
}

/// One isochronous or other endpoint in setting 1.
pub(crate) fn in_setting_1(speed: Speed, descriptors: &[&[u8]]) -> Case {
    let (first, second) = (interface(0, 0, 0), interface(0, 1, 1));
    let mut all: Vec<&[u8]> = vec![&first, &second];
    all.extend(descriptors);
    Case::new(speed, &all)
}

pub(crate) fn hid(descriptor: &[u8]) -> Case {
    high(&[
        &class(0, 0, 1, [3, 0, 0]),
        descriptor,
        &endpoint(0x81, 3, 8, 7),
    ])
}

pub(crate) const HID: [u8; 9] = [9, 0x21, 0x11, 1, 0, 1, 0x22, 74, 0];

/// An audio function of class 1: control interface 0 with these entities, streaming interface 1.
pub(crate) fn audio(entities: &[&[u8]]) -> Case {
    let total = 9 + entities.iter().map(|each| each.len()).sum::<usize>();
    let header = [9, 0x24, 1, 0, 1, total as u8, 0, 1, 1];
    let (control, streaming) = (class(0, 0, 0, [1, 1, 0]), class(1, 0, 0, [1, 2, 0]));
    let mut all: Vec<&[u8]> = vec![&control, &header];
    all.extend(entities);
    all.push(&streaming);
    high(&all)
}

pub(crate) const INPUT: [u8; 12] = [12, 0x24, 2, 1, 1, 1, 0, 2, 3, 0, 0, 0];
pub(crate) const OUTPUT: [u8; 9] = [9, 0x24, 3, 2, 1, 3, 0, 1, 0];

/// A stream into a terminal of this number; there is 1.
pub(crate) fn linked(terminal: u8) -> Case {
    let (control, streaming) = (class(0, 0, 0, [1, 1, 0]), class(1, 0, 0, [1, 2, 0]));
    let header = [9, 0x24, 1, 0, 1, 21, 0, 1, 1];
    let general = [7, 0x24, 1, terminal, 1, 1, 0];
    high(&[&control, &header, &INPUT, &streaming, &general])
}

pub(crate) fn uas(pipes: [u8; 4]) -> Case {
    let mut all: Vec<Vec<u8>> = vec![class(0, 0, 4, [8, 6, 0x62]).to_vec()];
    for (address, pipe) in [0x81, 0x02, 0x83, 0x04].into_iter().zip(pipes) {
        all.push(endpoint(address, 2, 512, 0).to_vec());
        all.push(vec![4, 0x24, pipe, 0]);
    }
    let all: Vec<&[u8]> = all.iter().map(|each| &each[..]).collect();
    high(&all)
}

pub(crate) const LPM: [u8; 7] = [7, 0x10, 2, 2, 0, 0, 0];
pub(crate) const SUPERSPEED: [u8; 10] = [10, 0x10, 3, 0, 0x0e, 0, 1, 10, 0xff, 7];

pub(crate) fn bos(count: u8, capabilities: &[&[u8]]) -> Option<Option<Vec<u8>>> {
    let body = capabilities.concat();
    let mut bytes = vec![5, 15, body.len() as u8 + 5, 0, count];
    bytes.extend(body);
    Some(Some(bytes))
}

pub(crate) fn super_bos(count: u8, capabilities: &[&[u8]]) -> Case {
    Case::new(Super, &[&interface(0, 0, 0)]).with(|case| case.bos = bos(count, capabilities))
}

pub(crate) fn string(index: u8, bytes: &[u8]) -> Case {
    plain().with(|case| {
        case.strings = Some(vec![(0, vec![4, 3, 9, 4]), (index, bytes.to_vec())]);
        case.device[15] = index;
    })
}

/// A multi-function device, of the class that says so.
pub(crate) fn composite(descriptors: &[&[u8]]) -> Case {
    high(descriptors).with(|case| case.device[4..7].copy_from_slice(&[0xef, 2, 1]))
}

pub(crate) const fn association(first: u8, count: u8) -> [u8; 8] {
    [8, 0x0b, first, count, 0xff, 0, 0, 0]
}

/// A streaming interface of video with one descriptor.
pub(crate) fn video(descriptor: &[u8]) -> Case {
    high(&[&class(0, 0, 0, [0x0e, 2, 0]), descriptor])
}

/// A size of pictures that states `count` intervals at offset `at`, and has `there`.
pub(crate) fn frame(subtype: u8, at: usize, count: u8, there: usize) -> Vec<u8> {
    let mut frame = vec![0; 26 + 4 * there];
    frame[..3].copy_from_slice(&[26 + 4 * there as u8, 0x24, subtype]);
    frame[at] = count;
    frame
}

pub(crate) trait WithValue {
    fn with_value(self, value: u8) -> Self;
}

impl WithValue for Vec<u8> {
    fn with_value(mut self, value: u8) -> Self {
        self[5] = value;
        self
    }
}

pub(crate) fn interfaces(count: u8) -> Case {
    let all: Vec<_> = (0..count).map(|number| interface(number, 0, 0)).collect();
    let all: Vec<&[u8]> = all.iter().map(|each| &each[..]).collect();
    high(&all)
}
