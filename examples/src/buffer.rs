//! Memory that system calls read into, without zeroing it first.

use std::mem::MaybeUninit;
use std::ptr;

use bytes::{BufMut, BytesMut};
use rustix::io::{Errno, Result};

/// Reads into the spare room of `buffer`, at most `limit` bytes, and tells how many came. `read`
/// gives back what it filled of the room it got. An interrupted call is repeated.
#[expect(
    unsafe_code,
    reason = "bytes offers no safe way to count bytes that a system call has written"
)]
pub(crate) fn read_into(
    buffer: &mut BytesMut,
    limit: usize,
    mut read: impl FnMut(&mut [MaybeUninit<u8>]) -> Result<&mut [u8]>,
) -> Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let room = spare.len().min(limit);
    let spare = &mut spare[..room];
    let start = spare.as_ptr();
    let count = loop {
        match read(spare) {
            Ok(filled) => {
                assert!(
                    ptr::eq(filled.as_ptr(), start.cast()) && filled.len() <= room,
                    "a read fills the room it got from its start"
                );
                break filled.len();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    };
    // SAFETY: `read` returned the first `count` bytes of the spare room as `[u8]`, so they are
    // initialised; the assertion makes sure that it was these.
    unsafe { buffer.advance_mut(count) };
    Ok(count)
}

/// Buffers that are filled again once nobody refers any more to what was read into them. In
/// steady state nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<BytesMut>,
    /// Which one is given up next if all are in use.
    oldest: usize,
}

impl Pool {
    /// More are in use only if the reader is far behind; then each is allocated.
    const BUFFERS: usize = 16;
    /// Small enough for the cache between disk and wire.
    const SMALLEST: usize = 64 << 10;

    /// An empty buffer with room for `length` bytes. What is split off it comes back by itself.
    pub(crate) fn buffer(&mut self, length: usize) -> &mut BytesMut {
        let free = self.buffers.iter_mut().position(|buffer| {
            buffer.clear();
            buffer.try_reclaim(length)
        });
        let index = free.unwrap_or_else(|| {
            let new = BytesMut::with_capacity(length.max(Self::SMALLEST));
            if self.buffers.len() < Self::BUFFERS {
                self.buffers.push(new);
                return self.buffers.len() - 1;
            }
            self.oldest = (self.oldest + 1) % Self::BUFFERS;
            self.buffers[self.oldest] = new;
            self.oldest
        });
        &mut self.buffers[index]
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use bytes::Bytes;

    use super::*;

    fn read(pool: &mut Pool, length: usize) -> Bytes {
        let zeros = File::open("/dev/zero").unwrap();
        let buffer = pool.buffer(length);
        assert!(buffer.is_empty());
        let count = read_into(buffer, length, |spare| {
            Ok(rustix::io::read(&zeros, spare)?.0)
        });
        assert_eq!(count, Ok(length));
        buffer.split().freeze()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_bytes_are_gone() {
        let mut pool = Pool::default();
        let first = read(&mut pool, 100_000);
        let place = first.as_ptr();
        let second = read(&mut pool, 100_000);
        assert_ne!(second.as_ptr(), place);
        drop(first);
        assert_eq!(read(&mut pool, 100_000).as_ptr(), place);
    }

    #[test]
    fn there_is_always_one_more_buffer() {
        let mut pool = Pool::default();
        let held: Vec<_> = (0..100).map(|_| read(&mut pool, 70_000)).collect();
        assert!(held.iter().all(|bytes| bytes.len() == 70_000));
        assert_eq!(pool.buffers.len(), Pool::BUFFERS);
        assert_eq!(read(&mut pool, 200_000).len(), 200_000);
    }

    #[test]
    fn what_was_there_stays_in_front() {
        let zeros = File::open("/dev/zero").unwrap();
        let mut buffer = BytesMut::with_capacity(16);
        buffer.extend_from_slice(b"ab");
        let mut interrupted = false;
        let count = read_into(&mut buffer, 3, |spare| {
            if !std::mem::replace(&mut interrupted, true) {
                return Err(Errno::INTR);
            }
            assert_eq!(spare.len(), 3);
            Ok(rustix::io::read(&zeros, &mut spare[..2])?.0)
        });
        assert_eq!((count, &buffer[..]), (Ok(2), &b"ab\0\0"[..]));
        assert_eq!(
            read_into(&mut buffer, 3, |_| Err(Errno::IO)),
            Err(Errno::IO)
        );
        assert_eq!(&buffer[..], b"ab\0\0");
    }
}
