//! A disk that is given away read-only: our own, in the place of a real one, by our initiator.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bytes::Bytes;
use examples::{
    ClaimError, Disk, Disks, DisksError, HostApi, MemoryStore, Passthrough, Policy, ReadOnly,
};
use msc_bot::{BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, ScsiError, UnitOptions};
use usb_descriptors::build::{Configuration, Device, Endpoint as Bulk, Interface};
use usb_descriptors::{ClassCode, DescriptorType, EndpointAddress, LanguageId, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, Endpoint, Function, FunctionEvent, IsoPacket, Kind,
    Payload, Segments, Status, Transfer, TransferId, TransferIds, exchange,
};

/// A device that is reached as by an operating system.
#[derive(Debug)]
struct Real {
    disk: Disk<MemoryStore, BotDevice>,
    /// What has reached its endpoints.
    commands: Vec<u8>,
}

impl Real {
    fn ask(&mut self, setup: SetupPacket) {
        let id = TransferId::from_u64(u64::MAX);
        self.disk.submit(Transfer::control_in(id, setup));
        match self.disk.poll() {
            Some(FunctionEvent::Complete(done)) if done.id == id => {
                assert_eq!(done.status, Status::COMPLETED);
            }
            other => panic!("{other:?}"),
        }
    }
}

impl HostApi for Real {
    fn claim(&mut self, _: u8) -> Result<(), ClaimError> {
        Ok(())
    }
    fn release(&mut self, _: u8) {}
    fn connect_driver(&mut self, _: u8) {}
    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        self.ask(SetupPacket::set_configuration(value));
        Ok(())
    }
    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        self.ask(SetupPacket::set_interface(number, alternate));
        Ok(())
    }
    fn allocate_streams(&mut self, _: &[EndpointAddress], _: u32) -> Result<u32, Status> {
        Err(Status::INVALID)
    }
    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        self.ask(SetupPacket::clear_halt(endpoint.address));
        Ok(())
    }
    fn reset(&mut self) -> Result<(), Status> {
        self.disk.reset();
        self.ask(SetupPacket::set_configuration(1));
        Ok(())
    }
    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        if let (Some(_), Payload::Out(data)) = (endpoint, &transfer.payload) {
            assert_eq!(data.len(), 31, "only commands");
            self.commands.push(data[15]);
        }
        self.disk.submit(transfer);
    }
    fn cancel(&mut self, id: TransferId) {
        self.disk.cancel(id);
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        self.disk.poll()
    }
}

fn real() -> Real {
    let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
    let device = BotDevice::new(BotOptions::new(Speed::High), [unit]).unwrap();
    let disk = Disk::new(device, MemoryStore::new(vec![7; 64 * 512]));
    let mut real = Real {
        disk,
        commands: Vec::new(),
    };
    real.set_configuration(1).unwrap();
    real
}

fn given() -> Passthrough<ReadOnly<Real>> {
    let real = real();
    let mut descriptors = real.disk.device().descriptors().clone();
    let disks = Disks::guard(&mut descriptors).unwrap();
    let policy = Policy::default().keeping_configuration();
    let mut given = Passthrough::new(ReadOnly::new(real, disks), descriptors, 1, policy);
    given.claim().unwrap();
    given
}

fn result(host: &mut Initiator, device: &mut impl Function) -> Result<Segments, ScsiError> {
    for _ in 0..1000 {
        exchange(host, device);
        if let Some((_, result)) = host.result() {
            return result;
        }
    }
    panic!("no result");
}

#[test]
fn a_disk_is_read_and_says_that_it_is_protected() {
    let mut device = given();
    let mut host = Initiator::new(device.descriptors()).unwrap();
    host.read(3, 2);
    assert_eq!(
        result(&mut host, &mut device).unwrap(),
        Bytes::from(vec![7; 1024])
    );
    host.write(3, vec![9; 512].into());
    match result(&mut host, &mut device) {
        Err(ScsiError::Sense(sense)) => {
            assert_eq!((sense.key.0, sense.code, sense.qualifier), (7, 0x27, 0));
        }
        other => panic!("{other:?}"),
    }
    host.read(3, 1);
    assert_eq!(
        result(&mut host, &mut device).unwrap(),
        Bytes::from(vec![7; 512])
    );
    host.flush();
    assert!(result(&mut host, &mut device).is_ok());
}

/// Gives the device a transfer, and takes what comes of it.
fn done(device: &mut impl Function, transfer: Transfer) -> Completion {
    device.submit(transfer);
    for _ in 0..1000 {
        if let Some(FunctionEvent::Complete(done)) = device.poll() {
            return done;
        }
    }
    panic!("nothing comes of it");
}

/// One that speaks by wrappers of its own making.
struct Abuser {
    device: Passthrough<ReadOnly<Real>>,
    ids: TransferIds,
}

impl Abuser {
    fn new() -> Self {
        Self {
            device: given(),
            ids: TransferIds::default(),
        }
    }

    fn send(&mut self, data: impl Into<Bytes>) -> Status {
        let (id, endpoint) = (self.ids.mint(), EndpointAddress::from_byte(OUT));
        done(
            &mut self.device,
            Transfer::data_out(id, endpoint, data.into()),
        )
        .status
    }

    fn receive(&mut self, length: u32) -> Vec<u8> {
        let (id, endpoint) = (self.ids.mint(), EndpointAddress::from_byte(IN));
        match done(&mut self.device, Transfer::data_in(id, endpoint, length)) {
            Completion {
                status: Status::COMPLETED,
                actual: Actual::In(data),
                ..
            } => data.to_bytes().to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

const IN: u8 = 0x81;
const OUT: u8 = 0x02;
const READ: u8 = 0x80;
const WRITE: u8 = 0x00;

fn wrapper(flags: u8, length: u32, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"USBC\x11\x22\x33\x44".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend([flags, 0, u8::try_from(block.len()).unwrap()]);
    bytes.extend(block);
    bytes.resize(31, 0);
    bytes
}

const WRITE_10: [u8; 10] = [0x2a, 0, 0, 0, 0, 3, 0, 0, 1, 0];

#[test]
fn data_is_never_taken_for_a_command_by_the_device() {
    let mut host = Abuser::new();
    // A command in the place of another's data, and data in the place of a command.
    let hidden = wrapper(WRITE, 512, &WRITE_10);
    assert_eq!(host.send(wrapper(WRITE, 31, &[0x2f])), Status::COMPLETED);
    assert_eq!(host.send(hidden.clone()), Status::COMPLETED);
    assert_eq!(host.receive(13)[12], 1);
    assert_eq!(host.send(vec![9; 512]), Status::STALL);
    // Without its data phase.
    assert_eq!(
        host.send(wrapper(READ, 512, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        Status::COMPLETED
    );
    assert_eq!(host.send(vec![9; 512]), Status::STALL);
    assert_eq!(host.send(hidden), Status::COMPLETED);
    assert_eq!(host.send(vec![9; 512]), Status::COMPLETED);
    assert_eq!(
        host.receive(13),
        b"USBS\x11\x22\x33\x44\x00\x02\x00\x00\x01"
    );
}

#[test]
fn the_refusal_is_told_once_to_who_asks() {
    let mut host = Abuser::new();
    // FORMAT UNIT, and a vendor's command that wants to read.
    for (block, key) in [(0x04, 7), (0xc6, 5)] {
        host.send(wrapper(READ, 36, &[block]));
        assert!(host.receive(36).is_empty());
        assert_eq!(host.receive(13)[8..], [36, 0, 0, 0, 1]);
        host.send(wrapper(READ, 14, &[0x03, 0, 0, 0, 252, 0]));
        let sense = host.receive(14);
        assert_eq!((sense.len(), sense[2]), (14, key));
        assert_eq!(host.receive(13)[8..], [0; 5]);
        // Now the disk's own.
        host.send(wrapper(READ, 18, &[0x03, 0, 0, 0, 18, 0]));
        assert_eq!(host.receive(18)[2], 0);
        host.receive(13);
    }
}

#[test]
fn the_disk_says_that_it_is_protected() {
    let mut host = Abuser::new();
    for (block, place) in [
        (vec![0x1a, 0, 0x3f, 0, 192, 0], 2),
        (vec![0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 192, 0], 3),
    ] {
        host.send(wrapper(READ, 192, &block));
        assert_eq!(host.receive(192)[place] & 0x80, 0x80);
        assert_eq!(host.receive(13)[12], 0);
    }
}

/// A disk with these settings of its interface.
fn descriptors(settings: &[(u8, ClassCode)]) -> DeviceDescriptors {
    let mut configuration = Configuration::new(1);
    for &(alternate, _) in settings {
        let bulk = |address| Bulk::bulk(EndpointAddress::from_byte(address));
        let interface = Interface::new(0, ClassCode::new(0xff, 0, 0)).alternate_setting(alternate);
        configuration = configuration.interface(interface.endpoint(bulk(IN)).endpoint(bulk(OUT)));
    }
    let device = Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut descriptors = DeviceDescriptors::new(Speed::High, device);
    let mut configuration = configuration.to_bytes(Speed::High).unwrap();
    // The builder makes no UAS of two endpoints.
    for (place, (_, class)) in (9..).step_by(9 + 7 + 7).zip(settings) {
        let class = [class.class, class.subclass, class.protocol];
        configuration[place + 5..place + 8].copy_from_slice(&class);
    }
    descriptors.configurations.push(configuration.into());
    descriptors
}

#[test]
fn another_transport_is_hidden_or_refused() {
    let (bulk_only, uas) = (
        ClassCode::MASS_STORAGE_BULK_ONLY,
        ClassCode::MASS_STORAGE_UAS,
    );
    let mut both = descriptors(&[(0, bulk_only), (1, uas)]);
    Disks::guard(&mut both).unwrap();
    let configuration = both.configurations().next().unwrap();
    let classes: Vec<_> = configuration
        .interfaces()
        .map(|setting| setting.class())
        .collect();
    assert_eq!(classes, [bulk_only, ClassCode::new(0xff, 0, 0)]);

    let refused = |settings: &[_]| Disks::guard(&mut descriptors(settings)).unwrap_err();
    assert_eq!(
        refused(&[(0, uas)]),
        DisksError::NoBulkOnly { interface: 0 }
    );
    let vendors = ClassCode::new(0xff, 0, 0);
    assert_eq!(refused(&[(0, vendors)]), DisksError::None);
}

#[test]
fn what_is_no_disk_is_told_as_a_vendors_and_nothing_is_moved_there() {
    let keyboard = ClassCode::new(0x03, 1, 1);
    let mut told = descriptors(&[(0, ClassCode::MASS_STORAGE_BULK_ONLY), (1, keyboard)]);
    // The second is another interface.
    let mut bytes = told.configurations[0].to_vec();
    let second = 9 + 9 + 7 + 7;
    bytes[4] = 2;
    bytes[second + 2..second + 4].copy_from_slice(&[1, 0]);
    bytes[second + 9 + 2] = 0x83;
    bytes[second + 9 + 7 + 2] = 0x04;
    told.configurations[0] = bytes.into();
    let disks = Disks::guard(&mut told).unwrap();
    let classes = told.configurations().next().unwrap();
    let classes: Vec<_> = classes
        .interfaces()
        .map(|setting| setting.class().class)
        .collect();
    assert_eq!(classes, [0x08, 0xff]);
    let policy = Policy::default().keeping_configuration();
    let mut device = Passthrough::new(ReadOnly::new(real(), disks), told, 1, policy);
    device.claim().unwrap();
    let mut ids = TransferIds::default();
    for (address, data) in [(0x04, wrapper(READ, 0, &[0])), (0x04, vec![9; 512])] {
        let endpoint = EndpointAddress::from_byte(address);
        let sent = Transfer::data_out(ids.mint(), endpoint, data.into());
        assert_eq!(done(&mut device, sent).status, Status::STALL);
    }
    let read = Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x83), 8);
    assert_eq!(done(&mut device, read).status, Status::STALL);
}

#[test]
fn a_command_in_packets_is_no_command() {
    let mut host = Abuser::new();
    let command = wrapper(READ, 0, &[0]);
    let length = u32::try_from(command.len()).unwrap();
    let packets = Kind::Isochronous(vec![IsoPacket::new(0, 12), IsoPacket::new(12, length - 12)]);
    let (id, endpoint) = (host.ids.mint(), EndpointAddress::from_byte(OUT));
    let transfer = Transfer::new(id, endpoint, packets, Payload::Out(command.into()));
    assert_eq!(done(&mut host.device, transfer).status, Status::INVALID);
}

#[test]
fn what_is_hidden_is_told_so_and_cannot_be_selected() {
    let settings = [
        (0, ClassCode::MASS_STORAGE_BULK_ONLY),
        (1, ClassCode::MASS_STORAGE_UAS),
    ];
    let mut told = descriptors(&settings);
    let disks = Disks::guard(&mut told).unwrap();
    let mut device = ReadOnly::new(real(), disks);
    assert_eq!(device.set_interface(0, 1), Err(Status::STALL));
    assert_eq!(device.set_interface(0, 0), Ok(()));
    let asked = SetupPacket::get_descriptor(DescriptorType::CONFIGURATION, 0, LanguageId::NONE, 30);
    device.submit(Transfer::control_in(TransferId::from_u64(1), asked), None);
    let Some(FunctionEvent::Complete(done)) = device.poll() else {
        panic!("no answer");
    };
    assert_eq!(
        done.actual,
        Actual::In(told.configurations[0].slice(..30).into())
    );
}
