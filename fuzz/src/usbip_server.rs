//! The server's end of a session, between a hostile client and a device that finishes what it
//! likes as it likes.
//!
//! Invariants: every request in front of the end is answered exactly once; no RET_SUBMIT comes
//! after the RET_UNLINK of the same request; replies are well formed and carry the device's bytes;
//! what is in flight, queued and reserved stays within the limits; `receive` takes whole messages,
//! and either tells something or wants something; an error is sticky; the last event is one reset.

use bytes::Buf;
use testkit::Decisions;
use usb_descriptors::Speed;
use usb_transfer::{
    Completion, Frontend, HostEvent, IsoPacket, Kind, Payload, Status, Step, Transfer, TransferId,
    Wants, Wire,
};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits, ProtocolError};

use crate::socket::Socket;
use crate::urb::{self, HEADER, Header, PACKET, Packet};
use crate::{choices, split};

/// The device that requests are for: a gadget has 0, as in the recordings among the seeds.
const DEVICE: u32 = 0;

const MAX_TRANSFER: u32 = 4096;
const MAX_IN_FLIGHT: usize = 6;
const MAX_IN_FLIGHT_BYTES: u64 = 12_000;
const MAX_PACKETS: u32 = 8;
const TX_HIGH_WATER: usize = 1500;

/// The longest message that the limits allow.
const MAX_MESSAGE: usize = HEADER + MAX_TRANSFER as usize + MAX_PACKETS as usize * PACKET;
/// What the receive buffer may grow to: it keeps room for a message as long as the last ones, or
/// for 64 KiB of short ones, and may hold a message before and behind that; where it has to grow,
/// it doubles.
const MAX_ROOM: usize = 2 * ((64 << 10) + 2 * MAX_MESSAGE);
/// What all replies to requests in flight, with those to their unlinks, can take.
const MAX_REPLIES: usize =
    MAX_IN_FLIGHT_BYTES as usize + MAX_IN_FLIGHT * (2 * HEADER + MAX_PACKETS as usize * PACKET);

/// Runs the target: choices steer the client, the device and the socket; the bytes after them are
/// the client's own.
pub fn run(input: &[u8]) {
    let (decisions, stream) = split(input);
    Run::new(decisions, stream).run();
}

struct Run<'a> {
    decisions: Decisions<'a>,
    /// What the client still has to say on its own.
    stream: &'a [u8],
    session: Session,
    socket: Socket,
    /// The number of the client's next request that is composed.
    next_seqnum: u32,
    client: Client,
    /// Transfers that are out at the device.
    device: Vec<Transfer>,
    /// Ids of those that were cancelled.
    cancelled: Vec<TransferId>,
    /// The session was ended, or an error ended it.
    over: bool,
    error: Option<ProtocolError>,
    /// Resets after the end; the last event is one.
    last_resets: usize,
    /// The session is to be ended between the next step and its event.
    end_at_event: bool,
}

impl<'a> Run<'a> {
    fn new(decisions: Decisions<'a>, stream: &'a [u8]) -> Self {
        let mut limits = Limits::default();
        limits.max_transfer = MAX_TRANSFER;
        limits.max_in_flight = MAX_IN_FLIGHT;
        limits.max_in_flight_bytes = MAX_IN_FLIGHT_BYTES;
        limits.max_iso_packets = MAX_PACKETS;
        limits.tx_high_water = TX_HIGH_WATER;
        Self {
            decisions,
            stream,
            session: Session::new(DeviceId::from_u32(DEVICE), Speed::High, limits),
            socket: Socket::new(MAX_ROOM),
            next_seqnum: 1,
            client: Client::default(),
            device: Vec::new(),
            cancelled: Vec::new(),
            over: false,
            error: None,
            last_resets: 0,
            end_at_event: false,
        }
    }

    fn run(mut self) {
        self.turn();
        while !self.decisions.is_empty() {
            self.step();
        }
        self.socket.incoming.extend(self.stream);
        self.settle();
        // A careful end completes all first, another does not.
        if self.client.replies % 2 == 0 {
            self.finish_all();
            self.settle();
            if !self.over {
                self.client.check_all_answered();
            }
        }
        self.end();
        self.turn();
        self.finish_all();
        assert_eq!(self.session.pending(), 0, "the function is free");
        self.turn();
        self.write(usize::MAX);
        assert!(self.last_resets > 0, "the last event came");
        let quiet = Wants {
            read: None,
            write: false,
        };
        match self.socket.receive(&mut self.session).0 {
            Ok(step) => assert_eq!(step, Step::Io(quiet), "finished"),
            Err(error) => assert_eq!(Some(error), self.error, "sticky"),
        }
        self.client.check_the_finished();
    }

    fn step(&mut self) {
        match self.decisions.below(16) {
            0..=2 => {
                let count = self.decisions.below(200) + 1;
                let (taken, rest) = self.stream.split_at(count.min(self.stream.len()));
                self.socket.incoming.extend(taken);
                self.stream = rest;
            }
            3..=6 => self.compose_submit(),
            7 => self.compose_unlink(),
            8..=10 => self.finish_one(),
            11 => {
                let room = self.decisions.below(2 * TX_HIGH_WATER);
                self.write(room);
            }
            12 => self.write(usize::MAX),
            13 => {
                // One that is not pending: done before, or never heard of.
                let id = TransferId::from_u64(u64::from(self.decisions.byte()));
                if self.device.iter().all(|transfer| transfer.id != id) {
                    let length = self.decisions.below(100) as u32;
                    let transfer = Transfer::new(
                        id,
                        usb_descriptors::EndpointAddress::CONTROL_IN,
                        Kind::Data { stream: None },
                        Payload::In { length },
                    );
                    let completion = choices::completion(&mut self.decisions, &transfer);
                    self.session.complete(completion);
                }
            }
            14 if choices::rarely(&mut self.decisions, 8) => self.end_at_event = true,
            15 if choices::rarely(&mut self.decisions, 8) => self.end(),
            _ => {}
        }
        self.turn();
        if self.decisions.below(4) > 0 {
            let count = self.decisions.below(300) + 1;
            self.socket.read(count);
        } else {
            self.socket.read(usize::MAX);
        }
        self.turn();
    }

    /// Lets everything through that the client has said.
    fn settle(&mut self) {
        loop {
            self.turn();
            let is_written = self.session.tx().is_empty();
            if is_written && (self.socket.incoming.is_empty() || self.socket.wants.read.is_none()) {
                break;
            }
            self.write(usize::MAX);
            self.turn();
            self.socket.read(usize::MAX);
        }
    }

    fn end(&mut self) {
        // The embedder says it in one of two ways.
        if self.client.replies % 3 == 0 {
            self.session.detach();
        } else {
            self.session.end();
        }
        self.over = true;
    }

    /// A request, mostly in order.
    fn compose_submit(&mut self) {
        let decisions = &mut self.decisions;
        let broken = |decisions: &mut Decisions<'_>| choices::rarely(decisions, 100);
        let mut header = Header {
            command: urb::CMD_SUBMIT,
            seqnum: self.next_seqnum,
            device: DEVICE,
            direction: u32::from(decisions.chance()),
            endpoint: decisions.below(4) as u32,
            word: u32::from(decisions.byte()),
            length: choices::length(decisions, MAX_TRANSFER) as i32,
            interval: i32::from(decisions.byte()),
            setup: choices::setup(decisions).to_bytes(),
            ..Header::default()
        };
        self.next_seqnum += 1;
        if header.endpoint == 0 && !choices::rarely(decisions, 8) {
            header.direction = u32::from(header.setup[0] >> 7);
            let [low, high] = (header.length as u16).to_le_bytes();
            (header.setup[6], header.setup[7]) = (low, high);
        }
        if header.endpoint == 3 {
            header.packets = decisions.below(MAX_PACKETS as usize + 1) as i32;
        } else if decisions.chance() {
            header.packets = -1;
        }
        if broken(decisions) {
            header.seqnum = u32::from(decisions.byte());
        }
        if broken(decisions) {
            header.endpoint = choices::word(decisions);
        }
        if broken(decisions) {
            header.packets = choices::word(decisions) as i32;
        }
        if broken(decisions) {
            header.length = choices::word(decisions) as i32;
        }
        let mut message = Vec::new();
        header.put(&mut message);
        if header.direction == urb::OUT {
            let length = header.length.clamp(0, MAX_TRANSFER as i32) as usize;
            message.resize(message.len() + length, header.seqnum as u8);
        }
        let count = header.packet_count().min(MAX_PACKETS as usize);
        let length = header.length.clamp(0, MAX_TRANSFER as i32) as u32;
        for (offset, length) in choices::packets(decisions, count, length) {
            let packet = Packet {
                offset,
                length,
                status: Status::NOT_TRANSFERRED.errno(),
                ..Packet::default()
            };
            packet.put(&mut message);
        }
        self.socket.incoming.extend(message);
    }

    fn compose_unlink(&mut self) {
        let back = self.decisions.below(8) as u32;
        let header = Header {
            command: urb::CMD_UNLINK,
            seqnum: self.next_seqnum,
            device: DEVICE,
            word: self.next_seqnum.wrapping_sub(1 + back),
            ..Header::default()
        };
        self.next_seqnum += 1;
        let mut message = Vec::new();
        header.put(&mut message);
        self.socket.incoming.extend(message);
    }

    /// The socket takes some bytes.
    fn write(&mut self, most: usize) {
        let mut left = most;
        let tx = self.session.tx();
        while left > 0 && tx.has_remaining() {
            let chunk = tx.chunk();
            assert!(!chunk.is_empty(), "what remains is to be had");
            let count = chunk.len().min(left);
            self.client.inbox.extend_from_slice(&chunk[..count]);
            tx.advance(count);
            left -= count;
        }
        self.client.read();
    }

    /// Receives until bytes are needed.
    fn turn(&mut self) {
        loop {
            let (result, before, taken) = self.socket.receive(&mut self.session);
            assert!(self.session.tx().remaining() <= TX_HIGH_WATER + MAX_REPLIES + MAX_MESSAGE);
            match result {
                Ok(step) => {
                    assert_eq!(self.error, None, "an error is sticky");
                    let rest = self.client.sent(&before[..taken], true);
                    assert_eq!(rest, 0, "messages are taken whole");
                    match step {
                        Step::Ready => {
                            if std::mem::take(&mut self.end_at_event) {
                                self.end();
                            }
                            let event = self.session.poll();
                            self.event(event.expect("ready means that there is an event"));
                            self.poll();
                        }
                        Step::Io(wants) => {
                            assert_eq!(wants.write, self.session.tx().has_remaining());
                            self.socket.wants = wants;
                            self.poll();
                            break;
                        }
                    }
                }
                Err(error) => {
                    if let Some(before) = self.error.replace(error.clone()) {
                        assert_eq!(error, before, "an error is sticky");
                        assert_eq!(taken, 0, "nothing is taken after the end");
                    } else {
                        assert!(!self.over, "an end without error stays one");
                        self.client.sent(&before, false);
                    }
                    self.over = true;
                    self.socket.wants.read = None;
                    self.poll();
                    break;
                }
            }
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll() {
            self.event(event);
        }
        assert_eq!(
            self.last_resets > 0,
            self.over,
            "the last event comes at once"
        );
    }

    fn event(&mut self, event: HostEvent) {
        if self.last_resets > 0 {
            // A port reset that was not told yet comes before the last event.
            let is_second = event == HostEvent::Reset && self.client.asked_for_reset();
            assert!(
                is_second && self.last_resets == 1,
                "nothing follows the last event"
            );
        }
        match event {
            HostEvent::Submit(transfer) => {
                self.client.submitted(&transfer);
                self.device.push(transfer);
                assert!(self.device.len() <= MAX_IN_FLIGHT, "too many in flight");
                let bytes = self
                    .device
                    .iter()
                    .map(|transfer| transfer.payload.len() as u64);
                assert!(
                    bytes.sum::<u64>() <= MAX_IN_FLIGHT_BYTES,
                    "too much in flight"
                );
                assert_eq!(self.session.pending(), self.device.len());
            }
            HostEvent::Cancel(id) => {
                assert!(!self.cancelled.contains(&id), "cancelled once");
                assert_eq!(
                    Some(id),
                    self.client.unlink_target(),
                    "the target of the unlink"
                );
                self.cancelled.push(id);
                let at = self.device.iter().position(|transfer| transfer.id == id);
                let at = at.expect("only what is pending is cancelled");
                match self.decisions.below(4) {
                    0 | 1 => {
                        let completion = self.device.remove(at).fail(Status::CANCELLED);
                        self.complete(&completion);
                    }
                    2 => self.finish(at),
                    _ => {} // later
                }
            }
            HostEvent::Reset => {
                self.last_resets += usize::from(self.over);
                assert!(
                    self.over || self.client.asked_for_reset(),
                    "a reset nobody asked for"
                );
                while let Some(transfer) = self.device.pop() {
                    self.complete(&transfer.fail(Status::CANCELLED));
                }
            }
            other => panic!("an event this target does not know: {other:?}"),
        }
    }

    fn finish_one(&mut self) {
        if !self.device.is_empty() {
            let at = self.decisions.below(self.device.len());
            self.finish(at);
        }
    }

    fn finish(&mut self, at: usize) {
        let transfer = self.device.remove(at);
        let completion = choices::completion(&mut self.decisions, &transfer);
        self.complete(&completion);
    }

    fn finish_all(&mut self) {
        while !self.device.is_empty() {
            self.finish(0);
        }
    }

    fn complete(&mut self, completion: &Completion) {
        self.session.complete(completion.clone());
        assert_eq!(self.session.pending(), self.device.len());
        if !self.over {
            self.client.completed(completion.id);
        }
        if self.decisions.below(4) == 3 {
            let queued = self.session.tx().remaining();
            self.session.complete(completion.clone());
            assert_eq!(
                self.session.tx().remaining(),
                queued,
                "a second completion is ignored"
            );
        }
    }
}

/// What the client knows: which requests it made, and which were answered.
#[derive(Default)]
struct Client {
    requests: Vec<Request>,
    unlinks: Vec<Unlink>,
    /// Whether the latest message was an unlink.
    latest_is_unlink: bool,
    inbox: Vec<u8>,
    replies: usize,
}

struct Request {
    header: Header,
    payload: Vec<u8>,
    packets: Vec<Packet>,
    /// The transfer it became.
    id: Option<TransferId>,
    /// The device is done with it.
    completed: bool,
    /// A reply came, or the reply to its unlink.
    answered: bool,
    /// It may have been broken, so that no reply has to come.
    doubtful: bool,
}

struct Unlink {
    seqnum: u32,
    /// Among the requests.
    target: Option<usize>,
    answered: bool,
    doubtful: bool,
}

impl Client {
    /// Notes what the server has taken, and gives how many bytes are left over.
    fn sent(&mut self, mut bytes: &[u8], certain: bool) -> usize {
        while let Some(header) = Header::read(bytes) {
            let doubtful = !certain;
            let mut rest = &bytes[HEADER..];
            match header.command {
                urb::CMD_SUBMIT => {
                    let length = match header.direction {
                        urb::OUT => usize::try_from(header.length).unwrap_or(0),
                        _ => 0,
                    };
                    let packets = header.packet_count().saturating_mul(PACKET);
                    if rest.len() < length.saturating_add(packets) {
                        break;
                    }
                    let payload = rest[..length].to_vec();
                    let packets = Packet::read_all(&rest[length..length + packets]);
                    rest = &rest[length + packets.len() * PACKET..];
                    self.requests.push(Request {
                        header,
                        payload,
                        packets,
                        id: None,
                        completed: false,
                        answered: false,
                        doubtful,
                    });
                }
                urb::CMD_UNLINK => {
                    let target = |request: &Request| request.header.seqnum == header.word;
                    self.unlinks.push(Unlink {
                        seqnum: header.seqnum,
                        target: self.requests.iter().rposition(target),
                        answered: false,
                        doubtful,
                    });
                }
                _ => break,
            }
            self.latest_is_unlink = header.command == urb::CMD_UNLINK;
            bytes = rest;
        }
        bytes.len()
    }

    /// The latest request became this transfer.
    fn submitted(&mut self, transfer: &Transfer) {
        assert!(!self.latest_is_unlink, "a transfer comes of a request");
        let latest = self.requests.iter().rposition(|request| !request.doubtful);
        let request = &mut self.requests[latest.expect("a transfer comes of a request")];
        assert_eq!(request.id.replace(transfer.id), None, "one transfer each");
        let header = request.header;
        assert!(transfer.is_consistent(), "{transfer:?}");
        assert_eq!(u32::from(transfer.endpoint.number()), header.endpoint);
        assert_eq!(transfer.payload.direction(), transfer.endpoint.direction());
        assert!(header.length >= 0 && header.length as u32 <= MAX_TRANSFER);
        assert_eq!(transfer.payload.len(), header.length as usize);
        match &transfer.payload {
            Payload::Out(data) => assert_eq!(data[..], request.payload[..]),
            Payload::In { .. } => assert_eq!(header.direction, urb::IN),
        }
        match &transfer.kind {
            Kind::Control(setup) => {
                assert_eq!(header.endpoint, 0);
                assert_eq!(setup.to_bytes(), header.setup);
            }
            Kind::Data { stream } => {
                assert!(header.endpoint != 0 && request.packets.is_empty());
                assert_eq!(*stream, None);
            }
            Kind::Isochronous(packets) => {
                let asked = request.packets.iter();
                let asked = asked.map(|packet| IsoPacket::new(packet.offset, packet.length));
                assert!(packets.iter().copied().eq(asked), "{packets:?}");
                let ends = packets
                    .iter()
                    .map(|each| u64::from(each.offset) + u64::from(each.length));
                assert!(
                    ends.max() <= Some(header.length as u64),
                    "packets lie in the buffer"
                );
            }
        }
    }

    /// The transfer that the latest unlink is about.
    fn unlink_target(&self) -> Option<TransferId> {
        self.requests[self
            .unlinks
            .last()
            .filter(|_| self.latest_is_unlink)?
            .target?]
            .id
    }

    fn asked_for_reset(&self) -> bool {
        let latest = self.requests.last().filter(|_| !self.latest_is_unlink);
        latest.is_some_and(|request| {
            request.header.endpoint == 0 && request.header.setup[..4] == [0x23, 3, 4, 0]
        })
    }

    fn completed(&mut self, id: TransferId) {
        let mut requests = self.requests.iter_mut();
        let request = requests.find(|request| request.id == Some(id));
        let request = request.expect("a transfer comes of a request");
        request.completed = true;
    }

    /// Reads the replies that have come.
    fn read(&mut self) {
        let mut at = 0;
        while let Some(header) = Header::read(&self.inbox[at..]) {
            let body = &self.inbox[at + HEADER..];
            let length = match header.command {
                urb::RET_SUBMIT => {
                    let Some(length) = self
                        .requests
                        .iter_mut()
                        .find(|each| each.header.seqnum == header.seqnum && !each.answered)
                        .expect("a reply to a request that waits for one")
                        .take_reply(&header, body)
                    else {
                        break;
                    };
                    length
                }
                urb::RET_UNLINK => {
                    self.take_unlink_reply(&header);
                    0
                }
                other => panic!("command {other}"),
            };
            assert_eq!(
                (header.device, header.direction, header.endpoint),
                (0, 0, 0)
            );
            assert_eq!((header.start_frame, header.setup), (0, [0; 8]));
            at += HEADER + length;
            self.replies += 1;
        }
        self.inbox.drain(..at);
    }

    fn take_unlink_reply(&mut self, header: &Header) {
        let mut unlinks = self.unlinks.iter_mut();
        let unlink = unlinks.find(|each| each.seqnum == header.seqnum && !each.answered);
        let unlink = unlink.expect("a reply to an unlink that waits for one");
        unlink.answered = true;
        assert_eq!((header.length, header.packets, header.interval), (0, 0, 0));
        match unlink.target.map(|target| &mut self.requests[target]) {
            Some(request) if !request.answered => {
                // Unlinked: from here on a RET_SUBMIT would find no request that waits.
                assert_eq!(header.status(), Status::CANCELLED.errno());
                assert!(request.completed || request.doubtful);
                request.answered = true;
            }
            _ => assert_eq!(header.status(), 0, "what was answered cannot be unlinked"),
        }
    }

    /// In a session without an end.
    fn check_all_answered(&self) {
        assert!(self.inbox.is_empty(), "replies are whole");
        assert!(
            self.requests.iter().all(|each| each.answered),
            "a request without reply"
        );
        assert!(
            self.unlinks.iter().all(|each| each.answered),
            "an unlink without reply"
        );
    }

    /// After the end: what was completed before was answered.
    fn check_the_finished(&self) {
        assert!(self.inbox.is_empty(), "replies are whole");
        let mut completed = self.requests.iter().filter(|each| each.completed);
        assert!(completed.all(|each| each.answered), "a completion got lost");
        let mut unlinks = self.unlinks.iter().filter(|each| !each.doubtful);
        let is_due = |unlink: &Unlink| unlink.target.is_none_or(|at| self.requests[at].completed);
        assert!(
            unlinks.all(|each| each.answered || !is_due(each)),
            "an unlink without reply"
        );
    }
}

impl Request {
    /// Checks a RET_SUBMIT and gives the bytes that follow its header, if they are all there.
    fn take_reply(&mut self, header: &Header, body: &[u8]) -> Option<usize> {
        let asked = usize::try_from(self.header.length).expect("it was answered");
        let actual = usize::try_from(header.length).expect("no negative length");
        assert!(actual <= asked, "{actual} bytes moved of {asked}");
        assert_eq!(header.packet_count(), self.packets.len());
        let is_in = self.header.direction == urb::IN;
        let payload = if is_in { actual } else { 0 };
        let length = payload + self.packets.len() * PACKET;
        let body = body.get(..length)?;
        if let Some(id) = self.id {
            assert!(self.completed, "a reply before its completion");
            let (data, packets) = body.split_at(payload);
            assert!(
                data.iter().all(|&byte| byte == id.to_u64() as u8),
                "another's data"
            );
            self.check_packets(header, &Packet::read_all(packets));
        } else {
            assert!(actual == 0 || !is_in, "nothing comes without the device");
        }
        let short = is_in && self.packets.is_empty() && self.header.word & 1 != 0 && actual < asked;
        assert!(!short || header.status() != 0, "SHORT_NOT_OK");
        self.answered = true;
        Some(length)
    }

    fn check_packets(&self, header: &Header, packets: &[Packet]) {
        assert!(
            packets.iter().all(|each| each.actual <= each.length),
            "{packets:?}"
        );
        // Whatever the device made of them: a client's kernel may copy to where they say.
        for (asked, packet) in self.packets.iter().zip(packets) {
            let (offset, length) = (asked.offset, asked.length);
            assert_eq!((packet.offset, packet.length), (offset, length));
        }
        if !packets.is_empty() {
            let sum: u64 = packets.iter().map(|packet| u64::from(packet.actual)).sum();
            assert_eq!(sum, header.length as u64, "packets add up");
        }
        let failed = packets.iter().filter(|packet| packet.status != 0).count();
        assert_eq!(failed, header.interval as usize, "packets with an error");
    }
}
