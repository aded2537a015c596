//! The device of a usbredir host, offered to the clients of a USB/IP server.

use std::time::Duration;

use usb_transfer::{DeviceDescriptors, Function};
use usbip_proto::{BusId, DeviceId, DeviceRecord, ProtocolError, RecordError, server};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Guest, GuestState};

use crate::server::Device;
use crate::{Address, Host, HostError, Sleeper, Stream, StreamError, bridge};

/// A device that a usbredir host gives, for one client after the other. The connection stays while
/// nobody uses the device; a host that has left is dialled again for the next client.
#[derive(Debug)]
pub struct RedirectedDevice {
    address: Address,
    rules: Option<Rules>,
    descriptors: DeviceDescriptors,
    far: Option<(Stream, Guest)>,
}

impl RedirectedDevice {
    /// Connects to a usbredir host, takes its device if the rules allow it, and reads what it is.
    ///
    /// # Errors
    /// The host cannot be reached, has no device for us, or does not describe it.
    pub fn new(address: Address, rules: Option<Rules>) -> Result<Self, HostError> {
        let (host, descriptors) = take(&address, rules.as_ref())?;
        Ok(Self {
            address,
            rules,
            descriptors,
            far: Some(host.into_parts()),
        })
    }

    /// What clients are told of it, when it is offered under this name and number.
    ///
    /// # Errors
    /// Its descriptors cannot be read.
    pub fn record(&self, bus_id: BusId, id: DeviceId) -> Result<DeviceRecord, RecordError> {
        DeviceRecord::new(
            &format!("/usbredir/{bus_id}"),
            bus_id,
            id,
            &self.descriptors,
        )
    }

    /// Whether the device is still there, as far as can be told without waiting.
    fn is_there(&mut self) -> bool {
        let Some((stream, guest)) = &mut self.far else {
            return false;
        };
        let sleeper = Sleeper::new();
        // What is there is received by the first round, and read by the second.
        for _ in 0..2 {
            let looked = sleeper.sleep([&mut *stream], Some(sleeper.after(MOMENT)));
            while stream.turn(guest) {
                while guest.poll().is_some() {}
            }
            if looked.is_err() || stream.finished() || guest.state() != GuestState::Attached {
                return false;
            }
        }
        true
    }
}

/// Enough to look at a socket.
const MOMENT: Duration = Duration::from_millis(1);

impl Device for RedirectedDevice {
    fn open(&mut self) -> Result<(), String> {
        if self.is_there() {
            return Ok(());
        }
        self.far = None;
        let failed = |error| format!("{}: {error}", self.address);
        let (host, descriptors) = take(&self.address, self.rules.as_ref()).map_err(failed)?;
        if descriptors != self.descriptors {
            return Err(format!("{}: has another device now", self.address));
        }
        self.far = Some(host.into_parts());
        Ok(())
    }

    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut server::Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        let Some((stream, guest)) = &mut self.far else {
            return Ok(());
        };
        let sleeper = Sleeper::new();
        bridge(client, session, stream, guest, &sleeper, |_, _| false)?;
        client.result(session)
    }
}

fn take(
    address: &Address,
    rules: Option<&Rules>,
) -> Result<(Host<Guest>, DeviceDescriptors), HostError> {
    let stream = Stream::new(address.connect()?)?;
    let mut host = Host::take(stream, rules.cloned())?;
    let descriptors = host.enumerate()?;
    Ok((host, descriptors))
}
