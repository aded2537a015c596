//! The steady state allocates nothing: all memory is the payloads'.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{BULK_IN, BULK_OUT, cbw, disk, read_10, write_10};
use bytes::Bytes;
use msc_bot::{
    BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, MassStorage, UasDevice,
};
use testkit::allocations;
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_transfer::{Function, Segments, Transfer, TransferIds, exchange};

#[global_allocator]
static ALLOCATOR: testkit::CountingAllocator = testkit::CountingAllocator;

struct Quiet {
    device: BotDevice,
    ids: TransferIds,
    payload: Bytes,
}

impl Quiet {
    fn command(&mut self, wrapper: &Bytes, direction: Direction, transfers: u32, length: u32) {
        let Self {
            device,
            ids,
            payload,
        } = self;
        device.submit(Transfer::data_out(ids.mint(), BULK_OUT, wrapper.clone()));
        for _ in 0..transfers {
            let piece = length / transfers;
            device.submit(match direction {
                Direction::In => Transfer::data_in(ids.mint(), BULK_IN, piece),
                Direction::Out => {
                    Transfer::data_out(ids.mint(), BULK_OUT, payload.slice(..piece as usize))
                }
            });
        }
        device.submit(Transfer::data_in(ids.mint(), BULK_IN, 13));
        while let Some(op) = device.poll_block() {
            let data = match op {
                BlockOp::Read { length, .. } => payload.slice(..length as usize).into(),
                _ => Segments::new(),
            };
            device.finish(op.token(), Ok(data));
        }
        let mut completions = 0;
        while device.poll().is_some() {
            completions += 1;
        }
        assert_eq!(completions, 2 + transfers);
    }
}

#[test]
fn a_command_allocates_nothing() {
    let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, 4096));
    let mut quiet = Quiet {
        device: BotDevice::new(BotOptions::new(Speed::High), [unit]).unwrap(),
        ids: TransferIds::default(),
        payload: Bytes::from(vec![1; 1 << 20]),
    };
    let _shared = quiet.payload.clone();
    let configure = SetupPacket::set_configuration(1);
    quiet
        .device
        .submit(Transfer::control_in(quiet.ids.mint(), configure));
    quiet.device.poll();
    let length = 120 * 1024;
    let cases: [(&str, &[u8], Direction, u32, u32); 6] = [
        ("READ(10)", &read_10(8, 240), Direction::In, 1, length),
        (
            "READ(10) in 30 transfers",
            &read_10(8, 240),
            Direction::In,
            30,
            length,
        ),
        ("WRITE(10)", &write_10(8, 240), Direction::Out, 1, length),
        (
            "WRITE(10) in 30 transfers",
            &write_10(8, 240),
            Direction::Out,
            30,
            length,
        ),
        (
            "SYNCHRONIZE CACHE",
            &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Direction::In,
            0,
            0,
        ),
        (
            "MODE SENSE",
            &[0x1a, 0, 0x3f, 0, 36, 0],
            Direction::In,
            1,
            36,
        ),
    ];
    for (name, command, direction, transfers, length) in cases {
        let wrapper = Bytes::from(cbw(1, length, direction, 0, command));
        let _shared = wrapper.clone();
        for _ in 0..10 {
            quiet.command(&wrapper, direction, transfers, length);
        }
        let (count, ()) = allocations(|| {
            for _ in 0..1000 {
                quiet.command(&wrapper, direction, transfers, length);
            }
        });
        assert_eq!(count, 0, "{name}");
    }
}

/// Eight reads, eight writes and a flush, to the end.
fn use_disk(host: &mut Initiator, device: &mut dyn MassStorage, payload: &Bytes) {
    let mut requests = 17;
    for lba in 0..8 {
        host.read(lba * 8, 8);
        host.write(lba * 8, payload.slice(..4096));
    }
    host.flush();
    while requests > 0 {
        exchange(host, &mut *device);
        while let Some((_, result)) = host.result() {
            result.unwrap();
            requests -= 1;
        }
        while let Some(op) = device.poll_block() {
            let data = match op {
                BlockOp::Read { length, .. } => payload.slice(..length as usize).into(),
                _ => Segments::new(),
            };
            device.finish(op.token(), Ok(data));
        }
    }
}

#[test]
fn a_request_to_an_initiator_allocates_nothing() {
    let payload = Bytes::from(vec![1; 1 << 20]);
    let _shared = payload.clone();
    for (name, speed) in [
        ("BOT", None),
        ("UAS", Some(Speed::High)),
        ("streams", Some(Speed::Super)),
    ] {
        let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, 4096));
        let mut device: Box<dyn MassStorage> = match speed {
            None => Box::new(BotDevice::new(BotOptions::new(Speed::High), [unit]).unwrap()),
            Some(speed) => Box::new(UasDevice::new(BotOptions::new(speed), [unit]).unwrap()),
        };
        let mut host = Initiator::with_streams(device.descriptors()).unwrap();
        assert_eq!(host.is_uas(), speed.is_some());
        for _ in 0..20 {
            use_disk(&mut host, &mut *device, &payload);
        }
        let (count, ()) = allocations(|| {
            for _ in 0..100 {
                use_disk(&mut host, &mut *device, &payload);
            }
        });
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn an_idle_disk_is_small() {
    let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, 4096));
    let device = BotDevice::new(BotOptions::new(Speed::High), [unit]).unwrap();
    assert!(size_of_val(&device) < 4096);
}
