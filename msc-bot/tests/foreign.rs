//! The initiator against devices that stall, answer wrongly, or break down: what other firmware
//! does.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use msc_bot::{Initiator, ScsiError, Sense, SenseKey};
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, Frontend, Function, FunctionEvent, HostEvent, Kind,
    Payload, Segments, Status, Transfer, TransferId, exchange,
};

const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x83);
const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x04);
const CLASS_RESET: [u8; 2] = [0x21, 0xff];

/// What the next READ meets, the last four the next WRITE too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quirk {
    /// The data stalls, the status follows once the halt is cleared.
    StallData,
    /// So too, but what is queued behind the stall stalls as well.
    StallDataAndQueue,
    /// The data is short, then a stall.
    ShortThenStall,
    /// The status stalls once.
    StallStatus,
    /// The status stalls whatever is done, until the transport is reset.
    StallStatusAlways,
    /// The command wrapper stalls.
    StallWrapper,
    WrongTag,
    WrongSignature,
    ShortStatus,
    PhaseError,
    ResidueTooLarge,
    UnitAttention,
    Babble,
    /// Half of the data, and no word of it but the residue.
    ShortWithoutError,
    /// All of the data is moved, and the residue says that none of it counts.
    AllIsResidue,
    /// The transfer of the data completes, but nothing is moved; the residue is zero.
    NothingMoved,
    /// Half of the data, then a stall; the status passes, and the residue is zero.
    StallThenPassed,
    /// The data phase is left out: the status comes in its place, and fails.
    SkipsData,
    /// So too, and the status passes.
    SkipsDataAndPasses,
    /// A packet of no bytes between data and status.
    EmptyPacket,
    /// The status twice.
    TwoStatuses,
}

/// Of reads and writes.
const SUCCESS_WITHOUT_DATA: [Quirk; 4] = [
    Quirk::ShortWithoutError,
    Quirk::AllIsResidue,
    Quirk::NothingMoved,
    Quirk::StallThenPassed,
];

struct Foreign {
    events: VecDeque<Completion>,
    ins: VecDeque<(TransferId, u32)>,
    /// What the device has to send, in order; `None` is a stall that halts.
    sends: VecDeque<Option<Vec<u8>>>,
    out_left: usize,
    /// What the next transfer of data to the device takes at most, and how it ends.
    out_takes: usize,
    out_status: Status,
    /// It does not take the next data; what of it waits.
    leaves_data: bool,
    left: Option<TransferId>,
    in_halted: bool,
    stalls_queue: bool,
    sense: [u8; 3],
    /// The response code of sense data, with the bit for information.
    response: u8,
    /// How often the quirk is shown.
    quirks: Vec<Quirk>,
    resets: usize,
    refuses_reset: bool,
    /// READ and WRITE that were done, and everything asked on endpoint 0.
    done: usize,
    requests: Vec<[u8; 8]>,
    written: Vec<u8>,
    block_size: u32,
}

impl Default for Foreign {
    fn default() -> Self {
        Self {
            events: VecDeque::new(),
            ins: VecDeque::new(),
            sends: VecDeque::new(),
            out_left: 0,
            out_takes: 0,
            out_status: Status::COMPLETED,
            leaves_data: false,
            left: None,
            in_halted: false,
            stalls_queue: false,
            sense: [0; 3],
            response: 0x70,
            quirks: Vec::new(),
            resets: 0,
            refuses_reset: false,
            done: 0,
            requests: Vec::new(),
            written: Vec::new(),
            block_size: 512,
        }
    }
}

fn csw(tag: u32, residue: u32, status: u8) -> Vec<u8> {
    let mut bytes = b"USBS".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(residue.to_le_bytes());
    bytes.push(status);
    bytes
}

impl Foreign {
    fn descriptors() -> DeviceDescriptors {
        let vendor = Interface::new(0, ClassCode::new(0xff, 0, 0));
        let storage = Interface::new(2, ClassCode::MASS_STORAGE_BULK_ONLY)
            .endpoint(Endpoint::bulk(BULK_OUT))
            .endpoint(Endpoint::bulk(BULK_IN));
        let configuration = Configuration::new(5).interface(vendor).interface(storage);
        let device = Device::new(1, 2).to_bytes(Speed::High);
        let mut all = DeviceDescriptors::new(Speed::High, device);
        let bytes = configuration.to_bytes(Speed::High).unwrap();
        all.configurations.push(bytes.into());
        all
    }

    fn push(&mut self, completion: Completion) {
        self.events.push_back(completion);
    }

    fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        self.sends.push_back(Some(bytes.into()));
    }

    fn wrapper(&mut self, bytes: &[u8]) -> Status {
        let tag = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        let (quirk, opcode) = (self.quirks.last().copied(), bytes[15]);
        let mut answer = vec![0; length as usize];
        let (mut residue, mut status) = (0, 0);
        match opcode {
            0x00 => {}
            0x12 => answer[8..36].copy_from_slice(b"Foreign Device          9.99"),
            0x25 => {
                answer[3] = 99;
                answer[4..].copy_from_slice(&self.block_size.to_be_bytes());
            }
            0x03 => {
                answer[..3].copy_from_slice(&[self.response, 0, self.sense[0]]);
                answer[12..14].copy_from_slice(&self.sense[1..]);
                self.sense = [0; 3];
            }
            0x28 if quirk.is_some() => {
                self.quirks.pop();
                return self.misbehave(quirk.unwrap(), tag, answer);
            }
            0x28 => {
                answer.fill(bytes[20]);
                self.done += 1;
            }
            0x2a => {
                self.out_left = length as usize;
                self.out_takes = self.out_left;
                answer.clear();
                match quirk {
                    None => self.done += 1,
                    Some(quirk) => {
                        self.quirks.pop();
                        residue = self.take_less(quirk);
                    }
                }
            }
            _ => {
                self.sense = [5, 0x20, 0];
                (residue, status) = (length, 1);
            }
        }
        if !answer.is_empty() {
            self.send(answer);
        }
        self.send(csw(tag, residue, status));
        Status::COMPLETED
    }

    /// A WRITE that is not done; its status passes, with this residue.
    fn take_less(&mut self, quirk: Quirk) -> u32 {
        let half = self.out_left / 2;
        match quirk {
            Quirk::ShortWithoutError => {
                self.out_takes = half;
                half as u32
            }
            Quirk::AllIsResidue => self.out_left as u32,
            Quirk::NothingMoved => {
                self.out_takes = 0;
                0
            }
            Quirk::StallThenPassed => {
                (self.out_takes, self.out_status) = (half, Status::STALL);
                0
            }
            Quirk::SkipsData => {
                self.leaves_data = true;
                0
            }
            other => panic!("not of a write: {other:?}"),
        }
    }

    fn misbehave(&mut self, quirk: Quirk, tag: u32, mut answer: Vec<u8>) -> Status {
        let length = answer.len() as u32;
        match quirk {
            Quirk::StallData | Quirk::StallDataAndQueue | Quirk::ShortThenStall => {
                self.stalls_queue = quirk == Quirk::StallDataAndQueue;
                if quirk == Quirk::ShortThenStall {
                    answer.truncate(100);
                    self.send(answer);
                }
                self.sends.push_back(None);
                self.sense = [3, 0x11, 0];
                self.send(csw(tag, length, 1));
            }
            Quirk::UnitAttention => {
                self.sense = [6, 0x29, 0];
                self.send(answer);
                self.send(csw(tag, length, 1));
            }
            Quirk::StallStatus => {
                self.send(answer);
                self.sends.push_back(None);
                self.send(csw(tag, 0, 0));
            }
            Quirk::StallStatusAlways => {
                self.send(answer);
                self.sends.extend([None, None, None, None]);
            }
            Quirk::StallWrapper => return Status::STALL,
            Quirk::ShortWithoutError => {
                answer.truncate(answer.len() / 2);
                self.send(answer);
                self.send(csw(tag, length / 2, 0));
            }
            Quirk::AllIsResidue => {
                self.send(answer);
                self.send(csw(tag, length, 0));
            }
            Quirk::NothingMoved => {
                self.send([]);
                self.send(csw(tag, 0, 0));
            }
            Quirk::StallThenPassed => {
                self.sends.push_back(None);
                self.send(csw(tag, 0, 0));
            }
            Quirk::SkipsData => {
                self.sense = [3, 0x11, 0];
                self.send(csw(tag, length, 1));
            }
            Quirk::SkipsDataAndPasses => self.send(csw(tag, 0, 0)),
            Quirk::EmptyPacket => {
                self.send(answer);
                self.send([]);
                self.send(csw(tag, 0, 0));
            }
            Quirk::TwoStatuses => {
                self.send(answer);
                self.send(csw(tag, 0, 0));
                self.send(csw(tag, 0, 0));
            }
            Quirk::Babble => {
                answer.extend([0; 100]);
                self.send(answer);
                self.send(csw(tag, 0, 0));
            }
            wrong => {
                self.send(answer);
                let mut status = match wrong {
                    Quirk::WrongTag => csw(tag + 1, 0, 0),
                    Quirk::PhaseError => csw(tag, 0, 2),
                    Quirk::ResidueTooLarge => csw(tag, length + 1, 0),
                    _ => csw(tag, 0, 0),
                };
                match wrong {
                    Quirk::WrongSignature => status[3] = b'C',
                    Quirk::ShortStatus => status.truncate(12),
                    _ => {}
                }
                self.send(status);
            }
        }
        Status::COMPLETED
    }

    fn serve(&mut self) {
        while let Some((id, length)) = self.ins.front().copied() {
            let stall = Completion::failed(id, usb_descriptors::Direction::In, Status::STALL);
            if self.in_halted {
                if !self.stalls_queue {
                    return; // as host controllers do: it waits
                }
                self.push(stall);
            } else {
                match self.sends.pop_front() {
                    None => return,
                    Some(None) => {
                        self.in_halted = true;
                        self.push(stall);
                    }
                    Some(Some(mut data)) => {
                        let status = if data.len() > length as usize {
                            data.truncate(length as usize);
                            Status::OVERFLOW
                        } else {
                            Status::COMPLETED
                        };
                        self.push(Completion::new(id, status, Actual::In(data.into())));
                    }
                }
            }
            self.ins.pop_front();
        }
    }

    fn control(&mut self, setup: SetupPacket) -> Status {
        self.requests.push(setup.to_bytes());
        let clear_in = SetupPacket::clear_halt(BULK_IN);
        if setup == clear_in {
            (self.in_halted, self.stalls_queue) = (false, false);
        }
        if setup.to_bytes()[..2] == CLASS_RESET {
            self.resets += 1;
            if self.refuses_reset {
                return Status::STALL;
            }
            self.sends.clear();
            (self.out_left, self.leaves_data) = (0, false);
        }
        if setup.request == 0xfe {
            Status::STALL
        } else {
            Status::COMPLETED
        }
    }
}

impl Function for Foreign {
    fn submit(&mut self, transfer: Transfer) {
        if let Kind::Control(setup) = transfer.kind {
            let status = self.control(setup);
            let completion = match status {
                Status::COMPLETED => transfer.complete_out(),
                status => transfer.fail(status),
            };
            self.push(completion);
        } else {
            match (&transfer.payload, transfer.endpoint) {
                (Payload::In { length }, BULK_IN) => self.ins.push_back((transfer.id, *length)),
                (Payload::Out(data), BULK_OUT) => {
                    let data = data.clone();
                    if self.leaves_data {
                        self.left = Some(transfer.id);
                    } else if self.out_left > 0 {
                        self.out_left -= data.len();
                        let taken = &data[..data.len().min(self.out_takes)];
                        self.written.extend_from_slice(taken);
                        let status = mem::replace(&mut self.out_status, Status::COMPLETED);
                        let actual = Actual::Out(taken.len() as u32);
                        self.push(Completion::new(transfer.id, status, actual));
                    } else {
                        let status = self.wrapper(&data);
                        self.push(match status {
                            Status::COMPLETED => transfer.complete_out(),
                            status => transfer.fail(status),
                        });
                    }
                }
                _ => panic!("another endpoint"),
            }
        }
        self.serve();
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(at) = self.ins.iter().position(|(each, _)| *each == id) {
            self.ins.remove(at);
            let direction = usb_descriptors::Direction::In;
            self.push(Completion::failed(id, direction, Status::CANCELLED));
        }
        if self.left.take_if(|left| *left == id).is_some() {
            let direction = usb_descriptors::Direction::Out;
            self.push(Completion::failed(id, direction, Status::CANCELLED));
        }
    }

    fn reset(&mut self) {
        while let Some((id, _)) = self.ins.front().copied() {
            self.cancel(id);
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front().map(FunctionEvent::Complete)
    }
}

fn run(quirks: &[Quirk]) -> (Result<Segments, ScsiError>, Foreign) {
    let mut device = Foreign {
        quirks: quirks.to_vec(),
        ..Foreign::default()
    };
    let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
    let ticket = host.read(7, 2);
    exchange(&mut host, &mut device);
    let (done, result) = host.result().expect("it ends");
    assert_eq!(done, ticket);
    assert_eq!(host.pending(), 0);
    // Whatever happened, the device works afterwards.
    device.quirks.clear();
    host.read(9, 1);
    exchange(&mut host, &mut device);
    let (_, after) = host.result().unwrap();
    assert_eq!(after.unwrap().to_bytes(), vec![9; 512]);
    assert_eq!(host.unit().unwrap().vendor, "Foreign");
    (result, device)
}

#[test]
fn a_device_with_other_numbers_is_found_and_configured() {
    let (result, device) = run(&[]);
    assert_eq!(result.unwrap().to_bytes(), vec![7; 1024]);
    assert_eq!(
        device.requests[0],
        SetupPacket::set_configuration(5).to_bytes()
    );
    assert_eq!(device.requests[1], [0xa1, 0xfe, 0, 0, 2, 0, 1, 0]);
    assert_eq!(device.resets, 0);
}

#[test]
fn a_stall_of_data_is_cleared_and_the_sense_told() {
    for quirk in [Quirk::StallData, Quirk::StallDataAndQueue] {
        let (result, device) = run(&[quirk]);
        assert_eq!(
            result,
            Err(ScsiError::Sense(Sense::READ_ERROR)),
            "{quirk:?}"
        );
        assert_eq!(device.resets, 0, "{quirk:?}: no reset for what is no fault");
    }
}

/// The status read meets the stall, and is repeated.
#[test]
fn a_stall_before_the_status_is_cleared() {
    let (result, device) = run(&[Quirk::ShortThenStall]);
    assert_eq!(result, Err(ScsiError::Sense(Sense::READ_ERROR)));
    assert_eq!(device.resets, 0);
    let (result, device) = run(&[Quirk::StallStatus]);
    assert_eq!(result.unwrap().len(), 1024);
    assert_eq!(device.resets, 0);
}

#[test]
fn a_status_in_place_of_the_data_is_taken_as_status() {
    let (result, device) = run(&[Quirk::SkipsData]);
    assert_eq!(result, Err(ScsiError::Sense(Sense::READ_ERROR)));
    assert_eq!(device.resets, 0);
    let (result, device) = run(&[Quirk::SkipsDataAndPasses]);
    assert_eq!((result, device.resets), (Err(ScsiError::Answer), 0));
}

/// What the host still sends is not taken any more.
#[test]
fn a_write_whose_status_comes_before_its_data_is_taken_ends() {
    let write = |quirks: &[Quirk]| {
        let mut device = Foreign {
            quirks: quirks.to_vec(),
            ..Foreign::default()
        };
        let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
        host.write(0, Bytes::from(vec![1; 512]));
        exchange(&mut host, &mut device);
        assert_eq!(host.pending(), 0);
        (host.result().expect("it ends").1, device)
    };
    let (result, device) = write(&[Quirk::SkipsData]);
    assert_eq!((result, device.resets), (Ok(Segments::new()), 1));
    assert_eq!(device.written, [1; 512]);
    let (result, device) = write(&[Quirk::SkipsData; 3]);
    assert_eq!((result, device.resets), (Err(ScsiError::Transport), 3));
}

#[test]
fn an_empty_packet_before_the_status_is_passed_over() {
    let (result, device) = run(&[Quirk::EmptyPacket]);
    assert_eq!(result.unwrap().len(), 1024);
    assert_eq!(device.resets, 0);
}

/// The next command meets the second one, and is repeated.
#[test]
fn a_second_status_is_nobodys() {
    let (result, device) = run(&[Quirk::TwoStatuses]);
    assert_eq!(result.unwrap().len(), 1024);
    assert_eq!(device.resets, 1);
}

#[test]
fn broken_transport_is_reset_and_the_command_repeated() {
    for quirk in [
        Quirk::StallStatusAlways,
        Quirk::StallWrapper,
        Quirk::WrongTag,
        Quirk::WrongSignature,
        Quirk::ShortStatus,
        Quirk::PhaseError,
        Quirk::ResidueTooLarge,
        Quirk::Babble,
    ] {
        let (result, device) = run(&[quirk]);
        assert_eq!(result.unwrap().to_bytes(), vec![7; 1024], "{quirk:?}");
        assert_eq!(device.resets, 1, "{quirk:?}");
        let at = device
            .requests
            .iter()
            .position(|each| each[..2] == CLASS_RESET)
            .unwrap();
        let recovery = &device.requests[at..at + 3];
        assert_eq!(recovery[0], [0x21, 0xff, 0, 0, 2, 0, 0, 0]);
        assert_eq!(recovery[1], SetupPacket::clear_halt(BULK_IN).to_bytes());
        assert_eq!(recovery[2], SetupPacket::clear_halt(BULK_OUT).to_bytes());
        // Three times in a row is enough.
        let (result, device) = run(&[quirk; 3]);
        assert_eq!(result, Err(ScsiError::Transport), "{quirk:?}");
        assert_eq!(device.resets, 3);
    }
}

#[test]
fn a_unit_attention_is_but_a_notice() {
    let (result, device) = run(&[Quirk::UnitAttention]);
    assert_eq!(result.unwrap().len(), 1024);
    assert_eq!(device.resets, 0);
    // One for each thing that has happened; but it ends.
    let (result, _) = run(&[Quirk::UnitAttention; 8]);
    assert_eq!(result.unwrap().len(), 1024);
    let (result, _) = run(&[Quirk::UnitAttention; 100]);
    let sense = Sense::new(SenseKey::UNIT_ATTENTION, 0x29, 0);
    assert_eq!(result, Err(ScsiError::Sense(sense)));
}

#[test]
fn answers_that_make_no_sense_are_told() {
    for quirk in SUCCESS_WITHOUT_DATA {
        let (result, device) = run(&[quirk]);
        assert_eq!(result, Err(ScsiError::Answer), "{quirk:?}");
        assert_eq!(device.resets, 0, "{quirk:?}");
    }
    for block_size in [0, 65_537, u32::MAX] {
        let mut device = Foreign {
            block_size,
            ..Foreign::default()
        };
        let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
        host.read(0, 1);
        exchange(&mut host, &mut device);
        assert_eq!(host.result().unwrap().1, Err(ScsiError::Answer));
        assert_eq!((host.unit(), host.error()), (None, Some(ScsiError::Answer)));
    }
}

#[test]
fn a_write_that_was_not_done_is_no_success() {
    for quirk in SUCCESS_WITHOUT_DATA {
        let mut device = Foreign {
            quirks: vec![quirk],
            ..Foreign::default()
        };
        let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
        // Two commands, of which the second is not sent.
        host.write(0, Bytes::from(vec![1; 400 * 512]));
        host.write(7, Bytes::from(vec![2; 512]));
        exchange(&mut host, &mut device);
        let (_, result) = host.result().unwrap();
        assert_eq!(result, Err(ScsiError::Answer), "{quirk:?}");
        assert_eq!(device.resets, 0, "{quirk:?}");
        let clear_out = SetupPacket::clear_halt(BULK_OUT).to_bytes();
        assert_eq!(
            device.requests.contains(&clear_out),
            quirk == Quirk::StallThenPassed
        );
        // The next works.
        let (_, result) = host.result().unwrap();
        assert_eq!(result, Ok(Segments::new()), "{quirk:?}");
        assert_eq!(device.done, 1, "{quirk:?}");
        assert!(device.written.ends_with(&[2; 512]));
    }
}

/// So too where it is not the first command of a request.
#[test]
fn the_end_of_a_long_write_counts() {
    let mut device = Foreign::default();
    let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
    host.write(0, Bytes::from(vec![1; 400 * 512]));
    while device.done == 0 {
        if let Some(HostEvent::Submit(transfer)) = host.poll() {
            device.submit(transfer);
        }
        while let Some(FunctionEvent::Complete(completion)) = device.poll() {
            host.complete(completion);
        }
    }
    device.quirks.push(Quirk::AllIsResidue);
    exchange(&mut host, &mut device);
    assert_eq!(host.result().unwrap().1, Err(ScsiError::Answer));
    assert_eq!((host.result(), device.done), (None, 1));
}

#[test]
fn a_device_that_does_not_recover_is_given_up() {
    let mut device = Foreign {
        quirks: vec![Quirk::PhaseError],
        refuses_reset: true,
        ..Foreign::default()
    };
    let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
    host.read(0, 1);
    host.write(0, Bytes::from(vec![0; 512]));
    exchange(&mut host, &mut device);
    for _ in 0..2 {
        let (_, result) = host.result().unwrap();
        assert_eq!(result, Err(ScsiError::Device(Status::STALL)));
    }
    assert_eq!(host.error(), Some(ScsiError::Device(Status::STALL)));
    assert_eq!((host.pending(), host.poll()), (0, None));
}

#[test]
fn writes_reach_the_device_and_an_unknown_flush_is_none() {
    let mut device = Foreign::default();
    let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
    let data: Vec<u8> = (0..400 * 512u32).map(|at| (at / 512) as u8).collect();
    host.write(0, Bytes::from(data.clone()));
    host.flush();
    exchange(&mut host, &mut device);
    assert_eq!(host.result().unwrap().1.unwrap().len(), 0);
    assert_eq!(host.result().unwrap().1.unwrap().len(), 0);
    // Some say of which block, though there is none.
    device.response = 0xf0;
    host.flush();
    exchange(&mut host, &mut device);
    assert_eq!(host.result().unwrap().1, Ok(Segments::new()));
    assert_eq!(
        (device.written == data, device.done),
        (true, 2),
        "two commands"
    );
}

#[test]
fn a_device_that_goes_takes_all_requests_with_it() {
    let mut host = Initiator::new(&Foreign::descriptors()).unwrap();
    host.read(0, 1);
    let Some(HostEvent::Submit(transfer)) = host.poll() else {
        panic!()
    };
    host.complete(transfer.fail(Status::DISCONNECTED));
    host.detach();
    assert_eq!(
        host.result().unwrap().1,
        Err(ScsiError::Device(Status::DISCONNECTED))
    );
    assert_eq!(host.poll(), Some(HostEvent::Reset));
    assert_eq!(host.poll(), None);
}
