//! Parts of a file in memory, to be sent without being copied.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};
use rustix::fs::SeekFrom;
use rustix::io::{Errno, retry_on_intr};

/// The parts of a file that were read last, mapped.
///
/// Reading a mapped page that the disk or the file no longer has would end the process by SIGBUS.
/// So the pages are fetched first, by `sendfile` to where nothing is kept, which copies nothing and
/// can fail like any call; for the kernel, asked to map pages that cannot be read, tries for ever
/// before Linux 6.9. And what is handed out is only passed on to `sendmsg`, which also fails if the
/// pages have gone since.
///
/// Parts of the file that were fetched whole are not asked for again: a page that has gone since
/// comes back when it is sent, and if it cannot, because the file was cut short or its disk fails,
/// the connection ends rather than tell the host something else. A reader that goes on where it
/// stopped has the whole part fetched at once.
///
/// Where files live in memory (tmpfs), a mapped hole becomes memory as soon as it is looked at. So
/// there what has holes when it is first read is not mapped.
///
/// Nobody here looks at them, but where they are sent in pieces too short to go by reference (below
/// 256 bytes): in those no known host takes a long read above full speed, and at full speed a
/// [`Disk`](crate::Disk) does not map.
#[derive(Debug)]
pub(crate) struct Windows {
    file_size: u64,
    recent: [Option<Window>; 4],
    /// Which one is given up next.
    oldest: usize,
    /// Where the last read ended.
    reached: u64,
    /// Not before Linux 5.14, and not on every file system.
    unsupported: bool,
    /// Where a hole that is looked at takes space.
    solid: Option<Solid>,
    /// `/dev/null`, where pages are sent for the sake of having them in memory.
    nowhere: Option<File>,
}

/// The part of a file that is known to have no holes: to look for one takes the longer the farther
/// it is.
#[derive(Debug)]
struct Solid(Range<u64>);

#[derive(Debug)]
struct Window {
    start: u64,
    map: Arc<Mmap>,
    bytes: Bytes,
    /// A bit for each part that was fetched whole.
    fetched: Box<[u64]>,
}

/// Where a file's pages come from.
enum Source<'a> {
    Memory(&'a mut Solid, &'a File),
    Disk(&'a File, &'a mut Option<File>),
}

/// Keeps the mapping for as long as there are `Bytes` of it.
struct Pages(Arc<Mmap>);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Windows {
    /// Bytes in a window: rarely made anew, and 2 MiB of page tables when all of it was read.
    const SIZE: u64 = 1 << 30;

    /// Bytes in a part: as much as the kernel reads ahead by itself.
    const PART: usize = 128 << 10;

    pub(crate) fn new(file: &File, file_size: u64) -> Self {
        Self {
            file_size,
            recent: [const { None }; 4],
            oldest: 0,
            reached: 0,
            unsupported: false,
            solid: is_in_memory(file).then_some(Solid(0..0)),
            nowhere: None,
        }
    }

    /// The bytes of a range, which are in memory now. `None`: not so, for whatever reason.
    pub(crate) fn read(&mut self, file: &File, offset: u64, length: usize) -> Option<Bytes> {
        let start = offset - offset % Self::SIZE;
        let end = self.file_size.min(start + Self::SIZE);
        if self.unsupported || offset + length as u64 > end {
            return None;
        }
        let mut recent = self.recent.iter();
        let found =
            recent.position(|window| window.as_ref().is_some_and(|window| window.start == start));
        let index = match found {
            Some(index) => index,
            None => self.open(file, start..end)?,
        };
        let goes_on = self.reached == offset;
        let source = match &mut self.solid {
            Some(solid) => Source::Memory(solid, file),
            None => Source::Disk(file, &mut self.nowhere),
        };
        self.reached = offset + length as u64;
        let window = self.recent[index].as_mut()?;
        let at = usize::try_from(offset - start).ok()?;
        match window.fetch(at..at + length, goes_on, source) {
            Ok(()) => Some(window.bytes.slice(at..at + length)),
            Err(error) => {
                self.unsupported = Errno::from_io_error(&error) == Some(Errno::INVAL);
                None
            }
        }
    }

    /// There may be holes in a range now.
    pub(crate) fn punched(&mut self, range: &Range<u64>) {
        if let Some(solid) = &mut self.solid {
            *solid = Solid(0..0);
            for window in self.recent.iter_mut().flatten() {
                window.forget(range);
            }
        }
    }

    fn open(&mut self, file: &File, range: Range<u64>) -> Option<usize> {
        let Ok(map) = map(file, &range) else {
            self.unsupported = true;
            return None;
        };
        let map = Arc::new(map);
        let parts = map.len().div_ceil(Self::PART);
        let bytes = Bytes::from_owner(Pages(Arc::clone(&map)));
        self.oldest = (self.oldest + 1) % self.recent.len();
        self.recent[self.oldest] = Some(Window {
            start: range.start,
            map,
            bytes,
            fetched: vec![0; parts.div_ceil(64)].into(),
        });
        Some(self.oldest)
    }
}

impl Window {
    /// Has a range in memory, if it was not yet; with `whole`, all of each part that it touches.
    fn fetch(&mut self, range: Range<usize>, whole: bool, source: Source<'_>) -> io::Result<()> {
        let parts = range.start / Windows::PART..range.end.div_ceil(Windows::PART);
        let is_fetched = |part: usize| self.fetched[part / 64] >> (part % 64) & 1 != 0;
        if parts.clone().all(is_fetched) {
            return Ok(());
        }
        let mut range = range;
        if whole {
            let end = (parts.end * Windows::PART).min(self.map.len());
            range = parts.start * Windows::PART..end;
        }
        let start = self.start + range.start as u64;
        let absolute = start..start + range.len() as u64;
        match source {
            Source::Memory(solid, file) => solid.check(file, absolute)?,
            Source::Disk(file, nowhere) => have_in_memory(file, absolute, nowhere)?,
        }
        self.map
            .advise_range(Advice::PopulateRead, range.start, range.len())?;
        for part in parts {
            let end = ((part + 1) * Windows::PART).min(self.map.len());
            if range.start <= part * Windows::PART && end <= range.end {
                self.fetched[part / 64] |= 1 << (part % 64);
            }
        }
        Ok(())
    }

    /// Has what it knows of a range looked at again.
    fn forget(&mut self, range: &Range<u64>) {
        let inside = |offset: u64| {
            let at = usize::try_from(offset.saturating_sub(self.start));
            at.map_or(self.map.len(), |at| at.min(self.map.len()))
        };
        let (from, to) = (inside(range.start), inside(range.end));
        for part in from / Windows::PART..to.div_ceil(Windows::PART) {
            self.fetched[part / 64] &= !(1 << (part % 64));
        }
    }
}

/// Has a range in the page cache.
fn have_in_memory(file: &File, range: Range<u64>, nowhere: &mut Option<File>) -> io::Result<()> {
    let nowhere = match nowhere {
        Some(nowhere) => nowhere,
        None => nowhere.insert(File::options().write(true).open("/dev/null")?),
    };
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        // It goes on where it stopped, by what it does to the offset.
        if retry_on_intr(|| rustix::fs::sendfile(&*nowhere, file, Some(&mut at), left))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

impl Solid {
    /// Whether a range has no hole.
    fn check(&mut self, file: &File, range: Range<u64>) -> io::Result<()> {
        let Self(known) = self;
        if range.start < known.start || range.end > known.end {
            let hole = rustix::fs::seek(file, SeekFrom::Hole(range.start))?;
            if !known.contains(&range.start) {
                known.start = range.start;
            }
            known.end = hole;
            if hole < range.end {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        Ok(())
    }
}

/// Whether a file lives in memory only: tmpfs, by its magic number in
/// `include/uapi/linux/magic.h`. Of a device only the name lives there.
fn is_in_memory(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
        && rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == 0x0102_1994)
}

#[expect(
    unsafe_code,
    reason = "the file may change under the slices of a mapping"
)]
fn map(file: &File, range: &Range<u64>) -> io::Result<Mmap> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    // SAFETY: a disk's content is bytes, whatever they are, and nothing here depends on what it
    // has read of them before.
    unsafe { MmapOptions::new().offset(range.start).len(length).map(file) }
}
