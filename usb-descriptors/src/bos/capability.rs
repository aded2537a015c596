//! Device capabilities.

use crate::layout::Show::{Bcd, Bits, Decimal, DecimalBits, Guid, Hex, Raw, Text};
use crate::layout::{Amount, Bit, Part, bit, bits, by, family, n, rest_but, views};

views! {
    /// Wireless USB, read in place (Wireless USB 1.1, table 7-45).
    Wireless "Wireless USB Device Capability" () 11 {
        capability: u8 = "bDevCapabilityType", Decimal, "1";
        attributes: u8 = "bmAttributes", Hex, "what it can do";
        phy_rates: u16 = "wPHYRates", Hex, "rates in Mbit/s, a bit each";
        tfi_power: u8 = "bmTFITXPowerInfo", Hex, "power levels, time-frequency interleaving";
        ffi_power: u8 = "bmFFITXPowerInfo", Hex, "power levels, fixed frequency";
        band_groups: u16 = "bmBandGroup", Hex, "bands";
        reserved: u8 = "bReserved", Hex, "zero";
    }

    /// Link power management of USB 2.0, read in place (USB 3.2, table 9-15).
    Usb2Extension "USB 2.0 Extension Device Capability" () 7 {
        capability: u8 = "bDevCapabilityType", Decimal, "2";
        attributes: u32 = "bmAttributes", Bits(&[
            bits(0x06, 0x02, "HIRD Link Power Management (LPM) Supported"),
            bits(0x06, 0x06, "BESL Link Power Management (LPM) Supported"),
        ]), "link power management";
    }

    /// Speeds and exit latencies, read in place (USB 3.2, table 9-16).
    SuperSpeed "SuperSpeed USB Device Capability" () 10 {
        capability: u8 = "bDevCapabilityType", Decimal, "3";
        attributes: u8 = "bmAttributes", Bits(&[bit(1, "Latency Tolerance Messages (LTM) Supported")]), "latency tolerance messages";
        speeds: u16 = "wSpeedsSupported", Bits(&[
            bit(0, "Device can operate at Low Speed (1Mbps)"),
            bit(1, "Device can operate at Full Speed (12Mbps)"),
            bit(2, "Device can operate at High Speed (480Mbps)"),
            bit(3, "Device can operate at SuperSpeed (5Gbps)"),
        ]), "speeds it has";
        functionality: u8 = "bFunctionalitySupport", DecimalBits(FUNCTIONALITY), "the lowest speed at which all of it works";
        u1_exit_latency: u8 = "bU1DevExitLat", Decimal, "time to leave U1, in µs";
        u2_exit_latency: u16 = "bU2DevExitLat", Decimal, "time to leave U2, in µs";
    }

    /// A number that is the same in every mode of one device, read in place (USB 3.2, table 9-17).
    ContainerId "Container ID Device Capability" () 20 {
        capability: u8 = "bDevCapabilityType", Decimal, "4";
        reserved: u8 = "bReserved", Decimal, "zero";
        id: bytes(16) = "ContainerID", Guid, "the number";
    }

    /// Of a platform named by a UUID, read in place (USB 3.2, table 9-18).
    Platform "Platform Device Capability" () 20 {
        capability: u8 = "bDevCapabilityType", Decimal, "5";
        reserved: u8 = "bReserved", Decimal, "zero";
        uuid: bytes(16) = "PlatformCapabilityUUID", Guid, "whose it is";
        data: values(n(1), rest_but(0)) = "CapabilityData", Hex, "as the platform defines it";
    }

    /// A page for browsers, read in place (WebUSB, "WebUSB Platform Capability Descriptor").
    WebUsb "Platform Device Capability" () 24 {
        capability: u8 = "bDevCapabilityType", Decimal, "5";
        reserved: u8 = "bReserved", Decimal, "zero";
        uuid: bytes(16) = "PlatformCapabilityUUID", Guid, "WebUSB's";
        release: u16 = "bcdVersion", Bcd, "release of WebUSB";
        vendor_code: u8 = "bVendorCode", Decimal, "the request that fetches URLs";
        landing_page: u8 = "iLandingPage", Decimal, "index of the page's URL, 0 for none";
    }

    /// Descriptors of Microsoft OS 2.0, read in place ("Microsoft OS 2.0 Descriptors", table 4).
    MicrosoftOs2 "Platform Device Capability" () 28 {
        capability: u8 = "bDevCapabilityType", Decimal, "5";
        reserved: u8 = "bReserved", Decimal, "zero";
        uuid: bytes(16) = "PlatformCapabilityUUID", Guid, "Microsoft's";
        windows_version: u32 = "dwWindowsVersion", Hex, "the first release of Windows it is for";
        total_length: u16 = "wMSOSDescriptorSetTotalLength", Decimal, "bytes of the set";
        vendor_code: u8 = "bMS_VendorCode", Decimal, "the request that fetches the set";
        alternate_code: u8 = "bAltEnumCode", Decimal, "value that makes the device describe itself otherwise, 0 for none";
        more: values(n(1), rest_but(0)) = "bMore", Raw, "sets for further releases, 8 bytes each";
    }

    /// What it does of power delivery, read in place (USB PD 3.1, table C-1).
    PowerDelivery "Power Delivery Capability" () 8 {
        capability: u8 = "bDevCapabilityType", Decimal, "6";
        reserved: u8 = "bReserved", Decimal, "zero";
        attributes: u32 = "bmAttributes", Hex, "what it can do";
    }

    /// Its battery, read in place (USB PD 3.1, table C-2).
    BatteryInfo "Battery Info Capability" () 4 {
        capability: u8 = "bDevCapabilityType", Decimal, "7";
        detail: values(n(1), rest_but(0)) = "bDetail", Raw, "strings, capacities and limits";
    }

    /// What it takes as a consumer of power, read in place (USB PD 3.1, table C-3).
    PowerConsumer "PD Consumer Port Capability" () 4 {
        capability: u8 = "bDevCapabilityType", Decimal, "8";
        detail: values(n(1), rest_but(0)) = "bDetail", Raw, "voltages and power";
    }

    /// What it gives as a provider of power, read in place (USB PD 3.1, table C-4).
    PowerProvider "PD Provider Port Capability" () 4 {
        capability: u8 = "bDevCapabilityType", Decimal, "9";
        detail: values(n(1), rest_but(0)) = "bDetail", Raw, "power data objects";
    }

    /// Lanes and their speeds, read in place (USB 3.2, table 9-19).
    SuperSpeedPlus "SuperSpeedPlus USB Device Capability" () 12 {
        capability: u8 = "bDevCapabilityType", Decimal, "10";
        reserved: u8 = "bReserved", Decimal, "zero";
        attributes: u32 = "bmAttributes", Hex, "bits 4..0: sublink attributes less one; 8..5: their ids";
        functionality: u16 = "wFunctionalitySupport", Hex, "the least speed and lanes with which all of it works";
        reserved_word: u16 = "wReserved", Decimal, "zero";
        sublinks: values(n(4), Amount::OneMore("bmAttributes")) = "bmSublinkSpeedAttr", Hex, "a direction's speed each";
    }

    /// Precision time measurement, read in place (USB 3.2, table 9-22).
    PrecisionTime "Precision Time Measurement" () 3 {
        capability: u8 = "bDevCapabilityType", Decimal, "11";
    }

    /// Alternate modes of a Type-C device, read in place (Billboard 1.2, table 3-3).
    Billboard "Billboard Capability" () 44 {
        capability: u8 = "bDevCapabilityType", Decimal, "13";
        info: u8 = "iAdditionalInfoURL", Text, "index of the string with a URL";
        mode_count: u8 = "bNumberOfAlternateModes", Decimal, "alternate modes";
        preferred: u8 = "bPreferredAlternateMode", Decimal, "the mode it prefers";
        power: u16 = "VCONN_Power", Hex, "power it needs from VCONN";
        configured: values(n(1), n(32)) = "bmConfigured", Hex, "two bits for each mode: what became of it";
        release: u16 = "bcdVersion", Bcd, "release of Billboard";
        failure: u8 = "bAdditionalFailureInfo", DecimalBits(&[bit(0, "No PD"), bit(1, "No power")]), "why it failed";
        reserved: u8 = "bReserved", Decimal, "zero";
        modes: group(by("bNumberOfAlternateModes"), &[
            Part::number("wSVID", 2, Hex),
            Part::number("bAlternateMode", 1, Decimal),
            Part::number("iAlternateModeString", 1, Text),
        ]) = "aAlternateModes", Decimal, "vendor, mode and string of each, four bytes";
    }

    /// What it can prove of itself, read in place (USB Authentication 1.0, table 5-1).
    Authentication "Authentication Capability" () 6 {
        capability: u8 = "bDevCapabilityType", Decimal, "14";
        attributes: u8 = "bmAttributes", Hex, "what it can do";
        protocol: u8 = "bcdProtocolVersion", Hex, "release of the protocol";
        detail: u8 = "bcdCapability", Hex, "what it supports";
    }

    /// One alternate mode, read in place (Billboard 1.2, table 3-7).
    BillboardMode "Billboard Alternate Mode Capability" () 8 {
        capability: u8 = "bDevCapabilityType", Decimal, "15";
        index: u8 = "bIndex", Decimal, "which of the modes it is";
        vdo: u32 = "dwAlternateModeVdo", Hex, "its data object";
    }

    /// What configurations are for, read in place (USB 3.2, table 9-21).
    ConfigurationSummary "Configuration Summary" () 9 {
        capability: u8 = "bDevCapabilityType", Decimal, "16";
        release: u16 = "bcdVersion", Bcd, "release of the descriptor";
        class: u8 = "bClass", Decimal, "the function's class";
        subclass: u8 = "bSubClass", Decimal, "the function's subclass";
        protocol: u8 = "bProtocol", Decimal, "the function's protocol";
        configuration_count: u8 = "bConfigurationCount", Decimal, "configurations with such a function";
        configurations: values(n(1), by("bConfigurationCount")) = "bConfigurationIndex", Decimal, "their indices";
    }

    /// The state of its firmware, read in place (USB firmware status 1.0, table 3-1).
    FirmwareStatus "Firmware Status" () 8 {
        capability: u8 = "bDevCapabilityType", Decimal, "17";
        release: u8 = "bcdDescriptorVersion", Hex, "release of the descriptor";
        attributes: u32 = "bmAttributes", Hex, "what it can tell";
    }
}

/// Each speed's line stands for itself.
const FUNCTIONALITY: &[Bit] = &[
    bits(
        0xff,
        0,
        "Lowest fully-functional device speed is Low Speed (1Mbps)",
    ),
    bits(
        0xff,
        1,
        "Lowest fully-functional device speed is Full Speed (12Mbps)",
    ),
    bits(
        0xff,
        2,
        "Lowest fully-functional device speed is High Speed (480Mbps)",
    ),
    bits(
        0xff,
        3,
        "Lowest fully-functional device speed is SuperSpeed (5Gbps)",
    ),
];

family! {
    /// A device capability by its type (USB 3.2, table 9-14) and, of a platform, by its UUID.
    ///
    /// ```
    /// use usb_descriptors::capability::CapabilityDescriptor;
    /// let bytes = [7, 0x10, 2, 6, 0, 0, 0];
    /// let Some(CapabilityDescriptor::Usb2Extension(extension)) =
    ///     CapabilityDescriptor::parse(&bytes) else { panic!() };
    /// assert_eq!(extension.attributes(), 6);
    /// ```
    CapabilityDescriptor {
        [_, _, 0x01, ..] => Wireless(Wireless),
        [_, _, 0x02, ..] => Usb2Extension(Usb2Extension),
        [_, _, 0x03, ..] => SuperSpeed(SuperSpeed),
        [_, _, 0x04, ..] => ContainerId(ContainerId),
        // 3408B638-09A9-47A0-8BFD-A0768815B665
        [_, _, 0x05, _, 0x38, 0xb6, 0x08, 0x34, 0xa9, 0x09, 0xa0, 0x47,
            0x8b, 0xfd, 0xa0, 0x76, 0x88, 0x15, 0xb6, 0x65, ..] => WebUsb(WebUsb),
        // D8DD60DF-4589-4CC7-9CD2-659D9E648A9F
        [_, _, 0x05, _, 0xdf, 0x60, 0xdd, 0xd8, 0x89, 0x45, 0xc7, 0x4c,
            0x9c, 0xd2, 0x65, 0x9d, 0x9e, 0x64, 0x8a, 0x9f, ..] => MicrosoftOs2(MicrosoftOs2),
        [_, _, 0x05, ..] => Platform(Platform),
        [_, _, 0x06, ..] => PowerDelivery(PowerDelivery),
        [_, _, 0x07, ..] => BatteryInfo(BatteryInfo),
        [_, _, 0x08, ..] => PowerConsumer(PowerConsumer),
        [_, _, 0x09, ..] => PowerProvider(PowerProvider),
        [_, _, 0x0a, ..] => SuperSpeedPlus(SuperSpeedPlus),
        [_, _, 0x0b, ..] => PrecisionTime(PrecisionTime),
        [_, _, 0x0d, ..] => Billboard(Billboard),
        [_, _, 0x0e, ..] => Authentication(Authentication),
        [_, _, 0x0f, ..] => BillboardMode(BillboardMode),
        [_, _, 0x10, ..] => ConfigurationSummary(ConfigurationSummary),
        [_, _, 0x11, ..] => FirmwareStatus(FirmwareStatus),
    }
}
