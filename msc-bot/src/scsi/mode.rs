//! Mode pages (SPC-4, 6.11 and 7.5; SBC-3, 6.5).

use super::command::Cdb;
use super::{LogicalUnit, Sense};

/// Page codes (SBC-3, table 162).
const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const ALL_PAGES: u8 = 0x3f;
/// Subpage codes (SPC-4, table 146).
const ALL_SUBPAGES: u8 = 0xff;

/// Values of the PC field (SPC-4, table 147).
const CHANGEABLE: u8 = 1;
const SAVED: u8 = 3;

/// Bits of the device-specific parameter (SBC-3, table 163).
const WRITE_PROTECT: u8 = 0x80;
const DPO_FUA: u8 = 0x10;

impl LogicalUnit {
    /// MODE SENSE: a header, no block descriptors, pages in ascending order. `long` is the form
    /// of ten bytes, with a header of eight.
    pub(super) fn mode_sense(&mut self, cdb: Cdb, long: bool) -> Result<(), Sense> {
        let header: usize = if long { 8 } else { 4 };
        self.scratch.resize(header, 0);
        let control = cdb.byte(2) >> 6;
        if control == SAVED {
            return Err(Sense::NOT_SAVED);
        }
        let (page, subpage) = (cdb.byte(2) & 0x3f, cdb.byte(3));
        let known = matches!(page, CACHING | CONTROL | ALL_PAGES);
        if !known || !matches!(subpage, 0 | ALL_SUBPAGES) {
            return Err(Sense::INVALID_FIELD);
        }
        // Nothing can be changed, and what is so is so by default.
        let values = control != CHANGEABLE;
        if matches!(page, CACHING | ALL_PAGES) {
            // SBC-3, table 166. WCE.
            let cache = u8::from(values && self.options.write_cache) << 2;
            let mut body = [0; 20];
            if let Some(head) = body.first_chunk_mut() {
                *head = [CACHING, 18, cache];
            }
            self.scratch.extend_from_slice(&body);
        }
        if matches!(page, CONTROL | ALL_PAGES) {
            // SPC-4, table 455. Parameters do not change behind the host's back (GLTSD), and
            // commands may be reordered.
            let (flags, queue) = if values { (0x02, 0x10) } else { (0, 0) };
            let mut body = [0; 12];
            if let Some(head) = body.first_chunk_mut() {
                *head = [CONTROL, 10, flags, queue];
            }
            self.scratch.extend_from_slice(&body);
        }
        self.fill_mode_header(long);
        Ok(())
    }

    /// SPC-4, tables 439 and 440. The length does not count itself.
    fn fill_mode_header(&mut self, long: bool) {
        let protect = if self.options.read_only {
            WRITE_PROTECT
        } else {
            0
        };
        let specific = protect | DPO_FUA;
        let length = self.scratch.len();
        if long {
            let [l0, l1] = u16::try_from(length.saturating_sub(2))
                .unwrap_or(u16::MAX)
                .to_be_bytes();
            if let Some(header) = self.scratch.first_chunk_mut() {
                *header = [l0, l1, 0, specific];
            }
        } else {
            let length = u8::try_from(length.saturating_sub(1)).unwrap_or(u8::MAX);
            if let Some(header) = self.scratch.first_chunk_mut() {
                *header = [length, 0, specific];
            }
        }
    }
}
