//! How long a disk takes over a link of 20 ms: counted, not measured. Client and server of USB/IP
//! are real, and so is every byte between them; the time is a number.
#![allow(
    clippy::pedantic,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use msc_bot::{BlockOp, BlockSize, BotOptions, Initiator, LogicalUnit, UasDevice, UnitOptions};
use usb_descriptors::Speed;
use usb_transfer::{Segments, Step, TxQueue, Wire, exchange};
use usbip_proto::{DeviceId, Limits, client, server};

/// From one end to the other, in nanoseconds: a round trip takes 20 ms.
const ONE_WAY: u64 = 10_000_000;
/// A gigabit a second.
const PER_BYTE: u64 = 8;

const BLOCK: usize = 512;
/// 32 MiB.
const BLOCKS: usize = 65_536;
/// What is asked for at once, in blocks: 1 MiB, like `usbip-client read`.
const PIECE: usize = 2048;

/// One direction of the link: what is under way, and when it is there.
#[derive(Default)]
struct Way {
    under_way: VecDeque<(u64, Bytes)>,
    /// When the last byte has left.
    is_free: u64,
}

impl Way {
    fn take(&mut self, now: u64, tx: &mut TxQueue) {
        if tx.has_remaining() {
            let bytes = tx.copy_to_bytes(tx.remaining());
            self.is_free = self.is_free.max(now) + bytes.len() as u64 * PER_BYTE;
            self.under_way.push_back((self.is_free + ONE_WAY, bytes));
        }
    }

    fn give(&mut self, now: u64, rx: &mut BytesMut) {
        while self.next().is_some_and(|then| then <= now) {
            let (_, bytes) = self.under_way.pop_front().expect("there is one");
            rx.extend_from_slice(&bytes);
        }
    }

    fn next(&self) -> Option<u64> {
        self.under_way.front().map(|(then, _)| *then)
    }
}

/// The device with its store, which answers at once.
struct Disk {
    device: UasDevice,
    content: Vec<u8>,
}

impl Disk {
    fn serve(&mut self) -> bool {
        let Some(op) = self.device.poll_block() else {
            return false;
        };
        let mut answer = Segments::new();
        match &op {
            BlockOp::Read { offset, length, .. } => {
                let data = &self.content[*offset as usize..][..*length as usize];
                answer = Bytes::copy_from_slice(data).into();
            }
            BlockOp::Write { offset, data, .. } => {
                self.content[*offset as usize..][..data.len()].copy_from_slice(data);
            }
            _ => {}
        }
        self.device.finish(op.token(), Ok(answer));
        true
    }
}

/// Lets a machine take what has come, and work, until it is quiet.
fn turn<W: Wire>(wire: &mut W, rx: &mut BytesMut, mut work: impl FnMut(&mut W) -> bool)
where
    W::Error: std::fmt::Debug,
{
    loop {
        let step = wire.receive(rx).expect("both follow the protocol");
        let is_quiet = !work(wire);
        if is_quiet && matches!(step, Step::Io(_)) {
            return;
        }
    }
}

struct World {
    host: Initiator,
    client: client::Session,
    server: server::Session,
    disk: Disk,
    rx_client: BytesMut,
    rx_server: BytesMut,
    there: Way,
    back: Way,
    now: u64,
}

impl World {
    fn new(uas: bool) -> Self {
        let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, BLOCKS as u64));
        let device = UasDevice::new(BotOptions::new(Speed::High), [unit]).expect("a disk");
        let host = if uas {
            Initiator::new(device.descriptors())
        } else {
            Initiator::bulk_only(device.descriptors())
        };
        let word = |at: usize| (at as u32).wrapping_mul(0x9e37_79b9).to_le_bytes();
        let id = DeviceId::default();
        let mut world = Self {
            host: host.expect("a disk"),
            client: client::Session::new(id, Speed::High, Limits::default()),
            server: server::Session::new(id, Speed::High, Limits::default()),
            disk: Disk {
                device,
                content: (0..BLOCKS * BLOCK / 4).flat_map(word).collect(),
            },
            rx_client: BytesMut::new(),
            rx_server: BytesMut::new(),
            there: Way::default(),
            back: Way::default(),
            now: 0,
        };
        assert_eq!(world.host.is_uas(), uas);
        // What comes once does not count.
        world.host.read(0, 1);
        world.results(1);
        world.now = 0;
        (world.there.is_free, world.back.is_free) = (0, 0);
        world
    }

    fn results(&mut self, count: usize) -> Vec<Segments> {
        let mut results = Vec::new();
        while results.len() < count {
            let host = &mut self.host;
            self.back.give(self.now, &mut self.rx_client);
            turn(&mut self.client, &mut self.rx_client, |client| {
                let before = results.len();
                exchange(host, client);
                while let Some((_, result)) = host.result() {
                    results.push(result.expect("it works"));
                }
                results.len() > before
            });
            self.there.take(self.now, self.client.tx());
            let disk = &mut self.disk;
            self.there.give(self.now, &mut self.rx_server);
            turn(&mut self.server, &mut self.rx_server, |server| {
                exchange(server, &mut disk.device);
                disk.serve()
            });
            self.back.take(self.now, self.server.tx());
            if results.len() < count {
                let next = self.there.next().into_iter().chain(self.back.next()).min();
                self.now = next.expect("something is under way");
            }
        }
        results
    }

    /// Reads the disk as `usbip-client` does, some pieces ahead; microseconds.
    fn read(&mut self, ahead: usize) -> u64 {
        let mut next = 0;
        let mut content = Vec::new();
        for _ in 0..ahead {
            self.host.read(next as u64, PIECE as u32);
            next += PIECE;
        }
        while content.len() < BLOCKS * BLOCK {
            for data in self.results(1) {
                content.extend_from_slice(&data.to_bytes());
                if next < BLOCKS {
                    self.host.read(next as u64, PIECE as u32);
                    next += PIECE;
                }
            }
        }
        assert!(content == self.disk.content);
        self.now / 1000
    }

    fn write(&mut self) -> u64 {
        let data = Bytes::from(vec![0x5a; PIECE * BLOCK]);
        for lba in (0..BLOCKS).step_by(PIECE) {
            self.host.write(lba as u64, data.clone());
        }
        self.host.flush();
        self.results(BLOCKS / PIECE + 1);
        assert!(self.disk.content.iter().all(|byte| *byte == 0x5a));
        self.now / 1000
    }
}

#[test]
fn uas_reads_at_least_five_times_as_fast_as_bulk_only() {
    let [bot, uas] = [false, true].map(|uas| World::new(uas).read(8));
    println!("32 MiB read: {bot} us by BOT, {uas} us by UAS");
    assert!(bot >= 5 * uas, "{bot} us by BOT, {uas} us by UAS");
}

#[test]
fn uas_writes_in_less_time_too() {
    let [bot, uas] = [false, true].map(|uas| World::new(uas).write());
    println!("32 MiB written: {bot} us by BOT, {uas} us by UAS");
    assert!(bot >= 2 * uas, "{bot} us by BOT, {uas} us by UAS");
}

/// That a transfer waits for nothing but the link: the clock is right.
#[test]
fn one_block_takes_one_round_trip() {
    for uas in [false, true] {
        let mut world = World::new(uas);
        world.host.read(7, 1);
        world.results(1);
        let floor = 2 * ONE_WAY;
        assert!(
            (floor..floor + 100_000).contains(&world.now),
            "{} ns",
            world.now
        );
    }
}
