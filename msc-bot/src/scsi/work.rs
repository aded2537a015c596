//! A command in progress.

use alloc::boxed::Box;
use core::mem;

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::Segments;

use super::Sense;
use super::command::{Cdb, Entry};
use super::compare::{Comparing, Swapping};
use super::fill::{Filling, Zeroing};
use super::transfer::{Flight, Reading, Step, Writing};
use crate::{BlockError, BlockSize};

/// All that a command in progress can be.
#[derive(Debug)]
pub(crate) enum Work {
    /// An answer that is there, then the end.
    Answer(Segments),
    Read(Reading),
    Write(Writing),
    // The rare ones are kept apart, so that a read or a write moves little.
    Gather(Box<Gathering>),
    Compare(Box<Comparing>),
    Swap(Box<Swapping>),
    Fill(Box<Filling>),
    Zero(Box<Zeroing>),
    /// What was written gets onto the medium; if it does, what comes behind goes on.
    Flush {
        flight: Option<Flight>,
        then: Option<Box<Work>>,
    },
    /// The medium leaves, in which nothing is left to do.
    Eject,
    End(Result<(), Sense>),
}

/// The host's part of a command that begins when all of it has come: parameters, or a few blocks.
#[derive(Debug)]
pub(crate) struct Gathering {
    pub(crate) entry: &'static Entry,
    pub(crate) cdb: Cdb,
    missing: u32,
    wanted: u32,
    data: Segments,
}

impl Gathering {
    pub(crate) const fn new(entry: &'static Entry, cdb: Cdb, missing: u32) -> Self {
        Self {
            entry,
            cdb,
            missing,
            wanted: 0,
            data: Segments::new(),
        }
    }

    /// All that came, in one piece.
    pub(crate) fn data(&self) -> Bytes {
        self.data.to_bytes()
    }

    fn step(&mut self) -> Step {
        if self.missing == 0 {
            Step::Gathered
        } else if self.wanted == 0 {
            self.wanted = self.missing;
            Step::WantOut(self.wanted)
        } else {
            Step::Wait
        }
    }

    fn take(&mut self, data: Bytes) {
        let left = take_wanted(&mut self.data, &mut self.wanted, data);
        self.missing = self.missing.saturating_sub(left);
    }
}

/// Adds what came to what is there, if it was wanted, and tells how much it is. More than was
/// wanted is cut.
pub(crate) fn take_wanted(to: &mut Segments, wanted: &mut u32, mut data: Bytes) -> u32 {
    data.truncate(usize::try_from(mem::take(wanted)).unwrap_or(usize::MAX));
    let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
    if !data.is_empty() {
        to.push(data);
    }
    count
}

impl Work {
    pub(crate) fn gather(gathering: Gathering) -> Self {
        Self::Gather(Box::new(gathering))
    }

    pub(crate) const FLUSH: Self = Self::Flush {
        flight: None,
        then: None,
    };

    pub(crate) fn flush_then(then: Self) -> Self {
        Self::Flush {
            flight: None,
            then: Some(Box::new(then)),
        }
    }

    /// Which way its data goes, and how much there is.
    pub(crate) fn phase(&self) -> (Option<Direction>, u64) {
        let (direction, length) = match self {
            Self::Answer(data) => (Direction::In, data.len() as u64),
            Self::Read(reading) if !reading.verify => (Direction::In, reading.left.length),
            Self::Write(writing) => (Direction::Out, writing.missing),
            Self::Gather(gathering) => (Direction::Out, u64::from(gathering.missing)),
            Self::Compare(comparing) => (Direction::Out, comparing.missing()),
            Self::Flush {
                then: Some(then), ..
            } => return then.phase(),
            _ => return (None, 0),
        };
        // No bytes are no phase.
        if length == 0 {
            (None, 0)
        } else {
            (Some(direction), length)
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        match self {
            Self::Answer(data) => {
                let data = mem::take(data);
                *self = Self::End(Ok(()));
                Step::In(data)
            }
            Self::Read(reading) => reading.step(),
            Self::Write(writing) => writing.step(),
            Self::Gather(gathering) => gathering.step(),
            Self::Compare(comparing) => comparing.step(),
            Self::Swap(swapping) => swapping.step(),
            Self::Fill(filling) => filling.step(),
            Self::Zero(zeroing) => zeroing.step(),
            Self::Flush {
                flight: Some(_), ..
            } => Step::Wait,
            Self::Flush { .. } => Step::Flush,
            Self::Eject => {
                *self = Self::End(Ok(()));
                Step::Eject
            }
            Self::End(result) => Step::Done(*result),
        }
    }

    /// Whether the next step would ask something of the store.
    pub(crate) fn needs_store(&self) -> bool {
        match self {
            Self::Read(reading) => {
                reading.ready.is_empty() && reading.failed.is_none() && reading.left.length > 0
            }
            Self::Write(writing) => writing.needs_store(),
            Self::Compare(comparing) => comparing.needs_store(),
            Self::Swap(swapping) => swapping.needs_store(),
            Self::Fill(filling) => filling.needs_store(),
            Self::Zero(zeroing) => zeroing.needs_store(),
            Self::Flush { flight, .. } => flight.is_none(),
            Self::Answer(_) | Self::Gather(_) | Self::Eject | Self::End(_) => false,
        }
    }

    /// Whether no other command may have an operation at the store while this one has begun.
    pub(crate) const fn is_exclusive(&self) -> bool {
        matches!(self, Self::Swap(_))
    }

    /// Whether it begins when all commands before it that need the medium are over, and those
    /// behind it wait until it is.
    pub(crate) fn is_ordered(&self) -> bool {
        match self {
            Self::Flush { then, .. } => then.as_ref().is_some_and(|then| then.is_ordered()),
            Self::Eject => true,
            _ => false,
        }
    }

    /// Whether it reads, writes or keeps blocks of the medium.
    pub(crate) const fn needs_medium(&self) -> bool {
        !matches!(self, Self::Answer(_) | Self::End(_))
    }

    /// The operation it has out at the store.
    pub(crate) fn flight_mut(&mut self) -> Option<&mut Option<Flight>> {
        match self {
            Self::Read(Reading { flight, .. })
            | Self::Write(Writing { flight, .. })
            | Self::Flush { flight, .. } => Some(flight),
            Self::Compare(comparing) => Some(&mut comparing.flight),
            Self::Swap(swapping) => Some(&mut swapping.flight),
            Self::Fill(filling) => Some(&mut filling.flight),
            Self::Zero(zeroing) => Some(&mut zeroing.flight),
            Self::Answer(_) | Self::Gather(_) | Self::Eject | Self::End(_) => None,
        }
    }

    /// Data from the host.
    pub(crate) fn take(&mut self, data: Bytes, size: BlockSize) {
        match self {
            Self::Write(writing) => writing.take(data, size),
            Self::Gather(gathering) => gathering.take(data),
            Self::Compare(comparing) => comparing.take(data),
            _ => {}
        }
    }

    pub(crate) fn finish(
        &mut self,
        flight: Flight,
        outcome: Result<Segments, BlockError>,
        size: BlockSize,
    ) {
        match self {
            Self::Read(reading) => reading.finish(flight, outcome, size),
            Self::Write(writing) => {
                if let Err(error) = outcome {
                    writing.fail(flight, error, size);
                }
            }
            Self::Compare(comparing) => comparing.finish(flight, outcome, size),
            Self::Swap(swapping) => swapping.finish(flight, outcome, size),
            Self::Fill(filling) => filling.finish(flight, &outcome, size),
            Self::Zero(zeroing) => zeroing.finish(flight, &outcome, size),
            Self::Flush { then, .. } => {
                let medium = Sense::WRITE_ERROR;
                *self = match outcome {
                    Ok(_) => then.take().map_or(Self::End(Ok(())), |then| *then),
                    Err(error @ BlockError::Medium { offset }) => {
                        let lba = offset.checked_div(size.bytes()).unwrap_or(0);
                        let sense = Sense::of_store(error, medium.with_information(lba));
                        Self::End(Err(sense))
                    }
                    Err(error) => Self::End(Err(Sense::of_store(error, medium))),
                };
            }
            Self::Answer(_) | Self::Gather(_) | Self::Eject | Self::End(_) => {}
        }
    }
}
