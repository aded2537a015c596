//! A device together with what uses it on this side.

use usb_transfer::{Frame, Function, FunctionEvent, Transfer, TransferId};

/// A device whose user is asked, whenever the host is served, what to do with it: to type, to take
/// what was received. A user that has something to do at another time wakes the loop by the
/// [`Waker`](std::task::Waker) of its [`Sleeper`](crate::Sleeper).
///
/// ```
/// use examples::Driven;
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, Serial, SerialEvent};
/// use usb_transfer::Function;
///
/// let serial = Serial::new(DeviceOptions::new(Speed::High))?;
/// let mut shouting = Driven::new(serial, |serial: &mut Serial| {
///     while let Some(event) = serial.poll_event() {
///         if let SerialEvent::Received(bytes) = event {
///             let _ = serial.send(bytes.to_ascii_uppercase().into());
///         }
///     }
/// });
/// assert_eq!(shouting.poll(), None);
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct Driven<D, U> {
    device: D,
    user: U,
}

impl<D: Function, U: FnMut(&mut D)> Driven<D, U> {
    /// A device with its user.
    #[must_use]
    pub const fn new(device: D, user: U) -> Self {
        Self { device, user }
    }

    /// The device, which nobody uses any more.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }
}

impl<D: Function, U: FnMut(&mut D)> Function for Driven<D, U> {
    fn submit(&mut self, transfer: Transfer) {
        self.device.submit(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
    }

    fn reset(&mut self) {
        self.device.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        (self.user)(&mut self.device);
        self.device.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.device.start_of_frame(now);
    }

    fn next_frame(&self) -> Option<Frame> {
        self.device.next_frame()
    }
}
