//! What holds the blocks of a disk.

use std::io;

use bytes::Bytes;

/// Bytes that stay, addressed by their offset. Whoever uses it keeps inside its size.
pub trait Store {
    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    /// Not all of them could be read.
    fn read(&mut self, offset: u64, length: u32) -> io::Result<Bytes>;

    /// Reads them for the system to send, and for nobody here to look at: they may be pages of a
    /// file, which somebody else can cut short.
    ///
    /// # Errors
    /// Not all of them could be read.
    fn read_to_send(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        self.read(offset, length)
    }

    /// Writes all of `data`; later reads see it.
    ///
    /// # Errors
    /// Not all of it could be written.
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes a range read as zeros. With `discard` its space may be given back.
    ///
    /// # Errors
    /// Not all of it could be zeroed.
    fn zero(&mut self, offset: u64, length: u64, discard: bool) -> io::Result<()>;

    /// Returns when all that was written would survive a loss of power.
    ///
    /// # Errors
    /// Some of it may not.
    fn flush(&mut self) -> io::Result<()>;
}

impl<S: Store + ?Sized> Store for &mut S {
    fn read(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        (**self).read(offset, length)
    }
    fn read_to_send(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        (**self).read_to_send(offset, length)
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write(offset, data)
    }
    fn zero(&mut self, offset: u64, length: u64, discard: bool) -> io::Result<()> {
        (**self).zero(offset, length, discard)
    }
    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}

/// A store in memory, for tests.
///
/// ```
/// use examples::{MemoryStore, Store};
/// let mut store = MemoryStore::new(vec![7; 1024]);
/// store.write(512, b"text")?;
/// store.zero(513, 2, true)?;
/// assert_eq!(store.read(511, 6)?, &b"\x07t\0\0t\x07"[..]);
/// assert!(store.read(1000, 100).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryStore {
    bytes: Vec<u8>,
}

impl MemoryStore {
    /// A store that holds `bytes`.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn range(&mut self, offset: u64, length: u64) -> io::Result<&mut [u8]> {
        let start = usize::try_from(offset).ok();
        let length = usize::try_from(length).ok();
        start
            .zip(length)
            .and_then(|(start, length)| self.bytes.get_mut(start..start.checked_add(length)?))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Store for MemoryStore {
    fn read(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        self.range(offset, length.into())
            .map(|bytes| Bytes::copy_from_slice(bytes))
    }
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.range(offset, data.len() as u64)
            .map(|bytes| bytes.copy_from_slice(data))
    }
    fn zero(&mut self, offset: u64, length: u64, _discard: bool) -> io::Result<()> {
        self.range(offset, length).map(|bytes| bytes.fill(0))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
