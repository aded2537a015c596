//! Commands in progress, and the transfers that wait.

use bytes::Bytes;
use usb_descriptors::Direction;
use usb_transfer::{Actual, Completion, Segments, Status, StreamId, TransferId};

use crate::Sense;
use crate::scsi::READ_CHUNK;

#[derive(Debug)]
pub(super) struct PendingIn {
    pub(super) id: TransferId,
    pub(super) length: u32,
    pub(super) stream: Option<StreamId>,
}

#[derive(Debug)]
pub(super) struct PendingOut {
    pub(super) id: TransferId,
    pub(super) length: u32,
    pub(super) stream: Option<StreamId>,
    /// What is not taken yet.
    pub(super) data: Bytes,
}

/// A command in progress.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tag: u16,
    pub(super) unit: usize,
    pub(super) direction: Option<Direction>,
    /// Bytes of the data phase that were not moved.
    pub(super) left: u64,
    /// The host was told to move data.
    pub(super) announced: bool,
    /// How much the host's next transfer waits for.
    pub(super) asked: usize,
    /// For the host, from the unit.
    pub(super) data: Segments,
    /// What the unit wants of the host.
    pub(super) wanted: u32,
    pub(super) result: Option<Result<(), Sense>>,
}

impl Running {
    /// Whether the unit may go on: data is taken one piece ahead.
    pub(super) fn may_go_on(&self) -> bool {
        self.data.len() < self.asked.max(READ_CHUNK as usize)
    }

    pub(super) fn expects(&self, direction: Direction) -> bool {
        self.direction == Some(direction) && self.left > 0
    }
}

impl PendingOut {
    pub(super) fn taken(&self) -> u32 {
        let left = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.length.saturating_sub(left)
    }

    pub(super) fn complete(&self, status: Status) -> Completion {
        Completion::new(self.id, status, Actual::Out(self.taken()))
    }
}

/// A transfer without a stream is anybody's.
pub(super) fn is_of(stream: Option<StreamId>, tag: u16) -> bool {
    stream.is_none_or(|stream| stream.0.get() == tag)
}
