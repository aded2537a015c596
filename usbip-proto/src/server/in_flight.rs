//! The requests that are out at the function, and the numbers that are in use.

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
    /// Being unlinked already.
    Before,
    /// Not here yet: the unlink waits for it.
    Early,
    /// Not here yet, and as many unlinks wait as may.
    TooEarly,
    /// Answered, or never to come.
    Unknown,
}

/// What the number of a request that came says.
#[derive(Debug)]
pub(super) enum Number {
    /// A request or an unlink that is not answered has it too.
    Used,
    /// None has.
    Free,
    /// The unlink of this number came before it.
    Unlinked(u32),
}

/// An unlink that came before its target.
#[derive(Debug)]
struct EarlyUnlink {
    seqnum: u32,
    target: u32,
}

/// In order of submission, which is the order of ids; mostly they leave in that order too.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: VecDeque<Request>,
    /// That all of them carry or ask for.
    bytes: u64,
    /// Neither `latest` nor a number in use is above it. Clients count up, so that theirs are as a
    /// rule, and none need be looked for. While unlinks wait, each request is looked at: nothing is
    /// above it then.
    highest: u32,
    /// The latest request's number, in flight or not.
    latest: Option<u32>,
    /// In order of arrival. Their targets are later than `latest`, and no two have the same.
    early: Vec<EarlyUnlink>,
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
        let requests = self.requests.capacity();
        let early = self.early.capacity();
        requests
            .saturating_mul(size_of::<Request>())
            .saturating_add(early.saturating_mul(size_of::<EarlyUnlink>()))
    }

    /// Bytes with one more.
    pub(super) fn bytes_with(&self, request: &Request) -> u64 {
        self.bytes.saturating_add(request.bytes())
    }

    /// `bytes` as [`bytes_with`](Self::bytes_with) says.
    pub(super) fn push(&mut self, request: Request, bytes: u64) {
        self.bytes = bytes;
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

    /// Notes that the request `target` is unlinked by that of the number `seqnum`; at most
    /// `max_early` wait for theirs.
    pub(super) fn unlink(&mut self, target: u32, seqnum: u32, max_early: usize) -> Unlinked<'_> {
        let mut requests = self.requests.iter();
        let Some(at) = requests.position(|request| request.seqnum == target) else {
            return self.unlink_early(target, seqnum, max_early);
        };
        match self.requests.get_mut(at) {
            Some(request) if request.unlink.is_none() => {
                request.unlink = Some(seqnum);
                self.highest = self.highest.max(seqnum);
                Unlinked::Now(request)
            }
            _ => Unlinked::Before,
        }
    }

    fn unlink_early(&mut self, target: u32, seqnum: u32, max_early: usize) -> Unlinked<'_> {
        if self.early.iter().any(|early| early.target == target) {
            return Unlinked::Before;
        }
        // Who counts has numbered it before the unlink, and after all that came.
        let is_to_come = self.latest.is_none_or(|latest| is_later(target, latest));
        if !is_to_come || !is_later(seqnum, target) {
            return Unlinked::Unknown;
        }
        if self.early.len() >= max_early {
            return Unlinked::TooEarly;
        }
        self.early.push(EarlyUnlink { seqnum, target });
        self.highest = u32::MAX;
        Unlinked::Early
    }

    /// Whether a request's number is above all before it, as most are, and no unlink waits: it is
    /// noted then. Otherwise [`arrived`](Self::arrived) notes it.
    #[inline(always)]
    pub(super) fn follows(&mut self, seqnum: u32) -> bool {
        let follows = seqnum > self.highest;
        if follows {
            self.highest = seqnum;
            self.latest = Some(seqnum);
        }
        follows
    }

    /// Notes the number of a request, if it is free, and tells `passed` the unlinks whose target
    /// cannot come any more.
    #[inline(never)]
    pub(super) fn arrived(&mut self, seqnum: u32, passed: impl FnMut(u32)) -> Number {
        if self.requests.is_empty() && self.early.is_empty() {
            self.highest = self.latest.unwrap_or(0);
        } else if self.is_used(seqnum) {
            return Number::Used;
        }
        let is_latest = |latest| seqnum > latest || is_later(seqnum, latest);
        if !self.latest.is_none_or(is_latest) {
            return Number::Free;
        }
        self.latest = Some(seqnum);
        self.highest = self.highest.max(seqnum);
        if self.early.is_empty() {
            return Number::Free;
        }
        self.pass(seqnum, passed)
            .map_or(Number::Free, Number::Unlinked)
    }

    /// Takes out the unlinks that wait no longer, and gives that of this number's request.
    #[cold]
    fn pass(&mut self, seqnum: u32, mut passed: impl FnMut(u32)) -> Option<u32> {
        let mut unlink = None;
        self.early.retain(|early| {
            let waits = is_later(early.target, seqnum);
            if early.target == seqnum {
                unlink = Some(early.seqnum);
            } else if !waits {
                passed(early.seqnum);
            }
            waits
        });
        unlink
    }

    /// Whether a request or an unlink that is not answered has this number. Looks through them all;
    /// if it is none of theirs, the numbers may have come round, and the highest may have gone.
    pub(super) fn is_used(&mut self, seqnum: u32) -> bool {
        let mut highest = self.latest.unwrap_or(0);
        for request in &self.requests {
            for used in core::iter::once(request.seqnum).chain(request.unlink) {
                if used == seqnum {
                    return true;
                }
                highest = highest.max(used);
            }
        }
        if self.early.is_empty() {
            self.highest = highest;
        }
        self.early.iter().any(|early| early.seqnum == seqnum)
    }
}

/// Whether a number comes after another, which may be round the end.
fn is_later(seqnum: u32, other: u32) -> bool {
    (1..1 << 31).contains(&seqnum.wrapping_sub(other))
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
