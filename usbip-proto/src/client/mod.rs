//! The client: it uses a device that a server has.
//!
//! A [`Handshake`] lists devices or imports one; it becomes a [`Session`], which is a
//! [`Function`](usb_transfer::Function), so that whatever serves a local device serves a remote
//! one.

mod handshake;
mod request;
mod seqnums;
mod session;

pub use handshake::{Devices, Handshake, HandshakeEvent};
pub use session::Session;
