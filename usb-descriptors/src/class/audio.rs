//! Audio devices: classes 1, 2 and 3, told apart by the interface's protocol.

pub mod v1;
pub mod v2;
pub mod v3;
