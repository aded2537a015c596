//! The user of a device at the far end of a USB/IP connection: a host without a kernel.

use std::io;

use msc_bot::{Initiator, NoBulkOnly, ScsiError, Unit};
use thiserror::Error;
use usb_transfer::{DeviceDescriptors, Enumerator, Frontend, Function, Segments, Status, exchange};
use usbip_proto::client::Session;
use usbip_proto::{BusId, DeviceRecord, Limits, ProtocolError};

use crate::disk_job::DiskUser;
use crate::run::tick;
use crate::{
    Address, DiskJob, ImportError, ReadDisk, Sleeper, Stream, StreamError, import, patiently,
};

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
    /// The server does not give the device.
    #[error(transparent)]
    Import(#[from] ImportError),
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
    /// What was to be done with the disk's content failed on this side.
    #[error(transparent)]
    Local(io::Error),
}

impl HostError {
    /// Somebody else uses the device.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Import(error) if error.is_busy())
    }
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
        let (record, session) = import(&mut stream, bus_id, limits)?;
        Ok(Self {
            stream,
            sleeper: Sleeper::new(),
            record,
            session,
        })
    }

    /// Connects to a server and imports a device from it; waits a little where it is in use.
    ///
    /// # Errors
    /// The server cannot be reached, does not give the device, or the connection does not last so
    /// long.
    pub fn open(address: &Address, bus_id: BusId) -> Result<Self, HostError> {
        let import = || {
            let stream = Stream::new(address.connect()?)?;
            Self::import(stream, bus_id, Limits::default())
        };
        patiently(import, HostError::is_busy)
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

    /// Does something with a disk.
    ///
    /// # Errors
    /// The device is no disk, does not do what it is asked, or the connection ended; or the job
    /// itself failed.
    pub fn use_disk(
        &mut self,
        device: &DeviceDescriptors,
        job: &mut impl DiskJob,
    ) -> Result<Unit, HostError> {
        let mut user = DiskUser::new(Initiator::new(device)?, job);
        self.drive(&mut user, DiskUser::outcome)?
    }

    /// Reads a whole disk, in order, and hands each piece with its offset to `sink`.
    ///
    /// # Errors
    /// As of [`use_disk`](Self::use_disk).
    pub fn read_disk(
        &mut self,
        device: &DeviceDescriptors,
        mut sink: impl FnMut(u64, Segments),
    ) -> Result<Unit, HostError> {
        let mut job = ReadDisk::new(0, |_: &Unit, offset, data| {
            sink(offset, data);
            Ok(())
        });
        self.use_disk(device, &mut job)
    }
}
