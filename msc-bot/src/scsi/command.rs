//! Which commands there are, and the fields of their blocks.

/// A command descriptor block. Bytes that were not sent are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cdb([u8; 16]);

impl Cdb {
    /// Takes the first 16 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut cdb = [0; 16];
        for (to, from) in cdb.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(cdb)
    }

    /// SCSI-2 had the unit's number in bits 7..5 of byte 1, and EDK2 still puts it there
    /// (`UsbMassBoot.c`). Newer commands have PROTECT there, which means something else, but of
    /// which only 0 is supported: so the right number is taken for 0.
    pub(crate) fn without_lun(mut self, lun: u8) -> Self {
        if let Some(byte) = self.0.get_mut(1) {
            if *byte >> 5 == lun {
                *byte &= 0x1f;
            }
        }
        self
    }

    pub(crate) fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// Any of the bits of a byte.
    pub(crate) fn bit(self, at: usize, mask: u8) -> bool {
        self.byte(at) & mask != 0
    }

    pub(crate) fn be16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    pub(crate) fn be32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    pub(crate) fn be64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.array(at))
    }

    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        let field = self.0.get(at..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }
}

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    TestUnitReady,
    RequestSense,
    Inquiry,
    ModeSelect6,
    ModeSelect10,
    ModeSense6,
    ModeSense10,
    StartStopUnit,
    PreventAllow,
    ReadFormatCapacities,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    ReportOpcodes,
    Read(Form),
    Write(Form),
    WriteAndVerify(Form),
    Verify(Form),
    CompareAndWrite,
    WriteSame(Form),
    Unmap,
    PreFetch(Form),
    SynchronizeCache(Form),
    ReadToc,
    GetConfiguration,
    GetEventStatus,
    ReadDiscInformation,
    ReadTrackInformation,
    ReadDiscStructure,
    MechanismStatus,
    ReadCd,
    ReadCdMsf,
}

/// Where address and count of blocks stand (SBC-3, tables of READ(6), (10), (12), (16)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Six,
    Ten,
    Twelve,
    Sixteen,
}

impl Form {
    /// First block and how many.
    pub(crate) fn blocks(self, cdb: Cdb) -> (u64, u64) {
        match self {
            Self::Six => {
                let lba = cdb.be32(0) & 0x001f_ffff;
                let count = match cdb.byte(4) {
                    0 => 256,
                    count => u64::from(count),
                };
                (u64::from(lba), count)
            }
            Self::Ten => (u64::from(cdb.be32(2)), u64::from(cdb.be16(7))),
            Self::Twelve => (u64::from(cdb.be32(2)), u64::from(cdb.be32(6))),
            Self::Sixteen => (cdb.be64(2), u64::from(cdb.be32(10))),
        }
    }

    /// Byte 1, bit 3: past the cache. The six-byte form has none.
    pub(crate) fn force_unit_access(self, cdb: Cdb) -> bool {
        self != Self::Six && cdb.bit(1, 0x08)
    }
}

/// Which units know a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    All,
    Disk,
    /// Disks that give blocks back.
    Discarding,
    /// Disks that do not.
    Keeping,
    /// Units whose medium the host may lock in.
    Lockable,
    Cd,
}

/// A command that the unit knows.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) command: Command,
    pub(crate) scope: Scope,
    /// Bits 4..0 of byte 1, for opcodes that have them as a second one.
    pub(crate) service_action: Option<u8>,
    /// The opcode (or opcode and service action), then the bits of each byte that may be set:
    /// the "CDB usage data" of REPORT SUPPORTED OPERATION CODES (SPC-4, 6.36.3). As long as the
    /// command.
    pub(crate) usage: &'static [u8],
}

impl Entry {
    pub(crate) fn opcode(&self) -> u8 {
        self.usage.first().copied().unwrap_or(0)
    }

    /// Whether no bit is set that has no meaning here.
    pub(crate) fn permits(&self, cdb: Cdb) -> bool {
        let mut used = self.usage.iter().enumerate().skip(1);
        used.all(|(at, mask)| cdb.byte(at) & !mask == 0)
    }
}

const fn entry(command: Command, usage: &'static [u8]) -> Entry {
    Entry {
        command,
        scope: Scope::All,
        service_action: None,
        usage,
    }
}

const fn only(scope: Scope, command: Command, usage: &'static [u8]) -> Entry {
    Entry {
        command,
        scope,
        service_action: None,
        usage,
    }
}

const fn service(command: Command, action: u8, usage: &'static [u8]) -> Entry {
    Entry {
        command,
        scope: Scope::All,
        service_action: Some(action),
        usage,
    }
}

/// All commands, in ascending order. What is not here is answered "invalid operation code".
///
/// SPC-4, clause 6, and SBC-3, clause 5; READ FORMAT CAPACITIES is of MMC-6, 6.24. DPO (byte 1,
/// bit 4), group numbers, PRE-FETCH and IMMED are taken and change nothing: there is no cache of
/// ours to steer, and an early status would say less. Reservations are for units with more than
/// one host: PERSISTENT RESERVE IN and OUT are no operation codes here (SPC-4, 5.12.1).
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Entry] = &[
    entry(Command::TestUnitReady, &[0x00, 0, 0, 0, 0, 0]),
    entry(Command::RequestSense, &[0x03, 0x01, 0, 0, 0xff, 0]),
    entry(Command::Read(Form::Six), &[0x08, 0x1f, 0xff, 0xff, 0xff, 0]),
    only(Scope::Disk, Command::Write(Form::Six), &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0]),
    entry(Command::Inquiry, &[0x12, 0x01, 0xff, 0xff, 0xff, 0]),
    entry(Command::ModeSelect6, &[0x15, 0x11, 0, 0, 0xff, 0]),
    entry(Command::ModeSense6, &[0x1a, 0x08, 0xff, 0xff, 0xff, 0]),
    entry(Command::StartStopUnit, &[0x1b, 0x01, 0, 0x0f, 0xf7, 0]),
    only(Scope::Lockable, Command::PreventAllow, &[0x1e, 0, 0, 0, 0x03, 0]),
    entry(Command::ReadFormatCapacities, &[0x23, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0]),
    entry(Command::ReadCapacity10, &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0]),
    entry(Command::Read(Form::Ten),
        &[0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Disk, Command::Write(Form::Ten),
        &[0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Disk, Command::WriteAndVerify(Form::Ten),
        &[0x2e, 0x12, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    entry(Command::Verify(Form::Ten),
        &[0x2f, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Disk, Command::PreFetch(Form::Ten),
        &[0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    entry(Command::SynchronizeCache(Form::Ten),
        &[0x35, 0x06, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Keeping, Command::WriteSame(Form::Ten),
        &[0x41, 0, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Discarding, Command::WriteSame(Form::Ten),
        &[0x41, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Discarding, Command::Unmap, &[0x42, 0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0]),
    only(Scope::Cd, Command::ReadToc,
        &[0x43, 0x02, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff, 0xc0]),
    only(Scope::Cd, Command::GetConfiguration,
        &[0x46, 0x03, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0]),
    only(Scope::Cd, Command::GetEventStatus,
        &[0x4a, 0x01, 0, 0, 0xff, 0, 0, 0xff, 0xff, 0]),
    only(Scope::Cd, Command::ReadDiscInformation, &[0x51, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0]),
    only(Scope::Cd, Command::ReadTrackInformation,
        &[0x52, 0x03, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0]),
    entry(Command::ModeSelect10, &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0]),
    entry(Command::ModeSense10, &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0]),
    entry(Command::Read(Form::Sixteen), &[0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Disk, Command::CompareAndWrite, &[0x89, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0, 0, 0, 0xff, 0x1f, 0]),
    only(Scope::Disk, Command::Write(Form::Sixteen), &[0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Disk, Command::WriteAndVerify(Form::Sixteen), &[0x8e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    entry(Command::Verify(Form::Sixteen), &[0x8f, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Disk, Command::PreFetch(Form::Sixteen), &[0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    entry(Command::SynchronizeCache(Form::Sixteen), &[0x91, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Keeping, Command::WriteSame(Form::Sixteen), &[0x93, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Discarding, Command::WriteSame(Form::Sixteen), &[0x93, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    service(Command::ReadCapacity16, 0x10, &[0x9e, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0]),
    entry(Command::ReportLuns, &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]),
    service(Command::ReportOpcodes, 0x0c,
        &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]),
    entry(Command::Read(Form::Twelve),
        &[0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Disk, Command::Write(Form::Twelve),
        &[0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Cd, Command::ReadDiscStructure,
        &[0xad, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]),
    only(Scope::Disk, Command::WriteAndVerify(Form::Twelve),
        &[0xae, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    entry(Command::Verify(Form::Twelve),
        &[0xaf, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]),
    only(Scope::Cd, Command::ReadCdMsf,
        &[0xb9, 0x1c, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 0]),
    only(Scope::Cd, Command::MechanismStatus,
        &[0xbd, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]),
    only(Scope::Cd, Command::ReadCd,
        &[0xbe, 0x1c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 0]),
];

/// Why a block names no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unknown {
    Opcode,
    ServiceAction,
}

/// Finds the command of a block among those that `knows` lets pass.
pub(crate) fn find(cdb: Cdb, knows: impl Fn(&Entry) -> bool) -> Result<&'static Entry, Unknown> {
    let opcode = cdb.byte(0);
    let mut unknown = Unknown::Opcode;
    let first = COMMANDS.partition_point(|entry| entry.opcode() < opcode);
    let entries = COMMANDS.get(first..).unwrap_or(&[]);
    for entry in entries.iter().take_while(|entry| entry.opcode() == opcode) {
        if knows(entry) {
            match entry.service_action {
                Some(action) if action != cdb.byte(1) & 0x1f => unknown = Unknown::ServiceAction,
                _ => return Ok(entry),
            }
        }
    }
    Err(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_lengths_follow_the_opcodes_group() {
        // SPC-4, 4.2.5.1: the high three bits of an opcode say the length.
        for entry in COMMANDS {
            let length = match entry.opcode() >> 5 {
                0 => 6,
                1 | 2 => 10,
                4 => 16,
                5 => 12,
                _ => panic!("{entry:?}"),
            };
            assert_eq!(entry.usage.len(), length, "{entry:?}");
            // But for where macOS puts something.
            let control = entry.usage[length - 1] & 0x3f;
            assert_eq!(control, 0, "the control byte");
            if let Some(action) = entry.service_action {
                assert_eq!(entry.usage[1], action);
            }
        }
        for pair in COMMANDS.windows(2) {
            let key = |entry: &Entry| (entry.opcode(), entry.service_action);
            let scopes = (pair[0].scope, pair[1].scope);
            // One of which no unit knows both.
            let is_other = scopes == (Scope::Keeping, Scope::Discarding);
            assert!(key(&pair[0]) < key(&pair[1]) || is_other && key(&pair[0]) == key(&pair[1]));
        }
    }

    #[test]
    fn every_form_says_where_and_how_much() {
        let six = Cdb::new(&[0x08, 0xff, 0x12, 0x34, 0, 0]);
        assert_eq!(Form::Six.blocks(six), (0x1f_1234, 256));
        let ten = Cdb::new(&[0x28, 8, 1, 2, 3, 4, 9, 0, 7, 0]);
        assert_eq!(Form::Ten.blocks(ten), (0x0102_0304, 7));
        assert!(Form::Ten.force_unit_access(ten));
        let twelve = Cdb::new(&[0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Form::Twelve.blocks(twelve), (0x0102_0304, 0x0506_0708));
        let sixteen = Cdb::new(&[0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let expected = (0x0102_0304_0506_0708, 0x090a_0b0c);
        assert_eq!(Form::Sixteen.blocks(sixteen), expected);
        assert!(!Form::Six.force_unit_access(Cdb::new(&[0x08, 0x08])));
    }

    #[test]
    fn the_old_place_of_the_unit_is_forgiven() {
        let read = |byte| Cdb::new(&[0x28, byte]).without_lun(2);
        assert_eq!(read(2 << 5 | 8).byte(1), 8);
        assert_eq!(read(3 << 5).byte(1), 3 << 5);
    }
}
