//! Where the devices at this machine's ports come from, as the stock tools of Linux keep it.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use usbip_proto::BusId;

use crate::{Address, Peer};

/// The folder that stock `usbip attach` writes and `usbip port` reads, a file for each port: host,
/// port and bus id, a space between them (`tools/usb/usbip/src/usbip_attach.c`,
/// `record_connection`). For people only: a device works without.
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
    /// It cannot be written, or has a space in it.
    pub fn record(&self, port: u16, origin: &Origin) -> io::Result<()> {
        let words = [&origin.host, &origin.port, &origin.bus_id];
        if words
            .iter()
            .any(|word| word.is_empty() || word.contains(char::is_whitespace))
            || origin.host.len() > MOST_HOST
            || origin.port.len() > MOST_PORT
        {
            // Rather nothing than what an earlier device has left.
            self.forget(port);
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(self.file(port))?;
        // In one piece, should somebody read it meanwhile.
        file.write_all(format!("{} {} {}\n", origin.host, origin.port, origin.bus_id).as_bytes())
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

    /// The device has gone from the port.
    pub fn forget(&self, port: u16) {
        // What is not there need not go, and the folder stays as long as there are others.
        let _ = fs::remove_file(self.file(port));
        let _ = fs::remove_dir(&self.folder);
    }

    fn file(&self, port: u16) -> PathBuf {
        self.folder.join(format!("port{port}"))
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

    #[test]
    fn what_was_recorded_is_read_until_it_is_forgotten() {
        let folder = std::env::temp_dir().join(format!("origins-{}", std::process::id()));
        let origins = Origins::new(&folder);
        let bus_id = "1-1.4".parse().unwrap();
        assert_eq!(origins.of(3), None);
        let origin = Origin::at(&"tcp:server".parse().unwrap(), bus_id);
        origins.record(3, &origin).unwrap();
        let text = fs::read_to_string(folder.join("port3")).unwrap();
        assert_eq!(text, "server 3240 1-1.4\n");
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(
            origins.of(3).unwrap().to_string(),
            "usbip://server:3240/1-1.4"
        );

        let origin = Origin::at(&"unix:/run/a socket".parse().unwrap(), bus_id);
        assert!(origins.record(3, &origin).is_err());
        assert_eq!(origins.of(3), None);
        // The stock tool has room for so much and no more.
        for (length, is_told) in [(31, true), (32, false)] {
            let path = format!("unix:/{}", "a".repeat(length - 1));
            let origin = Origin::at(&path.parse().unwrap(), bus_id);
            assert_eq!(origins.record(3, &origin).is_ok(), is_told, "{length}");
        }
        let origin = Origin::at(&"vsock:2:3240".parse().unwrap(), bus_id);
        origins.record(4, &origin).unwrap();
        assert_eq!(
            origins.of(4).unwrap().to_string(),
            "usbip://vsock:2:3240/1-1.4"
        );
        origins.forget(4);
        assert!(!folder.exists());
    }
}
