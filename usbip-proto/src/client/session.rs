//! A session: requests to a remote device.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, BytesMut};
use usb_descriptors::{Direction, SetupPacket, Speed, feature, request};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, IsoPacket, Kind, Payload, Segments, Status, Step,
    Transfer, TransferId, TxQueue, Wire,
};

use super::request::{Reply, Request, Unlink};
use super::seqnums::Seqnums;
use crate::session::{self, End, Io, Message};
use crate::wire::urb::{self, Header};
use crate::wire::{iso, skip};
use crate::{DeviceId, Limits, ProtocolError};

/// The client's end of a session: a [`Wire`] to the server and a [`Function`], the remote device.
///
/// Where a cancel meets the reply of its target, this table decides:
///
/// | server sends | the transfer completes with |
/// |---|---|
/// | RET_UNLINK with an error, its target unanswered | that error, [`Status::CANCELLED`] as a rule |
/// | RET_UNLINK 0, its target unanswered | [`Status::CANCELLED`]; a late RET_SUBMIT is dropped |
/// | RET_SUBMIT, then RET_UNLINK | the real result; the RET_UNLINK is dropped |
///
/// A transfer that is longer than [`Limits::max_transfer`], whose isochronous packets are too many
/// or outside its data, that names a stream, or whose setup packet says another direction or length
/// than its data has, is answered with [`Status::INVALID`] and not sent. Packets longer than their
/// endpoint takes are sent, since the session knows no endpoints; the kernel's server drops the
/// connection over them.
///
/// The session reads always: what may come is bounded by what was asked for, and only what was
/// *sent* was asked for. A reply to a request whose header was not wholly taken from
/// [`tx`](Wire::tx) ends the session with [`ProtocolError::Unsent`]; else a server that never reads
/// could have its client ask on and on. The payload need not be taken: a device may refuse it by its
/// header. So [`advance`](Buf::advance) the queue by what the stream took before what came of it is
/// received.
///
/// Isochronous data is handed on as it came, packed: [`Completion::packets_in`] says where each
/// piece belongs.
///
/// A payload is a part of the receive buffer. While fewer than 64 requests are in flight, each that
/// is kept keeps up to sixteen times its length alive, though no more than 256 KiB or twice its length
/// ([`ReadAhead`](usb_transfer::ReadAhead)); with more in flight, twice its length. The session cannot
/// see what is kept of what it has completed, however much that is: copy what is to be kept for long.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_descriptors::{EndpointAddress, Speed};
/// use usb_transfer::{Function, FunctionEvent, Step, Transfer, TransferIds, Wire};
/// use usbip_proto::{DeviceId, Limits, client::Session};
///
/// let mut remote = Session::new(DeviceId::new(1, 2), Speed::High, Limits::default());
/// let mut ids = TransferIds::default();
/// remote.submit(Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 2));
/// assert_eq!(remote.tx().remaining(), 48);
/// remote.tx().advance(48); // written
///
/// let mut rx = BytesMut::new(); // RET_SUBMIT 1, status 0, 2 bytes
/// for word in [3u32, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0] {
///     rx.extend_from_slice(&word.to_be_bytes());
/// }
/// rx.extend_from_slice(b"hi");
/// assert_eq!(remote.receive(&mut rx)?, Step::Ready);
/// let Some(FunctionEvent::Complete(completion)) = remote.poll() else { panic!() };
/// assert_eq!(completion.actual.len(), 2);
/// # Ok::<(), usbip_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    device_id: DeviceId,
    speed: Speed,
    limits: Limits,
    seqnums: Seqnums,
    /// Nothing was asked since a port reset.
    is_reset: bool,
    /// In order of submission.
    in_flight: VecDeque<Request>,
    /// Requests that an unlink ended, whose replies careless servers still send; the latest few.
    buried: VecDeque<Request>,
    event: Option<FunctionEvent>,
    /// Completions that no reply brought.
    own: VecDeque<Completion>,
    /// Bytes that were ever queued for writing.
    queued: u64,
    io: Io,
}

/// What a RET_SUBMIT is about.
enum Target {
    InFlight(usize),
    Buried(usize),
}

impl Session {
    /// Replies to unlinked requests that are recognised late. More are in flight only at servers
    /// that answer 0 to every unlink and are that far behind.
    const MAX_BURIED: usize = 64;
    /// Port resets that a server has not answered; more are not sent.
    const MAX_RESETS: usize = 64;

    /// A session for a device that runs at `speed`; `device_id` and speed are those of the
    /// [`DeviceRecord`](crate::DeviceRecord) that the server gave.
    #[must_use]
    pub fn new(device_id: DeviceId, speed: Speed, limits: Limits) -> Self {
        Self::with_tx(device_id, speed, limits, TxQueue::new())
    }

    pub(super) fn with_tx(device_id: DeviceId, speed: Speed, limits: Limits, tx: TxQueue) -> Self {
        let limits = limits.within_reach();
        Self {
            device_id,
            speed,
            limits,
            seqnums: Seqnums::starting_at(1),
            // usbip-host resets a device behind each client, but not before the first; others
            // never do.
            is_reset: false,
            in_flight: VecDeque::new(),
            buried: VecDeque::new(),
            event: None,
            own: VecDeque::new(),
            queued: tx.remaining() as u64,
            // It always reads: what comes is bounded by what was asked for.
            io: Io::new(tx, usize::MAX),
        }
    }

    /// The device as requests name it.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.device_id
    }

    fn mint(&mut self) -> u32 {
        let (in_flight, buried) = (&self.in_flight, &self.buried);
        let used = || in_flight.iter().chain(buried).flat_map(Request::seqnums);
        self.seqnums.mint(used)
    }

    /// Queues a header, and says where it ends.
    fn put(&mut self, header: &Header) -> u64 {
        header.put(&mut self.io.tx);
        self.queued = self.queued.saturating_add(Header::LENGTH as u64);
        self.queued
    }

    /// Whether a header that ends there was wholly taken from the queue.
    fn was_sent(&self, header_end: u64) -> bool {
        let unsent = self.io.tx.remaining() as u64;
        header_end.saturating_add(unsent) <= self.queued
    }

    fn request(&mut self, id: Option<TransferId>, transfer: Transfer) {
        let seqnum = self.mint();
        let direction = transfer.payload.direction();
        let length = u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX);
        let wire_direction = match direction {
            Direction::Out => urb::DIRECTION_OUT,
            Direction::In => urb::DIRECTION_IN,
        };
        let endpoint = transfer.endpoint.number();
        let mut header =
            Header::cmd_submit(seqnum, self.device_id.to_u32(), wire_direction, endpoint);
        let flags = transfer.flags;
        let bits = [
            (flags.short_not_ok, urb::SHORT_NOT_OK),
            (flags.iso_asap, urb::ISO_ASAP),
            (flags.zero_packet, urb::ZERO_PACKET),
            (direction == Direction::In, urb::DIR_IN),
        ];
        let bits = bits
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |all, (_, bit)| all | bit);
        header.word = bits.into();
        header.length = i32::try_from(length).unwrap_or(i32::MAX).into();
        let is_isochronous = matches!(transfer.kind, Kind::Isochronous(_));
        header.interval = self.wire_interval(transfer.interval, is_isochronous).into();
        let packets = match transfer.kind {
            Kind::Control(setup) => {
                header.setup = setup.to_bytes();
                Vec::new()
            }
            Kind::Data { stream: _ } => Vec::new(),
            Kind::Isochronous(packets) => packets,
        };
        header.packets = i32::try_from(packets.len()).unwrap_or(i32::MAX).into();
        let header_end = self.put(&header);
        let before = self.io.tx.remaining();
        if let Payload::Out(data) = transfer.payload {
            self.io.tx.put(data);
        }
        for packet in &packets {
            // The kernel's server insists on 0 bytes moved and sends itself −EXDEV as the status
            // of a packet that was not yet transferred.
            let fresh = IsoPacket::new(packet.offset, packet.length);
            iso::put(
                &IsoPacket {
                    status: Status::NOT_TRANSFERRED,
                    ..fresh
                },
                &mut self.io.tx,
            );
        }
        let behind = self.io.tx.remaining().saturating_sub(before);
        self.queued = self.queued.saturating_add(behind as u64);
        self.in_flight.push_back(Request {
            seqnum,
            id,
            direction,
            length,
            packets,
            header_end,
            unlink: None,
        });
    }

    /// The field counts frames of 1 ms up to full speed (`urb->interval`). Isochronous, it is never
    /// 0, over which the kernel's server gives up the client (`usb_submit_urb`: `EINVAL`).
    fn wire_interval(&self, interval: u32, is_isochronous: bool) -> i32 {
        let interval = match self.speed {
            Speed::Low | Speed::Full => interval.div_ceil(8),
            _ => interval,
        };
        let interval = interval.max(u32::from(is_isochronous));
        i32::try_from(interval).unwrap_or(i32::MAX)
    }

    /// Whether the wire and the kernel's server take it: what they refuse ends the session.
    fn can_send(&self, transfer: &Transfer) -> bool {
        let limit = u64::from(self.limits.max_transfer);
        let length = transfer.payload.len() as u64;
        let fits = |packet: &IsoPacket| {
            u64::from(packet.offset).saturating_add(u64::from(packet.length)) <= length
        };
        let has_words = match &transfer.kind {
            Kind::Isochronous(packets) => {
                let most = self.limits.max_iso_packets as usize;
                (1..=most).contains(&packets.len()) && packets.iter().all(fits)
            }
            // The wire has none for streams.
            Kind::Data { stream } => stream.is_none(),
            // `usb_submit_urb` of `drivers/usb/core/urb.c`: −EBADR.
            Kind::Control(setup) => length == u64::from(setup.length),
        };
        length <= limit && has_words && transfer.is_consistent()
    }

    /// Asks once for the end of a request that is not the session's own.
    fn unlink(&mut self, at: usize) {
        let target = self.in_flight.get(at);
        let target = target.filter(|each| each.id.is_some() && each.unlink.is_none());
        let Some(target) = target.map(|request| request.seqnum) else {
            return;
        };
        let seqnum = self.mint();
        let header_end = self.put(&Header::cmd_unlink(seqnum, self.device_id.to_u32(), target));
        if let Some(request) = self.in_flight.get_mut(at) {
            request.unlink = Some(Unlink { seqnum, header_end });
        }
    }

    fn target(&self, seqnum: u32) -> Result<(Target, &Request), ProtocolError> {
        let is_meant = |(_, request): &(usize, &Request)| request.seqnum == seqnum;
        if let Some((at, request)) = self.in_flight.iter().enumerate().find(is_meant) {
            if !self.was_sent(request.header_end) {
                return Err(ProtocolError::Unsent { seqnum });
            }
            return Ok((Target::InFlight(at), request));
        }
        let buried = self.buried.iter().enumerate().find(is_meant);
        let (at, request) = buried.ok_or(ProtocolError::UnknownSeqnum { seqnum })?;
        Ok((Target::Buried(at), request))
    }

    fn ret_submit(
        &mut self,
        reply: &Reply,
        target: &Target,
        rx: &mut BytesMut,
    ) -> Result<(), ProtocolError> {
        let (length, held) = (reply.payload as usize, self.in_flight.len());
        let read_ahead = &self.io.read_ahead;
        let payload = read_ahead.take_payload(rx, Header::LENGTH, length, held);
        let length = reply.packets.saturating_mul(iso::LENGTH);
        let at = match *target {
            Target::Buried(at) => {
                skip(rx, length);
                self.buried.remove(at);
                return Ok(());
            }
            Target::InFlight(at) => at,
        };
        let Some(request) = self.in_flight.get_mut(at) else {
            return Ok(());
        };
        request.take_packets(rx.get(..length).unwrap_or(&[]), reply.actual)?;
        skip(rx, length);
        let Some(request) = self.in_flight.remove(at) else {
            return Ok(());
        };
        let actual = match request.direction {
            Direction::Out => Actual::Out(reply.actual),
            Direction::In => Actual::In(Segments::from(payload)),
        };
        self.event = request.id.map(|id| {
            let completion = Completion::new(id, reply.status, actual);
            FunctionEvent::Complete(completion.with_packets(request.packets))
        });
        Ok(())
    }

    fn ret_unlink(&mut self, seqnum: u32, status: Status) -> Result<(), ProtocolError> {
        let unlinked = |request: &Request| request.unlink.filter(|each| each.seqnum == seqnum);
        let mut in_flight = self.in_flight.iter().enumerate();
        let Some((at, unlink)) = in_flight.find_map(|(at, each)| Some((at, unlinked(each)?)))
        else {
            // Its target was answered before, or it is nobody's: vhci shrugs too.
            return Ok(());
        };
        if !self.was_sent(unlink.header_end) {
            return Err(ProtocolError::Unsent { seqnum });
        }
        let Some(mut request) = self.in_flight.remove(at) else {
            return Ok(());
        };
        let status = if status.is_completed() {
            Status::CANCELLED
        } else {
            status
        };
        self.event = request.fail(status).map(FunctionEvent::Complete);
        request.unlink = None;
        if self.buried.len() >= Self::MAX_BURIED {
            self.buried.pop_front();
        }
        self.buried.push_back(request);
        Ok(())
    }
}

impl End for Session {
    fn io(&mut self) -> &mut Io {
        &mut self.io
    }

    fn has_event(&self) -> bool {
        self.event.is_some() || !self.own.is_empty()
    }

    fn message(&mut self, rx: &mut BytesMut) -> Result<Message, ProtocolError> {
        let Some(header) = Header::parse(rx) else {
            return Ok(Message::of_length(Header::LENGTH, rx));
        };
        let seqnum = header.seqnum.get();
        match header.command.get() {
            urb::RET_SUBMIT => {
                let (target, request) = self.target(seqnum)?;
                let reply = Reply::parse(header, request)?;
                let total = reply.message_length();
                if let missing @ Message::Missing(_) = Message::of_length(total, rx) {
                    return Ok(missing);
                }
                self.io.read_ahead.record(total, rx);
                self.ret_submit(&reply, &target, rx)?;
            }
            urb::RET_UNLINK => {
                let status = header.status();
                self.io.read_ahead.record(Header::LENGTH, rx);
                skip(rx, Header::LENGTH);
                self.ret_unlink(seqnum, status)?;
            }
            found => {
                let expected = "3 (submitted) or 4 (unlinked)";
                return Err(ProtocolError::Command { found, expected });
            }
        }
        Ok(Message::Taken)
    }

    fn over(&mut self) {
        for request in core::mem::take(&mut self.in_flight) {
            self.own.extend(request.fail(Status::DISCONNECTED));
        }
    }
}

impl Wire for Session {
    type Error = ProtocolError;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        session::receive(self, rx)
    }

    fn tx(&mut self) -> &mut TxQueue {
        &mut self.io.tx
    }

    fn end(&mut self) {
        session::finish(self, None);
    }
}

impl Function for Session {
    fn submit(&mut self, transfer: Transfer) {
        if !self.io.is_open() {
            self.own.push_back(transfer.fail(Status::DISCONNECTED));
        } else if !self.can_send(&transfer) {
            self.own.push_back(transfer.fail(Status::INVALID));
        } else {
            self.is_reset = false;
            self.request(Some(transfer.id), transfer);
        }
    }

    fn cancel(&mut self, id: TransferId) {
        if let Some(at) = self
            .in_flight
            .iter()
            .position(|request| request.id == Some(id))
        {
            self.unlink(at);
        }
    }

    /// Unlinks what is in flight and asks the server for a port reset, which usbip-host performs.
    /// A device that was asked nothing since the last reset needs no other; one that was just
    /// imported does, since nothing says who had it before. A server that has left 64 unanswered is
    /// asked for no more.
    fn reset(&mut self) {
        if self.is_reset || !self.io.is_open() {
            return;
        }
        (0..self.in_flight.len()).for_each(|at| self.unlink(at));
        let own = self.in_flight.iter().filter(|each| each.id.is_none());
        if own.count() >= Self::MAX_RESETS {
            return;
        }
        self.is_reset = true;
        let setup = SetupPacket {
            request_type: usb_descriptors::RequestType(0x23),
            request: request::SET_FEATURE,
            value: feature::PORT_RESET,
            index: 0,
            length: 0,
        };
        self.request(None, Transfer::control_in(TransferId::from_u64(0), setup));
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if let Some(event) = self.event.take() {
            return Some(event);
        }
        if let Some(completion) = self.own.pop_front() {
            return Some(FunctionEvent::Complete(completion));
        }
        self.io.tells_end().then_some(FunctionEvent::Detached)
    }
}

#[cfg(test)]
mod tests {
    use usb_descriptors::EndpointAddress;
    use usb_transfer::TransferIds;

    use super::*;

    /// They outlive a round of the numbers: what waits for its reply, and what may still come late.
    #[test]
    fn numbers_of_what_waits_are_not_used_again() {
        let mut ids = TransferIds::default();
        let mut session = Session::new(DeviceId::default(), Speed::High, Limits::default());
        let mut read = |session: &mut Session| {
            let id = ids.mint();
            session.submit(Transfer::data_in(id, EndpointAddress::from_byte(0x81), 8));
            session.tx().clear();
            id
        };
        let buried = read(&mut session);
        session.cancel(buried);
        session.tx().clear();
        let unlinked = Header::ret_unlink(2, Status::COMPLETED);
        let mut replies = TxQueue::new();
        unlinked.put(&mut replies);
        let mut rx = BytesMut::from(replies.chunk());
        assert_eq!(session.receive(&mut rx), Ok(Step::Ready));
        assert!(session.poll().is_some());
        let waits = read(&mut session);
        session.cancel(waits);
        session.seqnums = Seqnums::come_round_to(0);
        for _ in 0..3 {
            read(&mut session);
        }
        let seqnums = session.in_flight.iter().map(|request| request.seqnum);
        // 1 is buried, 3 waits, 4 unlinks it.
        assert!(seqnums.eq([3, 0, 2, 5]));
    }
}
