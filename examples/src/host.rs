//! The user of a device at the far end of a USB/IP connection: a host without a kernel.

use std::io;

use msc_bot::{Initiator, NoBulkOnly, ScsiError, Unit};
use thiserror::Error;
use usb_transfer::{
    Completion, DeviceDescriptors, Enumerator, Frontend, Function, HostEvent, Segments, Status,
    exchange,
};
use usbip_proto::client::{Handshake, HandshakeEvent, Session};
use usbip_proto::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

use crate::run::tick;
use crate::{Sleeper, Stream, StreamError};

/// A device that was imported from a server, ready for any [`Frontend`].
#[derive(Debug)]
pub struct Host {
    stream: Stream,
    sleeper: Sleeper,
    record: DeviceRecord,
    session: Session,
}

/// Why a host did not get what it wanted of a device.
#[derive(Debug, Error)]
pub enum HostError {
    /// The server refuses the device.
    #[error("the server refuses the device: {0}")]
    Refused(OpStatus),
    /// The server has left.
    #[error("the server closed the connection")]
    Closed,
    /// The server broke the protocol, or the connection failed.
    #[error(transparent)]
    Stream(#[from] StreamError<ProtocolError>),
    /// The device does not tell its descriptors.
    #[error("the device's descriptors cannot be read: {0}")]
    Descriptors(Status),
    /// It is no disk.
    #[error(transparent)]
    NoDisk(#[from] NoBulkOnly),
    /// The disk does not do what it was asked.
    #[error("disk: {0}")]
    Disk(#[from] ScsiError),
}

impl From<io::Error> for HostError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.into())
    }
}

impl Host {
    /// Imports a device from the server at the far end.
    ///
    /// # Errors
    /// The server refuses it, or the connection does not last so long.
    pub fn import(mut stream: Stream, bus_id: BusId, limits: Limits) -> Result<Self, HostError> {
        let sleeper = Sleeper::new();
        let mut handshake = Handshake::import(bus_id, limits);
        loop {
            match handshake.poll() {
                Some(HandshakeEvent::Refused(status)) => return Err(HostError::Refused(status)),
                Some(HandshakeEvent::Imported(record)) => match handshake.into_session() {
                    Ok(session) => {
                        return Ok(Self {
                            stream,
                            sleeper,
                            record,
                            session,
                        });
                    }
                    Err(same) => handshake = same,
                },
                _ => {}
            }
            if stream.turn(&mut handshake) {
                continue;
            }
            if stream.finished() {
                stream.result(&mut handshake)?;
                return Err(HostError::Closed);
            }
            sleeper.sleep([&mut stream], None)?;
        }
    }

    /// What the server says of the device.
    #[must_use]
    pub const fn record(&self) -> &DeviceRecord {
        &self.record
    }

    /// Lets a frontend use the device until `result` finds in it what is wanted.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn drive<F: Frontend, T>(
        &mut self,
        frontend: &mut F,
        mut result: impl FnMut(&mut F) -> Option<T>,
    ) -> Result<T, HostError> {
        loop {
            tick(&self.sleeper, &mut self.session);
            exchange(frontend, &mut self.session);
            if let Some(result) = result(frontend) {
                return Ok(result);
            }
            if self.stream.turn(&mut self.session) {
                continue;
            }
            if self.stream.finished() {
                self.stream.result(&mut self.session)?;
                return Err(HostError::Closed);
            }
            self.sleeper
                .sleep([&mut self.stream], self.session.next_frame())?;
        }
    }

    /// Reads all descriptors.
    ///
    /// # Errors
    /// The device does not give them, or the connection ended.
    pub fn enumerate(&mut self) -> Result<DeviceDescriptors, HostError> {
        let speed = self.record.speed_code().speed();
        let mut enumerator = Enumerator::new(speed.unwrap_or(usb_descriptors::Speed::High));
        self.drive(&mut enumerator, Enumerator::result)?
            .map_err(HostError::Descriptors)
    }

    /// Reads a whole disk, in order, and hands each piece with its offset to `sink`.
    ///
    /// # Errors
    /// The device is no disk, cannot be read, or the connection ended.
    pub fn read_disk(
        &mut self,
        device: &DeviceDescriptors,
        sink: impl FnMut(u64, Segments),
    ) -> Result<Unit, HostError> {
        let mut reader = Reader::new(Initiator::new(device)?, sink);
        Ok(self.drive(&mut reader, |reader| reader.outcome.take())??)
    }
}

/// Asks for one piece after the other.
struct Reader<S> {
    initiator: Initiator,
    sink: S,
    /// The block to ask for next.
    next: u64,
    /// Pieces that were asked for.
    due: usize,
    /// Bytes that came.
    offset: u64,
    outcome: Option<Result<Unit, ScsiError>>,
}

impl<S: FnMut(u64, Segments)> Reader<S> {
    /// Bytes in a piece.
    const PIECE: u32 = 1 << 20;
    /// While one is looked at, the next is under way.
    const AHEAD: usize = 2;

    fn new(initiator: Initiator, sink: S) -> Self {
        Self {
            initiator,
            sink,
            next: 0,
            due: 0,
            offset: 0,
            outcome: None,
        }
    }

    fn advance(&mut self) -> Result<(), ScsiError> {
        while let Some((_, result)) = self.initiator.result() {
            let data = result?;
            let length = data.len() as u64;
            (self.sink)(self.offset, data);
            self.offset += length;
            self.due -= 1;
        }
        if let Some(error) = self.initiator.error() {
            return Err(error);
        }
        let Some(unit) = self.initiator.unit().cloned() else {
            return Ok(());
        };
        while self.due < Self::AHEAD && self.next < unit.blocks {
            let piece = (Self::PIECE / unit.block_size).max(1);
            let left = u32::try_from(unit.blocks - self.next).unwrap_or(u32::MAX);
            let blocks = piece.min(left);
            self.initiator.read(self.next, blocks);
            self.next += u64::from(blocks);
            self.due += 1;
        }
        if self.due == 0 {
            self.end(Ok(unit));
        }
        Ok(())
    }

    fn end(&mut self, outcome: Result<Unit, ScsiError>) {
        self.outcome = Some(outcome);
        self.initiator.close();
    }
}

impl<S: FnMut(u64, Segments)> Frontend for Reader<S> {
    fn poll(&mut self) -> Option<HostEvent> {
        if self.outcome.is_none() {
            if let Err(error) = self.advance() {
                self.end(Err(error));
            }
        }
        self.initiator.poll()
    }

    fn complete(&mut self, completion: Completion) {
        self.initiator.complete(completion);
    }

    fn detach(&mut self) {
        self.initiator.detach();
    }

    fn pending(&self) -> usize {
        self.initiator.pending()
    }
}
