//! Where clients come in, and which of them may.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{self, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::Address;
use crate::address::watch;

/// Tells several threads, once and for all, to come to an end. Clones are the same.
///
/// ```
/// use std::time::Duration;
/// let stop = examples::Stop::new()?;
/// assert!(!stop.wait(Duration::ZERO));
/// stop.clone().stop();
/// assert!(stop.wait(Duration::MAX));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    /// Nobody is told yet.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(event)))
    }

    /// Tells all.
    pub fn stop(&self) {
        // It can only fail if it was told very often.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Waits to be told, for so long at most: whether it was.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        matches!(self.wait_or(None, Some(patience)), Ok(Woken::Stopped))
    }

    /// Waits for a socket, or to be told.
    fn wait_or(
        &self,
        socket: Option<(BorrowedFd<'_>, PollFlags)>,
        patience: Option<Duration>,
    ) -> io::Result<Woken> {
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let stop = PollFd::new(&*self.0, PollFlags::IN);
        let other = socket.map(|(socket, flags)| PollFd::from_borrowed_fd(socket, flags));
        let mut list: Vec<_> = [stop].into_iter().chain(other).collect();
        loop {
            match event::poll(&mut list, timeout.as_ref()) {
                Ok(0) => return Ok(Woken::Late),
                Ok(_) if !list[0].revents().is_empty() => return Ok(Woken::Stopped),
                Ok(_) => return Ok(Woken::Ready),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the peer has left a connection that somebody else uses. `false`: was told to
    /// stop before.
    ///
    /// # Errors
    /// The system has no memory for the call.
    pub fn wait_for_hang_up(&self, connection: impl AsFd) -> io::Result<bool> {
        let hung_up = (connection.as_fd(), PollFlags::RDHUP);
        Ok(self.wait_or(Some(hung_up), None)? == Woken::Ready)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Woken {
    Stopped,
    Ready,
    Late,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Of a Unix socket: removed with it.
    path: Option<PathBuf>,
}

/// Who has connected.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// Its number in the network, where it came by TCP.
    pub ip: Option<IpAddr>,
    name: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Listener {
    /// Connections that wait to be accepted.
    const BACKLOG: i32 = 128;

    /// Listens. The path of a Unix socket that nobody serves any more is taken over.
    ///
    /// # Errors
    /// The address is not this machine's, or somebody has it.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut path = None;
        if let Address::Unix(of) = address {
            remove_unserved(of)?;
            path = Some(of.clone());
        }
        for (domain, address) in address.resolve()? {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            if path.is_none() && domain != Domain::VSOCK {
                socket.set_reuse_address(true)?;
            }
            let bound = socket.bind(&address);
            match bound.and_then(|()| socket.listen(Self::BACKLOG)) {
                Ok(()) => {
                    socket.set_nonblocking(true)?;
                    return Ok(Self { socket, path });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where it listens: the port tells which one was free, where 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<Address> {
        let address = self.socket.local_addr()?;
        Ok(match (&self.path, address.as_socket()) {
            (Some(path), _) => Address::Unix(path.clone()),
            (None, Some(address)) => Address::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
            },
            (None, None) => {
                let (cid, port) = address.as_vsock_address().unwrap_or_default();
                Address::Vsock { cid, port }
            }
        })
    }

    /// Waits for a client. `None`: was told to stop.
    ///
    /// # Errors
    /// The system cannot accept any more.
    pub fn accept(&self, stop: &Stop) -> io::Result<Option<(OwnedFd, Peer)>> {
        /// Until some of the system's resources may be free again.
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            let waiting = Some((self.socket.as_fd(), PollFlags::IN));
            if stop.wait_or(waiting, None)? == Woken::Stopped {
                return Ok(None);
            }
            match self.socket.accept() {
                Ok((socket, address)) => {
                    // One that left at once is noticed soon enough.
                    let _ = watch(&socket);
                    return Ok(Some((socket.into(), Peer::new(&address))));
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        if stop.wait(PAUSE) {
                            return Ok(None);
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

impl Peer {
    /// Whether it is in one of the networks; in none, where there are none, is everybody.
    #[must_use]
    pub fn is_allowed(&self, networks: &[Network]) -> bool {
        let is_in = |ip| networks.iter().any(|network| network.contains(ip));
        networks.is_empty() || self.ip.is_some_and(is_in)
    }

    /// One that was dialled.
    pub(crate) const fn named(name: String) -> Self {
        Self { ip: None, name }
    }

    fn new(address: &socket2::SockAddr) -> Self {
        let (ip, name) = match (address.as_socket(), address.as_vsock_address()) {
            (Some(address), _) => {
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                (Some(address.ip()), address.to_string())
            }
            (None, Some((cid, port))) => (None, format!("vsock:{cid}:{port}")),
            (None, None) => (None, "a local client".into()),
        };
        Self { ip, name }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// A server that was killed leaves the path of its socket behind.
fn remove_unserved(path: &Path) -> io::Result<()> {
    let is_socket = fs::metadata(path).is_ok_and(|entry| entry.file_type().is_socket());
    let served = || Address::Unix(path.into()).connect();
    match is_socket.then(served) {
        Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

/// A part of the network, such as `192.168.0.0/16` or `::1`.
///
/// ```
/// use examples::Network;
/// let network: Network = "10.1.0.0/16".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// assert!(!network.contains("10.2.0.0".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that count.
    prefix: u8,
}

/// What is no [`Network`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("a network is ADDRESS or ADDRESS/BITS, such as 192.168.0.0/16")]
pub struct NetworkError;

impl Network {
    /// Whether an address is part of it. An IPv4 address that is written in IPv6 is what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let difference = match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                u128::from(network.to_bits() ^ address.to_bits()) << 96
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => network.to_bits() ^ address.to_bits(),
            _ => return false,
        };
        difference.leading_zeros() >= u32::from(self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .map_or(Ok(all), str::parse)
            .map_err(|_| NetworkError)?;
        (prefix <= all)
            .then_some(Self { address, prefix })
            .ok_or(NetworkError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_contain_what_they_should() {
        let contains = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(contains("0.0.0.0/0", "255.1.2.3"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("127.0.0.1", "127.0.0.1"));
        assert!(!contains("127.0.0.1/32", "127.0.0.2"));
        assert!(contains("127.0.0.1/31", "127.0.0.0"));
        assert!(contains("127.0.0.0/8", "::ffff:127.9.9.9"));
        assert!(contains("fe80::/10", "febf::1"));
        assert!(!contains("fe80::/10", "fec0::1"));
        assert!(contains("::/0", "2001:db8::1"));
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "host",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
