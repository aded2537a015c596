//! Smart card readers (CCID 1.1).

use crate::layout::Show::{Bcd, Bits, Decimal, Hex};
use crate::layout::{bit, bits, views};

views! {
    /// The class descriptor of a reader, read in place (CCID 1.1, table 5.1-1).
    SmartCardReader "ChipCard Interface" () 54 {
        release: u16 = "bcdCCID", Bcd, "release of the CCID class";
        max_slot_index: u8 = "nMaxSlotIndex", Decimal, "the highest slot, from 0";
        voltages: u8 = "bVoltageSupport", Bits(&[bit(0, "5.0V"), bit(1, "3.0V"), bit(2, "1.8V")]), "voltages for cards";
        protocols: u32 = "dwProtocols", Bits(&[bit(0, "T=0"), bit(1, "T=1")]), "protocols it knows";
        default_clock: u32 = "dwDefaultClock", Decimal, "default clock of a card, in kHz";
        maximum_clock: u32 = "dwMaxiumumClock", Decimal, "highest clock of a card, in kHz";
        clock_count: u8 = "bNumClockSupported", Decimal, "clocks that can be asked for";
        data_rate: u32 = "dwDataRate", Decimal, "default rate, in bit/s";
        maximum_data_rate: u32 = "dwMaxDataRate", Decimal, "highest rate, in bit/s";
        data_rate_count: u8 = "bNumDataRatesSupp", Decimal, "rates that can be asked for";
        max_ifsd: u32 = "dwMaxIFSD", Decimal, "longest information field for T=1, in bytes";
        synchronous_protocols: u32 = "dwSyncProtocols", Bits(&[bit(0, "2-wire"), bit(1, "3-wire"), bit(2, "I2C")]), "synchronous protocols";
        mechanical: u32 = "dwMechanical", Bits(&[bit(0, "accept"), bit(1, "eject"), bit(2, "capture"), bit(3, "lock")]), "what it does with cards";
        features: u32 = "dwFeatures", Bits(&[
            bit(1, "Auto configuration based on ATR"),
            bit(2, "Auto activation on insert"),
            bit(3, "Auto voltage selection"),
            bit(4, "Auto clock change"),
            bit(5, "Auto baud rate change"),
            bit(6, "Auto parameter negotiation made by CCID"),
            bit(7, "Auto PPS made by CCID"),
            bit(8, "CCID can set ICC in clock stop mode"),
            bit(9, "NAD value other than 0x00 accepted"),
            bit(10, "Auto IFSD exchange"),
            bits(0x0007_0000, 0x0001_0000, "TPDU level exchange"),
            bits(0x0007_0000, 0x0002_0000, "Short APDU level exchange"),
            bits(0x0007_0000, 0x0004_0000, "Short and extended APDU level exchange"),
        ]), "what it does by itself";
        max_message_length: u32 = "dwMaxCCIDMsgLen", Decimal, "longest message, in bytes";
        class_get_response: u8 = "bClassGetResponse", Hex, "class of GET RESPONSE; ffh echoes";
        class_envelope: u8 = "bClassEnvelope", Hex, "class of ENVELOPE; ffh echoes";
        lcd_layout: u16 = "wlcdLayout", Hex, "lines and characters of its display";
        pin_support: u8 = "bPINSupport", Bits(&[bit(0, "verification"), bit(1, "modification")]), "what it does with PINs";
        max_busy_slots: u8 = "bMaxCCIDBusySlots", Decimal, "slots that can be busy at the same time";
    }
}
