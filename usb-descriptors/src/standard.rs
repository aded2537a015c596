//! The rest of the standard descriptors: interface associations, companions, hubs, OTG, debug
//! ports; and the layouts of those that have views of their own.

use crate::layout::Show::{Bcd, Bits, Decimal, DecimalBits, Endpoint, Hex, Raw, Text};
use crate::layout::{Amount, Bit, Layout, Part, bit, bits, n, rest_but, views};
use crate::{ClassCode, DescriptorType, TransferType, names};

views! {
    /// Interfaces that belong to one function, read in place (USB 2.0 ECN "Interface Association
    /// Descriptors", table 9-Z; USB 3.2, table 9-23).
    InterfaceAssociation "Interface Association" () 8 {
        first_interface: u8 = "bFirstInterface", Decimal, "the number of the function's first interface";
        interface_count: u8 = "bInterfaceCount", Decimal, "how many interfaces in sequence belong to it";
        function_class: u8 = "bFunctionClass", Show::Named(names::class), "the function's class";
        function_subclass: u8 = "bFunctionSubClass", Decimal, "the function's subclass";
        function_protocol: u8 = "bFunctionProtocol", Decimal, "the function's protocol";
        string: u8 = "iFunction", Text, "index of its string";
    }

    /// What an interface saves by sleeping, and how long it takes to wake, read in place; obsolete
    /// (USB 2.0, table 9-5, footnote; Interface Power Management 1.0, with the fields of Windows'
    /// `USB_INTERFACE_POWER_DESCRIPTOR`).
    InterfacePower "Interface Power" () 15 {
        capabilities: u8 = "bmCapabilitiesFlags", Hex, "states it knows, and those that it wakes from";
        bus_saving_d1: u8 = "bBusPowerSavingD1", Decimal, "power of the bus that it saves in D1";
        self_saving_d1: u8 = "bSelfPowerSavingD1", Decimal, "power of its own that it saves in D1";
        bus_saving_d2: u8 = "bBusPowerSavingD2", Decimal, "power of the bus that it saves in D2";
        self_saving_d2: u8 = "bSelfPowerSavingD2", Decimal, "power of its own that it saves in D2";
        bus_saving_d3: u8 = "bBusPowerSavingD3", Decimal, "power of the bus that it saves in D3";
        self_saving_d3: u8 = "bSelfPowerSavingD3", Decimal, "power of its own that it saves in D3";
        wake_d1: u16 = "TransitionTimeFromD1", Decimal, "how long it takes to wake from D1";
        wake_d2: u16 = "TransitionTimeFromD2", Decimal, "how long it takes to wake from D2";
        wake_d3: u16 = "TransitionTimeFromD3", Decimal, "how long it takes to wake from D3";
    }

    /// What a device does of On-The-Go, read in place (OTG 2.0, table 6-1).
    Otg "OTG" () 3 {
        attributes: u8 = "bmAttributes", Bits(&[bit(0, "SRP (Session Request Protocol)"), bit(1, "HNP (Host Negotiation Protocol)"), bit(2, "ADP (Attach Detection Protocol)")]), "protocols it knows";
        release: u16 = "bcdOTG", Bcd, "release of the OTG supplement; absent in 1.x";
    }

    /// The endpoints of a debug device, read in place (USB 2.0 debug device specification,
    /// table 3-1).
    Debug "Debug" () 4 {
        endpoint_in: u8 = "bDebugInEndpoint", Endpoint, "where the device writes";
        endpoint_out: u8 = "bDebugOutEndpoint", Endpoint, "where the host writes";
    }

    /// What SuperSpeedPlus adds to an isochronous endpoint, read in place (USB 3.2, table 9-29).
    SuperSpeedPlusCompanion "SuperSpeedPlus Isochronous Endpoint Companion" () 8 {
        reserved: u16 = "wReserved", Hex, "zero";
        bytes_per_interval: u32 = "dwBytesPerInterval", Decimal, "bytes it moves in each interval";
    }

    /// What eUSB2 version 2 adds to an isochronous endpoint, read in place (USB 2.0 ECN "eUSB2
    /// isochronous endpoint companion", table 9-x).
    Eusb2Companion "eUSB2 Isochronous Endpoint Companion" () 8 {
        max_packet_size: u16 = "wMaxPacketSize", Hex, "the largest packet in bytes";
        bytes_per_interval: u32 = "dwBytesPerInterval", Decimal, "bytes it moves in each interval";
    }

    /// Keys and encryption that wireless devices knew, read in place (Wireless USB 1.1, 7.4.5).
    Security "Security" () 5 {
        total_length: u16 = "wTotalLength", Hex, "bytes of all security descriptors";
        encryption_count: u8 = "bNumEncryptionTypes", Decimal, "encryption types that follow";
    }

    /// A key of a wireless device, read in place (Wireless USB 1.1, 7.4.5).
    Key "Key" () 6 {
        id: bytes(3) = "tTKID", Raw, "which key it is";
        reserved: u8 = "bReserved", Hex, "zero";
        data: values(n(1), rest_but(0)) = "bKeyData", Hex, "the key";
    }

    /// An encryption that a wireless device knew, read in place (Wireless USB 1.1, 7.4.5).
    Encryption "Encryption Type" () 5 {
        encryption_type: u8 = "bEncryptionType", Decimal, "which it is";
        value: u8 = "bEncryptionValue", Decimal, "what selects it";
        key_index: u8 = "bAuthKeyIndex", Decimal, "the key for authentication";
    }

    /// What wireless devices had behind an endpoint, read in place (Wireless USB 1.1, 7.4.4).
    WirelessCompanion "Wireless Endpoint Companion" () 10 {
        max_burst: u8 = "bMaxBurst", Decimal, "packets in a burst";
        max_sequence: u8 = "bMaxSequence", Decimal, "sequence numbers";
        max_stream_delay: u16 = "wMaxStreamDelay", Decimal, "how long data may wait";
        packet_size: u16 = "wOverTheAirPacketSize", Decimal, "bytes of a packet";
        interval: u8 = "bOverTheAirInterval", Decimal, "how often it is served";
        attributes: u8 = "bmCompAttributes", Hex, "scaling and switching";
    }

    /// A hub of USB 2.0, read in place; fetched by a class request (USB 2.0, table 11-13).
    Hub "Hub" () 7 {
        port_count: u8 = "bNbrPorts", Decimal, "downstream ports";
        characteristics: u16 = "wHubCharacteristics", Bits(HUB_CHARACTERISTICS), "power switching, over-current, thinking time";
        power_good: u8 = "bPwrOn2PwrGood", Decimal, "time until a port's power is good, in 2 ms";
        current: u8 = "bHubContrCurrent", Decimal, "what the hub itself draws, in mA";
        removable: values(n(1), Amount::Bitmap("bNbrPorts")) = "DeviceRemovable", Hex, "a bit for each port, set where its device stays";
        power_mask: values(n(1), rest_but(0)) = "PortPwrCtrlMask", Hex, "all ones";
    }

    /// A hub of USB 3, read in place; fetched by a class request (USB 3.2, table 10-5).
    SuperSpeedHub "SuperSpeed Hub" () 12 {
        port_count: u8 = "bNbrPorts", Decimal, "downstream ports";
        characteristics: u16 = "wHubCharacteristics", Bits(HUB_CHARACTERISTICS), "power switching and over-current";
        power_good: u8 = "bPwrOn2PwrGood", Decimal, "time until a port's power is good, in 2 ms";
        current: u8 = "bHubContrCurrent", Decimal, "what the hub itself draws, in 4 mA";
        decode_latency: u8 = "bHubHdrDecLat", Decimal, "worst latency of a packet header, in 0.1 µs";
        delay: u16 = "wHubDelay", Decimal, "average delay in forwarding, in ns";
        removable: u16 = "DeviceRemovable", Hex, "a bit for each port, set where its device stays";
    }
}

use crate::layout::Show;

/// USB 2.0, table 11-13, `wHubCharacteristics`.
const HUB_CHARACTERISTICS: &[Bit] = &[
    bits(0x03, 0, "Ganged power switching"),
    bits(0x03, 1, "Per-port power switching"),
    bits(0x02, 2, "No power switching (usb 1.0)"),
    bit(2, "Compound device"),
    bits(0x18, 0, "Ganged overcurrent protection"),
    bits(0x18, 0x08, "Per-port overcurrent protection"),
    bits(0x10, 0x10, "No overcurrent protection"),
    bit(7, "Port indicators"),
];

impl InterfaceAssociation<'_> {
    /// The function's class, subclass and protocol.
    #[must_use]
    pub fn class(&self) -> ClassCode {
        ClassCode::new(
            self.function_class(),
            self.function_subclass(),
            self.function_protocol(),
        )
    }

    /// Whether an interface of this number belongs to the function.
    #[must_use]
    pub fn contains(&self, number: u8) -> bool {
        number
            .checked_sub(self.first_interface())
            .is_some_and(|at| at < self.interface_count())
    }
}

const LENGTH: Part = Part::number("bLength", 1, Decimal);
const TYPE: Part = Part::number("bDescriptorType", 1, Decimal);
const CLASS: Show = Show::Named(names::class);

static DEVICE: Layout = Layout::new(
    "Device",
    18,
    &[
        LENGTH,
        TYPE,
        Part::number("bcdUSB", 2, Bcd),
        Part::number("bDeviceClass", 1, Show::Named(names::device_class)),
        Part::number("bDeviceSubClass", 1, Decimal),
        Part::number("bDeviceProtocol", 1, Decimal),
        Part::number("bMaxPacketSize0", 1, Decimal),
        Part::number("idVendor", 2, Hex),
        Part::number("idProduct", 2, Hex),
        Part::number("bcdDevice", 2, Bcd),
        Part::number("iManufacturer", 1, Text),
        Part::number("iProduct", 1, Text),
        Part::number("iSerial", 1, Text),
        Part::number("bNumConfigurations", 1, Decimal),
    ],
);

static QUALIFIER: Layout = Layout::new(
    "Device Qualifier (for other device speed)",
    10,
    &[
        LENGTH,
        TYPE,
        Part::number("bcdUSB", 2, Bcd),
        Part::number("bDeviceClass", 1, Show::Named(names::device_class)),
        Part::number("bDeviceSubClass", 1, Decimal),
        Part::number("bDeviceProtocol", 1, Decimal),
        Part::number("bMaxPacketSize0", 1, Decimal),
        Part::number("bNumConfigurations", 1, Decimal),
        Part::number("bReserved", 1, Decimal),
    ],
);

const CONFIGURATION_PARTS: &[Part] = &[
    LENGTH,
    TYPE,
    Part::number("wTotalLength", 2, Hex),
    Part::number("bNumInterfaces", 1, Decimal),
    Part::number("bConfigurationValue", 1, Decimal),
    Part::number("iConfiguration", 1, Text),
    Part::number(
        "bmAttributes",
        1,
        Bits(&[
            bits(0x80, 0, "(Missing must-be-set bit!)"),
            bits(0x40, 0, "(Bus Powered)"),
            bit(6, "Self Powered"),
            bit(5, "Remote Wakeup"),
            bit(4, "Battery Powered"),
        ]),
    ),
    Part::number("MaxPower", 1, Decimal),
];

static CONFIGURATION: Layout = Layout::new("Configuration", 9, CONFIGURATION_PARTS);
static OTHER_SPEED: Layout = Layout::new("Other Speed Configuration", 9, CONFIGURATION_PARTS);

static INTERFACE: Layout = Layout::new(
    "Interface",
    9,
    &[
        LENGTH,
        TYPE,
        Part::number("bInterfaceNumber", 1, Decimal),
        Part::number("bAlternateSetting", 1, Decimal),
        Part::number("bNumEndpoints", 1, Decimal),
        Part::number("bInterfaceClass", 1, CLASS),
        Part::number("bInterfaceSubClass", 1, Decimal),
        Part::number("bInterfaceProtocol", 1, Decimal),
        Part::number("iInterface", 1, Text),
    ],
);

static ENDPOINT: Layout = Layout::new(
    "Endpoint",
    7,
    &[
        LENGTH,
        TYPE,
        Part::number("bEndpointAddress", 1, Endpoint),
        Part::number("bmAttributes", 1, Decimal),
        Part::number("wMaxPacketSize", 2, Hex),
        Part::number("bInterval", 1, Decimal),
        // Audio class 1 (UAC 1.0, table 4-20).
        Part::number("bRefresh", 1, Decimal),
        Part::number("bSynchAddress", 1, Decimal),
    ],
);

static COMPANION: Layout = Layout::new(
    "SuperSpeed Endpoint Companion",
    6,
    &[
        LENGTH,
        TYPE,
        Part::number("bMaxBurst", 1, Decimal),
        Part::number("bmAttributes", 1, DecimalBits(&[])),
        Part::number("wBytesPerInterval", 2, Decimal),
    ],
);

static BOS: Layout = Layout::new(
    "Binary Object Store",
    5,
    &[
        LENGTH,
        TYPE,
        Part::number("wTotalLength", 2, Hex),
        Part::number("bNumDeviceCaps", 1, Decimal),
    ],
);

static STRING: Layout = Layout::new(
    "String",
    2,
    &[
        LENGTH,
        TYPE,
        Part::values("bString", n(2), rest_but(0), Hex),
    ],
);

static UNKNOWN: Layout = Layout::new(
    "Unknown",
    2,
    &[LENGTH, TYPE, Part::values("bData", n(1), rest_but(0), Raw)],
);

/// What a standard descriptor is made of, by its type alone; `None` for a class's or unknown type.
pub(crate) const fn layout(kind: DescriptorType) -> Option<&'static Layout> {
    Some(match kind {
        DescriptorType::DEVICE => &DEVICE,
        DescriptorType::CONFIGURATION => &CONFIGURATION,
        DescriptorType::STRING => &STRING,
        DescriptorType::INTERFACE => &INTERFACE,
        DescriptorType::ENDPOINT => &ENDPOINT,
        DescriptorType::DEVICE_QUALIFIER => &QUALIFIER,
        DescriptorType::OTHER_SPEED_CONFIGURATION => &OTHER_SPEED,
        DescriptorType::INTERFACE_POWER => InterfacePower::LAYOUT,
        DescriptorType::OTG => Otg::LAYOUT,
        DescriptorType::DEBUG => Debug::LAYOUT,
        DescriptorType::INTERFACE_ASSOCIATION => InterfaceAssociation::LAYOUT,
        DescriptorType::SECURITY => Security::LAYOUT,
        DescriptorType::KEY => Key::LAYOUT,
        DescriptorType::ENCRYPTION => Encryption::LAYOUT,
        DescriptorType::WIRELESS_COMPANION => WirelessCompanion::LAYOUT,
        DescriptorType::BOS => &BOS,
        DescriptorType::EUSB2_COMPANION => Eusb2Companion::LAYOUT,
        DescriptorType::SUPERSPEED_COMPANION => &COMPANION,
        DescriptorType::SUPERSPEED_PLUS_COMPANION => SuperSpeedPlusCompanion::LAYOUT,
        _ => return None,
    })
}

/// For what has no layout.
pub(crate) fn unknown() -> &'static Layout {
    &UNKNOWN
}

/// The lines below an endpoint's `bmAttributes` (USB 2.0, table 9-13).
pub(crate) fn endpoint_attributes(attributes: u8) -> [(&'static str, &'static str); 3] {
    let transfer = match TransferType::from_attributes(attributes) {
        TransferType::Control => "Control",
        TransferType::Isochronous => "Isochronous",
        TransferType::Bulk => "Bulk",
        TransferType::Interrupt => "Interrupt",
    };
    let sync = match attributes >> 2 & 3 {
        0 => "None",
        1 => "Asynchronous",
        2 => "Adaptive",
        _ => "Synchronous",
    };
    let usage = match attributes >> 4 & 3 {
        0 => "Data",
        1 => "Feedback",
        2 => "Implicit feedback Data",
        _ => "(reserved)",
    };
    [
        ("Transfer Type", transfer),
        ("Synch Type", sync),
        ("Usage Type", usage),
    ]
}
