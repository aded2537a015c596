//! INQUIRY: what the unit is, and its vital product data (SPC-4, 6.6 and 7.8).

use super::command::Cdb;
use super::{LogicalUnit, Sense};

/// Peripheral device type of a disk (SPC-4, table 144).
const DISK: u8 = 0x00;
/// Qualifier 011b and type 1Fh: no such unit (SPC-4, table 143).
const NO_UNIT: u8 = 0x7f;
/// SPC-4 (SPC-4, table 145).
const VERSION: u8 = 0x06;
/// The layout that all revisions since SCSI-2 have.
const RESPONSE_FORMAT: u8 = 0x02;

/// Pages of vital product data (SPC-4, table 595; SBC-3, table 199).
const SUPPORTED_PAGES: u8 = 0x00;
const UNIT_SERIAL_NUMBER: u8 = 0x80;
const DEVICE_IDENTIFICATION: u8 = 0x83;
const BLOCK_LIMITS: u8 = 0xb0;
const BLOCK_DEVICE_CHARACTERISTICS: u8 = 0xb1;

const PAGES: [u8; 5] = [
    SUPPORTED_PAGES,
    UNIT_SERIAL_NUMBER,
    DEVICE_IDENTIFICATION,
    BLOCK_LIMITS,
    BLOCK_DEVICE_CHARACTERISTICS,
];

impl LogicalUnit {
    /// The answer of a unit number behind which there is nothing.
    pub(super) fn absent_inquiry(&mut self) {
        let header = [NO_UNIT, 0, VERSION, RESPONSE_FORMAT, 31, 0, 0, 0];
        self.scratch.extend_from_slice(&header);
        self.scratch.resize(36, b' ');
    }

    pub(super) fn inquiry(&mut self, cdb: Cdb) -> Result<(), Sense> {
        let page = cdb.byte(2);
        if cdb.bit(1, 0x01) {
            return self.vital_product_data(page);
        }
        if page != 0 {
            return Err(Sense::INVALID_FIELD);
        }
        let removable = u8::from(self.options.removable) << 7;
        // 36 bytes: what every host asks for, with which no host can ask for less than it gets.
        let header = [DISK, removable, VERSION, RESPONSE_FORMAT, 31, 0, 0, 0];
        self.scratch.extend_from_slice(&header);
        self.scratch.extend_from_slice(&self.options.vendor);
        self.scratch.extend_from_slice(&self.options.product);
        self.scratch.extend_from_slice(&self.options.revision);
        Ok(())
    }

    fn vital_product_data(&mut self, page: u8) -> Result<(), Sense> {
        self.scratch.extend_from_slice(&[DISK, page, 0, 0]);
        match page {
            SUPPORTED_PAGES => self.scratch.extend_from_slice(&PAGES),
            // Without a number, spaces (SPC-4, 7.8.15): hosts want the page.
            UNIT_SERIAL_NUMBER if self.options.serial.is_empty() => {
                self.scratch.extend_from_slice(&[b' '; 8]);
            }
            UNIT_SERIAL_NUMBER => self
                .scratch
                .extend_from_slice(self.options.serial.as_bytes()),
            DEVICE_IDENTIFICATION => self.designators(),
            BLOCK_LIMITS => {
                // Lengths in blocks: none is the largest that a read or write may have.
                let mut body = [0; 60];
                // Granularity: one block (SBC-3, table 200, bytes 6-7).
                if let Some(byte) = body.get_mut(3) {
                    *byte = 1;
                }
                self.scratch.extend_from_slice(&body);
            }
            BLOCK_DEVICE_CHARACTERISTICS => {
                // Medium rotation rate 1: it does not turn (SBC-3, table 203).
                let mut body = [0; 60];
                if let Some(byte) = body.get_mut(1) {
                    *byte = 1;
                }
                self.scratch.extend_from_slice(&body);
            }
            _ => return Err(Sense::INVALID_FIELD),
        }
        let length = self.scratch.len().saturating_sub(4);
        if let (Some(field), Ok(length)) = (self.scratch.get_mut(2..4), u16::try_from(length)) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// One designator: vendor, product and serial number in ASCII (SPC-4, 7.8.6.4).
    fn designators(&mut self) {
        let options = &self.options;
        // At most 64 characters, so that the length is below 256.
        let length = options.serial.len().saturating_add(24);
        let length = u8::try_from(length).unwrap_or(u8::MAX);
        // Code set ASCII; of the unit, type "T10 vendor ID based".
        self.scratch.extend_from_slice(&[0x02, 0x01, 0, length]);
        self.scratch.extend_from_slice(&options.vendor);
        self.scratch.extend_from_slice(&options.product);
        self.scratch.extend_from_slice(options.serial.as_bytes());
    }
}
