//! Buffers that are used again.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::param::page_size;

use super::share::BUFFERS;

/// Buffers that the kernel fills without a copy. To have one made is dear, so they are kept; and
/// they are the kernel's memory, so they are few, whoever has them.
pub(super) struct Pool<B>(Arc<Mutex<State<B>>>);

/// A buffer that can be used for anything that is not longer than it.
pub(super) trait Reused: Deref<Target = [u8]> + Send + Sync + 'static {
    /// Its length in bytes, whatever was filled of it.
    fn capacity(&self) -> usize;
}

struct State<B> {
    idle: Vec<B>,
    /// Capacity of these.
    idle_bytes: usize,
    /// Capacity of those that are lent.
    lent_bytes: usize,
}

/// That a buffer is lent, until this is dropped. Wherever the buffer has been meanwhile, it is used
/// again if it is back here then.
pub(super) struct Loan<B: Reused> {
    buffer: Option<B>,
    capacity: usize,
    home: Pool<B>,
}

/// For less, a copy by the kernel costs no more than a buffer of its own.
const SHORTEST: usize = 4096;
impl<B: Reused> Pool<B> {
    /// How long a buffer of the pool is to be for so many bytes, in whole pages; `None`: not worth it.
    fn size_for(length: usize, page: usize) -> Option<usize> {
        let whole = length.max(page).checked_next_power_of_two();
        whole.filter(|_| length >= SHORTEST)
    }

    /// A buffer for so many bytes: one that nobody uses, or else one that is made with a capacity.
    /// `None`: it is not worth it, or none can be made, or the device has its share.
    pub(super) fn take(
        &self,
        length: usize,
        make: impl FnOnce(usize) -> Option<B>,
    ) -> Option<(B, Loan<B>)> {
        let capacity = Self::size_for(length, page_size())?;
        let (used, _surplus) = self.with(|state| {
            if state.lent_bytes + capacity > BUFFERS {
                return None;
            }
            state.lent_bytes += capacity;
            let fits = |buffer: &B| buffer.capacity() == capacity;
            let used = state.idle.iter().rposition(fits);
            let used = used.map(|index| state.idle.swap_remove(index));
            state.idle_bytes -= used.as_ref().map_or(0, B::capacity);
            Some((used, state.surplus()))
        })?;
        let loan = Loan {
            buffer: None,
            capacity,
            home: self.clone(),
        };
        let buffer = used.or_else(|| make(capacity))?;
        Some((buffer, loan))
    }

    /// Lets the system have the memory of those that nobody uses. `false`: there were none.
    pub(super) fn clear(&self) -> bool {
        let idle = self.with(|state| {
            state.idle_bytes = 0;
            mem::take(&mut state.idle)
        });
        !idle.is_empty()
    }

    fn with<R>(&self, work: impl FnOnce(&mut State<B>) -> R) -> R {
        // Nothing panics in between.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<B: Reused> State<B> {
    /// Those that are kept beyond the share: to be dropped when nobody is kept waiting for it.
    fn surplus(&mut self) -> Vec<B> {
        let mut surplus = Vec::new();
        while self.lent_bytes + self.idle_bytes > BUFFERS {
            let Some(buffer) = self.idle.pop() else {
                break;
            };
            self.idle_bytes -= buffer.capacity();
            surplus.push(buffer);
        }
        surplus
    }
}

impl<B: Reused> Loan<B> {
    /// What was filled of the buffer; the loan ends when the last of these bytes is dropped.
    pub(super) fn into_bytes(mut self, buffer: B) -> Bytes {
        self.buffer = Some(buffer);
        Bytes::from_owner(self)
    }

    /// Ends it.
    pub(super) fn give_back(mut self, buffer: B) {
        self.buffer = Some(buffer);
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
        Self(Arc::new(Mutex::new(State {
            idle: Vec::new(),
            idle_bytes: 0,
            lent_bytes: 0,
        })))
    }
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").finish_non_exhaustive()
    }
}

impl<B: Reused> fmt::Debug for Loan<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&self.capacity).finish()
    }
}

impl<B: Reused> AsRef<[u8]> for Loan<B> {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl<B: Reused> Drop for Loan<B> {
    fn drop(&mut self) {
        let buffer = self.buffer.take();
        let _surplus = self.home.with(|state| {
            state.lent_bytes -= self.capacity;
            state.idle_bytes += buffer.as_ref().map_or(0, B::capacity);
            state.idle.extend(buffer);
            state.surplus()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = Box<[u8]>;

    impl Reused for Plain {
        fn capacity(&self) -> usize {
            self.len()
        }
    }

    fn buffer(capacity: usize) -> Plain {
        vec![7; capacity].into()
    }

    fn taken(pool: &Pool<Plain>, length: usize) -> Option<(Plain, Loan<Plain>)> {
        pool.take(length, |capacity| Some(buffer(capacity)))
    }

    /// Whether one of this length is there to be used again.
    fn is_kept(pool: &Pool<Plain>, length: usize) -> bool {
        let kept = pool.take(length, |_| None);
        let is_kept = kept.is_some();
        if let Some((buffer, loan)) = kept {
            loan.give_back(buffer);
        }
        is_kept
    }

    #[test]
    fn a_buffer_is_used_again_once_all_its_bytes_are_dropped() {
        let pool = Pool::default();
        let (buffer, loan) = taken(&pool, 5000).unwrap();
        assert_eq!(buffer.len(), 8192);
        let whole = loan.into_bytes(buffer);
        let part = whole.slice(100..200);
        drop(whole);
        assert!(!is_kept(&pool, 8192));
        assert_eq!(part, [7; 100].as_slice());
        drop(part);
        assert!(!is_kept(&pool, 4096), "of that size only");
        assert!(is_kept(&pool, 8192));
        assert!(pool.clear());
        assert!(!pool.clear());
        assert!(!is_kept(&pool, 8192));
    }

    #[test]
    fn a_device_has_its_share_and_no_more_whoever_keeps_it() {
        let pool = Pool::default();
        let lent = |_| {
            let (buffer, loan) = taken(&pool, 1 << 20)?;
            Some(loan.into_bytes(buffer))
        };
        let mut replies: Vec<_> = (0..9).map_while(lent).collect();
        assert_eq!(replies.len(), 4);
        assert!(taken(&pool, 4096).is_none());
        replies.pop();
        assert!(is_kept(&pool, 1 << 20));
        // What is kept makes room for another size.
        let (other, loan) = taken(&pool, 4096).unwrap();
        loan.give_back(other);
        assert!(is_kept(&pool, 4096));
        assert!(!is_kept(&pool, 1 << 20));
        drop(replies);
        assert!(is_kept(&pool, 1 << 20));
        // One that is lost, or cannot be made, is not lent for ever.
        for _ in 0..9 {
            assert!(pool.take(1 << 22, |_| None).is_none());
            drop(taken(&pool, 1 << 22).unwrap());
        }
    }

    #[test]
    fn sizes_are_few_and_short_ones_not_worth_it() {
        let size_for = Pool::<Plain>::size_for;
        assert_eq!(size_for(13, 4096), None);
        assert_eq!(size_for(4096, 4096), Some(4096));
        assert_eq!(size_for(499_712, 4096), Some(1 << 19));
        assert_eq!(size_for(usize::MAX, 4096), None);
        // The kernel counts whole pages.
        assert_eq!(size_for(4096, 65_536), Some(65_536));
        assert_eq!(size_for(65_537, 65_536), Some(1 << 17));
    }
}
