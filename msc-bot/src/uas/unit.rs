//! The information units that are exchanged (UAS r04, clause 6).

use usb_descriptors::Direction;

use crate::{Lun, Sense};

/// From the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request {
    Command {
        tag: u16,
        attribute: u8,
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

/// How a command stands to the others of its unit (UAS r04, table 12; SAM-5, 8.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Attribute {
    Simple = 0,
    HeadOfQueue = 1,
    Ordered = 2,
}

impl Attribute {
    /// That of a code. ACA has none here: no unit ever enters that condition (NORMACA).
    pub(super) const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Simple),
            1 => Some(Self::HeadOfQueue),
            2 => Some(Self::Ordered),
            _ => None,
        }
    }
}

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
pub(super) const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
pub(super) const BUSY: u8 = 0x08;
pub(super) const TASK_SET_FULL: u8 = 0x28;

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
                // The priority above it has no meaning here.
                let attribute = bytes.get(4).map_or(0, |byte| byte & 0x07);
                Ok(Self::Command {
                    tag,
                    attribute,
                    lun,
                    command,
                })
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

impl Request {
    pub(super) const fn tag(&self) -> u16 {
        match self {
            Self::Command { tag, .. } | Self::TaskManagement { tag, .. } => *tag,
        }
    }

    /// The longest that is sent: a command.
    const LONGEST: usize = 32;

    /// The unit, and how long it is (UAS r04, tables 11 and 16).
    pub(super) fn to_bytes(self) -> ([u8; Self::LONGEST], usize) {
        let mut bytes = [0; Self::LONGEST];
        let (head, command_bytes) = bytes.split_at_mut(16);
        let (id, tag, lun, length) = match self {
            Self::Command {
                tag,
                attribute,
                lun,
                command,
            } => {
                command_bytes.copy_from_slice(&command);
                if let Some(byte) = head.get_mut(4) {
                    *byte = attribute;
                }
                (COMMAND, tag, lun, 32)
            }
            Self::TaskManagement {
                tag,
                function,
                task,
                lun,
            } => {
                let [t0, t1] = task.to_be_bytes();
                if let Some(about) = head.get_mut(4..8) {
                    about.copy_from_slice(&[function, 0, t0, t1]);
                }
                (TASK_MANAGEMENT, tag, lun, 16)
            }
        };
        let [t0, t1] = tag.to_be_bytes();
        if let Some(start) = head.first_chunk_mut() {
            *start = [id, 0, t0, t1];
        }
        if let Some(number) = head.get_mut(9) {
            *number = lun.map_or(0, Lun::get);
        }
        (bytes, length)
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

/// What a host is told of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It is to move the data of the command.
    Ready(Direction),
    /// The status code, and the sense.
    Status(u8, Option<Sense>),
    Response(u8),
}

impl Told {
    /// The longest that is read: what Linux asks for (`drivers/usb/storage/uas.c`), a sense of 96
    /// bytes.
    pub(super) const LONGEST: u32 = 16 + 96;

    /// Reads a unit with its tag; `None` where it is not known or too short.
    pub(super) fn parse(bytes: &[u8]) -> Option<(u16, Self)> {
        let [id, _, t0, t1, rest @ ..] = bytes else {
            return None;
        };
        let told = match *id {
            READ_READY => Self::Ready(Direction::In),
            WRITE_READY => Self::Ready(Direction::Out),
            SENSE => {
                let length = match bytes.get(14..16) {
                    Some([high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
                    _ => 0,
                };
                let data = bytes.get(16..).unwrap_or(&[]);
                let data = data.get(..length).unwrap_or(data);
                Self::Status(*rest.get(2)?, Sense::parse(data))
            }
            RESPONSE => Self::Response(*rest.get(3)?),
            _ => return None,
        };
        Some((u16::from_be_bytes([*t0, *t1]), told))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn requests_round_trip(
            tag: u16, task: u16, function: u8, attribute in 0u8..8, lun in 0u8..16,
            command: [u8; 16],
        ) {
            let lun = Lun::new(lun);
            for request in [
                Request::Command { tag, attribute, lun, command },
                Request::TaskManagement { tag, function, task, lun },
            ] {
                let (bytes, length) = request.to_bytes();
                prop_assert_eq!(Request::parse(&bytes[..length]), Ok(request));
            }
        }

        #[test]
        fn reports_are_told(tag: u16, key in 0u8..16, code: u8, qualifier: u8) {
            let sense = Sense::new(crate::SenseKey(key), code, qualifier);
            for (report, told) in [
                (Report::ReadReady, Told::Ready(Direction::In)),
                (Report::WriteReady, Told::Ready(Direction::Out)),
                (Report::Status(Ok(())), Told::Status(GOOD, None)),
                (Report::Status(Err(sense)), Told::Status(CHECK_CONDITION, Some(sense))),
                (Report::TaskSetFull, Told::Status(TASK_SET_FULL, None)),
                (Report::Response(Response::Succeeded), Told::Response(8)),
            ] {
                let (bytes, length) = report.to_bytes(tag);
                prop_assert_eq!(Told::parse(&bytes[..length]), Some((tag, told)));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = (Request::parse(&bytes), Told::parse(&bytes));
        }
    }
}
