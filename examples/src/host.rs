//! The user of a device at the far end of a wire: a host without a kernel.

use std::io;
use std::time::Duration;

use msc_bot::{Initiator, NoMassStorage, ScsiError, Unit};
use thiserror::Error;
use usb_descriptors::Speed;
use usb_transfer::{
    DeviceDescriptors, Enumerator, Frontend, Function, Segments, Status, Wire, exchange,
};
use usbip_proto::client::Session;
use usbip_proto::{BusId, Limits, ProtocolError};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Guest, Options};

use crate::disk_job::DiskUser;
use crate::run::tick;
use crate::{
    Address, DiskJob, GuestError, ImportError, ReadDisk, Sleeper, Stream, StreamError, import,
    patiently, take_device,
};

/// A device at the far end of a wire, ready for any [`Frontend`]: one that was imported from a
/// USB/IP server, or with `Host<Guest>` the one of a usbredir host.
#[derive(Debug)]
pub struct Host<D = Session> {
    stream: Stream,
    sleeper: Sleeper,
    device: D,
    speed: Speed,
}

/// Why a host did not get what it wanted of a device.
#[derive(Debug, Error)]
pub enum HostError {
    /// The USB/IP server does not give the device.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The usbredir host has no device for this guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The peer has left, or taken the device away.
    #[error("the device is gone")]
    Gone,
    /// The USB/IP server broke the protocol, or the connection failed.
    #[error(transparent)]
    Stream(#[from] StreamError<ProtocolError>),
    /// The usbredir host broke the protocol, or the connection failed.
    #[error(transparent)]
    GuestStream(#[from] StreamError<usbredir_proto::ProtocolError>),
    /// For so long not a byte came or went, though an answer was due.
    #[error("no answer for {} s", .0.as_secs())]
    Silent(Duration),
    /// The device does not tell its descriptors.
    #[error("the device's descriptors cannot be read: {0}")]
    Descriptors(Status),
    /// It is no disk.
    #[error(transparent)]
    NoDisk(#[from] NoMassStorage),
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
    /// For how long a peer may say nothing that owes an answer.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// Imports a device from the USB/IP server at the far end.
    ///
    /// # Errors
    /// The server refuses it, or the connection does not last so long.
    pub fn import(mut stream: Stream, bus_id: BusId, limits: Limits) -> Result<Self, HostError> {
        let (record, session) = import(&mut stream, bus_id, limits)?;
        let speed = record.speed_code().speed().unwrap_or(Speed::High);
        Ok(Self::new(stream, session, speed))
    }

    /// Connects to a USB/IP server and imports a device from it; waits a little where it is in use.
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
}

impl Host<Guest> {
    /// Takes the device of the usbredir host at the far end, if the rules allow it.
    ///
    /// # Errors
    /// As of [`take_device`].
    pub fn take(stream: Stream, rules: Option<Rules>) -> Result<Self, HostError> {
        Self::take_as(stream, Options::default(), rules)
    }

    /// The same as a guest with these options.
    ///
    /// # Errors
    /// As of [`take_device`].
    pub fn take_as(
        mut stream: Stream,
        options: Options,
        rules: Option<Rules>,
    ) -> Result<Self, HostError> {
        let guest = take_device(&mut stream, options, rules)?;
        let speed = guest
            .device()
            .map_or(Speed::High, usbredir_proto::Device::speed);
        Ok(Self::new(stream, guest, speed))
    }
}

impl<D: Wire + Function> Host<D>
where
    HostError: From<StreamError<D::Error>>,
{
    fn new(stream: Stream, device: D, speed: Speed) -> Self {
        Self {
            stream,
            sleeper: Sleeper::new(),
            device,
            speed,
        }
    }

    /// How fast the device runs.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// The connection and the device, for a loop of the caller's own.
    #[must_use]
    pub fn into_parts(self) -> (Stream, D) {
        (self.stream, self.device)
    }

    /// Lets a frontend use the device until `result` finds in it what is wanted, however long that
    /// takes: a keyboard says nothing until somebody types.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn drive<F: Frontend, T>(
        &mut self,
        frontend: &mut F,
        result: impl FnMut(&mut F) -> Option<T>,
    ) -> Result<T, HostError> {
        self.drive_with(frontend, result, |_| None)
    }

    /// The same, as long as no time passes, longer than `patience` of the frontend, in which not a
    /// byte comes or goes. Time that this side spends does not count.
    fn drive_with<F: Frontend, T>(
        &mut self,
        frontend: &mut F,
        mut result: impl FnMut(&mut F) -> Option<T>,
        patience: impl Fn(&F) -> Option<Duration>,
    ) -> Result<T, HostError> {
        let (mut moved, mut limit) = (None, None);
        loop {
            tick(&self.sleeper, &mut self.device);
            exchange(frontend, &mut self.device);
            if let Some(result) = result(frontend) {
                return Ok(result);
            }
            if self.stream.turn(&mut self.device) {
                continue;
            }
            if self.stream.finished() {
                self.stream.result(&mut self.device)?;
                return Err(HostError::Gone);
            }
            if moved != Some(self.stream.moved()) {
                moved = Some(self.stream.moved());
                limit = patience(frontend).map(|time| (self.sleeper.after(time), time));
            } else if let Some((until, time)) = limit {
                if self.sleeper.now() >= until {
                    return Err(HostError::Silent(time));
                }
            }
            let limit = limit.map(|(until, _)| until);
            let until = self.device.next_frame().into_iter().chain(limit).min();
            self.sleeper.sleep([&mut self.stream], until)?;
        }
    }

    /// Reads all descriptors.
    ///
    /// # Errors
    /// The device does not give them, nothing came for [`Host::PATIENCE`], or the connection ended.
    pub fn enumerate(&mut self) -> Result<DeviceDescriptors, HostError> {
        let mut enumerator = Enumerator::new(self.speed);
        let patience = |_: &_| Some(Host::PATIENCE);
        self.drive_with(&mut enumerator, Enumerator::result, patience)?
            .map_err(HostError::Descriptors)
    }

    /// Does something with a disk.
    ///
    /// # Errors
    /// The device is no disk, does not do what it is asked, nothing came for as long as the job
    /// has patience, or the connection ended; or the job itself failed.
    pub fn use_disk(
        &mut self,
        device: &DeviceDescriptors,
        job: &mut impl DiskJob,
    ) -> Result<Unit, HostError> {
        let mut user = DiskUser::new(Initiator::new(device)?, job);
        let patience = |user: &DiskUser<'_, _>| Some(user.patience());
        self.drive_with(&mut user, DiskUser::outcome, patience)?
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
        let mut job = ReadDisk::new(|_: &Unit, offset, data| {
            sink(offset, data);
            Ok(())
        });
        self.use_disk(device, &mut job)
    }
}
