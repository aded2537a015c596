#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails"
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

pub mod client;
mod device;
mod error;
mod limits;
pub mod server;
mod session;
pub mod vhci;
mod wire;

pub use device::{BusId, DeviceId, DeviceRecord, SpeedCode};
pub use error::{OpStatus, ProtocolError, RecordError};
pub use limits::Limits;
