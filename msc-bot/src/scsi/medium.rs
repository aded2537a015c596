//! The medium: whether it is there, who may take it out, and what the host must be told of it.

use super::command::Cdb;
use super::work::Work;
use super::{LogicalUnit, Sense, UnitOptions};

/// What the host does with the medium, for the embedder.
///
/// ```
/// use msc_bot::{BlockOp, BlockSize, LogicalUnit, MediumEvent, Task, UnitEvent, UnitOptions};
/// use usb_transfer::Segments;
/// let mut unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 100));
/// let eject = [0x1b, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// unit.start(Task(0), &eject);
/// while let Some(event) = unit.poll() {
///     if let UnitEvent::Block(op @ BlockOp::Flush { .. }) = event {
///         assert!(unit.has_medium());
///         unit.finish(op.token(), Ok(Segments::new()));
///     }
/// }
/// assert_eq!(unit.poll_medium(), Some(MediumEvent::Ejected));
/// assert!(!unit.has_medium());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MediumEvent {
    /// The host has ejected the medium: it may be removed, or exchanged for another by
    /// [`insert`](LogicalUnit::insert). What was written is flushed: where that fails, the medium
    /// stays, and the host is told.
    Ejected,
    /// The host wants a medium. If the one it has ejected was not removed, that is loaded again;
    /// else one may be inserted.
    Loaded,
    /// From now on the host wants the medium to stay, or no longer. Nothing keeps the embedder
    /// from removing it all the same.
    Locked(bool),
}

/// The state of the medium.
#[derive(Debug)]
pub(super) struct Medium {
    place: Place,
    /// The host forbids to eject it.
    locked: bool,
    /// What the embedder was told of that.
    told_locked: bool,
    /// What the host did last, until the embedder was told: one before the last is history.
    moved: Option<MediumEvent>,
    /// What a host that asks for events is told next (MMC-6, table 269).
    news: u8,
    attentions: Attentions,
}

/// Media events (MMC-6, table 269).
const NOTHING_NEW: u8 = 0;
const NEW_MEDIUM: u8 = 2;
const MEDIUM_REMOVAL: u8 = 3;

/// Where the medium is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// There is none.
    Away,
    /// The host has ejected it; nobody has taken it out.
    Ejected,
    Loaded,
}

impl Place {
    const fn of(blocks: u64) -> Self {
        if blocks > 0 { Self::Loaded } else { Self::Away }
    }
}

/// Unit attentions that the host was not told yet; each is told once (SAM-5, 5.14).
#[derive(Clone, Copy, Debug, Default)]
struct Attentions(u8);

/// In the order they are told.
const ATTENTIONS: [Sense; 4] = [
    Sense::RESET,
    Sense::MEDIUM_CHANGED,
    Sense::CAPACITY_CHANGED,
    Sense::MODE_CHANGED,
];
/// A host has used the unit, so that a reset means something to it.
const USED: u8 = 0x80;

impl Attentions {
    fn add(&mut self, sense: Sense) {
        if let Some(at) = ATTENTIONS.iter().position(|each| *each == sense) {
            self.0 |= 1 << at;
        }
    }

    fn take(&mut self) -> Option<Sense> {
        let told = self.0 & !USED;
        if told == 0 {
            self.0 = USED;
            return None;
        }
        self.0 = USED | told & told.wrapping_sub(1);
        let at = usize::try_from(told.trailing_zeros()).unwrap_or(usize::MAX);
        ATTENTIONS.get(at).copied()
    }
}

impl Medium {
    pub(super) fn new(options: &UnitOptions) -> Self {
        Self {
            place: Place::of(options.blocks),
            locked: false,
            told_locked: false,
            moved: None,
            news: NOTHING_NEW,
            attentions: Attentions::default(),
        }
    }

    const fn is_loaded(&self) -> bool {
        matches!(self.place, Place::Loaded)
    }

    pub(super) const fn check(&self) -> Result<(), Sense> {
        if self.is_loaded() {
            Ok(())
        } else {
            Err(Sense::NO_MEDIUM)
        }
    }

    /// The next unit attention that the host was not told.
    pub(super) fn attention(&mut self) -> Option<Sense> {
        self.attentions.take()
    }

    pub(super) fn take_news(&mut self) -> u8 {
        core::mem::take(&mut self.news)
    }

    fn go(&mut self, place: Place) {
        if place != self.place {
            self.news = if place == Place::Loaded {
                NEW_MEDIUM
            } else {
                MEDIUM_REMOVAL
            };
        }
        self.place = place;
    }

    pub(super) fn lock(&mut self, locked: bool) {
        self.locked = locked;
    }

    pub(super) fn reset(&mut self) {
        self.locked = false;
        if self.attentions.0 & USED != 0 {
            self.attentions.add(Sense::RESET);
        }
    }
}

impl LogicalUnit {
    /// Whether there is a medium that the host can use.
    #[must_use]
    pub const fn has_medium(&self) -> bool {
        self.medium.is_loaded()
    }

    /// What the host did with the medium; `None` for now. An ejection and a load that nobody has
    /// asked for in time make way for what came after them.
    pub fn poll_medium(&mut self) -> Option<MediumEvent> {
        let medium = &mut self.medium;
        if let Some(moved) = medium.moved.take() {
            return Some(moved);
        }
        if medium.locked != medium.told_locked {
            medium.told_locked = medium.locked;
            return Some(MediumEvent::Locked(medium.locked));
        }
        None
    }

    /// A medium of so many blocks comes in, instead of the one before. The host is told by a unit
    /// attention; commands that use the medium before end. One of no blocks is none.
    pub fn insert(&mut self, blocks: u64, read_only: bool) {
        self.remove();
        self.options.set_blocks(blocks);
        self.options.read_only = read_only || self.options.is_cd();
        self.medium.go(Place::of(self.options.blocks));
        if self.has_medium() {
            self.medium.attentions.add(Sense::MEDIUM_CHANGED);
        }
    }

    /// The medium is gone. Commands that use it end with "medium not present"; what they have out
    /// at the store is still to be finished.
    pub fn remove(&mut self) {
        self.medium.go(Place::Away);
        self.medium.moved = None;
        self.end_all(Sense::NO_MEDIUM);
    }

    /// The medium becomes larger or smaller. The host is told by a unit attention; when it becomes
    /// smaller, commands that use it end, for they may reach beyond.
    pub fn resize(&mut self, blocks: u64) {
        let before = self.options.blocks;
        if self.medium.place == Place::Away || blocks == 0 {
            return self.insert(blocks, self.options.read_only);
        }
        self.options.set_blocks(blocks);
        if self.options.blocks < before {
            self.end_all(Sense::LBA_OUT_OF_RANGE);
        }
        if self.options.blocks != before {
            self.medium.attentions.add(Sense::CAPACITY_CHANGED);
        }
    }

    /// Writes are refused from now on, or taken. Those in progress go on. The host is told by a
    /// unit attention.
    pub fn write_protect(&mut self, read_only: bool) {
        if self.options.read_only != read_only && !self.options.is_cd() {
            self.options.read_only = read_only;
            self.medium.attentions.add(Sense::MODE_CHANGED);
        }
    }

    /// START STOP UNIT (SBC-3, 5.25). Nothing turns: to stop is to flush. To eject is to flush too,
    /// when the commands before are over; a medium that could not be flushed stays. Where a power
    /// condition is named, START and LOEJ have no meaning.
    pub(super) fn start_stop(&mut self, cdb: Cdb) -> Result<Work, Sense> {
        let (start, load_eject) = (cdb.bit(4, 0x01), cdb.bit(4, 0x02));
        if cdb.bit(4, 0xf0) {
            return Ok(Work::End(Ok(())));
        }
        if load_eject && !self.options.removable {
            return Err(Sense::INVALID_FIELD);
        }
        let is_cd = self.options.is_cd();
        let medium = &mut self.medium;
        // A locked drive does not move its medium; one for CDs still takes it in (MMC-6, 6.18).
        if load_eject && medium.locked && !(start && is_cd) {
            return Err(Sense::REMOVAL_PREVENTED);
        }
        if load_eject && start && !medium.is_loaded() {
            if medium.place == Place::Ejected {
                medium.go(Place::Loaded);
            }
            medium.moved = Some(MediumEvent::Loaded);
        }
        if start {
            return medium.check().map(|()| Work::End(Ok(())));
        }
        if !load_eject {
            return Ok(if medium.is_loaded() {
                Work::FLUSH
            } else {
                Work::End(Ok(()))
            });
        }
        if !medium.is_loaded() {
            return Ok(Work::End(Ok(())));
        }
        Ok(Work::flush_then(Work::Eject))
    }

    /// All is flushed: the medium leaves. Commands that came behind find none.
    pub(super) fn ejected(&mut self) {
        self.medium.go(Place::Ejected);
        self.medium.moved = Some(MediumEvent::Ejected);
        self.end_all(Sense::NO_MEDIUM);
    }
}
