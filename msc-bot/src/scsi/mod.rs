//! The SCSI side: a disk that knows commands and blocks, but no transport and no storage.

mod capacity;
mod command;
mod inquiry;
mod mode;
mod opcodes;
mod options;
mod sense;
mod transfer;
mod unit;

pub use options::UnitOptions;
pub use sense::{Sense, SenseKey};
pub(crate) use transfer::READ_CHUNK;
pub use unit::{LogicalUnit, Task, UnitEvent};
