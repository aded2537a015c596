//! What a drive for CDs and DVDs knows beyond a disk (Multi-Media Commands, MMC-6).

use super::command::{Cdb, Command};
use super::transfer::Reading;
use super::work::Work;
use super::{LogicalUnit, Sense};

/// Up to so many blocks it is a CD: 74 minutes of 60 seconds of 75 blocks, as much as every drive
/// reads.
const CD_BLOCKS: u64 = 74 * 60 * 75;

/// Profiles (MMC-6, table 91).
const CD_ROM: u16 = 0x0008;
const DVD_ROM: u16 = 0x0010;

/// The one track is data, recorded uninterrupted; ADR 1 (MMC-6, tables 485 and 486).
const DATA_TRACK: u8 = 0x14;
/// The number that stands for the lead-out (MMC-6, 6.25.3.2).
const LEAD_OUT: u8 = 0xaa;

/// GET EVENT STATUS NOTIFICATION: the classes of media and of device busy events (MMC-6, table
/// 261), and no event available.
const MEDIA_CLASS: u8 = 4;
const BUSY_CLASS: u8 = 6;
const NO_EVENT: u8 = 0x80;
/// So much of an answer has no event in it (MMC-6, 6.7.2).
const EVENT_HEADER: u16 = 4;

/// READ CD: any type of sector is expected, or mode 1; and user data is asked for (MMC-6, 6.19).
const ANY_TYPE: u8 = 0;
const MODE_1: u8 = 2;
const USER_DATA: u8 = 0x10;

/// Frames, 75 to a second, before the first block (MMC-6, "LBA to MSF translation").
const FRAMES_BEFORE: u64 = 150;

/// The mode page of error recovery (MMC-6, 7.3): nothing in it can be changed.
pub(super) const ERROR_RECOVERY: u8 = 0x01;
pub(super) const ERROR_RECOVERY_BODY: [u8; 10] = [0; 10];

/// The data area of a DVD begins there (MMC-6, 6.22.3.2.1).
const FIRST: u32 = 0x03_0000;

impl LogicalUnit {
    /// Answers one of the commands of this file; the result is how much the host allows for.
    pub(super) fn multimedia(&mut self, command: Command, cdb: Cdb) -> Result<usize, Sense> {
        match command {
            Command::ReadToc => self.read_toc(cdb)?,
            Command::GetConfiguration => self.get_configuration(cdb)?,
            Command::GetEventStatus => self.get_event_status(cdb)?,
            Command::ReadDiscInformation => self.read_disc_information()?,
            Command::ReadTrackInformation => self.read_track_information(cdb)?,
            Command::ReadDiscStructure => self.read_disc_structure(cdb)?,
            _ => self.mechanism_status(),
        }
        let is_long = matches!(
            command,
            Command::ReadDiscStructure | Command::MechanismStatus
        );
        Ok(usize::from(cdb.be16(if is_long { 8 } else { 7 })))
    }

    const fn profile(&self) -> u16 {
        if !self.has_medium() {
            0
        } else if self.options.blocks() > CD_BLOCKS {
            DVD_ROM
        } else {
            CD_ROM
        }
    }

    fn blocks_32(&self) -> u32 {
        u32::try_from(self.options.blocks).unwrap_or(u32::MAX)
    }

    /// READ TOC/PMA/ATIP (MMC-6, 6.25): one session of one track.
    fn read_toc(&mut self, cdb: Cdb) -> Result<(), Sense> {
        self.medium.check()?;
        // Quirk: macOS puts the format where SFF-8020 had it.
        let format = match cdb.byte(2) & 0x0f {
            0 => cdb.byte(9) >> 6,
            format => format,
        };
        let (is_time, track) = (cdb.bit(1, 0x02), cdb.byte(6));
        let (start, end) = (place(0, is_time), place(self.blocks_32(), is_time));
        match format {
            0 if track <= 1 || track == LEAD_OUT => {
                self.scratch.extend_from_slice(&[0, 0, 1, 1]);
                for (number, [p0, p1, p2, p3]) in [(1, start), (LEAD_OUT, end)] {
                    if number >= track {
                        let entry = [0, DATA_TRACK, number, 0, p0, p1, p2, p3];
                        self.scratch.extend_from_slice(&entry);
                    }
                }
            }
            // The first track of the last session.
            1 => {
                let [p0, p1, p2, p3] = start;
                let entry = [0, 0, 1, 1, 0, DATA_TRACK, 1, 0, p0, p1, p2, p3];
                self.scratch.extend_from_slice(&entry);
            }
            // As in the lead-in: first and last track, lead-out, track 1, always as a time.
            2 => {
                let [_, m, s, f] = place(self.blocks_32(), true);
                self.scratch.extend_from_slice(&[0, 0, 1, 1]);
                let entries = [
                    (0xa0, [1, 0, 0]),
                    (0xa1, [1, 0, 0]),
                    (0xa2, [m, s, f]),
                    (1, [0, 2, 0]),
                ];
                for (point, [p0, p1, p2]) in entries {
                    let entry = [1, DATA_TRACK, 0, point, 0, 0, 0, 0, p0, p1, p2];
                    self.scratch.extend_from_slice(&entry);
                }
            }
            _ => return Err(Sense::INVALID_FIELD),
        }
        self.state_length();
        Ok(())
    }

    /// The first two bytes say how many follow.
    fn state_length(&mut self) {
        let length = u16::try_from(self.scratch.len().saturating_sub(2)).unwrap_or(u16::MAX);
        if let Some(field) = self.scratch.first_chunk_mut() {
            *field = length.to_be_bytes();
        }
    }

    /// GET CONFIGURATION (MMC-6, 6.6): features, by ascending code.
    fn get_configuration(&mut self, cdb: Cdb) -> Result<(), Sense> {
        let (kind, first) = (cdb.byte(1) & 0x03, cdb.be16(2));
        if kind == 3 {
            return Err(Sense::INVALID_FIELD);
        }
        let profile = self.profile();
        let is = |other: u16| profile == other;
        let [d0, d1] = DVD_ROM.to_be_bytes();
        let [c0, c1] = CD_ROM.to_be_bytes();
        let (dvd, cd) = (u8::from(is(DVD_ROM)), u8::from(is(CD_ROM)));
        // Code, version, persistent, current, and what is its own (MMC-6, clause 5.3).
        let features: [(u16, u8, bool, bool, &[u8]); 6] = [
            (0x0000, 0, true, true, &[d0, d1, dvd, 0, c0, c1, cd, 0]),
            // Core: the physical interface is USB; tells of being busy.
            (0x0001, 2, true, true, &[0, 0, 0, 8, 1, 0, 0, 0]),
            // Removable medium: a tray, to be ejected and locked.
            (0x0003, 0, true, true, &[self.mechanism(), 0, 0, 0]),
            // Random readable: blocks of 2048 bytes, one by one.
            (0x0010, 0, false, profile != 0, &[0, 0, 8, 0, 0, 1, 0, 0]),
            // READ CD, of a CD; READ of a DVD.
            (0x001e, 2, false, is(CD_ROM), &[0, 0, 0, 0]),
            (0x001f, 1, false, is(DVD_ROM), &[0, 0, 0, 0]),
        ];
        let [p0, p1] = profile.to_be_bytes();
        self.scratch.extend_from_slice(&[0, 0, 0, 0, 0, 0, p0, p1]);
        for (code, version, persistent, current, body) in features {
            let asked = match kind {
                2 => code == first,
                1 => code >= first && current,
                _ => code >= first,
            };
            if asked {
                let [c0, c1] = code.to_be_bytes();
                let flags = version << 2 | u8::from(persistent) << 1 | u8::from(current);
                let length = u8::try_from(body.len()).unwrap_or(0);
                self.scratch.extend_from_slice(&[c0, c1, flags, length]);
                self.scratch.extend_from_slice(body);
            }
        }
        let length = u32::try_from(self.scratch.len().saturating_sub(4)).unwrap_or(0);
        if let Some(field) = self.scratch.first_chunk_mut() {
            *field = length.to_be_bytes();
        }
        Ok(())
    }

    /// GET EVENT STATUS NOTIFICATION (MMC-6, 6.7), asked for: of media, or that the drive is not
    /// busy. Of several classes the lower number is told.
    fn get_event_status(&mut self, cdb: Cdb) -> Result<(), Sense> {
        if !cdb.bit(1, 0x01) {
            return Err(Sense::INVALID_FIELD);
        }
        let supported = 1 << MEDIA_CLASS | 1 << BUSY_CLASS;
        let (class, event, status) = if cdb.bit(4, 1 << MEDIA_CLASS) {
            // Medium present, tray open (MMC-6, table 270).
            let status = if self.has_medium() { 0x02 } else { 0x01 };
            // What does not reach the host is told next time.
            let is_told = cdb.be16(7) > EVENT_HEADER;
            let event = if is_told { self.medium.take_news() } else { 0 };
            (MEDIA_CLASS, event, status)
        } else if cdb.bit(4, 1 << BUSY_CLASS) {
            (BUSY_CLASS, 0, 0)
        } else {
            self.scratch.extend_from_slice(&[0, 2, NO_EVENT, supported]);
            return Ok(());
        };
        let answer = [0, 6, class, supported, event, status, 0, 0];
        self.scratch.extend_from_slice(&answer);
        Ok(())
    }

    /// READ CD (MMC-6, 6.19).
    pub(super) fn read_cd(&self, cdb: Cdb) -> Result<Work, Sense> {
        let count = cdb.be32(5) & 0x00ff_ffff;
        self.read_sectors(cdb, u64::from(cdb.be32(2)), u64::from(count))
    }

    /// READ CD MSF (MMC-6, 6.20): from a time up to another.
    pub(super) fn read_cd_msf(&self, cdb: Cdb) -> Result<Work, Sense> {
        let frames = |at: usize| {
            let [minutes, seconds, frames] =
                [0, 1, 2].map(|part| u64::from(cdb.byte(at.saturating_add(part))));
            let total = minutes.saturating_mul(60).saturating_add(seconds);
            let total = total.saturating_mul(75).saturating_add(frames);
            (seconds < 60 && frames < 75).then_some(total)
        };
        let (Some(start), Some(end)) = (frames(3), frames(6)) else {
            return Err(Sense::INVALID_FIELD);
        };
        let count = end.checked_sub(start).ok_or(Sense::INVALID_FIELD)?;
        // What lies before the first block is no data.
        let lba = start.checked_sub(FRAMES_BEFORE);
        self.read_sectors(cdb, lba.ok_or(Sense::LBA_OUT_OF_RANGE)?, count)
    }

    /// The user data of sectors, which are all in mode 1. The rest of a sector, that an image does not
    /// have, is refused as a field.
    fn read_sectors(&self, cdb: Cdb, lba: u64, count: u64) -> Result<Work, Sense> {
        self.medium.check()?;
        if self.profile() != CD_ROM {
            return Err(Sense::INCOMPATIBLE_FORMAT);
        }
        if !matches!(cdb.byte(1) >> 2 & 0x07, ANY_TYPE | MODE_1) {
            return Err(Sense::ILLEGAL_MODE);
        }
        let mut extent = self.bytes(lba, count)?;
        if !cdb.bit(9, USER_DATA) {
            extent.length = 0;
        }
        Ok(Work::Read(Reading::new(extent, false)))
    }

    /// READ DISC INFORMATION (MMC-6, 6.21), of the standard kind: complete, one session.
    fn read_disc_information(&mut self) -> Result<(), Sense> {
        self.medium.check()?;
        let head = [0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0];
        self.scratch.extend_from_slice(&head);
        // No further session can begin.
        self.scratch.resize(24, 0xff);
        self.scratch.resize(34, 0);
        Ok(())
    }

    /// READ TRACK INFORMATION (MMC-6, 6.26): track 1, which all addresses are in.
    fn read_track_information(&mut self, cdb: Cdb) -> Result<(), Sense> {
        self.medium.check()?;
        let known = match cdb.byte(1) & 0x03 {
            0 => cdb.be32(2) < self.blocks_32(),
            _ => cdb.be32(2) == 1,
        };
        if !known {
            return Err(Sense::INVALID_FIELD);
        }
        // Track, session; a data track, in mode 1.
        self.scratch.extend_from_slice(&[0, 34, 1, 1, 0, 4, 1, 0]);
        self.scratch.resize(24, 0);
        let blocks = self.blocks_32();
        self.scratch.extend_from_slice(&blocks.to_be_bytes());
        let last = blocks.saturating_sub(1);
        self.scratch.extend_from_slice(&last.to_be_bytes());
        self.scratch.resize(36, 0);
        Ok(())
    }

    /// READ DISC STRUCTURE (MMC-6, 6.22) of a DVD: its physical format.
    fn read_disc_structure(&mut self, cdb: Cdb) -> Result<(), Sense> {
        self.medium.check()?;
        if self.profile() != DVD_ROM {
            return Err(Sense::INCOMPATIBLE_FORMAT);
        }
        if cdb.byte(7) != 0 || cdb.byte(6) != 0 {
            return Err(Sense::INVALID_FIELD);
        }
        // DVD-ROM, 120 mm, one layer.
        let head = [0x08, 0x02, 0, 0, 0x01, 0x0f, 0x01, 0];
        self.scratch.extend_from_slice(&head);
        let last = FIRST.saturating_add(self.blocks_32().saturating_sub(1));
        self.scratch.extend_from_slice(&FIRST.to_be_bytes());
        self.scratch.extend_from_slice(&last.to_be_bytes());
        self.scratch.resize(2052, 0);
        Ok(())
    }

    /// MECHANISM STATUS (MMC-6, 6.10): no changer.
    fn mechanism_status(&mut self) {
        let door_open = u8::from(!self.has_medium()) << 4;
        let status = [0, door_open, 0, 0, 0, 0, 0, 0];
        self.scratch.extend_from_slice(&status);
    }

    /// A tray, and whether it is ejected and locked (MMC-6, 5.3.4 and annex E.11).
    fn mechanism(&self) -> u8 {
        let eject = u8::from(self.options.removable) << 3;
        0x20 | eject | u8::from(self.options.can_lock())
    }

    /// Mode pages of a drive: error recovery, and what it can (MMC-6, 7.3 and annex E.11).
    pub(super) fn cd_mode_pages(&mut self, page: u8, values: bool) -> Result<(), Sense> {
        const CAPABILITIES: u8 = 0x2a;
        const ALL: u8 = 0x3f;
        if !matches!(page, ERROR_RECOVERY | CAPABILITIES | ALL) {
            return Err(Sense::INVALID_FIELD);
        }
        if page != CAPABILITIES {
            self.scratch.extend_from_slice(&[ERROR_RECOVERY, 10]);
            self.scratch.extend_from_slice(&ERROR_RECOVERY_BODY);
        }
        if page != ERROR_RECOVERY {
            self.scratch.extend_from_slice(&[CAPABILITIES, 20]);
            // Reads CD-R, CD-RW, DVD-ROM.
            let can: [u8; 5] = if values {
                [0x0b, 0, 0, 0, self.mechanism()]
            } else {
                [0; 5]
            };
            self.scratch.extend_from_slice(&can);
            let end = self.scratch.len().saturating_add(15);
            self.scratch.resize(end, 0);
        }
        Ok(())
    }
}

/// A block's address, or its time: minute, second and frame, from two seconds before the first.
fn place(lba: u32, is_time: bool) -> [u8; 4] {
    if !is_time {
        return lba.to_be_bytes();
    }
    let frames = u64::from(lba).saturating_add(FRAMES_BEFORE);
    let part = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
    let seconds = frames / 75;
    [0, part(seconds / 60), part(seconds % 60), part(frames % 75)]
}
