//! The queue of bytes to write.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::Segments;

/// What lies at one place of the queue.
#[derive(Debug)]
enum Chunk {
    /// So many of the small bytes; never 0.
    Small(usize),
    /// A payload, never empty.
    Shared(Bytes),
}

/// The bytes that a [`Wire`](crate::Wire) has to write, in order.
///
/// It is a [`bytes::Buf`]: write some of [`chunk`](Buf::chunk) or `chunks_vectored`, then
/// [`advance`](Buf::advance) by what was written. Headers and small payloads are copied together
/// into a buffer that is reused; larger payloads are queued by reference and never copied. Once the
/// buffer has grown to the depth of the traffic, queueing allocates nothing.
///
/// ```
/// use bytes::{Buf, Bytes};
/// use usb_transfer::TxQueue;
/// let mut tx = TxQueue::new();
/// let payload = Bytes::from(vec![7; 1000]);
/// tx.put_slice(b"header");
/// tx.put(payload.clone());
/// assert_eq!(tx.remaining(), 1006);
/// tx.advance(6); // the socket took the header only
/// assert_eq!(tx.chunk().as_ptr(), payload.as_ptr());
/// ```
#[derive(Debug, Default)]
pub struct TxQueue {
    chunks: VecDeque<Chunk>,
    /// So many small bytes lie behind all chunks. Where there are no payloads, these are all.
    tail: usize,
    /// The bytes of the tail and of all `Chunk::Small`, in order, behind those that were written.
    small: Vec<u8>,
    /// So many of `small` were written.
    written: usize,
    remaining: usize,
}

impl TxQueue {
    /// Payloads shorter than this are copied, so that they neither cost a segment of a vectored
    /// write nor keep a large buffer alive.
    pub const COPY_BELOW: usize = 256;

    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: 0,
            small: Vec::new(),
            written: 0,
            remaining: 0,
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes of memory that it owns itself; payloads are not counted.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let chunks = self.chunks.capacity().saturating_mul(size_of::<Chunk>());
        self.small.capacity().saturating_add(chunks)
    }

    /// Adds a copy of `bytes`: a header.
    #[inline(always)]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        self.remaining = self.remaining.saturating_add(bytes.len());
        self.tail = self.tail.saturating_add(bytes.len());
    }

    /// Adds a payload: a reference to it, or a copy if it is small.
    #[inline(always)]
    pub fn put(&mut self, payload: Bytes) {
        if payload.len() < Self::COPY_BELOW {
            self.put_slice(&payload);
        } else {
            self.remaining = self.remaining.saturating_add(payload.len());
            if self.tail > 0 {
                self.chunks.push_back(Chunk::Small(self.tail));
                self.tail = 0;
            }
            self.chunks.push_back(Chunk::Shared(payload));
        }
    }

    /// Adds all pieces of a payload.
    #[inline(always)]
    pub fn put_segments(&mut self, payload: Segments) {
        let (head, tail) = payload.into_parts();
        self.put(head);
        if let Some(tail) = tail {
            tail.into_iter().for_each(|piece| self.put(piece));
        }
    }

    /// Forgets all that was not yet written.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.tail = 0;
        self.small.clear();
        self.written = 0;
        self.remaining = 0;
    }

    /// The bytes to write, in order, as slices.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut small = self.small.get(self.written..).unwrap_or(&[]);
        let behind = self.small.len().saturating_sub(self.tail);
        let tail = self.small.get(behind..).filter(|tail| !tail.is_empty());
        let chunks = self.chunks.iter().map(move |chunk| match chunk {
            Chunk::Shared(payload) => payload.as_ref(),
            Chunk::Small(length) => {
                let (front, rest) = small.split_at_checked(*length).unwrap_or((small, &[]));
                small = rest;
                front
            }
        });
        chunks.chain(tail)
    }
}

impl Buf for TxQueue {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.slices().next().unwrap_or(&[])
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, into: &mut [std::io::IoSlice<'a>]) -> usize {
        let pairs = into.iter_mut().zip(self.slices());
        pairs.fold(0, |count: usize, (slot, slice)| {
            *slot = std::io::IoSlice::new(slice);
            count.saturating_add(1)
        })
    }

    /// Drops the first `count` bytes, which were written.
    ///
    /// # Panics
    /// As [`Buf`] demands, if there are fewer.
    #[expect(
        clippy::panic,
        reason = "the contract of Buf; more cannot have been written"
    )]
    fn advance(&mut self, count: usize) {
        let Some(remaining) = self.remaining.checked_sub(count) else {
            panic!(
                "advance by {count} bytes, but {} are queued",
                self.remaining
            );
        };
        if remaining == 0 {
            // All at once, as a socket with room takes it. The next headers are one slice again.
            return self.clear();
        }
        self.remaining = remaining;
        let mut left = count;
        while left > 0 {
            let Some(chunk) = self.chunks.front_mut() else {
                self.tail = self.tail.saturating_sub(left);
                self.written = self.written.saturating_add(left);
                break;
            };
            let length = match chunk {
                Chunk::Small(length) => *length,
                Chunk::Shared(payload) => payload.len(),
            };
            let taken = left.min(length);
            left = left.saturating_sub(taken);
            match chunk {
                Chunk::Small(length) => {
                    *length = length.saturating_sub(taken);
                    self.written = self.written.saturating_add(taken);
                }
                Chunk::Shared(payload) => payload.advance(taken),
            }
            if taken == length {
                self.chunks.pop_front();
            }
        }
        // Moves what is left once for each byte that was written, at most.
        if self.written >= self.small.len().saturating_sub(self.written) {
            self.small.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Slice(Vec<u8>),
        Payload(Vec<u8>),
        Advance(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60).prop_map(Op::Slice),
            prop::collection::vec(any::<u8>(), 200..300).prop_map(Op::Payload),
            (0usize..400).prop_map(Op::Advance),
        ]
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(ops in prop::collection::vec(op(), 0..60)) {
            let mut tx = TxQueue::new();
            let mut model: VecDeque<u8> = VecDeque::new();
            for op in ops {
                match op {
                    Op::Slice(bytes) => {
                        tx.put_slice(&bytes);
                        model.extend(bytes);
                    }
                    Op::Payload(bytes) => {
                        tx.put(Bytes::from(bytes.clone()));
                        model.extend(bytes);
                    }
                    Op::Advance(count) => {
                        let count = count.min(tx.remaining());
                        tx.advance(count);
                        model.drain(..count);
                    }
                }
                prop_assert_eq!(tx.remaining(), model.len());
                prop_assert_eq!(tx.is_empty(), tx.chunk().is_empty());
                let joined: Vec<u8> = tx.slices().flatten().copied().collect();
                prop_assert!(joined.iter().eq(model.iter()));
                let mut vectored = [std::io::IoSlice::new(&[]); 128];
                let count = tx.chunks_vectored(&mut vectored);
                prop_assert_eq!(vectored[..count].iter().map(|slice| slice.len()).sum::<usize>(), model.len());
            }
        }
    }

    #[test]
    fn headers_of_a_batch_are_one_slice() {
        let mut tx = TxQueue::new();
        (0..5).for_each(|_| tx.put_slice(&[0; 48]));
        assert_eq!(tx.slices().count(), 1);
    }

    #[test]
    #[should_panic(expected = "advance by 2 bytes, but 1 are queued")]
    fn advancing_too_far_is_a_bug_of_the_caller() {
        let mut tx = TxQueue::new();
        tx.put_slice(&[1]);
        tx.advance(2);
    }
}
