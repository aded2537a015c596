//! What carries commands to a unit.

use core::fmt;

use bytes::Bytes;
use usb_descriptors::{Direction, SetupPacket};
use usb_transfer::{Completion, HostEvent, Segments, Status};

use crate::Sense;

/// Where the function is in the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) configuration: u8,
    pub(crate) interface: u8,
    /// The alternate setting that has the pipes.
    pub(crate) alternate: u8,
}

/// The data phase of a command.
#[derive(Clone, Debug)]
pub(crate) enum DataPhase {
    None,
    In(u32),
    Out(Bytes),
}

impl DataPhase {
    /// Its direction and bytes.
    pub(crate) fn extent(&self) -> (Direction, u32) {
        match self {
            Self::None => (Direction::Out, 0),
            Self::In(length) => (Direction::In, *length),
            Self::Out(data) => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                (Direction::Out, length)
            }
        }
    }
}

/// What a transport has to tell.
#[derive(Debug)]
pub(crate) enum Event {
    /// Of a control request: its data, or why there is no success.
    Answer(Result<Segments, Status>),
    /// A command is over: by its key.
    Ended(u64, End),
    /// The device does not work any more. Nothing follows.
    Dead(Status),
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Its data, without padding, and how many of the bytes that the host expected to move were
    /// not moved or are not relevant.
    Passed { data: Segments, missing: u32 },
    /// The sense says why, if there is one.
    Failed(Option<Sense>),
    /// It was not begun, for the others that are under way. There is room for fewer now.
    Busy,
    /// The device broke the transport's rules; it was reset and works again.
    Broken,
}

/// One of the two transports, used by an [`Initiator`](crate::Initiator).
pub(crate) trait Transport: fmt::Debug + Send + Sync {
    /// Whether a command with such a data phase can be sent now.
    fn may_start(&self, data: &DataPhase) -> bool;

    /// Asks the device something on endpoint 0; while no command is under way.
    fn control(&mut self, setup: SetupPacket);

    /// Sends a command of at most 16 bytes.
    fn command(&mut self, key: u64, command: &[u8], data: DataPhase);

    fn event(&mut self) -> Option<Event>;

    /// Gives all up; nothing is asked of the device any more but a reset, which is the last event.
    fn close(&mut self, status: Status);

    fn poll(&mut self) -> Option<HostEvent>;

    fn complete(&mut self, completion: Completion);

    /// Transfers at the device.
    fn pending(&self) -> usize;
}
