//! A sound card whose samples its user gives and takes.

use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{ClassCode, EndpointAddress, RequestType, SetupPacket};
use usb_transfer::{
    Change, DeviceDescriptors, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Segments,
    Status, Transfer, TransferId,
};

use super::interfaces::{
    CAPTURE, INTERVAL, MAX_PACKET, MILLISECOND, PLAYBACK, RATE, SAMPLES_IN, SAMPLES_OUT, interfaces,
};
use super::samples::{Samples, whole_frames};
use crate::device::{Device, Taken};
use crate::{DeviceError, DeviceOptions};

/// Requests to an endpoint (UAC1, 5.2 and appendix A.9 and A.10.5).
mod request {
    pub(super) const TYPE_OUT: u8 = 0x22;
    pub(super) const TYPE_IN: u8 = 0xa2;
    pub(super) const SET_CUR: u8 = 0x01;
    pub(super) const GET_CUR: u8 = 0x81;
    pub(super) const GET_MIN: u8 = 0x82;
    pub(super) const GET_MAX: u8 = 0x83;
    pub(super) const GET_RES: u8 = 0x84;
    /// The control, in the high byte of `wValue`.
    pub(super) const SAMPLING_FREQUENCY: u16 = 0x0100;
}

/// A sound card of UAC1: 48 kHz, 16 bits, stereo, both ways.
///
/// Time is the frames': a packet each millisecond, a transfer complete when its last packet has
/// had its millisecond. A host that is late catches up on 100 ms at most, and never gets ahead, so
/// [`start_of_frame`](Function::start_of_frame) must be called when
/// [`next_frame`](Function::next_frame) says.
///
/// * What the host plays comes as [`AudioEvent::Played`], uncopied; the last second of it is kept
///   for a user who is late.
/// * What the host records is what [`supply`](Self::supply) was given, of which a second is kept
///   too, the newest. It waits for the [latency](Self::set_latency) first, so that it is not
///   interrupted when its user is late; while there is none, the host records silence.
/// * Alternate setting 0 of a stream completes what is pending as cancelled, and so does setting 1
///   when it is selected again; either of recording forgets what was supplied.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{Audio, AudioEvent, DeviceOptions};
/// use usb_transfer::{Frame, Function, IsoPacket, Kind, Payload, Transfer, TransferIds};
///
/// let mut audio = Audio::new(DeviceOptions::new(Speed::Full))?;
/// let mut ids = TransferIds::default();
/// audio.submit(Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1)));
/// audio.submit(Transfer::control_in(ids.mint(), SetupPacket::set_interface(1, 1)));
/// assert_eq!(audio.poll_event(), Some(AudioEvent::Playing(true)));
///
/// let kind = Kind::Isochronous(vec![IsoPacket::new(0, 192)]);
/// let payload = Payload::Out(vec![7; 192].into());
/// audio.submit(Transfer::new(ids.mint(), EndpointAddress::from_byte(0x01), kind, payload));
/// audio.start_of_frame(Frame(100));
/// assert_eq!(audio.poll_event(), None);
/// assert_eq!(audio.next_frame(), Some(Frame(108)));
/// audio.start_of_frame(Frame(108));
/// let Some(AudioEvent::Played(samples)) = audio.poll_event() else { panic!() };
/// assert_eq!(samples, vec![7; 192]);
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct Audio {
    device: Device,
    playback: Stream,
    capture: Stream,
    /// From the host, for the user.
    played: Samples,
    /// From the user, for the host.
    supplied: Samples,
    /// In milliseconds.
    latency: u16,
    /// Of these, passed since there was something; `None` while it flows.
    waited: Option<u16>,
    now: Frame,
}

/// What a sound card has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AudioEvent {
    /// The host begins to play, or ends: all that it played was told before.
    #[doc(alias = "AudioSink")]
    Playing(bool),
    /// The host has played these samples: 16 bits, little-endian, left and right in turn.
    #[doc(alias = "AudioSink")]
    Played(Bytes),
    /// The host begins to record, or ends.
    #[doc(alias = "AudioSource")]
    Recording(bool),
}

/// One direction.
#[derive(Debug)]
struct Stream {
    endpoint: EndpointAddress,
    interface: u8,
    /// When the millisecond of the next packet begins; `None` until the time is known.
    next: Option<Frame>,
    running: bool,
    told_running: bool,
}

/// How far a host may be behind and still catch up, in 125 µs: 100 ms.
const BACKLOG: u64 = 800;

/// A second, in bytes.
const SECOND: usize = 1000 * MILLISECOND;

impl Audio {
    /// A silent sound card.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        let options = options.above_low_speed()?;
        let descriptors =
            options.descriptors("USB Audio", ClassCode::PER_INTERFACE, interfaces()?)?;
        Ok(Self {
            device: Device::new(descriptors, [SAMPLES_OUT, SAMPLES_IN]),
            playback: Stream::new(SAMPLES_OUT, PLAYBACK),
            capture: Stream::new(SAMPLES_IN, CAPTURE),
            played: Samples::new(SECOND),
            supplied: Samples::new(SECOND),
            latency: Self::LATENCY,
            waited: Some(0),
            now: Frame::ZERO,
        })
    }

    /// The latency of a new sound card, in milliseconds.
    pub const LATENCY: u16 = 20;

    /// For how long what is supplied after a silence waits, in milliseconds, at most 500. A user
    /// who supplies samples not more than so much late does not interrupt them.
    pub fn set_latency(&mut self, milliseconds: u16) {
        self.latency = milliseconds.min(500);
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.device.descriptors()
    }

    /// Gives samples to be recorded: 16 bits, little-endian, left and right in turn. Of more than
    /// a second the oldest go; while the host does not record, all.
    pub fn supply(&mut self, samples: Bytes) {
        if self.capture.running {
            self.supplied.push(samples);
        }
    }

    /// Bytes that were supplied and not recorded yet.
    #[must_use]
    pub const fn supplied(&self) -> usize {
        self.supplied.len()
    }

    /// What there is to tell; `None` for now.
    pub fn poll_event(&mut self) -> Option<AudioEvent> {
        let is_new = self.playback.running && self.playback.change().is_some();
        if is_new {
            return Some(AudioEvent::Playing(true));
        }
        if let Some(samples) = self.played.pop() {
            return Some(AudioEvent::Played(samples));
        }
        let ended = self.playback.change().map(AudioEvent::Playing);
        ended.or_else(|| self.capture.change().map(AudioEvent::Recording))
    }

    /// Takes the device away from the host: what it asked is answered with
    /// [`Status::DISCONNECTED`], from now on too.
    pub fn detach(&mut self) {
        self.device.detach();
        self.follow_settings();
    }

    /// Completes all whose time has come, in the order of time; what is played in the millisecond
    /// of a recording before that.
    fn serve(&mut self) {
        loop {
            let playback = self.playback.end(&self.device);
            let capture = self.capture.end(&self.device);
            let is_due = |end: Option<Frame>| end.filter(|end| *end <= self.now);
            match (is_due(playback), is_due(capture)) {
                (Some(played), recorded) if recorded.is_none_or(|end| played <= end) => {
                    self.play(played);
                }
                (_, Some(end)) => self.record(end),
                _ => break,
            }
        }
    }

    fn play(&mut self, end: Frame) {
        self.playback.next = Some(end);
        let Some(mut transfer) = self.device.take(SAMPLES_OUT) else {
            return;
        };
        let packets = take_packets(&mut transfer);
        let Payload::Out(data) = &transfer.payload else {
            return self.device.complete(transfer.stall());
        };
        let packets = packets.map(|packets| {
            let mut packets = packets;
            for packet in &mut packets {
                match slice(data, *packet) {
                    Some(samples) => {
                        packet.actual = packet.length;
                        self.played.push(samples);
                    }
                    None => packet.status = Status::INVALID,
                }
            }
            packets
        });
        self.complete(transfer, packets, Segments::new());
    }

    fn record(&mut self, end: Frame) {
        self.capture.next = Some(end);
        let Some(mut transfer) = self.device.take(SAMPLES_IN) else {
            return;
        };
        let mut data = Segments::new();
        let packets = take_packets(&mut transfer).map(|packets| {
            let mut packets = packets;
            for packet in &mut packets {
                let room = usize::try_from(packet.length).unwrap_or(usize::MAX);
                let length = whole_frames(room.min(MILLISECOND));
                packet.actual = u32::try_from(length).unwrap_or(0);
                self.sound(&mut data, length);
            }
            packets
        });
        self.complete(transfer, packets, data);
    }

    /// Adds the sound of a millisecond.
    fn sound(&mut self, data: &mut Segments, length: usize) {
        match &mut self.waited {
            Some(waited) if *waited < self.latency || self.supplied.is_empty() => {
                if !self.supplied.is_empty() {
                    *waited = waited.saturating_add(1);
                }
                data.push_zeros(length);
            }
            _ => {
                let sound = self.supplied.take(length);
                let missing = length.saturating_sub(sound.len());
                // After an interruption it waits again.
                self.waited = Some(0).filter(|_| missing > 0);
                data.append(sound);
                data.push_zeros(missing);
            }
        }
    }

    fn complete(&mut self, transfer: Transfer, packets: Option<Vec<IsoPacket>>, data: Segments) {
        let completion = match packets {
            Some(packets) => transfer.complete_packets(packets, data),
            None => transfer.stall(),
        };
        self.device.complete(completion);
    }

    /// Streams run while their alternate setting is 1.
    fn follow_settings(&mut self) {
        self.playback.follow(&self.device);
        self.capture.follow(&self.device);
        if !self.capture.running {
            self.stop_capture();
        }
    }

    /// What was supplied is forgotten, and the next waits for the latency.
    fn stop_capture(&mut self) {
        self.capture.stop();
        self.supplied.clear();
        self.waited = Some(0);
    }

    /// Requests with other parameters than the specification's are stalled. Setting the rate sets
    /// it to the one there is, the nearest (UAC1, 5.2.3.2.3.1).
    fn request(&mut self, transfer: Transfer, setup: SetupPacket) {
        let streams = [&self.playback, &self.capture];
        let is_ours = streams
            .iter()
            .any(|stream| stream.running && setup.index == u16::from(stream.endpoint.to_byte()));
        if !is_ours || setup.value != request::SAMPLING_FREQUENCY {
            return self.device.complete(transfer.stall());
        }
        match (setup.request_type, setup.request) {
            (RequestType(request::TYPE_OUT), request::SET_CUR) if setup.length == 3 => {
                self.device.complete(transfer.complete_out());
            }
            (
                RequestType(request::TYPE_IN),
                request::GET_CUR | request::GET_MIN | request::GET_MAX,
            ) => self.device.answer(transfer, &RATE),
            (RequestType(request::TYPE_IN), request::GET_RES) => {
                self.device.answer(transfer, &[0; 3]);
            }
            _ => self.device.complete(transfer.stall()),
        }
    }
}

impl Function for Audio {
    fn submit(&mut self, transfer: Transfer) {
        match self.device.submit(transfer) {
            Taken::Done => {}
            Taken::Queued => self.serve(),
            Taken::Changed(change) => {
                // Also of a setting that is selected again: its time begins anew.
                match change {
                    Change::Configuration(_) => {
                        self.playback.stop();
                        self.stop_capture();
                    }
                    Change::Interface { number, .. } if number == PLAYBACK => self.playback.stop(),
                    Change::Interface { number, .. } if number == CAPTURE => self.stop_capture(),
                    _ => {}
                }
                self.follow_settings();
            }
            Taken::Request(transfer, setup) => self.request(transfer, setup),
        }
    }

    fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
    }

    fn reset(&mut self) {
        self.device.reset();
        self.follow_settings();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.device.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.now = now;
        self.playback.know(now, &self.device);
        self.capture.know(now, &self.device);
        self.serve();
    }

    fn next_frame(&self) -> Option<Frame> {
        let ends = [
            self.playback.wanted(&self.device),
            self.capture.wanted(&self.device),
        ];
        ends.into_iter().flatten().min()
    }
}

impl Stream {
    const fn new(endpoint: EndpointAddress, interface: u8) -> Self {
        Self {
            endpoint,
            interface,
            next: None,
            running: false,
            told_running: false,
        }
    }

    fn follow(&mut self, device: &Device) {
        self.running = device.alternate_setting(self.interface) == Some(1);
        if !self.running {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.next = None;
    }

    /// Whether it runs, if that is news.
    fn change(&mut self) -> Option<bool> {
        let changed = self.running != self.told_running;
        self.told_running = self.running;
        changed.then_some(self.running)
    }

    /// When the transfer that is next is complete, once that is known.
    fn end(&self, device: &Device) -> Option<Frame> {
        let transfer = device.front(self.endpoint)?;
        let Kind::Isochronous(packets) = &transfer.kind else {
            return self.next;
        };
        let packets = u64::try_from(packets.len()).unwrap_or(u64::MAX);
        let duration = packets.saturating_mul(INTERVAL);
        Some(Frame(self.next?.0.saturating_add(duration)))
    }

    /// When it wants to be told the time.
    fn wanted(&self, device: &Device) -> Option<Frame> {
        device.front(self.endpoint)?;
        // In the past, if the time is not known.
        Some(self.end(device).unwrap_or(Frame(1)))
    }

    /// Is told the time.
    fn know(&mut self, now: Frame, device: &Device) {
        let earliest = Frame(now.0.saturating_sub(BACKLOG));
        self.next = match self.next {
            Some(next) => Some(next.max(earliest)),
            // It begins with the first transfer.
            None => device.front(self.endpoint).map(|_| now),
        };
    }
}

/// The packets of an isochronous transfer, to be changed.
fn take_packets(transfer: &mut Transfer) -> Option<Vec<IsoPacket>> {
    match &mut transfer.kind {
        Kind::Isochronous(packets) => Some(core::mem::take(packets)),
        Kind::Control(_) | Kind::Data { .. } => None,
    }
}

/// A packet's part of a transfer's data, unless it is not in it, or longer than a packet may be.
fn slice(data: &Bytes, packet: IsoPacket) -> Option<Bytes> {
    if packet.length > u32::from(MAX_PACKET) {
        return None;
    }
    let start = usize::try_from(packet.offset).ok()?;
    let end = start.checked_add(usize::try_from(packet.length).ok()?)?;
    let packet = data.get(start..end)?;
    // Those who play it keep it for a while, and with it all of the transfer.
    if data.len() / MOST_KEPT > packet.len() {
        return Some(Bytes::copy_from_slice(packet));
    }
    Some(data.slice(start..end))
}

/// How many times its own length a packet may keep in memory: an ordinary transfer has up to 48
/// packets, and what is longer than this has been made to be kept.
const MOST_KEPT: usize = 64;
