//! A session: the requests for one device.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Frontend, HostEvent, IsoPacket, Kind, Payload, Segments, Status, Step,
    Transfer, TransferIds, TxQueue, Wire,
};

use super::in_flight::{InFlight, Number, Request, SpareLists, Unlinked};
use super::submit::{HostRequest, Submit};
use crate::session::{self, End, Io, Message};
use crate::wire::urb::{self, Header};
use crate::wire::{iso, skip};
use crate::{DeviceId, Limits, ProtocolError};

/// The server's end of a session: a [`Wire`] to the client and a [`Frontend`] to the device.
///
/// [`Session::new`] serves a socket that the kernel's `vhci_hcd` was handed directly; a
/// [`Handshake`](super::Handshake) gives the session of an imported device.
///
/// Where an unlink meets the completion of its target, this table decides
/// (`drivers/usb/usbip/stub_tx.c`; the client must never see a RET_SUBMIT after the RET_UNLINK of
/// the same request):
///
/// | target | completion | replies |
/// |---|---|---|
/// | in flight | [`Status::CANCELLED`] | RET_UNLINK −ECONNRESET |
/// | in flight | anything else: it finished meanwhile | RET_SUBMIT with its data, then RET_UNLINK 0 |
/// | still to come | the function never sees it | RET_UNLINK −ECONNRESET when it comes, 0 when a later request does |
/// | already being unlinked, in flight or to come | – | [`ProtocolError::DuplicateUnlink`] |
/// | already answered, or never to come | – | RET_UNLINK 0 |
///
/// (A second unlink could not be answered with 0 at once, as the kernel's server does: a RET_SUBMIT
/// may follow yet. The kernel's server answers an unlink with 0, too, whose target is still to come:
/// vhci, which sends what it has to unlink before what was submitted meanwhile
/// (`drivers/usb/usbip/vhci_tx.c`, `vhci_tx_loop`), may give the request back then, and drops the
/// device over the RET_SUBMIT.)
///
/// A request is to come if its number lies between that of the latest request and that of the
/// unlink, as numbers go round; the first unlinks of a session may name any before their own. So a
/// client that counts both up, as vhci does, waits for no answer in vain: what it has sent does not lie
/// there, and what it has not is passed by its next request. Nor does one wait whose numbers lie less
/// than 2³¹ apart, in whatever order, if it unlinks only what it has sent. Who takes numbers at random
/// from all 2³², or unlinks what it never sends, may wait until a later request comes; the session
/// goes on meanwhile. As many wait as requests may be in flight
/// ([`ProtocolError::EarlyUnlinks`]), and none is answered after the end.
///
/// A port reset is a request like others, but the function sees [`HostEvent::Reset`]. It is
/// answered when all requests before it are.
///
/// A completion with [`Status::CANCELLED`] of a request that was not unlinked, because the
/// function stopped the endpoint, is a RET_SUBMIT with −ECONNRESET.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_descriptors::Speed;
/// use usb_transfer::{Frontend, HostEvent, Step, Wire};
/// use usbip_proto::{DeviceId, Limits, server::Session};
///
/// let mut session = Session::new(DeviceId::new(1, 2), Speed::High, Limits::default());
/// // What vhci sends first: GET_DESCRIPTOR(device), 64 bytes.
/// let mut rx = BytesMut::new();
/// for word in [1u32, 1, 0x0001_0002, 1, 0, 0x200, 64, 0, 0, 0] {
///     rx.extend_from_slice(&word.to_be_bytes());
/// }
/// rx.extend_from_slice(&[0x80, 6, 0, 1, 0, 0, 64, 0]);
/// assert_eq!(session.receive(&mut rx)?, Step::Ready);
/// let Some(HostEvent::Submit(transfer)) = session.poll() else { panic!() };
/// session.complete(transfer.stall());
/// assert_eq!(session.tx().remaining(), 48);
/// # Ok::<(), usbip_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    device_id: DeviceId,
    speed: Speed,
    limits: Limits,
    ids: TransferIds,
    in_flight: InFlight,
    spare_lists: SpareLists,
    event: Option<HostEvent>,
    io: Io,
}

impl Session {
    /// A session for a device that runs at `speed`. Requests must carry `device_id`: for
    /// `vhci_hcd` the one that was written to its `attach` file.
    #[must_use]
    pub fn new(device_id: DeviceId, speed: Speed, limits: Limits) -> Self {
        Self::with_tx(device_id, speed, limits, TxQueue::new())
    }

    pub(super) fn with_tx(device_id: DeviceId, speed: Speed, limits: Limits, tx: TxQueue) -> Self {
        let limits = limits.within_reach();
        Self {
            device_id,
            speed,
            io: Io::new(tx, limits.tx_high_water),
            limits,
            ids: TransferIds::default(),
            in_flight: InFlight::default(),
            spare_lists: SpareLists::default(),
            event: None,
        }
    }

    /// Bytes of memory that it owns beside itself: its tables, and what is queued but not the
    /// payloads. It grows with what was ever in flight at once.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let lists = self.spare_lists.footprint();
        let tables = self.in_flight.footprint().saturating_add(lists);
        tables.saturating_add(self.io.tx.footprint())
    }

    fn unlink(&mut self, seqnum: u32, target: u32) -> Result<(), ProtocolError> {
        if self.in_flight.is_used(seqnum) {
            return Err(ProtocolError::DuplicateSeqnum { seqnum });
        }
        let limit = self.limits.max_in_flight;
        match self.in_flight.unlink(target, seqnum, limit) {
            Unlinked::Now(request) if request.is_reset => {}
            Unlinked::Now(request) => self.event = Some(HostEvent::Cancel(request.id)),
            Unlinked::Early => {}
            Unlinked::Before => return Err(ProtocolError::DuplicateUnlink { seqnum, target }),
            Unlinked::TooEarly => {
                return Err(ProtocolError::EarlyUnlinks {
                    seqnum,
                    target,
                    limit,
                });
            }
            Unlinked::Unknown => {
                Header::ret_unlink(seqnum, Status::COMPLETED).put(&mut self.io.tx);
            }
        }
        Ok(())
    }

    /// Takes a request off the wire that was unlinked before it came.
    #[cold]
    fn discard(
        &mut self,
        submit: &Submit,
        unlink: u32,
        rx: &mut BytesMut,
    ) -> Result<(), ProtocolError> {
        skip(rx, submit.packets_at());
        let mut packets = self.spare_lists.take();
        submit.take_packets(rx, &mut packets)?;
        self.spare_lists.put(packets);
        Header::ret_unlink(unlink, Status::CANCELLED).put(&mut self.io.tx);
        Ok(())
    }

    #[inline(never)]
    fn isochronous(
        &mut self,
        submit: &Submit,
        payload: Payload,
        rx: &mut BytesMut,
    ) -> Result<(), ProtocolError> {
        let mut packets = self.spare_lists.take();
        submit.take_packets(rx, &mut packets)?;
        let mut list = self.spare_lists.take();
        list.extend_from_slice(&packets);
        let transfer = self.transfer(submit, Kind::Isochronous(list), payload);
        self.start(Request::new(submit, &transfer, packets), transfer);
        Ok(())
    }

    /// Hands a control request on, or answers what is not the device's to answer.
    #[inline(never)]
    fn control(&mut self, submit: &Submit, payload: Payload) {
        let setup = SetupPacket::from_bytes(submit.setup);
        let payload = match payload {
            // Without a data stage it may come as IN with an empty buffer: callers of
            // `usb_control_msg` choose the pipe by the request's direction bit.
            Payload::In { length: 0 } if setup.length == 0 => Payload::Out(Bytes::new()),
            other => other,
        };
        let transfer = self.transfer(submit, Kind::Control(setup), payload);
        let request = Request::new(submit, &transfer, Vec::new());
        if !transfer.is_consistent() {
            return self.ret_submit(request, transfer.fail(Status::INVALID));
        }
        match HostRequest::of(setup) {
            // vhci answers it itself; other clients may not.
            Some(HostRequest::SetAddress) => self.ret_submit(request, transfer.complete_out()),
            Some(HostRequest::PortReset) => {
                let is_reset = true;
                self.start(
                    Request {
                        is_reset,
                        ..request
                    },
                    transfer,
                );
            }
            None => self.start(request, transfer),
        }
    }

    #[inline(always)]
    fn transfer(&mut self, submit: &Submit, kind: Kind, payload: Payload) -> Transfer {
        let mut transfer = Transfer::new(self.ids.mint(), submit.endpoint, kind, payload);
        transfer.flags = submit.flags();
        transfer.interval = submit.interval(self.speed);
        transfer
    }

    /// Hands a transfer on, if there is room for it.
    #[inline(always)]
    fn start(&mut self, request: Request, transfer: Transfer) {
        let bytes = self.in_flight.bytes_with(&request);
        if self.in_flight.len() >= self.limits.max_in_flight
            || bytes > self.limits.max_in_flight_bytes
        {
            return self.ret_submit(request, transfer.fail(Status::NO_MEMORY));
        }
        let event = if request.is_reset {
            HostEvent::Reset
        } else {
            HostEvent::Submit(transfer)
        };
        self.in_flight.push(request, bytes);
        // None waits: the session does not read before it is taken.
        self.event.get_or_insert(event);
    }

    /// Answers the port resets that the function was told of, and before which nothing is left.
    #[inline(always)]
    fn answer_resets(&mut self) {
        while let Some(id) = self.in_flight.due_reset() {
            self.complete(Completion::new(id, Status::COMPLETED, Actual::Out(0)));
        }
    }

    #[inline(always)]
    fn ret_submit(&mut self, request: Request, completion: Completion) {
        let (seqnum, length, mut status) = (request.seqnum, request.length, completion.status);
        if !request.packets.is_empty() {
            return self.ret_submit_packets(request, completion);
        }
        let mut data = match (request.direction, completion.actual) {
            (Direction::In, Actual::In(data)) => data,
            (Direction::Out, Actual::Out(taken)) => {
                let header = Header::ret_submit(seqnum, status, taken.min(length));
                return header.put(&mut self.io.tx);
            }
            // The other direction's result is none.
            (_, Actual::Out(_) | Actual::In(_)) => Segments::new(),
        };
        let mut moved = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if moved > length {
            data.truncate(length as usize);
            (moved, status) = (length, Status::OVERFLOW);
        }
        if request.short_not_ok && status.is_completed() && moved < length {
            status = Status::SHORT;
        }
        Header::ret_submit(seqnum, status, moved).put(&mut self.io.tx);
        self.io.tx.put_segments(data);
    }

    /// The reply to an isochronous request; `data` is at most as long as asked.
    #[cold]
    fn ret_submit_packets(&mut self, mut request: Request, completion: Completion) {
        let (mut status, results) = (completion.status, completion.packets);
        let mut data = match (request.direction, completion.actual) {
            (Direction::In, Actual::In(data)) => data,
            _ => Segments::new(),
        };
        if data.len() > request.length as usize {
            data.truncate(request.length as usize);
            status = Status::OVERFLOW;
        }
        settle_packets(&mut request, &results, &data);
        let packets = &request.packets;
        let moved = packets.iter().map(|packet| packet.actual);
        let moved = moved.fold(0, u32::saturating_add);
        data.truncate(moved as usize);
        let failed = packets.iter().filter(|each| !each.status.is_completed());
        let mut header = Header::ret_submit(request.seqnum, status, moved);
        header.packets = i32::try_from(packets.len()).unwrap_or(0).into();
        header.interval = i32::try_from(failed.count()).unwrap_or(0).into();
        header.put(&mut self.io.tx);
        self.io.tx.put_segments(data);
        for packet in packets {
            iso::put(packet, &mut self.io.tx);
        }
        self.spare_lists.put(request.packets);
        self.spare_lists.put(results);
    }
}

impl End for Session {
    fn io(&mut self) -> &mut Io {
        &mut self.io
    }

    fn has_event(&self) -> bool {
        self.event.is_some()
    }

    fn message(&mut self, rx: &mut BytesMut) -> Result<Message, ProtocolError> {
        let Some(header) = Header::parse(rx) else {
            return Ok(Message::of_length(Header::LENGTH, rx));
        };
        let command = header.command.get();
        if !matches!(command, urb::CMD_SUBMIT | urb::CMD_UNLINK) {
            return Err(ProtocolError::Command {
                found: command,
                expected: "1 (submit) or 2 (unlink)",
            });
        }
        let found = DeviceId::from_u32(header.device_id.get());
        if found != self.device_id {
            return Err(ProtocolError::DeviceId {
                found,
                expected: self.device_id,
            });
        }
        let seqnum = header.seqnum.get();
        if command == urb::CMD_UNLINK {
            let target = header.word.get();
            self.io.read_ahead.record(Header::LENGTH, rx);
            skip(rx, Header::LENGTH);
            self.unlink(seqnum, target)?;
            return Ok(Message::Taken);
        }
        let submit = Submit::parse(header, &self.limits)?;
        let total = submit.message_length();
        if let missing @ Message::Missing(_) = Message::of_length(total, rx) {
            return Ok(missing);
        }
        self.io.read_ahead.record(total, rx);
        if !self.in_flight.follows(seqnum) {
            let tx = &mut self.io.tx;
            match self.in_flight.arrived(seqnum, |unlink| {
                Header::ret_unlink(unlink, Status::COMPLETED).put(tx);
            }) {
                Number::Free => {}
                Number::Used => return Err(ProtocolError::DuplicateSeqnum { seqnum }),
                Number::Unlinked(unlink) => {
                    self.discard(&submit, unlink, rx)?;
                    return Ok(Message::Taken);
                }
            }
        }
        let payload = match submit.direction {
            Direction::Out => {
                let (length, held) = (submit.buffer(), self.in_flight.len());
                let read_ahead = &self.io.read_ahead;
                Payload::Out(read_ahead.take_payload(rx, Header::LENGTH, length, held))
            }
            Direction::In => {
                skip(rx, Header::LENGTH);
                Payload::In {
                    length: submit.length,
                }
            }
        };
        if submit.is_control() {
            self.control(&submit, payload);
        } else if submit.packets > 0 {
            self.isochronous(&submit, payload, rx)?;
        } else {
            let transfer = self.transfer(&submit, Kind::Data { stream: None }, payload);
            self.start(Request::new(&submit, &transfer, Vec::new()), transfer);
        }
        Ok(Message::Taken)
    }
}

impl Wire for Session {
    type Error = ProtocolError;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        if self.event.is_none() {
            self.answer_resets();
        }
        session::receive(self, rx)
    }

    fn tx(&mut self) -> &mut TxQueue {
        &mut self.io.tx
    }

    fn end(&mut self) {
        session::finish(self, None);
    }
}

impl Frontend for Session {
    fn poll(&mut self) -> Option<HostEvent> {
        if self.event.is_some() {
            return self.event.take();
        }
        self.answer_resets();
        self.io.tells_end().then_some(HostEvent::Reset)
    }

    fn complete(&mut self, completion: Completion) {
        let Some(request) = self.in_flight.remove(completion.id) else {
            return;
        };
        if !self.io.is_open() {
            return;
        }
        match request.unlink {
            Some(unlink) if completion.status == Status::CANCELLED => {
                Header::ret_unlink(unlink, Status::CANCELLED).put(&mut self.io.tx);
            }
            Some(unlink) => {
                self.ret_submit(request, completion);
                Header::ret_unlink(unlink, Status::COMPLETED).put(&mut self.io.tx);
            }
            None => self.ret_submit(request, completion),
        }
    }

    fn detach(&mut self) {
        // The protocol has no word for it: the connection ends.
        session::finish(self, None);
    }

    fn pending(&self) -> usize {
        self.in_flight.transfers()
    }
}

/// What became of the packets: where they lie is the request's word, what was moved and how it
/// ended the function's. None moves more than was asked, together no more than the data there is.
fn settle_packets(request: &mut Request, results: &[IsoPacket], data: &Segments) {
    let mut left = match request.direction {
        Direction::In => u32::try_from(data.len()).unwrap_or(u32::MAX),
        Direction::Out => request.length,
    };
    let nothing = IsoPacket {
        status: Status::NOT_TRANSFERRED,
        ..IsoPacket::new(0, 0)
    };
    let results = results.iter().chain(core::iter::repeat(&nothing));
    for (packet, result) in request.packets.iter_mut().zip(results) {
        packet.actual = result.actual.min(packet.length).min(left);
        packet.status = result.status;
        left = left.saturating_sub(packet.actual);
    }
}
