//! Samples on their way.

use alloc::collections::VecDeque;

use bytes::Bytes;
use usb_transfer::Segments;

use super::interfaces::SAMPLE_FRAME;

/// Samples in pieces as they came, whole frames of them, up to a limit; beyond, the oldest go.
#[derive(Debug)]
pub(super) struct Samples {
    pieces: VecDeque<Bytes>,
    length: usize,
    limit: usize,
}

impl Samples {
    /// Room for so many bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            length: 0,
            limit,
        }
    }

    /// Bytes there are.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds samples; what is not a whole frame at the end is left out.
    pub(super) fn push(&mut self, mut piece: Bytes) {
        piece.truncate(whole_frames(piece.len()));
        if piece.is_empty() {
            return;
        }
        self.length = self.length.saturating_add(piece.len());
        self.pieces.push_back(piece);
        let excess = self.length.saturating_sub(self.limit);
        if excess > 0 {
            // In whole frames, as the limit is.
            let _ = self.take(excess);
        }
    }

    /// Takes the oldest bytes, as many as there are up to `length`.
    pub(super) fn take(&mut self, length: usize) -> Segments {
        let mut taken = Segments::new();
        let mut missing = length;
        while missing > 0 {
            let Some(next) = self.pieces.front_mut() else {
                break;
            };
            let piece = next.split_to(missing.min(next.len()));
            if next.is_empty() {
                self.pieces.pop_front();
            }
            missing = missing.saturating_sub(piece.len());
            self.length = self.length.saturating_sub(piece.len());
            taken.push(piece);
        }
        taken
    }

    /// Takes the oldest piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.length = self.length.saturating_sub(piece.len());
        Some(piece)
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.length = 0;
    }
}

/// The bytes of whole frames in so many bytes.
pub(super) const fn whole_frames(length: usize) -> usize {
    length & !(SAMPLE_FRAME - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_pushed_last(
            pushes in prop::collection::vec(0usize..60, 0..20),
            takes in prop::collection::vec(0usize..15, 0..20),
        ) {
            let mut samples = Samples::new(80);
            let mut model = alloc::vec::Vec::new();
            let mut counter = 0u8;
            let takes = takes.into_iter().map(|frames| frames * SAMPLE_FRAME);
            for (push, take) in pushes.into_iter().zip(takes) {
                let piece: alloc::vec::Vec<u8> = (0..push).map(|_| {
                    counter = counter.wrapping_add(1);
                    counter
                }).collect();
                model.extend_from_slice(&piece[..push / 4 * 4]);
                let excess = model.len().saturating_sub(80);
                model.drain(..excess);
                samples.push(piece.into());
                prop_assert_eq!(samples.len(), model.len());
                let taken: alloc::vec::Vec<u8> = model.drain(..take.min(model.len())).collect();
                prop_assert_eq!(samples.take(take), Bytes::from(taken));
            }
        }
    }
}
