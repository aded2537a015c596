//! Endpoints that the host polls for this guest, and isochronous OUT endpoints that it feeds.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::{Completion, Frame, IsoPacket, Kind, Segments, Status, Transfer, TransferId};

use crate::codec::Packet;

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
    /// In order, OUT with the frame at which each is through.
    pending: VecDeque<(Transfer, Frame)>,
    /// OUT: when all that was sent is through.
    busy_until: Frame,
    next_id: u64,
}

impl Stream {
    /// How many transfers the host keeps at an isochronous endpoint: while one is on the wire,
    /// others stand.
    const TRANSFERS: u8 = 4;
    /// What `usbredirhost` takes at most.
    const MOST_PACKETS: usize = 32;

    pub(super) const fn new(endpoint: EndpointAddress, kind: StreamKind) -> Self {
        Self {
            endpoint,
            kind,
            is_started: false,
            buffered: VecDeque::new(),
            pending: VecDeque::new(),
            busy_until: Frame::ZERO,
            next_id: 0,
        }
    }

    pub(super) const fn kind(&self) -> StreamKind {
        self.kind
    }

    pub(super) const fn is_started(&self) -> bool {
        self.is_started
    }

    /// What is to be sent for the stream to start, where it has not. The first transfer says how
    /// many packets are moved at a time.
    pub(super) fn start(&mut self, transfer: &Transfer) -> Option<Packet> {
        if core::mem::replace(&mut self.is_started, true) {
            return None;
        }
        let endpoint = self.endpoint;
        Some(match &transfer.kind {
            Kind::Isochronous(packets) => {
                let packets = packets.len().clamp(1, Self::MOST_PACKETS);
                Packet::StartIsoStream {
                    endpoint,
                    packets_per_transfer: u8::try_from(packets).unwrap_or(1),
                    transfers: Self::TRANSFERS,
                }
            }
            _ => Packet::StartInterruptReceiving { endpoint },
        })
    }

    /// What is to be sent for it to stop, where it has not.
    pub(super) fn stop(&mut self) -> Option<Packet> {
        self.buffered.clear();
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
        self.buffered.clear();
        self.fail(status)
    }

    pub(super) fn fail(&mut self, status: Status) -> Vec<Completion> {
        let pending = self.pending.drain(..);
        pending.map(|(transfer, _)| transfer.fail(status)).collect()
    }

    /// A transfer that waits for the device.
    pub(super) fn pull(&mut self, transfer: Transfer) {
        self.pending.push_back((transfer, Frame::ZERO));
    }

    /// A transfer whose packets were sent: nobody says when they are through, but each takes its
    /// interval.
    pub(super) fn pushed(&mut self, transfer: Transfer, packets: usize, now: Frame) {
        let Frame(start) = self.busy_until.max(now);
        let interval = u64::from(transfer.interval.max(1));
        let time = interval.saturating_mul(packets as u64);
        self.busy_until = Frame(start.saturating_add(time));
        self.pending.push_back((transfer, self.busy_until));
    }

    pub(super) fn mint(&mut self) -> u64 {
        let id = self.next_id;
        // Within 32 bits, for hosts that have no more.
        self.next_id = self.next_id.wrapping_add(1) & u64::from(u32::MAX);
        id
    }

    /// Takes what the host pushed; where nobody pulls, at most `limit` packets are kept, and the
    /// oldest goes.
    pub(super) fn push(&mut self, status: Status, data: Segments, limit: usize) {
        if !self.is_started {
            return;
        }
        if self.buffered.len() >= limit.max(1) {
            self.buffered.pop_front();
        }
        self.buffered.push_back((status, data));
    }

    /// The next transfer that is done.
    pub(super) fn completed(&mut self, now: Frame) -> Option<Completion> {
        let (transfer, through) = self.pending.front()?;
        let is_done = match (self.endpoint.direction(), &transfer.kind) {
            (Direction::Out, _) => *through <= now,
            (Direction::In, Kind::Isochronous(packets)) => packets.len() <= self.buffered.len(),
            (Direction::In, _) => !self.buffered.is_empty(),
        };
        if !is_done {
            return None;
        }
        let (mut transfer, _) = self.pending.pop_front()?;
        let Kind::Isochronous(packets) = &mut transfer.kind else {
            let (status, data) = self.buffered.pop_front()?;
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
            let (mut status, mut came) = self.buffered.pop_front()?;
            if came.len() > packet.length as usize {
                came.truncate(packet.length as usize);
                status = Status::OVERFLOW;
            }
            results.push(IsoPacket {
                actual: u32::try_from(came.len()).unwrap_or(0),
                status,
                ..packet
            });
            data.append(came);
        }
        Some(transfer.complete_packets(results, data))
    }

    /// When the next transfer to an OUT endpoint is through.
    pub(super) fn next_frame(&self) -> Option<Frame> {
        let out = self.endpoint.direction() == Direction::Out;
        let (_, through) = self.pending.front().filter(|_| out)?;
        Some(*through)
    }

    /// Ends a transfer early; tells whether that was the last.
    pub(super) fn cancel(&mut self, id: TransferId) -> Option<(Completion, bool)> {
        let at = self.pending.iter().position(|(one, _)| one.id == id)?;
        let (transfer, _) = self.pending.remove(at)?;
        let completion = transfer.fail(Status::CANCELLED);
        Some((completion, self.pending.is_empty()))
    }
}
