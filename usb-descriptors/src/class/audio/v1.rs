//! Audio class 1 (UAC 1.0): interface protocol 0x00.

use crate::layout::Show::{Bcd, Bits, Decimal, Hex, HexNamed, Named, Text};
use crate::layout::{bit, by, family, n, rest_but, views};
use crate::names;

views! {
    /// The header of the control interface, read in place (UAC 1.0, table 4-2).
    Header "AudioControl Interface" ("HEADER") 8 {
        release: u16 = "bcdADC", Bcd, "release of the audio class";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the control interface";
        interface_count: u8 = "bInCollection", Decimal, "streaming interfaces of this function";
        interfaces: values(n(1), by("bInCollection")) = "baInterfaceNr", Decimal, "their numbers";
    }

    /// Where sound enters the function, read in place (UAC 1.0, table 4-3).
    InputTerminal "AudioControl Interface" ("INPUT_TERMINAL") 12 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the output terminal that belongs to it";
        channels: u8 = "bNrChannels", Decimal, "logical channels";
        channel_config: u16 = "wChannelConfig", Bits(names::CHANNELS), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// Where sound leaves the function, read in place (UAC 1.0, table 4-4).
    OutputTerminal "AudioControl Interface" ("OUTPUT_TERMINAL") 9 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the input terminal that belongs to it";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// A mixer, read in place (UAC 1.0, table 4-5).
    MixerUnit "AudioControl Interface" ("MIXER_UNIT") 10 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u16 = "wChannelConfig", Bits(names::CHANNELS), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        controls: values(n(1), rest_but(1)) = "bmControls", Hex, "which controls can be set";
        string: u8 = "iMixer", Text, "index of its string";
    }

    /// A selector, read in place (UAC 1.0, table 4-6).
    SelectorUnit "AudioControl Interface" ("SELECTOR_UNIT") 6 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        string: u8 = "iSelector", Text, "index of its string";
    }

    /// Volume, mute and others, read in place (UAC 1.0, table 4-7).
    FeatureUnit "AudioControl Interface" ("FEATURE_UNIT") 7 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        control_size: u8 = "bControlSize", Decimal, "bytes of each element of the controls";
        controls: values(by("bControlSize"), rest_but(1)) = "bmaControls", Bits(FEATURES), "controls of the master channel and of each logical one";
        string: u8 = "iFeature", Text, "index of its string";
    }

    /// A processing unit, read in place (UAC 1.0, table 4-8).
    ProcessingUnit "AudioControl Interface" ("PROCESSING_UNIT") 13 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        process: u16 = "wProcessType", Hex, "what it does";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u16 = "wChannelConfig", Bits(names::CHANNELS), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(n(1), by("bControlSize")) = "bmControls", Hex, "which controls can be set";
        string: u8 = "iProcessing", Text, "index of its string";
    }

    /// A vendor's unit, read in place (UAC 1.0, table 4-15).
    ExtensionUnit "AudioControl Interface" ("EXTENSION_UNIT") 13 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        extension: u16 = "wExtensionCode", Hex, "what it does, by the vendor's code";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u16 = "wChannelConfig", Bits(names::CHANNELS), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        control_size: u8 = "bControlSize", Decimal, "bytes of the controls";
        controls: values(n(1), by("bControlSize")) = "bmControls", Hex, "which controls can be set";
        string: u8 = "iExtension", Text, "index of its string";
    }

    /// A streaming interface, read in place (UAC 1.0, table 4-19).
    General "AudioStreaming Interface" ("AS_GENERAL") 7 {
        terminal_link: u8 = "bTerminalLink", Decimal, "the terminal it is linked to";
        delay: u8 = "bDelay", Decimal, "its delay, in frames";
        format: u16 = "wFormatTag", HexNamed(names::audio_format), "the samples' format";
    }

    /// Samples one by one, read in place (Audio Data Formats 1.0, table 2-1; type III, 2-4).
    FormatTypeI "AudioStreaming Interface" ("FORMAT_TYPE") 8 {
        format_type: u8 = "bFormatType", Named(names::audio_format_type), "1 or 3";
        channels: u8 = "bNrChannels", Decimal, "physical channels";
        subframe_size: u8 = "bSubframeSize", Decimal, "bytes of one sample";
        resolution: u8 = "bBitResolution", Decimal, "bits that are used of them";
        frequency_type: u8 = "bSamFreqType", Named(names::audio_frequencies), "0 for a range, else how many rates follow";
        frequencies: values(n(3), rest_but(0)) = "tSamFreq", Decimal, "rates in Hz, or the lowest and the highest";
    }

    /// Coded frames, read in place (Audio Data Formats 1.0, table 2-3).
    FormatTypeII "AudioStreaming Interface" ("FORMAT_TYPE") 9 {
        format_type: u8 = "bFormatType", Named(names::audio_format_type), "2";
        max_bit_rate: u16 = "wMaxBitRate", Decimal, "highest rate, in kbit/s";
        samples_per_frame: u16 = "wSamplesPerFrame", Decimal, "samples coded in one frame";
        frequency_type: u8 = "bSamFreqType", Named(names::audio_frequencies), "0 for a range, else how many rates follow";
        frequencies: values(n(3), rest_but(0)) = "tSamFreq", Decimal, "rates in Hz, or the lowest and the highest";
    }

    /// What a format needs beyond that, read in place (Audio Data Formats 1.0, 2.3).
    FormatSpecific "AudioStreaming Interface" ("FORMAT_SPECIFIC") 5 {
        format: u16 = "wFormatTag", HexNamed(names::audio_format), "the samples' format";
        detail: values(n(1), rest_but(0)) = "bmDetail", Hex, "as the format defines it";
    }

    /// The streaming endpoint, read in place (UAC 1.0, table 4-21).
    EndpointGeneral "AudioStreaming Endpoint" ("EP_GENERAL") 7 {
        attributes: u8 = "bmAttributes", Bits(&[bit(0, "Sampling Frequency"), bit(1, "Pitch"), bit(2, "Audio Data Format Control"), bit(7, "MaxPacketsOnly")]), "controls of the endpoint";
        lock_delay_units: u8 = "bLockDelayUnits", Named(names::lock_delay), "1 for milliseconds, 2 for samples";
        lock_delay: u16 = "wLockDelay", Hex, "time to lock to the clock";
    }
}

/// UAC 1.0, table 4-7, `bmaControls`.
const FEATURES: &[crate::layout::Bit] = &[
    bit(0, "Mute Control"),
    bit(1, "Volume Control"),
    bit(2, "Bass Control"),
    bit(3, "Mid Control"),
    bit(4, "Treble Control"),
    bit(5, "Graphic Equalizer Control"),
    bit(6, "Automatic Gain Control"),
    bit(7, "Delay Control"),
    bit(8, "Bass Boost Control"),
    bit(9, "Loudness Control"),
];

family! {
    /// Class descriptors of a control interface (UAC 1.0, A.5).
    ///
    /// ```
    /// use usb_descriptors::class::audio::v1::Control;
    /// let bytes = [10, 0x24, 1, 0, 1, 52, 0, 2, 1, 2];
    /// let Some(Control::Header(header)) = Control::parse(&bytes) else { panic!() };
    /// assert_eq!(header.interfaces().collect::<Vec<_>>(), [1, 2]);
    /// ```
    Control {
        [_, _, 0x01, ..] => Header(Header),
        [_, _, 0x02, ..] => InputTerminal(InputTerminal),
        [_, _, 0x03, ..] => OutputTerminal(OutputTerminal),
        [_, _, 0x04, ..] => MixerUnit(MixerUnit),
        [_, _, 0x05, ..] => SelectorUnit(SelectorUnit),
        [_, _, 0x06, ..] => FeatureUnit(FeatureUnit),
        [_, _, 0x07, ..] => ProcessingUnit(ProcessingUnit),
        [_, _, 0x08, ..] => ExtensionUnit(ExtensionUnit),
    }
}

family! {
    /// Class descriptors of a streaming interface (UAC 1.0, A.6).
    Streaming {
        [_, _, 0x01, ..] => General(General),
        [_, _, 0x02, 2, ..] => FormatTypeII(FormatTypeII),
        [_, _, 0x02, ..] => FormatTypeI(FormatTypeI),
        [_, _, 0x03, ..] => FormatSpecific(FormatSpecific),
    }
}

family! {
    /// Class descriptors of a streaming endpoint (UAC 1.0, A.8).
    StreamingEndpoint {
        [_, _, 0x01, ..] => General(EndpointGeneral),
    }
}
