//! Serial ports (USB-IF, "Class Definitions for Communications Devices", revision 1.2, here
//! "CDC 1.2", and "Subclass Specification for PSTN Devices", revision 1.2, here "PSTN 1.2").

mod device;
mod line;

pub use device::{SendError, Serial, SerialEvent};
pub use line::{ControlLines, LineCoding, Parity, SerialState, StopBits};
