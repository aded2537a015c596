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

mod audio;
mod device;
mod hid;
mod options;
mod serial;

pub use audio::{Audio, AudioEvent, AudioLoopback};
pub use hid::{
    Buttons, Keyboard, KeyboardEvent, KeyboardLayout, Leds, Modifiers, Mouse, NoKey, Stroke,
    Tablet, TypingError, Usage,
};
pub use options::{DeviceError, DeviceOptions};
pub use serial::{
    ControlLines, LineCoding, Parity, SendError, Serial, SerialEvent, SerialState, StopBits,
};
