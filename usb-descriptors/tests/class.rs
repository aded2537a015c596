//! What a descriptor is depends on where it stands.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test that panics fails, and its numbers are small"
)]

use usb_descriptors::class::{ClassDescriptor, Placement, audio, cdc, midi, video};
use usb_descriptors::{ClassCode, Descriptors, InterfacePower};

/// One descriptor that says `length`, `kind` and `subtype`.
fn bytes(length: usize, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![length as u8, kind];
    bytes.extend(rest);
    bytes.resize(length, 0);
    bytes
}

#[track_caller]
fn expect(
    class: (u8, u8, u8),
    placement: Placement,
    bytes: &[u8],
    title: &str,
    subtype: Option<&str>,
) {
    let class = ClassCode::new(class.0, class.1, class.2);
    let descriptor = Descriptors::new(bytes).next().unwrap();
    let read = ClassDescriptor::read(class, placement, descriptor);
    assert_eq!(read.layout().title(), title);
    let named = read
        .fields()
        .find(|field| field.name() == "bDescriptorSubtype")
        .and_then(|field| field.meaning());
    assert_eq!(named, subtype);
    assert_eq!(
        read.layout().minimum().min(bytes.len()),
        read.layout().minimum()
    );
    let joined: Vec<u8> = read
        .fields()
        .flat_map(|field| field.bytes().to_vec())
        .collect();
    assert_eq!(joined, bytes);
}

const AT_INTERFACE: Placement = Placement::Interface;
const AT_ENDPOINT: Placement = Placement::Endpoint;

#[test]
fn what_is_obsolete_is_read_too() {
    let power = [15, 8, 0x0f, 1, 2, 3, 4, 5, 6, 0x10, 0, 0x20, 0, 0x30, 1];
    let read = InterfacePower::parse(&power).unwrap();
    assert_eq!((read.bus_saving_d1(), read.self_saving_d3()), (1, 6));
    assert_eq!((read.wake_d1(), read.wake_d3()), (0x10, 0x130));
    let descriptor = Descriptors::new(&power).next().unwrap();
    assert_eq!(descriptor.layout().unwrap().title(), "Interface Power");
    assert!(descriptor.fields().all(|field| !field.is_tail()));
}

#[test]
fn type_21_is_what_the_class_says() {
    let hid = bytes(9, 0x21, &[0x11, 1, 0, 1, 0x22, 74, 0]);
    expect((3, 1, 2), AT_INTERFACE, &hid, "HID Device", None);
    expect((3, 0, 0), AT_ENDPOINT, &hid, "HID Device", None);
    let dfu = "Device Firmware Upgrade Interface";
    expect((0xfe, 1, 2), AT_INTERFACE, &hid, dfu, None);
    expect(
        (0xfe, 1, 1),
        AT_INTERFACE,
        &hid[..7]
            .iter()
            .enumerate()
            .map(|(at, &byte)| if at == 0 { 7 } else { byte })
            .collect::<Vec<_>>(),
        dfu,
        None,
    );
    expect(
        (0x0b, 0, 0),
        AT_INTERFACE,
        &bytes(54, 0x21, &[]),
        "ChipCard Interface",
        None,
    );
    let printer = bytes(11, 0x21, &[0, 1, 1, 0, 4, 1, 0, 0, 0]);
    expect((7, 1, 4), AT_INTERFACE, &printer, "IPP Printer", None);
    expect((7, 1, 2), AT_INTERFACE, &printer, "Unknown", None);
    expect((0xff, 0, 0), AT_INTERFACE, &hid, "Unknown", None);
}

#[test]
fn type_24_is_what_class_subclass_protocol_and_place_say() {
    let first = bytes(12, 0x24, &[1]);
    let header = Some("HEADER");
    expect(
        (1, 1, 0x00),
        AT_INTERFACE,
        &first,
        "AudioControl Interface",
        header,
    );
    expect(
        (1, 1, 0x20),
        AT_INTERFACE,
        &first,
        "AudioControl Interface",
        header,
    );
    expect(
        (1, 1, 0x30),
        AT_INTERFACE,
        &first,
        "AudioControl Interface",
        header,
    );
    expect(
        (1, 2, 0x00),
        AT_INTERFACE,
        &first,
        "AudioStreaming Interface",
        Some("AS_GENERAL"),
    );
    expect(
        (1, 3, 0),
        AT_INTERFACE,
        &first,
        "MIDIStreaming Interface",
        header,
    );
    expect(
        (2, 2, 1),
        AT_INTERFACE,
        &first,
        "CDC Call Management",
        Some("CALL_MANAGEMENT"),
    );
    expect(
        (0x0e, 1, 0),
        AT_INTERFACE,
        &first,
        "VideoControl Interface",
        header,
    );
    let input = bytes(13, 0x24, &[1]);
    expect(
        (0x0e, 2, 0),
        AT_INTERFACE,
        &input,
        "VideoStreaming Interface",
        Some("INPUT_HEADER"),
    );
    expect(
        (8, 6, 0x62),
        AT_ENDPOINT,
        &[4, 0x24, 3, 0],
        "Pipe Usage",
        None,
    );
    expect(
        (8, 6, 0x62),
        AT_INTERFACE,
        &[4, 0x24, 3, 0],
        "Unknown",
        None,
    );
    expect((8, 6, 0x50), AT_ENDPOINT, &[4, 0x24, 3, 0], "Unknown", None);
}

#[test]
fn type_25_is_what_the_class_says() {
    let first = bytes(10, 0x25, &[1]);
    let general = Some("EP_GENERAL");
    expect(
        (1, 2, 0x00),
        AT_ENDPOINT,
        &first,
        "AudioStreaming Endpoint",
        general,
    );
    expect(
        (1, 2, 0x20),
        AT_ENDPOINT,
        &first,
        "AudioStreaming Endpoint",
        general,
    );
    expect(
        (1, 2, 0x30),
        AT_ENDPOINT,
        &first,
        "AudioStreaming Endpoint",
        general,
    );
    expect(
        (1, 3, 0),
        AT_ENDPOINT,
        &first,
        "MIDIStreaming Endpoint",
        Some("GENERAL"),
    );
    let interrupt = bytes(5, 0x25, &[3, 16, 0]);
    expect(
        (0x0e, 1, 0),
        AT_ENDPOINT,
        &interrupt,
        "VideoControl Endpoint",
        Some("EP_INTERRUPT"),
    );
}

#[test]
fn what_is_too_short_for_its_kind_is_still_there() {
    let short = bytes(4, 0x24, &[0]);
    expect((2, 2, 1), AT_INTERFACE, &short[..], "Unknown", None);
}

#[test]
fn bytes_behind_the_last_known_field_are_a_tail() {
    let long = [7, 0x24, 0x02, 0x06, 1, 2, 3];
    let read = cdc::Functional::parse(&long).unwrap();
    let tail = read.layout().fields(&long).last().unwrap();
    assert!(tail.is_tail());
    assert_eq!((tail.offset(), tail.bytes()), (4, &[1, 2, 3][..]));
}

#[test]
fn fields_behind_values_are_found() {
    // Two inputs, and a name behind them.
    let mixer = [13, 0x24, 4, 7, 2, 1, 2, 2, 3, 0, 9, 0xc0, 5];
    let Some(audio::v1::Control::MixerUnit(mixer)) = audio::v1::Control::parse(&mixer) else {
        panic!("a mixer");
    };
    assert_eq!(mixer.sources().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((mixer.channels(), mixer.channel_config()), (2, 3));
    assert_eq!(mixer.controls().collect::<Vec<_>>(), [0xc0]);
    assert_eq!((mixer.channel_names(), mixer.string()), (9, 5));

    let feature = [11, 0x24, 6, 2, 1, 2, 3, 0, 1, 0, 7];
    let Some(audio::v1::Control::FeatureUnit(feature)) = audio::v1::Control::parse(&feature) else {
        panic!("a feature unit");
    };
    assert_eq!(feature.controls().collect::<Vec<_>>(), [3, 1]);
    assert_eq!(feature.string(), 7);

    let jack = [11, 0x24, 3, 2, 9, 2, 4, 1, 5, 1, 8];
    let Some(midi::Streaming::OutJack(jack)) = midi::Streaming::parse(&jack) else {
        panic!("a jack");
    };
    assert_eq!((jack.sources(), jack.string()), (&[4, 1, 5, 1][..], 8));

    let still = [
        17, 0x24, 3, 0x82, 2, 0x80, 2, 0xe0, 1, 64, 1, 240, 0, 3, 1, 5, 10,
    ];
    let Some(video::Streaming::StillFrame(still)) = video::Streaming::parse(&still) else {
        panic!("a still");
    };
    assert_eq!(still.sizes().len(), 8);
    assert_eq!(still.compressions().collect::<Vec<_>>(), [1, 5, 10]);
}

#[test]
fn counts_beyond_the_bytes_are_no_panic() {
    let cut = [6, 0x24, 5, 1, 200, 9];
    let Some(audio::v1::Control::SelectorUnit(selector)) = audio::v1::Control::parse(&cut) else {
        panic!("a selector");
    };
    assert_eq!(selector.sources().collect::<Vec<_>>(), [9]);
    assert_eq!(selector.string(), 0);
}
