//! How far a long task is, for those who watch.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
pub struct Progress {
    shown: Option<Bar>,
    total: u64,
}

#[derive(Debug)]
struct Bar {
    start: Instant,
    /// Bytes that were done before it began.
    first: Option<u64>,
    /// When it was drawn last.
    drawn: Option<Instant>,
}

impl Progress {
    /// Between two drawings.
    const PAUSE: Duration = Duration::from_millis(100);
    /// Characters of the bar.
    const WIDTH: u64 = 30;

    /// Of so many bytes; how many, may be [told later](Self::set_total).
    #[must_use]
    pub fn new(total: u64) -> Self {
        let bar = || Bar {
            start: Instant::now(),
            first: None,
            drawn: None,
        };
        Self {
            shown: io::stderr().is_terminal().then(bar),
            total,
        }
    }

    /// How many bytes there are.
    pub const fn set_total(&mut self, total: u64) {
        self.total = total;
    }

    /// So many bytes are done.
    pub fn show(&mut self, done: u64) {
        let Some(bar) = &mut self.shown else {
            return;
        };
        let first = *bar.first.get_or_insert(done);
        let now = Instant::now();
        let is_due = bar.drawn.is_none_or(|drawn| now - drawn >= Self::PAUSE);
        if !is_due && done < self.total {
            return;
        }
        bar.drawn = Some(now);
        let line = line(done, self.total, done - first, bar.start.elapsed());
        let _ = write!(io::stderr(), "\r{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.as_ref().is_some_and(|bar| bar.drawn.is_some()) {
            let _ = writeln!(io::stderr());
        }
    }
}

/// `moved` of the bytes came in so long.
fn line(done: u64, total: u64, moved: u64, time: Duration) -> String {
    let share = |of: u64| u128::from(done) * u128::from(of) / u128::from(total.max(1));
    let filled = usize::try_from(share(Progress::WIDTH)).unwrap_or(0);
    let empty = usize::try_from(Progress::WIDTH).map_or(0, |width| width.saturating_sub(filled));
    let rate = u128::from(moved) / time.as_micros().max(1);
    format!(
        "[{}{}] {:3} %  {} of {} MB  {rate} MB/s ",
        "#".repeat(filled),
        ".".repeat(empty),
        share(100),
        done / 1_000_000,
        total / 1_000_000,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_share_and_rate() {
        assert_eq!(
            line(50_000_000, 100_000_000, 20_000_000, Duration::from_secs(2)),
            "[###############...............]  50 %  50 of 100 MB  10 MB/s "
        );
        assert_eq!(
            line(0, 0, 0, Duration::ZERO),
            "[..............................]   0 %  0 of 0 MB  0 MB/s "
        );
        assert!(
            line(7, 7, 7, Duration::ZERO).starts_with("[##############################] 100 %")
        );
    }
}
