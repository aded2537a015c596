//! Servers in memory, to be timed and counted: one on the crates of this workspace, one that
//! copies as simple servers do.
//!
//! `cargo bench -p benches` times them and counts allocations; `benches/ratios` puts the times of
//! the last run side by side; `benches/instructions` counts instructions under valgrind.

mod copying;
mod disk;
mod measure;
mod message;
mod redirecting;
mod session;
mod webcam;

pub use copying::Copying;
pub use disk::{Disk, Standing};
pub use measure::{compare, criterion, measure};
pub use message::Urb;
pub use redirecting::{Redirecting, bulk, greeted};
pub use session::{Echo, Serving, Turning};
pub use webcam::webcam;

/// A server in memory.
pub trait Server {
    /// Lets a socket bring `count` messages. Not part of what is measured.
    fn bring(&mut self, urb: &Urb, count: usize);

    /// Serves what was brought and lets a socket take the replies.
    fn serve(&mut self);
}

/// Bytes of payload that URBs are measured with.
pub const SIZES: [usize; 4] = [0, 512, 64 << 10, 1 << 20];
