//! Communications devices (CDC 1.2) and its subclasses: ACM, ECM, NCM, MBIM and others.

use crate::layout::Show::{Bcd, Bits, Decimal, Guid, Hex, Raw, Text};
use crate::layout::{bit, family, n, rest_but, views};

views! {
    /// The first functional descriptor, read in place (CDC 1.2, table 15).
    Header "CDC Header" ("HEADER") 5 {
        release: u16 = "bcdCDC", Bcd, "release of the communications class";
    }

    /// Who manages calls, read in place (PSTN 1.2, table 3).
    CallManagement "CDC Call Management" ("CALL_MANAGEMENT") 5 {
        capabilities: u8 = "bmCapabilities", Bits(&[bit(0, "call management"), bit(1, "use DataInterface")]), "whether and where";
        data_interface: u8 = "bDataInterface", Decimal, "the data interface that carries it";
    }

    /// What a modem can do, read in place (PSTN 1.2, table 4).
    Acm "CDC ACM" ("ACM") 4 {
        capabilities: u8 = "bmCapabilities", Bits(&[
            bit(3, "connection notifications"),
            bit(2, "sends break"),
            bit(1, "line coding and serial state"),
            bit(0, "get/set/clear comm features"),
        ]), "requests it knows";
    }

    /// What a direct line can do, read in place (PSTN 1.2, table 5).
    DirectLine "CDC Direct Line" ("DIRECT_LINE") 4 {
        capabilities: u8 = "bmCapabilities", Hex, "requests it knows";
    }

    /// A telephone's ringer, read in place (PSTN 1.2, table 6).
    Ringer "CDC Telephone Ringer" ("RINGER") 5 {
        volume_steps: u8 = "bRingerVolSteps", Decimal, "volumes, 0 for 256";
        patterns: u8 = "bNumRingerPatterns", Decimal, "ringing patterns";
    }

    /// What a telephone tells of calls, read in place (PSTN 1.2, table 8).
    TelephoneCall "CDC Telephone Call" ("TELEPHONE_CALL") 4 {
        capabilities: u32 = "bmCapabilities", Hex, "what it reports";
    }

    /// Interfaces that work together, read in place (CDC 1.2, table 16).
    Union "CDC Union" ("UNION") 4 {
        control_interface: u8 = "bMasterInterface", Decimal, "the controlling interface";
        subordinate_interfaces: values(n(1), rest_but(0)) = "bSlaveInterface", Decimal, "the interfaces it controls";
    }

    /// The countries of a device, read in place (CDC 1.2, table 17).
    Country "Country Selection" ("COUNTRY") 4 {
        release_date: u8 = "iCountryCodeRelDate", Text, "index of the string with the date of the codes";
        countries: values(n(2), rest_but(0)) = "wCountryCode", Hex, "codes of ISO 3166";
    }

    /// A telephone's modes, read in place (PSTN 1.2, table 7).
    OperationalModes "CDC Telephone operations" ("OPERATIONAL_MODES") 4 {
        capabilities: u8 = "bmCapabilities", Hex, "simple, standalone, host-centric";
    }

    /// A channel of a network, read in place (ISDN 1.2, table 4).
    NetworkChannel "Network Channel Terminal" ("NETWORK_CHANNEL") 7 {
        entity_id: u8 = "bEntityId", Decimal, "the terminal's number";
        name: u8 = "iName", Text, "index of the string with its name";
        channel_index: u8 = "bChannelIndex", Decimal, "the channel";
        physical_interface: u8 = "bPhysicalInterface", Decimal, "0 for none, 1 for ISDN";
    }

    /// An Ethernet adapter, read in place (ECM 1.2, table 3).
    Ethernet "CDC Ethernet" ("ETHERNET") 13 {
        mac_address: u8 = "iMacAddress", Text, "index of the string with its address in hexadecimal";
        statistics: u32 = "bmEthernetStatistics", Hex, "counters it keeps";
        max_segment_size: u16 = "wMaxSegmentSize", Decimal, "longest frame, in bytes";
        multicast_filters: u16 = "wNumberMCFilters", Hex, "filters for groups; bit 15: imperfect";
        power_filters: u8 = "bNumberPowerFilters", Decimal, "patterns that wake the host";
    }

    /// A mobile phone's direct line model, read in place (WMC 1.1, table 6-9).
    MobileDirectLine "CDC MDLM" ("MDLM") 21 {
        release: u16 = "bcdCDC", Bcd, "release of the model";
        guid: bytes(16) = "bGUID", Guid, "whose model it is";
    }

    /// What belongs to a mobile phone's model, read in place (WMC 1.1, table 6-10).
    MobileDirectLineDetail "CDC MDLM detail" ("MDLM_DETAIL") 4 {
        kind: u8 = "bGuidDescriptorType", Hex, "what follows";
        detail: values(n(1), rest_but(0)) = "bDetailData", Raw, "as the model defines it";
    }

    /// Device management, read in place (WMC 1.1, table 6-6).
    DeviceManagement "CDC Device Management" ("DEVICE_MANAGEMENT") 7 {
        release: u16 = "bcdVersion", Bcd, "release of the model";
        max_command: u16 = "wMaxCommand", Decimal, "longest command, in bytes";
    }

    /// Object exchange, read in place (WMC 1.1, table 6-13).
    Obex "CDC OBEX" ("OBEX") 5 {
        release: u16 = "bcdVersion", Bcd, "release of the model";
    }

    /// A set of commands, read in place (WMC 1.1, table 6-3).
    CommandSet "CDC Command Set" ("COMMAND_SET") 22 {
        release: u16 = "bcdVersion", Bcd, "release of the set";
        string: u8 = "iCommandSet", Text, "index of its string";
        guid: bytes(16) = "bGUID", Guid, "which set it is";
    }

    /// A network adapter that packs frames, read in place (NCM 1.0, table 5-2).
    Ncm "CDC NCM" ("NCM") 6 {
        release: u16 = "bcdNcmVersion", Bcd, "release of NCM";
        capabilities: u8 = "bmNetworkCapabilities", Bits(&[
            bit(5, "8-byte ntb input size"),
            bit(4, "crc mode"),
            bit(3, "max datagram size"),
            bit(2, "encapsulated commands"),
            bit(1, "net address"),
            bit(0, "packet filter"),
        ]), "requests it knows";
    }

    /// A mobile broadband adapter, read in place (MBIM 1.0, table 4-3).
    Mbim "CDC MBIM" ("MBIM") 12 {
        release: u16 = "bcdMBIMVersion", Bcd, "release of MBIM";
        max_control_message: u16 = "wMaxControlMessage", Decimal, "longest control message, in bytes";
        filter_count: u8 = "bNumberFilters", Decimal, "packet filters";
        max_filter_size: u8 = "bMaxFilterSize", Decimal, "longest filter, in bytes";
        max_segment_size: u16 = "wMaxSegmentSize", Decimal, "longest segment, in bytes";
        capabilities: u8 = "bmNetworkCapabilities", Bits(&[
            bit(5, "8-byte ntb input size"),
            bit(3, "max datagram size"),
        ]), "requests it knows";
    }

    /// What later releases of MBIM add, read in place (MBIM 1.0 errata, table 4-4).
    MbimExtended "CDC MBIM Extended" ("MBIM_EXTENDED") 8 {
        release: u16 = "bcdMBIMExtendedVersion", Bcd, "release of the extension";
        max_outstanding: u8 = "bMaxOutstandingCommandMessages", Decimal, "commands under way at the same time";
        mtu: u16 = "wMTU", Decimal, "the network's largest packet, in bytes";
    }
}

family! {
    /// The functional descriptors of a communications interface, by `bDescriptorSubtype`
    /// (CDC 1.2, table 13, and its subclasses).
    ///
    /// ```
    /// use usb_descriptors::class::cdc::Functional;
    /// let Some(Functional::Union(union)) = Functional::parse(&[5, 0x24, 6, 0, 1]) else { panic!() };
    /// assert_eq!(union.subordinate_interfaces().collect::<Vec<_>>(), [1]);
    /// ```
    Functional {
        [_, _, 0x00, ..] => Header(Header),
        [_, _, 0x01, ..] => CallManagement(CallManagement),
        [_, _, 0x02, ..] => Acm(Acm),
        [_, _, 0x03, ..] => DirectLine(DirectLine),
        [_, _, 0x04, ..] => Ringer(Ringer),
        [_, _, 0x05, ..] => TelephoneCall(TelephoneCall),
        [_, _, 0x06, ..] => Union(Union),
        [_, _, 0x07, ..] => Country(Country),
        [_, _, 0x08, ..] => OperationalModes(OperationalModes),
        [_, _, 0x0a, ..] => NetworkChannel(NetworkChannel),
        [_, _, 0x0f, ..] => Ethernet(Ethernet),
        [_, _, 0x12, ..] => MobileDirectLine(MobileDirectLine),
        [_, _, 0x13, ..] => MobileDirectLineDetail(MobileDirectLineDetail),
        [_, _, 0x14, ..] => DeviceManagement(DeviceManagement),
        [_, _, 0x15, ..] => Obex(Obex),
        [_, _, 0x16, ..] => CommandSet(CommandSet),
        [_, _, 0x1a, ..] => Ncm(Ncm),
        [_, _, 0x1b, ..] => Mbim(Mbim),
        [_, _, 0x1c, ..] => MbimExtended(MbimExtended),
    }
}
