//! The information units that are exchanged (UAS r04, clause 6).

use crate::{Lun, Sense};

/// From the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request {
    Command {
        tag: u16,
        lun: Address,
        command: [u8; 16],
    },
    TaskManagement {
        tag: u16,
        function: u8,
        /// The task it is about, where it is about one.
        task: u16,
        lun: Address,
    },
}

/// Eight bytes that say which unit is meant; `None` where there can be none (SAM-5, 4.7.7.2).
pub(super) type Address = Option<Lun>;

/// Task management functions (UAS r04, table 17).
pub(super) const ABORT_TASK: u8 = 0x01;
pub(super) const ABORT_TASK_SET: u8 = 0x02;
pub(super) const CLEAR_TASK_SET: u8 = 0x04;
pub(super) const LOGICAL_UNIT_RESET: u8 = 0x08;
pub(super) const NEXUS_RESET: u8 = 0x10;
pub(super) const QUERY_TASK: u8 = 0x80;
pub(super) const QUERY_TASK_SET: u8 = 0x81;

/// Response codes (UAS r04, table 15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Response {
    Complete = 0x00,
    InvalidUnit = 0x02,
    NotSupported = 0x04,
    Succeeded = 0x08,
    IncorrectUnit = 0x09,
    OverlappedTag = 0x0a,
}

/// Identifiers (UAS r04, table 10).
const COMMAND: u8 = 0x01;
const SENSE: u8 = 0x03;
const RESPONSE: u8 = 0x04;
const TASK_MANAGEMENT: u8 = 0x05;
const READ_READY: u8 = 0x06;
const WRITE_READY: u8 = 0x07;

/// Status codes (SAM-5, table 33).
const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
const TASK_SET_FULL: u8 = 0x28;

/// The longest that is sent: a sense with its data.
pub(super) const LONGEST: usize = 16 + 18;

impl Request {
    /// Reads a unit. What is not known comes back with its tag, where it has one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Option<u16>> {
        let tag = match bytes {
            [_, _, t0, t1, ..] => u16::from_be_bytes([*t0, *t1]),
            _ => return Err(None),
        };
        let lun = bytes.get(8..16).and_then(address).ok_or(Some(tag))?;
        match bytes.first() {
            Some(&COMMAND) => {
                let command = bytes.get(16..).and_then(<[u8]>::first_chunk).copied();
                let command = command.ok_or(Some(tag))?;
                Ok(Self::Command { tag, lun, command })
            }
            Some(&TASK_MANAGEMENT) => {
                let [_, _, _, _, function, _, t0, t1, ..] = *bytes else {
                    return Err(Some(tag));
                };
                let task = u16::from_be_bytes([t0, t1]);
                Ok(Self::TaskManagement {
                    tag,
                    function,
                    task,
                    lun,
                })
            }
            _ => Err(Some(tag)),
        }
    }
}

/// `None` where there are not eight bytes.
fn address(bytes: &[u8]) -> Option<Address> {
    let [method, number, rest @ ..] = bytes else {
        return None;
    };
    let is_single = *method == 0 && rest.iter().all(|byte| *byte == 0);
    Some(if is_single { Lun::new(*number) } else { None })
}

/// To the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Report {
    ReadReady,
    WriteReady,
    Status(Result<(), Sense>),
    TaskSetFull,
    Response(Response),
}

impl Report {
    /// The unit, and how long it is.
    pub(super) fn to_bytes(self, tag: u16) -> ([u8; LONGEST], usize) {
        let mut bytes = [0; LONGEST];
        let [t0, t1] = tag.to_be_bytes();
        let (id, length) = match self {
            Self::ReadReady => (READ_READY, 4),
            Self::WriteReady => (WRITE_READY, 4),
            Self::Response(_) => (RESPONSE, 8),
            Self::TaskSetFull | Self::Status(Ok(())) => (SENSE, 16),
            Self::Status(Err(_)) => (SENSE, LONGEST),
        };
        if let Some(head) = bytes.first_chunk_mut() {
            *head = [id, 0, t0, t1];
        }
        let mut set = |at: usize, value: u8| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        };
        match self {
            Self::ReadReady | Self::WriteReady => {}
            Self::Response(code) => set(7, code as u8),
            Self::TaskSetFull => set(6, TASK_SET_FULL),
            Self::Status(Ok(())) => set(6, GOOD),
            Self::Status(Err(sense)) => {
                set(6, CHECK_CONDITION);
                let data = sense.to_fixed();
                set(15, u8::try_from(data.len()).unwrap_or(0));
                for (at, byte) in (16..).zip(data) {
                    set(at, byte);
                }
            }
        }
        (bytes, length)
    }
}
