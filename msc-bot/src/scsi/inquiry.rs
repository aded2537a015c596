//! INQUIRY: what the unit is, and its vital product data (SPC-4, 6.6 and 7.8).

use super::blocks::{MAX_COMPARE, MAX_DESCRIPTORS};
use super::command::Cdb;
use super::{LogicalUnit, Sense};

/// Peripheral device types (SPC-4, table 144).
const DISK: u8 = 0x00;
const CD: u8 = 0x05;
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
const LOGICAL_BLOCK_PROVISIONING: u8 = 0xb2;

/// The first three are of every unit, the others of disks.
const PAGES: [u8; 6] = [
    SUPPORTED_PAGES,
    UNIT_SERIAL_NUMBER,
    DEVICE_IDENTIFICATION,
    BLOCK_LIMITS,
    BLOCK_DEVICE_CHARACTERISTICS,
    LOGICAL_BLOCK_PROVISIONING,
];

/// Standards that the unit follows (SPC-4, table 147 "Version descriptor values"): SPC-4, SBC-3 or
/// MMC-6, Bulk-Only Transport, UAS.
const SPC_4: u16 = 0x0460;
const SBC_3: u16 = 0x04c0;
const MMC_6: u16 = 0x04e0;
const BULK_ONLY: u16 = 0x1730;
const UAS: u16 = 0x1740;
/// Where they stand, and where the data ends (SPC-4, table 142).
const VERSIONS_AT: usize = 58;
const STANDARD_DATA: usize = 74;

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
        let (kind, standard) = self.device_type();
        let length = u8::try_from(STANDARD_DATA.saturating_sub(5)).unwrap_or(0);
        // CMDQUE (byte 7, bit 1) where there is more than one command at a time.
        let queue = u8::from(self.has_queue) << 1;
        let header = [
            kind,
            removable,
            VERSION,
            RESPONSE_FORMAT,
            length,
            0,
            0,
            queue,
        ];
        self.scratch.extend_from_slice(&header);
        self.scratch.extend_from_slice(&self.options.vendor);
        self.scratch.extend_from_slice(&self.options.product);
        self.scratch.extend_from_slice(&self.options.revision);
        self.scratch.resize(VERSIONS_AT, 0);
        let transport = if self.has_queue { UAS } else { BULK_ONLY };
        for version in [SPC_4, standard, transport] {
            self.scratch.extend_from_slice(&version.to_be_bytes());
        }
        self.scratch.resize(STANDARD_DATA, 0);
        Ok(())
    }

    const fn device_type(&self) -> (u8, u16) {
        if self.options.is_cd() {
            (CD, MMC_6)
        } else {
            (DISK, SBC_3)
        }
    }

    fn vital_product_data(&mut self, page: u8) -> Result<(), Sense> {
        let (kind, _) = self.device_type();
        let pages = if self.options.is_cd() {
            PAGES.get(..3)
        } else {
            PAGES.get(..)
        };
        let pages = pages.filter(|pages| pages.contains(&page));
        let pages = pages.ok_or(Sense::INVALID_FIELD)?;
        self.scratch.extend_from_slice(&[kind, page, 0, 0]);
        match page {
            SUPPORTED_PAGES => self.scratch.extend_from_slice(pages),
            // Without a number, spaces (SPC-4, 7.8.15): hosts want the page.
            UNIT_SERIAL_NUMBER if self.options.serial.is_empty() => {
                self.scratch.extend_from_slice(&[b' '; 8]);
            }
            UNIT_SERIAL_NUMBER => self
                .scratch
                .extend_from_slice(self.options.serial.as_bytes()),
            DEVICE_IDENTIFICATION => self.designators(),
            BLOCK_LIMITS => {
                let limits = self.block_limits();
                self.scratch.extend_from_slice(&limits);
            }
            BLOCK_DEVICE_CHARACTERISTICS => {
                // Medium rotation rate 1: it does not turn (SBC-3, table 203).
                let mut body = [0; 60];
                if let Some(byte) = body.get_mut(1) {
                    *byte = 1;
                }
                self.scratch.extend_from_slice(&body);
            }
            _ => {
                // SBC-3, table 207. UNMAP, and WRITE SAME of both lengths, give back (LBPU, LBPWS,
                // LBPWS10); what was given back reads as zeros (LBPRZ); thin provisioning.
                let (flags, kind) = if self.options.discard {
                    (0xe4, 2)
                } else {
                    (0, 0)
                };
                self.scratch.extend_from_slice(&[0, flags, kind, 0]);
            }
        }
        let length = self.scratch.len().saturating_sub(4);
        if let (Some(field), Ok(length)) = (self.scratch.get_mut(2..4), u16::try_from(length)) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// Lengths in blocks (SBC-3, table 200): none is the largest that a read, a write or a WRITE
    /// SAME may have.
    fn block_limits(&self) -> [u8; 60] {
        let mut body = [0; 60];
        let mut set = |at: usize, value: &[u8]| {
            // Offsets as the table counts them.
            let at = at.saturating_sub(4);
            if let Some(field) = body.get_mut(at..at.saturating_add(value.len())) {
                field.copy_from_slice(value);
            }
        };
        // WSNZ: WRITE SAME of no blocks is refused.
        set(4, &[0x01]);
        set(5, &[MAX_COMPARE]);
        set(6, &1u16.to_be_bytes());
        if self.options.discard {
            set(20, &u32::MAX.to_be_bytes());
            set(24, &MAX_DESCRIPTORS.to_be_bytes());
            set(28, &1u32.to_be_bytes());
        }
        body
    }

    /// One designator: vendor, product and serial number in ASCII (SPC-4, 7.8.6.4). Without a number
    /// it would be that of many units, so there is none.
    fn designators(&mut self) {
        let options = &self.options;
        if options.serial.is_empty() {
            return;
        }
        let length = options.serial.len().saturating_add(24);
        let length = u8::try_from(length).unwrap_or(u8::MAX);
        // Code set ASCII; of the unit, type "T10 vendor ID based".
        self.scratch.extend_from_slice(&[0x02, 0x01, 0, length]);
        self.scratch.extend_from_slice(&options.vendor);
        self.scratch.extend_from_slice(&options.product);
        self.scratch.extend_from_slice(options.serial.as_bytes());
    }
}
