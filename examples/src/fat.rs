//! A disk for those who bring none.

use std::fs::File;
use std::io::{self, Seek, Write};

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use msc_bot::BlockSize;
use rustix::fs::{MemfdFlags, memfd_create};

/// Its size in bytes.
pub const SIZE: u64 = 64 << 20;

const README: &str = "\
This is a USB disk that exists only in software.\r
\r
The program attach-disk made it because it was started without an image:\r
64 MiB with a FAT file system and this file. It can be read, written,\r
partitioned and formatted like any other. It is kept in memory and is gone\r
when the program ends.\r
\r
To keep what you write, make an image and attach that:\r
\r
    truncate -s 1G disk.img\r
    sudo attach-disk disk.img\r
";

/// Makes a file without a name, in memory, that holds a FAT file system with a README.TXT, for a
/// disk with such blocks. It is the same each time, to the last byte.
///
/// # Errors
/// The system has no memory for it.
pub fn temporary_image(block_size: BlockSize) -> io::Result<File> {
    let mut file = File::from(memfd_create("attach-disk", MemfdFlags::CLOEXEC)?);
    file.set_len(SIZE)?;
    let sector = u16::try_from(block_size.get()).map_err(io::Error::other)?;
    let format = FormatVolumeOptions::new()
        .bytes_per_sector(sector)
        .volume_id(0x0551_d15c)
        .volume_label(*b"USB DISK   ");
    fatfs::format_volume(&file, format)?;
    let file_system = FileSystem::new(&file, FsOptions::new().time_provider(&Always))?;
    file_system
        .root_dir()
        .create_file("README.TXT")?
        .write_all(README.as_bytes())?;
    file_system.unmount()?;
    file.rewind()?;
    Ok(file)
}

/// The time at which all files were made.
#[derive(Debug)]
struct Always;

impl TimeProvider for Always {
    fn get_current_date(&self) -> Date {
        Date {
            year: 2026,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time {
            hour: 12,
            min: 0,
            sec: 0,
            millis: 0,
        };
        DateTime {
            date: self.get_current_date(),
            time,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn the_file_can_be_read_and_all_is_the_same_each_time() {
        let image = temporary_image(BlockSize::BYTES_512).unwrap();
        let mut text = String::new();
        let file_system = FileSystem::new(&image, FsOptions::new()).unwrap();
        let root = file_system.root_dir();
        root.open_file("readme.txt")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, README);
        assert_eq!(file_system.volume_label(), "USB DISK");
        drop(root);
        drop(file_system);

        let mut contents = [image, temporary_image(BlockSize::BYTES_512).unwrap()].map(|image| {
            let mut content = vec![0; usize::try_from(SIZE).unwrap()];
            image.read_exact_at(&mut content, 0).unwrap();
            content
        });
        assert!(contents[0] == contents[1]);
        // What BIOSes and Linux look at: a jump, 512 bytes a sector, and the signature.
        let boot = &mut contents[0][..512];
        assert_eq!(
            (boot[0], &boot[11..13], &boot[510..]),
            (0xeb, &[0, 2][..], &[0x55, 0xaa][..])
        );
    }
}
