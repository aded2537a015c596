//! A sound card whose samples its user gives and takes.

use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};
use usb_descriptors::{ClassCode, EndpointAddress, RequestType, SetupPacket};
use usb_transfer::{
    Change, DeviceDescriptors, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Status,
    Transfer, TransferId,
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
/// * A stream begins when the host asks for its first packets, and ends when the host takes back
///   all of them, or selects a setting. A host that is only late has not ended it.
/// * What the host plays comes as [`AudioEvent::Played`]; the last second of it is kept for a user
///   who is late.
/// * What the host records is what [`supply`](Self::supply) was given since the stream began, of
///   which a second is kept too, the newest. It waits for the [latency](Self::set_latency) first, so
///   that it is not interrupted when its user is late; while there is none, the host records
///   silence. Where the host was so late that it does not catch up, what is older than the latency
///   goes, so that the recording does not stay late.
/// * Samples are copied, into rings of a second: they wait longer than their transfers, and would
///   keep alive what these were received into.
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
///
/// let kind = Kind::Isochronous(vec![IsoPacket::new(0, 192)]);
/// let payload = Payload::Out(vec![7; 192].into());
/// audio.submit(Transfer::new(ids.mint(), EndpointAddress::from_byte(0x01), kind, payload));
/// audio.start_of_frame(Frame(100));
/// assert_eq!(audio.poll_event(), Some(AudioEvent::Playing(true)));
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
    /// Of these, bytes of the stream whose end is to be told.
    ended: usize,
    /// Bytes that the user did not take in time.
    played_lost: usize,
    /// From the user, for the host.
    supplied: Samples,
    /// Bytes that the host did not record in time.
    supplied_lost: usize,
    /// The host has recorded silence since the user was late, which was not told.
    underrun: bool,
    /// In milliseconds.
    latency: u16,
    /// Of these, passed since there was something; `None` while it flows.
    waited: Option<u16>,
    /// Samples are cut from it; when all are gone it starts over without an allocation.
    memory: BytesMut,
}

/// What a sound card has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AudioEvent {
    /// The host begins to play, or ends: all that it played was told before. The end of what was
    /// told is told before the next start.
    #[doc(alias = "AudioSink")]
    Playing(bool),
    /// The host has played these samples: 16 bits, little-endian, left and right in turn.
    #[doc(alias = "AudioSink")]
    Played(Bytes),
    /// So many bytes that the host has played were not taken within a second, and are lost.
    PlaybackOverrun(usize),
    /// The host begins to record, or ends. The end of what was told is told before the next start.
    #[doc(alias = "AudioSource")]
    Recording(bool),
    /// So many bytes that were supplied are lost: more than a second of them waited, or the host was
    /// too late for them.
    RecordingOverrun(usize),
    /// What was supplied came to its end while the host records, which gets silence.
    RecordingUnderrun,
}

/// One direction.
#[derive(Debug)]
struct Stream {
    endpoint: EndpointAddress,
    interface: u8,
    state: State,
    /// Its last start was told.
    told: bool,
    /// The end of the one that was told is to be told.
    ended: bool,
    /// A start is to be told.
    begun: bool,
}

/// What a stream does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Stopped,
    /// There are transfers; their time begins when it is told what time it is.
    Starting,
    /// There are transfers; the millisecond of the next packet begins at this frame.
    Running(Frame),
    /// The host is late: its last packet ended at this frame.
    Dry(Frame),
}

/// How far a host may be behind and still catch up, in 125 µs: 100 ms.
const BACKLOG: u64 = 800;

/// The same, in bytes.
const BACKLOG_BYTES: usize = 100 * MILLISECOND;

/// Memory for samples on their way: more than an ordinary host has under way at a time.
const MEMORY: usize = 16 << 10;

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
            ended: 0,
            played_lost: 0,
            supplied: Samples::new(SECOND),
            supplied_lost: 0,
            underrun: false,
            latency: Self::LATENCY,
            waited: Some(0),
            memory: BytesMut::with_capacity(MEMORY),
        })
    }

    /// The latency of a new sound card, in milliseconds.
    pub const LATENCY: u16 = 20;

    /// The most that it can be, in milliseconds.
    pub const MAX_LATENCY: u16 = 500;

    /// For how long what is supplied after a silence waits, in milliseconds, at most
    /// [`MAX_LATENCY`](Self::MAX_LATENCY). A user who supplies samples not more than so much late
    /// does not interrupt them.
    pub fn set_latency(&mut self, milliseconds: u16) {
        self.latency = milliseconds.min(Self::MAX_LATENCY);
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.device.descriptors()
    }

    /// Whether a host has configured it.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.device.is_configured()
    }

    /// Gives samples to be recorded: 16 bits, little-endian, left and right in turn. Of more than
    /// a second the oldest go; while the host does not record, all.
    pub fn supply(&mut self, samples: &[u8]) {
        if self.capture.state != State::Stopped {
            let lost = self.supplied.push(samples);
            self.supplied_lost = self.supplied_lost.saturating_add(lost);
        }
    }

    /// Bytes that were supplied and not recorded yet.
    #[must_use]
    pub fn supplied(&self) -> usize {
        self.supplied.len()
    }

    /// What there is to tell; `None` for now.
    pub fn poll_event(&mut self) -> Option<AudioEvent> {
        self.poll_playback().or_else(|| self.poll_capture())
    }

    fn poll_playback(&mut self) -> Option<AudioEvent> {
        if self.played_lost > 0 {
            let lost = mem::take(&mut self.played_lost);
            return Some(AudioEvent::PlaybackOverrun(lost));
        }
        let length = match (self.playback.told, self.playback.ended) {
            (true, true) => mem::take(&mut self.ended),
            (true, false) => self.played.len(),
            (false, _) => 0,
        };
        if length > 0 {
            self.memory.reserve(length);
            self.played.take(length, &mut self.memory);
            return Some(AudioEvent::Played(self.memory.split().freeze()));
        }
        let change = self.playback.change()?;
        if self.playback.ended {
            // It is over already: all there is was its own.
            self.ended = self.played.len();
        }
        Some(AudioEvent::Playing(change))
    }

    fn poll_capture(&mut self) -> Option<AudioEvent> {
        if self.supplied_lost > 0 {
            let lost = mem::take(&mut self.supplied_lost);
            return Some(AudioEvent::RecordingOverrun(lost));
        }
        if mem::take(&mut self.underrun) {
            return Some(AudioEvent::RecordingUnderrun);
        }
        self.capture.change().map(AudioEvent::Recording)
    }

    /// What was played is what is recorded.
    pub(super) fn loop_back(&mut self) {
        if self.capture.state == State::Stopped {
            self.played.clear();
        } else {
            let lost = self.played.move_to(&mut self.supplied);
            self.supplied_lost = self.supplied_lost.saturating_add(lost);
        }
    }

    /// Takes the device away from the host: what it asked is answered with
    /// [`Status::DISCONNECTED`], from now on too.
    pub fn detach(&mut self) {
        self.device.detach();
        self.stop_playback();
        self.stop_capture();
    }

    /// Completes all whose time has come, in the order of time; what is played in the millisecond
    /// of a recording before that.
    fn serve(&mut self, now: Frame) {
        loop {
            let playback = self.playback.end(&self.device);
            let capture = self.capture.end(&self.device);
            let is_due = |end: Option<Frame>| end.filter(|end| *end <= now);
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
        let Some(mut transfer) = self.playback.take(end, &mut self.device) else {
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
                        let lost = self.played.push(samples);
                        self.ended = self.ended.saturating_sub(lost);
                        self.played_lost = self.played_lost.saturating_add(lost);
                    }
                    None => packet.status = Status::INVALID,
                }
            }
            packets
        });
        self.complete(transfer, packets, Bytes::new());
    }

    fn record(&mut self, end: Frame) {
        let Some(mut transfer) = self.capture.take(end, &mut self.device) else {
            return;
        };
        let packets = take_packets(&mut transfer).map(|packets| {
            let mut packets = packets;
            let most = packets.len().saturating_mul(MILLISECOND);
            self.memory.reserve(most.min(transfer.payload.len()));
            for packet in &mut packets {
                let room = usize::try_from(packet.length).unwrap_or(usize::MAX);
                let length = whole_frames(room.min(MILLISECOND));
                packet.actual = u32::try_from(length).unwrap_or(0);
                self.sound(length);
            }
            packets
        });
        let data = self.memory.split().freeze();
        self.complete(transfer, packets, data);
    }

    /// Adds the sound of a millisecond to what is recorded.
    fn sound(&mut self, length: usize) {
        let mut silence = length;
        match &mut self.waited {
            Some(waited) if *waited < self.latency || self.supplied.is_empty() => {
                if !self.supplied.is_empty() {
                    *waited = waited.saturating_add(1);
                }
            }
            _ => {
                let sound = self.supplied.take(length, &mut self.memory);
                silence = length.saturating_sub(sound);
                self.waited = None;
                if silence > 0 {
                    // After an interruption it waits again.
                    self.waited = Some(0);
                    self.underrun = true;
                }
            }
        }
        let length = self.memory.len().saturating_add(silence);
        self.memory.resize(length, 0);
    }

    fn complete(&mut self, transfer: Transfer, packets: Option<Vec<IsoPacket>>, data: Bytes) {
        let completion = match packets {
            Some(packets) => transfer.complete_packets(packets, data.into()),
            None => transfer.stall(),
        };
        self.device.complete(completion);
    }

    /// Streams begin with their first transfer.
    fn start(&mut self) {
        self.playback.start(&self.device);
        self.capture.start(&self.device);
    }

    fn stop_playback(&mut self) {
        if self.playback.stop() {
            self.ended = self.played.len();
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
        let is_ours = streams.iter().any(|stream| {
            setup.index == u16::from(stream.endpoint.to_byte())
                && self.device.alternate_setting(stream.interface) == Some(1)
        });
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
            Taken::Queued => self.start(),
            Taken::Changed(change) => {
                // Also by a setting that is selected again.
                let stops = |stream: &Stream| match change {
                    Change::Configuration(_) => true,
                    Change::Interface { number, .. } => number == stream.interface,
                    Change::Halt(endpoint, is_halted) => is_halted && endpoint == stream.endpoint,
                    _ => false,
                };
                if stops(&self.playback) {
                    self.stop_playback();
                }
                if stops(&self.capture) {
                    self.stop_capture();
                }
            }
            Taken::Request(transfer, setup) => self.request(transfer, setup),
        }
    }

    /// A stream whose last transfer is taken back has ended: what comes after that is another, with
    /// a time of its own.
    fn cancel(&mut self, id: TransferId) {
        let endpoint = self.device.cancel(id);
        let emptied = endpoint.filter(|endpoint| self.device.front(*endpoint).is_none());
        match emptied {
            Some(SAMPLES_OUT) => self.stop_playback(),
            Some(SAMPLES_IN) => self.stop_capture(),
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.device.reset();
        self.stop_playback();
        self.stop_capture();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.device.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.playback.tell_time(now, &self.device);
        if self.capture.tell_time(now, &self.device) {
            let latency = usize::from(self.latency).saturating_mul(MILLISECOND);
            let lost = self
                .supplied
                .keep_newest(latency.saturating_add(BACKLOG_BYTES));
            self.supplied_lost = self.supplied_lost.saturating_add(lost);
        }
        self.serve(now);
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
            state: State::Stopped,
            told: false,
            ended: false,
            begun: false,
        }
    }

    /// Begins with the first transfer.
    fn start(&mut self, device: &Device) {
        if self.state == State::Stopped && device.front(self.endpoint).is_some() {
            self.state = State::Starting;
            self.begun = true;
        }
    }

    /// Whether this is the end of what was told.
    fn stop(&mut self) -> bool {
        let ends = self.state != State::Stopped && self.told && !self.ended;
        self.state = State::Stopped;
        self.ended |= ends;
        ends
    }

    /// Its next start, or end, that was not told.
    fn change(&mut self) -> Option<bool> {
        if self.ended {
            (self.told, self.ended) = (false, false);
            return Some(false);
        }
        mem::take(&mut self.begun).then(|| {
            self.told = true;
            self.ended = self.state == State::Stopped;
            true
        })
    }

    /// When the transfer that is next is complete, once that is known.
    fn end(&self, device: &Device) -> Option<Frame> {
        let State::Running(next) = self.state else {
            return None;
        };
        let packets = match &device.front(self.endpoint)?.kind {
            Kind::Isochronous(packets) => packets.len(),
            Kind::Control(_) | Kind::Data { .. } => 0,
        };
        let packets = u64::try_from(packets).unwrap_or(u64::MAX);
        let duration = packets.saturating_mul(INTERVAL);
        Some(Frame(next.0.saturating_add(duration)))
    }

    /// Takes the transfer that is next and ends at this frame.
    fn take(&mut self, end: Frame, device: &mut Device) -> Option<Transfer> {
        let transfer = device.take(self.endpoint);
        self.state = match device.front(self.endpoint) {
            Some(_) => State::Running(end),
            None => State::Dry(end),
        };
        transfer
    }

    /// When it wants to be told the time.
    fn wanted(&self, device: &Device) -> Option<Frame> {
        device.front(self.endpoint)?;
        // In the past, if the time is not known.
        Some(self.end(device).unwrap_or(Frame(1)))
    }

    /// Is told the time. Whether the host was so late that it does not catch up.
    fn tell_time(&mut self, now: Frame, device: &Device) -> bool {
        if device.front(self.endpoint).is_none() {
            return false;
        }
        let earliest = Frame(now.0.saturating_sub(BACKLOG));
        let (next, is_late) = match self.state {
            State::Starting => (now, false),
            State::Dry(end) => (end.max(earliest), end < earliest),
            State::Running(_) | State::Stopped => return false,
        };
        self.state = State::Running(next);
        is_late
    }
}

/// The packets of an isochronous transfer, to be changed.
fn take_packets(transfer: &mut Transfer) -> Option<Vec<IsoPacket>> {
    match &mut transfer.kind {
        Kind::Isochronous(packets) => Some(mem::take(packets)),
        Kind::Control(_) | Kind::Data { .. } => None,
    }
}

/// A packet's part of a transfer's data, unless it is not in it, or longer than a packet may be.
fn slice(data: &[u8], packet: IsoPacket) -> Option<&[u8]> {
    if packet.length > u32::from(MAX_PACKET) {
        return None;
    }
    let start = usize::try_from(packet.offset).ok()?;
    let end = start.checked_add(usize::try_from(packet.length).ok()?)?;
    data.get(start..end)
}
