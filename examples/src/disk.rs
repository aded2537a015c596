//! A mass-storage device together with its store: a function like any other.

use std::{fmt, io};

use msc_bot::{BlockError, BlockOp, BotDevice, MassStorage, MediumEvent};
use rustix::io::Errno;
use usb_transfer::{Frame, Function, FunctionEvent, Segments, Transfer, TransferId};

use crate::Store;

/// A [`BotDevice`], or another [`MassStorage`], that does its block operations itself, one at a time, on a [`Store`].
///
/// What is complete leaves before the store is asked: while an operation waits, it has nothing to
/// tell and asks not to sleep. So the reply to a command is on its way while the disk works.
///
/// What was written is flushed when the host asks for it, on each reset, of which one is the last
/// event of any frontend, and when the disk is closed or dropped.
#[derive(Debug)]
pub struct Disk<S: Store, D: MassStorage = BotDevice> {
    device: D,
    store: S,
    /// The operation that waits until what is complete has left.
    next: Option<BlockOp>,
    /// The device has nothing to tell and nothing to ask, until somebody calls it.
    quiet: bool,
    /// Written to since the last flush.
    dirty: bool,
    /// Why a flush failed of which nobody has heard. After a failure the kernel takes what it lost
    /// for written, and the next flush succeeds.
    untold: Option<io::Error>,
    on_medium_event: Hook,
}

/// Who is told of what hosts do with the medium.
struct Hook(Box<dyn FnMut(MediumEvent) + Send>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl<S: Store, D: MassStorage> Disk<S, D> {
    /// A disk whose units all lie in `store`, each from its start: mostly there is one.
    #[must_use]
    pub fn new(device: D, store: S) -> Self {
        Self {
            device,
            store,
            next: None,
            quiet: false,
            dirty: false,
            untold: None,
            on_medium_event: Hook(Box::new(|_| {})),
        }
    }

    /// Tells `hook` what hosts do with the medium. What was written is flushed by then.
    pub fn on_medium_event(&mut self, hook: impl FnMut(MediumEvent) + Send + 'static) {
        self.on_medium_event = Hook(Box::new(hook));
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Flushes what was written since the last flush.
    ///
    /// # Errors
    /// The store may have lost some of it.
    pub fn close(mut self) -> io::Result<()> {
        self.flush()
    }

    /// Flushes what was written since the last flush; the disk goes on.
    ///
    /// # Errors
    /// The store may have lost some of it.
    pub fn flush(&mut self) -> io::Result<()> {
        let untold = self.untold.take();
        if self.dirty {
            self.store.flush()?;
            self.dirty = false;
        }
        untold.map_or(Ok(()), Err)
    }

    fn execute(&mut self, op: BlockOp) {
        let token = op.token();
        let (offset, result) = match op {
            BlockOp::Read { offset, length, .. } => (
                Some(offset),
                self.store.read(offset, length).map(Segments::from),
            ),
            BlockOp::Write {
                offset,
                data,
                durable,
                ..
            } => {
                self.dirty = true;
                let mut result = self.store.write(offset, &data);
                if durable && result.is_ok() {
                    result = self.flush();
                }
                (Some(offset), result.map(|()| Segments::new()))
            }
            BlockOp::Zero {
                offset,
                length,
                discard,
                ..
            } => {
                self.dirty = true;
                let result = self.store.zero(offset, length, discard);
                (Some(offset), result.map(|()| Segments::new()))
            }
            BlockOp::Flush { .. } => (None, self.flush().map(|()| Segments::new())),
        };
        let result = result.map_err(|error| block_error(&error, offset));
        self.device.finish(token, result);
    }
}

/// What the host is told of a store's error.
fn block_error(error: &io::Error, offset: Option<u64>) -> BlockError {
    match (Errno::from_io_error(error), offset) {
        (Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG), _) => BlockError::NoSpace,
        (Some(Errno::ROFS | Errno::BADF | Errno::ACCESS | Errno::PERM), _) => {
            BlockError::WriteProtected
        }
        (Some(Errno::IO), Some(offset)) => BlockError::Medium { offset },
        // The file has become shorter than the disk.
        (None, Some(offset)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            BlockError::Medium { offset }
        }
        _ => BlockError::Hardware,
    }
}

impl<S: Store, D: MassStorage> Function for Disk<S, D> {
    fn submit(&mut self, transfer: Transfer) {
        self.quiet = false;
        self.device.submit(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.quiet = false;
        self.device.cancel(id);
    }

    fn reset(&mut self) {
        self.quiet = false;
        self.device.reset();
        if let Some(op) = self.next.take() {
            self.execute(op);
        }
        // The host's next flush tells, or `close`.
        self.untold = self.flush().err();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        while !self.quiet {
            if let Some(event) = self.device.poll() {
                return Some(event);
            }
            if let Some(op) = self.next.take() {
                self.execute(op);
                continue;
            }
            self.next = self.device.poll_block();
            self.quiet = self.next.is_none();
            if self.quiet {
                while let Some((_, event)) = self.device.poll_medium() {
                    (self.on_medium_event.0)(event);
                }
            }
            break;
        }
        None
    }

    fn next_frame(&self) -> Option<Frame> {
        self.next.is_some().then_some(Frame::ZERO)
    }
}

impl<S: Store, D: MassStorage> Drop for Disk<S, D> {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.flush();
    }
}
