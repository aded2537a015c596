//! Bulk-Only Transport (USB-IF, "Universal Serial Bus Mass Storage Class Bulk-Only Transport",
//! revision 1.0; here "BOT 1.0").

mod device;
mod options;
mod transport;
mod wrapper;

pub use device::BotDevice;
pub(crate) use device::MAX_IN;
pub use options::{BotError, BotOptions, ShortIn};
pub(crate) use transport::{Pipes, Transport, get_max_lun};

/// Class requests (BOT 1.0, table 3.1 and 3.2): `bmRequestType` and `bRequest`.
mod request {
    use usb_descriptors::RequestType;

    /// Class, host to device, to an interface.
    pub(super) const TYPE_OUT: RequestType = RequestType(0x21);
    /// Class, device to host, from an interface.
    pub(super) const TYPE_IN: RequestType = RequestType(0xa1);
    /// "Bulk-Only Mass Storage Reset".
    pub(super) const RESET: u8 = 0xff;
    /// "Get Max LUN", 1 byte.
    pub(super) const GET_MAX_LUN: u8 = 0xfe;
}
