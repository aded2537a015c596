//! A sound card that hears itself.

use usb_transfer::{DeviceDescriptors, Frame, Function, FunctionEvent, Transfer, TransferId};

use super::device::{Audio, AudioEvent};
use crate::{DeviceError, DeviceOptions};

/// An [`Audio`] whose line out goes into its line in: the host records what it plays, sample for
/// sample, [`LATENCY`](Self::LATENCY) later. Without a copy, the bytes that came in a transfer go
/// back in another.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{AudioLoopback, DeviceOptions};
/// use usb_transfer::{Function, Transfer, TransferIds};
///
/// let mut audio = AudioLoopback::new(DeviceOptions::new(Speed::High))?;
/// let mut ids = TransferIds::default();
/// audio.submit(Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1)));
/// assert_eq!(audio.next_frame(), None); // nothing flows
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct AudioLoopback {
    audio: Audio,
}

impl AudioLoopback {
    /// How much later it is recorded, in milliseconds: more than a host that is late catches up on,
    /// so that playing and recording may be late by themselves.
    pub const LATENCY: u16 = 150;

    /// A loopback with nothing in it.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        let mut audio = Audio::new(options)?;
        audio.set_latency(Self::LATENCY);
        Ok(Self { audio })
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.audio.descriptors()
    }

    /// Takes the device away from the host, as [`Audio::detach`] does.
    pub fn detach(&mut self) {
        self.audio.detach();
    }

    fn join(&mut self) {
        while let Some(event) = self.audio.poll_event() {
            if let AudioEvent::Played(samples) = event {
                self.audio.supply(samples);
            }
        }
    }
}

impl Function for AudioLoopback {
    fn submit(&mut self, transfer: Transfer) {
        self.audio.submit(transfer);
        self.join();
    }

    fn cancel(&mut self, id: TransferId) {
        self.audio.cancel(id);
    }

    fn reset(&mut self) {
        self.audio.reset();
        self.join();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.audio.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.audio.start_of_frame(now);
        self.join();
    }

    fn next_frame(&self) -> Option<Frame> {
        self.audio.next_frame()
    }
}
