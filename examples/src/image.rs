//! A disk image in a file or on a block device: block after block, nothing else.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use msc_bot::BlockSize;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use thiserror::Error;

use crate::Store;
use crate::buffer::{Pool, read_into};
use crate::windows::Windows;

/// What may be done with an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It is only read, and others may read it too.
    ReadOnly,
    /// It is read and written, by nobody else meanwhile.
    ReadWrite,
}

/// Why an image cannot be used. Nothing was changed.
#[derive(Debug, Error)]
pub enum ImageError {
    /// There is no such file.
    #[error("{0}: no such file")]
    Missing(PathBuf),
    /// A folder.
    #[error("{0}: is a directory, not a disk image")]
    Directory(PathBuf),
    /// A pipe, a socket or a device without blocks.
    #[error("{0}: not a regular file or block device")]
    NotBlocks(PathBuf),
    /// The file or its file system is write protected, or belongs to somebody else.
    #[error("{0}: cannot be written")]
    WriteProtected(PathBuf),
    /// It is open already in a way that does not go together with this one.
    #[error("{0}: in use by another process or unit")]
    InUse(PathBuf),
    /// A block device that is mounted, or part of something, or in use by another process or unit.
    #[error("{0}: mounted or in use")]
    Claimed(PathBuf),
    /// Anything else.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A RAW disk image.
///
/// Long reads that are only to be sent are answered with the pages of the file itself, mapped, so
/// that the only copy is the one into the socket. The kernel is asked to fetch them first. Where
/// that fails, and for short reads, they are copied into buffers that are used again and again, as
/// are those that somebody looks at. So an error of the disk, or a file that somebody has cut short,
/// is an error of one read or of the socket's. (What lies behind the end of a file that was cut
/// short, but in its last page, reads as zeros.)
///
/// What is mapped is for the system alone: a process that looks at the bytes itself, of a file that
/// was cut short since they were read, is ended by SIGBUS. That is why they are not for whom sends
/// them in pieces that are [copied](usb_transfer::TxQueue::COPY_BELOW).
///
/// A file is locked with `flock`: many may read it, or one may write it. A block device is opened
/// with `O_EXCL` (open(2)): while it is, nothing on it can be mounted, and it has no other user that
/// asks for the same.
#[derive(Debug)]
pub struct RawImage {
    file: File,
    length: u64,
    /// Of a block device.
    device_block: Option<BlockSize>,
    pool: Pool,
    windows: Windows,
}

/// Bytes of a read from which fetching pages costs less than copying them: measured, one page.
const MAPPED_FROM: usize = 4 << 10;

impl RawImage {
    /// Opens an image and locks it.
    ///
    /// # Errors
    /// [`ImageError`] says why it cannot be used.
    pub fn open(path: &Path, access: Access) -> Result<Self, ImageError> {
        let write = access == Access::ReadWrite;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ImageError::Missing(path.into()),
            io::ErrorKind::IsADirectory => ImageError::Directory(path.into()),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem if write => {
                ImageError::WriteProtected(path.into())
            }
            _ => ImageError::Io {
                path: path.into(),
                error,
            },
        };
        let check = |metadata: &fs::Metadata| {
            let is_device = metadata.file_type().is_block_device();
            if metadata.is_dir() {
                Err(ImageError::Directory(path.into()))
            } else if !(metadata.is_file() || is_device) {
                Err(ImageError::NotBlocks(path.into()))
            } else if write && metadata.mode() & 0o222 == 0 {
                // Root could write it all the same, but somebody has said that nobody should.
                Err(ImageError::WriteProtected(path.into()))
            } else {
                Ok(is_device)
            }
        };
        let is_device = check(&fs::metadata(path).map_err(failed)?)?;
        let mode = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let alone = if is_device {
            OFlags::EXCL
        } else {
            OFlags::empty()
        };
        // Should it have become a pipe since, opening it does not wait for a peer.
        let flags = mode | alone | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Err(Errno::BUSY) => return Err(ImageError::Claimed(path.into())),
            result => File::from(result.map_err(|error| failed(error.into()))?),
        };
        let metadata = file.metadata().map_err(failed)?;
        if check(&metadata)? != is_device {
            return Err(ImageError::NotBlocks(path.into()));
        }
        if is_device {
            // It can be opened for writing all the same.
            if write && is_write_protected(&metadata) {
                return Err(ImageError::WriteProtected(path.into()));
            }
            return Self::of_device(file).map_err(failed);
        }
        let lock = match access {
            Access::ReadOnly => FlockOperation::NonBlockingLockShared,
            Access::ReadWrite => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&file, lock) {
            // Not every file system knows locks.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(Errno::AGAIN) => return Err(ImageError::InUse(path.into())),
            Err(error) => return Err(failed(error.into())),
        }
        Ok(Self::with_length(file, metadata.len()))
    }

    /// Uses a file that has no name or is known to be ours.
    ///
    /// # Errors
    /// Its size cannot be told.
    pub fn from_file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::with_length(file, length))
    }

    fn of_device(mut file: File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let block_size = BlockSize::new(rustix::fs::ioctl_blksszget(&file)?);
        Ok(Self {
            device_block: Some(block_size.unwrap_or(BlockSize::BYTES_512)),
            ..Self::with_length(file, length)
        })
    }

    fn with_length(file: File, length: u64) -> Self {
        let windows = Windows::new(&file, length);
        Self {
            file,
            length,
            device_block: None,
            pool: Pool::default(),
            windows,
        }
    }

    /// The same open file once more, under the same lock, to look at.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Bytes in a block: what a block device has, or 512.
    #[must_use]
    pub fn block_size(&self) -> BlockSize {
        self.device_block.unwrap_or(BlockSize::BYTES_512)
    }

    /// Its size in bytes when it was opened, or looked at again.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.length
    }

    /// Looks how large it is by now, and gives its size.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn look_again(&mut self) -> io::Result<u64> {
        let length = self.file.seek(SeekFrom::End(0))?;
        if length != self.length {
            self.length = length;
            self.windows = Windows::new(&self.file, length);
        }
        Ok(length)
    }

    /// Whether a path leads to it.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let identity = |metadata: &fs::Metadata| match self.device_block {
            Some(_) => (metadata.file_type().is_block_device(), metadata.rdev(), 0),
            None => (metadata.is_file(), metadata.dev(), metadata.ino()),
        };
        let (here, there) = (self.file.metadata(), fs::metadata(path));
        here.is_ok_and(|here| there.is_ok_and(|there| identity(&here) == identity(&there)))
    }
}

impl Store for RawImage {
    fn read(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        let length = length as usize;
        let file = &self.file;
        let buffer = self.pool.buffer(length);
        while buffer.len() < length {
            let at = offset + buffer.len() as u64;
            let count = read_into(buffer, length - buffer.len(), |spare| {
                rustix::io::pread(file, spare, at).map(|(filled, _)| filled)
            })?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(buffer.split().freeze())
    }

    fn read_to_send(&mut self, offset: u64, length: u32) -> io::Result<Bytes> {
        let mapped = if length as usize >= MAPPED_FROM {
            self.windows.read(&self.file, offset, length as usize)
        } else {
            None
        };
        match mapped {
            Some(bytes) => Ok(bytes),
            None => self.read(offset, length),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn zero(&mut self, offset: u64, length: u64, discard: bool) -> io::Result<()> {
        let flags = if discard {
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE
        } else {
            FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE
        };
        let file = &self.file;
        match retry_on_intr(|| rustix::fs::fallocate(file, flags, offset, length)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, length),
            // A device takes whole blocks of its own, which may be larger than the disk's.
            Err(Errno::INVAL) if self.device_block.is_some() => self.write_zeros(offset, length),
            result => {
                result?;
                self.windows.punched(&(offset..offset + length));
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl RawImage {
    fn write_zeros(&self, mut offset: u64, mut length: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while length > 0 {
            let count = usize::try_from(length).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.file.write_all_at(&ZEROS[..count], offset)?;
            offset += count as u64;
            length -= count as u64;
        }
        Ok(())
    }
}

/// What the kernel says of a block device (Documentation/ABI/stable/sysfs-block, `ro`).
fn is_write_protected(device: &fs::Metadata) -> bool {
    let (major, minor) = (
        rustix::fs::major(device.rdev()),
        rustix::fs::minor(device.rdev()),
    );
    let said = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro"));
    said.is_ok_and(|said| said.trim() != "0")
}
