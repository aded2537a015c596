//! The requests that are out at the function.

use alloc::collections::VecDeque;

use usb_descriptors::Direction;
use usb_transfer::TransferId;

/// What a reply needs to know of its request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: TransferId,
    pub(super) seqnum: u32,
    pub(super) direction: Direction,
    /// Bytes carried or asked for.
    pub(super) length: u32,
    /// Isochronous packets; 0 for other kinds.
    pub(super) packets: u32,
    pub(super) short_not_ok: bool,
    /// The number of the request to unlink this one.
    pub(super) unlink: Option<u32>,
}

/// In order of submission, which is the order of ids; mostly they leave in that order too.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: VecDeque<Request>,
    bytes: u64,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes that all of them carry or ask for.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn footprint(&self) -> usize {
        self.requests
            .capacity()
            .saturating_mul(size_of::<Request>())
    }

    pub(super) fn push(&mut self, request: Request) {
        self.bytes = self.bytes.saturating_add(u64::from(request.length));
        self.requests.push_back(request);
    }

    pub(super) fn remove(&mut self, id: TransferId) -> Option<Request> {
        let at = self
            .requests
            .binary_search_by_key(&id, |request| request.id)
            .ok()?;
        let request = self.requests.remove(at)?;
        self.bytes = self.bytes.saturating_sub(u64::from(request.length));
        Some(request)
    }

    pub(super) fn with_seqnum(&mut self, seqnum: u32) -> Option<&mut Request> {
        self.requests
            .iter_mut()
            .find(|request| request.seqnum == seqnum)
    }

    /// Whether a request, or one to unlink, has this number.
    pub(super) fn has_seqnum(&self, seqnum: u32) -> bool {
        self.requests
            .iter()
            .any(|request| request.seqnum == seqnum || request.unlink == Some(seqnum))
    }
}
