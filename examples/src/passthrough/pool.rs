//! Buffers that are used again.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers that the kernel fills without a copy. To have one made is dear, so they are kept.
pub(super) struct Pool<B>(Arc<Mutex<Idle<B>>>);

/// A buffer that can be used for anything that is not longer than it.
pub(super) trait Reused: Deref<Target = [u8]> + Send + Sync + 'static {
    /// Its length in bytes, whatever was filled of it.
    fn capacity(&self) -> usize;
}

struct Idle<B> {
    buffers: Vec<B>,
    /// Capacity of all.
    bytes: usize,
}

/// A buffer that comes back when its bytes are not needed any more.
struct Lent<B: Reused> {
    buffer: Option<B>,
    home: Pool<B>,
}

/// For less, a copy by the kernel costs no more than a buffer of its own.
const SHORTEST: usize = 4096;
/// Kept of one device: what four of Linux's longest transfers need. The kernel counts
/// it against the 16 MiB of all devices (`usbcore.usbfs_memory_mb`).
const KEPT: usize = 4 << 20;

impl<B: Reused> Pool<B> {
    /// How long a buffer of the pool is to be for so many bytes; `None`: not worth it.
    pub(super) fn size_for(length: usize) -> Option<usize> {
        (length >= SHORTEST).then(|| length.checked_next_power_of_two())?
    }

    /// A buffer of exactly this capacity that nobody uses.
    pub(super) fn take(&self, capacity: usize) -> Option<B> {
        self.with(|idle| {
            let fits = |buffer: &B| buffer.capacity() == capacity;
            let index = idle.buffers.iter().rposition(fits)?;
            idle.bytes -= capacity;
            Some(idle.buffers.swap_remove(index))
        })
    }

    /// Keeps a buffer for the next time, if there are not enough.
    pub(super) fn put(&self, buffer: B) {
        let surplus = self.with(|idle| {
            if idle.bytes + buffer.capacity() > KEPT {
                return Some(buffer);
            }
            idle.bytes += buffer.capacity();
            idle.buffers.push(buffer);
            None
        });
        drop(surplus);
    }

    /// Lets the system have the memory of those that nobody uses. `false`: there were none.
    pub(super) fn clear(&self) -> bool {
        let idle = self.with(|idle| {
            idle.bytes = 0;
            mem::take(&mut idle.buffers)
        });
        !idle.is_empty()
    }

    /// What was filled of a buffer, which comes back when the last of these bytes is dropped.
    pub(super) fn lend(&self, buffer: B) -> Bytes {
        Bytes::from_owner(Lent {
            buffer: Some(buffer),
            home: self.clone(),
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Idle<B>) -> R) -> R {
        // Nothing panics in between.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The same pool.
impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Idle {
            buffers: Vec::new(),
            bytes: 0,
        })))
    }
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").finish_non_exhaustive()
    }
}

impl<B: Reused> AsRef<[u8]> for Lent<B> {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl<B: Reused> Drop for Lent<B> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.home.put(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Reused for Box<[u8]> {
        fn capacity(&self) -> usize {
            self.len()
        }
    }

    fn buffer(capacity: usize) -> Box<[u8]> {
        vec![7; capacity].into()
    }

    #[test]
    fn a_buffer_is_used_again_once_all_its_bytes_are_dropped() {
        let pool = Pool::default();
        let whole = pool.lend(buffer(8192));
        let part = whole.slice(100..200);
        drop(whole);
        assert_eq!(pool.take(8192), None);
        assert_eq!(part, [7; 100].as_slice());
        drop(part);
        assert_eq!(pool.take(4096), None, "of that size only");
        assert_eq!(pool.take(8192), Some(buffer(8192)));
        assert_eq!(pool.take(8192), None);
    }

    #[test]
    fn no_more_is_kept_than_a_device_needs() {
        let pool = Pool::default();
        for _ in 0..5 {
            pool.put(buffer(1 << 20));
        }
        pool.put(buffer(4096));
        let kept = std::iter::from_fn(|| pool.take(1 << 20)).count();
        assert_eq!(kept, 4);
        assert!(!pool.clear());
        pool.put(buffer(4096));
        assert!(pool.clear());
        assert_eq!(pool.take(4096), None);
    }

    #[test]
    fn sizes_are_few_and_short_ones_not_worth_it() {
        let size_for = Pool::<Box<[u8]>>::size_for;
        assert_eq!(size_for(13), None);
        assert_eq!(size_for(4096), Some(4096));
        assert_eq!(size_for(499_712), Some(1 << 19));
        assert_eq!(size_for(usize::MAX), None);
    }
}
