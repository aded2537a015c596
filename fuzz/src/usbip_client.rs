//! The client's end of a session, between a hostile server and an embedder that submits and
//! cancels what it likes.
//!
//! Invariants: every transfer completes exactly once, at the latest after the end, with no more
//! than was asked for, and by a reply only once its header was written; requests are well formed,
//! numbered without repetition, and unlinked once at most; what is reserved stays within what was
//! asked for; an error is sticky; the device is gone exactly once, after everything is completed.

use std::collections::BTreeMap;

use bytes::Buf;
use testkit::Decisions;
use usb_descriptors::Speed;
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Kind, Payload, Status, Step, Transfer, TransferId,
    TransferIds, Wants, Wire,
};
use usbip_proto::client::Session;
use usbip_proto::{DeviceId, Limits, ProtocolError};

use crate::socket::Socket;
use crate::urb::{self, HEADER, Header, PACKET, Packet};
use crate::{choices, split};

/// As in the recordings among the seeds.
const DEVICE: u32 = 0;
const MAX_TRANSFER: u32 = 4096;
/// The longest reply to what this target submits.
const MAX_MESSAGE: usize = HEADER + MAX_TRANSFER as usize + 10 * PACKET;

/// What the receive buffer may grow to: it keeps room for a message as long as the last ones, or
/// for 64 KiB of short ones, and may hold a message before and behind that; where it has to grow,
/// it doubles.
const MAX_ROOM: usize = 2 * ((64 << 10) + 2 * MAX_MESSAGE);

/// Runs the target: choices steer the embedder, the server and the socket; the bytes after them
/// are the server's own.
pub fn run(input: &[u8]) {
    let (decisions, stream) = split(input);
    Run::new(decisions, stream).run();
}

struct Run<'a> {
    decisions: Decisions<'a>,
    /// What the server still has to say on its own.
    stream: &'a [u8],
    session: Session,
    ids: TransferIds,
    socket: Socket,
    server: Server,
    /// Submitted and not completed.
    pending: BTreeMap<TransferId, Transfer>,
    /// The numbers of those that were queued to be sent.
    seqnums: BTreeMap<TransferId, u32>,
    over: bool,
    error: Option<ProtocolError>,
    detached: bool,
}

impl<'a> Run<'a> {
    fn new(decisions: Decisions<'a>, stream: &'a [u8]) -> Self {
        let mut limits = Limits::default();
        limits.max_transfer = MAX_TRANSFER;
        Self {
            decisions,
            stream,
            session: Session::new(DeviceId::from_u32(DEVICE), Speed::High, limits),
            ids: TransferIds::default(),
            socket: Socket::new(MAX_ROOM),
            server: Server::default(),
            pending: BTreeMap::new(),
            seqnums: BTreeMap::new(),
            over: false,
            error: None,
            detached: false,
        }
    }

    fn run(mut self) {
        // Something to answer, also where there are no choices.
        (0..3).for_each(|_| self.submit());
        self.turn();
        while !self.decisions.is_empty() {
            self.step();
        }
        self.write(usize::MAX);
        self.socket.incoming.extend(self.stream);
        self.turn();
        while !self.socket.incoming.is_empty() && self.socket.wants.read.is_some() {
            self.socket.read(usize::MAX);
            self.turn();
        }
        self.session.end();
        self.over = true;
        self.turn();
        assert!(self.pending.is_empty(), "every transfer is completed");
        assert!(self.detached, "the device is gone");
        self.submit();
        self.turn();
        assert!(self.pending.is_empty(), "and stays so");
        self.write(usize::MAX);
        let quiet = Wants {
            read: None,
            write: false,
        };
        match self.socket.receive(&mut self.session).0 {
            Ok(step) => assert_eq!(step, Step::Io(quiet), "finished"),
            Err(error) => assert_eq!(Some(error), self.error, "sticky"),
        }
    }

    fn step(&mut self) {
        match self.decisions.below(16) {
            0..=2 => {
                let count = self.decisions.below(200) + 1;
                let (taken, rest) = self.stream.split_at(count.min(self.stream.len()));
                self.socket.incoming.extend(taken);
                self.stream = rest;
            }
            3..=6 => self.submit(),
            7 => {
                let at = self.decisions.below(self.pending.len() + 1);
                let id = self.pending.keys().nth(at).copied();
                // Perhaps one that is not pending, or for the second time.
                self.session
                    .cancel(id.unwrap_or(TransferId::from_u64(at as u64)));
            }
            8 if choices::rarely(&mut self.decisions, 4) => self.session.reset(),
            14 => {
                let most = self.decisions.below(2000);
                self.write(most);
            }
            15 if choices::rarely(&mut self.decisions, 8) => {
                self.session.end();
                self.over = true;
            }
            13 if choices::rarely(&mut self.decisions, 8) => {
                // To what it may not have read.
                let mut reply = Vec::new();
                Header {
                    command: urb::RET_SUBMIT,
                    seqnum: self.seqnums.values().next_back().map_or(1, |last| *last),
                    word: Status::STALL.errno() as u32,
                    ..Header::default()
                }
                .put(&mut reply);
                self.socket.incoming.extend(reply);
            }
            _ => {
                self.write(usize::MAX);
                let reply = self.server.reply(&mut self.decisions);
                self.socket.incoming.extend(reply);
            }
        }
        self.turn();
        let most = if self.decisions.below(4) > 0 {
            self.decisions.below(300) + 1
        } else {
            usize::MAX
        };
        self.socket.read(most);
        self.turn();
    }

    fn submit(&mut self) {
        let id = self.ids.mint();
        let transfer = choices::transfer(&mut self.decisions, id, MAX_TRANSFER);
        self.pending.insert(id, transfer.clone());
        let before = self.session.tx().remaining();
        self.session.submit(transfer);
        let queued = self.session.tx().slices().flatten().skip(before);
        let header: Vec<u8> = queued.copied().take(HEADER).collect();
        if let Some(header) = Header::read(&header) {
            self.seqnums.insert(id, header.seqnum);
        }
    }

    fn write(&mut self, most: usize) {
        let count = most.min(self.session.tx().remaining());
        let bytes = self.session.tx().copy_to_bytes(count);
        self.server.take(&bytes);
    }

    fn turn(&mut self) {
        loop {
            let (result, _, taken) = self.socket.receive(&mut self.session);
            match result {
                Ok(Step::Ready) => {
                    assert_eq!(self.error, None, "an error is sticky");
                    let event = self.session.poll();
                    self.event(event.expect("ready means that there is an event"));
                    self.poll();
                }
                Ok(Step::Io(wants)) => {
                    assert_eq!(self.error, None, "an error is sticky");
                    assert_eq!(wants.write, self.session.tx().has_remaining());
                    assert_eq!(wants.read.is_none(), self.over, "it reads always");
                    self.socket.wants = wants;
                    self.poll();
                    break;
                }
                Err(error) => {
                    if let Some(before) = self.error.replace(error.clone()) {
                        assert_eq!(error, before, "an error is sticky");
                        assert_eq!(taken, 0, "nothing is taken after the end");
                    } else {
                        assert!(!self.over, "an end without error stays one");
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
        assert_eq!(self.detached, self.over, "the end is told at once");
    }

    fn event(&mut self, event: FunctionEvent) {
        match event {
            FunctionEvent::Complete(completion) => self.completed(&completion),
            FunctionEvent::Detached => {
                assert!(self.over, "gone without a reason");
                assert!(!self.detached, "gone twice");
                assert!(self.pending.is_empty(), "completed before it is gone");
                self.detached = true;
            }
            other => panic!("an event this target does not know: {other:?}"),
        }
    }

    fn completed(&mut self, completion: &Completion) {
        let transfer = self.pending.remove(&completion.id);
        let transfer = transfer.expect("completed once, and only what was submitted");
        if let Some(seqnum) = self.seqnums.remove(&completion.id).filter(|_| !self.over) {
            assert!(self.server.has_read(seqnum), "a reply to what was not sent");
        }
        let asked = transfer.payload.len();
        match (&completion.actual, &transfer.payload) {
            (Actual::In(data), Payload::In { .. }) => assert!(data.len() <= asked),
            (Actual::Out(taken), Payload::Out(_)) => assert!(*taken as usize <= asked),
            _ => panic!("a result of the other direction"),
        }
        let packets = match &transfer.kind {
            Kind::Isochronous(packets) => &packets[..],
            _ => &[],
        };
        assert_eq!(completion.packets.len(), packets.len());
        for (ours, theirs) in packets.iter().zip(&completion.packets) {
            assert_eq!((ours.offset, ours.length), (theirs.offset, theirs.length));
            assert!(theirs.actual <= ours.length);
        }
        if !packets.is_empty() {
            let packets = completion.packets.iter();
            let sum: u64 = packets.map(|packet| u64::from(packet.actual)).sum();
            assert_eq!(sum, completion.actual.len() as u64, "packets add up");
        }
        if self.detached {
            assert_eq!(completion.status, Status::DISCONNECTED);
        }
    }
}

/// What a server knows of its client, and how it abuses that.
#[derive(Default)]
struct Server {
    inbox: Vec<u8>,
    requests: Vec<Request>,
    /// Numbers of unlinks.
    unlinks: Vec<(u32, u32)>,
}

struct Request {
    header: Header,
    packets: Vec<Packet>,
    answered: bool,
}

impl Server {
    /// Reads what the client wrote.
    fn take(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(header) = Header::read(&self.inbox[at..]) {
            assert_eq!(header.device, DEVICE);
            let is_new = |number: u32| {
                let requests = self.requests.iter().map(|request| request.header.seqnum);
                let unlinks = self.unlinks.iter().map(|(seqnum, _)| *seqnum);
                requests.chain(unlinks).all(|seqnum| seqnum != number)
            };
            assert!(is_new(header.seqnum), "a number twice");
            at += HEADER;
            if header.command == urb::CMD_UNLINK {
                let mut unlinks = self.unlinks.iter();
                assert!(
                    unlinks.all(|(_, target)| *target != header.word),
                    "unlinked twice"
                );
                let mut requests = self.requests.iter();
                assert!(requests.any(|request| request.header.seqnum == header.word));
                self.unlinks.push((header.seqnum, header.word));
                continue;
            }
            assert_eq!(header.command, urb::CMD_SUBMIT);
            assert!(header.direction <= urb::IN && header.endpoint <= 15);
            assert!((0..=MAX_TRANSFER as i32).contains(&header.length));
            let payload = if header.direction == urb::OUT {
                header.length as usize
            } else {
                0
            };
            let length = payload + header.packet_count() * PACKET;
            let Some(body) = self.inbox.get(at..at + length) else {
                at -= HEADER;
                break;
            };
            let packets = Packet::read_all(&body[payload..]);
            // The kernel's server insists on it.
            assert!(packets.iter().all(|packet| packet.actual == 0));
            at += length;
            self.requests.push(Request {
                header,
                packets,
                answered: false,
            });
        }
        self.inbox.drain(..at);
    }

    /// Whether it has the header of a request, if not what belongs to it.
    fn has_read(&self, seqnum: u32) -> bool {
        let next = Header::read(&self.inbox).map(|header| header.seqnum);
        let mut requests = self.requests.iter().map(|request| request.header.seqnum);
        next == Some(seqnum) || requests.any(|each| each == seqnum)
    }

    /// A reply, mostly to a request that was made.
    fn reply(&mut self, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let broken = |decisions: &mut Decisions<'_>| choices::rarely(decisions, 100);
        if decisions.below(4) == 3 && !self.unlinks.is_empty() {
            let at = decisions.below(self.unlinks.len());
            let header = Header {
                command: urb::RET_UNLINK,
                seqnum: self.unlinks[at].0,
                word: choices::status(decisions).errno() as u32,
                ..Header::default()
            };
            header.put(&mut bytes);
            return bytes;
        }
        // One of the first that wait; rarely one that does not.
        let answered = choices::rarely(decisions, 50);
        let requests = self.requests.iter_mut();
        let waiting = requests.filter(|request| request.answered == answered);
        let Some(request) = waiting.take(6).nth(decisions.below(6)) else {
            return bytes;
        };
        request.answered = true;
        let is_in = request.header.direction == urb::IN;
        let asked = request.header.length;
        let mut packets = request.packets.clone();
        let mut actual = match decisions.below(4) {
            0 | 1 => asked,
            2 => decisions.below(asked as usize + 1) as i32,
            _ => 0,
        };
        if !packets.is_empty() && !broken(decisions) {
            let short = decisions.chance();
            for packet in &mut packets {
                packet.actual = packet.length;
                if short {
                    packet.actual = decisions.below(packet.length as usize + 1) as u32;
                }
                packet.status = choices::status(decisions).errno();
            }
            let sum = packets.iter().map(|packet| packet.actual);
            actual = sum.fold(0, u32::wrapping_add) as i32;
        }
        if broken(decisions) {
            actual = choices::word(decisions) as i32;
        }
        if broken(decisions) {
            if let Some(packet) = packets.last_mut() {
                packet.offset = choices::word(decisions);
            }
        }
        let mut header = Header {
            command: urb::RET_SUBMIT,
            seqnum: request.header.seqnum,
            word: choices::status(decisions).errno() as u32,
            length: actual,
            packets: packets.len() as i32,
            ..Header::default()
        };
        if broken(decisions) {
            header.packets = choices::word(decisions) as i32;
        }
        header.put(&mut bytes);
        if is_in {
            let length = actual.clamp(0, MAX_TRANSFER as i32) as usize;
            bytes.resize(bytes.len() + length, 0xaa);
        }
        for packet in &packets {
            packet.put(&mut bytes);
        }
        bytes
    }
}
