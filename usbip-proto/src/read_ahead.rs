//! How much room to keep for reading.

use core::num::NonZeroUsize;

use bytes::BytesMut;

use crate::wire::urb::Header;

/// Remembers how long recent messages were, so that the next one of their size lands in one read
/// and its payload is never moved; and how many bytes came together, so that a burst of short
/// messages takes few reads. An idle connection settles at [`ReadAhead::FLOOR`].
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    longest: Longest,
    burst: Longest,
    count: u8,
}

impl ReadAhead {
    /// A few headers.
    const FLOOR: usize = 512;
    /// What one read takes at most; longer messages take several anyway.
    const CEILING: usize = 512 << 10;
    /// What one read takes at most of messages that are shorter than it.
    const BURST: usize = 16 << 10;
    /// Messages after which a longer one is forgotten, at the earliest.
    const WINDOW: u8 = 64;

    /// The message at the front of `rx` is all there and about to be taken.
    #[inline(always)]
    pub(crate) fn record(&mut self, message: usize, rx: &BytesMut) {
        // The read that brought it may have left something behind if it filled the buffer.
        let came = if rx.len() < rx.capacity() {
            rx.len()
        } else {
            rx.len().saturating_mul(2)
        };
        self.longest.record(message);
        self.burst.record(came.min(Self::BURST));
        self.count = self.count.wrapping_add(1);
        if self.count >= Self::WINDOW {
            self.count = 0;
            self.longest.forget();
            self.burst.forget();
        }
    }

    /// Makes room for what is missing and, between two messages, for all of the next. There, a
    /// buffer that long messages left behind is given up once they stop coming.
    pub(crate) fn make_room(&self, rx: &mut BytesMut, missing: NonZeroUsize) {
        if rx.len() >= Header::LENGTH {
            return rx.reserve(missing.get());
        }
        let longest = self.longest.get();
        let room = longest.max(self.burst.get());
        let room = room.clamp(Self::FLOOR, Self::CEILING);
        // As long as the next message fits, half of the room is enough.
        let enough = longest.clamp(room / 2, Self::CEILING);
        if rx.capacity().saturating_sub(rx.len()) < enough {
            rx.reserve(room);
        }
        if rx.is_empty() && rx.capacity() / 4 > room {
            *rx = BytesMut::with_capacity(room);
        }
    }
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
