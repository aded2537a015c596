//! A device of another server, offered once more.

use std::io;

use thiserror::Error;
use usbip_proto::{BusId, DeviceRecord, Limits, ProtocolError, client, server};

use crate::server::Device;
use crate::{
    Address, ImportError, Sleeper, Stop, Stream, StreamError, bridge, import, list, patiently,
};

/// The way to a device at another server, which is imported anew for each client: so a client gets
/// a device that nobody uses, and the other server sees it end when the client does.
#[derive(Debug)]
pub struct Relay {
    address: Address,
    record: DeviceRecord,
    far: Option<(Stream, client::Session)>,
}

/// Why a device cannot be relayed.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The server does not let it be imported now.
    #[error("the server does not list {0}")]
    NotListed(BusId),
    /// The bus id now names another device.
    #[error("{0} is another device now")]
    Changed(BusId),
    /// The server did not answer as it should.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Was told to stop before the server had answered.
    #[error("was told to stop")]
    Stopped,
}

impl From<io::Error> for RelayError {
    fn from(error: io::Error) -> Self {
        Self::Import(error.into())
    }
}

impl Relay {
    /// Asks the server for its list; nothing is imported yet.
    ///
    /// # Errors
    /// The server cannot be reached or does not list the device.
    pub fn new(address: Address, bus_id: BusId) -> Result<Self, RelayError> {
        let mut stream = Stream::new(address.connect()?)?;
        let devices = list(&mut stream, Limits::default())?;
        let mut devices = devices.into_iter();
        let record = devices
            .find(|device| device.bus_id() == bus_id)
            .ok_or(RelayError::NotListed(bus_id))?;
        Ok(Self {
            address,
            record,
            far: None,
        })
    }

    /// What the server says of the device.
    #[must_use]
    pub const fn record(&self) -> &DeviceRecord {
        &self.record
    }

    fn import(&mut self, stop: &Stop) -> Result<(), RelayError> {
        let (address, bus_id) = (self.address.clone(), self.record.bus_id());
        let import = move || {
            let mut stream = Stream::new(address.connect()?)?;
            let (record, session) = import(&mut stream, bus_id, Limits::default())?;
            Ok((stream, record, session))
        };
        let imported = stop.unless(|| patiently(import, ImportError::is_busy))?;
        let (stream, record, session) = imported.ok_or(RelayError::Stopped)??;
        let identity = |record: &DeviceRecord| {
            let product = (record.vendor_id(), record.product_id());
            (product, record.device_release(), record.speed_code())
        };
        if identity(&record) != identity(&self.record) {
            return Err(RelayError::Changed(bus_id));
        }
        self.far = Some((stream, session));
        Ok(())
    }
}

impl Device for Relay {
    fn open(&mut self, stop: &Stop) -> Result<(), String> {
        self.import(stop)
            .map_err(|error| format!("{}: {error}", self.address))
    }

    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut server::Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        match self.far.take() {
            Some((mut far, mut device)) => {
                let sleeper = Sleeper::new();
                bridge(client, session, &mut far, &mut device, &sleeper, |_, _| {
                    false
                })?;
                client.result(session).and(far.result(&mut device))
            }
            None => Ok(()),
        }
    }

    fn left(&mut self) {
        self.far = None;
    }
}
