//! The initiator against the device, and against devices that misbehave.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Store, disk, pattern, result};
use bytes::Bytes;
use msc_bot::{
    BlockError, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, Lun, ScsiError, Sense,
};
use proptest::prelude::*;
use usb_descriptors::{Direction, Speed};
use usb_transfer::{Frontend, Function, FunctionEvent, HostEvent, Transfer, TransferId, exchange};

fn pair(speed: Speed, size: BlockSize, blocks: u64) -> (Initiator, BotDevice, Vec<Store>) {
    let unit = LogicalUnit::new(disk(size, blocks));
    let device = BotDevice::new(BotOptions::new(speed), [unit]).unwrap();
    let host = Initiator::new(device.descriptors()).unwrap();
    let bytes = usize::try_from(blocks * u64::from(size.get())).unwrap();
    (host, device, vec![Store::new(pattern(bytes))])
}

#[test]
fn a_whole_disk_is_read_at_every_speed_and_size() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        for size in [
            BlockSize::BYTES_512,
            BlockSize::BYTES_2048,
            BlockSize::BYTES_4096,
        ] {
            let (mut host, mut device, mut stores) = pair(speed, size, 999);
            let ticket = host.read(0, 999);
            let (done, data) = result(&mut host, &mut device, &mut stores).unwrap();
            assert_eq!(done, ticket);
            assert_eq!(data.unwrap().to_bytes(), stores[0].disk);
            let unit = host.unit().unwrap();
            assert_eq!((unit.blocks, unit.block_size), (999, size.get()));
            assert_eq!((&*unit.vendor, &*unit.product), ("Vendor", "Product"));
            assert_eq!((unit.units, unit.removable), (1, true));
            assert_eq!(host.error(), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Reads, writes and flushes do what they do to an array of bytes.
    #[test]
    fn it_is_an_array_of_bytes(
        large: bool,
        requests in prop::collection::vec((0u8..5, 0u64..600, 0u32..600, any::<u8>()), 1..40),
    ) {
        let size = if large { BlockSize::BYTES_4096 } else { BlockSize::BYTES_512 };
        let (mut host, mut device, mut stores) = pair(Speed::High, size, 512);
        let mut model = stores[0].disk.clone();
        let bytes = size.get() as usize;
        for (kind, lba, blocks, fill) in requests {
            let start = usize::try_from(lba).unwrap() * bytes;
            let range = start..start + blocks as usize * bytes;
            let out_of_range = blocks > 0 && range.end > model.len();
            let ticket = match kind {
                0 => host.flush(),
                1 | 2 => host.read(lba, blocks),
                _ => host.write(lba, Bytes::from(vec![fill; range.len()])),
            };
            let (done, outcome) = result(&mut host, &mut device, &mut stores).unwrap();
            prop_assert_eq!(done, ticket);
            match kind {
                0 => prop_assert_eq!(outcome.unwrap().len(), 0),
                _ if out_of_range => {
                    prop_assert_eq!(outcome, Err(ScsiError::Sense(Sense::LBA_OUT_OF_RANGE)));
                    // What comes before the part that is out of range may be done.
                    model.clone_from(&stores[0].disk);
                }
                1 | 2 => {
                    let outcome = outcome.unwrap().to_bytes();
                    prop_assert_eq!(&outcome[..], model.get(range).unwrap_or(&[]));
                }
                _ => {
                    prop_assert_eq!(outcome.unwrap().len(), 0);
                    if blocks > 0 {
                        model[range].fill(fill);
                    }
                    prop_assert!(model == stores[0].disk);
                }
            }
        }
    }
}

#[test]
fn requests_wait_for_each_other_and_for_the_start() {
    let (mut host, mut device, mut stores) = pair(Speed::High, BlockSize::BYTES_512, 64);
    let written = host.write(2, Bytes::from(vec![1; 1024]));
    let read = host.read(1, 4);
    let flushed = host.flush();
    let odd = host.write(0, Bytes::from(vec![1; 100]));
    let mut results = Vec::new();
    while let Some(each) = result(&mut host, &mut device, &mut stores) {
        results.push(each);
    }
    let tickets: Vec<_> = results.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(tickets, [written, read, flushed, odd]);
    assert_eq!(
        results[1].1.as_ref().unwrap().to_bytes()[512..1536],
        [1; 1024]
    );
    assert_eq!(stores[0].flushes, 1);
    let odd = results[3].1.as_ref().unwrap_err();
    assert_eq!(odd.to_string(), "100 bytes are not whole blocks of 512");
}

#[test]
fn errors_of_the_store_come_with_their_place() {
    let (mut host, mut device, mut stores) = pair(Speed::High, BlockSize::BYTES_512, 64);
    host.read(0, 1);
    let _ = result(&mut host, &mut device, &mut stores);
    let cases = [
        (
            BlockError::Medium {
                offset: 5 * 512 + 7,
            },
            Sense::READ_ERROR.with_information(5),
        ),
        (
            BlockError::Medium { offset: 0 },
            Sense::READ_ERROR.with_information(4),
        ),
        (BlockError::Hardware, Sense::INTERNAL_FAILURE),
    ];
    for (error, sense) in cases {
        stores[0].failures.push(error);
        host.read(4, 4);
        let (_, outcome) = result(&mut host, &mut device, &mut stores).unwrap();
        assert_eq!(outcome, Err(ScsiError::Sense(sense)));
    }
    let cases = [
        (
            BlockError::Medium { offset: 6 * 512 },
            Sense::WRITE_ERROR.with_information(6),
        ),
        (BlockError::NoSpace, Sense::SPACE_ALLOCATION_FAILED),
        (BlockError::WriteProtected, Sense::WRITE_PROTECTED),
    ];
    for (error, sense) in cases {
        stores[0].failures.push(error);
        host.write(4, Bytes::from(vec![0; 2048]));
        let (_, outcome) = result(&mut host, &mut device, &mut stores).unwrap();
        assert_eq!(outcome, Err(ScsiError::Sense(sense)));
    }
    host.read(0, 64);
    assert!(
        result(&mut host, &mut device, &mut stores)
            .unwrap()
            .1
            .is_ok()
    );
}

#[test]
fn a_disk_above_two_tebibytes_is_known_and_read() {
    let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, 1 << 33));
    let mut device = BotDevice::new(BotOptions::new(Speed::Super), [unit]).unwrap();
    let mut host = Initiator::new(device.descriptors()).unwrap();
    host.read((1 << 33) - 1, 1);
    exchange(&mut host, &mut device);
    assert_eq!(host.unit().unwrap().capacity(), 1 << 42);
    let op = device.poll_block().unwrap();
    let msc_bot::BlockOp::Read {
        token,
        offset,
        length,
        ..
    } = op
    else {
        panic!("{op:?}")
    };
    assert_eq!((offset, length), ((1 << 42) - 512, 512));
    device.finish(token, Ok(vec![3; 512].into()));
    exchange(&mut host, &mut device);
    assert_eq!(host.result().unwrap().1.unwrap().to_bytes(), vec![3; 512]);
}

#[test]
fn nothing_is_submitted_after_the_close() {
    let (mut host, mut device, _) = pair(Speed::High, BlockSize::BYTES_512, 64);
    exchange(&mut host, &mut device);
    host.read(0, 1);
    assert!(matches!(host.poll(), Some(HostEvent::Submit(_))));
    host.close();
    assert_eq!(host.poll(), Some(HostEvent::Reset));
    assert_eq!(host.poll(), None);
    assert_eq!(host.pending(), 1, "the one that was submitted");
}

#[test]
fn closing_ends_all_and_leaves_the_device_free() {
    let (mut host, mut device, mut stores) = pair(Speed::High, BlockSize::BYTES_512, 64);
    let first = host.read(0, 1);
    let second = host.read(0, 1);
    exchange(&mut host, &mut device);
    assert!(host.pending() > 0, "the store has not answered");
    host.close();
    exchange(&mut host, &mut device);
    assert_eq!(host.pending(), 0);
    for ticket in [first, second] {
        let (done, outcome) = host.result().unwrap();
        assert_eq!(done, ticket);
        assert!(matches!(outcome, Err(ScsiError::Device(_))));
    }
    host.flush();
    assert!(host.result().unwrap().1.is_err());
    // The operation of before is still out; another host waits for it.
    let stale = device.poll_block();
    assert_eq!(stale, None, "it was dropped");
    let mut host = Initiator::new(device.descriptors()).unwrap();
    host.read(3, 1);
    let (_, data) = result(&mut host, &mut device, &mut stores).unwrap();
    assert_eq!(data.unwrap().to_bytes()[..], stores[0].disk[1536..2048]);
}

/// What QEMU's device cannot have: a second transfer queued on the IN endpoint.
struct OneIn {
    device: BotDevice,
    pending: Vec<TransferId>,
    /// The most there were.
    most: usize,
}

impl Function for OneIn {
    fn submit(&mut self, transfer: Transfer) {
        if transfer.endpoint.number() != 0 && transfer.payload.direction() == Direction::In {
            self.pending.push(transfer.id);
            self.most = self.most.max(self.pending.len());
        }
        self.device.submit(transfer);
    }
    fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
    }
    fn reset(&mut self) {
        self.device.reset();
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        let event = self.device.poll()?;
        if let FunctionEvent::Complete(completion) = &event {
            self.pending.retain(|id| *id != completion.id);
        }
        Some(event)
    }
}

#[test]
fn a_disk_of_qemu_is_asked_for_its_status_at_last() {
    for (vendor, product, most) in [(0x46f4, 1, 1), (0x46f4, 2, 2), (0x1209, 1, 2)] {
        let options = BotOptions::new(Speed::High);
        let options = options.vendor_id(vendor).product_id(product);
        let unit = LogicalUnit::new(disk(BlockSize::BYTES_512, 64));
        let device = BotDevice::new(options, [unit]).unwrap();
        let mut host = Initiator::new(device.descriptors()).unwrap();
        let mut store = Store::new(pattern(64 * 512));
        let mut device = OneIn {
            device,
            pending: Vec::new(),
            most: 0,
        };
        host.write(1, Bytes::from(vec![7; 1024]));
        host.read(0, 64);
        let mut results = Vec::new();
        while results.len() < 2 {
            exchange(&mut host, &mut device);
            results.extend(host.result());
            if let Some(op) = device.device.poll_block() {
                let done = store.serve(&op);
                device.device.finish(op.token(), done);
            }
        }
        let (_, data) = results.pop().unwrap();
        assert_eq!(data.unwrap().to_bytes(), store.disk);
        assert_eq!(device.most, most);
    }
}

#[test]
fn all_that_happened_to_a_disk_is_told_and_the_request_done() {
    let (mut host, mut device, mut stores) = pair(Speed::High, BlockSize::BYTES_512, 64);
    host.read(0, 1);
    assert!(
        result(&mut host, &mut device, &mut stores)
            .unwrap()
            .1
            .is_ok()
    );
    device.insert(Lun::ZERO, 64, false);
    device.resize(Lun::ZERO, 60);
    device.write_protect(Lun::ZERO, true);
    host.read(0, 1);
    assert!(
        result(&mut host, &mut device, &mut stores)
            .unwrap()
            .1
            .is_ok()
    );
    // So too while another host gets to know it, which resets it first.
    host.close();
    exchange(&mut host, &mut device);
    device.insert(Lun::ZERO, 64, false);
    device.resize(Lun::ZERO, 60);
    device.write_protect(Lun::ZERO, true);
    let mut host = Initiator::new(device.descriptors()).unwrap();
    host.read(0, 1);
    assert!(
        result(&mut host, &mut device, &mut stores)
            .unwrap()
            .1
            .is_ok()
    );
}
