//! Servers in memory, to be timed and counted: one on the crates of this workspace, one that
//! copies as simple servers do.
//!
//! `cargo bench -p benches` times them and counts allocations; `benches/ratios` puts the times of
//! the last run side by side; `benches/instructions` counts instructions under valgrind.

mod copying;
mod disk;
mod message;
mod session;

pub use copying::Copying;
pub use disk::{Disk, Standing};
pub use message::Urb;
pub use session::{Echo, Serving};

/// A server in memory.
pub trait Server {
    /// Lets a socket bring `count` messages. Not part of what is measured.
    fn bring(&mut self, urb: &Urb, count: usize);

    /// Serves what was brought and lets a socket take the replies.
    fn serve(&mut self);
}

/// Bytes of payload that URBs are measured with.
pub const SIZES: [usize; 4] = [0, 512, 64 << 10, 1 << 20];

/// How many messages to bring at once: as many as one read of a session's buffer brings where they
/// are short, else one.
pub fn batch(urb: &Urb) -> usize {
    (4096 / urb.message.len()).clamp(1, 10)
}
