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

mod arena;
mod block;
mod bot;
mod host;
mod mass_storage;
mod scsi;
mod uas;

pub use block::{BlockError, BlockOp, BlockSize, BlockToken, Lun};
pub use bot::{BotDevice, BotError, BotOptions, ShortIn};
pub use host::{Initiator, NoMassStorage, ScsiError, Ticket, Unit};
pub use mass_storage::MassStorage;
pub use scsi::{LogicalUnit, MediumEvent, Sense, SenseKey, Task, UnitEvent, UnitOptions};
pub use uas::UasDevice;
