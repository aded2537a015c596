//! USB's own time, taken from the system's clock.

use std::time::{Duration, Instant};

use usb_transfer::Frame;

/// Where a [`FrameClock`] takes its time from.
pub trait TimeSource {
    /// The time since some start; it never goes back.
    fn now(&self) -> Duration;
}

/// `CLOCK_MONOTONIC`, from the moment this is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Monotonic(Instant);

impl TimeSource for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Counts frames of 125 µs since its start. Each is computed from the one start, so that frames
/// do not drift however late they are looked at. Copies are the same clock: all that should keep
/// step share one.
///
/// ```
/// use examples::FrameClock;
/// let clock = FrameClock::start();
/// let frame = clock.now();
/// assert!(clock.until(frame).is_zero());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FrameClock<T = Monotonic> {
    source: T,
    start: Duration,
}

impl FrameClock {
    /// A clock that is now at its first frame.
    #[must_use]
    pub fn start() -> Self {
        Self::with_source(Monotonic(Instant::now()))
    }
}

impl<T: TimeSource> FrameClock<T> {
    /// A clock of another time.
    #[must_use]
    pub fn with_source(source: T) -> Self {
        let start = source.now();
        Self { source, start }
    }

    /// The frame that runs now.
    #[must_use]
    pub fn now(&self) -> Frame {
        let elapsed = self.elapsed();
        let part = u64::from(elapsed.subsec_micros() / 125);
        Frame(elapsed.as_secs().saturating_mul(8000).saturating_add(part))
    }

    /// The time until a frame begins; zero for one that has begun.
    #[must_use]
    pub fn until(&self, frame: Frame) -> Duration {
        Duration::from_micros(frame.microseconds()).saturating_sub(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.source.now().saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Simulated(Cell<Duration>);

    impl TimeSource for &Simulated {
        fn now(&self) -> Duration {
            self.0.get()
        }
    }

    #[test]
    fn a_frame_is_125_microseconds() {
        let time = Simulated(Cell::new(Duration::from_secs(77)));
        let clock = FrameClock::with_source(&time);
        assert_eq!(clock.now(), Frame(0));
        time.0
            .set(Duration::from_secs(77) + Duration::from_nanos(124_999));
        assert_eq!(clock.now(), Frame(0));
        assert_eq!(clock.until(Frame(1)), Duration::from_nanos(1));
        time.0.set(Duration::from_secs(78));
        assert_eq!(clock.now(), Frame(8000));
        assert_eq!(clock.until(Frame(8000)), Duration::ZERO);
        assert_eq!(clock.until(Frame(7)), Duration::ZERO);
        assert_eq!(clock.until(Frame(8001)), Duration::from_micros(125));
    }

    #[test]
    fn waking_late_does_not_drift() {
        let time = Simulated::default();
        let clock = FrameClock::with_source(&time);
        for frame in (8..80_000).step_by(8) {
            let wait = clock.until(Frame(frame));
            // Each wait lasts up to 90 µs longer than it should.
            let late = Duration::from_micros(frame * 7 % 90);
            time.0.set(time.0.get() + wait + late);
            assert_eq!(clock.now(), Frame(frame));
        }
        assert_eq!(time.0.get().as_secs(), 9);
    }

    #[test]
    fn time_that_goes_back_or_far_ahead_is_survived() {
        let time = Simulated(Cell::new(Duration::from_secs(5)));
        let clock = FrameClock::with_source(&time);
        time.0.set(Duration::from_secs(4));
        assert_eq!(clock.now(), Frame(0));
        time.0.set(Duration::MAX);
        assert_eq!(clock.now(), Frame(u64::MAX));
        assert_eq!(clock.until(Frame(u64::MAX)), Duration::ZERO);
    }

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = FrameClock::start();
        let first = clock.now();
        while clock.now() == first {}
        assert!(clock.now() > first);
    }
}
