//! Memory for small answers, used again and again.

use core::mem;

use bytes::{Bytes, BytesMut};

/// Makes small `Bytes` out of two buffers in turn. When one is used up and all that was cut from it
/// is gone, or else all that was cut from the other, it goes on without an allocation: also where
/// there are always some of the latest under way.
#[derive(Debug)]
pub(crate) struct Arena {
    now: BytesMut,
    other: BytesMut,
}

impl Arena {
    /// Bytes of a buffer: dozens of small answers.
    const SIZE: usize = 1024;

    pub(crate) fn new() -> Self {
        Self {
            now: BytesMut::with_capacity(Self::SIZE),
            other: BytesMut::new(),
        }
    }

    pub(crate) fn store(&mut self, bytes: &[u8]) -> Bytes {
        if !self.now.try_reclaim(bytes.len()) {
            mem::swap(&mut self.now, &mut self.other);
            self.now.reserve(Self::SIZE);
        }
        self.now.extend_from_slice(bytes);
        self.now.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn one_buffer_serves_for_ever() {
        let mut arena = Arena::new();
        let first = arena.store(&[1; 13]);
        let range = first.as_ptr() as usize..first.as_ptr() as usize + Arena::SIZE;
        drop(first);
        for round in 0..10_000u32 {
            let bytes = arena.store(&round.to_le_bytes());
            assert_eq!(bytes[..], round.to_le_bytes());
            assert!(range.contains(&(bytes.as_ptr() as usize)));
        }
        let long = arena.store(&[7; 5000]);
        assert_eq!(long.len(), 5000);
    }

    #[test]
    fn two_serve_where_some_are_always_under_way() {
        let mut arena = Arena::new();
        let mut under_way = VecDeque::new();
        let mut places = std::collections::BTreeSet::new();
        for round in 0..10_000u32 {
            let bytes = arena.store(&u128::from(round).to_le_bytes().repeat(2));
            places.insert(bytes.as_ptr() as usize);
            under_way.push_back(bytes);
            if under_way.len() > 31 {
                let oldest = under_way.pop_front().unwrap();
                assert_eq!(oldest[..16], u128::from(round - 31).to_le_bytes());
            }
        }
        assert_eq!(places.len(), 2 * Arena::SIZE / 32);
    }
}
