//! Samples on their way.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use super::interfaces::SAMPLE_FRAME;

/// A ring of samples, whole frames of them, up to a limit; beyond, the oldest go. They are copied
/// into it: what waits here would keep alive the buffer that it was received into, long after its
/// transfer is complete.
#[derive(Debug)]
pub(super) struct Samples {
    ring: VecDeque<u8>,
    limit: usize,
}

impl Samples {
    /// Room for so many bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            limit,
        }
    }

    /// Bytes there are.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Adds samples; what is not a whole frame at the end is left out. How many bytes were too many,
    /// of which the oldest are gone.
    pub(super) fn push(&mut self, samples: &[u8]) -> usize {
        let samples = samples
            .get(..whole_frames(samples.len()))
            .unwrap_or(samples);
        let sum = self.len().saturating_add(samples.len());
        let excess = sum.saturating_sub(self.limit);
        let old = excess.min(self.len());
        self.drop_oldest(old);
        // In whole frames, as the limit is.
        let new = samples.get(excess.saturating_sub(old)..).unwrap_or(&[]);
        self.ring.extend(new);
        excess
    }

    /// Moves the oldest bytes to the end of a buffer, as many as there are up to `length`; how many.
    pub(super) fn take(&mut self, length: usize, into: &mut BytesMut) -> usize {
        let length = length.min(self.len());
        let (first, second) = self.ring.as_slices();
        let from_first = length.min(first.len());
        for (slice, part) in [
            (first, from_first),
            (second, length.saturating_sub(from_first)),
        ] {
            into.extend_from_slice(slice.get(..part).unwrap_or(slice));
        }
        self.drop_oldest(length);
        length
    }

    /// Moves all to the end of another ring; how many bytes that has lost by it.
    pub(super) fn move_to(&mut self, other: &mut Self) -> usize {
        let lost = other.push(self.ring.make_contiguous());
        self.clear();
        lost
    }

    /// Leaves the newest bytes, up to `length`; how many are gone.
    pub(super) fn keep_newest(&mut self, length: usize) -> usize {
        let excess = self.len().saturating_sub(length);
        self.drop_oldest(excess);
        excess
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
    }

    fn drop_oldest(&mut self, length: usize) {
        self.ring.drain(..length.min(self.ring.len()));
    }
}

/// The bytes of whole frames in so many bytes.
pub(super) const fn whole_frames(length: usize) -> usize {
    length & !(SAMPLE_FRAME - 1)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_pushed_last(
            pushes in prop::collection::vec(0usize..100, 0..20),
            takes in prop::collection::vec(0usize..15, 0..20),
        ) {
            let mut samples = Samples::new(80);
            let mut model = Vec::new();
            let mut counter = 0u8;
            let takes = takes.into_iter().map(|frames| frames * SAMPLE_FRAME);
            for (push, take) in pushes.into_iter().zip(takes) {
                let piece: Vec<u8> = (0..push).map(|_| {
                    counter = counter.wrapping_add(1);
                    counter
                }).collect();
                model.extend_from_slice(&piece[..push / 4 * 4]);
                let excess = model.len().saturating_sub(80);
                model.drain(..excess);
                prop_assert_eq!(samples.push(&piece), excess);
                prop_assert_eq!(samples.len(), model.len());
                let expected: Vec<u8> = model.drain(..take.min(model.len())).collect();
                let mut taken = BytesMut::new();
                prop_assert_eq!(samples.take(take, &mut taken), expected.len());
                prop_assert_eq!(&taken[..], &expected[..]);
            }
        }
    }
}
