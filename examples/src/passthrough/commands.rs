//! Which commands of a disk leave its medium as it is, and where it is.

use usb_descriptors::Direction;

/// A SCSI command in its wrapper (BOT 1.0, 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Command {
    pub(super) tag: u32,
    /// Bytes of the data phase.
    pub(super) length: u32,
    pub(super) direction: Direction,
    block: [u8; 16],
}

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It may reach the device.
    Passes,
    /// The disk says instead why not.
    Refused(Refusal),
}

/// Sense key and additional sense code (SPC-4, 4.5.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    key: u8,
    code: u8,
}

/// DATA PROTECT, WRITE PROTECTED.
const WRITE_PROTECTED: Refusal = Refusal {
    key: 0x07,
    code: 0x27,
};
/// ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE.
const NO_SUCH_COMMAND: Refusal = Refusal {
    key: 0x05,
    code: 0x20,
};

/// ILLEGAL REQUEST, INVALID FIELD IN CDB.
const NO_SUCH_WAY: Refusal = Refusal {
    key: 0x05,
    code: 0x24,
};

/// Bytes of a wrapper.
const LENGTH: usize = 31;
/// "USBC" (BOT 1.0, table 5.1).
const SIGNATURE: [u8; 4] = *b"USBC";
/// "USBS" (BOT 1.0, table 5.2).
const STATUS_SIGNATURE: [u8; 4] = *b"USBS";

/// Operation codes (SPC-4, annex E.2; MMC-6, table 237).
mod code {
    pub(super) const TEST_UNIT_READY: u8 = 0x00;
    pub(super) const REQUEST_SENSE: u8 = 0x03;
    pub(super) const FORMAT_UNIT: u8 = 0x04;
    pub(super) const READ_6: u8 = 0x08;
    pub(super) const WRITE_6: u8 = 0x0a;
    pub(super) const INQUIRY: u8 = 0x12;
    pub(super) const MODE_SENSE_6: u8 = 0x1a;
    pub(super) const START_STOP_UNIT: u8 = 0x1b;
    pub(super) const READ_FORMAT_CAPACITIES: u8 = 0x23;
    pub(super) const READ_CAPACITY_10: u8 = 0x25;
    pub(super) const READ_10: u8 = 0x28;
    pub(super) const WRITE_10: u8 = 0x2a;
    pub(super) const SEEK_10: u8 = 0x2b;
    pub(super) const WRITE_AND_VERIFY_10: u8 = 0x2e;
    pub(super) const VERIFY_10: u8 = 0x2f;
    pub(super) const PRE_FETCH_10: u8 = 0x34;
    pub(super) const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub(super) const WRITE_LONG_10: u8 = 0x3f;
    pub(super) const WRITE_SAME_10: u8 = 0x41;
    pub(super) const UNMAP: u8 = 0x42;
    pub(super) const READ_TOC: u8 = 0x43;
    pub(super) const GET_CONFIGURATION: u8 = 0x46;
    pub(super) const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
    pub(super) const LOG_SENSE: u8 = 0x4d;
    pub(super) const READ_DISC_INFORMATION: u8 = 0x51;
    pub(super) const READ_TRACK_INFORMATION: u8 = 0x52;
    pub(super) const MODE_SENSE_10: u8 = 0x5a;
    pub(super) const READ_16: u8 = 0x88;
    pub(super) const COMPARE_AND_WRITE: u8 = 0x89;
    pub(super) const WRITE_16: u8 = 0x8a;
    pub(super) const WRITE_AND_VERIFY_16: u8 = 0x8e;
    pub(super) const VERIFY_16: u8 = 0x8f;
    pub(super) const PRE_FETCH_16: u8 = 0x90;
    pub(super) const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub(super) const WRITE_SAME_16: u8 = 0x93;
    pub(super) const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub(super) const REPORT_LUNS: u8 = 0xa0;
    pub(super) const MAINTENANCE_IN: u8 = 0xa3;
    pub(super) const READ_12: u8 = 0xa8;
    pub(super) const WRITE_12: u8 = 0xaa;
    pub(super) const GET_PERFORMANCE: u8 = 0xac;
    pub(super) const READ_DISC_STRUCTURE: u8 = 0xad;
    pub(super) const WRITE_AND_VERIFY_12: u8 = 0xae;
    pub(super) const VERIFY_12: u8 = 0xaf;
    pub(super) const MECHANISM_STATUS: u8 = 0xbd;
    pub(super) const READ_CD: u8 = 0xbe;
}

impl Command {
    /// Reads a wrapper. `None`: it is none (BOT 1.0, 6.2.1).
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (signature, rest) = bytes.split_first_chunk()?;
        let (&tag, rest) = rest.split_first_chunk()?;
        let (&length, rest) = rest.split_first_chunk()?;
        let (&[flags, _lun, _length], rest) = rest.split_first_chunk()?;
        (*signature == SIGNATURE).then_some(Self {
            tag: u32::from_le_bytes(tag),
            length: u32::from_le_bytes(length),
            direction: Direction::from_bit_7(flags),
            block: *rest.first_chunk()?,
        })
    }

    /// What is known not to change the medium passes, and only that. Nothing that passes has data
    /// for the device, so that data is never taken for a command.
    pub(super) fn verdict(&self) -> Verdict {
        let sends_data = self.length > 0 && self.direction == Direction::Out;
        if self.leaves_medium() && !sends_data {
            Verdict::Passes
        } else {
            Verdict::Refused(self.refusal())
        }
    }

    fn leaves_medium(&self) -> bool {
        let service_action = self.block[1] & 0x1f;
        match self.block[0] {
            code::TEST_UNIT_READY
            | code::REQUEST_SENSE
            | code::READ_6
            | code::INQUIRY
            | code::MODE_SENSE_6
            | code::READ_FORMAT_CAPACITIES
            | code::READ_CAPACITY_10
            | code::READ_10
            | code::SEEK_10
            | code::VERIFY_10
            | code::PRE_FETCH_10
            | code::SYNCHRONIZE_CACHE_10
            | code::READ_TOC
            | code::GET_CONFIGURATION
            | code::GET_EVENT_STATUS_NOTIFICATION
            | code::LOG_SENSE
            | code::READ_DISC_INFORMATION
            | code::READ_TRACK_INFORMATION
            | code::MODE_SENSE_10
            | code::READ_16
            | code::VERIFY_16
            | code::PRE_FETCH_16
            | code::SYNCHRONIZE_CACHE_16
            | code::REPORT_LUNS
            | code::READ_12
            | code::GET_PERFORMANCE
            | code::READ_DISC_STRUCTURE
            | code::VERIFY_12
            | code::MECHANISM_STATUS
            | code::READ_CD => true,
            code::START_STOP_UNIT => self.starts(),
            // READ CAPACITY (16) and GET LBA STATUS (SBC-3, 5.16 and 5.9).
            code::SERVICE_ACTION_IN_16 => matches!(service_action, 0x10 | 0x12),
            // REPORT SUPPORTED OPERATION CODES and the same of task management functions (SPC-4,
            // 6.35 and 6.36).
            code::MAINTENANCE_IN => matches!(service_action, 0x0c | 0x0d),
            _ => false,
        }
    }

    /// Whether START STOP UNIT makes the medium ready and no more: an ejected or stopped medium
    /// would be away, and one that PREVENT ALLOW MEDIUM REMOVAL keeps would stay in, when who asked has
    /// left (SBC-3, 5.25; SPC-4, 6.20).
    const fn starts(&self) -> bool {
        const START: u8 = 0x01;
        const NO_FLUSH: u8 = 0x04;
        self.block[4] & !NO_FLUSH == START
    }

    const fn refusal(&self) -> Refusal {
        match self.block[0] {
            code::START_STOP_UNIT => NO_SUCH_WAY,
            code::FORMAT_UNIT
            | code::WRITE_6
            | code::WRITE_10
            | code::WRITE_AND_VERIFY_10
            | code::WRITE_LONG_10
            | code::WRITE_SAME_10
            | code::UNMAP
            | code::COMPARE_AND_WRITE
            | code::WRITE_16
            | code::WRITE_AND_VERIFY_16
            | code::WRITE_SAME_16
            | code::WRITE_12
            | code::WRITE_AND_VERIFY_12 => WRITE_PROTECTED,
            _ => NO_SUCH_COMMAND,
        }
    }

    /// The most sense data that is wanted, if that is the command.
    pub(super) fn sense_wanted(&self) -> Option<u8> {
        (self.block[0] == code::REQUEST_SENSE).then_some(self.block[4])
    }

    /// Which byte of the answer has the bit WP (SBC-3, 6.4.1), if one has.
    pub(super) const fn place_of_protection(&self) -> Option<usize> {
        match self.block[0] {
            code::MODE_SENSE_6 => Some(2),
            code::MODE_SENSE_10 => Some(3),
            _ => None,
        }
    }

    /// The status of the command: how many bytes did not go, and whether it is good.
    pub(super) fn status(&self, residue: u32, is_good: bool) -> [u8; 13] {
        let mut status = [0; 13];
        status[..4].copy_from_slice(&STATUS_SIGNATURE);
        status[4..8].copy_from_slice(&self.tag.to_le_bytes());
        status[8..12].copy_from_slice(&residue.to_le_bytes());
        status[12] = u8::from(!is_good);
        status
    }
}

impl Refusal {
    /// Sense data of fixed format (SPC-4, 4.5.3).
    pub(super) const fn sense(self) -> [u8; 18] {
        let mut sense = [0; 18];
        sense[0] = 0x70;
        sense[2] = self.key;
        // What follows.
        sense[7] = 10;
        sense[12] = self.code;
        sense
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(flags: u8, length: u32, block: &[u8]) -> Command {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(b"USBC");
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[12] = flags;
        bytes[15..15 + block.len()].copy_from_slice(block);
        Command::read(&bytes).unwrap()
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let passes = |block: &[u8]| command(0x80, 512, block).verdict() == Verdict::Passes;
        let known = (0..=255).filter(|&code| passes(&[code])).count();
        assert_eq!(known, 30);
        assert!(passes(&[0x9e, 0x10]) && !passes(&[0x9e, 0x11]));
        assert!(passes(&[0xa3, 0x0c]) && !passes(&[0xa3, 0x0a]));
        // ATA PASS-THROUGH, and a vendor's command.
        for code in [0x85, 0xa1, 0xc6, 0xff] {
            let verdict = command(0x80, 512, &[code]).verdict();
            assert_eq!(verdict, Verdict::Refused(NO_SUCH_COMMAND), "{code:x}");
        }
    }

    #[test]
    fn the_medium_stays_as_ready_as_it_is() {
        let verdict = |block: &[u8]| command(0, 0, block).verdict();
        assert_eq!(verdict(&[0x1b, 0, 0, 0, 1]), Verdict::Passes);
        // Stopped, ejected, loaded, asleep.
        for how in [0x00, 0x02, 0x03, 0x31] {
            let refused = Verdict::Refused(NO_SUCH_WAY);
            assert_eq!(verdict(&[0x1b, 0, 0, 0, how]), refused, "{how:x}");
        }
        for keep in [0, 1] {
            let refused = Verdict::Refused(NO_SUCH_COMMAND);
            assert_eq!(verdict(&[0x1e, 0, 0, 0, keep]), refused);
        }
    }

    #[test]
    fn writes_are_of_a_protected_disk_and_nothing_with_data_passes() {
        for code in [
            0x04, 0x0a, 0x2a, 0x2e, 0x3f, 0x41, 0x42, 0x89, 0x8a, 0x8e, 0x93, 0xaa, 0xae,
        ] {
            for flags in [0x00, 0x80] {
                let verdict = command(flags, 512, &[code]).verdict();
                assert_eq!(verdict, Verdict::Refused(WRITE_PROTECTED), "{code:x}");
            }
        }
        for code in 0..=255 {
            let verdict = command(0x00, 1, &[code]).verdict();
            assert!(matches!(verdict, Verdict::Refused(_)), "{code:x}");
        }
    }

    #[test]
    fn a_wrapper_is_31_bytes_with_its_signature() {
        let mut bytes = [0; LENGTH];
        assert_eq!(Command::read(&bytes), None);
        bytes[..4].copy_from_slice(b"USBC");
        assert!(Command::read(&bytes).is_some());
        assert_eq!(Command::read(&bytes[..30]), None);
        assert_eq!(Command::read(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
