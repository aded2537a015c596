//! The client's side of the target: what it knows of its requests, and what may come back.

use usb_transfer::{IsoPacket, Kind, Payload, Status, Transfer, TransferId};

use super::MAX_TRANSFER;
use crate::urb::{self, HEADER, Header, PACKET, Packet};

/// What the client knows: which requests it made, and which were answered.
#[derive(Default)]
pub(super) struct Client {
    requests: Vec<Request>,
    unlinks: Vec<Unlink>,
    /// Whether the latest message was an unlink.
    latest_is_unlink: bool,
    /// The latest number of a request.
    latest: Option<u32>,
    /// Replies that were not read yet.
    pub(super) inbox: Vec<u8>,
    pub(super) replies: usize,
}

struct Request {
    header: Header,
    payload: Vec<u8>,
    packets: Vec<Packet>,
    became: Became,
    /// The device is done with it.
    completed: bool,
    /// A reply came, or the reply to its unlink.
    answered: bool,
    /// It may have been broken, so that no reply has to come.
    doubtful: bool,
}

/// What the device got of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    /// Nothing yet, or the server answers it.
    Nothing,
    Transfer(TransferId),
    Reset,
    /// Nothing: it was unlinked before it came.
    Unlinked,
}

struct Unlink {
    seqnum: u32,
    /// The number of its target, which is to come.
    waits: Option<u32>,
    /// Among the requests.
    target: Option<usize>,
    answered: bool,
    doubtful: bool,
}

impl Client {
    /// Notes what the server has taken, and gives how many bytes are left over.
    pub(super) fn sent(&mut self, mut bytes: &[u8], certain: bool) -> usize {
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
                    let became = self.arrived(header.seqnum, certain);
                    self.requests.push(Request {
                        header,
                        payload,
                        packets,
                        became,
                        completed: false,
                        answered: false,
                        doubtful,
                    });
                }
                urb::CMD_UNLINK => {
                    let target = |request: &Request| request.header.seqnum == header.word;
                    let target = self.requests.iter().rposition(target);
                    let is_to_come = self.is_to_come(&header, target);
                    self.unlinks.push(Unlink {
                        seqnum: header.seqnum,
                        waits: is_to_come.then_some(header.word),
                        target: target.filter(|_| !is_to_come),
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

    /// Whether the server waits for what this unlinks; `target` had the number last.
    fn is_to_come(&self, unlink: &Header, target: Option<usize>) -> bool {
        !target.is_some_and(|at| self.is_in_flight(at))
            && is_later(unlink.seqnum, unlink.word)
            && self
                .latest
                .is_none_or(|latest| is_later(unlink.word, latest))
    }

    fn is_in_flight(&self, at: usize) -> bool {
        let is_out = |request: &Request| request.id().is_some() && !request.completed;
        // A reset is answered with the last before it.
        let (before, request) = (&self.requests[..at], &self.requests[at]);
        is_out(request) || request.became == Became::Reset && before.iter().any(is_out)
    }

    /// The request that comes next has this number.
    fn arrived(&mut self, seqnum: u32, certain: bool) -> Became {
        let is_latest = |latest| seqnum > latest || is_later(seqnum, latest);
        if !self.latest.is_none_or(is_latest) {
            return Became::Nothing;
        }
        self.latest = Some(seqnum);
        let mut became = Became::Nothing;
        for unlink in &mut self.unlinks {
            let Some(target) = unlink.waits.filter(|target| !is_later(*target, seqnum)) else {
                continue;
            };
            unlink.waits = None;
            unlink.doubtful |= !certain;
            if target == seqnum {
                unlink.target = Some(self.requests.len());
                became = Became::Unlinked;
            }
        }
        became
    }

    pub(super) fn told_reset(&mut self) {
        if self.asked_for_reset() {
            let latest = self.requests.last_mut();
            latest.expect("it asked").became = Became::Reset;
        }
    }

    /// The latest request became this transfer.
    pub(super) fn submitted(&mut self, transfer: &Transfer) {
        assert!(!self.latest_is_unlink, "a transfer comes of a request");
        let latest = self.requests.iter().rposition(|request| !request.doubtful);
        let request = &mut self.requests[latest.expect("a transfer comes of a request")];
        assert!(
            request.became == Became::Nothing,
            "one transfer each, and none of what was unlinked before it came"
        );
        request.became = Became::Transfer(transfer.id);
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
    pub(super) fn unlink_target(&self) -> Option<TransferId> {
        self.requests[self
            .unlinks
            .last()
            .filter(|_| self.latest_is_unlink)?
            .target?]
            .id()
    }

    pub(super) fn asked_for_reset(&self) -> bool {
        let latest = self.requests.last().filter(|_| !self.latest_is_unlink);
        latest.is_some_and(|request| {
            let Header {
                endpoint, setup, ..
            } = request.header;
            request.became != Became::Unlinked && endpoint == 0 && setup[..4] == [0x23, 3, 4, 0]
        })
    }

    pub(super) fn completed(&mut self, id: TransferId) {
        let mut requests = self.requests.iter_mut();
        let request = requests.find(|request| request.id() == Some(id));
        let request = request.expect("a transfer comes of a request");
        request.completed = true;
    }

    /// Reads the replies that have come.
    pub(super) fn read(&mut self) {
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
        assert_eq!(unlink.waits, None, "its target is to come");
        assert_eq!((header.length, header.packets, header.interval), (0, 0, 0));
        match unlink.target.map(|target| &mut self.requests[target]) {
            Some(request) if !request.answered => {
                // Unlinked: from here on a RET_SUBMIT would find no request that waits.
                assert_eq!(header.status(), Status::CANCELLED.errno());
                assert!(request.is_over() || request.doubtful);
                request.answered = true;
            }
            _ => assert_eq!(header.status(), 0, "what was answered cannot be unlinked"),
        }
    }

    /// In a session without an end.
    pub(super) fn check_all_answered(&self) {
        assert!(self.inbox.is_empty(), "replies are whole");
        assert!(
            self.requests.iter().all(|each| each.answered),
            "a request without reply"
        );
        let mut unlinks = self.unlinks.iter();
        assert!(
            unlinks.all(|each| each.answered != each.waits.is_some()),
            "an unlink without reply"
        );
    }

    /// After the end: what was completed before was answered.
    pub(super) fn check_the_finished(&self) {
        assert!(self.inbox.is_empty(), "replies are whole");
        let mut completed = self.requests.iter().filter(|each| each.completed);
        assert!(completed.all(|each| each.answered), "a completion got lost");
        let mut unlinks = self.unlinks.iter().filter(|each| !each.doubtful);
        let is_done = |at: usize| self.requests[at].is_over();
        let is_due = |unlink: &Unlink| unlink.waits.is_none() && unlink.target.is_none_or(is_done);
        assert!(
            unlinks.all(|each| each.answered || !is_due(each)),
            "an unlink without reply"
        );
    }
}

/// Whether a number comes after another, which may be round the end.
fn is_later(seqnum: u32, other: u32) -> bool {
    seqnum != other && seqnum.wrapping_sub(other) < 1 << 31
}

impl Request {
    fn id(&self) -> Option<TransferId> {
        match self.became {
            Became::Transfer(id) => Some(id),
            _ => None,
        }
    }

    /// The device is done with it, or never saw it.
    fn is_over(&self) -> bool {
        self.completed || self.became == Became::Unlinked
    }

    /// Checks a RET_SUBMIT and gives the bytes that follow its header, if they are all there.
    fn take_reply(&mut self, header: &Header, body: &[u8]) -> Option<usize> {
        assert!(
            self.became != Became::Unlinked,
            "a RET_SUBMIT of what was unlinked before it came"
        );
        let asked = usize::try_from(self.header.length).expect("it was answered");
        let actual = usize::try_from(header.length).expect("no negative length");
        assert!(actual <= asked, "{actual} bytes moved of {asked}");
        assert_eq!(header.packet_count(), self.packets.len());
        let is_in = self.header.direction == urb::IN;
        let payload = if is_in { actual } else { 0 };
        let length = payload + self.packets.len() * PACKET;
        let body = body.get(..length)?;
        if let Some(id) = self.id() {
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
