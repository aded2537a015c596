//! Endpoints that the host polls for this guest, and isochronous OUT endpoints that it feeds.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::{
    Completion, Frame, IsoPacket, Kind, Payload, Segments, Status, Transfer, TransferId,
};

use crate::Limits;
use crate::codec::{Packet, StatusCode};

/// What a stream moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamKind {
    Interrupt,
    Isochronous,
}

/// One endpoint. The host pushes what the device sends; transfers pull it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) endpoint: EndpointAddress,
    kind: StreamKind,
    /// The host was told to start, and neither side has stopped it since.
    is_started: bool,
    /// IN: what came and no transfer has taken, and how it ended.
    buffered: VecDeque<(Status, Segments)>,
    buffered_bytes: usize,
    /// In order, OUT with the time that each takes, in 125 µs.
    pending: VecDeque<(Transfer, u64)>,
    /// OUT: when the first is through. Nobody knows before the time is told for the first time.
    through: Option<Frame>,
    /// OUT: so many, from the first on, have been sent.
    sent: usize,
    next_id: u64,
}

impl Stream {
    /// What the host is to keep of isochronous packets, in 125 µs: about QEMU's 60 ms. OUT it waits
    /// for half of them.
    const BUFFER: u32 = 512;
    /// In so many transfers, what `usbredirhost` takes at most: while one is on the wire, others
    /// stand.
    const TRANSFERS: u8 = 16;
    /// Likewise, in each of them.
    const MOST_PACKETS: u32 = 32;

    pub(super) const fn new(endpoint: EndpointAddress, kind: StreamKind) -> Self {
        Self {
            endpoint,
            kind,
            is_started: false,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            pending: VecDeque::new(),
            through: None,
            sent: 0,
            next_id: 0,
        }
    }

    pub(super) const fn kind(&self) -> StreamKind {
        self.kind
    }

    pub(super) const fn is_started(&self) -> bool {
        self.is_started
    }

    /// Packets that the host pushed and nobody pulled yet.
    pub(super) fn buffered(&self) -> usize {
        self.buffered.len()
    }

    /// What is to be sent for the stream to start, where it has not. The interval of the first
    /// transfer says how many packets there are in the time that is to be buffered.
    pub(super) fn start(&mut self, transfer: &Transfer) -> Option<Packet> {
        if core::mem::replace(&mut self.is_started, true) {
            return None;
        }
        let endpoint = self.endpoint;
        Some(match self.kind {
            StreamKind::Interrupt => Packet::StartInterruptReceiving { endpoint },
            StreamKind::Isochronous => {
                let per_transfer = Self::BUFFER.div_ceil(Self::TRANSFERS.into());
                let packets = per_transfer.checked_div(transfer.interval);
                let packets = packets.unwrap_or(1).clamp(1, Self::MOST_PACKETS);
                Packet::StartIsoStream {
                    endpoint,
                    packets_per_transfer: u8::try_from(packets).unwrap_or(1),
                    transfers: Self::TRANSFERS,
                }
            }
        })
    }

    /// What is to be sent for it to stop, where it has not.
    pub(super) fn stop(&mut self) -> Option<Packet> {
        self.forget();
        let endpoint = self.endpoint;
        let stop = match self.kind {
            StreamKind::Interrupt => Packet::StopInterruptReceiving { endpoint },
            StreamKind::Isochronous => Packet::StopIsoStream { endpoint },
        };
        core::mem::replace(&mut self.is_started, false).then_some(stop)
    }

    /// The host has stopped it: all that waits fails, and the next transfer starts it again.
    pub(super) fn stopped(&mut self, status: Status) -> Vec<Completion> {
        self.is_started = false;
        self.forget();
        self.fail(status)
    }

    pub(super) fn fail(&mut self, status: Status) -> Vec<Completion> {
        self.through = None;
        self.sent = 0;
        let pending = self.pending.drain(..);
        pending.map(|(transfer, _)| transfer.fail(status)).collect()
    }

    /// A transfer that waits for the device.
    pub(super) fn pull(&mut self, transfer: Transfer) {
        self.pending.push_back((transfer, 0));
    }

    /// A transfer whose packets are to be sent: nobody says when they are through, but each takes
    /// its interval.
    pub(super) fn pushed(&mut self, transfer: Transfer, packets: usize) {
        let interval = u64::from(transfer.interval.max(1));
        let time = interval.saturating_mul(packets as u64);
        self.pending.push_back((transfer, time));
    }

    /// Sends what the host has room for by now; `usbredirhost` drops what comes before.
    pub(super) fn feed(&mut self, now: Frame, mut send: impl FnMut(u64, Packet)) {
        while self.has_room(now) {
            let next = self.pending.get(self.sent).map(|(transfer, _)| transfer);
            let Some(Transfer { kind, payload, .. }) = next else {
                return;
            };
            let (Kind::Isochronous(packets), Payload::Out(data)) = (kind, payload) else {
                return;
            };
            self.sent = self.sent.saturating_add(1);
            for data in packets.iter().filter_map(|packet| piece(data, packet)) {
                let packet = Packet::Iso {
                    endpoint: self.endpoint,
                    status: StatusCode::SUCCESS,
                    length: u16::try_from(data.len()).unwrap_or(0),
                    data: data.into(),
                };
                send(self.next_id, packet);
                // Within 32 bits, for hosts that have no more.
                self.next_id = self.next_id.wrapping_add(1) & u64::from(u32::MAX);
            }
        }
    }

    fn has_room(&self, now: Frame) -> bool {
        let room = self.room_from(self.through.unwrap_or_else(|| self.first_ends(now)));
        room.is_some_and(|room| self.sent == 0 || room <= now)
    }

    /// From when on the host has room for the next transfer OUT that was not sent, where the first
    /// is through at that time.
    fn room_from(&self, Frame(through): Frame) -> Option<Frame> {
        let (_, next) = self.pending.get(self.sent)?;
        let sent = self.pending.iter().take(self.sent).skip(1);
        let end = sent.fold(through, |end, (_, time)| end.saturating_add(*time));
        let end = end.saturating_add(*next);
        Some(Frame(end.saturating_sub(Self::BUFFER.into())))
    }

    /// The time is told: that of the first transfer OUT of several begins.
    pub(super) fn start_of_frame(&mut self, now: Frame) {
        if self.through.is_none() && self.endpoint.direction() == Direction::Out {
            self.first_begins(now);
        }
    }

    fn first_begins(&mut self, now: Frame) {
        self.through = (!self.pending.is_empty()).then(|| self.first_ends(now));
    }

    fn first_ends(&self, Frame(begin): Frame) -> Frame {
        let time = self.pending.front().map_or(0, |(_, time)| *time);
        Frame(begin.saturating_add(time))
    }

    /// Takes what the host pushed. Where nobody pulls, the oldest goes, so that the rest is within
    /// the limits.
    pub(super) fn push(&mut self, status: Status, data: Segments, limits: &Limits) {
        if !self.is_started {
            return;
        }
        self.buffered_bytes = self.buffered_bytes.saturating_add(data.len());
        self.buffered.push_back((status, data));
        while self.buffered.len() > 1
            && (self.buffered.len() > limits.max_buffered_packets
                || self.buffered_bytes > limits.max_buffered_bytes)
        {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<(Status, Segments)> {
        let popped = self.buffered.pop_front()?;
        self.buffered_bytes = self.buffered_bytes.saturating_sub(popped.1.len());
        Some(popped)
    }

    /// The next packet, as much as a transfer or a packet of it has room for.
    fn pop_within(&mut self, room: usize) -> Option<(Status, Segments)> {
        let (mut status, mut data) = self.pop()?;
        if data.len() > room {
            data.truncate(room);
            status = Status::OVERFLOW;
        }
        Some((status, data))
    }

    fn forget(&mut self) {
        self.buffered.clear();
        self.buffered_bytes = 0;
    }

    /// The next transfer that is done.
    pub(super) fn completed(&mut self, now: Frame) -> Option<Completion> {
        let (transfer, _) = self.pending.front()?;
        let is_done = match (self.endpoint.direction(), &transfer.kind) {
            (Direction::Out, _) => self.through.is_some_and(|through| through <= now),
            (Direction::In, Kind::Isochronous(packets)) => packets.len() <= self.buffered.len(),
            (Direction::In, _) => !self.buffered.is_empty(),
        };
        if !is_done {
            return None;
        }
        let (mut transfer, _) = self.remove(0)?;
        let Kind::Isochronous(packets) = &mut transfer.kind else {
            let (status, data) = self.pop_within(transfer.payload.len())?;
            let mut completion = transfer.complete_in(data);
            completion.status = status;
            return Some(completion);
        };
        let packets = core::mem::take(packets);
        if self.endpoint.direction() == Direction::Out {
            let sent = |packet: IsoPacket| IsoPacket {
                actual: packet.length,
                ..packet
            };
            let packets = packets.into_iter().map(sent).collect();
            return Some(transfer.complete_packets(packets, Segments::new()));
        }
        let (mut data, mut results) = (Segments::new(), Vec::with_capacity(packets.len()));
        for packet in packets {
            let (status, came) = self.pop_within(packet.length as usize)?;
            results.push(IsoPacket {
                actual: u32::try_from(came.len()).unwrap_or(0),
                status,
                ..packet
            });
            data.append(came);
        }
        Some(transfer.complete_packets(results, data))
    }

    /// When the next transfer to an OUT endpoint is through, or to be sent; or to be told the time.
    pub(super) fn next_frame(&self) -> Option<Frame> {
        const SOON: Frame = Frame(1);
        if self.endpoint.direction() == Direction::In || self.pending.is_empty() {
            return None;
        }
        let Some(through) = self.through else {
            return Some(SOON);
        };
        let room = self.room_from(through);
        Some(room.map_or(through, |room| room.min(through)))
    }

    /// Ends a transfer early; tells whether that was the last.
    pub(super) fn cancel(&mut self, id: TransferId) -> Option<(Completion, bool)> {
        let at = self.pending.iter().position(|(one, _)| one.id == id)?;
        let (transfer, _) = self.remove(at)?;
        let completion = transfer.fail(Status::CANCELLED);
        Some((completion, self.pending.is_empty()))
    }

    /// Takes one of those that wait. What follows the first begins when that was to end.
    fn remove(&mut self, at: usize) -> Option<(Transfer, u64)> {
        let removed = self.pending.remove(at)?;
        if at < self.sent {
            self.sent = self.sent.saturating_sub(1);
        }
        if at == 0 {
            if let Some(through) = self.through {
                self.first_begins(through);
            }
        }
        Some(removed)
    }
}

/// The data of a packet; `None` where it lies outside, or is longer than the wire can say.
pub(super) fn piece(data: &Bytes, packet: &IsoPacket) -> Option<Bytes> {
    u16::try_from(packet.length).ok()?;
    let end = packet.offset.checked_add(packet.length)? as usize;
    (end <= data.len()).then(|| data.slice(packet.offset as usize..end))
}
