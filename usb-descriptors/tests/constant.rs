//! The builder of constants makes what the other one makes, and refuses what that refuses, which
//! asks the linter.
#![cfg(feature = "alloc")]
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test that panics fails, and its numbers are small"
)]

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;

use common::{SPEEDS, packet_size};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use usb_descriptors::build::{self, BuildError, Synchronization, Usage, constant};
use usb_descriptors::{ClassCode, DescriptorType, EndpointAddress, Speed};

/// A headset: sound both ways with feedback, and keys.
const HEADSET: constant::Configuration<'_> =
    constant::Configuration::new(1).max_power(100).interfaces(&[
        constant::Interface::new(0, ClassCode::new(1, 1, 0))
            .association(2, ClassCode::new(1, 0, 0), 0)
            .descriptors(&[
                9, 0x24, 1, 0, 1, 30, 0, 1, 1, //
                12, 0x24, 2, 1, 1, 1, 0, 2, 3, 0, 0, 0, //
                9, 0x24, 3, 2, 1, 3, 0, 1, 0,
            ]),
        STREAM,
        STREAM.alternate_setting(1).endpoints(&[
            constant::Endpoint::isochronous(EndpointAddress::from_byte(0x01), 200, 8)
                .synchronization(Synchronization::Asynchronous)
                .audio(0, 0x81)
                .descriptors(&[7, 0x25, 1, 1, 0, 0, 0]),
            constant::Endpoint::isochronous(EndpointAddress::from_byte(0x81), 4, 8)
                .usage(Usage::Feedback)
                .audio(2, 0),
        ]),
        constant::Interface::new(2, ClassCode::new(3, 1, 1))
            .descriptors(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0])
            .endpoints(&[constant::Endpoint::interrupt(
                EndpointAddress::from_byte(0x82),
                8,
                64,
            )]),
    ]);
const STREAM: constant::Interface<'_> = constant::Interface::new(1, ClassCode::new(1, 2, 0));

static FULL: &[u8] = usb_descriptors::configuration!(HEADSET, Speed::Full);
static HIGH: &[u8] = usb_descriptors::configuration!(HEADSET, Speed::High);
static SUPER: &[u8] = usb_descriptors::configuration!(HEADSET, Speed::Super);

#[test]
fn a_composite_device_is_a_constant_at_every_speed_it_has() {
    for (speed, bytes) in [
        (Speed::Full, FULL),
        (Speed::High, HIGH),
        (Speed::Super, SUPER),
    ] {
        let parsed = usb_descriptors::Configuration::parse(bytes).unwrap();
        let again = build::Configuration::read(&parsed, speed).to_bytes(speed);
        assert_eq!(again.as_deref(), Ok(bytes), "{speed}");
    }
    let low: Result<[u8; 200], BuildError> = HEADSET.to_array(Speed::Low);
    assert!(matches!(low, Err(BuildError::TransferType { .. })));
}

#[test]
fn there_must_be_room_for_all_of_it() {
    let length = HEADSET.length(Speed::High);
    for room in 0..length {
        let mut bytes = vec![0; room];
        let written = HEADSET.write(DescriptorType::CONFIGURATION, Speed::High, &mut bytes);
        assert!(matches!(written, Err(BuildError::TooLong { .. })), "{room}");
        assert_eq!(bytes, vec![0; room], "nothing is written");
    }
    let mut more = vec![0; length + 3];
    let kind = DescriptorType::OTHER_SPEED_CONFIGURATION;
    assert_eq!(HEADSET.write(kind, Speed::High, &mut more), Ok(length));
    assert_eq!(more[1], 7);
    assert_eq!(more[2..length], HIGH[2..]);
}

/// What both builders are told.
#[derive(Clone, Debug)]
struct Description {
    value: u8,
    power: u16,
    interfaces: Vec<Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    number: u8,
    alternate: u8,
    class: ClassCode,
    descriptors: Vec<u8>,
    pipes: Vec<Pipe>,
}

#[derive(Clone, Debug)]
struct Pipe {
    kind: u8,
    address: EndpointAddress,
    size: u16,
    interval: u32,
    burst: u8,
    packets: u8,
    streams: u8,
    audio: bool,
    descriptors: Vec<u8>,
}

/// The same words for either kind of endpoint.
macro_rules! described {
    ($endpoint:ty, $pipe:expr) => {{
        let pipe: &Pipe = $pipe;
        let endpoint = match pipe.kind % 3 {
            0 => <$endpoint>::bulk(pipe.address),
            1 => <$endpoint>::interrupt(pipe.address, pipe.size, pipe.interval),
            _ => <$endpoint>::isochronous(pipe.address, pipe.size, pipe.interval)
                .synchronization(Synchronization::Adaptive),
        };
        let endpoint = endpoint
            .packets_per_burst(pipe.burst)
            .packets_per_microframe(pipe.packets)
            .streams(pipe.streams);
        if pipe.audio {
            endpoint.audio(0, 0)
        } else {
            endpoint
        }
    }};
}

impl Description {
    fn at_run_time(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        let mut built = build::Configuration::new(self.value).max_power(self.power);
        for setting in &self.interfaces {
            let mut interface = build::Interface::new(setting.number, setting.class)
                .alternate_setting(setting.alternate);
            if !setting.descriptors.is_empty() {
                interface = interface.descriptor(&setting.descriptors)?;
            }
            for pipe in &setting.pipes {
                let mut endpoint = described!(build::Endpoint, pipe);
                if !pipe.descriptors.is_empty() {
                    endpoint = endpoint.descriptor(&pipe.descriptors)?;
                }
                interface = interface.endpoint(endpoint);
            }
            built = built.interface(interface);
        }
        built.to_bytes(speed)
    }

    fn constant(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        let endpoints: Vec<Vec<_>> = (self.interfaces.iter())
            .map(|setting| {
                let pipes = setting.pipes.iter();
                pipes
                    .map(|pipe| {
                        described!(constant::Endpoint<'_>, pipe).descriptors(&pipe.descriptors)
                    })
                    .collect()
            })
            .collect();
        let interfaces: Vec<_> = (self.interfaces.iter().zip(&endpoints))
            .map(|(setting, endpoints)| {
                constant::Interface::new(setting.number, setting.class)
                    .alternate_setting(setting.alternate)
                    .descriptors(&setting.descriptors)
                    .endpoints(endpoints)
            })
            .collect();
        let built = constant::Configuration::new(self.value)
            .max_power(self.power)
            .interfaces(&interfaces);
        let mut bytes = vec![0; built.length(speed)];
        let length = built.write(DescriptorType::CONFIGURATION, speed, &mut bytes)?;
        assert_eq!(length, bytes.len());
        Ok(bytes)
    }
}

/// Descriptors of classes that mean something together, and some that never do.
fn descriptors() -> impl Strategy<Value = Vec<u8>> {
    let id = 1u8..5;
    let one = prop_oneof![
        (0u8..3, any::<u16>()).prop_map(|(kind, length)| {
            let [low, high] = (length % 5000).to_le_bytes();
            vec![9, 0x21, 0x11, 1, 0, 1, 0x22 + kind / 2, low, high]
        }),
        Just(vec![9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0]),
        (0u8..4, 0u8..4).prop_map(|(one, two)| vec![5, 0x24, 6, one, two]),
        (0u8..4).prop_map(|number| vec![9, 0x24, 1, 0, 1, 9, 0, 1, number]),
        id.clone()
            .prop_map(|id| vec![12, 0x24, 2, id, 1, 1, 0, 2, 3, 0, 0, 0]),
        (id.clone(), id.clone()).prop_map(|(id, from)| vec![9, 0x24, 3, id, 1, 3, 0, from, 0]),
        (id.clone(), id.clone(), id.clone())
            .prop_map(|(id, a, b)| vec![8, 0x24, 5, id, 2, a, b, 0]),
        // A clock, a terminal on it, and a selector of clocks, of audio class 2.
        id.clone()
            .prop_map(|id| vec![8, 0x24, 0x0a, id, 1, 0, 0, 0]),
        (id.clone(), 0u8..5).prop_map(|(id, clock)| {
            vec![17, 0x24, 2, id, 1, 1, 0, clock, 2, 0, 0, 0, 0, 0, 0, 0, 0]
        }),
        (id.clone(), id.clone()).prop_map(|(id, a)| vec![8, 0x24, 0x0b, id, 1, a, 0, 0]),
        // Jacks of MIDI.
        (id.clone(), id.clone()).prop_map(|(id, from)| vec![9, 0x24, 3, 1, id, 1, from, 1, 0]),
        // A size of MJPEG with one interval.
        (0u8..3).prop_map(|count| {
            let mut frame = vec![0; 30];
            frame[..3].copy_from_slice(&[30, 0x24, 7]);
            frame[25] = count;
            frame
        }),
        (0u8..6).prop_map(|pipe| vec![4, 0x24, pipe, 0]),
        Just(vec![8, 0x31, 0, 0, 0, 4, 0, 0]),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(|mut bytes| {
            bytes.insert(0, bytes.len() as u8 + 1);
            bytes
        }),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    // What never means anything is rare.
    prop_oneof![
        1 => one.clone().boxed(),
        6 => prop::collection::vec(one, 0..5)
            .prop_map(|all| all.into_iter().filter(|each| each[0] as usize == each.len()).collect::<Vec<_>>().concat())
            .boxed(),
    ]
}

fn pipe() -> impl Strategy<Value = Pipe> {
    let streams = prop_oneof![4 => Just(0u8), 1 => 0u8..6];
    let behind = prop_oneof![
        3 => Just(Vec::new()).boxed(),
        3 => (1u8..5).prop_map(|pipe| vec![4, 0x24, pipe, 0]).boxed(),
        1 => descriptors().boxed(),
    ];
    (
        any::<[u8; 4]>(),
        0u8..8,
        packet_size(),
        any::<u32>(),
        streams,
        behind,
    )
        .prop_map(
            |([kind, burst, packets, audio], number, size, interval, streams, descriptors)| Pipe {
                kind,
                address: EndpointAddress::from_byte(((number & 3) + 1) | ((number & 4) << 5)),
                size,
                interval,
                burst,
                packets,
                streams,
                audio: audio < 40,
                descriptors,
            },
        )
}

fn setting() -> impl Strategy<Value = Setting> {
    let class = prop_oneof![
        Just((0xff, 0, 0)),
        Just((3, 1, 1)),
        Just((8, 6, 0x50)),
        Just((8, 6, 0x62)),
        Just((1, 1, 0)),
        Just((1, 1, 0x20)),
        Just((1, 3, 0)),
        Just((0x0e, 1, 0)),
        Just((0x0e, 2, 0)),
        Just((2, 2, 1)),
    ];
    let pipes = prop::collection::vec(pipe(), 0..5);
    (0u8..3, 0u8..3, class, descriptors(), pipes).prop_map(
        |(number, alternate, (class, subclass, protocol), descriptors, pipes)| Setting {
            number,
            alternate,
            class: ClassCode::new(class, subclass, protocol),
            descriptors,
            pipes,
        },
    )
}

/// Each rule that a constant can break is broken, and each class is also described well.
#[test]
fn both_builders_make_and_refuse_the_same() {
    let value = prop_oneof![9 => Just(1u8), 1 => Just(0)];
    let description = (value, 0u16..600, prop::collection::vec(setting(), 0..3)).prop_map(
        |(value, power, interfaces)| Description {
            value,
            power,
            interfaces,
        },
    );
    let (made, refused) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(4000), rng);
    let judge = |description: Description| {
        for speed in SPEEDS {
            match (description.at_run_time(speed), description.constant(speed)) {
                (Ok(one), Ok(other)) => {
                    prop_assert_eq!(one, other, "{}", speed);
                    let described = description.interfaces.iter();
                    let described = described.filter(|each| !each.descriptors.is_empty());
                    made.borrow_mut()
                        .extend(described.map(|each| (each.class.class, each.class.subclass)));
                }
                (Err(_), Err(error)) => {
                    if let BuildError::Lint { rule, .. } = error {
                        refused.borrow_mut().insert(rule.id());
                    }
                }
                (one, other) => prop_assert!(false, "{speed}: {one:?}, {other:?}"),
            }
        }
        Ok(())
    };
    if let Err(error) = runner.run(&description, judge) {
        panic!("{error}");
    }
    let rules = [
        "bot-endpoints",
        "companion-mult",
        "entity-cycle",
        "entity-duplicate",
        "entity-source",
        "frame-intervals",
        "header-interfaces",
        "hid-missing",
        "hid-report-length",
        "length-too-short",
        "pipe-usage",
        "plus-companion",
        "union-absent",
    ];
    assert_eq!(refused.into_inner(), BTreeSet::from(rules));
    let classes = [
        (1, 1),
        (1, 3),
        (2, 2),
        (3, 1),
        (8, 6),
        (0x0e, 1),
        (0x0e, 2),
        (0xff, 0),
    ];
    assert_eq!(made.into_inner(), BTreeSet::from(classes));
}
