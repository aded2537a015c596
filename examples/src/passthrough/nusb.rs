//! USB devices by the crate `nusb`: what it can is the same on every operating system.
//!
//! It has no isochronous transfers and no streams, asks for whole packets only, and cancels all
//! transfers of an endpoint or none.

mod pipe;

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nusb::MaybeFuture;
use nusb::transfer::{self, Buffer, ControlIn, ControlOut, ControlType, TransferError};
use usb_descriptors::{Direction, EndpointAddress, Recipient, RequestKind, SetupPacket};
use usb_transfer::{
    Actual, Completion, Endpoint, FunctionEvent, Kind, Payload, Status, Transfer, TransferId,
};

use super::host_api::{ClaimError, HostApi};
use super::kernel::Control;
use super::pool::Pool;
use super::share::{MOST, has_room_for_control};
use pipe::{Pipe, status_of_errno, status_of_transfer};

/// A device by `nusb`.
pub struct Nusb {
    device: nusb::Device,
    /// The same open file.
    node: Control,
    waker: Waker,
    /// Set when the device has gone, whether anything was under way or not.
    unplugged: Arc<AtomicBool>,
    interfaces: BTreeMap<u8, nusb::Interface>,
    pipes: BTreeMap<u8, Pipe>,
    /// Of all pipes.
    pool: Pool<Buffer>,
    /// In their order, in which the device answers.
    controls: VecDeque<ControlJob>,
    /// Control transfers that wait for those to come back.
    waiting: VecDeque<(Transfer, SetupPacket)>,
    events: VecDeque<FunctionEvent>,
    is_told: bool,
}

/// What a control transfer may take: as long as Linux gives a device for most of its own
/// (`USB_CTRL_GET_TIMEOUT`). `nusb` cannot end one early: one that is cancelled is under way until
/// it is back, so that what is asked for is bounded and no change of state overtakes it.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);
type ControlFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, TransferError>> + Send>>;

struct ControlJob {
    id: TransferId,
    direction: Direction,
    length: usize,
    is_cancelled: bool,
    future: ControlFuture,
}

impl Nusb {
    /// The device of an open node, such as `/dev/bus/usb/001/002`, which has this configuration now.
    /// The waker is used when there is something to poll for; `unplugged` is to be set, and the waker
    /// used, when the node hangs up.
    ///
    /// # Errors
    /// The node is none of a USB device, or the device does not tell `nusb` its configuration.
    pub fn new(
        node: &OwnedFd,
        configuration: u8,
        waker: Waker,
        unplugged: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let same = node.try_clone()?;
        let device = open(node, configuration)?;
        Ok(Self {
            device,
            node: Control::new(same),
            waker,
            unplugged,
            interfaces: BTreeMap::new(),
            pipes: BTreeMap::new(),
            pool: Pool::default(),
            controls: VecDeque::new(),
            waiting: VecDeque::new(),
            events: VecDeque::new(),
            is_told: false,
        })
    }

    fn complete(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn submit_control(&mut self, transfer: Transfer, setup: SetupPacket) {
        self.waiting.push_back((transfer, setup));
        self.start_controls();
    }

    /// Gives `nusb` the control transfers that it has room for. `false`: none.
    fn start_controls(&mut self) -> bool {
        let mut has_started = false;
        while let Some((transfer, setup)) = self.waiting.pop_front() {
            let length = transfer.payload.len();
            let under_way: usize = self.controls.iter().map(|job| job.length).sum();
            if !has_room_for_control(length, under_way) {
                self.waiting.push_front((transfer, setup));
                break;
            }
            let Some(future) = self.control(&transfer.payload, setup) else {
                self.complete(transfer.stall());
                continue;
            };
            self.controls.push_back(ControlJob {
                id: transfer.id,
                direction: transfer.payload.direction(),
                length,
                is_cancelled: false,
                future,
            });
            has_started = true;
        }
        has_started
    }

    /// `None`: `nusb` has no words for it, or it has data the other way. Without data it goes as it
    /// came, whichever way it says.
    fn control(&self, payload: &Payload, setup: SetupPacket) -> Option<ControlFuture> {
        let (control_type, recipient) = words_of(setup)?;
        let SetupPacket {
            request,
            value,
            index,
            length,
            ..
        } = setup;
        Some(match setup.request_type.direction() {
            Direction::Out => {
                let Payload::Out(data) = payload else {
                    return None;
                };
                let told = ControlOut {
                    control_type,
                    recipient,
                    request,
                    value,
                    index,
                    data,
                };
                let sent = self.device.control_out(told, CONTROL_TIMEOUT);
                Box::pin(sent.map(|result| result.map(|()| Vec::new())).into_future())
            }
            Direction::In => {
                let asked = ControlIn {
                    control_type,
                    recipient,
                    request,
                    value,
                    index,
                    length,
                };
                Box::pin(self.device.control_in(asked, CONTROL_TIMEOUT).into_future())
            }
        })
    }

    fn submit_data(&mut self, transfer: Transfer, endpoint: &Endpoint) {
        if transfer.payload.len() > MOST {
            return self.complete(transfer.fail(Status::NO_MEMORY));
        }
        let all = self.bytes();
        match self.pipe(endpoint) {
            Some(pipe) => pipe.submit(transfer, all - pipe.bytes()),
            None => self.complete(transfer.fail(Status::INVALID)),
        }
    }

    /// Bytes of all endpoints that `nusb` has.
    fn bytes(&self) -> usize {
        self.pipes.values().map(Pipe::bytes).sum()
    }

    /// The endpoint, opened if it is not.
    fn pipe(&mut self, endpoint: &Endpoint) -> Option<&mut Pipe> {
        match self.pipes.entry(endpoint.address.to_byte()) {
            Entry::Occupied(pipe) => Some(pipe.into_mut()),
            Entry::Vacant(place) => {
                let interface = self.interfaces.get(&endpoint.interface)?;
                Some(place.insert(Pipe::open(interface, endpoint, self.pool.clone())?))
            }
        }
    }

    /// Looks at everything that is under way.
    fn collect(&mut self) {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        let mut done = Vec::new();
        loop {
            while let Some(job) = self.controls.front_mut() {
                let Poll::Ready(result) = job.future.as_mut().poll(&mut context) else {
                    break;
                };
                done.push(job.complete(result));
                self.controls.pop_front();
            }
            // What was started is looked at, so that the waker is used for it.
            if !self.start_controls() {
                break;
            }
        }
        let mut all = self.bytes();
        for pipe in self.pipes.values_mut() {
            let others = all - pipe.bytes();
            pipe.collect(&mut context, others, &mut done);
            all = others + pipe.bytes();
        }
        let leaves = self.unplugged.load(Ordering::Acquire) && !self.is_told;
        if leaves {
            self.is_told = true;
            self.leave(&mut done);
        }
        let events = done.into_iter().map(FunctionEvent::Complete);
        self.events.extend(events);
        self.events
            .extend(leaves.then_some(FunctionEvent::Detached));
    }

    /// The device is gone, and all that is left with it. `nusb` looks at a device no more as soon as
    /// the kernel says so, which is before it has given back all that it had.
    fn leave(&mut self, done: &mut Vec<Completion>) {
        let status = Status::DISCONNECTED;
        let controls = mem::take(&mut self.controls).into_iter();
        done.extend(controls.map(|job| Completion::failed(job.id, job.direction, status)));
        let waiting = mem::take(&mut self.waiting).into_iter();
        done.extend(waiting.map(|(transfer, _)| transfer.fail(status)));
        for pipe in mem::take(&mut self.pipes).into_values() {
            done.extend(pipe.into_left());
        }
    }

    /// Closes the endpoints of an interface. Nothing is under way there, or nobody waits for it.
    fn close_pipes(&mut self, interface: u8) {
        self.pipes.retain(|_, pipe| pipe.interface() != interface);
    }
}

/// Of a node that is open `nusb` asks the device for its configuration, waits 50 ms, and then takes
/// the first for it. A device that is busy with its driver may need longer.
fn open(node: &OwnedFd, configuration: u8) -> io::Result<nusb::Device> {
    const MOST_TRIES: usize = 20;
    for _ in 0..MOST_TRIES {
        let device = nusb::Device::from_fd(node.try_clone()?).wait()?;
        let found = device.active_configuration();
        let found = found.map_or(0, |found| found.configuration_value());
        if found == configuration {
            return Ok(device);
        }
    }
    let what = format!(
        "does not tell nusb that its configuration is {configuration}: usbfs needs not ask"
    );
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

impl fmt::Debug for Nusb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nusb")
            .field("device", &self.device)
            .field("controls", &self.controls.len())
            .field("pipes", &self.pipes.keys())
            .finish_non_exhaustive()
    }
}

impl HostApi for Nusb {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        // By itself nusb would take it from another program, too. For the kernel it is the same file,
        // so that what it claims then is its own.
        self.node.claim(interface)?;
        let claimed = self.device.claim_interface(interface).wait();
        let claimed = claimed.map_err(|error| ClaimError::Refused {
            interface,
            reason: error.to_string(),
        })?;
        self.interfaces.insert(interface, claimed);
        Ok(())
    }

    fn release(&mut self, interface: u8) {
        self.close_pipes(interface);
        // By itself nusb would not let go of it before all that is under way has come back; the
        // kernel ends that. It fails for a device that has gone.
        let _ = self.node.release(interface);
        self.interfaces.remove(&interface);
    }

    fn connect_driver(&mut self, interface: u8) {
        // Likewise.
        let _ = self.device.attach_kernel_driver(interface);
    }

    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        self.pipes.clear();
        let set = self.device.set_configuration(value).wait();
        set.map_err(|error| status_of(&error))
    }

    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        self.close_pipes(number);
        let interface = self.interfaces.get(&number).ok_or(Status::STALL)?;
        let set = interface.set_alt_setting(alternate).wait();
        set.map_err(|error| status_of(&error))
    }

    fn allocate_streams(&mut self, _: &[EndpointAddress], _: u32) -> Result<u32, Status> {
        Err(Status::INVALID)
    }

    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        let pipe = self.pipe(endpoint).ok_or(Status::INVALID)?;
        pipe.clear_halt().map_err(|error| status_of(&error))
    }

    fn reset(&mut self) -> Result<(), Status> {
        self.pipes.clear();
        let reset = self.device.reset().wait();
        reset.map_err(|error| status_of(&error))
    }

    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        match (&transfer.kind, endpoint) {
            (Kind::Control(setup), None) => {
                let setup = *setup;
                self.submit_control(transfer, setup);
            }
            (Kind::Data { stream: None }, Some(endpoint)) => self.submit_data(transfer, endpoint),
            _ => self.complete(transfer.fail(Status::INVALID)),
        }
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(job) = self.controls.iter_mut().find(|job| job.id == id) {
            job.is_cancelled = true;
            return;
        }
        let waiting = self.waiting.iter().position(|(waits, _)| waits.id == id);
        if let Some((transfer, _)) = waiting.and_then(|index| self.waiting.remove(index)) {
            return self.complete(transfer.fail(Status::CANCELLED));
        }
        let mut done = Vec::new();
        for pipe in self.pipes.values_mut() {
            pipe.cancel(id, &mut done);
        }
        for completion in done {
            self.complete(completion);
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.events.is_empty() {
            self.collect();
        }
        self.events.pop_front()
    }
}

impl ControlJob {
    fn complete(&mut self, result: Result<Vec<u8>, TransferError>) -> Completion {
        let data = match result {
            Ok(data) => data,
            Err(TransferError::Cancelled) if self.is_cancelled => {
                return Completion::failed(self.id, self.direction, Status::CANCELLED);
            }
            Err(error) => {
                return Completion::failed(self.id, self.direction, status_of_transfer(error));
            }
        };
        let actual = match self.direction {
            Direction::In => Actual::In(data.into()),
            Direction::Out => Actual::Out(u32::try_from(self.length).unwrap_or(u32::MAX)),
        };
        Completion::new(self.id, Status::COMPLETED, actual)
    }
}

/// A request as `nusb` says it. `None`: it has no words for it.
fn words_of(setup: SetupPacket) -> Option<(ControlType, transfer::Recipient)> {
    let control_type = match setup.request_type.kind() {
        RequestKind::Standard => ControlType::Standard,
        RequestKind::Class => ControlType::Class,
        RequestKind::Vendor => ControlType::Vendor,
        RequestKind::Reserved => return None,
    };
    let recipient = match setup.request_type.recipient() {
        Recipient::Device => transfer::Recipient::Device,
        Recipient::Interface => transfer::Recipient::Interface,
        Recipient::Endpoint => transfer::Recipient::Endpoint,
        Recipient::Other => transfer::Recipient::Other,
        _ => return None,
    };
    Some((control_type, recipient))
}

/// Why a change of state failed: the system's word, if it was the system.
fn status_of(error: &nusb::Error) -> Status {
    error.os_error().map_or(Status::INVALID, status_of_errno)
}
