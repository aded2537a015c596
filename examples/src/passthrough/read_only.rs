//! A real disk that cannot be written, whatever is asked of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::{
    ClassCode, DescriptorType, Direction, EndpointAddress, Recipient, RequestKind, RequestType,
    SetupPacket, request,
};
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, Endpoint, FunctionEvent, Kind, Payload, Segments,
    Status, Transfer, TransferId,
};

use super::commands::{Command, Refusal, Verdict};
use super::host_api::{ClaimError, HostApi};

/// What is known of the disks of a device before it is used.
///
/// Only Bulk-Only Transport is let through, as only there every transfer to the device is a
/// command. All other settings, those with UAS and those of other functions, are told as a vendor's, and
/// nothing is moved there: nobody knows what it would do to the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Disks {
    configurations: Vec<Bytes>,
    /// Interfaces with Bulk-Only Transport.
    guarded: BTreeSet<u8>,
    /// Alternate settings without; of those that a device begins with nothing is guarded.
    hidden: BTreeSet<(u8, u8)>,
}

/// Why a device's disks cannot be kept from being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DisksError {
    /// It has none.
    #[error("it is no mass storage")]
    None,
    /// Its first setting is of another transport.
    #[error("interface {interface} is mass storage without Bulk-Only Transport")]
    NoBulkOnly {
        /// Its number.
        interface: u8,
    },
}

/// Where an interface descriptor has its number, its alternate setting and its class (USB 2.0,
/// table 9-12).
const INTERFACE: usize = 9;
const NUMBER: usize = 2;
const ALTERNATE: usize = 3;
const CLASS: usize = 5;
/// What is hidden is told as this.
const A_VENDORS: [u8; 3] = [0xff, 0, 0];

impl Disks {
    /// Looks for disks in all configurations, and hides there what cannot be guarded.
    ///
    /// # Errors
    /// There is no disk, or one that cannot be guarded.
    pub fn guard(descriptors: &mut DeviceDescriptors) -> Result<Self, DisksError> {
        let mut disks = Self::default();
        for configuration in &mut descriptors.configurations {
            let mut bytes = configuration.to_vec();
            disks.guard_configuration(&mut bytes)?;
            *configuration = bytes.into();
        }
        if disks.guarded.is_empty() {
            return Err(DisksError::None);
        }
        disks.configurations.clone_from(&descriptors.configurations);
        Ok(disks)
    }

    fn guard_configuration(&mut self, mut rest: &mut [u8]) -> Result<(), DisksError> {
        let bulk_only = ClassCode::MASS_STORAGE_BULK_ONLY;
        while let [length, kind, ..] = *rest {
            let length = usize::from(length).max(2);
            let Some((descriptor, others)) = rest.split_at_mut_checked(length) else {
                break;
            };
            rest = others;
            if kind != DescriptorType::INTERFACE.0 || descriptor.len() < INTERFACE {
                continue;
            }
            let (interface, alternate) = (descriptor[NUMBER], descriptor[ALTERNATE]);
            let class = &mut descriptor[CLASS..CLASS + 3];
            let is_disk = class[0] == bulk_only.class;
            if is_disk && class[2] == bulk_only.protocol {
                self.guarded.insert(interface);
                continue;
            }
            if alternate > 0 {
                self.hidden.insert((interface, alternate));
            } else if is_disk {
                return Err(DisksError::NoBulkOnly { interface });
            }
            class.copy_from_slice(&A_VENDORS);
        }
        Ok(())
    }
}

/// A way to a device that lets only those commands through to its disks that leave the medium as
/// it is. Of others the disk says that it is write-protected, or that it does not know them.
#[derive(Debug)]
pub struct ReadOnly<H> {
    host: H,
    disks: Disks,
    units: BTreeMap<u8, Unit>,
    events: VecDeque<FunctionEvent>,
}

/// A disk, as far as it speaks for itself.
#[derive(Debug, Default)]
struct Unit {
    /// What is said instead of the device.
    answer: Option<Answer>,
    /// Why the command before was refused, until another comes.
    refusal: Option<Refusal>,
    /// Where what comes next says whether the disk can be written.
    protection: Option<usize>,
    /// Likewise, of a transfer that is under way.
    protected: Option<(TransferId, usize)>,
}

#[derive(Debug)]
struct Answer {
    /// Bytes that the host still has to send, for nobody.
    unwanted: u32,
    data: Option<Bytes>,
    status: [u8; 13],
}

/// What becomes of a transfer to a disk.
enum Sent {
    ToDevice,
    Nowhere,
    Refused,
}

impl<H: HostApi> ReadOnly<H> {
    /// The way to the device of these disks.
    pub fn new(host: H, disks: Disks) -> Self {
        let guarded = disks.guarded.iter();
        Self {
            host,
            units: guarded.map(|&number| (number, Unit::default())).collect(),
            disks,
            events: VecDeque::new(),
        }
    }

    fn complete(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    /// A configuration as it is told to hosts.
    fn configuration(&self, setup: SetupPacket) -> Option<Bytes> {
        let [index, kind] = setup.value.to_le_bytes();
        let is_asked = setup.request_type.kind() == RequestKind::Standard
            && setup.data_direction() == Direction::In
            && setup.request_type.recipient() == Recipient::Device
            && setup.request == request::GET_DESCRIPTOR
            && kind == DescriptorType::CONFIGURATION.0;
        let told = self.disks.configurations.get(usize::from(index));
        let told = told.filter(|_| is_asked)?;
        Some(told.slice(..told.len().min(setup.length.into())))
    }

    /// The disk that a class request sets back (BOT 1.0, 3.1).
    fn set_back(&mut self, setup: SetupPacket) {
        const BULK_ONLY_RESET: (RequestType, u8) = (RequestType::CLASS_INTERFACE_OUT, 0xff);
        if (setup.effective_type(), setup.request) == BULK_ONLY_RESET {
            if let Some(unit) = self.units.get_mut(&setup.interface()) {
                *unit = Unit::default();
            }
        }
    }
}

impl Unit {
    /// A transfer to the disk.
    fn send(&mut self, data: &[u8]) -> Sent {
        if let Some(answer) = self.answer.as_mut().filter(|answer| answer.unwanted > 0) {
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            answer.unwanted = answer.unwanted.saturating_sub(length);
            return Sent::Nowhere;
        }
        let Some(command) = Command::read(data) else {
            return Sent::Refused;
        };
        self.answer = None;
        self.protection = None;
        if let (Some(refusal), Some(wanted)) = (self.refusal.take(), command.sense_wanted()) {
            self.answer = Some(Answer::sense(&command, refusal, wanted));
            return Sent::Nowhere;
        }
        match command.verdict() {
            Verdict::Passes => {
                self.protection = command.place_of_protection();
                Sent::ToDevice
            }
            Verdict::Refused(refusal) => {
                self.refusal = Some(refusal);
                self.answer = Some(Answer::refusal(&command));
                Sent::Nowhere
            }
        }
    }

    /// What the disk itself says to a host that reads. `None`: the device answers.
    fn receive(&mut self) -> Option<Bytes> {
        let answer = self.answer.as_mut()?;
        if let Some(data) = answer.data.take() {
            return Some(data);
        }
        let status = answer.status;
        self.answer = None;
        Some(Bytes::copy_from_slice(&status))
    }
}

impl Answer {
    /// All data is sent to nobody, or none comes.
    fn refusal(command: &Command) -> Self {
        let comes = command.length > 0 && command.direction == Direction::In;
        Self {
            unwanted: if comes { 0 } else { command.length },
            data: comes.then(Bytes::new),
            status: command.status(command.length, false),
        }
    }

    fn sense(command: &Command, refusal: Refusal, wanted: u8) -> Self {
        let mut data = Bytes::copy_from_slice(&refusal.sense());
        data.truncate(usize::from(wanted).min(command.length as usize));
        let comes = command.length > 0 && command.direction == Direction::In;
        let sent = if comes { data.len() } else { 0 };
        let residue = command.length - u32::try_from(sent).unwrap_or(0);
        Self {
            unwanted: if comes { 0 } else { command.length },
            data: comes.then_some(data),
            status: command.status(residue, true),
        }
    }
}

/// Says that the disk cannot be written, in what it said of itself.
fn protect(completion: &mut Completion, place: usize) {
    const WP: u8 = 0x80;
    if let Actual::In(data) = &mut completion.actual {
        let mut bytes = data.to_bytes().to_vec();
        if let Some(byte) = bytes.get_mut(place) {
            *byte |= WP;
        }
        *data = Segments::from(Bytes::from(bytes));
    }
}

impl<H: HostApi> HostApi for ReadOnly<H> {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        self.host.claim(interface)
    }

    fn release(&mut self, interface: u8) {
        self.host.release(interface);
    }

    fn connect_driver(&mut self, interface: u8) {
        self.host.connect_driver(interface);
    }

    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        self.host.set_configuration(value)
    }

    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        if self.disks.hidden.contains(&(number, alternate)) {
            return Err(Status::STALL);
        }
        self.host.set_interface(number, alternate)
    }

    fn allocate_streams(&mut self, _: &[EndpointAddress], _: u32) -> Result<u32, Status> {
        // Bulk-Only Transport has none.
        Err(Status::INVALID)
    }

    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        self.host.clear_halt(endpoint)
    }

    fn reset(&mut self) -> Result<(), Status> {
        for unit in self.units.values_mut() {
            *unit = Unit::default();
        }
        self.host.reset()
    }

    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        let Some(endpoint) = endpoint else {
            if let Kind::Control(setup) = transfer.kind {
                if let Some(told) = self.configuration(setup) {
                    return self.complete(transfer.complete_in(told));
                }
                self.set_back(setup);
            }
            return self.host.submit(transfer, None);
        };
        let unit = self.units.get_mut(&endpoint.interface);
        let (Some(unit), Kind::Data { stream: None }) = (unit, &transfer.kind) else {
            return self.complete(transfer.stall());
        };
        match &transfer.payload {
            Payload::Out(data) => match unit.send(data) {
                Sent::ToDevice => self.host.submit(transfer, Some(endpoint)),
                Sent::Nowhere => self.complete(transfer.complete_out()),
                Sent::Refused => self.complete(transfer.stall()),
            },
            Payload::In { length } => {
                let length = *length as usize;
                if let Some(mut data) = unit.receive() {
                    data.truncate(length);
                    return self.complete(transfer.complete_in(data));
                }
                if let Some(place) = unit.protection.take() {
                    unit.protected = Some((transfer.id, place));
                }
                self.host.submit(transfer, Some(endpoint));
            }
        }
    }

    fn cancel(&mut self, id: TransferId) {
        self.host.cancel(id);
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let mut event = self.host.poll()?;
        if let FunctionEvent::Complete(completion) = &mut event {
            for unit in self.units.values_mut() {
                let is_it = |(id, _): &mut (TransferId, usize)| *id == completion.id;
                if let Some((_, place)) = unit.protected.take_if(is_it) {
                    protect(completion, place);
                }
            }
        }
        Some(event)
    }
}
