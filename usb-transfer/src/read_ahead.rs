//! Reading into the caller's buffer: how much room to keep, and taking payloads from its front.

use alloc::boxed::Box;
use core::num::NonZeroUsize;

use bytes::{Buf, Bytes, BytesMut};

use crate::TxQueue;

/// Remembers how long recent messages were, so that the next one of their size lands in one read
/// and its payload is never moved; and how many bytes came together, so that a burst of short
/// messages takes few reads. An idle connection settles at [`ReadAhead::FLOOR`].
///
/// For a [`Wire`](crate::Wire) whose messages are a header, and more that the header announces.
///
/// ```
/// use std::num::NonZeroUsize;
/// use bytes::BytesMut;
/// use usb_transfer::ReadAhead;
/// const HEADER: usize = 12;
/// let (mut read_ahead, mut rx) = (ReadAhead::default(), BytesMut::new());
/// read_ahead.record(64 << 10, &rx); // what the last message took
/// read_ahead.make_room(&mut rx, HEADER, NonZeroUsize::new(HEADER).unwrap());
/// assert!(rx.capacity() >= 64 << 10);
/// ```
#[derive(Debug, Default)]
pub struct ReadAhead {
    longest: Longest,
    burst: Longest,
    count: u8,
    /// Bytes of the whole buffer, what was taken from its front included.
    buffer: usize,
}

impl ReadAhead {
    /// A few headers, in bytes.
    pub const FLOOR: usize = 512;
    /// What one read takes at most of messages that are shorter than it.
    pub const BURST: usize = 256 << 10;
    /// The same of messages so short that their payloads are copied.
    const SHORT_BURST: usize = 64 << 10;
    /// Payloads that may each keep a buffer of a burst alive.
    pub const FEW: usize = 64;
    /// In a burst, payloads of at least the buffer's length by this are taken by reference.
    const SHARES: usize = 16;
    /// What one read takes at most; longer messages take several anyway.
    const CEILING: usize = 512 << 10;
    /// Messages after which a longer one is forgotten, at the earliest.
    const WINDOW: u8 = 64;

    /// The message at the front of `rx`, of so many bytes, is all there and about to be taken.
    #[inline(always)]
    pub fn record(&mut self, message: usize, rx: &BytesMut) {
        let mut came = rx.len();
        if came > message && came >= rx.capacity() {
            // The read that brought more than it may have left something behind.
            came = came.saturating_mul(2);
        }
        self.longest.record(message);
        self.burst.record(came.min(Self::BURST));
        self.count = self.count.wrapping_add(1);
        if self.count >= Self::WINDOW {
            self.count = 0;
            self.longest.forget();
            self.burst.forget();
        }
    }

    /// Makes room for what is missing and all of the next message, or as many as may come
    /// together. Between two messages a buffer that long ones left behind is given up once they
    /// stop coming.
    pub fn make_room(&mut self, rx: &mut BytesMut, header: usize, missing: NonZeroUsize) {
        let missing = missing.get();
        let longest = self.longest.get().max(header);
        // Whole messages, so that none is cut, and the start of another, to see that there is one.
        let most = longest.saturating_mul(Self::SHARES);
        let burst = self.burst.get().min(most.max(Self::SHORT_BURST));
        let burst = burst.saturating_sub(header);
        let cut = burst.checked_rem(longest).unwrap_or(0);
        let together = burst.saturating_sub(cut).max(longest);
        let room = together.saturating_add(header);
        let room = room.clamp(Self::FLOOR, Self::CEILING);
        let enough = if rx.len() >= header {
            missing
        } else {
            // As long as the next message fits, half of the room is enough.
            longest.clamp(room / 2, Self::CEILING)
        };
        if rx.capacity().saturating_sub(rx.len()) < enough {
            self.reserve(rx, room.saturating_sub(rx.len()).max(missing));
        }
        if rx.is_empty() && rx.capacity() / 4 > room {
            *rx = BytesMut::with_capacity(room);
            self.buffer = rx.capacity();
        }
    }

    /// Makes room for just so many bytes more: `BytesMut::reserve` would take twice as many, and a
    /// payload would keep them alive.
    fn reserve(&mut self, rx: &mut BytesMut, additional: usize) {
        if !rx.try_reclaim(additional) {
            let mut grown = BytesMut::with_capacity(rx.len().saturating_add(additional));
            grown.extend_from_slice(rx);
            *rx = grown;
            self.buffer = 0;
        }
        self.buffer = self.buffer.max(rx.capacity());
    }

    /// Takes a header of so many bytes and `length` bytes behind it from the front, and gives the
    /// latter: by reference, or as a copy where a reference would keep much more memory alive than
    /// the payload's own. Nothing where they are not all there.
    ///
    /// By reference goes what is half of the buffer. In a buffer of at most
    /// [`BURST`](Self::BURST) bytes a sixteenth is enough, as long as of the payloads that were
    /// taken before fewer than [`FEW`](Self::FEW) are still `held`.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use usb_transfer::ReadAhead;
    /// let mut rx = BytesMut::from(&[7; 1000][..]);
    /// let place = rx[12..].as_ptr();
    /// let mut read_ahead = ReadAhead::default();
    /// assert_eq!(read_ahead.take_payload(&mut rx, 12, 900, 0).as_ptr(), place);
    /// assert_eq!(rx.len(), 88);
    /// ```
    #[inline(always)]
    pub fn take_payload(
        &self,
        rx: &mut BytesMut,
        header: usize,
        length: usize,
        held: usize,
    ) -> Bytes {
        // One that the caller brought, and that is not yet used up.
        let buffer = self.buffer.max(rx.capacity());
        let enough = if buffer <= Self::BURST && held < Self::FEW {
            buffer / Self::SHARES
        } else {
            buffer / 2
        };
        let total = header.saturating_add(length);
        let Some(payload) = rx.get(header..total) else {
            return Bytes::new();
        };
        if length < TxQueue::COPY_BELOW.max(enough) {
            let payload = copied(payload);
            rx.advance(total);
            return payload;
        }
        let mut payload = rx.split_to(total).freeze();
        payload.advance(header);
        payload
    }
}

/// Out of line, for those who take payloads by reference.
#[inline(never)]
fn copied(payload: &[u8]) -> Bytes {
    Bytes::from(Box::<[u8]>::from(payload))
}

/// The largest of the last 64 to 128 numbers.
#[derive(Debug, Default)]
struct Longest {
    now: usize,
    before: usize,
}

impl Longest {
    fn record(&mut self, length: usize) {
        self.now = self.now.max(length);
    }

    fn forget(&mut self) {
        self.before = self.now;
        self.now = 0;
    }

    fn get(&self) -> usize {
        self.now.max(self.before)
    }
}
