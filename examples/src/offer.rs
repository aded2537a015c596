//! The start of a USB/IP connection, at the server.

use std::io;

use usb_transfer::Frame;
use usbip_proto::server::{Handshake, HandshakeEvent, Session};
use usbip_proto::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

use crate::{Sleeper, Stream, StreamError};

/// What a server has, and who gets it.
pub trait Offers {
    /// What a client was granted.
    type Granted;

    /// The devices that may be imported now.
    fn list(&self) -> Vec<DeviceRecord>;

    /// Grants a device.
    ///
    /// # Errors
    /// What the client is told instead.
    fn grant(&self, bus_id: BusId) -> Result<(DeviceRecord, Self::Granted), OpStatus>;
}

/// Devices that anybody may have, and the one that was chosen.
impl Offers for [DeviceRecord] {
    type Granted = BusId;

    fn list(&self) -> Vec<DeviceRecord> {
        self.to_vec()
    }

    fn grant(&self, bus_id: BusId) -> Result<(DeviceRecord, BusId), OpStatus> {
        let found = self.iter().find(|device| device.bus_id() == bus_id);
        let record = found.ok_or(OpStatus::NO_DEVICE)?;
        Ok((record.clone(), bus_id))
    }
}

/// Offers devices to a client until it is granted one. `None`: it left without. A client that has
/// not chosen by `until` is given up.
///
/// # Errors
/// The client broke the protocol or took too long, or the connection failed.
pub fn offer<O: Offers + ?Sized>(
    stream: &mut Stream,
    sleeper: &Sleeper,
    devices: &O,
    limits: Limits,
    until: Option<Frame>,
) -> Result<Option<(O::Granted, Session)>, StreamError<ProtocolError>> {
    let mut handshake = Handshake::new(limits);
    loop {
        match handshake.poll() {
            Some(HandshakeEvent::List(request)) => handshake.list(request, &devices.list()),
            Some(HandshakeEvent::Import(request)) => match devices.grant(request.bus_id()) {
                Ok((record, granted)) => {
                    return Ok(Some((granted, handshake.accept(request, &record))));
                }
                Err(status) => handshake.reject(request, status),
            },
            _ => {}
        }
        if stream.turn(&mut handshake) {
            continue;
        }
        if stream.finished() {
            return stream.result(&mut handshake).map(|()| None);
        }
        wait(stream, sleeper, until)?;
    }
}

/// Sleeps, but not beyond `until`.
pub(crate) fn wait(stream: &mut Stream, sleeper: &Sleeper, until: Option<Frame>) -> io::Result<()> {
    if until.is_some_and(|until| sleeper.now() >= until) {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    }
    sleeper.sleep([stream], until).map(|_| ())
}
