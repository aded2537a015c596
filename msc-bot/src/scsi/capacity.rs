//! How large the unit is, and which units there are.

use super::command::Cdb;
use super::{LogicalUnit, Sense};

/// Descriptor types of READ FORMAT CAPACITIES (MMC-6, table 472).
const FORMATTED: u8 = 0x02;
const NO_MEDIUM: u8 = 0x03;

impl LogicalUnit {
    /// READ CAPACITY(10) (SBC-3, 5.15): the last block, clamped, and the block size.
    pub(super) fn read_capacity_10(&mut self, cdb: Cdb) -> Result<(), Sense> {
        self.medium.check()?;
        // An address means something only with PMI.
        if !cdb.bit(8, 0x01) && cdb.be32(2) != 0 {
            return Err(Sense::INVALID_FIELD);
        }
        let last = u32::try_from(self.last_block()).unwrap_or(u32::MAX);
        self.scratch.extend_from_slice(&last.to_be_bytes());
        let size = self.options.block_size.get();
        self.scratch.extend_from_slice(&size.to_be_bytes());
        Ok(())
    }

    /// READ CAPACITY(16) (SBC-3, 5.16): last block and block size, and whether blocks can be given
    /// back and then read as zeros (LBPME, LBPRZ).
    pub(super) fn read_capacity_16(&mut self, cdb: Cdb) -> Result<(), Sense> {
        self.medium.check()?;
        if !cdb.bit(14, 0x01) && cdb.be64(2) != 0 {
            return Err(Sense::INVALID_FIELD);
        }
        let last = self.last_block();
        self.scratch.extend_from_slice(&last.to_be_bytes());
        let size = self.options.block_size.get();
        self.scratch.extend_from_slice(&size.to_be_bytes());
        let provisioning = if self.options.discard { 0xc0 } else { 0 };
        self.scratch.extend_from_slice(&[0, 0, provisioning]);
        self.scratch.resize(32, 0);
        Ok(())
    }

    /// READ FORMAT CAPACITIES (MMC-6, 6.24), with which Windows begins. It works without a
    /// medium.
    pub(super) fn read_format_capacities(&mut self) {
        let blocks = u32::try_from(self.options.blocks).unwrap_or(u32::MAX);
        let kind = match self.medium.check() {
            Ok(()) => FORMATTED,
            Err(_) => NO_MEDIUM,
        };
        self.scratch.extend_from_slice(&[0, 0, 0, 8]);
        self.scratch.extend_from_slice(&blocks.to_be_bytes());
        // 24 bits of block length, below the descriptor type.
        let [_, s0, s1, s2] = self.options.block_size.get().to_be_bytes();
        self.scratch.extend_from_slice(&[kind, s0, s1, s2]);
    }

    /// REPORT LUNS (SPC-4, 6.33). There are no well-known units.
    pub(super) fn report_luns(&mut self, cdb: Cdb) -> Result<(), Sense> {
        let units = match cdb.byte(2) {
            0x00 | 0x02 => self.units,
            0x01 => 0,
            _ => return Err(Sense::INVALID_FIELD),
        };
        let length = u32::from(units).saturating_mul(8);
        self.scratch.extend_from_slice(&length.to_be_bytes());
        self.scratch.extend_from_slice(&[0; 4]);
        for number in 0..units {
            // Peripheral device addressing (SAM-5, 4.7.7.2).
            self.scratch
                .extend_from_slice(&[0, number, 0, 0, 0, 0, 0, 0]);
        }
        Ok(())
    }

    fn last_block(&self) -> u64 {
        self.options.blocks.saturating_sub(1)
    }
}
