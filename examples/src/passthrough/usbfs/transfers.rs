//! Transfers that are under way at a device node, and those that wait for memory.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use usb_descriptors::{Direction, SetupPacket};
use usb_transfer::{
    Actual, Completion, FunctionEvent, IsoPacket, Kind, Payload, Segments, Status, Transfer,
    TransferId,
};

use super::super::kernel::{Buffer, MOST_PACKETS, Mapped, Node, Reaped, Request, UrbKind, flag};
use super::super::pool::Pool;
use super::super::share::{MOST, has_room, has_room_for_control};
use super::packets::{compacted, packed, total};
use super::{status_of, status_of_urb};

/// What takes URBs and gives them back.
pub(super) trait Urbs {
    /// Memory that an URB can fill.
    fn map(&self, length: usize) -> Result<Mapped, Errno>;
    /// Starts an URB, with a number until it is reaped.
    fn submit(&mut self, request: Request<'_>, tag: Tag) -> Result<usize, Errno>;
    /// Ends an URB early; when this returns, those behind it have their turn.
    fn discard(&self, number: usize);
    /// One that has ended.
    fn reap(&mut self) -> Result<Option<Reaped<Tag>>, Errno>;
    /// How many are not reaped.
    fn under_way(&self) -> usize;
}

impl Urbs for Node<Tag> {
    fn map(&self, length: usize) -> Result<Mapped, Errno> {
        self.map(length)
    }
    fn submit(&mut self, request: Request<'_>, tag: Tag) -> Result<usize, Errno> {
        self.submit(request, tag)
    }
    fn discard(&self, number: usize) {
        self.discard(number);
    }
    fn reap(&mut self) -> Result<Option<Reaped<Tag>>, Errno> {
        self.reap()
    }
    fn under_way(&self) -> usize {
        self.under_way()
    }
}

#[derive(Debug)]
pub(super) struct Transfers<N> {
    node: N,
    pool: Pool<Mapped>,
    jobs: BTreeMap<TransferId, Job>,
    /// Bytes that are under way, by queue.
    bytes: BTreeMap<Queue, usize>,
    /// For which there is no memory as long as others are under way.
    backlog: VecDeque<(Transfer, Place)>,
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
pub(super) struct Tag {
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
pub(super) struct Place {
    pub(super) kind: UrbKind,
    pub(super) endpoint: u8,
    /// 0 for none.
    pub(super) stream: u16,
}

/// Within which transfers stay in their order: an endpoint, or a stream of one.
type Queue = (u8, u16);

impl Place {
    pub(super) const CONTROL: Self = Self {
        kind: UrbKind::Control,
        endpoint: 0,
        stream: 0,
    };

    const fn queue(self) -> Queue {
        (self.endpoint, self.stream)
    }
}

/// A transfer that is under way.
#[derive(Debug)]
struct Job {
    direction: Direction,
    queue: Queue,
    bytes: usize,
    /// The kernel's numbers of its URBs, of those that are under way: another may have the number
    /// of one that has come back.
    urbs: Vec<Option<usize>>,
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

impl<N: Urbs> Transfers<N> {
    pub(super) fn new(node: N) -> Self {
        Self {
            node,
            pool: Pool::default(),
            jobs: BTreeMap::new(),
            bytes: BTreeMap::new(),
            backlog: VecDeque::new(),
            events: VecDeque::new(),
            presence: Presence::Here,
            unplugged: Arc::default(),
        }
    }

    pub(super) fn with_hang_up(self, unplugged: Arc<AtomicBool>) -> Self {
        Self { unplugged, ..self }
    }

    pub(super) fn submit(&mut self, transfer: Transfer, place: Place) {
        // Those of one queue stay in their order; others need not wait.
        if self.waits(place) {
            self.backlog.push_back((transfer, place));
        } else {
            self.start(transfer, place);
        }
    }

    pub(super) fn cancel(&mut self, id: TransferId) {
        if let Some(job) = self.jobs.get(&id) {
            return self.discard(job.urbs.iter().copied().flatten());
        }
        let waiting = self.backlog.iter().position(|(waits, _)| waits.id == id);
        if let Some((transfer, _)) = waiting.and_then(|index| self.backlog.remove(index)) {
            self.complete(transfer.fail(Status::CANCELLED));
            // Those behind it may have had to wait for it only.
            self.start_backlog();
        }
    }

    pub(super) fn poll(&mut self) -> Option<FunctionEvent> {
        if self.events.is_empty() {
            self.reap();
        }
        self.events.pop_front()
    }

    /// From the last: with each that ends, the one behind it has its turn.
    fn discard(&self, urbs: impl DoubleEndedIterator<Item = usize>) {
        urbs.rev().for_each(|urb| self.node.discard(urb));
    }

    /// A buffer for what a device sends.
    fn buffer(&self, length: usize) -> Buffer {
        match self.pool.take(length, |size| self.node.map(size).ok()) {
            Some((memory, loan)) => Buffer::Mapped(memory, length, loan),
            None => Buffer::In(vec![0; length]),
        }
    }

    fn has_room(&self, bytes: usize, place: Place) -> bool {
        let own = self.bytes.get(&place.queue()).copied().unwrap_or(0);
        if place.kind == UrbKind::Control {
            return has_room_for_control(bytes, own);
        }
        let data = |(queue, _): &(&Queue, _)| **queue != Place::CONTROL.queue();
        let all = self.bytes.iter().filter(data).map(|(_, bytes)| bytes);
        has_room(bytes, own, all.sum::<usize>() - own)
    }

    /// Starts a transfer, or has it wait for memory.
    fn start(&mut self, transfer: Transfer, place: Place) {
        let bytes = transfer.payload.len();
        if bytes > MOST {
            return self.complete(transfer.fail(Status::NO_MEMORY));
        }
        if !self.has_room(bytes, place) {
            return self.backlog.push_back((transfer, place));
        }
        let started = match &transfer.kind {
            Kind::Control(setup) => self.start_control(&transfer, *setup, place),
            Kind::Data { .. } => self.start_data(&transfer, place),
            Kind::Isochronous(packets) => self.start_isochronous(&transfer, packets, place),
        };
        match started {
            Ok(job) => {
                *self.bytes.entry(job.queue).or_default() += job.bytes;
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

    fn start_control(
        &mut self,
        transfer: &Transfer,
        setup: SetupPacket,
        place: Place,
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

    fn start_data(&mut self, transfer: &Transfer, place: Place) -> Result<Job, Errno> {
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
            stream: place.stream,
        };
        let urb = self.node.submit(request, Tag::whole(transfer.id))?;
        let kind = JobKind::Plain { before: 0 };
        Ok(Job::new(transfer, place, vec![urb], kind))
    }

    fn start_isochronous(
        &mut self,
        transfer: &Transfer,
        packets: &[IsoPacket],
        place: Place,
    ) -> Result<Job, Errno> {
        let mut urbs = Vec::with_capacity(packets.len().div_ceil(MOST_PACKETS));
        for (piece, packets) in packets.chunks(MOST_PACKETS).enumerate() {
            match self.start_piece(transfer, piece, packets, place) {
                Ok(urb) => urbs.push(urb),
                // Those that run already come back first, and then the transfer is over.
                Err(error) if piece > 0 => {
                    self.discard(urbs.iter().copied());
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

    /// Starts so many of its packets as one URB.
    fn start_piece(
        &mut self,
        transfer: &Transfer,
        piece: usize,
        packets: &[IsoPacket],
        place: Place,
    ) -> Result<usize, Errno> {
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
        self.node.submit(request, Tag { id, piece })
    }

    fn complete(&mut self, completion: Completion) {
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    /// A transfer has come back.
    fn remove_job(&mut self, id: TransferId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        if let Some(bytes) = self.bytes.get_mut(&job.queue) {
            *bytes -= job.bytes;
            if *bytes == 0 {
                self.bytes.remove(&job.queue);
            }
        }
        Some(job)
    }

    fn reaped(&mut self, urb: Reaped<Tag>) {
        let Tag { id, piece } = urb.tag;
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if let Some(number) = job.urbs.get_mut(piece) {
            *number = None;
        }
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
                if job.urbs.iter().all(Option::is_none) {
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

    /// Whether something waits for memory in a queue.
    fn waits(&self, place: Place) -> bool {
        let mut places = self.backlog.iter().map(|(_, place)| place.queue());
        places.any(|queue| queue == place.queue())
    }

    fn start_backlog(&mut self) {
        for (transfer, place) in mem::take(&mut self.backlog) {
            self.submit(transfer, place);
        }
    }
}

impl<N> Transfers<N> {
    pub(super) const fn node(&self) -> &N {
        &self.node
    }
}

impl Job {
    fn new(transfer: &Transfer, place: Place, urbs: Vec<usize>, kind: JobKind) -> Self {
        Self {
            direction: transfer.payload.direction(),
            queue: place.queue(),
            bytes: transfer.payload.len(),
            urbs: urbs.into_iter().map(Some).collect(),
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

#[cfg(test)]
mod tests;
