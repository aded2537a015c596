//! Where a server is, or is to be: TCP, a Unix socket, or vsock.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use thiserror::Error;

/// The port of USB/IP, unless told otherwise (`tools/usb/usbip/src/usbip_network.c`).
pub const DEFAULT_PORT: u16 = 3240;

/// An address as programs take it: `tcp:HOST:PORT`, `unix:PATH` or `vsock:CID:PORT`.
///
/// ```
/// use examples::Address;
/// let address: Address = "tcp:[::1]:3240".parse()?;
/// assert_eq!(address.to_string(), "tcp:[::1]:3240");
/// assert_eq!("tcp:localhost".parse::<Address>()?.to_string(), "tcp:localhost:3240");
/// assert!("localhost:3240".parse::<Address>().is_err());
/// # Ok::<(), examples::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A host's name or number, and a port.
    Tcp {
        /// Without the brackets around a number of IPv6.
        host: String,
        /// [`DEFAULT_PORT`] where none was given.
        port: u16,
    },
    /// The path of a Unix stream socket.
    Unix(PathBuf),
    /// Between a virtual machine and its host.
    Vsock {
        /// Which machine: 1 is this one, 2 the host.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// What is no [`Address`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("an address is tcp:HOST:PORT, unix:PATH or vsock:CID:PORT")]
pub struct AddressError;

/// How long a host may take to accept a TCP connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A peer that says nothing is asked whether it is still there after so long, and so often, before
/// the connection is given up.
const IDLE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

impl Address {
    /// Connects to a server there.
    ///
    /// # Errors
    /// Nobody listens there, or the name is not known.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        self.try_to_connect().map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::NotFound => {
                explained(&error, "nobody listens there")
            }
            ErrorKind::TimedOut => {
                explained(&error, "the machine is off, or a firewall is in the way")
            }
            _ => error,
        })
    }

    fn try_to_connect(&self) -> io::Result<OwnedFd> {
        let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
        for (domain, address) in self.resolve()? {
            let socket = Socket::new(domain, Type::STREAM, None)?;
            let connected = if domain == Domain::UNIX || domain == Domain::VSOCK {
                socket.connect(&address)
            } else {
                socket.connect_timeout(&address, PATIENCE)
            };
            match connected.and_then(|()| watch(&socket)) {
                Ok(()) => return Ok(socket.into()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// All that its name stands for.
    pub(crate) fn resolve(&self) -> io::Result<Vec<(Domain, SockAddr)>> {
        Ok(match self {
            Self::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()?
                .map(|address| match address {
                    SocketAddr::V4(_) => (Domain::IPV4, address.into()),
                    SocketAddr::V6(_) => (Domain::IPV6, address.into()),
                })
                .collect(),
            Self::Unix(path) => vec![(Domain::UNIX, SockAddr::unix(path)?)],
            Self::Vsock { cid, port } => vec![(Domain::VSOCK, SockAddr::vsock(*cid, *port))],
        })
    }
}

/// An error of the system's, with what people may make of it.
pub(crate) fn explained(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error}: {what}"))
}

/// Has the system notice a TCP peer that is gone without a word; otherwise it would keep a device
/// for ever.
pub(crate) fn watch(socket: &Socket) -> io::Result<()> {
    let domain = socket.domain()?;
    if domain == Domain::IPV4 || domain == Domain::IPV6 {
        let keepalive = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL);
        socket.set_tcp_keepalive(&keepalive.with_retries(PROBES))?;
        socket.set_tcp_user_timeout(Some(IDLE + INTERVAL * PROBES))?;
    }
    Ok(())
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (kind, rest) = text.split_once(':').ok_or(AddressError)?;
        let address = match kind {
            "tcp" => {
                let (host, port) = host_and_port(rest).ok_or(AddressError)?;
                let host = host.into();
                Self::Tcp { host, port }
            }
            "unix" if !rest.is_empty() => Self::Unix(rest.into()),
            "vsock" => {
                let (cid, port) = rest.split_once(':').ok_or(AddressError)?;
                let number = |text: &str| text.parse().map_err(|_| AddressError);
                Self::Vsock {
                    cid: number(cid)?,
                    port: number(port)?,
                }
            }
            _ => return Err(AddressError),
        };
        Ok(address)
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']')?;
            (
                host,
                rest.strip_prefix(':').or(rest.is_empty().then_some("")),
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let port = match port? {
        "" if !text.ends_with(':') => DEFAULT_PORT,
        port => port.parse().ok()?,
    };
    (!host.is_empty()).then_some((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("tcp:localhost:1", "tcp:localhost:1"),
            ("tcp:10.0.0.1", "tcp:10.0.0.1:3240"),
            ("tcp:[::]:65535", "tcp:[::]:65535"),
            ("tcp:[fe80::1]", "tcp:[fe80::1]:3240"),
            ("unix:/run/usb:ip", "unix:/run/usb:ip"),
            ("unix:relative", "unix:relative"),
            ("vsock:2:3240", "vsock:2:3240"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "tcp",
            "tcp:",
            "tcp::1",
            "tcp:host:",
            "tcp:host:65536",
            "tcp:host:1:2",
            "tcp:::1",
            "tcp:[::1",
            "tcp:[]:1",
            "tcp:[::1]x",
            "tcp:[::1]:",
            "unix:",
            "vsock:1",
            "vsock:1:",
            "vsock:-1:1",
            "vsock:host:1",
            "udp:host:1",
            "host:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }
}
