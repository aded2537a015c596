//! Commands that move, compare or clear blocks (SBC-3, clause 5).

use alloc::boxed::Box;

use bytes::Bytes;

use super::command::{Cdb, Entry, Form};
use super::compare::{Comparing, Swapping};
use super::fill::{DESCRIPTOR, Filling, Zeroing, descriptors};
use super::transfer::{Extent, Reading, Writing};
use super::work::{Gathering, Work};
use super::{LogicalUnit, Sense};

/// The most blocks that COMPARE AND WRITE takes, since both halves must have come before it begins.
pub(super) const MAX_COMPARE: u8 = 32;

/// The most block descriptors that UNMAP takes: those of 4 KiB of parameters.
pub(super) const MAX_DESCRIPTORS: u32 = 255;
/// Bytes before the descriptors of UNMAP (SBC-3, table 112).
const UNMAP_HEADER: usize = 8;

impl LogicalUnit {
    /// The bytes that a command names, inside the disk.
    pub(super) fn extent(&self, form: Form, cdb: Cdb) -> Result<Extent, Sense> {
        self.medium.check()?;
        let (lba, count) = form.blocks(cdb);
        self.bytes(lba, count)
    }

    /// An address beyond the end is wrong even where no block is moved; the end itself is not
    /// beyond (SBC-3, 5.11).
    pub(super) fn bytes(&self, lba: u64, count: u64) -> Result<Extent, Sense> {
        let end = lba
            .checked_add(count)
            .filter(|end| *end <= self.options.blocks);
        if end.is_none() {
            return Err(Sense::LBA_OUT_OF_RANGE);
        }
        // Inside the capacity, which 64 bits can say.
        let size = self.options.block_size.bytes();
        Ok(Extent {
            offset: lba.saturating_mul(size),
            length: count.saturating_mul(size),
        })
    }

    fn writable(&self, form: Form, cdb: Cdb) -> Result<Extent, Sense> {
        let extent = self.extent(form, cdb)?;
        if self.options.read_only {
            return Err(Sense::WRITE_PROTECTED);
        }
        Ok(extent)
    }

    /// What a volatile cache has newer gets onto the medium before that is read (SBC-3, 5.11 for
    /// FUA, and 5.32).
    fn past_cache(&self, extent: Extent, work: Work) -> Work {
        // Nothing is written to a CD.
        if extent.length == 0 || self.options.is_cd() {
            return work;
        }
        Work::flush_then(work)
    }

    pub(super) fn read(&self, form: Form, cdb: Cdb) -> Result<Work, Sense> {
        let extent = self.extent(form, cdb)?;
        let reading = Work::Read(Reading::new(extent, false));
        Ok(if form.force_unit_access(cdb) {
            self.past_cache(extent, reading)
        } else {
            reading
        })
    }

    pub(super) fn write(&self, form: Form, cdb: Cdb) -> Result<Work, Sense> {
        let extent = self.writable(form, cdb)?;
        let forced = form.force_unit_access(cdb);
        Ok(Work::Write(Writing::new(extent, forced)))
    }

    /// WRITE AND VERIFY (SBC-3, 5.45), by its field BYTCHK (table 143): what is written is read
    /// and compared either way.
    pub(super) fn write_and_verify(&self, form: Form, cdb: Cdb) -> Result<Work, Sense> {
        let extent = self.writable(form, cdb)?;
        Ok(Work::Compare(Box::new(Comparing::new(extent, true))))
    }

    /// VERIFY (SBC-3, 5.32), by its field BYTCHK (table 143).
    pub(super) fn verify(
        &self,
        entry: &'static Entry,
        form: Form,
        cdb: Cdb,
    ) -> Result<Work, Sense> {
        let extent = self.extent(form, cdb)?;
        match cdb.byte(1) >> 1 & 0x03 {
            0 => Ok(self.past_cache(extent, Work::Read(Reading::new(extent, true)))),
            1 => {
                let comparing = Box::new(Comparing::new(extent, false));
                Ok(self.past_cache(extent, Work::Compare(comparing)))
            }
            3 if extent.length == 0 => Ok(Work::End(Ok(()))),
            3 => Ok(self.gather_block(entry, cdb)),
            _ => Err(Sense::INVALID_FIELD),
        }
    }

    pub(super) fn verify_gathered(
        &self,
        form: Form,
        cdb: Cdb,
        block: &Bytes,
    ) -> Result<Work, Sense> {
        let extent = self.extent(form, cdb)?;
        let comparing = Box::new(Comparing::with_block(extent, block));
        Ok(self.past_cache(extent, Work::Compare(comparing)))
    }

    /// COMPARE AND WRITE (SBC-3, 5.2).
    pub(super) fn compare_and_write(&self, entry: &'static Entry, cdb: Cdb) -> Result<Work, Sense> {
        let extent = self.compared(cdb)?;
        if cdb.byte(13) > MAX_COMPARE {
            return Err(Sense::INVALID_FIELD);
        }
        if extent.length == 0 {
            return Ok(Work::End(Ok(())));
        }
        let both = u32::try_from(extent.length.saturating_mul(2)).unwrap_or(u32::MAX);
        Ok(Work::gather(Gathering::new(entry, cdb, both)))
    }

    fn compared(&self, cdb: Cdb) -> Result<Extent, Sense> {
        self.medium.check()?;
        let extent = self.bytes(cdb.be64(2), u64::from(cdb.byte(13)))?;
        if self.options.read_only {
            return Err(Sense::WRITE_PROTECTED);
        }
        Ok(extent)
    }

    pub(super) fn compare_and_write_gathered(&self, cdb: Cdb, data: &Bytes) -> Result<Work, Sense> {
        let extent = self.compared(cdb)?;
        let forced = cdb.bit(1, 0x08);
        let swapping = Swapping::new(extent, data.clone(), forced);
        Ok(Work::Swap(Box::new(swapping)))
    }

    /// WRITE SAME (SBC-3, 5.50). No blocks would be all to the end, but a host that means none
    /// would lose them: the unit says that it does not do that (WSNZ).
    pub(super) fn write_same(
        &self,
        entry: &'static Entry,
        form: Form,
        cdb: Cdb,
    ) -> Result<Work, Sense> {
        let extent = self.writable(form, cdb)?;
        if extent.length == 0 {
            return Err(Sense::INVALID_FIELD);
        }
        // NDOB, of the long form only: zeros, of which none are sent.
        if form == Form::Sixteen && cdb.bit(1, 0x01) {
            return self.write_same_gathered(form, cdb, &Bytes::new());
        }
        Ok(self.gather_block(entry, cdb))
    }

    pub(super) fn write_same_gathered(
        &self,
        form: Form,
        cdb: Cdb,
        block: &Bytes,
    ) -> Result<Work, Sense> {
        let extent = self.writable(form, cdb)?;
        if block.iter().all(|byte| *byte == 0) {
            let zeroing = Zeroing::one(extent, cdb.bit(1, 0x08));
            return Ok(Work::Zero(Box::new(zeroing)));
        }
        Ok(Work::Fill(Box::new(Filling::new(extent, block))))
    }

    /// UNMAP (SBC-3, 5.28).
    pub(super) fn unmap(&self, entry: &'static Entry, cdb: Cdb) -> Result<Work, Sense> {
        self.medium.check()?;
        if self.options.read_only {
            return Err(Sense::WRITE_PROTECTED);
        }
        match u32::from(cdb.be16(7)) {
            0 => Ok(Work::End(Ok(()))),
            1..8 => Err(Sense::INVALID_PARAMETER_LENGTH),
            length => Ok(Work::gather(Gathering::new(entry, cdb, length))),
        }
    }

    /// Every descriptor is checked before the first is done.
    pub(super) fn unmap_gathered(&self, data: &Bytes) -> Result<Work, Sense> {
        self.medium.check()?;
        let Some(([_, _, l0, l1, ..], body)) = data.split_first_chunk::<UNMAP_HEADER>() else {
            return Err(Sense::INVALID_PARAMETER_LENGTH);
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        // Descriptors that were not sent, or only in part, are ignored (SBC-3, 5.28.2).
        let whole = length.min(body.len());
        let whole = whole.saturating_sub(whole.checked_rem(DESCRIPTOR).unwrap_or(0));
        let list = data.slice(UNMAP_HEADER..UNMAP_HEADER.saturating_add(whole));
        if descriptors(&list).count() > MAX_DESCRIPTORS as usize {
            return Err(Sense::INVALID_PARAMETER);
        }
        for (lba, count) in descriptors(&list) {
            self.bytes(lba, count)?;
        }
        let zeroing = Zeroing::discard(list, self.options.block_size.bytes());
        Ok(Work::Zero(Box::new(zeroing)))
    }

    fn gather_block(&self, entry: &'static Entry, cdb: Cdb) -> Work {
        Work::gather(Gathering::new(entry, cdb, self.options.block_size.get()))
    }
}
