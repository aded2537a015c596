//! Class descriptors: what they are is told by where they stand, never by their type alone.
//!
//! [`ClassDescriptor::read`] is the one place that decides. [`Interface::class_descriptors`] and
//! [`Endpoint::class_descriptors`] call it for what they find.
//!
//! ```
//! use usb_descriptors::class::{ClassDescriptor, cdc};
//! use usb_descriptors::Configuration;
//! let bytes = [
//!     9, 2, 28, 0, 1, 1, 0, 0x80, 50, //
//!     9, 4, 0, 0, 0, 2, 2, 1, 0, // communications, modem
//!     5, 0x24, 6, 0, 1, // functional descriptor: union of interfaces 0 and 1
//!     5, 0x24, 0, 0x10, 1, // functional descriptor: header
//! ];
//! let configuration = Configuration::parse(&bytes)?;
//! let interface = configuration.interfaces().next().unwrap();
//! let first = interface.class_descriptors().next().unwrap();
//! let ClassDescriptor::Cdc(cdc::Functional::Union(union)) = first else { panic!() };
//! assert_eq!(union.control_interface(), 0);
//! # Ok::<(), usb_descriptors::DescriptorError>(())
//! ```
//!
//! [`Interface::class_descriptors`]: crate::Interface::class_descriptors
//! [`Endpoint::class_descriptors`]: crate::Endpoint::class_descriptors

pub mod audio;
pub mod cdc;
mod code;
pub mod dfu;
pub mod hid;
pub mod midi;
pub mod printer;
pub mod smart_card;
pub mod storage;
pub mod video;

pub use code::ClassCode;

use crate::{Descriptor, DescriptorType, Fields, Layout, standard};

/// What a descriptor stands behind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "classes describe these two")]
pub enum Placement {
    /// An interface, before its first endpoint.
    Interface,
    /// An endpoint.
    Endpoint,
}

/// A class descriptor, by the class of its interface and its place there.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ClassDescriptor<'a> {
    /// The HID descriptor.
    Hid(hid::HidDescriptor<'a>),
    /// Of a communications interface.
    Cdc(cdc::Functional<'a>),
    /// Of an audio control interface, class 1.
    Audio1Control(audio::v1::Control<'a>),
    /// Of an audio streaming interface, class 1.
    Audio1Streaming(audio::v1::Streaming<'a>),
    /// Of an audio streaming endpoint, class 1.
    Audio1Endpoint(audio::v1::StreamingEndpoint<'a>),
    /// Of an audio control interface, class 2.
    Audio2Control(audio::v2::Control<'a>),
    /// Of an audio streaming interface, class 2.
    Audio2Streaming(audio::v2::Streaming<'a>),
    /// Of an audio streaming endpoint, class 2.
    Audio2Endpoint(audio::v2::StreamingEndpoint<'a>),
    /// Of an audio control interface, class 3.
    Audio3Control(audio::v3::Control<'a>),
    /// Of an audio streaming interface, class 3.
    Audio3Streaming(audio::v3::Streaming<'a>),
    /// Of an audio streaming endpoint, class 3.
    Audio3Endpoint(audio::v3::StreamingEndpoint<'a>),
    /// Of a MIDI streaming interface.
    Midi(midi::Streaming<'a>),
    /// Of a MIDI streaming endpoint.
    MidiEndpoint(midi::StreamingEndpoint<'a>),
    /// Of a video control interface.
    VideoControl(video::Control<'a>),
    /// Of a video control interface's endpoint.
    VideoEndpoint(video::Endpoint<'a>),
    /// Of a video streaming interface.
    VideoStreaming(video::Streaming<'a>),
    /// What a pipe of USB Attached SCSI is for.
    PipeUsage(storage::PipeUsage<'a>),
    /// The functional descriptor of firmware upgrades.
    Dfu(dfu::DfuFunctional<'a>),
    /// The descriptor of a smart card reader.
    SmartCard(smart_card::SmartCardReader<'a>),
    /// What a printer does of IPP.
    Printer(printer::PrinterInfo<'a>),
    /// Of a class or a kind that is not known here, misplaced, or too short for its kind.
    Unknown(Descriptor<'a>),
}

/// The families that class descriptors come in.
#[derive(Clone, Copy)]
enum Family {
    Hid,
    Cdc,
    Audio1Control,
    Audio1Streaming,
    Audio1Endpoint,
    Audio2Control,
    Audio2Streaming,
    Audio2Endpoint,
    Audio3Control,
    Audio3Streaming,
    Audio3Endpoint,
    Midi,
    MidiEndpoint,
    VideoControl,
    VideoEndpoint,
    VideoStreaming,
    PipeUsage,
    Dfu,
    SmartCard,
    Printer,
}

/// The one decision: what a type code means in a class at a place.
const fn family(class: ClassCode, placement: Placement, kind: DescriptorType) -> Option<Family> {
    use Placement::{Endpoint, Interface};
    let ClassCode {
        class,
        subclass,
        protocol,
    } = class;
    Some(match (class, subclass, protocol, placement, kind.0) {
        // HID 1.00 had the descriptor behind the endpoints; devices of that time still exist.
        (0x03, _, _, _, 0x21) => Family::Hid,
        // RNDIS and others describe themselves as CDC does, in classes of their own.
        (0x02 | 0x0a, _, _, Interface, 0x24)
        | (0xe0, 0x01, 0x03, Interface, 0x24)
        | (0xef, 0x04, _, Interface, 0x24) => Family::Cdc,
        (0x01, 0x01, 0x00..=0x1f, Interface, 0x24) => Family::Audio1Control,
        (0x01, 0x02, 0x00..=0x1f, Interface, 0x24) => Family::Audio1Streaming,
        (0x01, 0x02, 0x00..=0x1f, Endpoint, 0x25) => Family::Audio1Endpoint,
        (0x01, 0x01, 0x20, Interface, 0x24) => Family::Audio2Control,
        (0x01, 0x02, 0x20, Interface, 0x24) => Family::Audio2Streaming,
        (0x01, 0x02, 0x20, Endpoint, 0x25) => Family::Audio2Endpoint,
        (0x01, 0x01, 0x30, Interface, 0x24) => Family::Audio3Control,
        (0x01, 0x02, 0x30, Interface, 0x24) => Family::Audio3Streaming,
        (0x01, 0x02, 0x30, Endpoint, 0x25) => Family::Audio3Endpoint,
        (0x01, 0x03, _, Interface, 0x24) => Family::Midi,
        (0x01, 0x03, _, Endpoint, 0x25) => Family::MidiEndpoint,
        (0x0e, 0x01, _, Interface, 0x24) => Family::VideoControl,
        (0x0e, 0x01, _, Endpoint, 0x25) => Family::VideoEndpoint,
        (0x0e, 0x02, _, Interface, 0x24) => Family::VideoStreaming,
        (0x08, _, 0x62, Endpoint, 0x24) => Family::PipeUsage,
        (0xfe, 0x01, _, _, 0x21) => Family::Dfu,
        (0x0b, _, _, Interface, 0x21) => Family::SmartCard,
        (0x07, 0x01, 0x04, Interface, 0x21) => Family::Printer,
        _ => return None,
    })
}

impl<'a> ClassDescriptor<'a> {
    /// Reads a descriptor by its type, its place, and the class of the interface that it belongs
    /// to.
    #[must_use]
    pub fn read(class: ClassCode, placement: Placement, descriptor: Descriptor<'a>) -> Self {
        let bytes = descriptor.bytes();
        let found = descriptor
            .descriptor_type()
            .and_then(|kind| family(class, placement, kind))
            .and_then(|family| match family {
                Family::Hid => hid::HidDescriptor::parse(bytes).map(Self::Hid),
                Family::Cdc => cdc::Functional::parse(bytes).map(Self::Cdc),
                Family::Audio1Control => audio::v1::Control::parse(bytes).map(Self::Audio1Control),
                Family::Audio1Streaming => {
                    audio::v1::Streaming::parse(bytes).map(Self::Audio1Streaming)
                }
                Family::Audio1Endpoint => {
                    audio::v1::StreamingEndpoint::parse(bytes).map(Self::Audio1Endpoint)
                }
                Family::Audio2Control => audio::v2::Control::parse(bytes).map(Self::Audio2Control),
                Family::Audio2Streaming => {
                    audio::v2::Streaming::parse(bytes).map(Self::Audio2Streaming)
                }
                Family::Audio2Endpoint => {
                    audio::v2::StreamingEndpoint::parse(bytes).map(Self::Audio2Endpoint)
                }
                Family::Audio3Control => audio::v3::Control::parse(bytes).map(Self::Audio3Control),
                Family::Audio3Streaming => {
                    audio::v3::Streaming::parse(bytes).map(Self::Audio3Streaming)
                }
                Family::Audio3Endpoint => {
                    audio::v3::StreamingEndpoint::parse(bytes).map(Self::Audio3Endpoint)
                }
                Family::Midi => midi::Streaming::parse(bytes).map(Self::Midi),
                Family::MidiEndpoint => {
                    midi::StreamingEndpoint::parse(bytes).map(Self::MidiEndpoint)
                }
                Family::VideoControl => video::Control::parse(bytes).map(Self::VideoControl),
                Family::VideoEndpoint => video::Endpoint::parse(bytes).map(Self::VideoEndpoint),
                Family::VideoStreaming => video::Streaming::parse(bytes).map(Self::VideoStreaming),
                Family::PipeUsage => storage::PipeUsage::parse(bytes).map(Self::PipeUsage),
                Family::Dfu => dfu::DfuFunctional::parse(bytes).map(Self::Dfu),
                Family::SmartCard => smart_card::SmartCardReader::parse(bytes).map(Self::SmartCard),
                Family::Printer => printer::PrinterInfo::parse(bytes).map(Self::Printer),
            });
        found.unwrap_or(Self::Unknown(descriptor))
    }

    /// All its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Hid(view) => view.bytes(),
            Self::Cdc(view) => view.bytes(),
            Self::Audio1Control(view) => view.bytes(),
            Self::Audio1Streaming(view) => view.bytes(),
            Self::Audio1Endpoint(view) => view.bytes(),
            Self::Audio2Control(view) => view.bytes(),
            Self::Audio2Streaming(view) => view.bytes(),
            Self::Audio2Endpoint(view) => view.bytes(),
            Self::Audio3Control(view) => view.bytes(),
            Self::Audio3Streaming(view) => view.bytes(),
            Self::Audio3Endpoint(view) => view.bytes(),
            Self::Midi(view) => view.bytes(),
            Self::MidiEndpoint(view) => view.bytes(),
            Self::VideoControl(view) => view.bytes(),
            Self::VideoEndpoint(view) => view.bytes(),
            Self::VideoStreaming(view) => view.bytes(),
            Self::PipeUsage(view) => view.bytes(),
            Self::Dfu(view) => view.bytes(),
            Self::SmartCard(view) => view.bytes(),
            Self::Printer(view) => view.bytes(),
            Self::Unknown(descriptor) => descriptor.bytes(),
        }
    }

    /// What it is made of; of an unknown one, that is all but length and type in one.
    #[must_use]
    pub fn layout(&self) -> &'static Layout {
        match self {
            Self::Hid(view) => view.layout(),
            Self::Cdc(view) => view.layout(),
            Self::Audio1Control(view) => view.layout(),
            Self::Audio1Streaming(view) => view.layout(),
            Self::Audio1Endpoint(view) => view.layout(),
            Self::Audio2Control(view) => view.layout(),
            Self::Audio2Streaming(view) => view.layout(),
            Self::Audio2Endpoint(view) => view.layout(),
            Self::Audio3Control(view) => view.layout(),
            Self::Audio3Streaming(view) => view.layout(),
            Self::Audio3Endpoint(view) => view.layout(),
            Self::Midi(view) => view.layout(),
            Self::MidiEndpoint(view) => view.layout(),
            Self::VideoControl(view) => view.layout(),
            Self::VideoEndpoint(view) => view.layout(),
            Self::VideoStreaming(view) => view.layout(),
            Self::PipeUsage(view) => view.layout(),
            Self::Dfu(view) => view.layout(),
            Self::SmartCard(view) => view.layout(),
            Self::Printer(view) => view.layout(),
            Self::Unknown(_) => standard::unknown(),
        }
    }

    /// Its fields, in order of bytes.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        self.layout().fields(self.bytes())
    }
}

/// What a class descriptor is made of, however short it is; `None` where it is unknown.
pub(crate) const fn layout(
    class: ClassCode,
    placement: Placement,
    bytes: &[u8],
) -> Option<&'static Layout> {
    let &[_, kind, ..] = bytes else { return None };
    let Some(family) = family(class, placement, DescriptorType(kind)) else {
        return None;
    };
    match family {
        Family::Hid => Some(hid::HidDescriptor::LAYOUT),
        Family::Cdc => cdc::Functional::layout_for(bytes),
        Family::Audio1Control => audio::v1::Control::layout_for(bytes),
        Family::Audio1Streaming => audio::v1::Streaming::layout_for(bytes),
        Family::Audio1Endpoint => audio::v1::StreamingEndpoint::layout_for(bytes),
        Family::Audio2Control => audio::v2::Control::layout_for(bytes),
        Family::Audio2Streaming => audio::v2::Streaming::layout_for(bytes),
        Family::Audio2Endpoint => audio::v2::StreamingEndpoint::layout_for(bytes),
        Family::Audio3Control => audio::v3::Control::layout_for(bytes),
        Family::Audio3Streaming => audio::v3::Streaming::layout_for(bytes),
        Family::Audio3Endpoint => audio::v3::StreamingEndpoint::layout_for(bytes),
        Family::Midi => midi::Streaming::layout_for(bytes),
        Family::MidiEndpoint => midi::StreamingEndpoint::layout_for(bytes),
        Family::VideoControl => video::Control::layout_for(bytes),
        Family::VideoEndpoint => video::Endpoint::layout_for(bytes),
        Family::VideoStreaming => video::Streaming::layout_for(bytes),
        Family::PipeUsage => Some(storage::PipeUsage::LAYOUT),
        Family::Dfu => Some(dfu::DfuFunctional::LAYOUT),
        Family::SmartCard => Some(smart_card::SmartCardReader::LAYOUT),
        Family::Printer => Some(printer::PrinterInfo::LAYOUT),
    }
}
