//! Device firmware upgrade (DFU 1.1).

use crate::layout::Show::{Bcd, Bits, Decimal};
use crate::layout::{bit, bits, views};

views! {
    /// The functional descriptor, read in place (DFU 1.1, table 4.2); DFU 1.0 ends before the
    /// release.
    DfuFunctional "Device Firmware Upgrade Interface" () 7 {
        attributes: u8 = "bmAttributes", Bits(&[
            bit(3, "Will Detach"),
            bits(0x08, 0, "Will Not Detach"),
            bit(2, "Manifestation Tolerant"),
            bits(0x04, 0, "Manifestation Intolerant"),
            bit(1, "Upload Supported"),
            bits(0x02, 0, "Upload Unsupported"),
            bit(0, "Download Supported"),
            bits(0x01, 0, "Download Unsupported"),
        ]), "what it can do";
        detach_timeout: u16 = "wDetachTimeout", Decimal, "how long it waits for a reset after DETACH, in ms";
        transfer_size: u16 = "wTransferSize", Decimal, "most bytes of one control transfer";
        release: u16 = "bcdDFUVersion", Bcd, "release of the DFU class";
    }
}
