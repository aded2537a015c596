//! Sound cards (USB-IF, "Device Class Definition for Audio Devices" and "for Audio Data Formats",
//! release 1.0; here "UAC1").

mod device;
mod interfaces;
mod loopback;
mod samples;

pub use device::{Audio, AudioEvent};
pub use loopback::AudioLoopback;
