//! The SCSI side: a disk that knows commands and blocks, but no transport and no storage.

mod blocks;
mod capacity;
mod cd;
mod command;
mod compare;
mod fill;
mod inquiry;
mod medium;
mod mode;
mod opcodes;
mod options;
mod sense;
mod transfer;
mod unit;
mod work;

pub use medium::MediumEvent;
pub use options::UnitOptions;
pub use sense::{Sense, SenseKey};
pub(crate) use transfer::READ_CHUNK;
pub use unit::{LogicalUnit, Task, UnitEvent};
