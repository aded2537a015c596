//! Audio class 3 (UAC 3.0): interface protocol 0x30. Channels are told by cluster descriptors and
//! names by string descriptors of the class, both fetched by request.

use crate::layout::Show::{Decimal, Hex, HexNamed, Named};
use crate::layout::{by, family, n, rest_but, views};
use crate::names;

views! {
    /// The header of the control interface, read in place (UAC 3.0, table 4-15).
    Header "AudioControl Interface" ("HEADER") 10 {
        category: u8 = "bCategory", Named(names::audio_category), "what the function is for";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the control interface";
        controls: u32 = "bmControls", Hex, "controls of the function, two bits each";
    }

    /// Where sound enters the function, read in place (UAC 3.0, table 4-16).
    InputTerminal "AudioControl Interface" ("INPUT_TERMINAL") 20 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the output terminal that belongs to it";
        clock_source: u8 = "bCSourceID", Decimal, "the clock it runs on";
        controls: u32 = "bmControls", Hex, "controls of the terminal, two bits each";
        cluster: u16 = "wClusterDescrID", Decimal, "the cluster of its channels";
        extended: u16 = "wExTerminalDescrID", Decimal, "its extended terminal descriptor";
        connectors: u16 = "wConnectorsDescrID", Decimal, "its connectors descriptor";
        string: u16 = "wTerminalDescrStr", Decimal, "its string, of the class";
    }

    /// Where sound leaves the function, read in place (UAC 3.0, table 4-17).
    OutputTerminal "AudioControl Interface" ("OUTPUT_TERMINAL") 19 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the input terminal that belongs to it";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        clock_source: u8 = "bCSourceID", Decimal, "the clock it runs on";
        controls: u32 = "bmControls", Hex, "controls of the terminal, two bits each";
        extended: u16 = "wExTerminalDescrID", Decimal, "its extended terminal descriptor";
        connectors: u16 = "wConnectorsDescrID", Decimal, "its connectors descriptor";
        string: u16 = "wTerminalDescrStr", Decimal, "its string, of the class";
    }

    /// A mixer, read in place (UAC 3.0, table 4-29).
    MixerUnit "AudioControl Interface" ("MIXER_UNIT") 13 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        cluster: u16 = "wClusterDescrID", Decimal, "the cluster of its channels";
        mixer_controls: values(n(1), rest_but(6)) = "bmMixerControls", Hex, "which mixer controls can be set";
        controls: u32 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u16 = "wMixerDescrStr", Decimal, "its string, of the class";
    }

    /// A selector, read in place (UAC 3.0, table 4-30).
    SelectorUnit "AudioControl Interface" ("SELECTOR_UNIT") 11 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        controls: u32 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u16 = "wSelectorDescrStr", Decimal, "its string, of the class";
    }

    /// Volume, mute and others, read in place (UAC 3.0, table 4-31).
    FeatureUnit "AudioControl Interface" ("FEATURE_UNIT") 7 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        controls: values(n(4), rest_but(2)) = "bmaControls", Hex, "controls of the master channel and of each logical one, two bits each";
        string: u16 = "wFeatureDescrStr", Decimal, "its string, of the class";
    }

    /// A power domain, read in place (UAC 3.0, table 4-46).
    PowerDomain "AudioControl Interface" ("POWER_DOMAIN") 11 {
        id: u8 = "bPowerDomainID", Decimal, "the domain's number";
        recovery_1: u16 = "waRecoveryTime1", Decimal, "time to wake from D1, in 50 µs";
        recovery_2: u16 = "waRecoveryTime2", Decimal, "time to wake from D2, in 50 µs";
        entity_count: u8 = "bNrEntities", Decimal, "entities of the domain";
        entities: values(n(1), by("bNrEntities")) = "baEntityID", Decimal, "their numbers";
        string: u16 = "wPDomainDescrStr", Decimal, "its string, of the class";
    }

    /// A clock, read in place (UAC 3.0, table 4-25).
    ClockSource "AudioControl Interface" ("CLOCK_SOURCE") 12 {
        id: u8 = "bClockID", Decimal, "the clock's number";
        attributes: u8 = "bmAttributes", Hex, "where it comes from";
        controls: u32 = "bmControls", Hex, "its controls, two bits each";
        reference: u8 = "bReferenceTerminal", Decimal, "the terminal that it follows";
        string: u16 = "wClockSourceStr", Decimal, "its string, of the class";
    }

    /// A choice of clocks, read in place (UAC 3.0, table 4-26).
    ClockSelector "AudioControl Interface" ("CLOCK_SELECTOR") 11 {
        id: u8 = "bClockID", Decimal, "the selector's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baCSourceID", Decimal, "the clocks that feed them";
        controls: u32 = "bmControls", Hex, "its controls, two bits each";
        string: u16 = "wCSelectorDescrStr", Decimal, "its string, of the class";
    }

    /// A clock made from another, read in place (UAC 3.0, table 4-27).
    ClockMultiplier "AudioControl Interface" ("CLOCK_MULTIPLIER") 11 {
        id: u8 = "bClockID", Decimal, "the multiplier's number";
        source: u8 = "bCSourceID", Decimal, "the clock that feeds it";
        controls: u32 = "bmControls", Hex, "its controls, two bits each";
        string: u16 = "wCMultiplierDescrStr", Decimal, "its string, of the class";
    }

    /// A streaming interface, read in place (UAC 3.0, table 4-49).
    General "AudioStreaming Interface" ("AS_GENERAL") 23 {
        terminal_link: u8 = "bTerminalLink", Decimal, "the terminal it is linked to";
        controls: u32 = "bmControls", Hex, "its controls, two bits each";
        cluster: u16 = "wClusterDescrID", Decimal, "the cluster of its channels";
        formats: bytes(8) = "bmFormats", Hex, "formats that it takes";
        subslot_size: u8 = "bSubslotSize", Decimal, "bytes of one sample";
        resolution: u8 = "bBitResolution", Decimal, "bits that are used of them";
        auxiliary_protocols: u16 = "bmAuxProtocols", Hex, "protocols beside the samples";
        control_size: u8 = "bControlSize", Decimal, "bytes of the control channel's words";
    }

    /// The streaming endpoint, read in place (UAC 3.0, table 4-51).
    EndpointGeneral "AudioStreaming Endpoint" ("EP_GENERAL") 10 {
        controls: u32 = "bmControls", Hex, "its controls, two bits each";
        lock_delay_units: u8 = "bLockDelayUnits", Named(names::lock_delay), "1 for milliseconds, 2 for samples";
        lock_delay: u16 = "wLockDelay", Hex, "time to lock to the clock";
    }
}

family! {
    /// Class descriptors of a control interface (UAC 3.0, A.15).
    ///
    /// ```
    /// use usb_descriptors::class::audio::v3::Control;
    /// let bytes = [10, 0x24, 1, 8, 10, 0, 0, 0, 0, 0];
    /// let Some(Control::Header(header)) = Control::parse(&bytes) else { panic!() };
    /// assert_eq!(header.total_length(), 10);
    /// ```
    Control {
        [_, _, 0x01, ..] => Header(Header),
        [_, _, 0x02, ..] => InputTerminal(InputTerminal),
        [_, _, 0x03, ..] => OutputTerminal(OutputTerminal),
        [_, _, 0x05, ..] => MixerUnit(MixerUnit),
        [_, _, 0x06, ..] => SelectorUnit(SelectorUnit),
        [_, _, 0x07, ..] => FeatureUnit(FeatureUnit),
        [_, _, 0x0b, ..] => ClockSource(ClockSource),
        [_, _, 0x0c, ..] => ClockSelector(ClockSelector),
        [_, _, 0x0d, ..] => ClockMultiplier(ClockMultiplier),
        [_, _, 0x10, ..] => PowerDomain(PowerDomain),
    }
}

family! {
    /// Class descriptors of a streaming interface (UAC 3.0, A.16).
    Streaming {
        [_, _, 0x01, ..] => General(General),
    }
}

family! {
    /// Class descriptors of a streaming endpoint (UAC 3.0, A.18).
    StreamingEndpoint {
        [_, _, 0x01, ..] => General(EndpointGeneral),
    }
}
