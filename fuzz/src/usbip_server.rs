//! The server's end of a session, between a hostile client and a device that finishes what it
//! likes as it likes.
//!
//! Invariants: every request in front of the end is answered exactly once; no RET_SUBMIT comes
//! after the RET_UNLINK of the same request; what was unlinked before it came is answered when it
//! comes, and the device never sees it; replies are well formed and carry the device's bytes; what
//! is in flight, queued and reserved stays within the limits; `receive` takes whole messages, and
//! either tells something or wants something; an error is sticky; the last event is one reset.

mod client;

use bytes::Buf;
use testkit::Decisions;
use usb_descriptors::Speed;
use usb_transfer::{
    Completion, Frontend, HostEvent, Kind, Payload, Status, Step, Transfer, TransferId, Wants, Wire,
};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits, ProtocolError};

use self::client::Client;
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
/// What all replies to requests in flight, with those to their unlinks and to unlinks that wait, can
/// take.
const MAX_REPLIES: usize =
    MAX_IN_FLIGHT_BYTES as usize + MAX_IN_FLIGHT * (3 * HEADER + MAX_PACKETS as usize * PACKET);

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
    /// Requests that are numbered and not sent yet: unlinks overtake them.
    unsent: Vec<u8>,
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
            unsent: Vec::new(),
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
        self.socket.incoming.extend(self.unsent.drain(..));
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
        self.unsent.extend(message);
        if !choices::rarely(&mut self.decisions, 4) {
            self.socket.incoming.extend(self.unsent.drain(..));
        }
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
                self.client.told_reset();
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
