//! Devices of this machine, for whoever serves them to a host: by USB/IP or by usbredir.

use std::io;

use usb_transfer::{DeviceDescriptors, Function};
use usbip_proto::ProtocolError;
use usbip_proto::server::Session;

use crate::server::Device;
use crate::{Sleeper, Stream, StreamError, run};

/// A function that serves one host after the other.
pub trait Local: Function + Send {
    /// Called before the program ends.
    ///
    /// # Errors
    /// Something that a host left may be lost.
    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether what it still has when its host has gone is waited for in [`close`](Self::close),
    /// and not for ever; by itself, it is given back before.
    fn waits_in_close(&self) -> bool {
        false
    }
}

/// A function with what it says of itself and what its loop waits with.
pub struct LocalDevice {
    /// What it says of itself.
    pub descriptors: DeviceDescriptors,
    /// The clock, and what the function's user wakes the loop by.
    pub sleeper: Sleeper,
    /// The function.
    pub function: Box<dyn Local>,
}

impl LocalDevice {
    /// A function; its user, if it has one, has the sleeper's waker.
    #[must_use]
    pub fn new(
        descriptors: DeviceDescriptors,
        function: impl Local + 'static,
        sleeper: Sleeper,
    ) -> Self {
        Self {
            descriptors,
            sleeper,
            function: Box::new(function),
        }
    }
}

impl std::fmt::Debug for LocalDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalDevice").finish_non_exhaustive()
    }
}

impl Device for LocalDevice {
    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        run(client, &self.sleeper, session, &mut self.function)
    }

    fn close(&mut self) -> io::Result<()> {
        self.function.close()
    }
}
