//! Mode pages (SPC-4, 6.11 and 7.5; SBC-3, 6.5).

use bytes::Bytes;

use super::cd::{ERROR_RECOVERY, ERROR_RECOVERY_BODY};
use super::command::{Cdb, Entry};
use super::work::{Gathering, Work};
use super::{LogicalUnit, Sense};

/// Page codes (SBC-3, table 162).
const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0a;
const ALL_PAGES: u8 = 0x3f;
/// Subpage codes (SPC-4, table 146).
const ALL_SUBPAGES: u8 = 0xff;

/// Values of the PC field (SPC-4, table 147).
const CHANGEABLE: u8 = 1;
const DEFAULT: u8 = 2;
const SAVED: u8 = 3;

/// Bits of the device-specific parameter (SBC-3, table 163).
const WRITE_PROTECT: u8 = 0x80;
const DPO_FUA: u8 = 0x10;

/// The write cache is enabled: WCE of the caching page (SBC-3, table 166).
const WRITE_CACHE: u8 = 0x04;
/// Bytes 2 and 3 of the control page (SPC-4, table 455): parameters do not change behind the
/// host's back (GLTSD), and commands may be reordered.
const CONTROL_FLAGS: (u8, u8) = (0x02, 0x10);

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
        if self.options.is_cd() && matches!(subpage, 0 | ALL_SUBPAGES) {
            self.cd_mode_pages(page, control != CHANGEABLE)?;
            self.fill_mode_header(long);
            return Ok(());
        }
        let known = matches!(page, CACHING | CONTROL | ALL_PAGES);
        if !known || !matches!(subpage, 0 | ALL_SUBPAGES) {
            return Err(Sense::INVALID_FIELD);
        }
        // Only the write cache can be changed.
        let values = control != CHANGEABLE;
        if matches!(page, CACHING | ALL_PAGES) {
            // SBC-3, table 166.
            let cached = match control {
                CHANGEABLE => true,
                DEFAULT => self.options.write_cache,
                _ => self.write_cache,
            };
            let cache = if cached { WRITE_CACHE } else { 0 };
            let mut body = [0; 20];
            if let Some(head) = body.first_chunk_mut() {
                *head = [CACHING, 18, cache];
            }
            self.scratch.extend_from_slice(&body);
        }
        if matches!(page, CONTROL | ALL_PAGES) {
            let (flags, queue) = if values { CONTROL_FLAGS } else { (0, 0) };
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
        // Of a drive for CDs these bits mean nothing.
        let specific = if self.options.is_cd() {
            0
        } else {
            protect | DPO_FUA
        };
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

    /// MODE SELECT (SPC-4, 6.9): of pages as SPC describes them (PF), and nothing is saved (SP).
    pub(super) fn mode_select(entry: &'static Entry, cdb: Cdb, length: u32) -> Result<Work, Sense> {
        if cdb.bit(1, 0x01) || !cdb.bit(1, 0x10) {
            return Err(Sense::INVALID_FIELD);
        }
        if length == 0 {
            return Ok(Work::End(Ok(())));
        }
        Ok(Work::gather(Gathering::new(entry, cdb, length)))
    }

    /// All pages are checked before anything changes. The block descriptor, which would change the
    /// block size, may only be left out.
    pub(super) fn select_mode(&mut self, data: &Bytes, long: bool) -> Result<Work, Sense> {
        let header: usize = if long { 8 } else { 4 };
        // The mode data length is reserved here, and so is write protection.
        let block_descriptors = if long { data.get(6..8) } else { data.get(3..4) };
        let (Some(block_descriptors), Some(mut pages)) = (block_descriptors, data.get(header..))
        else {
            return Err(Sense::INVALID_PARAMETER_LENGTH);
        };
        if block_descriptors.iter().any(|byte| *byte != 0) {
            return Err(Sense::INVALID_PARAMETER);
        }
        let mut write_cache = self.write_cache;
        let is_cd = self.options.is_cd();
        while let Some((code, rest)) = pages.split_first() {
            let Some((length, rest)) = rest.split_first() else {
                return Err(Sense::INVALID_PARAMETER_LENGTH);
            };
            let Some((body, rest)) = rest.split_at_checked(usize::from(*length)) else {
                return Err(Sense::INVALID_PARAMETER_LENGTH);
            };
            match (*code, body) {
                (ERROR_RECOVERY, body) if is_cd && *body == ERROR_RECOVERY_BODY => {}
                _ if is_cd => return Err(Sense::INVALID_PARAMETER),
                (CACHING, [flags, others @ ..])
                    if others.len() == 17 && others.iter().all(|byte| *byte == 0) =>
                {
                    if flags & !WRITE_CACHE != 0 {
                        return Err(Sense::INVALID_PARAMETER);
                    }
                    write_cache = flags & WRITE_CACHE != 0;
                }
                (CONTROL, [flags, queue, others @ ..])
                    if others.len() == 8
                        && others.iter().all(|byte| *byte == 0)
                        && (*flags, *queue) == CONTROL_FLAGS => {}
                _ => return Err(Sense::INVALID_PARAMETER),
            }
            pages = rest;
        }
        let was_cached = self.write_cache;
        self.write_cache = write_cache;
        // What is in the cache now would never be flushed otherwise.
        Ok(if was_cached && !write_cache && self.has_medium() {
            Work::FLUSH
        } else {
            Work::End(Ok(()))
        })
    }
}
