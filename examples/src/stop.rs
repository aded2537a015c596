//! Bringing what waits to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{self, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Tells several threads, once and for all, to come to an end. Clones are the same.
///
/// ```
/// use std::time::Duration;
/// let stop = examples::Stop::new()?;
/// assert!(!stop.wait(Duration::ZERO));
/// stop.clone().stop();
/// assert!(stop.wait(Duration::MAX));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    Stopped,
    Ready,
    Late,
}

impl Stop {
    /// Nobody is told yet.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(event)))
    }

    /// Tells all.
    pub fn stop(&self) {
        // It can only fail if it was told very often.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Whether all were told.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits to be told, for so long at most: whether it was.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        matches!(self.wait_or(None, Some(patience)), Ok(Woken::Stopped))
    }

    /// Does what may take as long as others like, such as to look up a name and to connect, in a
    /// thread of its own. `None`: was told to stop before it was done; then it ends by itself, and
    /// nobody gets what comes of it.
    ///
    /// ```
    /// # use std::{thread, time::Duration};
    /// let stop = examples::Stop::new()?;
    /// assert_eq!(stop.unless(|| 1 + 1)?, Some(2));
    /// stop.stop();
    /// assert_eq!(stop.unless(|| thread::sleep(Duration::MAX))?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The system gives no thread or file descriptor.
    pub fn unless<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let (done, working) = UnixStream::pair()?;
        let worker = thread::Builder::new()
            .name("worker".into())
            .spawn(move || {
                // Closed at the end, whatever that is.
                let _working = working;
                work()
            })?;
        let ended = (done.as_fd(), PollFlags::IN);
        if self.wait_or(Some(ended), None)? == Woken::Stopped {
            return Ok(None);
        }
        let result = worker.join();
        Ok(Some(
            result.unwrap_or_else(|panic| panic::resume_unwind(panic)),
        ))
    }

    /// Waits until the peer has left a connection that somebody else uses. `false`: was told to
    /// stop before.
    ///
    /// # Errors
    /// The system has no memory for the call.
    pub fn wait_for_hang_up(&self, connection: impl AsFd) -> io::Result<bool> {
        let hung_up = (connection.as_fd(), PollFlags::RDHUP);
        Ok(self.wait_or(Some(hung_up), None)? == Woken::Ready)
    }

    /// Waits to be told, until a file can be read, or, at the latest, for so long: whether it was
    /// told.
    ///
    /// # Errors
    /// The system has no memory for the call.
    pub fn wait_or_read(&self, file: impl AsFd, patience: Option<Duration>) -> io::Result<bool> {
        let readable = (file.as_fd(), PollFlags::IN);
        Ok(self.wait_or(Some(readable), patience)? == Woken::Stopped)
    }

    /// Waits for a socket, or to be told.
    pub(crate) fn wait_or(
        &self,
        socket: Option<(BorrowedFd<'_>, PollFlags)>,
        patience: Option<Duration>,
    ) -> io::Result<Woken> {
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let stop = PollFd::new(&*self.0, PollFlags::IN);
        let other = socket.map(|(socket, flags)| PollFd::from_borrowed_fd(socket, flags));
        let mut list: Vec<_> = [stop].into_iter().chain(other).collect();
        loop {
            match event::poll(&mut list, timeout.as_ref()) {
                Ok(0) => return Ok(Woken::Late),
                Ok(_) if !list[0].revents().is_empty() => return Ok(Woken::Stopped),
                Ok(_) => return Ok(Woken::Ready),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
