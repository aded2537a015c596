//! What host and device may mean by a data phase, with either policy for data that is short.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, Csw, cbw, disk, read_10, write_10};
use msc_bot::{
    BlockError, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, ScsiError, ShortIn,
    UnitOptions,
};
use usb_descriptors::Direction::{self, In, Out};
use usb_descriptors::Speed;
use usb_transfer::Status;

const READY: [u8; 6] = [0; 6];

fn small() -> UnitOptions {
    disk(BlockSize::BYTES_512, 64)
}

/// One of the thirteen cases.
struct Case {
    number: u8,
    command: Vec<u8>,
    direction: Direction,
    length: u32,
    residue: u32,
    status: u8,
    /// Operations at the store.
    ops: usize,
}

/// BOT 1.0, table 6.1.
fn cases() -> impl Iterator<Item = Case> {
    let (read_1, read_2) = (read_10(1, 1), read_10(1, 2));
    let (write_1, write_2) = (write_10(1, 1), write_10(1, 2));
    // Number, command, direction, DTL, residue, status, operations at the store.
    let cases: [(u8, &[u8], _, u32, u32, u8, usize); 15] = [
        (1, &READY, In, 0, 0, 0, 0),
        (2, &read_1, In, 0, 0, 2, 0),
        (3, &write_1, Out, 0, 0, 2, 0),
        (4, &READY, In, 512, 512, 0, 0),
        (5, &read_1, In, 1024, 512, 0, 1),
        (6, &read_1, In, 512, 0, 0, 1),
        (7, &read_2, In, 512, 512, 2, 0),
        (8, &write_1, In, 512, 512, 2, 0),
        (9, &READY, Out, 512, 512, 0, 0),
        (10, &read_1, Out, 512, 512, 2, 0),
        (11, &write_1, Out, 1024, 512, 0, 1),
        (12, &write_1, Out, 512, 0, 0, 1),
        (13, &write_2, Out, 512, 512, 2, 0),
        // A command that fails has no data phase of its own: 4 and 9.
        (4, &[0xff; 6], In, 512, 512, 1, 0),
        (9, &[0xff; 6], Out, 512, 512, 1, 0),
    ];
    cases
        .map(
            |(number, command, direction, length, residue, status, ops)| Case {
                number,
                command: command.to_vec(),
                direction,
                length,
                residue,
                status,
                ops,
            },
        )
        .into_iter()
}

impl Case {
    /// What the device has for the host.
    fn relevant(&self) -> usize {
        (self.length - self.residue) as usize
    }

    fn assert_out(&self, bench: &mut Bench) {
        let before = bench.stores[0].disk.clone();
        let data = vec![0xa5; self.length as usize];
        let found = bench.command_out(&self.command, &data);
        let written = if self.ops > 0 { 512 } else { 0 };
        let disk = &bench.stores[0].disk;
        assert_eq!(disk[512..512 + written], data[..written], "{}", self.number);
        assert_eq!(
            disk[512 + written..],
            before[512 + written..],
            "{}",
            self.number
        );
        assert_eq!(found, (self.status, self.residue), "{}", self.number);
    }
}

#[test]
fn data_is_padded_and_swallowed() {
    for case in cases() {
        let mut bench = Bench::new(small());
        if case.direction == Out {
            case.assert_out(&mut bench);
        } else {
            let (data, status, residue) = bench.command_in(&case.command, case.length);
            let (relevant, padding) = data.split_at(case.relevant());
            let disk = &bench.stores[0].disk[512..];
            assert_eq!(relevant, &disk[..relevant.len()], "{}", case.number);
            assert!(padding.iter().all(|byte| *byte == 0), "{}", case.number);
            assert_eq!(
                (status, residue),
                (case.status, case.residue),
                "{}",
                case.number
            );
        }
        assert_eq!(bench.stores[0].ops, case.ops, "{}", case.number);
        bench.assert_fresh();
    }
}

/// BOT 1.0, 6.7.2: the same with the policy "stall IN". What is short ends short, then the endpoint
/// halts, also for a status that was asked for early, which waits until the host has cleared it.
#[test]
fn what_is_short_stalls() {
    for (case, early) in [false, true]
        .map(|early| cases().map(move |case| (case, early)))
        .into_iter()
        .flatten()
    {
        let mut bench = Bench::stalling(small());
        let name = format!("case {}, early: {early}", case.number);
        if case.direction == Out {
            case.assert_out(&mut bench);
        } else {
            let data = bench.stores[0].disk[512..][..case.relevant()].to_vec();
            let ask = |bench: &mut Bench| {
                let data = (case.length > 0).then(|| bench.post_in(case.length));
                (data, bench.post_in(13))
            };
            let asked = early.then(|| ask(&mut bench));
            bench.send(&cbw(7, case.length, In, 0, &case.command));
            assert_eq!(
                bench.is_halted(0x81),
                case.residue > 0 && (early || data.is_empty()),
                "{name}"
            );
            let (first, second) = asked.unwrap_or_else(|| ask(&mut bench));
            match first {
                Some(id) if data.is_empty() => {
                    assert_eq!(bench.status(id), Status::STALL, "{name}")
                }
                Some(id) => assert_eq!(bench.data(id)[..], data, "{name}"),
                None => {}
            }
            let status = if case.residue == 0 {
                bench.csw_of(second)
            } else {
                assert_eq!(bench.status(second), Status::STALL, "{name}");
                assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
                bench.csw()
            };
            let expected = Csw {
                tag: 7,
                residue: case.residue,
                status: case.status,
            };
            assert_eq!(status, expected, "{name}");
        }
        assert_eq!(bench.stores[0].ops, case.ops, "{name}");
        bench.assert_fresh();
    }
}

/// The halt comes with the end of the data, so that a host may clear it without having met it.
#[test]
fn what_is_short_halts_at_once() {
    let mut bench = Bench::stalling(small());
    bench.send(&cbw(7, 1024, In, 0, &read_10(1, 1)));
    // In pieces, the last of which is full.
    for _ in 0..2 {
        assert!(!bench.is_halted(0x81));
        let id = bench.post_in(256);
        assert_eq!(bench.data(id).len(), 256);
    }
    assert!(bench.is_halted(0x81));
    assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
    assert_eq!((bench.csw().residue, bench.is_halted(0x81)), (512, false));
    // A reset of the transport drops the status, and keeps the halt (BOT 1.0, 3.1).
    bench.send(&cbw(8, 512, In, 0, &READY));
    assert_eq!(bench.transport_reset(), Status::COMPLETED);
    assert!(bench.is_halted(0x81));
    assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
    bench.assert_fresh();
}

/// Our own host takes what is short either way.
#[test]
fn the_initiator_reads_from_a_device_that_stalls() {
    let options = BotOptions::new(Speed::High).short_in(ShortIn::Stall);
    let mut device = BotDevice::new(options, [LogicalUnit::new(small())]).unwrap();
    let mut stores = [bench::Store::new(bench::pattern(64 * 512))];
    let mut host = Initiator::new(device.descriptors()).unwrap();
    // A read that fails in the middle, then one that does not.
    stores[0].failures = vec![BlockError::Medium { offset: 512 }];
    host.read(0, 4);
    host.read(0, 4);
    let (_, failed) = bench::result(&mut host, &mut device, &mut stores).unwrap();
    assert!(matches!(failed, Err(ScsiError::Sense(_))), "{failed:?}");
    let (_, data) = bench::result(&mut host, &mut device, &mut stores).unwrap();
    assert_eq!(data.unwrap().to_bytes(), stores[0].disk[..2048]);
    assert_eq!(host.unit().unwrap().blocks, 64);
}
