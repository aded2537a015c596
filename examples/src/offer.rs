//! The start of a USB/IP connection, at the server.

use usbip_proto::server::{Handshake, HandshakeEvent, Session};
use usbip_proto::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

use crate::{Sleeper, Stream, StreamError};

/// Offers devices to a client until it imports one, and tells which. `None`: it left without.
///
/// # Errors
/// The client broke the protocol, or the connection failed.
pub fn offer(
    stream: &mut Stream,
    sleeper: &Sleeper,
    devices: &[DeviceRecord],
    limits: Limits,
) -> Result<Option<(BusId, Session)>, StreamError<ProtocolError>> {
    let mut handshake = Handshake::new(limits);
    loop {
        match handshake.poll() {
            Some(HandshakeEvent::List(request)) => handshake.list(request, devices),
            Some(HandshakeEvent::Import(request)) => {
                let bus_id = request.bus_id();
                match devices.iter().find(|device| device.bus_id() == bus_id) {
                    Some(device) => return Ok(Some((bus_id, handshake.accept(request, device)))),
                    None => handshake.reject(request, OpStatus::NO_DEVICE),
                }
            }
            _ => {}
        }
        if stream.turn(&mut handshake) {
            continue;
        }
        if stream.finished() {
            return stream.result(&mut handshake).map(|()| None);
        }
        sleeper.sleep([stream], None)?;
    }
}
