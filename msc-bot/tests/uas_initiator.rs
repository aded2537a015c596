//! The initiator by USB Attached SCSI: against the device, whatever the order in which things
//! happen, and against devices that misbehave.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use std::collections::VecDeque;

use bench::{Store, disk, pattern};
use bytes::Bytes;
use msc_bot::{
    BlockError, BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, Lun,
    NoMassStorage, ScsiError, Sense, Ticket, UasDevice,
};
use proptest::prelude::*;
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{
    Actual, Completion, Frontend, Function, FunctionEvent, HostEvent, Kind, Payload, Segments,
    Status, Transfer, TransferId, exchange,
};

const COMMAND: EndpointAddress = EndpointAddress::from_byte(0x04);
const STATUS: EndpointAddress = EndpointAddress::from_byte(0x83);
const DATA_IN: EndpointAddress = EndpointAddress::from_byte(0x81);

fn pair(speed: Speed, size: BlockSize, blocks: u64) -> (Initiator, UasDevice, Store) {
    let unit = || LogicalUnit::new(disk(size, blocks));
    let device = UasDevice::new(BotOptions::new(speed), [unit(), unit()]).unwrap();
    let host = Initiator::with_streams(device.descriptors()).unwrap();
    let bytes = usize::try_from(blocks * u64::from(size.get())).unwrap();
    (host, device, Store::new(pattern(bytes)))
}

fn serve(device: &mut UasDevice, store: &mut Store) -> bool {
    let Some(op) = device.poll_block() else {
        return false;
    };
    let result = store.serve(&op);
    device.finish(op.token(), result);
    true
}

fn results(
    host: &mut Initiator,
    device: &mut UasDevice,
    store: &mut Store,
) -> Vec<(Ticket, Result<Segments, ScsiError>)> {
    let mut results = Vec::new();
    loop {
        exchange(host, device);
        results.extend(std::iter::from_fn(|| host.result()));
        if !serve(device, store) {
            return results;
        }
    }
}

#[test]
fn a_whole_disk_is_read_with_and_without_streams() {
    for speed in [Speed::Full, Speed::High, Speed::Super] {
        for size in [BlockSize::BYTES_512, BlockSize::BYTES_4096] {
            let (mut host, mut device, mut store) = pair(speed, size, 2999);
            assert!(host.is_uas());
            let ticket = host.read(0, 2999);
            let mut results = results(&mut host, &mut device, &mut store);
            let (done, data) = results.remove(0);
            assert_eq!((done, results.len()), (ticket, 0));
            assert!(data.unwrap().to_bytes() == store.disk);
            let unit = host.unit().unwrap();
            assert_eq!((unit.blocks, unit.block_size), (2999, size.get()));
            assert_eq!((&*unit.product, unit.units), ("Product", 2));
            assert_eq!(host.error(), None);
        }
    }
}

#[test]
fn the_transport_is_what_device_and_function_can_do() {
    let unit = || LogicalUnit::new(disk(BlockSize::BYTES_512, 64));
    for (speed, without_streams) in [(Speed::High, true), (Speed::Super, false)] {
        let uas = UasDevice::new(BotOptions::new(speed), [unit()]).unwrap();
        let descriptors = uas.descriptors();
        let is_uas = |host: Result<Initiator, NoMassStorage>| host.map(|host| host.is_uas());
        assert_eq!(is_uas(Initiator::new(descriptors)), Ok(without_streams));
        assert_eq!(is_uas(Initiator::with_streams(descriptors)), Ok(true));
        assert_eq!(is_uas(Initiator::bulk_only(descriptors)), Ok(false));
        let bot = BotDevice::new(BotOptions::new(speed), [unit()]).unwrap();
        assert_eq!(
            is_uas(Initiator::with_streams(bot.descriptors())),
            Ok(false)
        );
    }
}

#[test]
fn many_commands_are_under_way_at_once() {
    for (speed, tasks) in [(Speed::High, 32), (Speed::Super, 31)] {
        let (mut host, mut device, mut store) = pair(speed, BlockSize::BYTES_512, 4096);
        host.read(0, 1);
        assert_eq!(results(&mut host, &mut device, &mut store).len(), 1);
        for lba in 0..100 {
            host.read(lba, 1);
        }
        exchange(&mut host, &mut device);
        let ops = std::iter::from_fn(|| device.poll_block()).collect::<Vec<_>>();
        assert_eq!(ops.len(), tasks);
        // The last is finished first; the results come in order all the same.
        for op in ops.iter().rev() {
            let result = store.serve(op);
            device.finish(op.token(), result);
        }
        let results = results(&mut host, &mut device, &mut store);
        assert_eq!(results.len(), 100);
        for (at, (_, data)) in results.into_iter().enumerate() {
            assert_eq!(data.unwrap().to_bytes(), store.disk[at * 512..][..512]);
        }
    }
}

/// What each block may hold: one thing, unless writes to it failed.
type Model = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Request {
    Read(u64, u32),
    Write(u64, u32, u8),
    Flush,
}

fn request(blocks: u64) -> impl Strategy<Value = Request> {
    let extent = move || {
        (0..blocks, prop_oneof![3 => 0u32..6, 1 => 0u32..40])
            .prop_map(move |(lba, count)| (lba, count.min((blocks - lba) as u32)))
    };
    prop_oneof![
        4 => extent().prop_map(|(lba, count)| Request::Read(lba, count)),
        4 => (extent(), any::<u8>()).prop_map(|((lba, count), fill)| Request::Write(lba, count, fill)),
        1 => Just(Request::Flush),
    ]
}

/// Takes a result, given what was asked for.
fn judge(model: &mut Model, request: &Request, result: Result<Segments, ScsiError>, block: usize) {
    match (request, result) {
        (Request::Read(lba, count), Ok(data)) => {
            assert_eq!(data.len(), *count as usize * block);
            let data = data.to_bytes();
            for (may_hold, now) in model[*lba as usize..].iter_mut().zip(data.chunks(block)) {
                assert!(now.iter().all(|byte| *byte == now[0]), "a block is one's");
                assert!(may_hold.contains(&now[0]), "what was written is read");
                *may_hold = vec![now[0]];
            }
        }
        (Request::Write(lba, count, fill), result) => {
            for may_hold in &mut model[*lba as usize..][..*count as usize] {
                if result.is_ok() {
                    may_hold.clear();
                }
                may_hold.push(*fill);
            }
        }
        (Request::Read(..) | Request::Flush, _) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Host, device and store take turns as chance has it, operations end in any order, some fail:
    /// every byte is one that the request before it has put there.
    #[test]
    fn whatever_the_order_reads_see_the_writes_before(
        speed in prop::sample::select(vec![Speed::High, Speed::Super]),
        large: bool,
        requests in prop::collection::vec(request(48), 1..40),
        turns in prop::collection::vec((0u8..10, any::<u8>()), 0..600),
    ) {
        let size = if large { BlockSize::BYTES_4096 } else { BlockSize::BYTES_512 };
        let (mut host, mut device, mut store) = pair(speed, size, 48);
        let block = size.get() as usize;
        store.disk.fill(0);
        let mut model: Model = vec![vec![0]; 48];
        let (mut requests, mut asked) = (VecDeque::from(requests), VecDeque::new());
        let mut ops: Vec<BlockOp> = Vec::new();
        let mut turns = turns.into_iter();
        let (mut idle, mut failed) = (0, 0);
        while idle < 8 {
            let (turn, choice) = turns.next().unwrap_or((10, 0));
            idle += 1;
            if turn == 0 || turn == 10 {
                if let Some(request) = requests.pop_front() {
                    idle = 0;
                    let ticket = match &request {
                        Request::Read(lba, count) => host.read(*lba, *count),
                        Request::Write(lba, count, fill) => {
                            host.write(*lba, vec![*fill; *count as usize * block].into())
                        }
                        Request::Flush => host.flush(),
                    };
                    asked.push_back((ticket, request));
                }
            }
            if turn <= 3 || turn == 10 {
                match host.poll() {
                    Some(HostEvent::Submit(transfer)) => device.submit(transfer),
                    Some(HostEvent::Cancel(id)) => device.cancel(id),
                    Some(HostEvent::Reset) => device.reset(),
                    _ => idle += 1,
                }
            }
            if turn == 4 || turn == 5 || turn == 10 {
                if let Some(FunctionEvent::Complete(completion)) = device.poll() {
                    idle = 0;
                    host.complete(completion);
                }
            }
            if turn == 6 || turn == 7 || turn == 10 {
                ops.extend(device.poll_block());
            }
            if (turn >= 8 && !ops.is_empty()) || ops.len() > 40 {
                idle = 0;
                let op = ops.swap_remove(usize::from(choice) % ops.len());
                let mut result = store.serve(&op);
                if choice > 240 {
                    result = Err(BlockError::Hardware);
                    failed += 1;
                }
                device.finish(op.token(), result);
            }
            if turn != 10 {
                idle = 0;
            }
            while let Some((ticket, result)) = host.result() {
                let (due, request) = asked.pop_front().unwrap();
                prop_assert_eq!(ticket, due, "in their order");
                if let Err(error) = &result {
                    prop_assert_eq!(*error, ScsiError::Sense(Sense::INTERNAL_FAILURE));
                    failed -= 1;
                }
                judge(&mut model, &request, result, block);
            }
        }
        prop_assert!(asked.is_empty(), "{asked:?}");
        prop_assert!(failed >= 0, "no error that did not happen");
        prop_assert_eq!(host.error(), None);
        for (may_hold, now) in model.iter().zip(store.disk.chunks(block)) {
            prop_assert!(may_hold.contains(&now[0]));
        }
    }
}

/// What goes wrong, once, while data is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// A unit on the status pipe is another than the device gave.
    Unit(&'static [u8]),
    /// It is of another tag.
    WrongTag,
    Twice,
    StatusStalls,
    StatusBabbles,
    CommandStalls,
    /// The data is lost.
    DataStalls,
    /// It is not taken from the device.
    DataRefused,
    DataBabbles,
    /// Half of the data comes, and the status says that all is well.
    DataIsShort,
}

/// A disk of ours on a bad day.
struct Faulty {
    device: UasDevice,
    fault: Option<Fault>,
    /// After how many completions of the pipe.
    after: usize,
    endpoints: std::collections::BTreeMap<TransferId, EndpointAddress>,
    stalls_ahead: bool,
    refuses_abort: bool,
    aborts: usize,
    resets: usize,
    settings: usize,
    clears: usize,
    /// Data transfers that the host was told to submit, less those it has.
    allowed: i64,
    early: VecDeque<Completion>,
    is_halted: bool,
}

impl Faulty {
    fn new(speed: Speed, fault: Option<Fault>, after: usize) -> (Initiator, Self, Store) {
        let (host, device, store) = pair(speed, BlockSize::BYTES_512, 64);
        let device = Self {
            device,
            fault,
            after,
            endpoints: Default::default(),
            stalls_ahead: false,
            refuses_abort: false,
            aborts: 0,
            resets: 0,
            settings: 0,
            clears: 0,
            allowed: 0,
            early: VecDeque::new(),
            is_halted: false,
        };
        (host, device, store)
    }

    fn distort(&mut self, completion: &mut Completion, endpoint: EndpointAddress) {
        let Some(fault) = self.fault else { return };
        let of = match fault {
            Fault::CommandStalls => COMMAND,
            Fault::DataStalls | Fault::DataBabbles | Fault::DataIsShort => DATA_IN,
            Fault::DataRefused => return,
            _ => STATUS,
        };
        if of != endpoint || completion.status != Status::COMPLETED {
            return;
        }
        if self.after > 0 {
            self.after -= 1;
            return;
        }
        self.fault = None;
        let data = match &completion.actual {
            Actual::In(data) => data.to_bytes().to_vec(),
            Actual::Out(_) => Vec::new(),
        };
        match fault {
            Fault::Unit(unit) => completion.actual = Actual::In(unit.to_vec().into()),
            Fault::WrongTag => {
                let mut data = data;
                data[2] = 0x7f;
                completion.actual = Actual::In(data.into());
            }
            Fault::Twice => self.fault = Some(Fault::Unit(Box::leak(data.into_boxed_slice()))),
            Fault::StatusStalls | Fault::DataStalls => {
                completion.status = Status::STALL;
                completion.actual = Actual::In(Segments::new());
            }
            Fault::CommandStalls => {
                completion.status = Status::STALL;
                completion.actual = Actual::Out(0);
            }
            Fault::DataRefused => {}
            Fault::StatusBabbles | Fault::DataBabbles => completion.status = Status::OVERFLOW,
            Fault::DataIsShort => {
                completion.actual = Actual::In(data[..data.len() / 2].to_vec().into());
            }
        }
    }
}

impl Function for Faulty {
    fn submit(&mut self, transfer: Transfer) {
        self.endpoints.insert(transfer.id, transfer.endpoint);
        match (&transfer.kind, &transfer.payload) {
            (Kind::Control(setup), _) => {
                self.clears += usize::from(setup.request == 1);
                self.settings += usize::from(setup.request == 11);
                if setup.request == 1 {
                    self.is_halted = false;
                }
            }
            (_, Payload::Out(data)) if transfer.endpoint == COMMAND && data[0] == 5 => {
                self.aborts += usize::from(data[4] == 1);
                self.resets += usize::from(data[4] == 8);
                if self.refuses_abort && data[4] == 1 {
                    let mut data = data.to_vec();
                    data[4] = 0x33;
                    let refused = Transfer::data_out(transfer.id, COMMAND, data.into());
                    return self.device.submit(refused);
                }
            }
            _ if transfer.endpoint == DATA_IN && self.fault == Some(Fault::DataRefused) => {
                if self.after == 0 {
                    self.fault = None;
                    return self.early.push_back(transfer.stall());
                }
                self.after -= 1;
            }
            _ if transfer.endpoint == DATA_IN && self.stalls_ahead => {
                self.allowed -= 1;
                if self.allowed < 0 || self.is_halted {
                    self.allowed += 1;
                    self.is_halted = true;
                    return self.early.push_back(transfer.stall());
                }
            }
            _ => {}
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
        if let Some(early) = self.early.pop_front() {
            return Some(FunctionEvent::Complete(early));
        }
        let mut event = self.device.poll()?;
        if let FunctionEvent::Complete(completion) = &mut event {
            let endpoint = self.endpoints.remove(&completion.id).unwrap();
            if let (STATUS, Actual::In(data)) = (endpoint, &completion.actual) {
                self.allowed += i64::from(data.to_bytes().first() == Some(&6));
            }
            self.distort(completion, endpoint);
        }
        Some(event)
    }
}

/// Reads and writes with a fault among them, and then without.
fn run(host: &mut Initiator, faulty: &mut Faulty, store: &mut Store) -> Vec<ScsiError> {
    let (fault, after) = (faulty.fault, faulty.after);
    // The unit is got to know without faults.
    faulty.fault = None;
    host.read(0, 1);
    let mut errors = Vec::new();
    for round in 0..3 {
        let mut expected = Vec::new();
        if round == 1 {
            (faulty.fault, faulty.after) = (fault, after);
            for lba in 0..20 {
                host.read(lba, 2);
                expected.push(Some(store.disk[lba as usize * 512..][..1024].to_vec()));
            }
            host.write(30, Bytes::from(vec![after as u8; 2048]));
            expected.push(None);
        } else if round == 2 {
            faulty.fault = None;
            host.read(30, 4);
            expected.push(None);
        }
        let mut done = 0;
        for _ in 0..10_000 {
            exchange(host, faulty);
            while let Some((_, result)) = host.result() {
                match (result, expected.get(done)) {
                    (Ok(data), Some(Some(expected))) => assert!(data.to_bytes() == *expected),
                    (Ok(_), _) => {}
                    (Err(error), _) => {
                        assert!(round == 1, "it works again");
                        errors.push(error);
                    }
                }
                done += 1;
            }
            if !serve(&mut faulty.device, store) && host.poll().is_none() {
                break;
            }
        }
        assert_eq!(done, expected.len().max(1), "each has its result");
    }
    errors
}

#[test]
fn what_breaks_the_rules_is_reset_and_repeated() {
    let faults = [
        Fault::Unit(&[]),
        Fault::Unit(&[3, 0, 0]),
        Fault::Unit(&[3, 0, 0, 1, 0, 0]),
        Fault::Unit(&[9, 0, 0, 1, 0, 0, 0, 0]),
        Fault::Unit(&[7, 0, 0, 1]),
        Fault::Unit(&[4, 0, 0, 0, 0, 0, 0, 0]),
        Fault::WrongTag,
        Fault::Twice,
        Fault::StatusStalls,
        Fault::StatusBabbles,
        Fault::CommandStalls,
        Fault::DataBabbles,
    ];
    for fault in faults {
        for speed in [Speed::High, Speed::Super] {
            for after in [0, 1, 2, 5, 17] {
                let (mut host, mut device, mut store) = Faulty::new(speed, Some(fault), after);
                let errors = run(&mut host, &mut device, &mut store);
                assert!(errors.is_empty(), "{fault:?} at {speed}: {errors:?}");
                assert!(device.settings >= 2, "{fault:?} at {speed}, after {after}");
                assert_eq!(device.resets, device.settings - 1);
            }
        }
    }
}

#[test]
fn a_stall_of_data_is_cleared_and_its_command_aborted() {
    for fault in [Fault::DataStalls, Fault::DataRefused] {
        for (speed, refuses) in [
            (Speed::High, false),
            (Speed::Super, false),
            (Speed::Super, true),
        ] {
            for after in [0, 3, 12, 19] {
                let (mut host, mut device, mut store) = Faulty::new(speed, Some(fault), after);
                device.refuses_abort = refuses;
                let errors = run(&mut host, &mut device, &mut store);
                assert!(errors.is_empty(), "{fault:?} at {speed}: {errors:?}");
                if speed == Speed::Super {
                    let is_refused = fault == Fault::DataRefused;
                    let aborts = usize::from(is_refused);
                    assert_eq!((device.clears, device.aborts), (1, aborts));
                    assert_eq!(device.resets, usize::from(is_refused && refuses));
                }
            }
        }
    }
}

#[test]
fn a_device_that_stalls_what_is_asked_ahead_is_asked_afterwards() {
    let (mut host, mut device, mut store) = Faulty::new(Speed::High, None, 0);
    device.stalls_ahead = true;
    let errors = run(&mut host, &mut device, &mut store);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((device.settings, device.resets, device.aborts), (1, 0, 0));
    assert_eq!(device.clears, 1, "it is not tried again");
}

#[test]
fn less_than_was_asked_for_is_no_success() {
    for speed in [Speed::High, Speed::Super] {
        let (mut host, mut device, mut store) = Faulty::new(speed, Some(Fault::DataIsShort), 3);
        let errors = run(&mut host, &mut device, &mut store);
        assert_eq!(errors, [ScsiError::Answer]);
        assert_eq!(device.settings, 1);
    }
}

#[test]
fn errors_come_with_their_sense_and_leave_the_others_alone() {
    for speed in [Speed::High, Speed::Super] {
        let (mut host, mut device, mut store) = pair(speed, BlockSize::BYTES_512, 64);
        host.read(0, 1);
        results(&mut host, &mut device, &mut store);
        host.read(1, 2);
        host.read(60, 8);
        host.read(2, 2);
        host.write(63, Bytes::from(vec![1; 1024]));
        host.write(3, Bytes::from(vec![1; 1000]));
        host.flush();
        let results: Vec<_> = results(&mut host, &mut device, &mut store)
            .into_iter()
            .map(|(_, result)| result.map(|data| data.len()))
            .collect();
        let range = ScsiError::Sense(Sense::LBA_OUT_OF_RANGE);
        assert_eq!(results[..4], [Ok(1024), Err(range), Ok(1024), Err(range)]);
        assert!(matches!(results[4], Err(ScsiError::NotWholeBlocks { .. })));
        assert_eq!(results[5], Ok(0));
        assert_eq!(store.flushes, 1);
    }
}

#[test]
fn a_flush_waits_for_the_writes_before_it() {
    let (mut host, mut device, mut store) = pair(Speed::High, BlockSize::BYTES_512, 4096);
    host.read(0, 1);
    results(&mut host, &mut device, &mut store);
    host.write(0, Bytes::from(vec![1; 512]));
    host.write(9, Bytes::from(vec![2; 512]));
    host.flush();
    host.read(9, 1);
    exchange(&mut host, &mut device);
    let ops: Vec<_> = std::iter::from_fn(|| {
        exchange(&mut host, &mut device);
        device.poll_block()
    })
    .collect();
    assert!(ops.iter().all(|op| matches!(op, BlockOp::Write { .. })));
    assert!(!ops.is_empty());
    for op in &ops {
        let result = store.serve(op);
        assert_eq!(store.flushes, 0);
        device.finish(op.token(), result);
    }
    let results = results(&mut host, &mut device, &mut store);
    assert_eq!((results.len(), store.flushes), (4, 1));
    assert_eq!(results[3].1.as_ref().unwrap().to_bytes(), vec![2; 512]);
}

#[test]
fn closing_ends_all_and_leaves_the_device_free() {
    for speed in [Speed::High, Speed::Super] {
        let (mut host, mut device, mut store) = pair(speed, BlockSize::BYTES_512, 4096);
        for lba in 0..50 {
            host.read(lba, 1);
        }
        for _ in 0..20 {
            exchange(&mut host, &mut device);
            serve(&mut device, &mut store);
        }
        host.close();
        exchange(&mut host, &mut device);
        assert_eq!((host.pending(), host.poll()), (0, None));
        let results: Vec<_> = std::iter::from_fn(|| host.result()).collect();
        assert_eq!(results.len(), 50);
        let mut host = Initiator::with_streams(device.descriptors()).unwrap();
        host.read(0, 4096);
        let results = self::results(&mut host, &mut device, &mut store);
        assert!(results[0].1.as_ref().unwrap().to_bytes() == store.disk);
    }
}

#[test]
fn a_device_that_takes_no_setting_is_given_up() {
    struct NoSetting(Faulty);
    impl Function for NoSetting {
        fn submit(&mut self, transfer: Transfer) {
            match &transfer.kind {
                Kind::Control(setup) if setup.request == 11 && self.0.settings > 0 => {
                    self.0.early.push_back(transfer.stall());
                }
                _ => self.0.submit(transfer),
            }
        }
        fn cancel(&mut self, id: TransferId) {
            self.0.cancel(id);
        }
        fn reset(&mut self) {
            self.0.reset();
        }
        fn poll(&mut self) -> Option<FunctionEvent> {
            self.0.poll()
        }
    }
    let (mut host, device, mut store) = Faulty::new(Speed::High, Some(Fault::WrongTag), 7);
    let mut device = NoSetting(device);
    for _ in 0..4 {
        host.read(0, 1);
    }
    for _ in 0..100 {
        exchange(&mut host, &mut device);
        serve(&mut device.0.device, &mut store);
    }
    assert_eq!(host.error(), Some(ScsiError::Device(Status::STALL)));
    assert_eq!(std::iter::from_fn(|| host.result()).count(), 4);
    assert_eq!(host.pending(), 0);
}

#[test]
fn all_that_happened_to_a_disk_is_told_and_the_request_done() {
    let (mut host, mut device, mut store) = pair(Speed::High, BlockSize::BYTES_512, 64);
    host.read(0, 1);
    results(&mut host, &mut device, &mut store);
    device.insert(Lun::ZERO, 64, false);
    device.resize(Lun::ZERO, 60);
    device.write_protect(Lun::ZERO, true);
    host.read(0, 1);
    let results = results(&mut host, &mut device, &mut store);
    assert!(results[0].1.is_ok());
}
