//! Linux's own way to USB devices: isochronous transfers, and an end for one transfer of many.

mod packets;
mod transfers;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;
use usb_descriptors::{EndpointAddress, TransferType};
use usb_transfer::{Endpoint, FunctionEvent, Kind, Status, Transfer, TransferId};

use super::host_api::{ClaimError, HostApi};
use super::kernel::{Control, Node, UrbKind};
use transfers::{Place, Tag, Transfers};

/// A device by usbfs (`Documentation/driver-api/usb/usb.rst` of the kernel). Each transfer is one
/// URB of the kernel's, or, for more than 128 isochronous packets, several.
///
/// Its [`AsFd`] can be written to when [`poll`](HostApi::poll) has something to tell.
#[derive(Debug)]
pub struct Usbfs {
    transfers: Transfers<Node<Tag>>,
}

impl Usbfs {
    /// Opens a device node, such as `/dev/bus/usb/001/002`.
    ///
    /// # Errors
    /// There is none, or it is not for this user.
    pub fn open(node: &Path) -> io::Result<Self> {
        let transfers = Transfers::new(Node::open(node)?);
        Ok(Self { transfers })
    }

    /// With what is set when the node hangs up.
    #[must_use]
    pub fn with_hang_up(self, unplugged: Arc<AtomicBool>) -> Self {
        let transfers = self.transfers.with_hang_up(unplugged);
        Self { transfers }
    }

    const fn control(&self) -> &Control {
        self.transfers.node().control()
    }
}

impl HostApi for Usbfs {
    fn claim(&mut self, interface: u8) -> Result<(), ClaimError> {
        self.control().claim(interface)
    }

    fn release(&mut self, interface: u8) {
        // It fails for a device that has gone.
        let _ = self.control().release(interface);
    }

    fn connect_driver(&mut self, interface: u8) {
        // Likewise.
        let _ = self.control().connect_driver(interface);
    }

    fn set_configuration(&mut self, value: u8) -> Result<(), Status> {
        let value = Some(value).filter(|&value| value != 0);
        self.control().set_configuration(value).map_err(status_of)
    }

    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        let set = self.control().set_interface(number, alternate);
        set.map_err(status_of)
    }

    fn allocate_streams(
        &mut self,
        endpoints: &[EndpointAddress],
        streams: u32,
    ) -> Result<u32, Status> {
        let endpoints: Vec<u8> = endpoints.iter().map(|place| place.to_byte()).collect();
        let granted = self.control().allocate_streams(&endpoints, streams);
        granted.map_err(status_of)
    }

    fn clear_halt(&mut self, endpoint: &Endpoint) -> Result<(), Status> {
        let address = endpoint.address.to_byte();
        self.control().clear_halt(address).map_err(status_of)
    }

    fn reset(&mut self) -> Result<(), Status> {
        self.control().reset().map_err(status_of)
    }

    fn submit(&mut self, transfer: Transfer, endpoint: Option<&Endpoint>) {
        let stream = match transfer.kind {
            Kind::Data { stream } => stream.map_or(0, |stream| stream.0.get()),
            Kind::Control(_) | Kind::Isochronous(_) => 0,
        };
        let place = endpoint.map_or(Place::CONTROL, |endpoint| Place {
            kind: match endpoint.transfer_type {
                TransferType::Control => UrbKind::Control,
                TransferType::Isochronous => UrbKind::Isochronous,
                TransferType::Bulk => UrbKind::Bulk,
                TransferType::Interrupt => UrbKind::Interrupt,
            },
            endpoint: endpoint.address.to_byte(),
            stream,
        });
        self.transfers.submit(transfer, place);
    }

    fn cancel(&mut self, id: TransferId) {
        self.transfers.cancel(id);
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.transfers.poll()
    }
}

impl AsFd for Usbfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transfers.node().as_fd()
    }
}

/// Why a call of the kernel failed, as a transfer's status.
fn status_of(error: Errno) -> Status {
    Status::from_errno(-error.raw_os_error())
}

/// How an URB ended. What was discarded says so in two ways.
fn status_of_urb(status: i32) -> Status {
    match Status::from_errno(status) {
        status if status.errno() == -Errno::NOENT.raw_os_error() => Status::CANCELLED,
        status => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_be_discarded_are_one() {
        assert_eq!(status_of_urb(-2), Status::CANCELLED);
        assert_eq!(status_of_urb(-104), Status::CANCELLED);
        assert_eq!(status_of_urb(-32), Status::STALL);
        assert_eq!(status_of(Errno::NODEV), Status::DISCONNECTED);
    }
}
