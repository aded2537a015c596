//! The wrappers around a command and its status.

use usb_descriptors::Direction;
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "USBC" (BOT 1.0, 5.1).
const COMMAND_SIGNATURE: u32 = 0x4342_5355;
/// "USBS" (BOT 1.0, 5.2).
const STATUS_SIGNATURE: u32 = 0x5342_5355;

/// Command Block Wrapper (BOT 1.0, table 5.1).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CommandLayout {
    signature: U32,
    tag: U32,
    data_length: U32,
    flags: u8,
    lun: u8,
    command_length: u8,
    command: [u8; 16],
}

/// Command Status Wrapper (BOT 1.0, table 5.2).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StatusLayout {
    signature: U32,
    tag: U32,
    residue: U32,
    status: u8,
}

/// A command with its data phase as the host expects it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CommandWrapper {
    pub(crate) tag: u32,
    /// Bytes of the data phase.
    pub(crate) data_length: u32,
    /// Which way they go; without meaning if there are none.
    pub(crate) direction: Direction,
    pub(crate) lun: u8,
    /// 1–16 in a meaningful wrapper.
    pub(crate) command_length: u8,
    pub(crate) command: [u8; 16],
}

impl CommandWrapper {
    pub(crate) const LENGTH: usize = size_of::<CommandLayout>();

    /// Reads a wrapper that is valid: of the right length and signature (BOT 1.0, 6.2.1).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let layout = CommandLayout::ref_from_bytes(bytes).ok()?;
        (layout.signature.get() == COMMAND_SIGNATURE).then(|| Self {
            tag: layout.tag.get(),
            data_length: layout.data_length.get(),
            direction: Direction::from_bit_7(layout.flags),
            lun: layout.lun & 0x0f,
            command_length: layout.command_length & 0x1f,
            command: layout.command,
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LENGTH] {
        zerocopy::transmute!(CommandLayout {
            signature: U32::new(COMMAND_SIGNATURE),
            tag: U32::new(self.tag),
            data_length: U32::new(self.data_length),
            flags: self.direction.bit_7(),
            lun: self.lun,
            command_length: self.command_length,
            command: self.command,
        })
    }

    /// The command without what stands behind it. `None` where its length is not 1–16: valid but
    /// not meaningful (BOT 1.0, 6.2.2).
    pub(crate) fn sent(&self) -> Option<&[u8]> {
        let sent = self.command.get(..usize::from(self.command_length))?;
        (!sent.is_empty()).then_some(sent)
    }
}

/// How a command ended (BOT 1.0, table 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CommandStatus {
    Passed,
    Failed,
    /// Host and device did not mean the same data phase.
    PhaseError,
}

/// The status of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StatusWrapper {
    pub(crate) tag: u32,
    /// Bytes of the data phase that did not count.
    pub(crate) residue: u32,
    pub(crate) status: CommandStatus,
}

impl StatusWrapper {
    pub(crate) const LENGTH: usize = size_of::<StatusLayout>();

    /// Reads a wrapper that is valid, but for its tag (BOT 1.0, 6.3.1); a status code that is
    /// reserved makes it invalid.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let layout = StatusLayout::ref_from_bytes(bytes).ok()?;
        let status = match layout.status {
            0 => CommandStatus::Passed,
            1 => CommandStatus::Failed,
            2 => CommandStatus::PhaseError,
            _ => return None,
        };
        (layout.signature.get() == STATUS_SIGNATURE).then(|| Self {
            tag: layout.tag.get(),
            residue: layout.residue.get(),
            status,
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LENGTH] {
        zerocopy::transmute!(StatusLayout {
            signature: U32::new(STATUS_SIGNATURE),
            tag: U32::new(self.tag),
            residue: U32::new(self.residue),
            status: match self.status {
                CommandStatus::Passed => 0,
                CommandStatus::Failed => 1,
                CommandStatus::PhaseError => 2,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn commands_round_trip(
            tag: u32, data_length: u32, input: bool, lun in 0u8..16, length in 1u8..=16,
            command: [u8; 16],
        ) {
            let direction = if input { Direction::In } else { Direction::Out };
            let command_length = length;
            let wrapper =
                CommandWrapper { tag, data_length, direction, lun, command_length, command };
            let bytes = wrapper.to_bytes();
            prop_assert_eq!(CommandWrapper::parse(&bytes), Some(wrapper));
            prop_assert_eq!(wrapper.sent(), command.get(..usize::from(length)));
            prop_assert_eq!(CommandWrapper::parse(&bytes[..30]), None);
        }

        #[test]
        fn statuses_round_trip(tag: u32, residue: u32, status in 0usize..3) {
            let status =
                [CommandStatus::Passed, CommandStatus::Failed, CommandStatus::PhaseError][status];
            let wrapper = StatusWrapper { tag, residue, status };
            prop_assert_eq!(StatusWrapper::parse(&wrapper.to_bytes()), Some(wrapper));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: [u8; 31]) {
            let _ = CommandWrapper::parse(&bytes).as_ref().map(CommandWrapper::sent);
            let _ = StatusWrapper::parse(&bytes[..13]);
        }
    }

    #[test]
    fn layouts_are_as_the_tables_say() {
        let read = CommandWrapper {
            tag: 0x0403_0201,
            data_length: 512,
            direction: Direction::In,
            lun: 2,
            command_length: 10,
            command: [0x28; 16],
        };
        let bytes = read.to_bytes();
        assert_eq!(&bytes[..15], b"USBC\x01\x02\x03\x04\0\x02\0\0\x80\x02\x0a");
        let status = StatusWrapper {
            tag: 0x0403_0201,
            residue: 36,
            status: CommandStatus::PhaseError,
        };
        assert_eq!(&status.to_bytes(), b"USBS\x01\x02\x03\x04\x24\0\0\0\x02");
        let mut reserved = status.to_bytes();
        reserved[12] = 3;
        assert_eq!(StatusWrapper::parse(&reserved), None);
    }

    #[test]
    fn a_command_length_of_none_or_more_than_16_means_nothing() {
        let mut bytes = [0; 31];
        bytes[..4].copy_from_slice(b"USBC");
        for length in [0, 17, 31] {
            bytes[14] = length;
            assert_eq!(CommandWrapper::parse(&bytes).unwrap().sent(), None);
        }
    }
}
