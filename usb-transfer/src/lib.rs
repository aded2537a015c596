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
#[cfg(any(feature = "std", test))]
extern crate std;

mod completion;
mod control;
mod device;
mod endpoints;
mod enumerate;
mod exchange;
mod frontend;
mod function;
mod read_ahead;
mod segments;
mod status;
mod transfer;
mod tx;
mod wire;

pub use completion::{Actual, Completion};
pub use control::{Change, Control, ControlEndpoint};
pub use device::{DeviceDescriptors, DeviceString};
pub use endpoints::{Endpoint, EndpointMap};
pub use enumerate::Enumerator;
pub use exchange::exchange;
pub use frontend::{Frontend, HostEvent};
pub use function::{Frame, Function, FunctionEvent};
pub use read_ahead::ReadAhead;
pub use segments::Segments;
pub use status::Status;
pub use transfer::{Flags, IsoPacket, Kind, Payload, StreamId, Transfer, TransferId, TransferIds};
pub use tx::TxQueue;
pub use wire::{Step, Wants, Wire};
