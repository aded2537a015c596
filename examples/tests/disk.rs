//! Images and disks: what the file system and the store refuse, and what reaches the host of it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests of files"
)]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::rc::Rc;
use std::thread;

use bytes::Bytes;
use examples::{Access, Disk, ImageError, MemoryStore, RawImage, Store};
use msc_bot::{
    BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, Lun, ScsiError, UnitOptions,
};
use rustix::io::Errno;
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Frame, Frontend, Function, FunctionEvent, HostEvent, Segments, Transfer, TransferId, exchange,
};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("disk-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn image(&self, name: &str, size: u64) -> PathBuf {
        let path = self.0.join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn an_image_keeps_what_is_written() {
    let folder = Folder::new("keeps");
    let path = folder.image("image", 1 << 20);
    let mut image = RawImage::open(&path, Access::ReadWrite).unwrap();
    assert_eq!(image.size(), 1 << 20);
    image.write(1000, &[7; 3000]).unwrap();
    image.flush().unwrap();
    let first = image.read(999, 3002).unwrap();
    assert_eq!((first[0], first[1], first[3000], first[3001]), (0, 7, 7, 0));
    let expected = [vec![0; 1000], vec![7; 3000]].concat();
    assert_eq!(fs::read(&path).unwrap()[..4000], expected);
    for discard in [true, false] {
        image.write(0, &vec![9; 200_000]).unwrap();
        image.zero(512, 150_000, discard).unwrap();
        let after = image.read_to_send(0, 200_000).unwrap();
        assert_eq!(after, image.read(0, 200_000).unwrap());
        assert!(
            after[..512]
                .iter()
                .chain(&after[150_512..])
                .all(|byte| *byte == 9)
        );
        assert!(after[512..150_512].iter().all(|byte| *byte == 0));
    }
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20, "never grows");
    assert_eq!(first[1], 7, "what was read does not change");
}

#[test]
fn a_large_sparse_image_is_read_anywhere() {
    let folder = Folder::new("sparse");
    let size = 5 << 40;
    let path = folder.image("image", size);
    let mut image = RawImage::open(&path, Access::ReadWrite).unwrap();
    let edges = (0..9)
        .map(|window: u64| window << 30)
        .chain([size - (1 << 20)]);
    for (edge, byte) in edges.zip(1..) {
        image.write(edge + 600, &vec![byte; 100_000]).unwrap();
        for (offset, length) in [(edge, 512), (edge, 200_000), (edge.max(4096) - 4096, 8192)] {
            let data = image.read_to_send(offset, length).unwrap();
            assert_eq!(data.len(), length as usize);
            let expected = |at: u64| (edge + 600..edge + 100_600).contains(&at);
            let mut bytes = (offset..).zip(&data);
            assert!(bytes.all(|(at, found)| *found == if expected(at) { byte } else { 0 }));
        }
    }
    assert!(image.read_to_send(size - 4096, 8192).is_err());
}

#[test]
fn reading_takes_no_space() {
    // In memory, where looking at a hole may fill it, if this system has such a folder.
    let folder = Path::new("/dev/shm");
    let folder = if folder.is_dir() {
        folder.into()
    } else {
        std::env::temp_dir()
    };
    let path = folder.join(format!("disk-{}-space", process::id()));
    let file = File::create(&path).unwrap();
    file.set_len(32 << 20).unwrap();
    let mut image = RawImage::open(&path, Access::ReadWrite).unwrap();
    fs::remove_file(&path).unwrap();
    image.write(9 << 20, &vec![7; 1 << 20]).unwrap();
    let used = || file.metadata().unwrap().blocks();
    let before = used();
    for offset in (0..32 << 20).step_by(512 << 10) {
        let data = image.read_to_send(offset, 512 << 10).unwrap();
        let expected = if offset >> 20 == 9 { 7 } else { 0 };
        assert!(data.iter().all(|byte| *byte == expected), "{offset}");
    }
    assert_eq!(used(), before);
    // Nor does reading once more what was given back.
    image.zero(9 << 20, 1 << 20, true).unwrap();
    let empty = used();
    assert!(empty < before);
    let data = image.read_to_send(9 << 20, 1 << 20).unwrap();
    assert!(data.iter().all(|byte| *byte == 0));
    assert_eq!(used(), empty);
}

#[test]
fn an_image_that_became_shorter_is_an_error_of_the_read() {
    let folder = Folder::new("shorter");
    let path = folder.image("image", 1 << 20);
    let mut image = RawImage::open(&path, Access::ReadOnly).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(5000)
        .unwrap();
    assert_eq!(image.read(4096, 904).unwrap().len(), 904);
    for (offset, length) in [(4096, 905), (4096, 8192), (8192, 512), (65536, 500_000)] {
        for error in [
            image.read(offset, length).unwrap_err(),
            image.read_to_send(offset, length).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
    let before = image.read_to_send(0, 4096).unwrap();
    assert_eq!(before.len(), 4096, "and of no other");
}

#[test]
fn what_is_not_only_sent_outlives_the_file() {
    let folder = Folder::new("copied");
    let path = folder.image("image", 1 << 20);
    let mut image = RawImage::open(&path, Access::ReadOnly).unwrap();
    let data = image.read(0, 1 << 20).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    // Of mapped bytes, this would be the end of the process.
    assert_eq!(data.to_vec().len(), 1 << 20);
}

#[test]
fn one_writes_or_many_read() {
    let folder = Folder::new("lock");
    let path = folder.image("image", 512);
    let open = |access| RawImage::open(&path, access);
    let writer = open(Access::ReadWrite).unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        assert!(matches!(open(access), Err(ImageError::InUse(_))));
    }
    let second = writer.reader().unwrap();
    drop(writer);
    assert!(
        open(Access::ReadOnly).is_err(),
        "a reader holds the lock too"
    );
    drop(second);
    // A process that another test is just starting may hold a copy of the file for a moment.
    let wait = |access| loop {
        match open(access) {
            Err(ImageError::InUse(_)) => thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    let readers = (wait(Access::ReadOnly), open(Access::ReadOnly).unwrap());
    assert!(matches!(open(Access::ReadWrite), Err(ImageError::InUse(_))));
    drop(readers);
    wait(Access::ReadWrite);
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let folder = Folder::new("none");
    let open = |path: &Path, access| match RawImage::open(path, access) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    };
    let both = [Access::ReadOnly, Access::ReadWrite];
    let pipe = folder.0.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for access in both {
        assert!(matches!(open(&folder.0, access), ImageError::Directory(_)));
        assert!(matches!(
            open(&folder.0.join("x"), access),
            ImageError::Missing(_)
        ));
        assert!(matches!(
            open(Path::new("/dev/null"), access),
            ImageError::NotBlocks(_)
        ));
        assert!(
            matches!(open(&pipe, access), ImageError::NotBlocks(_)),
            "and does not wait"
        );
        let under = open(&folder.image("file", 1).join("x"), access);
        assert!(matches!(under, ImageError::Io { .. }));
    }
    let protected = folder.image("protected", 512);
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(matches!(
        open(&protected, Access::ReadWrite),
        ImageError::WriteProtected(_)
    ));
    assert!(RawImage::open(&protected, Access::ReadOnly).is_ok());
}

/// Fails as it is told to, and notes what it was asked.
#[derive(Clone, Default)]
struct Moody(Rc<RefCell<Mood>>);

#[derive(Default)]
struct Mood {
    error: Option<io::Error>,
    no_flush: bool,
    asked: String,
}

impl Moody {
    fn ask(&self, what: char) -> io::Result<()> {
        let mut mood = self.0.borrow_mut();
        mood.asked.push(what);
        mood.error.take().map_or(Ok(()), Err)
    }
}

impl Store for Moody {
    fn read(&mut self, _offset: u64, length: u32) -> io::Result<Bytes> {
        self.ask('r')?;
        Ok(vec![0; length as usize].into())
    }
    fn write(&mut self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        self.ask('w')
    }
    fn zero(&mut self, _offset: u64, _length: u64, _discard: bool) -> io::Result<()> {
        self.ask('z')
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.0.borrow().no_flush {
            return Err(Errno::IO.into());
        }
        self.ask('f')
    }
}

fn device(blocks: u64) -> BotDevice {
    let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, blocks));
    BotDevice::new(BotOptions::new(Speed::Super), [unit]).unwrap()
}

fn result<S: Store>(host: &mut Initiator, disk: &mut Disk<S>) -> Result<Segments, ScsiError> {
    for _ in 0..1000 {
        exchange(host, disk);
        if let Some((_, result)) = host.result() {
            return result;
        }
    }
    panic!("no result");
}

#[test]
fn each_error_of_the_store_has_its_sense() {
    let store = Moody::default();
    let mut disk = Disk::new(device(64), store.clone());
    let mut host = Initiator::new(disk.device().descriptors()).unwrap();
    host.read(0, 1);
    assert!(result(&mut host, &mut disk).is_ok());
    let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let errno = |errno: Errno| io::Error::from(errno);
    // SPC-4, table 29 and annex F: sense key, additional sense code and its qualifier.
    for (error, read, key, code, qualifier) in [
        (errno(Errno::IO), true, 3, 0x11, 0),
        (eof(), true, 3, 0x11, 0),
        (errno(Errno::IO), false, 3, 0x0c, 0),
        (errno(Errno::NOSPC), false, 7, 0x27, 7),
        (errno(Errno::DQUOT), false, 7, 0x27, 7),
        (errno(Errno::ROFS), false, 7, 0x27, 0),
        (errno(Errno::NOMEM), true, 4, 0x44, 0),
    ] {
        let name = error.to_string();
        store.0.borrow_mut().error = Some(error);
        if read {
            host.read(5, 1);
        } else {
            host.write(5, vec![1; 512].into());
        }
        match result(&mut host, &mut disk) {
            Err(ScsiError::Sense(sense)) => {
                let found = (sense.key.0, sense.code, sense.qualifier);
                assert_eq!(found, (key, code, qualifier), "{name}: {sense}");
                let place = (key == 3).then_some(5);
                assert_eq!(sense.information, place, "{name}: {sense}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    host.read(0, 1);
    assert!(result(&mut host, &mut disk).is_ok(), "it goes on");
}

#[test]
fn what_was_written_is_flushed_whoever_ends() {
    let store = Moody::default();
    let asked = || std::mem::take(&mut store.0.borrow_mut().asked);
    let mut disk = Disk::new(device(64), store.clone());
    let mut host = Initiator::new(disk.device().descriptors()).unwrap();
    host.write(0, vec![1; 512].into());
    result(&mut host, &mut disk).unwrap();
    assert_eq!(asked(), "w");
    host.flush();
    result(&mut host, &mut disk).unwrap();
    host.flush();
    result(&mut host, &mut disk).unwrap();
    assert_eq!(asked(), "f", "once is enough");

    host.write(0, vec![1; 512].into());
    result(&mut host, &mut disk).unwrap();
    disk.reset();
    disk.reset();
    assert_eq!(asked(), "wf", "at a reset, which ends every session");

    let mut host = Initiator::new(disk.device().descriptors()).unwrap();
    host.write(0, vec![1; 512].into());
    result(&mut host, &mut disk).unwrap();
    store.0.borrow_mut().error = Some(Errno::IO.into());
    disk.reset();
    assert_eq!(asked(), "wf");
    assert!(
        disk.close().is_err(),
        "a flush that failed is told, though it succeeds when it is tried again"
    );
    assert_eq!(asked(), "f");
}

#[test]
fn what_a_host_was_told_to_be_lost_is_lost_here_too() {
    for durable in [false, true] {
        let store = Moody::default();
        let options = UnitOptions::new(BlockSize::BYTES_512, 64).write_cache(!durable);
        let device = BotDevice::new(BotOptions::new(Speed::Super), [LogicalUnit::new(options)]);
        let mut disk = Disk::new(device.unwrap(), store.clone());
        let mut host = Initiator::new(disk.device().descriptors()).unwrap();
        if durable {
            store.0.borrow_mut().no_flush = true;
            host.write(0, vec![1; 512].into());
        } else {
            host.write(0, vec![1; 512].into());
            result(&mut host, &mut disk).unwrap();
            store.0.borrow_mut().no_flush = true;
            host.flush();
        }
        assert!(result(&mut host, &mut disk).is_err());
        store.0.borrow_mut().no_flush = false;
        host.flush();
        assert!(result(&mut host, &mut disk).is_ok(), "it was told");
        disk.reset();
        assert!(disk.close().is_err());
    }
}

/// The host's bytes are compared with pages that are gone, unless they were copied: the process
/// ends then.
#[test]
fn what_is_compared_outlives_the_file() {
    let folder = Folder::new("compared");
    let path = folder.image("image", 1 << 20);
    let image = RawImage::open(&path, Access::ReadWrite).unwrap();
    let mut disk = Disk::new(device(2048), image);
    let [bulk_in, bulk_out] = [0x81, 0x02].map(EndpointAddress::from_byte);
    let id = TransferId::from_u64;
    // What completes before the disk sleeps.
    let done = |disk: &mut Disk<RawImage>, transfer| {
        disk.submit(transfer);
        let mut done = Vec::new();
        loop {
            match disk.poll() {
                Some(FunctionEvent::Complete(completion)) => done.push(completion.id),
                None if disk.next_frame().is_none() => return done,
                Some(_) | None => {}
            }
        }
    };
    let configure = Transfer::control_in(id(0), SetupPacket::set_configuration(1));
    assert_eq!(done(&mut disk, configure), [id(0)]);
    // VERIFY(10) of 64 blocks, with the host's bytes (SBC-3, 5.34).
    let mut wrapper = b"USBC\x01\0\0\0\0\x80\0\0\0\0\x0a\x2f\x02\0\0\0\0\0\0\x40".to_vec();
    wrapper.resize(31, 0);
    let command = Transfer::data_out(id(1), bulk_out, wrapper.into());
    assert_eq!(done(&mut disk, command), [id(1)]);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    let data = Transfer::data_out(id(2), bulk_out, vec![0; 64 * 512].into());
    assert_eq!(done(&mut disk, data), [id(2)]);
    let status = Transfer::data_in(id(3), bulk_in, 13);
    assert_eq!(done(&mut disk, status), [id(3)]);
}

#[test]
fn a_write_that_was_taken_is_done_before_a_reset() {
    let store = MemoryStore::new(vec![0; 64 * 512]);
    let mut disk = Disk::new(device(64), store);
    let mut host = Initiator::new(disk.device().descriptors()).unwrap();
    host.write(3, vec![7; 512].into());
    // As `exchange`, but only until the write is handed out.
    while disk.next_frame().is_none() {
        if let Some(FunctionEvent::Complete(completion)) = disk.poll() {
            host.complete(completion);
        } else if disk.next_frame().is_none() {
            match host.poll() {
                Some(HostEvent::Submit(transfer)) => disk.submit(transfer),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(disk.next_frame(), Some(Frame::ZERO));
    assert_eq!(
        disk.store(Lun::ZERO).unwrap().bytes()[3 * 512],
        0,
        "not yet done"
    );
    disk.reset();
    assert_eq!(disk.next_frame(), None);
    assert_eq!(disk.store(Lun::ZERO).unwrap().bytes()[3 * 512], 7);
}

#[test]
fn a_disk_of_real_blocks_is_what_was_written() {
    let folder = Folder::new("real");
    let path = folder.image("image", 300 * 512);
    let mut disk = Disk::new(
        device(300),
        RawImage::open(&path, Access::ReadWrite).unwrap(),
    );
    let mut host = Initiator::new(disk.device().descriptors()).unwrap();
    let content: Vec<u8> = (0..300u32 * 512)
        .map(|at| at.to_le_bytes()[at as usize % 3])
        .collect();
    host.write(0, content.clone().into());
    result(&mut host, &mut disk).unwrap();
    host.read(0, 300);
    assert_eq!(
        result(&mut host, &mut disk).unwrap(),
        Bytes::from(content.clone())
    );
    disk.close().unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
}
