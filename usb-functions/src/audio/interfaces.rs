//! How a sound card describes itself.

use usb_descriptors::build::{BuildError, Endpoint, Interface, Synchronization};
use usb_descriptors::{ClassCode, EndpointAddress};

/// Interfaces: control, what the host plays, what it records.
const CONTROL: u8 = 0;
pub(super) const PLAYBACK: u8 = 1;
pub(super) const CAPTURE: u8 = 2;

pub(super) const SAMPLES_OUT: EndpointAddress = EndpointAddress::from_byte(0x01);
pub(super) const SAMPLES_IN: EndpointAddress = EndpointAddress::from_byte(0x82);

/// A packet each millisecond, in 125 µs.
pub(super) const INTERVAL: u64 = 8;
/// Samples of all channels at one moment, in bytes.
pub(super) const SAMPLE_FRAME: usize = 4;
/// A millisecond, in bytes.
pub(super) const MILLISECOND: usize = 192;
/// Two sample frames more, for a host whose clock is a little faster.
pub(super) const MAX_PACKET: u16 = 200;

/// Sample frames per second, as requests and descriptors carry it.
pub(super) const RATE: [u8; 3] = [0x80, 0xbb, 0x00];

/// UAC1, appendix A.
mod code {
    pub(super) const AUDIO: u8 = 1;
    pub(super) const AUDIO_CONTROL: u8 = 1;
    pub(super) const AUDIO_STREAMING: u8 = 2;
    pub(super) const CS_INTERFACE: u8 = 0x24;
    pub(super) const CS_ENDPOINT: u8 = 0x25;
    pub(super) const HEADER: u8 = 1;
    pub(super) const INPUT_TERMINAL: u8 = 2;
    pub(super) const OUTPUT_TERMINAL: u8 = 3;
    pub(super) const GENERAL: u8 = 1;
    pub(super) const FORMAT_TYPE: u8 = 2;
}

/// Terminals, by their number in this function. Without a unit between them there are no controls.
mod terminal {
    pub(super) const PLAYED: u8 = 1;
    pub(super) const SPEAKER: u8 = 2;
    pub(super) const MICROPHONE: u8 = 3;
    pub(super) const RECORDED: u8 = 4;
}

/// An adaptive sink needs no feedback endpoint; an asynchronous source has its own clock, the
/// frames'.
pub(super) fn interfaces() -> Result<[Interface; 5], BuildError> {
    let class = ClassCode::new(code::AUDIO, code::AUDIO_CONTROL, 0);
    let control = Interface::new(CONTROL, class).descriptor(CONTROL_DESCRIPTORS)?;
    let [silent, playing] = streaming(
        PLAYBACK,
        terminal::PLAYED,
        SAMPLES_OUT,
        Synchronization::Adaptive,
    )?;
    let [idle, recording] = streaming(
        CAPTURE,
        terminal::RECORDED,
        SAMPLES_IN,
        Synchronization::Asynchronous,
    )?;
    Ok([control, silent, playing, idle, recording])
}

/// UAC1, tables 4-2 to 4-4. Terminal types: USB streaming 0101h, microphone 0201h, speaker 0301h
/// (USB-IF, "Audio Terminal Types", 1.0).
#[rustfmt::skip]
const CONTROL_DESCRIPTORS: &[u8] = &[
    10, code::CS_INTERFACE, code::HEADER, 0x00, 0x01, 10 + 2 * (12 + 9), 0, 2, PLAYBACK, CAPTURE,
    // Left and right front.
    12, code::CS_INTERFACE, code::INPUT_TERMINAL, terminal::PLAYED, 0x01, 0x01, 0, 2, 0x03, 0x00, 0, 0,
    9, code::CS_INTERFACE, code::OUTPUT_TERMINAL, terminal::SPEAKER, 0x01, 0x03, 0, terminal::PLAYED, 0,
    12, code::CS_INTERFACE, code::INPUT_TERMINAL, terminal::MICROPHONE, 0x01, 0x02, 0, 2, 0x03, 0x00, 0, 0,
    9, code::CS_INTERFACE, code::OUTPUT_TERMINAL, terminal::RECORDED, 0x01, 0x01, 0, terminal::MICROPHONE, 0,
];

/// Alternate setting 0 without bandwidth, and 1 with the stream (UAC1, 4.5 and 4.6).
fn streaming(
    number: u8,
    terminal: u8,
    address: EndpointAddress,
    synchronization: Synchronization,
) -> Result<[Interface; 2], BuildError> {
    let [rate0, rate1, rate2] = RATE;
    #[rustfmt::skip]
    let format = [
        // A delay of one frame; PCM.
        7, code::CS_INTERFACE, code::GENERAL, terminal, 1, 0x01, 0x00,
        // Type I: two channels of two bytes with 16 bits; one rate.
        11, code::CS_INTERFACE, code::FORMAT_TYPE, 1, 2, 2, 16, 1, rate0, rate1, rate2,
    ];
    let interval = u32::try_from(INTERVAL).unwrap_or(u32::MAX);
    let samples = Endpoint::isochronous(address, MAX_PACKET, interval)
        .synchronization(synchronization)
        .audio(0, 0)
        // The sampling frequency is a control.
        .descriptor(&[7, code::CS_ENDPOINT, code::GENERAL, 1, 0, 0, 0])?;
    let silent = Interface::new(
        number,
        ClassCode::new(code::AUDIO, code::AUDIO_STREAMING, 0),
    );
    let streaming = silent.clone().alternate_setting(1).descriptor(&format)?;
    Ok([silent, streaming.endpoint(samples)])
}
