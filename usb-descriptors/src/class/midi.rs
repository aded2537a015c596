//! MIDI streaming (MIDI 1.0; MIDI 2.0 adds group terminal blocks, fetched separately).

use crate::layout::Show::{Bcd, Decimal, Hex, Named, Text};
use crate::layout::{Part, by, family, n, rest_but, views};
use crate::names;

views! {
    /// The header of a MIDI streaming interface, read in place (MIDI 1.0, table 6-2).
    Header "MIDIStreaming Interface" ("HEADER") 7 {
        release: u16 = "bcdADC", Bcd, "release of the MIDI class";
        total_length: u16 = "wTotalLength", Hex, "bytes of all class descriptors of the interface";
    }

    /// A jack that takes messages in, read in place (MIDI 1.0, table 6-3).
    InJack "MIDIStreaming Interface" ("MIDI_IN_JACK") 6 {
        jack_type: u8 = "bJackType", Named(names::midi_jack), "1 embedded, 2 external";
        id: u8 = "bJackID", Decimal, "the jack's number";
        string: u8 = "iJack", Text, "index of its string";
    }

    /// A jack that gives messages out, read in place (MIDI 1.0, table 6-4).
    OutJack "MIDIStreaming Interface" ("MIDI_OUT_JACK") 7 {
        jack_type: u8 = "bJackType", Named(names::midi_jack), "1 embedded, 2 external";
        id: u8 = "bJackID", Decimal, "the jack's number";
        pin_count: u8 = "bNrInputPins", Decimal, "inputs of the jack";
        sources: group(by("bNrInputPins"), &[
            Part::number("baSourceID", 1, Decimal),
            Part::number("BaSourcePin", 1, Decimal),
        ]) = "baSources", Decimal, "entity and pin that feed each input, two bytes each";
        string: u8 = "iJack", Text, "index of its string";
    }

    /// An element between jacks, read in place (MIDI 1.0, table 6-5).
    Element "MIDIStreaming Interface" ("ELEMENT") 9 {
        id: u8 = "bElementID", Decimal, "the element's number";
        pin_count: u8 = "bNrInputPins", Decimal, "inputs of the element";
        sources: group(by("bNrInputPins"), &[
            Part::number("baSourceID", 1, Decimal),
            Part::number("BaSourcePin", 1, Decimal),
        ]) = "baSources", Decimal, "entity and pin that feed each input, two bytes each";
        output_count: u8 = "bNrOutputPins", Decimal, "outputs of the element";
        input_link: u8 = "bInTerminalLink", Decimal, "the audio input terminal it is linked to";
        output_link: u8 = "bOutTerminalLink", Decimal, "the audio output terminal it is linked to";
        capability_size: u8 = "bElCapsSize", Decimal, "bytes of the capabilities";
        capabilities: values(n(1), by("bElCapsSize")) = "bmElementCaps", Hex, "what it can do";
        string: u8 = "iElement", Text, "index of its string";
    }

    /// The jacks behind an endpoint, read in place (MIDI 1.0, table 6-7).
    General "MIDIStreaming Endpoint" ("GENERAL") 4 {
        jack_count: u8 = "bNumEmbMIDIJack", Decimal, "embedded jacks behind the endpoint";
        jacks: values(n(1), rest_but(0)) = "baAssocJackID", Decimal, "their numbers";
    }
}

family! {
    /// Class descriptors of a MIDI streaming interface (MIDI 1.0, A.1).
    ///
    /// ```
    /// use usb_descriptors::class::midi::{Streaming};
    /// let Some(Streaming::OutJack(jack)) = Streaming::parse(&[9, 0x24, 3, 1, 2, 1, 1, 1, 0]) else {
    ///     panic!()
    /// };
    /// assert_eq!(jack.sources(), [1, 1]);
    /// ```
    Streaming {
        [_, _, 0x01, ..] => Header(Header),
        [_, _, 0x02, ..] => InJack(InJack),
        [_, _, 0x03, ..] => OutJack(OutJack),
        [_, _, 0x04, ..] => Element(Element),
    }
}

family! {
    /// Class descriptors of a MIDI streaming endpoint (MIDI 1.0, A.2).
    StreamingEndpoint {
        [_, _, 0x01, ..] => General(General),
    }
}
