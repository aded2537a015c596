//! What all devices here share: endpoint 0, a queue for each other endpoint, and how transfers end
//! early.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use usb_descriptors::{EndpointAddress, SetupPacket, TransferType};
use usb_transfer::{
    Actual, Change, Completion, Control, ControlEndpoint, DeviceDescriptors, FunctionEvent, Kind,
    Status, Transfer, TransferId,
};

/// A device as far as its function does not matter.
///
/// Transfers wait in the queue of their endpoint until the function takes them or something ends
/// them early, which is decided here alone:
///
/// | what happens | the transfers | end as |
/// |---|---|---|
/// | cancel | the one of that id, if it waits | `CANCELLED` |
/// | reset, SET_CONFIGURATION | all | `CANCELLED` |
/// | SET_INTERFACE | those of the interface's endpoints | `CANCELLED` |
/// | SET_FEATURE(ENDPOINT_HALT) | those of the endpoint | `STALL` |
/// | the device is detached | all | `DISCONNECTED` |
///
/// A transfer that was taken is completed by the function before it returns, so nothing is in
/// between; an isochronous one is taken as a whole, when its last packet is due.
#[derive(Debug)]
pub(crate) struct Device {
    control: ControlEndpoint,
    queues: Vec<(EndpointAddress, VecDeque<Transfer>)>,
    completions: VecDeque<Completion>,
    /// Small answers are cut from it; when all are gone it starts over without an allocation.
    memory: BytesMut,
    presence: Presence,
}

/// Bytes for small answers: more than are under way at a time.
const MEMORY: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Attached,
    /// Gone, when all completions are told.
    Leaving,
    Gone,
}

/// What a function has to do about a transfer.
pub(crate) enum Taken {
    /// Nothing.
    Done,
    /// It waits in the queue of its endpoint.
    Queued,
    /// What is configured has changed, all that is stopped is complete, and so is the request.
    Changed(Change),
    /// A request that is the function's to answer, with a stall if it does not know it.
    Request(Transfer, SetupPacket),
}

impl Device {
    pub(crate) fn new(
        descriptors: DeviceDescriptors,
        endpoints: impl IntoIterator<Item = EndpointAddress>,
    ) -> Self {
        let queue = |endpoint| (endpoint, VecDeque::new());
        Self {
            control: ControlEndpoint::new(descriptors),
            queues: endpoints.into_iter().map(queue).collect(),
            completions: VecDeque::new(),
            memory: BytesMut::with_capacity(MEMORY),
            presence: Presence::Attached,
        }
    }

    pub(crate) const fn descriptors(&self) -> &DeviceDescriptors {
        self.control.descriptors()
    }

    pub(crate) const fn is_attached(&self) -> bool {
        matches!(self.presence, Presence::Attached)
    }

    pub(crate) const fn is_configured(&self) -> bool {
        self.control.configuration() != 0
    }

    pub(crate) fn alternate_setting(&self, interface: u8) -> Option<u8> {
        self.control.alternate_setting(interface)
    }

    /// Whether a request is for this interface, and the interface exists now.
    pub(crate) fn is_for_interface(&self, setup: SetupPacket, interface: u8) -> bool {
        setup.index == u16::from(interface) && self.is_configured()
    }

    pub(crate) fn submit(&mut self, transfer: Transfer) -> Taken {
        if !self.is_attached() {
            return self.done(transfer.fail(Status::DISCONNECTED));
        }
        if transfer.endpoint.is_control() {
            return self.submit_control(transfer);
        }
        let endpoint = transfer.endpoint;
        let fits = self.control.endpoints().get(endpoint).is_some_and(|found| {
            let is_isochronous = found.transfer_type == TransferType::Isochronous;
            match transfer.kind {
                Kind::Isochronous(_) => is_isochronous,
                Kind::Data { stream: None } => !is_isochronous,
                Kind::Data { .. } | Kind::Control(_) => false,
            }
        });
        let agrees = transfer.payload.direction() == endpoint.direction();
        let is_halted = self.control.is_halted(endpoint);
        match self.queue_mut(endpoint) {
            Some(queue) if fits && agrees && !is_halted => {
                queue.push_back(transfer);
                Taken::Queued
            }
            _ => self.done(transfer.stall()),
        }
    }

    fn submit_control(&mut self, transfer: Transfer) -> Taken {
        match self.control.submit(transfer) {
            Control::Done(completion) => self.done(completion),
            Control::Changed(change, completion) => {
                self.stop(change);
                self.completions.push_back(completion);
                Taken::Changed(change)
            }
            Control::Request(transfer) => match transfer.kind {
                Kind::Control(setup) => Taken::Request(transfer, setup),
                _ => self.done(transfer.stall()),
            },
        }
    }

    fn done(&mut self, completion: Completion) -> Taken {
        self.completions.push_back(completion);
        Taken::Done
    }

    /// Completes what a change of the configuration stops.
    fn stop(&mut self, change: Change) {
        match change {
            Change::Configuration(_) => self.end_all(Status::CANCELLED, |_| true),
            Change::Interface { number, .. } => {
                let endpoints = self.control.endpoints().clone();
                // Those of other interfaces are there as before.
                self.end_all(Status::CANCELLED, |endpoint| {
                    endpoints
                        .get(endpoint)
                        .is_none_or(|found| found.interface == number)
                });
            }
            Change::Halt(halted, true) => {
                self.end_all(Status::STALL, |endpoint| endpoint == halted);
            }
            _ => {}
        }
    }

    fn end_all(&mut self, status: Status, is_meant: impl Fn(EndpointAddress) -> bool) {
        for (endpoint, queue) in &mut self.queues {
            if is_meant(*endpoint) {
                let ended = queue.drain(..).map(|transfer| transfer.fail(status));
                self.completions.extend(ended);
            }
        }
    }

    /// Ends a transfer, if it waits: the endpoint that it was at.
    pub(crate) fn cancel(&mut self, id: TransferId) -> Option<EndpointAddress> {
        for (endpoint, queue) in &mut self.queues {
            if let Some(at) = queue.iter().position(|transfer| transfer.id == id) {
                let cancelled = queue.remove(at);
                let cancelled = cancelled.map(|transfer| transfer.fail(Status::CANCELLED));
                self.completions.extend(cancelled);
                return Some(*endpoint);
            }
        }
        None
    }

    pub(crate) fn reset(&mut self) {
        self.end_all(Status::CANCELLED, |_| true);
        self.control.reset();
    }

    /// The device leaves: all it has is complete, and it says so.
    pub(crate) fn detach(&mut self) {
        if self.is_attached() {
            self.end_all(Status::DISCONNECTED, |_| true);
            self.control.reset();
            self.presence = Presence::Leaving;
        }
    }

    pub(crate) fn poll(&mut self) -> Option<FunctionEvent> {
        if let Some(completion) = self.completions.pop_front() {
            return Some(FunctionEvent::Complete(completion));
        }
        if self.presence == Presence::Leaving {
            self.presence = Presence::Gone;
            return Some(FunctionEvent::Detached);
        }
        None
    }

    /// The transfer that is next at an endpoint.
    pub(crate) fn front(&self, endpoint: EndpointAddress) -> Option<&Transfer> {
        self.queue(endpoint)?.front()
    }

    /// Takes the transfer that is next at an endpoint; it is to be completed at once.
    pub(crate) fn take(&mut self, endpoint: EndpointAddress) -> Option<Transfer> {
        self.queue_mut(endpoint)?.pop_front()
    }

    pub(crate) fn complete(&mut self, completion: Completion) {
        self.completions.push_back(completion);
    }

    /// Completes an IN transfer with a few bytes; where the host asked for less it gets what fits,
    /// as on a bus that babbles.
    pub(crate) fn complete_in(&mut self, transfer: &Transfer, bytes: &[u8]) {
        let room = transfer.payload.len();
        let mut data = self.small(bytes);
        let status = if room < data.len() {
            Status::OVERFLOW
        } else {
            Status::COMPLETED
        };
        data.truncate(room);
        let completion = Completion::new(transfer.id, status, Actual::In(data.into()));
        self.complete(completion);
    }

    /// Answers a request with up to `wLength` of the bytes.
    pub(crate) fn answer(&mut self, transfer: Transfer, bytes: &[u8]) {
        let room = transfer.payload.len();
        let completion = match transfer.kind {
            Kind::Control(setup) if setup.length > 0 => {
                let bytes = bytes.get(..room).unwrap_or(bytes);
                let data = self.small(bytes);
                transfer.complete_in(data)
            }
            _ => transfer.stall(),
        };
        self.complete(completion);
    }

    fn small(&mut self, bytes: &[u8]) -> Bytes {
        self.memory.extend_from_slice(bytes);
        self.memory.split().freeze()
    }

    fn queue(&self, endpoint: EndpointAddress) -> Option<&VecDeque<Transfer>> {
        let mut queues = self.queues.iter();
        queues
            .find(|(address, _)| *address == endpoint)
            .map(|(_, queue)| queue)
    }

    fn queue_mut(&mut self, endpoint: EndpointAddress) -> Option<&mut VecDeque<Transfer>> {
        let mut queues = self.queues.iter_mut();
        queues
            .find(|(address, _)| *address == endpoint)
            .map(|(_, queue)| queue)
    }
}
