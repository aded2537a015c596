//! A mass-storage device together with its stores: a function like any other.

use std::{fmt, io};

use msc_bot::{BlockError, BlockOp, BotDevice, Lun, MassStorage, MediumEvent};
use rustix::io::Errno;
use usb_descriptors::Speed;
use usb_transfer::{Frame, Function, FunctionEvent, Segments, Transfer, TransferId};

use crate::{Local, Store};

/// A [`BotDevice`], or another [`MassStorage`], that does its block operations itself, one at a
/// time, each on the [`Store`] that is its unit's medium.
///
/// What is complete leaves before a store is asked: while an operation waits, it has nothing to
/// tell and asks not to sleep. So the reply to a command is on its way while the disk works.
///
/// What was written is flushed when the host asks for it, on each reset, of which one is the last
/// event of any frontend, and when a store is removed or the disk is closed or dropped.
#[derive(Debug)]
pub struct Disk<S: Store, D: MassStorage = BotDevice> {
    device: D,
    /// One for each unit.
    slots: Vec<Slot<S>>,
    /// What is read may be pages of a file: it leaves in pieces that nobody copies. At full speed
    /// a host may take it packet by packet.
    lends: bool,
    /// The operation that waits until what is complete has left.
    next: Option<BlockOp>,
    /// The device has nothing to tell and nothing to ask, until somebody calls it.
    quiet: bool,
    on_medium_event: Hook,
}

/// Where the medium of a unit is, or is missing.
#[derive(Debug)]
struct Slot<S> {
    store: Option<S>,
    /// Written to since the last flush.
    dirty: bool,
    lost: Option<Loss>,
    locked: bool,
}

/// Why a flush failed. After a failure the kernel takes what it lost for written, and the next flush
/// succeeds: so it is kept until both sides have heard of it.
#[derive(Debug)]
struct Loss {
    error: io::Error,
    /// The host has: it may write all of it once more, but nobody here can know.
    is_told: bool,
}

/// Who is told of what hosts do with the medium.
struct Hook(Box<dyn FnMut(Lun, MediumEvent) + Send>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl<S: Store, D: MassStorage> Disk<S, D> {
    /// A disk of one unit, which lies in `store`.
    #[must_use]
    pub fn new(device: D, store: S) -> Self {
        Self::with_stores(device, [store])
    }

    /// A disk whose units lie in these stores, in their order. A unit without one fails whatever
    /// needs it, unless it has no medium.
    #[must_use]
    pub fn with_stores(device: D, stores: impl IntoIterator<Item = S>) -> Self {
        Self {
            lends: device.descriptors().speed > Speed::Full,
            device,
            slots: stores.into_iter().map(Slot::of).collect(),
            next: None,
            quiet: false,
            on_medium_event: Hook(Box::new(|_, _| {})),
        }
    }

    /// Tells `hook` what hosts do with the media. What was written is flushed by then.
    pub fn on_medium_event(&mut self, hook: impl FnMut(Lun, MediumEvent) + Send + 'static) {
        self.on_medium_event = Hook(Box::new(hook));
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// Where a unit lies, unless its medium was removed.
    #[must_use]
    pub fn store(&self, lun: Lun) -> Option<&S> {
        let slot = self.slots.get(usize::from(lun.get()))?;
        slot.store.as_ref()
    }

    /// Where a unit lies, to be asked something; what is changed there is not told to the host.
    pub fn store_mut(&mut self, lun: Lun) -> Option<&mut S> {
        let slot = self.slots.get_mut(usize::from(lun.get()))?;
        slot.store.as_mut()
    }

    /// Whether the host wants the medium of a unit to stay.
    #[must_use]
    pub fn is_locked(&self, lun: Lun) -> bool {
        let slot = self.slots.get(usize::from(lun.get()));
        slot.is_some_and(|slot| slot.locked)
    }

    /// Puts a store of so many blocks into a unit, where [`remove`](Self::remove) has left none.
    /// The host is told that the medium may have changed. A number without a unit is ignored.
    pub fn insert(&mut self, lun: Lun, store: S, blocks: u64, read_only: bool) {
        if let Some(slot) = self.slots.get_mut(usize::from(lun.get())) {
            slot.store = Some(store);
            self.device.insert(lun, blocks, read_only);
            self.quiet = false;
        }
    }

    /// The store of a unit has so many blocks by now, which the host is told.
    pub fn resize(&mut self, lun: Lun, blocks: u64) {
        self.device.resize(lun, blocks);
        self.quiet = false;
    }

    /// Lets nothing be written to the medium of a unit from now on, or lets it again; the host is
    /// told. What its store takes is for others to know.
    pub fn write_protect(&mut self, lun: Lun, read_only: bool) {
        self.device.write_protect(lun, read_only);
        self.quiet = false;
    }

    /// Takes the store out of a unit: commands that use it end, what was written is flushed, and
    /// only then is the store let go.
    ///
    /// # Errors
    /// It may have lost some of what was written. It is gone all the same.
    pub fn remove(&mut self, lun: Lun) -> io::Result<()> {
        // A write that was handed out came before.
        if let Some(op) = self.next.take_if(|op| op.lun() == lun) {
            self.execute(op);
        }
        self.device.remove(lun);
        self.quiet = false;
        let Some(slot) = self.slots.get_mut(usize::from(lun.get())) else {
            return Ok(());
        };
        let ended = slot.end();
        slot.store = None;
        slot.dirty = false;
        ended
    }

    /// Flushes what was written since the last flush.
    ///
    /// # Errors
    /// A store may have lost some of what was written, now or before, whatever its host knows of
    /// that.
    pub fn close(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        // All of them, and the first error.
        let ended = self.slots.iter_mut().map(Slot::end);
        ended.fold(Ok(()), io::Result::and)
    }

    fn execute(&mut self, op: BlockOp) {
        let token = op.token();
        let slot = self.slots.get_mut(usize::from(op.lun().get()));
        let result = match slot {
            Some(slot) => slot.execute(op, self.lends),
            None => Err(BlockError::Hardware),
        };
        self.device.finish(token, result);
    }
}

impl<S: Store> Slot<S> {
    const fn of(store: S) -> Self {
        Self {
            store: Some(store),
            dirty: false,
            lost: None,
            locked: false,
        }
    }

    fn flush(&mut self) {
        let Some(store) = self.store.as_mut().filter(|_| self.dirty) else {
            return;
        };
        match store.flush() {
            Ok(()) => self.dirty = false,
            Err(error) => {
                let is_told = false;
                self.lost = Some(Loss { error, is_told });
            }
        }
    }

    /// Flushes for the host, which hears of each loss once; `offset` is of what it has written last.
    fn flush_and_tell(&mut self, offset: Option<u64>) -> Result<(), BlockError> {
        self.flush();
        match &mut self.lost {
            Some(lost) if !lost.is_told => {
                lost.is_told = true;
                Err(block_error(&lost.error, offset))
            }
            _ => Ok(()),
        }
    }

    /// Flushes for this side.
    fn end(&mut self) -> io::Result<()> {
        self.flush();
        self.lost.take().map_or(Ok(()), |lost| Err(lost.error))
    }

    fn execute(&mut self, op: BlockOp, lends: bool) -> Result<Segments, BlockError> {
        let Some(store) = &mut self.store else {
            return Err(BlockError::Hardware);
        };
        let (offset, result) = match op {
            BlockOp::Read {
                offset,
                length,
                inspected,
                ..
            } => {
                let read = if lends && !inspected {
                    store.read_to_send(offset, length)
                } else {
                    store.read(offset, length)
                };
                let place = match read {
                    Ok(_) => offset,
                    Err(_) => first_bad(store, offset, length),
                };
                (place, read.map(Segments::from))
            }
            BlockOp::Write {
                offset,
                data,
                durable,
                ..
            } => {
                self.dirty = true;
                let result = store.write(offset, &data);
                if durable && result.is_ok() {
                    return self.flush_and_tell(Some(offset)).map(|()| Segments::new());
                }
                (offset, result.map(|()| Segments::new()))
            }
            BlockOp::Zero {
                offset,
                length,
                discard,
                ..
            } => {
                self.dirty = true;
                let result = store.zero(offset, length, discard);
                (offset, result.map(|()| Segments::new()))
            }
            BlockOp::Flush { .. } => return self.flush_and_tell(None).map(|()| Segments::new()),
        };
        result.map_err(|error| block_error(&error, Some(offset)))
    }
}

/// The first place of a range that cannot be read, for the host to know what lies before it. (SBC-3,
/// 4.18.1: the information of a medium error is the block at which it happened.)
fn first_bad(store: &mut impl Store, offset: u64, length: u32) -> u64 {
    // No disk has smaller blocks.
    let mut places = (offset..offset + u64::from(length)).step_by(512);
    places
        .find(|place| store.read(*place, 512).is_err())
        .unwrap_or(offset)
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
        for slot in &mut self.slots {
            slot.flush();
        }
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
                while let Some((lun, event)) = self.device.poll_medium() {
                    let slot = self.slots.get_mut(usize::from(lun.get()));
                    if let (Some(slot), MediumEvent::Locked(locked)) = (slot, event) {
                        slot.locked = locked;
                    }
                    (self.on_medium_event.0)(lun, event);
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

impl<S: Store + Send, D: MassStorage + Send> Local for Disk<S, D> {
    fn close(&mut self) -> io::Result<()> {
        self.end()
    }
}

impl<S: Store, D: MassStorage> Drop for Disk<S, D> {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.end();
    }
}
