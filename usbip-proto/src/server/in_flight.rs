//! The requests that are out at the function.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use usb_descriptors::Direction;
use usb_transfer::{IsoPacket, Transfer, TransferId};

use super::submit::Submit;

/// What a reply needs to know of its request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: TransferId,
    pub(super) seqnum: u32,
    pub(super) direction: Direction,
    /// Bytes carried or asked for.
    pub(super) length: u32,
    /// Where the isochronous packets lie; empty for other kinds. The reply says it again, whatever
    /// the function made of it.
    pub(super) packets: Vec<IsoPacket>,
    pub(super) short_not_ok: bool,
    /// A port reset, which the function is told of otherwise: answered once all before it are.
    pub(super) is_reset: bool,
    /// The number of the request to unlink this one.
    pub(super) unlink: Option<u32>,
}

impl Request {
    /// A request of a transfer, and where its packets lie.
    pub(super) fn new(submit: &Submit, transfer: &Transfer, packets: Vec<IsoPacket>) -> Self {
        Self {
            id: transfer.id,
            seqnum: submit.seqnum,
            direction: submit.direction,
            length: submit.length,
            packets,
            short_not_ok: transfer.flags.short_not_ok,
            is_reset: false,
            unlink: None,
        }
    }

    /// What it counts against [`Limits::max_in_flight_bytes`](crate::Limits).
    pub(super) fn bytes(&self) -> u64 {
        let length = u64::from(self.length);
        if self.packets.is_empty() {
            return length;
        }
        // The function has a list of the packets too.
        let lists = self.packets.len().saturating_mul(2);
        let lists = lists.saturating_mul(size_of::<IsoPacket>()) as u64;
        length.saturating_add(lists)
    }
}

/// What is known of a request that is to be unlinked.
#[derive(Debug)]
pub(super) enum Unlinked<'a> {
    /// In flight, and from now on being unlinked.
    Now(&'a Request),
    /// In flight, and being unlinked already.
    Before,
    /// Answered, or never heard of.
    Unknown,
}

/// In order of submission, which is the order of ids; mostly they leave in that order too.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: VecDeque<Request>,
    /// That all of them carry or ask for.
    bytes: u64,
    /// No number in use is above it. Clients count up, so that theirs are as a rule, and none need
    /// be looked for.
    highest: u32,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Those that the function knows.
    pub(super) fn transfers(&self) -> usize {
        let known = self.requests.iter().filter(|request| !request.is_reset);
        known.count()
    }

    pub(super) fn footprint(&self) -> usize {
        self.requests
            .capacity()
            .saturating_mul(size_of::<Request>())
    }

    /// Bytes with one more.
    pub(super) fn bytes_with(&self, request: &Request) -> u64 {
        self.bytes.saturating_add(request.bytes())
    }

    /// `bytes` as [`bytes_with`](Self::bytes_with) says.
    pub(super) fn push(&mut self, request: Request, bytes: u64) {
        self.bytes = bytes;
        self.highest = self.highest.max(request.seqnum);
        self.requests.push_back(request);
    }

    pub(super) fn remove(&mut self, id: TransferId) -> Option<Request> {
        let mut request = self.requests.pop_front()?;
        if request.id != id {
            self.requests.push_front(request);
            let at = self
                .requests
                .binary_search_by_key(&id, |request| request.id);
            request = self.requests.remove(at.ok()?)?;
        }
        self.bytes = self.bytes.saturating_sub(request.bytes());
        Some(request)
    }

    /// A port reset, if nothing before it is left.
    pub(super) fn due_reset(&self) -> Option<TransferId> {
        let first = self.requests.front();
        first.filter(|first| first.is_reset).map(|first| first.id)
    }

    /// Notes that the request `target` is unlinked by that of the number `seqnum`.
    pub(super) fn unlink(&mut self, target: u32, seqnum: u32) -> Unlinked<'_> {
        let mut requests = self.requests.iter_mut();
        let Some(request) = requests.find(|request| request.seqnum == target) else {
            return Unlinked::Unknown;
        };
        if request.unlink.is_some() {
            return Unlinked::Before;
        }
        request.unlink = Some(seqnum);
        self.highest = self.highest.max(seqnum);
        Unlinked::Now(request)
    }

    /// Whether a request, or one to unlink, has this number.
    #[inline(always)]
    pub(super) fn has_seqnum(&mut self, seqnum: u32) -> bool {
        !self.requests.is_empty() && seqnum <= self.highest && self.is_used(seqnum)
    }

    /// Looks through them all; if it is none of theirs, the numbers may have come round, and the
    /// highest may have gone.
    #[inline(never)]
    fn is_used(&mut self, seqnum: u32) -> bool {
        let mut highest = 0;
        for request in &self.requests {
            for used in core::iter::once(request.seqnum).chain(request.unlink) {
                if used == seqnum {
                    return true;
                }
                highest = highest.max(used);
            }
        }
        self.highest = highest;
        false
    }
}

/// Lists of packets that are used again, so that an isochronous stream allocates nothing.
#[derive(Debug, Default)]
pub(super) struct SpareLists {
    lists: Vec<Vec<IsoPacket>>,
}

impl SpareLists {
    /// As many as a stream has in flight; more are given back to the allocator.
    const MOST: usize = 32;

    /// An empty list.
    pub(super) fn take(&mut self) -> Vec<IsoPacket> {
        self.lists.pop().unwrap_or_default()
    }

    pub(super) fn put(&mut self, mut list: Vec<IsoPacket>) {
        if list.capacity() > 0 && self.lists.len() < Self::MOST {
            list.clear();
            self.lists.push(list);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let lists = self.lists.iter().map(Vec::capacity);
        lists.fold(0, |sum: usize, packets| {
            sum.saturating_add(packets.saturating_mul(size_of::<IsoPacket>()))
        })
    }
}
