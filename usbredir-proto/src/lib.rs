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

mod capabilities;
pub mod codec;
mod error;
pub mod filter;
mod guest;
mod host;
mod limits;
mod options;
mod wire;

pub use capabilities::Capabilities;
pub use error::{MisuseError, ProtocolError};
pub use guest::{Device, Guest, GuestState};
pub use host::{Host, HostState};
pub use limits::Limits;
pub use options::Options;
