//! Parts of a file in memory, to be sent without being copied.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

/// The parts of a file that were read last, mapped.
///
/// What is handed out is never looked at here, only passed to `sendmsg`: should the pages have
/// gone since they were fetched, that fails, while looking would be a SIGBUS.
#[derive(Debug)]
pub(crate) struct Windows {
    file_size: u64,
    recent: [Option<Window>; 4],
    /// Which one is given up next.
    oldest: usize,
}

#[derive(Debug)]
struct Window {
    start: u64,
    map: Arc<Mmap>,
    bytes: Bytes,
}

/// Keeps a mapping for as long as there are `Bytes` of it.
struct Pages(Arc<Mmap>);

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Windows {
    /// Small enough that the tables of its pages are no burden, large enough to be rarely made.
    const SIZE: u64 = 1 << 30;

    pub(crate) const fn new(file_size: u64) -> Self {
        Self {
            file_size,
            recent: [const { None }; 4],
            oldest: 0,
        }
    }

    /// The bytes of a range, once the kernel has them in memory; `None` where the range is in no
    /// one window.
    pub(crate) fn read(
        &mut self,
        file: &File,
        offset: u64,
        length: usize,
    ) -> io::Result<Option<Bytes>> {
        let start = offset - offset % Self::SIZE;
        let end = offset + length as u64;
        if end > self.file_size.min(start + Self::SIZE) {
            return Ok(None);
        }
        let mut recent = self.recent.iter().flatten();
        let window = match recent.find(|window| window.start == start) {
            Some(window) => window,
            None => self.open(file, start)?,
        };
        let at = usize::try_from(offset - start).map_err(io::Error::other)?;
        window.map.advise_range(Advice::PopulateRead, at, length)?;
        Ok(Some(window.bytes.slice(at..at + length)))
    }

    #[expect(unsafe_code, reason = "a mapped file can change under a slice of it")]
    fn open(&mut self, file: &File, start: u64) -> io::Result<&Window> {
        let length = Self::SIZE.min(self.file_size - start);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the bytes are only handed to the kernel, which takes them as they are.
        let map = Arc::new(unsafe { MmapOptions::new().offset(start).len(length).map(file) }?);
        let bytes = Bytes::from_owner(Pages(Arc::clone(&map)));
        self.oldest = (self.oldest + 1) % self.recent.len();
        Ok(self.recent[self.oldest].insert(Window { start, map, bytes }))
    }
}

/// Whether the kernel (before 5.14) or the file system does not know how.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [
        Errno::INVAL,
        Errno::NODEV,
        Errno::ACCESS,
        Errno::PERM,
        Errno::NOSYS,
    ];
    Errno::from_io_error(error).is_some_and(|errno| unsupported.contains(&errno))
}
