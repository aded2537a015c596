//! For each rule, the least that breaks it and nothing else, and a twin that does not.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test that panics fails, and its numbers are small"
)]

use std::collections::BTreeSet;

use usb_descriptors::lint::{RULES, lint};
use usb_descriptors::{Asked, DeviceBytes, LanguageId, Speed, StringBytes};

use Speed::{Full, High, Low, Super};

/// A device to be changed: all that `DeviceBytes` can be given.
#[derive(Clone)]
struct Case {
    speed: Speed,
    device: Vec<u8>,
    configurations: Vec<Vec<u8>>,
    bos: Option<Option<Vec<u8>>>,
    qualifier: Option<Option<Vec<u8>>>,
    other_speed: Vec<Vec<u8>>,
    strings: Option<Vec<(u8, Vec<u8>)>>,
}

impl Case {
    /// Without a flaw; the configurations are the descriptors behind their headers.
    fn new(speed: Speed, descriptors: &[&[u8]]) -> Self {
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

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn found(&self) -> BTreeSet<&'static str> {
        let mut ids = BTreeSet::new();
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
            // Each can be told, and lies in what it is about.
            assert!(finding.to_string().contains(finding.rule.id()));
            ids.insert(finding.rule.id());
        });
        ids
    }
}

/// A configuration of value 1 around descriptors, with what must be computed.
fn configuration(descriptors: &[&[u8]]) -> Vec<u8> {
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
const fn interface(number: u8, setting: u8, endpoints: u8) -> [u8; 9] {
    class(number, setting, endpoints, [0xff, 0, 0])
}

const fn class(number: u8, setting: u8, endpoints: u8, [class, sub, protocol]: [u8; 3]) -> [u8; 9] {
    [9, 4, number, setting, endpoints, class, sub, protocol, 0]
}

const fn endpoint(address: u8, attributes: u8, size: u16, interval: u8) -> [u8; 7] {
    let [low, high] = size.to_le_bytes();
    [7, 5, address, attributes, low, high, interval]
}

const fn companion(burst: u8, attributes: u8, bytes: u16) -> [u8; 6] {
    let [low, high] = bytes.to_le_bytes();
    [6, 0x30, burst, attributes, low, high]
}

const BULK_IN: [u8; 7] = endpoint(0x81, 2, 512, 0);
const BULK_OUT: [u8; 7] = endpoint(0x02, 2, 512, 0);
const SUPER_IN: [u8; 7] = endpoint(0x81, 2, 1024, 0);

fn high(descriptors: &[&[u8]]) -> Case {
    Case::new(High, descriptors)
}

/// One vendor interface without endpoints.
fn plain() -> Case {
    high(&[&interface(0, 0, 0)])
}

/// One endpoint in an interface.
fn one(speed: Speed, descriptors: &[&[u8]]) -> Case {
    let first = interface(0, 0, 1);
    let mut all: Vec<&[u8]> = vec![&first];
    all.extend(descriptors);
    Case::new(speed, &all)
}

/// One isochronous or other endpoint in setting 1.
fn in_setting_1(speed: Speed, descriptors: &[&[u8]]) -> Case {
    let (first, second) = (interface(0, 0, 0), interface(0, 1, 1));
    let mut all: Vec<&[u8]> = vec![&first, &second];
    all.extend(descriptors);
    Case::new(speed, &all)
}

fn hid(descriptor: &[u8]) -> Case {
    high(&[
        &class(0, 0, 1, [3, 0, 0]),
        descriptor,
        &endpoint(0x81, 3, 8, 7),
    ])
}

const HID: [u8; 9] = [9, 0x21, 0x11, 1, 0, 1, 0x22, 74, 0];

/// An audio function of class 1: control interface 0 with these entities, streaming interface 1.
fn audio(entities: &[&[u8]]) -> Case {
    let total = 9 + entities.iter().map(|each| each.len()).sum::<usize>();
    let header = [9, 0x24, 1, 0, 1, total as u8, 0, 1, 1];
    let (control, streaming) = (class(0, 0, 0, [1, 1, 0]), class(1, 0, 0, [1, 2, 0]));
    let mut all: Vec<&[u8]> = vec![&control, &header];
    all.extend(entities);
    all.push(&streaming);
    high(&all)
}

const INPUT: [u8; 12] = [12, 0x24, 2, 1, 1, 1, 0, 2, 3, 0, 0, 0];
const OUTPUT: [u8; 9] = [9, 0x24, 3, 2, 1, 3, 0, 1, 0];

/// A stream into a terminal of this number; there is 1.
fn linked(terminal: u8) -> Case {
    let (control, streaming) = (class(0, 0, 0, [1, 1, 0]), class(1, 0, 0, [1, 2, 0]));
    let header = [9, 0x24, 1, 0, 1, 21, 0, 1, 1];
    let general = [7, 0x24, 1, terminal, 1, 1, 0];
    high(&[&control, &header, &INPUT, &streaming, &general])
}

fn uas(pipes: [u8; 4]) -> Case {
    let mut all: Vec<Vec<u8>> = vec![class(0, 0, 4, [8, 6, 0x62]).to_vec()];
    for (address, pipe) in [0x81, 0x02, 0x83, 0x04].into_iter().zip(pipes) {
        all.push(endpoint(address, 2, 512, 0).to_vec());
        all.push(vec![4, 0x24, pipe, 0]);
    }
    let all: Vec<&[u8]> = all.iter().map(|each| &each[..]).collect();
    high(&all)
}

const LPM: [u8; 7] = [7, 0x10, 2, 2, 0, 0, 0];
const SUPERSPEED: [u8; 10] = [10, 0x10, 3, 0, 0x0e, 0, 1, 10, 0xff, 7];

fn bos(count: u8, capabilities: &[&[u8]]) -> Option<Option<Vec<u8>>> {
    let body = capabilities.concat();
    let mut bytes = vec![5, 15, body.len() as u8 + 5, 0, count];
    bytes.extend(body);
    Some(Some(bytes))
}

fn super_bos(count: u8, capabilities: &[&[u8]]) -> Case {
    Case::new(Super, &[&interface(0, 0, 0)]).with(|case| case.bos = bos(count, capabilities))
}

fn string(index: u8, bytes: &[u8]) -> Case {
    plain().with(|case| {
        case.strings = Some(vec![(0, vec![4, 3, 9, 4]), (index, bytes.to_vec())]);
        case.device[15] = index;
    })
}

/// A multi-function device, of the class that says so.
fn composite(descriptors: &[&[u8]]) -> Case {
    high(descriptors).with(|case| case.device[4..7].copy_from_slice(&[0xef, 2, 1]))
}

const fn association(first: u8, count: u8) -> [u8; 8] {
    [8, 0x0b, first, count, 0xff, 0, 0, 0]
}

/// Rule, what breaks it, and a twin that does not.
fn cases() -> Vec<(&'static str, Case, Case)> {
    let (zero, first) = (interface(0, 0, 0), interface(1, 0, 0));
    vec![
        (
            "length-below-2",
            high(&[&zero, &[1, 0x41]]),
            high(&[&zero, &[2, 0x41]]),
        ),
        (
            "length-overrun",
            high(&[&zero, &[4, 0x41, 0]]),
            high(&[&zero, &[3, 0x41, 0]]),
        ),
        ("trailing-bytes", high(&[&zero, &[0]]), plain()),
        (
            "length-too-short",
            composite(&[&zero, &[7, 0x0b, 0, 1, 0xff, 0, 0]]),
            composite(&[&association(0, 1), &zero]),
        ),
        (
            "length-beyond-known",
            high(&[&[10, 4, 0, 0, 0, 0xff, 0, 0, 0, 0]]),
            plain(),
        ),
        (
            "total-length-beyond",
            plain().with(|case| case.configurations[0][2] = 19),
            plain(),
        ),
        (
            "total-length-short",
            high(&[&zero, &[2, 0x41]]).with(|case| case.configurations[0][2] = 18),
            plain(),
        ),
        (
            "nested-descriptor",
            high(&[&zero, &[10, 6, 0, 2, 0, 0, 0, 64, 1, 0]]),
            plain(),
        ),
        (
            "endpoint-before-interface",
            high(&[&BULK_IN, &zero]),
            one(High, &[&BULK_IN]),
        ),
        (
            "interface-count",
            plain().with(|case| case.configurations[0][4] = 2),
            plain(),
        ),
        (
            "interface-number",
            high(&[&zero, &interface(2, 0, 0)]),
            high(&[&zero, &first]),
        ),
        (
            "setting-duplicate",
            high(&[&zero, &zero]),
            high(&[&zero, &interface(0, 1, 0)]),
        ),
        (
            "setting-gap",
            high(&[&zero, &interface(0, 2, 0)]),
            high(&[&zero, &interface(0, 1, 0)]),
        ),
        (
            "endpoint-count",
            high(&[&interface(0, 0, 2), &BULK_IN]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-zero",
            one(High, &[&endpoint(0x80, 2, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-address",
            one(High, &[&endpoint(0x91, 2, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-duplicate",
            high(&[&interface(0, 0, 1), &BULK_IN, &interface(1, 0, 1), &BULK_IN]),
            high(&[&interface(0, 0, 1), &BULK_IN, &interface(0, 1, 1), &BULK_IN]),
        ),
        (
            "endpoint-duplicate",
            high(&[
                &interface(0, 0, 2),
                &endpoint(0x01, 0, 64, 0),
                &endpoint(0x81, 2, 512, 0),
            ]),
            high(&[
                &interface(0, 0, 2),
                &endpoint(0x01, 2, 512, 0),
                &endpoint(0x81, 2, 512, 0),
            ]),
        ),
        (
            "endpoint-type",
            one(Low, &[&endpoint(0x81, 2, 8, 0)]),
            one(Low, &[&endpoint(0x81, 3, 8, 10)]),
        ),
        (
            "packet-size",
            one(High, &[&endpoint(0x81, 2, 64, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "packet-size",
            one(Full, &[&endpoint(0x81, 3, 65, 1)]),
            one(Full, &[&endpoint(0x81, 3, 64, 1)]),
        ),
        (
            "packet-size",
            one(Full, &[&endpoint(0x81, 2, 48, 0)]),
            one(Full, &[&endpoint(0x81, 2, 32, 0)]),
        ),
        (
            "packet-size",
            one(Super, &[&BULK_IN, &companion(0, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0)]),
        ),
        (
            "packet-size-zero",
            in_setting_1(High, &[&endpoint(0x81, 1, 0, 1)]),
            one(High, &[&endpoint(0x81, 1, 0, 1)]),
        ),
        (
            "high-bandwidth",
            in_setting_1(High, &[&endpoint(0x81, 1, 0x1c00, 1)]),
            in_setting_1(High, &[&endpoint(0x81, 1, 0x1400, 1)]),
        ),
        (
            "high-bandwidth",
            in_setting_1(Full, &[&endpoint(0x81, 3, 0x0808, 1)]),
            in_setting_1(Full, &[&endpoint(0x81, 3, 8, 1)]),
        ),
        (
            "interval",
            one(High, &[&endpoint(0x81, 3, 8, 17)]),
            one(High, &[&endpoint(0x81, 3, 8, 16)]),
        ),
        (
            "interval",
            one(Full, &[&endpoint(0x81, 3, 8, 0)]),
            one(Full, &[&endpoint(0x81, 3, 8, 255)]),
        ),
        (
            "interval",
            one(Low, &[&endpoint(0x81, 3, 8, 9)]),
            one(Low, &[&endpoint(0x81, 3, 8, 10)]),
        ),
        (
            "bandwidth-in-setting-0",
            one(High, &[&endpoint(0x81, 1, 64, 1)]),
            in_setting_1(High, &[&endpoint(0x81, 1, 64, 1)]),
        ),
        (
            "endpoint-attributes",
            one(High, &[&endpoint(0x81, 6, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "feedback-missing",
            in_setting_1(High, &[&endpoint(0x01, 5, 64, 1)]),
            high(&[
                &interface(0, 0, 0),
                &interface(0, 1, 2),
                &endpoint(0x01, 5, 64, 1),
                &endpoint(0x81, 0x11, 4, 1),
            ]),
        ),
        (
            "companion-missing",
            Case::new(Super, &[&interface(0, 0, 1), &SUPER_IN]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0)]),
        ),
        (
            "companion-misplaced",
            one(Super, &[&SUPER_IN, &[2, 0x41], &companion(0, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0), &[2, 0x41]]),
        ),
        (
            "companion-misplaced",
            Case::new(Super, &[&interface(0, 0, 0), &companion(0, 0, 0)]),
            Case::new(Super, &[&interface(0, 0, 0)]),
        ),
        (
            "companion-burst",
            one(Super, &[&SUPER_IN, &companion(16, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(15, 0, 0)]),
        ),
        (
            "companion-streams",
            one(Super, &[&SUPER_IN, &companion(0, 17, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 16, 0)]),
        ),
        (
            "companion-mult",
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 3, 0)]),
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 2, 0)]),
        ),
        (
            "companion-bytes",
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(1, 0, 17)]),
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(1, 0, 16)]),
        ),
        (
            "companion-bytes-zero",
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(0, 0, 0)]),
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(0, 0, 8)]),
        ),
        (
            "plus-companion",
            in_setting_1(
                Super,
                &[&endpoint(0x81, 1, 1024, 1), &companion(0, 0x80, 1)],
            ),
            in_setting_1(
                Super,
                &[
                    &endpoint(0x81, 1, 1024, 1),
                    &companion(0, 0x80, 1),
                    &[8, 0x31, 0, 0, 0, 4, 0, 0],
                ],
            ),
        ),
        (
            "plus-companion",
            in_setting_1(
                Super,
                &[
                    &endpoint(0x81, 1, 1024, 1),
                    &companion(0, 0, 1),
                    &[8, 0x31, 0, 0, 0, 4, 0, 0],
                ],
            ),
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 0, 1)]),
        ),
        (
            "association-range",
            composite(&[&association(0, 2), &zero]),
            composite(&[&association(0, 2), &zero, &first]),
        ),
        (
            "association-overlap",
            composite(&[&association(0, 2), &association(1, 1), &zero, &first]),
            composite(&[&association(0, 1), &association(1, 1), &zero, &first]),
        ),
        (
            "association-class",
            high(&[&association(0, 1), &zero]),
            composite(&[&association(0, 1), &zero]),
        ),
        (
            "association-missing",
            composite(&[&class(0, 0, 0, [0x0e, 1, 0]), &class(1, 0, 0, [0x0e, 2, 0])]),
            composite(&[
                &association(0, 2),
                &class(0, 0, 0, [0x0e, 1, 0]),
                &class(1, 0, 0, [0x0e, 2, 0]),
            ]),
        ),
        (
            "attributes-bit-7",
            plain().with(|case| case.configurations[0][7] = 0x40),
            plain().with(|case| case.configurations[0][7] = 0xc0),
        ),
        (
            "attributes-reserved",
            plain().with(|case| case.configurations[0][7] = 0x81),
            plain().with(|case| case.configurations[0][7] = 0xe0),
        ),
        (
            "max-power",
            plain().with(|case| case.configurations[0][8] = 251),
            plain().with(|case| case.configurations[0][8] = 250),
        ),
        (
            "max-power",
            Case::new(Super, &[&zero]).with(|case| case.configurations[0][8] = 114),
            Case::new(Super, &[&zero]).with(|case| case.configurations[0][8] = 113),
        ),
        (
            "control-packet-size",
            plain().with(|case| case.device[7] = 32),
            Case::new(Full, &[&zero]).with(|case| case.device[7] = 32),
        ),
        (
            "super-release",
            Case::new(Super, &[&zero]).with(|case| case.device[3] = 2),
            Case::new(Super, &[&zero]),
        ),
        (
            "release-digits",
            plain().with(|case| case.device[12] = 0x0a),
            plain().with(|case| case.device[12] = 0x10),
        ),
        (
            "no-configuration",
            plain().with(|case| case.device[17] = 0),
            plain(),
        ),
        (
            "configuration-count",
            plain().with(|case| case.device[17] = 2),
            plain(),
        ),
        (
            "too-many",
            plain().with(|case| {
                case.configurations = (1..=9)
                    .map(|value| configuration(&[&zero]).with_value(value))
                    .collect();
                case.device[17] = 9;
            }),
            plain().with(|case| {
                case.configurations = (1..=8)
                    .map(|value| configuration(&[&zero]).with_value(value))
                    .collect();
                case.device[17] = 8;
            }),
        ),
        ("too-many", interfaces(33), interfaces(32)),
        (
            "bos-count",
            super_bos(3, &[&LPM, &SUPERSPEED]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "bos-usb2-extension",
            super_bos(1, &[&SUPERSPEED]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "bos-superspeed",
            super_bos(1, &[&LPM]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "length-too-short",
            super_bos(3, &[&LPM, &SUPERSPEED, &[3, 0x10, 4]]),
            super_bos(3, &[&LPM, &SUPERSPEED, &[3, 0x10, 11]]),
        ),
        (
            "bos-missing",
            plain().with(|case| {
                case.device[2] = 1;
                case.bos = Some(None);
            }),
            plain().with(|case| case.bos = Some(None)),
        ),
        (
            "string-missing",
            string(1, &[4, 3, 65, 0]).with(|case| case.device[16] = 9),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-odd",
            string(1, &[5, 3, 65, 0, 66]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-nul",
            string(1, &[6, 3, 65, 0, 0, 0]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-surrogate",
            string(1, &[4, 3, 0, 0xd8]),
            string(1, &[6, 3, 0, 0xd8, 0, 0xdc]),
        ),
        (
            "languages",
            string(1, &[4, 3, 65, 0]).with(|case| case.strings.as_mut().unwrap()[0].1 = vec![2, 3]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "configuration-value-zero",
            plain().with(|case| case.configurations[0][5] = 0),
            plain(),
        ),
        (
            "configuration-value-repeated",
            plain().with(|case| {
                case.configurations
                    .push(configuration(&[&interface(0, 0, 0)]));
                case.device[17] = 2;
            }),
            plain().with(|case| {
                case.configurations
                    .push(configuration(&[&interface(0, 0, 0)]).with_value(2));
                case.device[17] = 2;
            }),
        ),
        ("hid-missing", hid(&[]), hid(&HID)),
        (
            "hid-misplaced",
            high(&[&class(0, 0, 1, [3, 0, 0]), &endpoint(0x81, 3, 8, 7), &HID]),
            hid(&HID),
        ),
        (
            "hid-count",
            hid(&[9, 0x21, 0x11, 1, 0, 2, 0x22, 74, 0]),
            hid(&HID),
        ),
        (
            "hid-report-length",
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 0, 0]),
            hid(&HID),
        ),
        (
            "hid-report-length",
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 1, 0x10]),
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 0, 0x10]),
        ),
        (
            "bot-endpoints",
            high(&[&class(0, 0, 1, [8, 6, 0x50]), &BULK_IN]),
            high(&[&class(0, 0, 2, [8, 6, 0x50]), &BULK_IN, &BULK_OUT]),
        ),
        (
            "union-absent",
            high(&[
                &class(0, 0, 0, [2, 2, 1]),
                &[5, 0x24, 6, 0, 2],
                &class(1, 0, 0, [10, 0, 0]),
            ]),
            high(&[
                &class(0, 0, 0, [2, 2, 1]),
                &[5, 0x24, 6, 0, 1],
                &class(1, 0, 0, [10, 0, 0]),
            ]),
        ),
        (
            "header-interfaces",
            audio(&[]).with(|case| case.configurations[0][26] = 7),
            audio(&[]),
        ),
        (
            "class-total-length",
            audio(&[]).with(|case| case.configurations[0][23] = 10),
            audio(&[]),
        ),
        (
            "entity-duplicate",
            audio(&[&INPUT, &INPUT]),
            audio(&[&INPUT]),
        ),
        (
            "entity-source",
            audio(&[&OUTPUT]),
            audio(&[&INPUT, &OUTPUT]),
        ),
        (
            "entity-cycle",
            audio(&[&[7, 0x24, 5, 3, 1, 4, 0], &[7, 0x24, 5, 4, 1, 3, 0]]),
            audio(&[&INPUT, &[7, 0x24, 5, 3, 1, 4, 0], &[7, 0x24, 5, 4, 1, 1, 0]]),
        ),
        ("terminal-link", linked(2), linked(1)),
        (
            "frame-intervals",
            video(&frame(7, 25, 0, 2)),
            video(&frame(7, 25, 0, 3)),
        ),
        (
            "frame-intervals",
            video(&frame(5, 25, 2, 1)),
            video(&frame(5, 25, 2, 2)),
        ),
        (
            "frame-intervals",
            video(&frame(0x11, 21, 0, 0)),
            video(&frame(0x11, 21, 1, 1)),
        ),
        ("pipe-usage", uas([1, 2, 3, 3]), uas([1, 2, 3, 4])),
        (
            "qualifier-missing",
            plain().with(|case| case.qualifier = Some(None)),
            plain(),
        ),
        (
            "full-speed-only",
            Case::new(Full, &[&zero]).with(|case| case.qualifier = Some(None)),
            Case::new(Full, &[&zero]),
        ),
        (
            "other-speed-type",
            plain().with(|case| case.other_speed = case.configurations.clone()),
            plain().with(|case| {
                case.other_speed = case.configurations.clone();
                case.other_speed[0][1] = 7;
            }),
        ),
    ]
}

/// A streaming interface of video with one descriptor.
fn video(descriptor: &[u8]) -> Case {
    high(&[&class(0, 0, 0, [0x0e, 2, 0]), descriptor])
}

/// A size of pictures that states `count` intervals at offset `at`, and has `there`.
fn frame(subtype: u8, at: usize, count: u8, there: usize) -> Vec<u8> {
    let mut frame = vec![0; 26 + 4 * there];
    frame[..3].copy_from_slice(&[26 + 4 * there as u8, 0x24, subtype]);
    frame[at] = count;
    frame
}

trait WithValue {
    fn with_value(self, value: u8) -> Self;
}

impl WithValue for Vec<u8> {
    fn with_value(mut self, value: u8) -> Self {
        self[5] = value;
        self
    }
}

fn interfaces(count: u8) -> Case {
    let all: Vec<_> = (0..count).map(|number| interface(number, 0, 0)).collect();
    let all: Vec<&[u8]> = all.iter().map(|each| &each[..]).collect();
    high(&all)
}

#[test]
fn each_rule_is_broken_alone_and_its_twin_is_clean() {
    let mut wrong = Vec::new();
    for (rule, broken, twin) in cases() {
        let found = broken.found();
        if found != BTreeSet::from([rule]) {
            wrong.push(format!("{rule}: the broken one has {found:?}"));
        }
        let found = twin.found();
        if !found.is_empty() {
            wrong.push(format!("{rule}: the twin has {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_rule_has_a_case() {
    let tested: BTreeSet<_> = cases().into_iter().map(|(rule, ..)| rule).collect();
    let all: BTreeSet<_> = RULES.iter().map(|rule| rule.id()).collect();
    assert_eq!(tested, all);
}

#[test]
fn of_what_nobody_asked_for_nothing_is_said() {
    let case = plain().with(|case| {
        case.device[2] = 0x10;
        case.device[15] = 4;
    });
    assert_eq!(case.found(), BTreeSet::new());
    let bytes = DeviceBytes::new(&case.device);
    assert_eq!(bytes.bos_bytes(), Asked::Unknown);
}

/// Run with `LINT_RULES=write` to make the page anew.
#[test]
fn the_page_of_rules_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint-rules.md");
    let mut page = String::from(
        "# Rules of the descriptor linter\n\n\
         Made from the table in `usb-descriptors/src/lint/rules.rs` by\n\
         `LINT_RULES=write cargo test -p usb-descriptors --test lint`; do not edit.\n\n\
         Each is tested with the least that breaks it and with a twin that does not:\n\
         `usb-descriptors/tests/lint.rs`.\n\n\
         | rule | severity | what is wrong | where it is said | what Linux does |\n\
         |---|---|---|---|---|\n",
    );
    for rule in RULES {
        let row = format!(
            "| `{}` | {} | {} | {} | {} |\n",
            rule.id(),
            rule.severity(),
            rule.explanation(),
            rule.clause(),
            rule.linux(),
        );
        page.push_str(&row);
    }
    if std::env::var_os("LINT_RULES").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "docs/lint-rules.md is not current");
}
