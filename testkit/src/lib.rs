//! What the tests of several crates share: allocation counting, links that cut and delay, and a
//! model device that finishes transfers in any order.

mod allocations;
mod decisions;
mod link;
mod model;
mod pcap;

pub use allocations::{CountingAllocator, allocations, kept_bytes, largest_allocation};
pub use decisions::Decisions;
pub use link::Link;
pub use model::ModelDevice;
pub use pcap::{Pcap, Sender};
