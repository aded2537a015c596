//! Mass storage: USB Attached SCSI. Bulk-Only Transport has no descriptors of its own.

use crate::layout::Show::{Hex, Named};
use crate::layout::views;
use crate::names;

views! {
    /// What a pipe of USB Attached SCSI is for, read in place (UAS 1.0, 5.2.3.6): behind an
    /// endpoint and its companion.
    PipeUsage "Pipe Usage" () 4 {
        pipe_id: u8 = "bPipeID", Named(names::uas_pipe), "1 command, 2 status, 3 data in, 4 data out";
        reserved: u8 = "Reserved", Hex, "zero";
    }
}
