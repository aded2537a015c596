//! Where the devices at this machine's ports come from, as the stock tools of Linux keep it.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use usbip_proto::BusId;

use crate::{Address, Peer};

/// The folder that stock `usbip attach` writes and `usbip port` reads, a file for each port: host,
/// port and bus id, a space between them (`tools/usb/usbip/src/usbip_attach.c`,
/// `record_connection`). For people only: a device works without.
///
/// Whoever attaches a device writes its record, and may take it away as long as it has the port.
/// Once a connection has ended, the port may be somebody else's: then only that very
/// [`Record`] is taken away. What is left of a device whose server died while nobody watched is
/// [cleared](Self::clear) before the next one is attached.
#[derive(Clone, Debug)]
pub struct Origins {
    folder: PathBuf,
}

/// Where a device comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    host: String,
    port: String,
    bus_id: String,
}

/// What was written of a device at a port: not what another has written there since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    port: u16,
    /// The file, as `stat` tells it from others, and when it was written.
    identity: (u64, u64, i64, i64),
}

impl Origins {
    /// Where stock `usbip port` looks (`VHCI_STATE_PATH`).
    pub const FOLDER: &str = "/var/run/vhci_hcd";

    /// In another folder, or this.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Tells where the device at a port comes from.
    ///
    /// # Errors
    /// It cannot be written, or the stock tool could not read it.
    pub fn record(&self, port: u16, origin: &Origin) -> io::Result<Record> {
        origin.check()?;
        // In one piece, should somebody read it meanwhile.
        let draft = self.own_file(port);
        let written = self.draft(origin, &draft).and_then(|file| {
            fs::rename(&draft, self.file(port))?;
            file.metadata()
        });
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        Ok(Record::new(port, &written?))
    }

    fn draft(&self, origin: &Origin, path: &Path) -> io::Result<File> {
        let mut attempts = 0..10;
        loop {
            match DirBuilder::new().mode(0o700).create(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match origin.write(path) {
                // Whoever has removed the last record has just taken the folder away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    attempts.next().ok_or(error)?;
                }
                written => return written,
            }
        }
    }

    /// Where the device at a port comes from, if anybody has told.
    #[must_use]
    pub fn of(&self, port: u16) -> Option<Origin> {
        let text = fs::read_to_string(self.file(port)).ok()?;
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [host, port, bus_id] = words[..] else {
            return None;
        };
        Some(Origin {
            host: host.into(),
            port: port.into(),
            bus_id: bus_id.into(),
        })
    }

    /// The device goes from the port by `detach`, whoever has told where it is from. That is taken
    /// away before, and is there again, the same [`Record`], if the device stays.
    ///
    /// # Errors
    /// Those of `detach`.
    pub fn forget<E>(&self, port: u16, detach: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let (file, taken) = (self.file(port), self.own_file(port));
        // What is not there need not go.
        let is_taken = fs::rename(&file, &taken).is_ok();
        let detached = detach();
        if is_taken && detached.is_err() {
            let _ = renameat_with(CWD, &taken, CWD, &file, RenameFlags::NOREPLACE);
        }
        // Unless it went back; and the folder stays as long as there are others.
        let _ = fs::remove_file(&taken);
        let _ = fs::remove_dir(&self.folder);
        detached
    }

    /// Whether somebody has taken it away, as whoever detaches a device does before, and nothing
    /// else was written of the port's device.
    #[must_use]
    pub fn is_forgotten(&self, record: &Record) -> bool {
        let found = fs::symlink_metadata(self.file(record.port));
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The device that this was written of has gone; the port may have another already.
    pub fn remove(&self, record: &Record) {
        if self.find(record.port).as_ref() != Some(record) {
            return;
        }
        // Another may be written now: so it is taken away first, and then looked at.
        let (file, taken) = (self.file(record.port), self.own_file(record.port));
        if fs::rename(&file, &taken).is_err() {
            return;
        }
        let found = fs::symlink_metadata(&taken);
        if !found.is_ok_and(|found| Record::new(record.port, &found) == *record) {
            let _ = renameat_with(CWD, &taken, CWD, &file, RenameFlags::NOREPLACE);
        }
        // Unless it went back.
        let _ = fs::remove_file(&taken);
        let _ = fs::remove_dir(&self.folder);
    }

    /// Takes away what devices have left that are gone: `is_free` is asked for ports that have a
    /// record, after that was seen.
    pub fn clear(&self, is_free: impl Fn(u16) -> bool) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ports = entries.filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("port")?.parse().ok()
        });
        let records: Vec<Record> = ports.filter_map(|port| self.find(port)).collect();
        for record in records.iter().filter(|record| is_free(record.port)) {
            self.remove(record);
        }
    }

    /// What is written of a port's device now.
    fn find(&self, port: u16) -> Option<Record> {
        let found = fs::symlink_metadata(self.file(port)).ok()?;
        Some(Record::new(port, &found))
    }

    fn file(&self, port: u16) -> PathBuf {
        self.folder.join(format!("port{port}"))
    }

    /// A name that nobody else uses, no other thread either, in the same folder.
    fn own_file(&self, port: u16) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.folder.join(format!(".{process}-{number}-port{port}"))
    }
}

impl Record {
    fn new(port: u16, file: &Metadata) -> Self {
        let identity = (file.dev(), file.ino(), file.mtime(), file.mtime_nsec());
        Self { port, identity }
    }
}

/// `NI_MAXHOST` and `NI_MAXSERV`, into which the stock tool reads these words, without the zero.
const MOST_HOST: usize = 1024;
const MOST_PORT: usize = 31;

impl Origin {
    /// A device of the server at an address.
    #[must_use]
    pub fn at(address: &Address, bus_id: BusId) -> Self {
        let (host, port) = match address {
            Address::Tcp { host, port } => (host.clone(), port.to_string()),
            Address::Unix(path) => ("unix".into(), path.display().to_string()),
            Address::Vsock { cid, port } => (format!("vsock:{cid}"), port.to_string()),
        };
        Self {
            host,
            port,
            bus_id: bus_id.to_string(),
        }
    }

    /// A device of a server that has connected.
    #[must_use]
    pub fn of(peer: &Peer, bus_id: BusId) -> Self {
        // From which port says nothing: nobody listens there.
        let host = peer
            .ip
            .map_or_else(|| peer.to_string(), |ip| ip.to_string());
        Self {
            host: host.replace(char::is_whitespace, "-"),
            port: "reverse".into(),
            bus_id: bus_id.to_string(),
        }
    }

    fn check(&self) -> io::Result<()> {
        let words = [&self.host, &self.port, &self.bus_id];
        let has_space = |word: &&String| word.contains(char::is_whitespace);
        let wrong = if words.iter().any(has_space) {
            "its place has a space in it"
        } else if self.host.len() > MOST_HOST || self.port.len() > MOST_PORT {
            "its place is longer than `usbip port` can read"
        } else if words.iter().any(|word| word.is_empty()) {
            "its place has no name"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }

    fn write(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let mut file = options.mode(0o700).open(path)?;
        file.write_all(format!("{} {} {}\n", self.host, self.port, self.bus_id).as_bytes())?;
        Ok(file)
    }
}

impl fmt::Display for Origin {
    /// As stock `usbip port` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file is not to steer a terminal.
        let (host, port) = (self.host.escape_debug(), self.port.escape_debug());
        write!(f, "usbip://{host}:{port}/{}", self.bus_id.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("origins-{}-{name}", process::id())))
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            entries
                .map(|entry| name(entry).into_string().unwrap())
                .collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn at(address: &str) -> Origin {
        Origin::at(&address.parse().unwrap(), "1-1.4".parse().unwrap())
    }

    #[test]
    fn what_was_recorded_is_read_until_it_is_forgotten() {
        let folder = Folder::new("read");
        let origins = Origins::new(&folder.0);
        assert_eq!(origins.of(3), None);
        origins.record(3, &at("tcp:server")).unwrap();
        let text = fs::read_to_string(folder.0.join("port3")).unwrap();
        assert_eq!(text, "server 3240 1-1.4\n");
        for path in [&folder.0, &folder.0.join("port3")] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let told = |port| origins.of(port).unwrap().to_string();
        assert_eq!(told(3), "usbip://server:3240/1-1.4");
        origins.record(4, &at("vsock:2:3240")).unwrap();
        assert_eq!(told(4), "usbip://vsock:2:3240/1-1.4");
        let mut seen = None;
        let detached = origins.forget(3, || {
            seen = origins.of(3);
            Ok::<_, ()>(())
        });
        assert_eq!((detached, seen), (Ok(()), None));
        assert_eq!(folder.names(), ["port4"]);
        let before = origins.find(4);
        assert_eq!(origins.forget(4, || Err("busy")), Err("busy"));
        assert!(before.is_some() && origins.find(4) == before);
        assert_eq!(folder.names(), ["port4"]);
        origins.forget(4, || Ok::<_, ()>(())).unwrap();
        assert!(!folder.0.exists());
    }

    #[test]
    fn what_the_stock_tool_cannot_read_is_not_recorded() {
        let folder = Folder::new("refused");
        let origins = Origins::new(&folder.0);
        assert!(origins.record(3, &at("unix:/run/a socket")).is_err());
        for (length, is_told) in [(31, true), (32, false)] {
            let origin = at(&format!("unix:/{}", "a".repeat(length - 1)));
            assert_eq!(origins.record(3, &origin).is_ok(), is_told, "{length}");
        }
    }

    #[test]
    fn only_ones_own_record_is_removed() {
        let folder = Folder::new("own");
        let origins = Origins::new(&folder.0);
        let first = origins.record(3, &at("tcp:one")).unwrap();
        // The same server again, by another program.
        let second = origins.record(3, &at("tcp:one")).unwrap();
        origins.remove(&first);
        assert_eq!(origins.of(3), Some(at("tcp:one")));
        // The stock tool writes in the file that is there.
        fs::write(folder.0.join("port3"), "two 3240 1-1\n").unwrap();
        let stock = File::open(folder.0.join("port3")).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
        stock.set_modified(later).unwrap();
        origins.remove(&second);
        assert_eq!(origins.of(3).unwrap().host, "two");
        let third = origins.record(3, &at("tcp:three")).unwrap();
        origins.remove(&third);
        assert!(!folder.0.exists());
    }

    #[test]
    fn threads_do_not_mix_up_their_records() {
        let folder = Folder::new("threads");
        let origins = Origins::new(&folder.0);
        let mut last = origins.record(3, &at("tcp:server")).unwrap();
        // One has lost the port, another has it by now.
        for _ in 0..500 {
            let first = last;
            last = std::thread::scope(|scope| {
                scope.spawn(|| origins.remove(&first));
                origins.record(3, &at("tcp:server")).unwrap()
            });
            assert_eq!(origins.find(3).as_ref(), Some(&last));
            assert_eq!(folder.names(), ["port3"]);
        }
    }

    #[test]
    fn what_the_dead_have_left_is_cleared() {
        let folder = Folder::new("dead");
        let origins = Origins::new(&folder.0);
        origins.clear(|_| true);
        for port in 3..6 {
            origins.record(port, &at("tcp:server")).unwrap();
        }
        fs::write(folder.0.join("other"), "").unwrap();
        origins.clear(|port| port != 4);
        let mut names = folder.names();
        names.sort();
        assert_eq!(names, ["other", "port4"]);
    }
}
