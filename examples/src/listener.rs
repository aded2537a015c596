//! Where clients come in, and which of them may.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::address::{explained, watch};
use crate::stop::Woken;
use crate::{Address, Stop};

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
    pub(crate) party: Party,
    name: String,
}

/// Whom a peer is likely to act for: a host or, as one host may use all of it, a network of IPv6
/// (64 bits, RFC 4291 section 2.5.1); a machine at the other side of vsock; whoever may use a Unix
/// socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    Host(Ipv4Addr),
    Network([u8; 8]),
    Machine(u32),
    Local,
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
        Self::try_to_bind(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse if is_something_else(address) => {
                explained(&error, "what is there is no socket")
            }
            io::ErrorKind::AddrInUse => explained(&error, "somebody listens there already"),
            io::ErrorKind::AddrNotAvailable => {
                explained(&error, "this machine does not have that address")
            }
            io::ErrorKind::PermissionDenied if matches!(address, Address::Tcp { .. }) => {
                explained(&error, "ports below 1024 are for root only")
            }
            _ => error,
        })
    }

    fn try_to_bind(address: &Address) -> io::Result<Self> {
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
    /// What goes wrong with one client, or for want of memory or file descriptors, is waited out.
    ///
    /// # Errors
    /// It does not listen, or the system has no memory for waiting.
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
                    Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK) => {
                        return Err(error);
                    }
                    // Also what the network already knows of the connection, and what a
                    // firewall says: accept(2).
                    _ => {
                        if stop.wait(PAUSE) {
                            return Ok(None);
                        }
                    }
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
        let (ip, party) = (None, Party::Local);
        Self { ip, party, name }
    }

    fn new(address: &socket2::SockAddr) -> Self {
        match (address.as_socket(), address.as_vsock_address()) {
            (Some(address), _) => Self::at(address),
            (None, Some((cid, port))) => Self {
                party: Party::Machine(cid),
                ..Self::named(format!("vsock:{cid}:{port}"))
            },
            (None, None) => Self::named("a local client".into()),
        }
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let party = match address.ip() {
            IpAddr::V4(host) => Party::Host(host),
            IpAddr::V6(host) => {
                let [network @ .., _, _, _, _, _, _, _, _] = host.octets();
                Party::Network(network)
            }
        };
        Self {
            ip: Some(address.ip()),
            party,
            name: address.to_string(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// At the path of a Unix socket is a file of another type.
fn is_something_else(address: &Address) -> bool {
    matches!(address, Address::Unix(path) if !is_socket(path))
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|entry| entry.file_type().is_socket())
}

/// A server that was killed leaves the path of its socket behind.
fn remove_unserved(path: &Path) -> io::Result<()> {
    let served = || Address::Unix(path.into()).connect();
    match is_socket(path).then(served) {
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
        let prefix: u8 = prefix
            .map_or(Ok(all), str::parse)
            .map_err(|_| NetworkError)?;
        if prefix > all {
            return Err(NetworkError);
        }
        let canonical = address.to_canonical();
        let (address, prefix) = match prefix.checked_sub(all - 32) {
            Some(prefix) if canonical.is_ipv4() => (canonical, prefix),
            _ => (address, prefix),
        };
        Ok(Self { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn a_socket_that_does_not_listen_any_more_is_an_error() {
        let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
        listener.socket.shutdown(Shutdown::Both).unwrap();
        assert!(listener.accept(&Stop::new().unwrap()).is_err());
    }

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
        assert!(contains("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(contains("::ffff:127.0.0.0/104", "::ffff:127.9.9.9"));
        assert!(!contains("::ffff:127.0.0.0/104", "128.0.0.1"));
        assert!(!contains("::ffff:127.0.0.1/0", "127.0.0.1"));
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
