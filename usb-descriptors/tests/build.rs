//! The builder makes nothing that the linter calls an error, and makes again what it has read.
#![cfg(feature = "alloc")]
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test that panics fails, and its numbers are small"
)]

mod common;

use proptest::prelude::*;

use common::{SPEEDS, packet_size};
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface, Synchronization, Usage};
use usb_descriptors::lint::{Severity, lint};
use usb_descriptors::{ClassCode, DeviceBytes, EndpointAddress, Speed};

fn findings(bytes: &[u8], speed: Speed) -> Vec<String> {
    let mut found = Vec::new();
    lint(DeviceBytes::from_run(bytes), speed, &mut |finding| {
        found.push(format!("{finding}"));
        assert!(finding.rule.severity() < Severity::Error, "{finding}");
    });
    found
}

/// A headset: keys, and sound both ways with feedback.
fn headset() -> Configuration {
    let control = Interface::new(0, ClassCode::new(1, 1, 0))
        .descriptor(&[9, 0x24, 1, 0, 1, 30, 0, 1, 1])
        .unwrap()
        .descriptor(&[12, 0x24, 2, 1, 1, 1, 0, 2, 3, 0, 0, 0])
        .unwrap()
        .descriptor(&[9, 0x24, 3, 2, 1, 3, 0, 1, 0])
        .unwrap();
    let streaming = Interface::new(1, ClassCode::new(1, 2, 0));
    let sound = Endpoint::isochronous(EndpointAddress::from_byte(0x01), 200, 8)
        .synchronization(Synchronization::Asynchronous)
        .audio(0, 0x81)
        .descriptor(&[7, 0x25, 1, 1, 0, 0, 0])
        .unwrap();
    let feedback = Endpoint::isochronous(EndpointAddress::from_byte(0x81), 4, 8)
        .usage(Usage::Feedback)
        .audio(2, 0);
    let keys = Interface::new(2, ClassCode::new(3, 1, 1))
        .descriptor(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0])
        .unwrap()
        .endpoint(Endpoint::interrupt(EndpointAddress::from_byte(0x82), 8, 64));
    Configuration::new(1)
        .max_power(100)
        .association(0, 2, ClassCode::new(1, 0, 0), 0)
        .interface(control)
        .interface(streaming.clone())
        .interface(
            streaming
                .alternate_setting(1)
                .endpoint(sound)
                .endpoint(feedback),
        )
        .interface(keys)
}

#[test]
fn a_composite_device_is_without_a_finding_at_every_speed_it_has() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        let device = Device::new(0x1209, 1).class(ClassCode::new(0xef, 2, 1));
        let mut run = device.to_bytes(speed).to_vec();
        run.extend(headset().to_bytes(speed).unwrap());
        assert_eq!(findings(&run, speed), Vec::<String>::new(), "{speed}");
    }
    assert!(headset().to_bytes(Speed::Low).is_err());
}

#[test]
fn what_the_linter_calls_an_error_is_refused_by_its_name() {
    let keys = Interface::new(0, ClassCode::new(3, 1, 1)).endpoint(Endpoint::interrupt(
        EndpointAddress::from_byte(0x81),
        8,
        64,
    ));
    let error = Configuration::new(1).interface(keys).to_bytes(Speed::Full);
    assert_eq!(
        error.unwrap_err().to_string(),
        "hid-missing: an interface of class HID has no HID descriptor (byte 9)"
    );
    let stray = Interface::new(0, ClassCode::new(0xff, 0, 0)).descriptor(&[3, 0x24]);
    assert!(stray.is_err());
}

#[test]
fn what_was_read_is_built_again() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        let bytes = headset().to_bytes(speed).unwrap();
        let read = usb_descriptors::Configuration::parse(&bytes).unwrap();
        assert_eq!(Configuration::read(&read, speed).to_bytes(speed), Ok(bytes));
    }
}

/// Not made by the builder: a mouse, a UAS disk that lacks its fourth pipe, a SuperSpeed disk.
#[rustfmt::skip]
const FOREIGN: &[(Speed, &[u8])] = &[
    (Speed::Full, &[
        9, 2, 34, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 3, 1, 2, 0,
        9, 0x21, 1, 0, 0, 1, 0x22, 52, 0, 7, 5, 0x81, 3, 4, 0, 10,
    ]),
    (Speed::High, &[
        9, 2, 53, 0, 1, 1, 0, 0xc0, 0, 9, 4, 0, 0, 4, 8, 6, 0x62, 0,
        7, 5, 1, 2, 0, 2, 0, 4, 0x24, 1, 0, 7, 5, 0x82, 2, 0, 2, 0, 4, 0x24, 2, 0,
        7, 5, 0x83, 2, 0, 2, 0, 4, 0x24, 3, 0,
    ]),
    (Speed::Super, &[
        9, 2, 44, 0, 1, 1, 0, 0x80, 13, 9, 4, 0, 0, 2, 8, 6, 0x50, 0,
        7, 5, 0x81, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0, 7, 5, 2, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0,
    ]),
];

#[test]
fn foreign_configurations_are_built_again() {
    let mut again = 0;
    for (speed, bytes) in FOREIGN {
        let mut errors = 0;
        lint(DeviceBytes::from_run(bytes), *speed, &mut |finding| {
            errors += usize::from(finding.rule.severity() == Severity::Error);
        });
        let read = usb_descriptors::Configuration::parse(bytes).unwrap();
        let built = Configuration::read(&read, *speed).to_bytes(*speed);
        if errors == 0 {
            assert_eq!(built.as_deref(), Ok(*bytes));
            again += 1;
        } else {
            assert!(built.is_err(), "{built:?}");
        }
    }
    // The one without its fourth pipe is refused.
    assert_eq!(again, 2);
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let address = any::<u8>().prop_map(EndpointAddress::from_byte);
    (address, packet_size(), any::<u32>(), any::<[u8; 6]>()).prop_map(
        |(address, size, interval, [kind, burst, packets, streams, sync, extra])| {
            let endpoint = match kind % 3 {
                0 => Endpoint::bulk(address).streams(streams),
                1 => Endpoint::interrupt(address, size, interval),
                _ => Endpoint::isochronous(address, size, interval).synchronization(
                    [
                        Synchronization::None,
                        Synchronization::Asynchronous,
                        Synchronization::Adaptive,
                        Synchronization::Synchronous,
                    ][usize::from(sync % 4)],
                ),
            };
            let endpoint = endpoint
                .packets_per_burst(burst)
                .packets_per_microframe(packets);
            if extra < 40 {
                endpoint.descriptor(&[4, 0x24, extra % 6, 0]).unwrap()
            } else if extra < 60 {
                endpoint.audio(extra, 0)
            } else {
                endpoint
            }
        },
    )
}

fn interface() -> impl Strategy<Value = Interface> {
    let class = prop_oneof![
        Just((0xff, 0, 0)),
        Just((3, 1, 1)),
        Just((8, 6, 0x50)),
        Just((8, 6, 0x62)),
        Just((1, 1, 0)),
        Just((2, 2, 1)),
    ];
    let descriptors = prop::collection::vec(
        prop_oneof![
            Just(vec![9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0]),
            Just(vec![5, 0x24, 6, 0, 1]),
            Just(vec![9, 0x24, 1, 0, 1, 9, 0, 1, 1]),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(|mut bytes| {
                bytes.insert(0, bytes.len() as u8 + 1);
                bytes
            }),
        ],
        0..3,
    );
    let endpoints = prop::collection::vec(endpoint(), 0..4);
    (0u8..4, 0u8..3, class, descriptors, endpoints).prop_map(
        |(number, alternate, (class, subclass, protocol), descriptors, endpoints)| {
            let class = ClassCode::new(class, subclass, protocol);
            let interface = Interface::new(number, class).alternate_setting(alternate);
            let interface = descriptors.iter().fold(interface, |interface, descriptor| {
                interface
                    .clone()
                    .descriptor(descriptor)
                    .unwrap_or(interface)
            });
            endpoints.into_iter().fold(interface, Interface::endpoint)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn nothing_is_built_that_the_linter_calls_an_error(
        value: u8,
        power in 0u16..1000,
        interfaces in prop::collection::vec(interface(), 0..4),
        association in prop::option::of((0u8..4, 0u8..4)),
    ) {
        let mut built = Configuration::new(value).max_power(power);
        if let Some((first, count)) = association {
            built = built.association(first, count, ClassCode::new(0xff, 0, 0), 0);
        }
        for interface in interfaces {
            built = built.interface(interface);
        }
        for speed in SPEEDS {
            let Ok(bytes) = built.to_bytes(speed) else {
                continue;
            };
            findings(&bytes, speed);
            let read = usb_descriptors::Configuration::parse(&bytes).unwrap();
            let again = Configuration::read(&read, speed).to_bytes(speed);
            prop_assert_eq!(again.as_ref(), Ok(&bytes));
            if let Ok(other) = built.to_other_speed_bytes(speed) {
                prop_assert_eq!(&other[2..], &bytes[2..]);
            }
        }
    }
}
