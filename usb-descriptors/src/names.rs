//! Names of codes.

use crate::layout::{Bit, bit};

/// The class of an interface or a function (USB-IF, "Defined Class Codes").
pub(crate) fn class(code: u32) -> Option<&'static str> {
    Some(match code {
        0x01 => "Audio",
        0x02 => "Communications",
        0x03 => "Human Interface Device",
        0x05 => "Physical Interface Device",
        0x06 => "Imaging",
        0x07 => "Printer",
        0x08 => "Mass Storage",
        0x09 => "Hub",
        0x0a => "CDC Data",
        0x0b => "Chip/SmartCard",
        0x0d => "Content Security",
        0x0e => "Video",
        0x0f => "Personal Healthcare",
        0x10 => "Audio/Video",
        0x11 => "Billboard",
        0x12 => "Type-C Bridge",
        0xdc => "Diagnostic",
        0xe0 => "Wireless",
        0xef => "Miscellaneous Device",
        0xfe => "Application Specific Interface",
        0xff => "Vendor Specific Class",
        _ => return None,
    })
}

/// The same for a device, where 0 has a meaning too.
pub(crate) fn device_class(code: u32) -> Option<&'static str> {
    if code == 0 {
        return Some("[unknown]");
    }
    class(code)
}

/// Subclass of an interface, and where `protocol` is given, protocol.
pub(crate) fn subclass(class: u8, subclass: u8) -> Option<&'static str> {
    Some(match (class, subclass) {
        (0x01, 1) => "Control Device",
        (0x01, 2) => "Streaming",
        (0x01, 3) => "MIDI Streaming",
        (0x02, 1) => "Direct Line",
        (0x02, 2) => "Abstract (modem)",
        (0x02, 3) => "Telephone",
        (0x02, 4) => "Multi-Channel",
        (0x02, 5) => "CAPI Control",
        (0x02, 6) => "Ethernet Networking",
        (0x02, 7) => "ATM Networking",
        (0x02, 8) => "Wireless Handset Control",
        (0x02, 9) => "Device Management",
        (0x02, 0x0a) => "Mobile Direct Line",
        (0x02, 0x0b) => "OBEX",
        (0x02, 0x0c) => "Ethernet Emulation",
        (0x02, 0x0d) => "Network Control Model",
        (0x02, 0x0e) => "Mobile Broadband Interface Model",
        (0x03, 1) => "Boot Interface Subclass",
        (0x06, 1) => "Still Image Capture",
        (0x07, 1) => "Printer",
        (0x08, 1) => "RBC (typically Flash)",
        (0x08, 2) => "SFF-8020i, MMC-2 (ATAPI)",
        (0x08, 3) => "QIC-157",
        (0x08, 4) => "Floppy (UFI)",
        (0x08, 5) => "SFF-8070i",
        (0x08, 6) => "SCSI",
        (0x0e, 1) => "Video Control",
        (0x0e, 2) => "Video Streaming",
        (0x0e, 3) => "Video Interface Collection",
        (0xe0, 1) => "Radio Frequency",
        (0xef, 2) => "",
        (0xfe, 1) => "Device Firmware Update",
        (0xfe, 2) => "IRDA Bridge",
        (0xfe, 3) => "Test and Measurement",
        (0xff, 0xff) => "Vendor Specific Subclass",
        _ => return None,
    })
    .filter(|name: &&str| !name.is_empty())
}

/// Protocol of an interface.
pub(crate) fn protocol(class: u8, subclass: u8, protocol: u8) -> Option<&'static str> {
    Some(match (class, subclass, protocol) {
        (0x02, _, 1) => "AT-commands (v.25ter)",
        (0x02, 0x0c, 7) => "Ethernet Emulation (EEM)",
        (0x02, _, 0xff) => "Vendor Specific (MSFT RNDIS?)",
        (0x03, 1, 0) => "None",
        (0x03, 1, 1) => "Keyboard",
        (0x03, 1, 2) => "Mouse",
        (0x06, 1, 1) => "Picture Transfer Protocol (PIMA 15470)",
        (0x07, 1, 1) => "Unidirectional",
        (0x07, 1, 2) => "Bidirectional",
        (0x07, 1, 3) => "IEEE 1284.4 compatible bidirectional",
        (0x07, 1, 4) => "IPP over USB",
        (0x08, _, 0) => "Control/Bulk/Interrupt",
        (0x08, _, 1) => "Control/Bulk",
        (0x08, _, 0x50) => "Bulk-Only",
        (0x08, _, 0x62) => "USB Attached SCSI",
        (0x09, 0, 0) => "Full speed (or root) hub",
        (0x09, 0, 1) => "Single TT",
        (0x09, 0, 2) => "TT per port",
        (0x09, 0, 3) => "USB 3.0 hub",
        (0xe0, 1, 1) => "Bluetooth",
        (0xe0, 1, 3) => "RNDIS",
        (0xef, 2, 1) => "Interface Association",
        (0xef, 4, 1) => "RNDIS over Ethernet",
        (0xfe, 1, 1) => "Runtime mode",
        (0xfe, 1, 2) => "DFU mode",
        (0xff, 0xff, 0xff) => "Vendor Specific Protocol",
        _ => return None,
    })
}

/// HID 1.11, 6.2.1, `bCountryCode`.
pub(crate) fn hid_country(code: u32) -> Option<&'static str> {
    const NAMES: [&str; 36] = [
        "Not supported",
        "Arabic",
        "Belgian",
        "Canadian (Bilingual)",
        "Canadian (French)",
        "Czech Republic",
        "Danish",
        "Finnish",
        "French",
        "German",
        "Greek",
        "Hebrew",
        "Hungary",
        "International (ISO)",
        "Italian",
        "Japan (Katakana)",
        "Korean",
        "Latin American",
        "Netherlands/Dutch",
        "Norwegian",
        "Persian (Farsi)",
        "Poland",
        "Portuguese",
        "Russia",
        "Slovakia",
        "Spanish",
        "Swedish",
        "Swiss/French",
        "Swiss/German",
        "Switzerland",
        "Taiwan",
        "Turkish-Q",
        "UK",
        "US",
        "Yugoslavia",
        "Turkish-F",
    ];
    NAMES.get(usize::try_from(code).ok()?).copied()
}

/// HID 1.11, 7.1, descriptor types.
pub(crate) fn hid_descriptor(code: u32) -> Option<&'static str> {
    Some(match code {
        0x21 => "HID",
        0x22 => "Report",
        0x23 => "Physical",
        _ => return None,
    })
}

/// UAS 1.0, table 11.
pub(crate) fn uas_pipe(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "Command pipe",
        2 => "Status pipe",
        3 => "Data-in pipe",
        4 => "Data-out pipe",
        _ => return None,
    })
}

/// USB Audio Terminal Types 3.0.
pub(crate) fn audio_terminal(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0100 => "USB Undefined",
        0x0101 => "USB Streaming",
        0x01ff => "USB Vendor Specific",
        0x0200 => "Input Undefined",
        0x0201 => "Microphone",
        0x0202 => "Desktop Microphone",
        0x0203 => "Personal Microphone",
        0x0204 => "Omni-directional Microphone",
        0x0205 => "Microphone Array",
        0x0206 => "Processing Microphone Array",
        0x0300 => "Output Undefined",
        0x0301 => "Speaker",
        0x0302 => "Headphones",
        0x0303 => "Head Mounted Display Audio",
        0x0304 => "Desktop Speaker",
        0x0305 => "Room Speaker",
        0x0306 => "Communication Speaker",
        0x0307 => "Low Frequency Effects Speaker",
        0x0400 => "Bidirectional Undefined",
        0x0401 => "Handset",
        0x0402 => "Headset",
        0x0403 => "Speakerphone, no echo reduction",
        0x0404 => "Echo-suppressing speakerphone",
        0x0405 => "Echo-canceling speakerphone",
        0x0500 => "Telephony Undefined",
        0x0501 => "Phone line",
        0x0502 => "Telephone",
        0x0503 => "Down Line Phone",
        0x0600 => "External Undefined",
        0x0601 => "Analog Connector",
        0x0602 => "Digital Audio Interface",
        0x0603 => "Line Connector",
        0x0604 => "Legacy Audio Connector",
        0x0605 => "SPDIF interface",
        0x0606 => "1394 DA stream",
        0x0607 => "1394 DV stream soundtrack",
        0x0700 => "Embedded Undefined",
        0x0703 => "CD player",
        0x0708 => "Synthesizer",
        _ => return None,
    })
}

/// UVC 1.5, appendix B.
pub(crate) fn video_terminal(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0100 => "USB Vendor Specific",
        0x0101 => "USB Streaming",
        0x0200 => "Input Vendor Specific",
        0x0201 => "Camera Sensor",
        0x0202 | 0x0302 => "Sequential Media",
        0x0300 => "Output Vendor Specific",
        0x0301 => "Generic Display",
        0x0400 => "External Vendor Specific",
        0x0401 => "Composite Video",
        0x0402 => "S-Video",
        0x0403 => "Component Video",
        _ => return None,
    })
}

/// Audio Data Formats 1.0, A.1.
pub(crate) fn audio_format(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0000 => "TYPE_I_UNDEFINED",
        0x0001 => "PCM",
        0x0002 => "PCM8",
        0x0003 => "IEEE_FLOAT",
        0x0004 => "ALAW",
        0x0005 => "MULAW",
        0x1000 => "TYPE_II_UNDEFINED",
        0x1001 => "MPEG",
        0x1002 => "AC-3",
        0x2000 => "TYPE_III_UNDEFINED",
        0x2001 => "IEC1937_AC-3",
        0x2002 => "IEC1937_MPEG-1_Layer1",
        0x2003 => "IEC1937_MPEG-Layer2/3/NOEXT",
        0x2004 => "IEC1937_MPEG-2_EXT",
        0x2005 => "IEC1937_MPEG-2_Layer1_LS",
        0x2006 => "IEC1937_MPEG-2_Layer2/3_LS",
        _ => return None,
    })
}

/// Audio Data Formats 1.0, A.2.
pub(crate) fn audio_format_type(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "FORMAT_TYPE_I",
        2 => "FORMAT_TYPE_II",
        3 => "FORMAT_TYPE_III",
        4 => "FORMAT_TYPE_IV",
        _ => return None,
    })
}

/// Audio Data Formats 1.0, table 2-1, `bSamFreqType`.
#[expect(clippy::unnecessary_wraps, reason = "one of the functions that name")]
pub(crate) fn audio_frequencies(code: u32) -> Option<&'static str> {
    Some(if code == 0 { "Continuous" } else { "Discrete" })
}

/// UAC 1.0, table 4-21, `bLockDelayUnits`.
pub(crate) fn lock_delay(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "Undefined",
        1 => "Milliseconds",
        2 => "Decoded PCM samples",
        _ => return None,
    })
}

/// UAC 2.0, A.7; UAC 3.0, A.6.
pub(crate) fn audio_category(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "Desktop Speaker",
        2 => "Home Theater",
        3 => "Microphone",
        4 => "Headset",
        5 => "Telephone",
        6 => "Converter",
        7 => "Voice/Sound Recorder",
        8 => "I/O box",
        9 => "Musical Instrument",
        10 => "Pro-audio",
        11 => "Audio/Video",
        12 => "Control panel",
        0xff => "Other",
        _ => return None,
    })
}

/// MIDI 1.0, A.3.
pub(crate) fn midi_jack(code: u32) -> Option<&'static str> {
    Some(match code {
        1 => "Embedded",
        2 => "External",
        _ => return None,
    })
}

/// UVC 1.5, table 3-19, `bColorPrimaries`.
pub(crate) fn color_primaries(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "Unspecified",
        1 => "BT.709,sRGB",
        2 => "BT.470-2 (M)",
        3 => "BT.470-2 (B,G)",
        4 => "SMPTE 170M",
        5 => "SMPTE 240M",
        _ => return None,
    })
}

/// UVC 1.5, table 3-19, `bTransferCharacteristics`.
pub(crate) fn color_transfer(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "Unspecified",
        1 => "BT.709",
        2 => "BT.470-2 (M)",
        3 => "BT.470-2 (B,G)",
        4 => "SMPTE 170M",
        5 => "SMPTE 240M",
        6 => "Linear",
        7 => "sRGB",
        _ => return None,
    })
}

/// UVC 1.5, table 3-19, `bMatrixCoefficients`.
pub(crate) fn color_matrix(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "Unspecified",
        1 => "BT.709",
        2 => "FCC",
        3 => "BT.470-2 (B,G)",
        4 => "SMPTE 170M (BT.601)",
        5 => "SMPTE 240M",
        _ => return None,
    })
}

/// UAC 1.0, 3.7.2.3, `wChannelConfig`.
pub(crate) const CHANNELS: &[Bit] = &[
    bit(0, "Left Front (L)"),
    bit(1, "Right Front (R)"),
    bit(2, "Center Front (C)"),
    bit(3, "Low Frequency Enhancement (LFE)"),
    bit(4, "Left Surround (LS)"),
    bit(5, "Right Surround (RS)"),
    bit(6, "Left of Center (LC)"),
    bit(7, "Right of Center (RC)"),
    bit(8, "Surround (S)"),
    bit(9, "Side Left (SL)"),
    bit(10, "Side Right (SR)"),
    bit(11, "Top (T)"),
];

/// UAC 2.0, table 4-1, `bmChannelConfig`.
pub(crate) const CHANNELS_2: &[Bit] = &[
    bit(0, "Front Left (FL)"),
    bit(1, "Front Right (FR)"),
    bit(2, "Front Center (FC)"),
    bit(3, "Low Frequency Effects (LFE)"),
    bit(4, "Back Left (BL)"),
    bit(5, "Back Right (BR)"),
    bit(6, "Front Left of Center (FLC)"),
    bit(7, "Front Right of Center (FRC)"),
    bit(8, "Back Center (BC)"),
    bit(9, "Side Left (SL)"),
    bit(10, "Side Right (SR)"),
    bit(11, "Top Center (TC)"),
    bit(12, "Top Front Left (TFL)"),
    bit(13, "Top Front Center (TFC)"),
    bit(14, "Top Front Right (TFR)"),
    bit(15, "Top Back Left (TBL)"),
    bit(16, "Top Back Center (TBC)"),
    bit(17, "Top Back Right (TBR)"),
    bit(18, "Top Front Left of Center (TFLC)"),
    bit(19, "Top Front Right of Center (TFRC)"),
    bit(20, "Left Low Frequency Effects (LLFE)"),
    bit(21, "Right Low Frequency Effects (RLFE)"),
    bit(22, "Top Side Left (TSL)"),
    bit(23, "Top Side Right (TSR)"),
    bit(24, "Bottom Center (BC)"),
    bit(25, "Back Left of Center (BLC)"),
    bit(26, "Back Right of Center (BRC)"),
    bit(31, "Raw Data (RD)"),
];

/// The vendor of a number, where the names are compiled in.
#[cfg(feature = "usb-ids")]
pub(crate) fn vendor(id: u32) -> Option<&'static str> {
    let vendor = <usb_ids::Vendor as usb_ids::FromId<u16>>::from_id(u16::try_from(id).ok()?);
    vendor.map(usb_ids::Vendor::name)
}

#[cfg(not(feature = "usb-ids"))]
pub(crate) fn vendor(_: u32) -> Option<&'static str> {
    None
}

/// The product of two numbers, where the names are compiled in.
#[cfg(feature = "usb-ids")]
pub(crate) fn product(vendor: u16, id: u16) -> Option<&'static str> {
    usb_ids::Device::from_vid_pid(vendor, id).map(usb_ids::Device::name)
}

#[cfg(not(feature = "usb-ids"))]
pub(crate) fn product(_: u16, _: u16) -> Option<&'static str> {
    None
}
