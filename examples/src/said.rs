//! What happens again and again is said once.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was said since the last connection that lasted.
#[derive(Debug, Default)]
pub(crate) struct Said(Mutex<BTreeSet<String>>);

/// A connection that ends earlier has come to nothing: whoever tries again pauses before.
const LASTING: Duration = Duration::from_secs(5);

impl Said {
    /// Texts of all kinds come from outside: so many are kept at most.
    const MOST: usize = 256;

    /// Whether it was not said yet; from now on it was.
    pub(crate) fn is_new(&self, text: &str) -> bool {
        let mut texts = self.texts();
        if texts.contains(text) {
            return false;
        }
        if texts.len() >= Self::MOST {
            texts.clear();
        }
        texts.insert(text.into())
    }

    /// A connection that began then has ended: whether it lasted. If so, all is news again.
    pub(crate) fn lasted(&self, begin: Instant) -> bool {
        let lasted = begin.elapsed() >= LASTING;
        if lasted {
            self.texts().clear();
        }
        lasted
    }

    fn texts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Nothing that can panic happens under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
