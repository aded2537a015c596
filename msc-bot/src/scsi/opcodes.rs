//! REPORT SUPPORTED OPERATION CODES (SPC-4, 6.36): the table of commands, told.

use super::command::{COMMANDS, Cdb, Entry};
use super::{LogicalUnit, Sense};

/// Reporting options (SPC-4, table 306).
const ALL: u8 = 0;
const ONE_OPCODE: u8 = 1;
const ONE_SERVICE_ACTION: u8 = 2;
const ONE_OF_EITHER: u8 = 3;

/// Values of SUPPORT (SPC-4, table 311).
const NOT_SUPPORTED: u8 = 1;
const AS_THE_STANDARD_SAYS: u8 = 3;

/// A descriptor of timeouts that states none (SPC-4, table 312).
const NO_TIMEOUTS: [u8; 12] = [0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl LogicalUnit {
    pub(super) fn report_opcodes(&mut self, cdb: Cdb) -> Result<(), Sense> {
        let timeouts = cdb.bit(2, 0x80);
        let opcode = cdb.byte(3);
        let action = cdb.be16(4);
        let options = &self.options;
        let mut of_opcode = COMMANDS
            .iter()
            .filter(|entry| entry.opcode() == opcode && options.knows(entry));
        let has_actions = of_opcode
            .clone()
            .any(|entry| entry.service_action.is_some());
        let exact = of_opcode.clone().find(|entry| {
            entry
                .service_action
                .is_some_and(|each| u16::from(each) == action)
        });
        match cdb.byte(2) & 0x07 {
            ALL => self.all_opcodes(timeouts),
            ONE_OPCODE if has_actions => return Err(Sense::INVALID_FIELD),
            ONE_OPCODE => self.one_opcode(of_opcode.next(), timeouts),
            ONE_SERVICE_ACTION if !has_actions && of_opcode.next().is_some() => {
                return Err(Sense::INVALID_FIELD);
            }
            ONE_SERVICE_ACTION => self.one_opcode(exact, timeouts),
            ONE_OF_EITHER if has_actions => self.one_opcode(exact, timeouts),
            ONE_OF_EITHER => self.one_opcode(of_opcode.next().filter(|_| action == 0), timeouts),
            _ => return Err(Sense::INVALID_FIELD),
        }
        Ok(())
    }

    /// SPC-4, tables 307 and 308.
    fn all_opcodes(&mut self, timeouts: bool) {
        self.scratch.extend_from_slice(&[0; 4]);
        let options = &self.options;
        for entry in COMMANDS.iter().filter(|entry| options.knows(entry)) {
            let action = entry.service_action.unwrap_or(0);
            // SERVACTV, and CTDP: a descriptor of timeouts follows.
            let flags = u8::from(entry.service_action.is_some()) | u8::from(timeouts) << 1;
            let length = u8::try_from(entry.usage.len()).unwrap_or(0);
            let descriptor = [entry.opcode(), 0, 0, action, 0, flags, 0, length];
            self.scratch.extend_from_slice(&descriptor);
            if timeouts {
                self.scratch.extend_from_slice(&NO_TIMEOUTS);
            }
        }
        let length = u32::try_from(self.scratch.len().saturating_sub(4)).unwrap_or(0);
        if let Some(field) = self.scratch.first_chunk_mut() {
            *field = length.to_be_bytes();
        }
    }

    /// SPC-4, table 310.
    fn one_opcode(&mut self, entry: Option<&Entry>, timeouts: bool) {
        let Some(entry) = entry else {
            return self.scratch.extend_from_slice(&[0, NOT_SUPPORTED, 0, 0]);
        };
        let flags = AS_THE_STANDARD_SAYS | u8::from(timeouts) << 7;
        let length = u8::try_from(entry.usage.len()).unwrap_or(0);
        self.scratch.extend_from_slice(&[0, flags, 0, length]);
        self.scratch.extend_from_slice(entry.usage);
        if timeouts {
            self.scratch.extend_from_slice(&NO_TIMEOUTS);
        }
    }
}
