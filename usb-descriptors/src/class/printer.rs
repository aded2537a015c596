//! Printers of the Internet Printing Protocol (IPP over USB 1.0).

use crate::layout::Show::{Bcd, Decimal, Raw};
use crate::layout::{n, rest_but, views};

views! {
    /// What a printer does of IPP, read in place (IPP over USB 1.0, 4.3).
    PrinterInfo "IPP Printer" () 5 {
        release: u16 = "bcdReleaseNumber", Bcd, "release of IPP over USB";
        capability_count: u8 = "bNumDescriptors", Decimal, "capabilities that follow";
        capabilities: values(n(1), rest_but(0)) = "bCapabilities", Raw, "type, length and data of each";
    }
}
