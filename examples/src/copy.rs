//! A remote disk, copied to a file or from one.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use msc_bot::Unit;
use usb_transfer::{Function, Segments, Wire};

use crate::{
    Access, Failure, Host, HostError, Progress, RawImage, ReadDisk, StreamError, WriteDisk, say,
};

/// What a disk is copied to or from, by the programs that use disks of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskCopy {
    /// An image.
    pub file: PathBuf,
    /// To go on where it was interrupted.
    pub resume: bool,
}

impl DiskCopy {
    /// Copies the disk that `open` gives to the file; `peer` is who has it, for messages.
    ///
    /// # Errors
    /// The file is there already, or when it is continued is not the beginning of this disk; or the
    /// disk or the way to it failed, which says how far it went.
    pub fn read<D: Wire + Function>(
        &self,
        peer: &impl Display,
        open: impl FnOnce() -> Result<Host<D>, HostError>,
    ) -> Result<(), Failure>
    where
        HostError: From<StreamError<D::Error>>,
    {
        let path = self.file.display();
        let mistake = |error: io::Error| {
            Failure::Mistake(match error.kind() {
                io::ErrorKind::AlreadyExists if self.file.is_dir() => {
                    format!("{path}: is a directory")
                }
                io::ErrorKind::AlreadyExists => format!("{path}: exists; --resume continues it"),
                _ => format!("{path}: {error}"),
            })
        };
        // Without a mistake in its name, and without a file where there is no disk.
        let resumed = if self.resume {
            match open_for_update(&self.file, false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                result => Some(result.map_err(mistake)?),
            }
        } else if self.file.symlink_metadata().is_ok() {
            return Err(mistake(io::ErrorKind::AlreadyExists.into()));
        } else {
            None
        };
        let failed = |error| interrupted(peer, &error, 0);
        let mut host = open().map_err(failed)?;
        let descriptors = host.enumerate().map_err(failed)?;
        let is_new = resumed.is_none();
        let file = match resumed {
            Some(file) => file,
            None if self.resume => open_for_update(&self.file, true).map_err(mistake)?,
            None => File::create_new(&self.file).map_err(mistake)?,
        };
        let length = file.metadata().map_err(mistake)?.len();

        let mut progress = Progress::new(0);
        let mut old = Vec::new();
        let mut done = 0;
        let sink = |unit: &Unit, mut offset: u64, data: Segments| {
            for piece in data {
                let known = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                let (again, new) = piece.split_at(known.min(piece.len()));
                old.resize(again.len(), 0);
                file.read_exact_at(&mut old, offset)?;
                if old != again {
                    let wrong = format!("{path}: is not the beginning of this disk");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
                }
                file.write_all_at(new, offset + again.len() as u64)?;
                offset += piece.len() as u64;
            }
            done = offset;
            progress.set_total(unit.capacity());
            progress.show(offset);
            Ok(())
        };
        let result = host.use_disk(&descriptors, &mut ReadDisk::new(sink));
        drop(progress);
        if is_new && done == 0 && result.is_err() {
            // Nothing to go on with.
            let _ = fs::remove_file(&self.file);
        }
        let unit = result.map_err(|error| interrupted(peer, &error, done))?;
        if length > unit.capacity() {
            return Err(Failure::Mistake(format!(
                "{path}: {length} bytes are more than the disk has, {}",
                unit.capacity()
            )));
        }
        file.sync_all()
            .map_err(|error| Failure::Failed(format!("{path}: {error}")))?;
        say(format_args!("read: {} bytes", unit.capacity()))
    }

    /// Copies the file to the disk that `open` gives, likewise.
    ///
    /// # Errors
    /// The file cannot be read or is longer than the disk; or the disk or the way to it failed,
    /// which says how far it went.
    pub fn write<D: Wire + Function>(
        &self,
        peer: &impl Display,
        open: impl FnOnce() -> Result<Host<D>, HostError>,
    ) -> Result<(), Failure>
    where
        HostError: From<StreamError<D::Error>>,
    {
        let image = RawImage::open(&self.file, Access::ReadOnly).map_err(Failure::mistake)?;
        let length = image.size();
        let failed = |error| interrupted(peer, &error, 0);
        let mut host = open().map_err(failed)?;
        let descriptors = host.enumerate().map_err(failed)?;
        let mut progress = Progress::new(length);
        let mut done = 0;
        let mut job = WriteDisk::new(image, length, self.resume, |bytes| {
            done = bytes;
            progress.show(bytes);
        });
        let result = host.use_disk(&descriptors, &mut job);
        drop(job);
        drop(progress);
        result.map_err(|error| interrupted(peer, &error, done))?;
        say(format_args!("written: {length} bytes"))
    }
}

fn open_for_update(path: &Path, may_be_new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(may_be_new)
        .truncate(false)
        .open(path)
}

/// How a copy ended before it was complete.
fn interrupted(peer: &impl Display, error: &HostError, done: u64) -> Failure {
    match error {
        HostError::Local(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Failure::mistake(error)
        }
        error if done > 0 => Failure::Failed(format!(
            "{peer}: {error}; {done} bytes are copied, --resume goes on there"
        )),
        error => Failure::Failed(format!("{peer}: {error}")),
    }
}
