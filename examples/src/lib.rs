#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "adapters are where sockets, files, clocks and threads live"
)]

mod attachment;
mod buffer;
mod clock;
mod disk;
pub mod fat;
mod host;
mod image;
mod loopback;
mod offer;
mod run;
pub mod signal;
mod sleeper;
mod store;
mod stream;
mod vhci;
mod windows;

pub use attachment::Attachment;
pub use clock::{FrameClock, Monotonic, TimeSource};
pub use disk::Disk;
pub use host::{Host, HostError};
pub use image::{Access, ImageError, RawImage};
pub use loopback::{LoopbackError, loopback};
pub use offer::offer;
pub use run::run;
pub use sleeper::Sleeper;
pub use store::{MemoryStore, Store};
pub use stream::{Stream, StreamError};
pub use vhci::{AttachError, Unavailable, Vhci};
