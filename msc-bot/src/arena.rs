//! Memory for small answers, used again and again.

use bytes::{Bytes, BytesMut};

/// Makes small `Bytes` out of one buffer. When the buffer is used up and all that was cut from it
/// is gone, it starts over without an allocation.
#[derive(Debug)]
pub(crate) struct Arena(BytesMut);

impl Arena {
    /// Bytes of a buffer: dozens of small answers.
    const SIZE: usize = 1024;

    pub(crate) fn new() -> Self {
        Self(BytesMut::with_capacity(Self::SIZE))
    }

    pub(crate) fn store(&mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
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
}
