//! A sound card that hears itself.

use usb_transfer::{DeviceDescriptors, Frame, Function, FunctionEvent, Transfer, TransferId};

use super::device::Audio;
use crate::{DeviceError, DeviceOptions};

/// An [`Audio`] whose line out goes into its line in: the host records what it plays, sample for
/// sample, the [latency](Self::set_latency) later.
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
    /// How much later it is recorded by a new loopback, in milliseconds: more than a host that is
    /// late catches up on, so that playing and recording may be late by themselves.
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

    /// How much later it is recorded from the next silence on, as [`Audio::set_latency`] has it.
    pub fn set_latency(&mut self, milliseconds: u16) {
        self.audio.set_latency(milliseconds);
    }

    /// Whether a host has configured it.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.audio.is_configured()
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
}

impl Function for AudioLoopback {
    fn submit(&mut self, transfer: Transfer) {
        self.audio.submit(transfer);
        self.audio.loop_back();
    }

    fn cancel(&mut self, id: TransferId) {
        self.audio.cancel(id);
    }

    fn reset(&mut self) {
        self.audio.reset();
        self.audio.loop_back();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.audio.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.audio.start_of_frame(now);
        self.audio.loop_back();
    }

    fn next_frame(&self) -> Option<Frame> {
        self.audio.next_frame()
    }
}
