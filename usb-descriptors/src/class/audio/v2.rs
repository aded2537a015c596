//! Audio class 2 (UAC 2.0): interface protocol 0x20. Units are numbered anew against class 1.

use crate::layout::Show::{Bcd, Bits, Decimal, Hex, HexNamed, Named, Text};
use crate::layout::{Bit, bit, bits, by, family, n, rest_but, views};
use crate::names;

views! {
    /// The header of the control interface, read in place (UAC 2.0, table 4-5).
    Header "AudioControl Interface" ("HEADER") 9 {
        release: u16 = "bcdADC", Bcd, "release of the audio class";
        category: u8 = "bCategory", Named(names::audio_category), "what the function is for";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the control interface";
        controls: u8 = "bmControls", Bits(&[bits(3, 1, "Latency control (read-only)"), bits(3, 3, "Latency control (host programmable)")]), "controls of the function";
    }

    /// Where sound enters the function, read in place (UAC 2.0, table 4-9).
    InputTerminal "AudioControl Interface" ("INPUT_TERMINAL") 17 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the output terminal that belongs to it";
        clock_source: u8 = "bCSourceID", Decimal, "the clock it runs on";
        channels: u8 = "bNrChannels", Decimal, "logical channels";
        channel_config: u32 = "bmChannelConfig", Bits(names::CHANNELS_2), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        controls: u16 = "bmControls", Bits(TERMINAL), "controls of the terminal, two bits each";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// Where sound leaves the function, read in place (UAC 2.0, table 4-10).
    OutputTerminal "AudioControl Interface" ("OUTPUT_TERMINAL") 12 {
        id: u8 = "bTerminalID", Decimal, "the terminal's number";
        terminal_type: u16 = "wTerminalType", HexNamed(names::audio_terminal), "what it is";
        associated: u8 = "bAssocTerminal", Decimal, "the input terminal that belongs to it";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        clock_source: u8 = "bCSourceID", Decimal, "the clock it runs on";
        controls: u16 = "bmControls", Bits(TERMINAL), "controls of the terminal, two bits each";
        string: u8 = "iTerminal", Text, "index of its string";
    }

    /// A mixer, read in place (UAC 2.0, table 4-11).
    MixerUnit "AudioControl Interface" ("MIXER_UNIT") 13 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u32 = "bmChannelConfig", Bits(names::CHANNELS_2), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        mixer_controls: values(n(1), rest_but(2)) = "bmMixerControls", Hex, "which mixer controls can be set";
        controls: u8 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u8 = "iMixer", Text, "index of its string";
    }

    /// A selector, read in place (UAC 2.0, table 4-12).
    SelectorUnit "AudioControl Interface" ("SELECTOR_UNIT") 7 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        controls: u8 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u8 = "iSelector", Text, "index of its string";
    }

    /// Volume, mute and others, read in place (UAC 2.0, table 4-13).
    FeatureUnit "AudioControl Interface" ("FEATURE_UNIT") 6 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        controls: values(n(4), rest_but(1)) = "bmaControls", Bits(FEATURES), "controls of the master channel and of each logical one, two bits each";
        string: u8 = "iFeature", Text, "index of its string";
    }

    /// An effect, read in place (UAC 2.0, table 4-15).
    EffectUnit "AudioControl Interface" ("EFFECT_UNIT") 16 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        effect: u16 = "wEffectType", Hex, "what it does";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        controls: values(n(4), rest_but(1)) = "bmaControls", Hex, "controls of the master channel and of each logical one";
        string: u8 = "iEffects", Text, "index of its string";
    }

    /// A processing unit, read in place (UAC 2.0, table 4-20).
    ProcessingUnit "AudioControl Interface" ("PROCESSING_UNIT") 17 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        process: u16 = "wProcessType", Hex, "what it does";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u32 = "bmChannelConfig", Bits(names::CHANNELS_2), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        controls: u16 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u8 = "iProcessing", Text, "index of its string";
    }

    /// A vendor's unit, read in place (UAC 2.0, table 4-24).
    ExtensionUnit "AudioControl Interface" ("EXTENSION_UNIT") 16 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        extension: u16 = "wExtensionCode", Hex, "what it does, by the vendor's code";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baSourceID", Decimal, "the entities that feed them";
        channels: u8 = "bNrChannels", Decimal, "logical output channels";
        channel_config: u32 = "bmChannelConfig", Bits(names::CHANNELS_2), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
        controls: u8 = "bmControls", Hex, "controls of the unit, two bits each";
        string: u8 = "iExtension", Text, "index of its string";
    }

    /// A clock, read in place (UAC 2.0, table 4-6).
    ClockSource "AudioControl Interface" ("CLOCK_SOURCE") 8 {
        id: u8 = "bClockID", Decimal, "the clock's number";
        attributes: u8 = "bmAttributes", Bits(&[
            bits(3, 0, "External"), bits(3, 1, "Internal fixed"), bits(3, 2, "Internal variable"),
            bits(3, 3, "Internal programmable"), bit(2, "Synced to SOF"),
        ]), "where it comes from";
        controls: u8 = "bmControls", Bits(&[
            bits(3, 1, "Clock Frequency Control (read-only)"), bits(3, 3, "Clock Frequency Control (read/write)"),
            bits(0x0c, 4, "Clock Validity Control (read-only)"), bits(0x0c, 0x0c, "Clock Validity Control (read/write)"),
        ]), "its controls, two bits each";
        associated: u8 = "bAssocTerminal", Decimal, "the terminal that belongs to it";
        string: u8 = "iClockSource", Text, "index of its string";
    }

    /// A choice of clocks, read in place (UAC 2.0, table 4-7).
    ClockSelector "AudioControl Interface" ("CLOCK_SELECTOR") 7 {
        id: u8 = "bClockID", Decimal, "the selector's number";
        pin_count: u8 = "bNrInPins", Decimal, "inputs";
        sources: values(n(1), by("bNrInPins")) = "baCSourceID", Decimal, "the clocks that feed them";
        controls: u8 = "bmControls", Hex, "its controls, two bits each";
        string: u8 = "iClockSelector", Text, "index of its string";
    }

    /// A clock made from another, read in place (UAC 2.0, table 4-8).
    ClockMultiplier "AudioControl Interface" ("CLOCK_MULTIPLIER") 7 {
        id: u8 = "bClockID", Decimal, "the multiplier's number";
        source: u8 = "bCSourceID", Decimal, "the clock that feeds it";
        controls: u8 = "bmControls", Hex, "its controls, two bits each";
        string: u8 = "iClockMultiplier", Text, "index of its string";
    }

    /// A rate converter, read in place (UAC 2.0, table 4-14).
    RateConverter "AudioControl Interface" ("SAMPLING_RATE_CONVERTER") 8 {
        id: u8 = "bUnitID", Decimal, "the unit's number";
        source: u8 = "bSourceID", Decimal, "the entity that feeds it";
        clock_in: u8 = "bCSourceInID", Decimal, "the clock of its input";
        clock_out: u8 = "bCSourceOutID", Decimal, "the clock of its output";
        string: u8 = "iSRC", Text, "index of its string";
    }

    /// A streaming interface, read in place (UAC 2.0, table 4-27).
    General "AudioStreaming Interface" ("AS_GENERAL") 16 {
        terminal_link: u8 = "bTerminalLink", Decimal, "the terminal it is linked to";
        controls: u8 = "bmControls", Hex, "its controls, two bits each";
        format_type: u8 = "bFormatType", Decimal, "kind of the samples' format";
        formats: u32 = "bmFormats", Bits(&[bit(0, "PCM"), bit(1, "PCM8"), bit(2, "IEEE_FLOAT"), bit(3, "ALAW"), bit(4, "MULAW")]), "formats that it takes";
        channels: u8 = "bNrChannels", Decimal, "physical channels";
        channel_config: u32 = "bmChannelConfig", Bits(names::CHANNELS_2), "where the channels are";
        channel_names: u8 = "iChannelNames", Text, "index of the first channel's string";
    }

    /// Samples one by one, read in place (Audio Data Formats 2.0, table 2-2).
    FormatTypeI "AudioStreaming Interface" ("FORMAT_TYPE") 6 {
        format_type: u8 = "bFormatType", Named(names::audio_format_type), "1 or 3";
        subslot_size: u8 = "bSubslotSize", Decimal, "bytes of one sample";
        resolution: u8 = "bBitResolution", Decimal, "bits that are used of them";
    }

    /// Coded frames, read in place (Audio Data Formats 2.0, table 2-3).
    FormatTypeII "AudioStreaming Interface" ("FORMAT_TYPE") 8 {
        format_type: u8 = "bFormatType", Named(names::audio_format_type), "2";
        max_bit_rate: u16 = "wMaxBitRate", Decimal, "highest rate, in kbit/s";
        slots_per_frame: u16 = "wSlotsPerFrame", Decimal, "slots coded in one frame";
    }

    /// The streaming endpoint, read in place (UAC 2.0, table 4-34).
    EndpointGeneral "AudioStreaming Endpoint" ("EP_GENERAL") 8 {
        attributes: u8 = "bmAttributes", Bits(&[bit(7, "MaxPacketsOnly")]), "whether only full packets go";
        controls: u8 = "bmControls", Hex, "its controls, two bits each";
        lock_delay_units: u8 = "bLockDelayUnits", Named(names::lock_delay), "1 for milliseconds, 2 for samples";
        lock_delay: u16 = "wLockDelay", Hex, "time to lock to the clock";
    }
}

/// UAC 2.0, table 4-9, `bmControls`.
const TERMINAL: &[Bit] = &[
    bits(0x3, 1, "Copy Protect Control (read-only)"),
    bits(0x3, 3, "Copy Protect Control (read/write)"),
    bits(0xc, 0x4, "Connector Control (read-only)"),
    bits(0xc, 0xc, "Connector Control (read/write)"),
    bits(0x30, 0x10, "Overload Control (read-only)"),
    bits(0x30, 0x30, "Overload Control (read/write)"),
];

/// UAC 2.0, table 4-13, `bmaControls`.
const FEATURES: &[Bit] = &[
    bits(0x3, 1, "Mute Control (read-only)"),
    bits(0x3, 3, "Mute Control (read/write)"),
    bits(0xc, 0x4, "Volume Control (read-only)"),
    bits(0xc, 0xc, "Volume Control (read/write)"),
    bits(0x30, 0x10, "Bass Control (read-only)"),
    bits(0x30, 0x30, "Bass Control (read/write)"),
    bits(0xc0, 0x40, "Mid Control (read-only)"),
    bits(0xc0, 0xc0, "Mid Control (read/write)"),
    bits(0x300, 0x100, "Treble Control (read-only)"),
    bits(0x300, 0x300, "Treble Control (read/write)"),
];

family! {
    /// Class descriptors of a control interface (UAC 2.0, A.9).
    ///
    /// ```
    /// use usb_descriptors::class::audio::v2::Control;
    /// let Some(Control::ClockSource(clock)) = Control::parse(&[8, 0x24, 10, 9, 1, 5, 0, 0]) else {
    ///     panic!()
    /// };
    /// assert_eq!(clock.id(), 9);
    /// ```
    Control {
        [_, _, 0x01, ..] => Header(Header),
        [_, _, 0x02, ..] => InputTerminal(InputTerminal),
        [_, _, 0x03, ..] => OutputTerminal(OutputTerminal),
        [_, _, 0x04, ..] => MixerUnit(MixerUnit),
        [_, _, 0x05, ..] => SelectorUnit(SelectorUnit),
        [_, _, 0x06, ..] => FeatureUnit(FeatureUnit),
        [_, _, 0x07, ..] => EffectUnit(EffectUnit),
        [_, _, 0x08, ..] => ProcessingUnit(ProcessingUnit),
        [_, _, 0x09, ..] => ExtensionUnit(ExtensionUnit),
        [_, _, 0x0a, ..] => ClockSource(ClockSource),
        [_, _, 0x0b, ..] => ClockSelector(ClockSelector),
        [_, _, 0x0c, ..] => ClockMultiplier(ClockMultiplier),
        [_, _, 0x0d, ..] => RateConverter(RateConverter),
    }
}

family! {
    /// Class descriptors of a streaming interface (UAC 2.0, A.10).
    Streaming {
        [_, _, 0x01, ..] => General(General),
        [_, _, 0x02, 2, ..] => FormatTypeII(FormatTypeII),
        [_, _, 0x02, ..] => FormatTypeI(FormatTypeI),
    }
}

family! {
    /// Class descriptors of a streaming endpoint (UAC 2.0, A.13).
    StreamingEndpoint {
        [_, _, 0x01, ..] => General(EndpointGeneral),
    }
}
