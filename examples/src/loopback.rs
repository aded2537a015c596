//! A device and its user in one process, with all of USB/IP between them.

use std::os::unix::net::UnixStream;
use std::thread;

use thiserror::Error;
use usb_transfer::{DeviceDescriptors, Function};
use usbip_proto::{BusId, DeviceId, DeviceRecord, Limits, RecordError};

use crate::{Host, HostError, Sleeper, Stream, offer, run};

/// Why there is no loopback.
#[derive(Debug, Error)]
pub enum LoopbackError {
    /// The device cannot be described to a client.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The host could not import it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The system gives no socket or thread.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Serves a device in a thread of its own, over a socket pair, and imports it. The thread ends with
/// the host that is returned.
///
/// # Errors
/// [`LoopbackError`] says why not.
pub fn loopback(
    mut device: impl Function + Send + 'static,
    descriptors: &DeviceDescriptors,
) -> Result<Host, LoopbackError> {
    let bus_id: BusId = "1-1".parse()?;
    let record = DeviceRecord::new("/loopback/1-1", bus_id, DeviceId::new(1, 2), descriptors)?;
    let (near, far) = UnixStream::pair()?;
    let mut near = Stream::new(near)?;
    thread::Builder::new()
        .name("device".into())
        .spawn(move || {
            let sleeper = Sleeper::new();
            // Whatever ends it, the host sees the end of the stream and says what it lacks.
            if let Ok(Some((_, mut session))) =
                offer(&mut near, &sleeper, &[record][..], Limits::default(), None)
            {
                let _ = run(&mut near, &sleeper, &mut session, &mut device);
            }
        })?;
    Ok(Host::import(Stream::new(far)?, bus_id, Limits::default())?)
}
