//! Linux's own way to USB devices: isochronous transfers, and an end for one transfer of many.

mod packets;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket, TransferType};
use usb_transfer::{
    Actual, Completion, Endpoint, FunctionEvent, IsoPacket, Kind, Payload, Segments, Status,
    StreamId, Transfer, TransferId,
};

use super::host_api::{ClaimError, HostApi};
use super::kernel::{Buffer, MOST_PACKETS, Mapped, Node, Reaped, Request, UrbKind, flag};
use super::pool::{MOST, Pool, has_room};
use packets::{compacted, packed, total};

/// A device by usbfs (`Documentation/driver-api/usb/usb.rst` of the kernel). Each transfer is one
/// URB of the kernel's, or, for more than 128 isochronous packets, several.
///
/// Its [`AsFd`] can be written to when [`poll`](HostApi::poll) has something to tell.
#[derive(Debug)]
pub struct Usbfs {
    node: Node<Tag>,
    pool: Pool<Mapped>,
    jobs: BTreeMap<TransferId, Job>,
    /// Bytes that are under way, by endpoint.
    bytes: BTreeMap<u8, usize>,
    /// For which there is no memory as long as others are under way.
    backlog: VecDeque<(Transfer, UrbPlace)>,
    events: VecDeque<FunctionEvent>,
    presence: Presence,
    /// Set when the node hangs up, whether anything was under way or not.
    unplugged: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Here,
    Gone,
    /// Gone, and that was told.
    Told,
}

/// Which transfer an URB belongs to, and which piece of it it is.
#[derive(Clone, Copy, Debug)]
struct Tag {
    id: TransferId,
    piece: usize,
}

impl Tag {
    const fn whole(id: TransferId) -> Self {
        Self { id, piece: 0 }
    }
}

/// Where an URB goes.
#[derive(Clone, Copy, Debug)]
struct UrbPlace {
    kind: UrbKind,
    endpoint: u8,
}

/// A transfer that is under way.
#[derive(Debug)]
struct Job {
    direction: Direction,
    endpoint: u8,
    bytes: usize,
    /// The kernel's numbers of its URBs.
    urbs: Vec<usize>,
    left: usize,
    kind: JobKind,
}

#[derive(Debug)]
enum JobKind {
    Plain {
        /// Bytes of the buffer before the data: a setup packet, or none.
        before: usize,
    },
    Isochronous {
        packets: Vec<IsoPacket>,
        /// What each URB has brought.
        data: Vec<Segments>,
        status: Status,
    },
}

impl Usbfs {
    /// Opens a device node, such as `/dev/bus/usb/001/002`.
    ///
    /// # Errors
    /// There is none, or it is not for this user.
    pub fn open(node: &Path) -> io::Result<Self> {
        Ok(Self {
            node: Node::open(node)?,
            pool: Pool::default(),
            jobs: BTreeMap::new(),
            bytes: BTreeMap::new(),
            backlog: VecDeque::new(),
            events: VecDeque::new(),
            presence: Presence::Here,
            unplugged: Arc::default(),
        })
    }

    /// With what is set when the node hangs up.
    #[must_use]
    pub fn with_hang_up(self, unplugged: Arc<AtomicBool>) -> Self {
        Self { unplugged, ..self }
    }

    /// A buffer for what a device sends.
    fn buffer(&self, length: usize) -> Buffer {
        match self.pool.take(length, |size| self.node.map(size).ok()) {
            Some((memory, loan)) => Buffer::Mapped(memory, length, loan),
            None => Buffer::In(vec![0; length]),
        }
    }

    /// Starts a transfer, or has it wait for memory.
    fn start(&mut self, transfer: Transfer, place: UrbPlace) {
        let bytes = transfer.payload.len();
        if bytes > MOST {
            return self.complete(transfer.fail(Status::NO_MEMORY));
        }
        let own = self.bytes.get(&place.endpoint).copied().unwrap_or(0);
        let all: usize = self.bytes.values().sum();
        if !has_room(bytes, own, all - own) {
            return self.backlog.push_back((transfer, place));
        }
        let started = match &transfer.kind {
            Kind::Control(setup) => self.start_control(&transfer, *setup, place),
            Kind::Data { stream } => self.start_data(&transfer, *stream, place),
            Kind::Isochronous(packets) => self.start_isochronous(&transfer, packets, place),
        };
        match started {
            Ok(job) => {
                *self.bytes.entry(place.endpoint).or_default() += bytes;
                self.jobs.insert(transfer.id, job);
            }
            // Buffers that are not in use count, too.
            Err(Errno::NOMEM) if self.pool.clear() => self.start(transfer, place),
            Err(Errno::NOMEM) if self.node.under_way() > 0 => {
                self.backlog.push_back((transfer, place));
            }
            Err(error) => self.complete(transfer.fail(status_of(error))),
        }
    }

    /// A transfer has come back.
    fn remove_job(&mut self, id: TransferId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        if let Some(bytes) = self.bytes.get_mut(&job.endpoint) {
            *bytes -= job.bytes;
        }
        Some(job)
    }

    fn start_control(
        &mut self,
        transfer: &Transfer,
        setup: SetupPacket,
        place: UrbPlace,
    ) -> Result<Job, Errno> {
        let length = usize::from(setup.length);
        let mut buffer = Vec::with_capacity(SETUP + length);
        buffer.extend_from_slice(&setup.to_bytes());
        let buffer = match &transfer.payload {
            Payload::Out(data) => {
                buffer.extend_from_slice(data);
                // The kernel wants the length that the setup packet tells.
                buffer.resize(SETUP + length, 0);
                Buffer::Out(buffer.into())
            }
            Payload::In { .. } => {
                buffer.resize(SETUP + length, 0);
                Buffer::In(buffer)
            }
        };
        let request = Request {
            kind: place.kind,
            endpoint: place.endpoint,
            flags: 0,
            buffer,
            packets: &[],
            stream: 0,
        };
        let urb = self.node.submit(request, Tag::whole(transfer.id))?;
        let kind = JobKind::Plain { before: SETUP };
        Ok(Job::new(transfer, place, vec![urb], kind))
    }

    fn start_data(
        &mut self,
        transfer: &Transfer,
        stream: Option<StreamId>,
        place: UrbPlace,
    ) -> Result<Job, Errno> {
        let (buffer, flags) = match &transfer.payload {
            Payload::Out(data) => {
                let ends_short = transfer.flags.zero_packet && place.kind == UrbKind::Bulk;
                let flags = if ends_short { flag::ZERO_PACKET } else { 0 };
                (Buffer::Out(data.clone()), flags)
            }
            Payload::In { length } => {
                let flags = if transfer.flags.short_not_ok {
                    flag::SHORT_NOT_OK
                } else {
                    0
                };
                (self.buffer(*length as usize), flags)
            }
        };
        let request = Request {
            kind: place.kind,
            endpoint: place.endpoint,
            flags,
            buffer,
            packets: &[],
            stream: stream.map_or(0, |stream| stream.0.get()),
        };
        let urb = self.node.submit(request, Tag::whole(transfer.id))?;
        let kind = JobKind::Plain { before: 0 };
        Ok(Job::new(transfer, place, vec![urb], kind))
    }

    fn start_isochronous(
        &mut self,
        transfer: &Transfer,
        packets: &[IsoPacket],
        place: UrbPlace,
    ) -> Result<Job, Errno> {
        let mut urbs = Vec::with_capacity(packets.len().div_ceil(MOST_PACKETS));
        for (piece, packets) in packets.chunks(MOST_PACKETS).enumerate() {
            let lengths: Vec<u32> = packets.iter().map(|packet| packet.length).collect();
            let buffer = match &transfer.payload {
                Payload::Out(data) => Buffer::Out(packed(data, packets).ok_or(Errno::INVAL)?),
                Payload::In { length } => {
                    let wanted = total(packets).filter(|&wanted| wanted <= *length as usize);
                    self.buffer(wanted.ok_or(Errno::INVAL)?)
                }
            };
            let request = Request {
                kind: place.kind,
                endpoint: place.endpoint,
                flags: flag::ISO_ASAP,
                buffer,
                packets: &lengths,
                stream: 0,
            };
            let id = transfer.id;
            match self.node.submit(request, Tag { id, piece }) {
                Ok(urb) => urbs.push(urb),
                // Those that run already come back first, and then the transfer is over.
                Err(error) if piece > 0 => {
                    for &urb in &urbs {
                        self.node.discard(urb);
                    }
                    let kind = isochronous(packets_of(transfer), urbs.len(), status_of(error));
                    return Ok(Job::new(transfer, place, urbs, kind));
                }
                Err(error) => return Err(error),
            }
        }
        if urbs.is_empty() {
            return Err(Errno::INVAL);
        }
        let kind = isochronous(packets_of(transfer), urbs.len(), Status::COMPLETED);
        Ok(Job::new(transfer, place, urbs, kind))
    }

    fn complete(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    fn reaped(&mut self, urb: Reaped<Tag>) {
        let Tag { id, piece } = urb.tag;
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.left -= 1;
        let urb_status = status_of_urb(urb.status);
        let filled = match urb.buffer {
            Buffer::In(data) => Some(data.into()),
            Buffer::Mapped(memory, _, loan) => Some(loan.into_bytes(memory)),
            Buffer::Out(_) => None,
        };
        match &mut job.kind {
            JobKind::Plain { before } => {
                let actual = match filled {
                    Some(data) => Actual::In(received(data, *before, urb.actual)),
                    None => Actual::Out(count(urb.actual)),
                };
                self.remove_job(id);
                self.complete(Completion::new(id, urb_status, actual));
            }
            JobKind::Isochronous {
                packets,
                data,
                status,
            } => {
                let first = piece * MOST_PACKETS;
                let ours = packets.iter_mut().skip(first);
                for (packet, done) in ours.zip(&urb.packets) {
                    packet.actual = done.actual.min(packet.length);
                    packet.status = status_of_urb(done.status);
                }
                if let (Some(bytes), Some(slot)) = (filled, data.get_mut(piece)) {
                    *slot = compacted(&bytes, &urb.packets);
                }
                if status.is_completed() {
                    *status = urb_status;
                }
                if job.left == 0 {
                    let status = *status;
                    if let Some(job) = self.remove_job(id) {
                        self.complete(job.ended(id, status));
                    }
                }
            }
        }
    }

    /// Reaps what has come back, and starts what had to wait for that.
    fn reap(&mut self) {
        let mut has_room = false;
        while self.presence == Presence::Here && self.has_news() {
            match self.node.reap() {
                Ok(Some(urb)) => {
                    self.reaped(urb);
                    has_room = true;
                }
                Ok(None) => break,
                Err(_) => self.presence = Presence::Gone,
            }
        }
        if self.presence == Presence::Here {
            if has_room {
                self.start_backlog();
            }
            return;
        }
        // The kernel says that the device is gone before it has given back all it had, and then
        // nobody is woken for it.
        for (id, job) in mem::take(&mut self.jobs) {
            self.complete(job.ended(id, Status::DISCONNECTED));
        }
        for (transfer, _) in mem::take(&mut self.backlog) {
            self.complete(transfer.fail(Status::DISCONNECTED));
        }
        if mem::replace(&mut self.presence, Presence::Told) == Presence::Gone {
            self.events.push_back(FunctionEvent::Detached);
        }
    }

    /// Whether the kernel may have something to tell.
    fn has_news(&self) -> bool {
        self.node.under_way() > 0 || self.unplugged.load(Ordering::Acquire)
    }

    /// Whether something waits for memory at an endpoint.
    fn waits(&self, place: UrbPlace) -> bool {
        let mut places = self.backlog.iter().map(|(_, place)| place);
        places.any(|waiting| waiting.endpoint == place.endpoint)
    }

    fn start_backlog(&mut self) {
        for (transfer, place) in mem::take(&mut self.backlog) {
            if self.waits(place) {
                self.backlog.push_back((transfer, place));
            } else {
                self.start(transfer, place);
            }
        }
    }
}

impl Job {
    fn new(transfer: &Transfer, place: UrbPlace, urbs: Vec<usize>, kind: JobKind) -> Self {
        Self {
            direction: transfer.payload.direction(),
            endpoint: place.endpoint,
            bytes: transfer.payload.len(),
            left: urbs.len(),
            urbs,
            kind,
        }
    }

    /// With what its packets have moved; those without packets have moved nothing.
    fn ended(self, id: TransferId, status: Status) -> Completion {
        let JobKind::Isochronous { packets, data, .. } = self.kind else {
            return Completion::failed(id, self.direction, status);
        };
        let actual = match self.direction {
            Direction::In => {
                let mut all = Segments::new();
                for piece in data {
                    all.append(piece);
                }
                Actual::In(all)
            }
            Direction::Out => Actual::Out(packets.iter().map(|packet| packet.actual).sum()),
        };
        Completion::new(id, status, actual).with_packets(packets)
    }
}

impl HostApi for Usbfs {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        self.node.control().claim(interface)
    }

    fn release(&mut self, interface: u8) {
        // It fails for a device that has gone.
        let _ = self.node.control().release(interface);
    }

    fn connect_driver(&mut self, interface: u8) {
        // Likewise.
        let _ = self.node.control().connect_driver(interface);
    }

    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        let value = Some(value).filter(|&value| value != 0);
        self.node
            .control()
            .set_configuration(value)
            .map_err(status_of)
    }

    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        self.node
            .control()
            .set_interface(number, alternate)
            .map_err(status_of)
    }

    fn allocate_streams(
        &mut self,
        endpoints: &[EndpointAddress],
        streams: u32,
    ) -> Result<(), Status> {
        let endpoints: Vec<u8> = endpoints.iter().map(|place| place.to_byte()).collect();
        self.node
            .control()
            .allocate_streams(&endpoints, streams)
            .map_err(status_of)
    }

    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        let address = endpoint.address.to_byte();
        self.node.control().clear_halt(address).map_err(status_of)
    }

    fn reset(&mut self) -> Result<(), Status> {
        self.node.control().reset().map_err(status_of)
    }

    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        let control = UrbPlace {
            kind: UrbKind::Control,
            endpoint: 0,
        };
        let place = endpoint.map_or(control, |endpoint| UrbPlace {
            kind: match endpoint.transfer_type {
                TransferType::Control => UrbKind::Control,
                TransferType::Isochronous => UrbKind::Isochronous,
                TransferType::Bulk => UrbKind::Bulk,
                TransferType::Interrupt => UrbKind::Interrupt,
            },
            endpoint: endpoint.address.to_byte(),
        });
        // Those of one endpoint stay in their order; others need not wait.
        if self.waits(place) {
            self.backlog.push_back((transfer, place));
        } else {
            self.start(transfer, place);
        }
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(job) = self.jobs.get(&id) {
            job.urbs.iter().for_each(|&urb| self.node.discard(urb));
        }
        let waiting = self.backlog.iter().position(|(waits, _)| waits.id == id);
        if let Some((transfer, _)) = waiting.and_then(|index| self.backlog.remove(index)) {
            self.complete(transfer.fail(Status::CANCELLED));
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.events.is_empty() {
            self.reap();
        }
        self.events.pop_front()
    }
}

impl AsFd for Usbfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

/// Bytes of a setup packet, which usbfs has before the data.
const SETUP: usize = 8;

fn count(actual: usize) -> u32 {
    u32::try_from(actual).unwrap_or(u32::MAX)
}

/// What an URB brought, without what lies before it.
fn received(mut data: Bytes, skip: usize, actual: usize) -> Segments {
    data.truncate(skip + actual);
    data.advance(skip.min(data.len()));
    data.into()
}

fn packets_of(transfer: &Transfer) -> Vec<IsoPacket> {
    match &transfer.kind {
        Kind::Isochronous(packets) => packets
            .iter()
            .map(|packet| IsoPacket {
                status: Status::NOT_TRANSFERRED,
                ..*packet
            })
            .collect(),
        Kind::Control(_) | Kind::Data { .. } => Vec::new(),
    }
}

fn isochronous(packets: Vec<IsoPacket>, urbs: usize, status: Status) -> JobKind {
    JobKind::Isochronous {
        packets,
        data: vec![Segments::new(); urbs],
        status,
    }
}

/// Why a call of the kernel failed, as a transfer's status.
fn status_of(error: Errno) -> Status {
    Status::from_errno(-error.raw_os_error())
}

/// How an URB ended. What was discarded says so in two ways.
fn status_of_urb(status: i32) -> Status {
    match Status::from_errno(status) {
        status if status.errno() == -Errno::NOENT.raw_os_error() => Status::CANCELLED,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_be_discarded_are_one() {
        assert_eq!(status_of_urb(-2), Status::CANCELLED);
        assert_eq!(status_of_urb(-104), Status::CANCELLED);
        assert_eq!(status_of_urb(-32), Status::STALL);
        assert_eq!(status_of(Errno::NODEV), Status::DISCONNECTED);
    }
}
