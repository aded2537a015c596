//! Bulk transfers that go to the host one piece after the other.

use alloc::collections::VecDeque;

use bytes::Bytes;
use usb_descriptors::EndpointAddress;
use usb_transfer::{
    Actual, Completion, Kind, Payload, Segments, Status, StreamId, Transfer, TransferId,
};

use super::Guest;
use super::requests::{Expected, Request};
use crate::Capabilities;
use crate::codec::{EndpointEntry, Packet, StatusCode};

/// A transfer of which one piece is at the host, and those that wait for its end: what they move
/// comes behind it, and a short piece leaves the rest of it out.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Its payload is what is still to be asked for or sent.
    transfer: Transfer,
    /// The most that a piece may be.
    most: u32,
    /// An empty packet is to follow.
    owes_empty: bool,
    moved: Actual,
    held: VecDeque<Transfer>,
}

impl Pieces {
    /// Less than 16 bits can say, and a multiple of the largest packet at any speed, so that only
    /// the device ends a piece early.
    const MOST: u32 = 63 << 10;

    /// Of a transfer to a host that takes `at_once` bytes at most; an error is one that goes as it
    /// is.
    fn of(transfer: Transfer, at_once: u32, entry: EndpointEntry) -> Result<Self, Transfer> {
        let length = transfer.payload.len();
        // Without the capability to tell it, nobody knows where packets end.
        let rest = length.checked_rem(usize::from(entry.max_packet_size));
        let moved = match &transfer.payload {
            Payload::Out(_) => Actual::Out(0),
            Payload::In { .. } => Actual::In(Segments::new()),
        };
        let is_out = matches!(moved, Actual::Out(_));
        let owes_empty = is_out && transfer.flags.zero_packet && length > 0 && rest == Some(0);
        let is_long = length > at_once as usize;
        if !is_long && !owes_empty {
            return Err(transfer);
        }
        Ok(Self {
            transfer,
            most: if is_long { Self::MOST } else { at_once },
            owes_empty,
            moved,
            held: VecDeque::new(),
        })
    }

    pub(super) const fn id(&self) -> TransferId {
        self.transfer.id
    }

    pub(super) const fn endpoint(&self) -> EndpointAddress {
        self.transfer.endpoint
    }

    const fn stream(&self) -> Option<StreamId> {
        match self.transfer.kind {
            Kind::Data { stream } => stream,
            Kind::Control(_) | Kind::Isochronous(_) => None,
        }
    }

    /// Packets whose data it holds.
    pub(super) fn brought(&self) -> usize {
        match &self.moved {
            Actual::Out(_) => 0,
            Actual::In(data) => data.iter().count(),
        }
    }

    const fn has_more(&self) -> bool {
        !self.transfer.payload.is_empty() || self.owes_empty
    }

    /// Takes the next piece off: its length and, OUT, its data.
    fn take(&mut self) -> (u32, Bytes) {
        match &mut self.transfer.payload {
            Payload::Out(rest) => {
                if rest.is_empty() {
                    self.owes_empty = false;
                }
                let piece = rest.split_to(rest.len().min(self.most as usize));
                (u32::try_from(piece.len()).unwrap_or(self.most), piece)
            }
            Payload::In { length: rest } => {
                let length = self.most.min(*rest);
                *rest = rest.saturating_sub(length);
                (length, Bytes::new())
            }
        }
    }

    fn add(&mut self, actual: Actual) {
        match (&mut self.moved, actual) {
            (Actual::Out(moved), Actual::Out(more)) => *moved = moved.saturating_add(more),
            (Actual::In(moved), Actual::In(more)) => moved.append(more),
            // Each piece goes the way of the whole.
            (Actual::Out(_), Actual::In(_)) | (Actual::In(_), Actual::Out(_)) => {}
        }
    }

    /// Ends it with what has moved, and gives those that waited.
    fn finish(self, status: Status) -> (Completion, VecDeque<Transfer>) {
        let completion = Completion::new(self.transfer.id, status, self.moved);
        (completion, self.held)
    }

    /// Ends it, and all that wait.
    pub(super) fn fail(self, status: Status) -> impl Iterator<Item = Completion> {
        let (first, held) = self.finish(status);
        let held = held.into_iter().map(move |transfer| transfer.fail(status));
        core::iter::once(first).chain(held)
    }
}

impl Guest {
    /// Sends a bulk transfer, or its first piece where the host does not take all of it at once.
    /// Behind one that goes in pieces it waits.
    pub(super) fn send_bulk(
        &mut self,
        transfer: Transfer,
        stream: Option<StreamId>,
        entry: EndpointEntry,
    ) {
        let endpoint = transfer.endpoint;
        let mut under_way = self.pieces.iter_mut();
        let before = under_way.find(|one| one.endpoint() == endpoint && one.stream() == stream);
        if let Some(before) = before {
            before.held.push_back(transfer);
            return;
        }
        let at_once = if self.has(Capabilities::BULK_LENGTH_32_BITS) {
            self.codec.limits().max_transfer
        } else {
            u16::MAX.into()
        };
        match Pieces::of(transfer, at_once, entry) {
            Ok(pieces) => self.send_piece(pieces),
            Err(transfer) => {
                let length = u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX);
                let data = match &transfer.payload {
                    Payload::Out(data) => data.clone(),
                    Payload::In { .. } => Bytes::new(),
                };
                self.send_part(&transfer, stream, length, data);
            }
        }
    }

    fn send_piece(&mut self, mut pieces: Pieces) {
        let (length, data) = pieces.take();
        let stream = pieces.stream();
        self.send_part(&pieces.transfer, stream, length, data);
        self.pieces.push(pieces);
    }

    fn send_part(
        &mut self,
        transfer: &Transfer,
        stream: Option<StreamId>,
        length: u32,
        data: Bytes,
    ) {
        let endpoint = transfer.endpoint;
        let packet = Packet::Bulk {
            endpoint,
            status: StatusCode::SUCCESS,
            stream: stream.map_or(0, |StreamId(stream)| stream.get().into()),
            length,
            data: data.into(),
        };
        self.sent_part(transfer, length, Expected::Bulk(endpoint), packet);
    }

    /// The host has replied to a request: of a transfer in pieces the next one follows, unless this
    /// was short, failed, or has been cancelled meanwhile.
    pub(super) fn replied(&mut self, request: &Request, completion: Completion) {
        let mut under_way = self.pieces.iter();
        let Some(at) = under_way.position(|one| one.id() == request.id()) else {
            return self.tell([completion]);
        };
        let mut pieces = self.pieces.swap_remove(at);
        let is_whole = completion.actual.len() == request.length() as usize;
        let mut status = completion.status;
        pieces.add(completion.actual);
        if status == Status::COMPLETED && is_whole && pieces.has_more() {
            if !request.is_cancelled() {
                return self.send_piece(pieces);
            }
            status = Status::CANCELLED;
        }
        let (completion, held) = pieces.finish(status);
        self.tell([completion]);
        held.into_iter().for_each(|transfer| self.request(transfer));
    }

    pub(super) fn is_in_pieces(&self, request: &Request) -> bool {
        self.pieces.iter().any(|one| one.id() == request.id())
    }

    /// Ends a transfer that waits for another's pieces.
    pub(super) fn cancel_held(&mut self, id: TransferId) -> bool {
        let mut held = self.pieces.iter_mut().map(|pieces| &mut pieces.held);
        let transfer = held.find_map(|held| {
            let at = held.iter().position(|transfer| transfer.id == id)?;
            held.remove(at)
        });
        let is_found = transfer.is_some();
        self.tell(transfer.map(|transfer| transfer.fail(Status::CANCELLED)));
        is_found
    }
}
