//! The device of a usbredir host, offered to the clients of a USB/IP server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use usb_transfer::{DeviceDescriptors, Function};
use usbip_proto::{BusId, DeviceId, DeviceRecord, ProtocolError, RecordError, server};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Guest, GuestState};

use crate::server::Device;
use crate::{Address, Host, HostError, Sleeper, Stop, Stream, StreamError, bridge};

/// A device that a usbredir host gives, for one client after the other. The connection stays while
/// nobody uses the device, and a thread answers the host; one that has left is dialled again for the
/// next client.
#[derive(Debug)]
pub struct RedirectedDevice {
    address: Address,
    rules: Option<Rules>,
    descriptors: DeviceDescriptors,
    idle: Option<Idle>,
    far: Option<(Stream, Guest)>,
}

/// A connection that nobody uses.
#[derive(Debug)]
struct Idle {
    is_over: Arc<AtomicBool>,
    waker: Waker,
    /// Gives the connection back, while there is a device.
    thread: JoinHandle<Option<(Stream, Guest)>>,
}

impl Idle {
    fn new(mut stream: Stream, mut guest: Guest) -> io::Result<Self> {
        let mut sleeper = Sleeper::new();
        let waker = sleeper.waker()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("idle".into());
        let thread = thread.spawn(move || {
            loop {
                while stream.turn(&mut guest) {
                    while guest.poll().is_some() {}
                }
                if stream.finished() || guest.state() != GuestState::Attached {
                    return None;
                }
                if asked.load(Ordering::Acquire) {
                    return Some((stream, guest));
                }
                sleeper.sleep([&mut stream], None).ok()?;
            }
        })?;
        Ok(Self {
            is_over,
            waker,
            thread,
        })
    }

    /// The connection, to be used; `None` where the device is gone.
    fn end(self) -> Option<(Stream, Guest)> {
        self.is_over.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.join().ok().flatten()
    }
}

impl RedirectedDevice {
    /// Connects to a usbredir host, takes its device if the rules allow it, and reads what it is.
    ///
    /// # Errors
    /// The host cannot be reached, has no device for us, or does not describe it.
    pub fn new(address: Address, rules: Option<Rules>) -> Result<Self, HostError> {
        let (host, descriptors) = take(&address, rules.as_ref())?;
        let (stream, guest) = host.into_parts();
        Ok(Self {
            address,
            rules,
            descriptors,
            idle: Some(Idle::new(stream, guest)?),
            far: None,
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
}

impl Device for RedirectedDevice {
    fn open(&mut self, stop: &Stop) -> Result<(), String> {
        self.far = self.idle.take().and_then(Idle::end);
        if self.far.is_some() {
            return Ok(());
        }
        let failed = |error: HostError| format!("{}: {error}", self.address);
        let (address, rules) = (self.address.clone(), self.rules.clone());
        let taken = stop.unless(move || take(&address, rules.as_ref()));
        let taken = taken.map_err(|error| failed(error.into()))?;
        let (host, descriptors) = taken.ok_or("was told to stop")?.map_err(failed)?;
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
        let Some((mut stream, mut guest)) = self.far.take() else {
            return Ok(());
        };
        let sleeper = Sleeper::new();
        bridge(
            client,
            session,
            &mut stream,
            &mut guest,
            &sleeper,
            |_, _| false,
        )?;
        if guest.state() == GuestState::Attached {
            self.idle = Some(Idle::new(stream, guest)?);
        }
        client.result(session)
    }

    fn left(&mut self) {
        self.far = None;
    }

    fn close(&mut self) -> io::Result<()> {
        // The host sees its guest leave.
        drop(self.idle.take().and_then(Idle::end));
        Ok(())
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
