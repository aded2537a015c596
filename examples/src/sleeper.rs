//! Waiting: for the peer, for the function, for a frame.

use std::array;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use rustix::event::{self, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use usb_transfer::Frame;

use crate::{FrameClock, Stream};

/// What a loop waits with: the frame clock and, for a function that finishes things by itself, a
/// waker.
#[derive(Debug)]
pub struct Sleeper {
    clock: FrameClock,
    bell: Option<Arc<Bell>>,
    watched: Option<Watched>,
}

/// A file that a function waits for.
#[derive(Debug)]
struct Watched {
    file: OwnedFd,
    flags: PollFlags,
    has_hung_up: Arc<AtomicBool>,
}

/// Streams that one loop may wait for, the bell and what is watched.
const MOST: usize = 5;

impl Sleeper {
    /// One with a clock of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(FrameClock::start())
    }

    /// One that shares a clock with others.
    #[must_use]
    pub const fn with_clock(clock: FrameClock) -> Self {
        Self {
            clock,
            bell: None,
            watched: None,
        }
    }

    /// What ends [`sleep`](Self::sleep) from any thread; for a function that takes a
    /// [`Waker`]. Without one, waiting for a single stream is a plain blocking `recv`.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn waker(&mut self) -> io::Result<Waker> {
        let bell = match &self.bell {
            Some(bell) => Arc::clone(bell),
            None => Arc::clone(self.bell.insert(Arc::new(Bell::new()?))),
        };
        Ok(Waker::from(bell))
    }

    /// Ends sleeps also when a file of the function's is ready for what the flags say, or hangs up:
    /// that is told by the answer, once, and from then on the file is left alone.
    pub fn watch(&mut self, file: OwnedFd, flags: PollFlags) -> Arc<AtomicBool> {
        let has_hung_up = Arc::new(AtomicBool::new(false));
        self.watched = Some(Watched {
            file,
            flags,
            has_hung_up: Arc::clone(&has_hung_up),
        });
        has_hung_up
    }

    /// What is watched, as long as it has not hung up.
    fn watched(&self) -> Option<&Watched> {
        let watched = self.watched.as_ref();
        watched.filter(|watched| !watched.has_hung_up.load(Ordering::Acquire))
    }

    /// Whether something else than the streams and the time may end a sleep.
    pub(crate) const fn has_waker(&self) -> bool {
        self.bell.is_some() || self.watched.is_some()
    }

    /// The frame that runs now.
    #[must_use]
    pub fn now(&self) -> Frame {
        self.clock.now()
    }

    /// The frame that runs after so long.
    #[must_use]
    pub fn after(&self, time: Duration) -> Frame {
        let frames = u64::try_from(time.as_micros() / 125).unwrap_or(u64::MAX);
        Frame(self.now().0.saturating_add(frames))
    }

    /// Waits until a stream has received or can be written to, until the waker was used, or until
    /// `until`, and receives what is there. For [`Frame::ZERO`] it returns at once, without a look
    /// at sockets or clock. `false`: there is nothing that could end the wait.
    ///
    /// Takes up to three streams: a bridge has two.
    ///
    /// # Errors
    /// The system has no memory for the call.
    pub fn sleep<const N: usize>(
        &self,
        mut streams: [&mut Stream; N],
        until: Option<Frame>,
    ) -> io::Result<bool> {
        const { assert!(N > 0 && N + 2 <= MOST, "one to three streams") };
        if until == Some(Frame::ZERO) {
            return Ok(true);
        }
        let watched = self.watched();
        if let ([stream], None, None, None) = (&mut streams[..], &self.bell, watched, until) {
            if stream.interest() == PollFlags::IN {
                stream.receive(RecvFlags::empty());
                return Ok(true);
            }
        }
        let timeout = until.map(|frame| self.clock.until(frame));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());

        // Whoever wants nothing is left out: `poll` would tell of a hang-up again and again.
        let interest = streams.each_ref().map(|stream| stream.interest());
        let waiting = streams
            .iter()
            .zip(interest)
            .filter(|(_, flags)| !flags.is_empty());
        let sockets = waiting.map(|(stream, flags)| PollFd::new(&**stream, flags));
        let bell = self
            .bell
            .iter()
            .map(|bell| PollFd::new(&bell.event, PollFlags::IN));
        let file = watched
            .iter()
            .map(|watched| PollFd::new(&watched.file, watched.flags));
        let unused = PollFd::new(&*streams[0], PollFlags::empty());
        let mut list: [PollFd<'_>; MOST] = array::from_fn(|_| unused.clone());
        let count = list
            .iter_mut()
            .zip(sockets.chain(bell).chain(file))
            .map(|(slot, poll)| *slot = poll)
            .count();
        if count == 0 && until.is_none() {
            return Ok(false);
        }
        match event::poll(&mut list[..count], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = list.each_ref().map(PollFd::revents);

        let mut ready = ready.into_iter();
        for (stream, interest) in streams.into_iter().zip(interest) {
            if !interest.is_empty() {
                stream.is_ready(ready.next().unwrap_or(PollFlags::empty()));
            }
        }
        if let Some(bell) = &self.bell {
            if ready.next().is_some_and(|flags| !flags.is_empty()) {
                bell.quiet();
            }
        }
        if let (Some(watched), Some(flags)) = (watched, ready.next()) {
            if flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                watched.has_hung_up.store(true, Ordering::Release);
            }
        }
        Ok(true)
    }
}

impl Default for Sleeper {
    fn default() -> Self {
        Self::new()
    }
}

/// An eventfd that is written at most once between two sleeps.
#[derive(Debug)]
struct Bell {
    event: OwnedFd,
    rung: AtomicBool,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let event = event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            event,
            rung: AtomicBool::new(false),
        })
    }

    /// Called before the function is polled, so whatever rang until now is seen.
    fn quiet(&self) {
        // It was readable: the only failure would be that it is not.
        let _ = rustix::io::read(self.event.as_fd(), &mut [0; 8]);
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It can only fail if the counter is full, and then it is readable.
            let _ = rustix::io::write(self.event.as_fd(), &1u64.to_ne_bytes());
        }
    }
}
