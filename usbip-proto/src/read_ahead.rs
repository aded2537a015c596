//! How much room to keep for reading.

use core::num::NonZeroUsize;

use bytes::BytesMut;

use crate::wire::urb::Header;

/// Remembers how long recent messages were, so that the next one of their size lands in one read
/// and its payload is never moved. An idle connection settles at [`ReadAhead::FLOOR`].
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    longest: usize,
    longest_before: usize,
    count: u8,
}

impl ReadAhead {
    /// A few headers.
    const FLOOR: usize = 512;
    /// What one read takes at most; longer messages take several anyway.
    const CEILING: usize = 512 << 10;
    /// Messages after which a longer one is forgotten, at the earliest.
    const WINDOW: u8 = 64;

    pub(crate) fn record(&mut self, message: usize) {
        self.longest = self.longest.max(message);
        self.count = self.count.saturating_add(1);
        if self.count >= Self::WINDOW {
            self.longest_before = self.longest;
            self.longest = 0;
            self.count = 0;
        }
    }

    /// Makes room for what is missing and, between two messages, for all of the next. There, a
    /// buffer that long messages left behind is given up once they stop coming.
    pub(crate) fn make_room(&self, rx: &mut BytesMut, missing: NonZeroUsize) {
        if rx.len() >= Header::LENGTH {
            return rx.reserve(missing.get());
        }
        let room = self.room();
        rx.reserve(room);
        if rx.is_empty() && rx.capacity() / 4 > room {
            *rx = BytesMut::with_capacity(room);
        }
    }

    fn room(&self) -> usize {
        self.longest
            .max(self.longest_before)
            .clamp(Self::FLOOR, Self::CEILING)
    }
}
