//! The start of a USB/IP connection, at the client.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use usbip_proto::client::{Handshake, HandshakeEvent, Session};
use usbip_proto::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

use crate::offer::wait;
use crate::{Address, Sleeper, Stream, StreamError};

/// Why a server did not give what it was asked for.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It refuses.
    #[error("the server refuses: {0}{remedy}", remedy = Self::remedy(*.0))]
    Refused(OpStatus),
    /// It has left.
    #[error("the server closed the connection")]
    Closed,
    /// It sent more than it was asked for, before it was asked.
    #[error("the server sent {0} bytes that it was not asked for")]
    Unasked(usize),
    /// It broke the protocol or took too long, or the connection failed.
    #[error(transparent)]
    Stream(#[from] StreamError<ProtocolError>),
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.into())
    }
}

impl ImportError {
    const fn remedy(status: OpStatus) -> &'static str {
        match status {
            OpStatus::NO_DEVICE => "; its list tells what it has",
            OpStatus::DEVICE_ERROR => "; it may tell why where it runs",
            _ => "",
        }
    }

    /// Somebody uses the device.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused(OpStatus::BUSY))
    }
}

/// Tries again for a moment while a device is in use: a server may not yet have seen that its last
/// user has left.
///
/// # Errors
/// Those of the last attempt.
pub fn patiently<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_busy: impl Fn(&E) -> bool,
) -> Result<T, E> {
    const ATTEMPTS: u32 = 10;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if is_busy(&error) => thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
    attempt()
}

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a server for the devices that may be imported from it.
///
/// # Errors
/// [`ImportError`] says why there is no list.
pub fn list(stream: &mut Stream, limits: Limits) -> Result<Vec<DeviceRecord>, ImportError> {
    let mut devices = Vec::new();
    let (_, ()) = ask(stream, Handshake::list(limits), |event| {
        match event {
            HandshakeEvent::Device(device) => devices.push(device),
            HandshakeEvent::EndOfList => return Some(()),
            _ => {}
        }
        None
    })?;
    Ok(devices)
}

/// Imports a device from a server: what the server says of it, and the session with it.
///
/// # Errors
/// [`ImportError`] says why not.
pub fn import(
    stream: &mut Stream,
    bus_id: BusId,
    limits: Limits,
) -> Result<(DeviceRecord, Session), ImportError> {
    let handshake = Handshake::import(bus_id, limits);
    let (handshake, record) = ask(stream, handshake, |event| match event {
        HandshakeEvent::Imported(record) => Some(record),
        _ => None,
    })?;
    let session = handshake.into_session().map_err(|_| ImportError::Closed)?;
    Ok((record, session))
}

/// Imports a device, for somebody else to use: what the server says of it, and the socket.
///
/// # Errors
/// [`ImportError`] says why not.
pub fn import_socket(
    mut stream: Stream,
    bus_id: BusId,
) -> Result<(DeviceRecord, OwnedFd), ImportError> {
    let (record, _) = import(&mut stream, bus_id, Limits::default())?;
    Ok((record, into_socket(stream)?))
}

/// What a device was imported over, for somebody else to use.
pub(crate) fn into_socket(stream: Stream) -> Result<OwnedFd, ImportError> {
    let (socket, received) = stream.into_parts();
    if !received.is_empty() {
        return Err(ImportError::Unasked(received.len()));
    }
    Ok(socket)
}

/// Connects to a server and imports a device, for the kernel to use.
///
/// # Errors
/// [`ImportError`] says why not.
pub fn import_from(
    address: &Address,
    bus_id: BusId,
) -> Result<(DeviceRecord, OwnedFd), ImportError> {
    let import = || import_socket(Stream::new(address.connect()?)?, bus_id);
    patiently(import, ImportError::is_busy)
}

fn ask<T>(
    stream: &mut Stream,
    mut handshake: Handshake,
    mut answer: impl FnMut(HandshakeEvent) -> Option<T>,
) -> Result<(Handshake, T), ImportError> {
    let sleeper = Sleeper::new();
    let until = sleeper.after(PATIENCE);
    loop {
        match handshake.poll() {
            Some(HandshakeEvent::Refused(status)) => return Err(ImportError::Refused(status)),
            Some(event) => {
                if let Some(answer) = answer(event) {
                    return Ok((handshake, answer));
                }
            }
            None => {}
        }
        if stream.turn(&mut handshake) {
            continue;
        }
        if stream.finished() {
            stream.result(&mut handshake)?;
            return Err(ImportError::Closed);
        }
        wait(stream, &sleeper, Some(until))?;
    }
}
