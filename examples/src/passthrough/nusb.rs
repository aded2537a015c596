//! USB devices by the crate `nusb`: what it can is the same on every operating system.
//!
//! It has no isochronous transfers and no streams, asks for whole packets only, and cancels all
//! transfers of an endpoint or none.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use nusb::MaybeFuture;
use nusb::transfer::{
    self, Buffer, Bulk, ControlIn, ControlOut, ControlType, In, Interrupt, Out, TransferError,
};
use rustix::fs::{Mode, OFlags};
use usb_descriptors::{Direction, Recipient, RequestKind, SetupPacket, TransferType};
use usb_transfer::{
    Actual, Completion, Endpoint, FunctionEvent, Kind, Payload, Segments, Status, Transfer,
    TransferId,
};

use super::host_api::{ClaimError, HostApi};

/// A device by `nusb`.
pub struct Nusb {
    device: nusb::Device,
    waker: Waker,
    /// Set when the device has gone, whether anything was under way or not.
    unplugged: Arc<AtomicBool>,
    interfaces: BTreeMap<u8, nusb::Interface>,
    pipes: BTreeMap<u8, Pipe>,
    controls: Vec<ControlJob>,
    events: VecDeque<FunctionEvent>,
    is_told: bool,
}

/// What a control transfer may take: as long as Linux gives a device for most of its own
/// (`USB_CTRL_GET_TIMEOUT`). `nusb` cannot end one early.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

type ControlFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, TransferError>> + Send>>;

struct ControlJob {
    id: TransferId,
    direction: Direction,
    length: u32,
    future: ControlFuture,
}

/// An endpoint that is in use.
struct Pipe {
    end: End,
    interface: u8,
    /// Those that `nusb` has, in order, then those that wait for the end of a cancel.
    jobs: VecDeque<Job>,
    /// How many were given to `nusb`.
    submitted: usize,
    /// How many of these it gave back to be started again.
    stopped: usize,
    /// All were cancelled, for the sake of some: nothing is submitted until they are back.
    is_draining: bool,
}

/// The types of `nusb`, by type and direction.
enum End {
    BulkIn(nusb::Endpoint<Bulk, In>),
    BulkOut(nusb::Endpoint<Bulk, Out>),
    InterruptIn(nusb::Endpoint<Interrupt, In>),
    InterruptOut(nusb::Endpoint<Interrupt, Out>),
}

/// Calls the same of whichever it is.
macro_rules! each_end {
    ($end:expr, $pipe:ident => $call:expr) => {
        match $end {
            End::BulkIn($pipe) => $call,
            End::BulkOut($pipe) => $call,
            End::InterruptIn($pipe) => $call,
            End::InterruptOut($pipe) => $call,
        }
    };
}

/// A transfer on its way.
#[derive(Debug)]
struct Job {
    id: TransferId,
    is_cancelled: bool,
    /// Buffers that `nusb` has of it.
    outstanding: u8,
    /// It ended early, for another's sake or its own.
    is_stopped: bool,
    failure: Option<Status>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    In {
        /// What has come.
        data: Segments,
        /// Bytes still wanted.
        left: usize,
    },
    Out {
        /// Bytes taken.
        taken: u32,
        /// What `nusb` does not have.
        rest: Bytes,
        /// An empty packet follows.
        owes_empty: bool,
    },
}

/// What a buffer that came back means for its transfer.
enum Outcome {
    /// Another buffer of it is under way.
    Goes,
    /// It is to be started again, where it was stopped.
    Stopped,
    Ended(Status),
}

impl Nusb {
    /// Opens a device node, such as `/dev/bus/usb/001/002`, for [`new`](Self::new).
    ///
    /// # Errors
    /// There is none, or it is not for this user.
    pub fn open_node(node: &Path) -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(
            node,
            OFlags::RDWR | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// The device of a node. The waker is used when there is something to poll for; `unplugged` is
    /// to be set, and the waker used, when the node hangs up.
    ///
    /// # Errors
    /// The node is none of a USB device.
    pub fn new(node: OwnedFd, waker: Waker, unplugged: Arc<AtomicBool>) -> io::Result<Self> {
        let device = nusb::Device::from_fd(node)
            .wait()
            .map_err(io::Error::from)?;
        Ok(Self {
            device,
            waker,
            unplugged,
            interfaces: BTreeMap::new(),
            pipes: BTreeMap::new(),
            controls: Vec::new(),
            events: VecDeque::new(),
            is_told: false,
        })
    }

    fn complete(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn submit_control(&mut self, transfer: Transfer, setup: SetupPacket) {
        let Some((control_type, recipient)) = words_of(setup) else {
            return self.complete(transfer.stall());
        };
        let SetupPacket {
            request,
            value,
            index,
            length,
            ..
        } = setup;
        let future: ControlFuture = match &transfer.payload {
            Payload::In { .. } => {
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
            Payload::Out(data) => {
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
        };
        self.controls.push(ControlJob {
            id: transfer.id,
            direction: transfer.payload.direction(),
            length: u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX),
            future,
        });
    }

    fn submit_data(&mut self, transfer: Transfer, endpoint: &Endpoint) {
        match self.pipe(endpoint) {
            Some(pipe) => pipe.submit(transfer),
            None => self.complete(transfer.fail(Status::INVALID)),
        }
    }

    /// The endpoint, opened if it is not.
    fn pipe(&mut self, endpoint: &Endpoint) -> Option<&mut Pipe> {
        match self.pipes.entry(endpoint.address.to_byte()) {
            Entry::Occupied(pipe) => Some(pipe.into_mut()),
            Entry::Vacant(place) => {
                let interface = self.interfaces.get(&endpoint.interface)?;
                let end = open_end(interface, endpoint)?;
                Some(place.insert(Pipe::new(end, endpoint.interface)))
            }
        }
    }

    /// Looks at everything that is under way.
    fn collect(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        let mut done = Vec::new();
        self.controls.retain_mut(|job| {
            let Poll::Ready(result) = job.future.as_mut().poll(&mut context) else {
                return true;
            };
            done.push(job.complete(result));
            false
        });
        for pipe in self.pipes.values_mut() {
            pipe.collect(&mut context, &mut done);
        }
        let events = done.into_iter().map(FunctionEvent::Complete);
        self.events.extend(events);
        if self.unplugged.load(Ordering::Acquire) && !self.is_told {
            let is_idle = self.pipes.values().all(|pipe| pipe.jobs.is_empty());
            if is_idle && self.controls.is_empty() {
                self.is_told = true;
                self.events.push_back(FunctionEvent::Detached);
            }
        }
    }

    /// Closes the endpoints of an interface; nothing is under way there.
    fn close_pipes(&mut self, interface: u8) {
        self.pipes.retain(|_, pipe| pipe.interface != interface);
    }
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
        // It fails where there is no driver.
        let _ = self.device.detach_kernel_driver(interface);
        let claimed = self.device.claim_interface(interface).wait();
        let claimed = claimed.map_err(|error| match error.kind() {
            nusb::ErrorKind::Busy => ClaimError::Busy {
                interface,
                holder: "another program: end it first".into(),
            },
            _ => ClaimError::Refused {
                interface,
                reason: error.to_string(),
            },
        })?;
        self.interfaces.insert(interface, claimed);
        Ok(())
    }

    fn release(&mut self, interface: u8, to_driver: bool) {
        self.close_pipes(interface);
        if let Some(claimed) = self.interfaces.remove(&interface) {
            // Both fail for a device that has gone.
            let _ = claimed.release().wait();
        }
        if to_driver {
            let _ = self.device.attach_kernel_driver(interface);
        }
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

    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        let pipe = self.pipe(endpoint).ok_or(Status::INVALID)?;
        let cleared = each_end!(&mut pipe.end, end => end.clear_halt().wait());
        cleared.map_err(|error| status_of(&error))
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
        if let Some(index) = self.controls.iter().position(|job| job.id == id) {
            // The device may still answer, to nobody.
            let job = self.controls.remove(index);
            return self.complete(Completion::failed(id, job.direction, Status::CANCELLED));
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
        let (status, data) = match result {
            Ok(data) => (Status::COMPLETED, data),
            Err(error) => {
                return Completion::failed(self.id, self.direction, status_of_transfer(error));
            }
        };
        let actual = match self.direction {
            Direction::In => Actual::In(data.into()),
            Direction::Out => Actual::Out(self.length),
        };
        Completion::new(self.id, status, actual)
    }
}

impl Pipe {
    const fn new(end: End, interface: u8) -> Self {
        Self {
            end,
            interface,
            jobs: VecDeque::new(),
            submitted: 0,
            stopped: 0,
            is_draining: false,
        }
    }

    fn submit(&mut self, transfer: Transfer) {
        let packet = packet_size(&self.end);
        let work = match transfer.payload {
            Payload::In { length } => Work::In {
                data: Segments::new(),
                left: length as usize,
            },
            Payload::Out(rest) => Work::Out {
                taken: 0,
                owes_empty: transfer.flags.zero_packet
                    && !rest.is_empty()
                    && rest.len() % packet == 0,
                rest,
            },
        };
        self.jobs.push_back(Job {
            id: transfer.id,
            is_cancelled: false,
            outstanding: 0,
            is_stopped: false,
            failure: None,
            work,
        });
        if !self.is_draining {
            self.start_jobs();
        }
    }

    /// Gives `nusb` all that it does not have.
    fn start_jobs(&mut self) {
        for job in self.jobs.iter_mut().skip(self.submitted) {
            job.start(&mut self.end);
            self.submitted += 1;
        }
    }

    fn cancel(&mut self, id: TransferId, done: &mut Vec<Completion>) {
        let Some(index) = self.jobs.iter().position(|job| job.id == id) else {
            return;
        };
        // Those in front were stopped, those behind were not started.
        if index < self.stopped || index >= self.submitted {
            if index < self.stopped {
                self.stopped -= 1;
                self.submitted -= 1;
            }
            let job = self.jobs.remove(index);
            done.extend(job.map(|job| job.complete(Status::CANCELLED)));
            return;
        }
        if let Some(job) = self.jobs.get_mut(index) {
            job.is_cancelled = true;
        }
        if !self.is_draining {
            self.is_draining = true;
            each_end!(&mut self.end, end => end.cancel_all());
        }
    }

    /// Takes what has come back.
    fn collect(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) {
        loop {
            while each_end!(&self.end, end => end.pending()) > 0 {
                let polled = each_end!(&mut self.end, end => end.poll_next_complete(context));
                let Poll::Ready(completed) = polled else {
                    return;
                };
                let packet = packet_size(&self.end);
                let Some(job) = self.jobs.get_mut(self.stopped) else {
                    return;
                };
                match job.take(completed, packet) {
                    Outcome::Goes => {}
                    Outcome::Stopped => self.stopped += 1,
                    Outcome::Ended(status) => {
                        self.submitted -= 1;
                        let job = self.jobs.remove(self.stopped);
                        done.extend(job.map(|job| job.complete(status)));
                    }
                }
            }
            if !self.is_draining {
                return;
            }
            self.is_draining = false;
            self.submitted = 0;
            self.stopped = 0;
            self.start_jobs();
        }
    }
}

impl Job {
    fn start(&mut self, end: &mut End) {
        self.is_stopped = false;
        self.outstanding = 1;
        match &mut self.work {
            Work::In { left, .. } => {
                let packet = packet_size(end);
                let whole = left.next_multiple_of(packet).max(packet);
                each_end!(end, end => end.submit(Buffer::new(whole)));
            }
            Work::Out {
                rest, owes_empty, ..
            } => {
                let is_empty = rest.is_empty();
                let rest = Vec::from(mem::take(rest));
                each_end!(end, end => end.submit(rest.into()));
                if *owes_empty && !is_empty {
                    self.outstanding = 2;
                    each_end!(end, end => end.submit(Buffer::new(0)));
                }
            }
        }
    }

    /// Takes a buffer back.
    fn take(&mut self, completed: transfer::Completion, packet: usize) -> Outcome {
        self.outstanding -= 1;
        let actual = completed.actual_len;
        let was_stopped = completed.status == Err(TransferError::Cancelled);
        if let (Err(error), false) = (completed.status, was_stopped) {
            self.failure.get_or_insert(status_of_transfer(error));
        }
        match &mut self.work {
            Work::In { data, left } => {
                let mut bytes = Bytes::from(completed.buffer.into_vec());
                bytes.truncate(actual);
                if bytes.len() > *left {
                    // More than was asked for: the rest of a packet has nowhere to go.
                    self.failure.get_or_insert(Status::OVERFLOW);
                    bytes.truncate(*left);
                }
                *left -= bytes.len();
                let is_short = actual % packet != 0;
                self.is_stopped = was_stopped && !is_short && *left > 0;
                data.push(bytes);
            }
            Work::Out {
                taken,
                rest,
                owes_empty,
            } => {
                let mut bytes = Bytes::from(completed.buffer.into_vec());
                let is_the_empty_one = bytes.is_empty();
                bytes.advance(actual.min(bytes.len()));
                *taken += u32::try_from(actual).unwrap_or(u32::MAX);
                if is_the_empty_one {
                    *owes_empty &= was_stopped;
                } else {
                    *rest = bytes;
                }
                self.is_stopped = was_stopped && (!rest.is_empty() || *owes_empty);
            }
        }
        match self.failure {
            _ if self.outstanding > 0 => Outcome::Goes,
            Some(status) => Outcome::Ended(status),
            None if !self.is_stopped => Outcome::Ended(Status::COMPLETED),
            None if self.is_cancelled => Outcome::Ended(Status::CANCELLED),
            None => Outcome::Stopped,
        }
    }

    fn complete(self, status: Status) -> Completion {
        let actual = match self.work {
            Work::In { data, .. } => Actual::In(data),
            Work::Out { taken, .. } => Actual::Out(taken),
        };
        Completion::new(self.id, status, actual)
    }
}

/// At least 1, whatever the device says.
fn packet_size(end: &End) -> usize {
    each_end!(end, end => end.max_packet_size()).max(1)
}

fn open_end(interface: &nusb::Interface, endpoint: &Endpoint) -> Option<End> {
    let address = endpoint.address.to_byte();
    match (endpoint.transfer_type, endpoint.address.direction()) {
        (TransferType::Bulk, Direction::In) => interface.endpoint(address).ok().map(End::BulkIn),
        (TransferType::Bulk, Direction::Out) => interface.endpoint(address).ok().map(End::BulkOut),
        (TransferType::Interrupt, Direction::In) => {
            interface.endpoint(address).ok().map(End::InterruptIn)
        }
        (TransferType::Interrupt, Direction::Out) => {
            interface.endpoint(address).ok().map(End::InterruptOut)
        }
        (TransferType::Control | TransferType::Isochronous, _) => None,
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

fn status_of_transfer(error: TransferError) -> Status {
    match error {
        // Nobody asked for it: it took too long.
        TransferError::Cancelled => Status::TIMED_OUT,
        TransferError::Stall => Status::STALL,
        TransferError::Disconnected => Status::DISCONNECTED,
        TransferError::Fault => Status::PROTOCOL,
        TransferError::InvalidArgument => Status::INVALID,
        TransferError::Unknown(errno) => {
            Status::from_errno(i32::try_from(errno).map_or(i32::MIN, |errno| -errno))
        }
    }
}

/// Why a change of state failed.
fn status_of(error: &nusb::Error) -> Status {
    match error.kind() {
        nusb::ErrorKind::Disconnected => Status::DISCONNECTED,
        _ => Status::STALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 4;

    fn job(work: Work) -> Job {
        Job {
            id: TransferId::from_u64(1),
            is_cancelled: false,
            outstanding: 1,
            is_stopped: false,
            failure: None,
            work,
        }
    }

    fn wanting(left: usize) -> Job {
        job(Work::In {
            data: Segments::new(),
            left,
        })
    }

    fn came(data: &[u8], status: Result<(), TransferError>) -> transfer::Completion {
        transfer::Completion {
            buffer: data.to_vec().into(),
            actual_len: data.len(),
            status,
        }
    }

    fn taken(
        data: &[u8],
        actual_len: usize,
        status: Result<(), TransferError>,
    ) -> transfer::Completion {
        transfer::Completion {
            buffer: data.to_vec().into(),
            actual_len,
            status,
        }
    }

    const STOPPED: Result<(), TransferError> = Err(TransferError::Cancelled);

    fn ended(outcome: &Outcome) -> Status {
        match outcome {
            Outcome::Ended(status) => *status,
            Outcome::Goes => panic!("goes on"),
            Outcome::Stopped => panic!("is stopped"),
        }
    }

    #[test]
    fn what_came_before_another_was_cancelled_is_kept() {
        let mut job = wanting(10);
        assert!(matches!(
            job.take(came(b"abcd", STOPPED), PACKET),
            Outcome::Stopped
        ));
        let Work::In { left, .. } = &job.work else {
            panic!()
        };
        assert_eq!(*left, 6);
        job.outstanding = 1;
        assert_eq!(
            ended(&job.take(came(b"efghij", Ok(())), PACKET)),
            Status::COMPLETED
        );
        let completion = job.complete(Status::COMPLETED);
        assert_eq!(
            completion.actual,
            Actual::In(Bytes::from_static(b"abcdefghij").into())
        );
    }

    #[test]
    fn a_short_packet_ends_a_transfer_that_was_being_stopped() {
        let mut job = wanting(10);
        assert_eq!(
            ended(&job.take(came(b"abc", STOPPED), PACKET)),
            Status::COMPLETED
        );
        let mut job = wanting(4);
        assert_eq!(
            ended(&job.take(came(b"abcd", STOPPED), PACKET)),
            Status::COMPLETED
        );
    }

    #[test]
    fn the_one_that_was_meant_ends_as_cancelled_with_what_it_had() {
        let mut job = wanting(10);
        job.is_cancelled = true;
        assert_eq!(
            ended(&job.take(came(b"abcd", STOPPED), PACKET)),
            Status::CANCELLED
        );
        assert_eq!(job.complete(Status::CANCELLED).actual.len(), 4);
    }

    #[test]
    fn more_than_was_asked_for_is_an_overflow() {
        let mut job = wanting(3);
        assert_eq!(
            ended(&job.take(came(b"abcd", Ok(())), PACKET)),
            Status::OVERFLOW
        );
        assert_eq!(job.complete(Status::OVERFLOW).actual.len(), 3);
    }

    #[test]
    fn what_was_not_taken_is_sent_again_and_the_empty_packet_once() {
        let mut job = job(Work::Out {
            taken: 0,
            rest: Bytes::new(),
            owes_empty: true,
        });
        job.outstanding = 2;
        assert!(matches!(
            job.take(taken(b"abcdefgh", 4, STOPPED), PACKET),
            Outcome::Goes
        ));
        assert!(matches!(
            job.take(taken(b"", 0, STOPPED), PACKET),
            Outcome::Stopped
        ));
        let Work::Out {
            rest, owes_empty, ..
        } = &job.work
        else {
            panic!()
        };
        assert_eq!((rest.as_ref(), *owes_empty), (b"efgh".as_slice(), true));
        // Started again: the rest went through, the empty packet did not.
        job.outstanding = 2;
        assert!(matches!(
            job.take(taken(b"efgh", 4, Ok(())), PACKET),
            Outcome::Goes
        ));
        assert!(matches!(
            job.take(taken(b"", 0, STOPPED), PACKET),
            Outcome::Stopped
        ));
        job.outstanding = 1;
        assert_eq!(
            ended(&job.take(taken(b"", 0, Ok(())), PACKET)),
            Status::COMPLETED
        );
        assert_eq!(job.complete(Status::COMPLETED).actual, Actual::Out(8));
    }

    #[test]
    fn statuses_survive() {
        assert_eq!(status_of_transfer(TransferError::Stall), Status::STALL);
        assert_eq!(
            status_of_transfer(TransferError::Unknown(75)),
            Status::OVERFLOW
        );
        assert_eq!(
            status_of_transfer(TransferError::Cancelled),
            Status::TIMED_OUT
        );
    }
}
