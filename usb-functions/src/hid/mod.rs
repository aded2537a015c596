//! Human interface devices (USB-IF, "Device Class Definition for Human Interface Devices", version
//! 1.11; here "HID 1.11").

mod base;
mod keyboard;
mod layout;
mod mouse;
mod tablet;
mod usage;

pub use keyboard::{Keyboard, KeyboardEvent};
pub use layout::{KeyboardLayout, NoKey, Stroke, TypingError};
pub use mouse::Mouse;
pub use tablet::Tablet;
pub use usage::{Buttons, Leds, Modifiers, Usage};
