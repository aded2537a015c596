//! What an operating system lets a program do with a USB device.

use std::fmt;

use thiserror::Error;
use usb_descriptors::EndpointAddress;
use usb_transfer::{Endpoint, FunctionEvent, Status, Transfer, TransferId};

/// What [`Passthrough`](super::Passthrough) needs of the operating system: the requests that
/// change the state that the system keeps of a device, which must not be sent past it, and the
/// transfers.
///
/// The calls that change state wait for the device. When they are made, nothing is under way at
/// what they stop.
pub trait HostApi: fmt::Debug {
    /// Takes an interface from the driver that has it.
    ///
    /// # Errors
    /// Another program has it, or the system refuses.
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError>;

    /// Lets go of an interface. It has no driver then.
    fn release(&mut self, interface: u8);

    /// Lets the system's drivers have an interface again. No interface is claimed: some drivers
    /// want several.
    fn connect_driver(&mut self, interface: u8);

    /// Selects a configuration; 0 for none. No interface is claimed.
    ///
    /// # Errors
    /// The device's answer, or the system's.
    fn set_configuration(&mut self, value: u8) -> Result<(), Status>;

    /// Selects an alternate setting of an interface.
    ///
    /// # Errors
    /// The device's answer, or the system's.
    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status>;

    /// Gives all bulk endpoints of an interface that can have streams so many, or fewer: how many is
    /// told. What is under way at the interface may be cancelled. They go with the alternate setting,
    /// and the claim.
    ///
    /// # Errors
    /// The system has none.
    fn allocate_streams(
        &mut self,
        endpoints: &[EndpointAddress],
        streams: u32,
    ) -> Result<u32, Status>;

    /// Ends the halt of an endpoint.
    ///
    /// # Errors
    /// The device's answer, or the system's.
    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status>;

    /// Resets the device. It has the configuration that it had and all alternate settings are 0. No
    /// interface is claimed.
    ///
    /// # Errors
    /// It is not the same device any more, or has gone.
    fn reset(&mut self) -> Result<(), Status>;

    /// Starts a transfer of its kind on an endpoint that exists, or a control transfer on endpoint 0.
    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>);

    /// Asks to end a transfer early; its completion still comes. An id that is not under way is
    /// ignored.
    fn cancel(&mut self, id: TransferId);

    /// What has happened, in order. After [`FunctionEvent::Detached`] nothing more is asked.
    fn poll(&mut self) -> Option<FunctionEvent>;
}

impl<H: HostApi + ?Sized> HostApi for Box<H> {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        (**self).claim(interface)
    }
    fn release(&mut self, interface: u8) {
        (**self).release(interface);
    }
    fn connect_driver(&mut self, interface: u8) {
        (**self).connect_driver(interface);
    }
    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        (**self).set_configuration(value)
    }
    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        (**self).set_interface(number, alternate)
    }
    fn allocate_streams(
        &mut self,
        endpoints: &[EndpointAddress],
        streams: u32,
    ) -> Result<u32, Status> {
        (**self).allocate_streams(endpoints, streams)
    }
    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        (**self).clear_halt(endpoint)
    }
    fn reset(&mut self) -> Result<(), Status> {
        (**self).reset()
    }
    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        (**self).submit(transfer, endpoint);
    }
    fn cancel(&mut self, id: TransferId) {
        (**self).cancel(id);
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        (**self).poll()
    }
}

/// Why an interface cannot be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ClaimError {
    /// Somebody else has it.
    #[error("interface {interface} is in use by {holder}")]
    Busy {
        /// Its number.
        interface: u8,
        /// Who has it, as far as the system says.
        holder: String,
    },
    /// The system refuses.
    #[error("interface {interface} cannot be claimed: {reason}")]
    Refused {
        /// Its number.
        interface: u8,
        /// In the system's words.
        reason: String,
    },
}
