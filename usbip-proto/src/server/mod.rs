//! The server: it has a device and answers a client's requests for it.
//!
//! A [`Handshake`] lists devices and grants one; it becomes a [`Session`], which is a
//! [`Frontend`](usb_transfer::Frontend). The kernel's `vhci_hcd`, handed a socket by the program
//! itself, starts in the session at once.

mod exports;
mod handshake;
mod in_flight;
mod session;
mod submit;

pub use exports::{ExportState, Exports, Lease};
pub use handshake::{Handshake, HandshakeEvent, ImportRequest, ListRequest};
pub use session::Session;
