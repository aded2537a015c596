//! The host's end: has a device.

mod description;
mod in_flight;
mod requests;
mod streams;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, BytesMut};
use usb_descriptors::EndpointAddress;
use usb_transfer::{
    Completion, DeviceDescriptors, Frontend, HostEvent, Step, TransferIds, TxQueue, Wants, Wire,
};

use crate::codec::{Codec, Decoded, Packet, Role};
use crate::filter::Rules;
use crate::{Capabilities, MisuseError, Options, ProtocolError};
use description::Description;
use in_flight::{InFlight, Origin};
use streams::Streams;

/// The host's end of a connection: a [`Wire`] to the guest and a [`Frontend`] to the device.
///
/// The device is described by [`attach`](Self::attach), at any time; it is announced when the
/// guest's hello is known. A guest that has acknowledged the end of one device may be given
/// another.
///
/// # Cancel meets completion
///
/// A guest gets one reply for each request, cancelled or not:
///
/// | request | completion | reply |
/// |---|---|---|
/// | in flight, cancelled | [`Status::CANCELLED`](usb_transfer::Status::CANCELLED) | status cancelled |
/// | in flight, cancelled | anything else: it finished meanwhile | the real result |
/// | already answered, or never heard of | – | none |
///
/// # Streams
///
/// What a guest has polled for it – interrupt and isochronous endpoints, buffered bulk input – is
/// polled by transfers that stand at the device, and each is made anew when it is done. While more
/// than [`Limits::tx_high_water`](crate::Limits::tx_high_water) waits to be written, none is made:
/// the device keeps what it has, or drops it by its own rule; nor where that is more than may be in
/// flight. Nothing that a device has given is dropped. Of an isochronous OUT stream as many packets
/// are kept as its transfers hold once more; while the device is behind by more, what comes is
/// dropped, and so is a packet that is longer than its endpoint's. A configuration or a setting
/// ends the streams of what it replaces if it succeeds; if it fails, they go on. A stream whose
/// transfers are refused, or fail many times in a row, ends as if it had stalled.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_transfer::{Step, Wire};
/// use usbredir_proto::{Host, HostState, Options};
///
/// let mut host = Host::new(Options::default());
/// assert_eq!(host.tx().remaining(), 80); // our hello
///
/// let mut hello = BytesMut::from(&[0, 0, 0, 0, 68, 0, 0, 0, 0, 0, 0, 0][..]);
/// hello.extend_from_slice(b"a guest");
/// hello.resize(12 + 64, 0);
/// hello.extend_from_slice(&0xff_u32.to_le_bytes());
/// assert!(matches!(host.receive(&mut hello)?, Step::Io(_)));
/// assert_eq!(host.state(), HostState::Empty);
/// assert_eq!(host.guest_version(), Some("a guest"));
/// # Ok::<(), usbredir_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Host {
    codec: Codec,
    phase: Phase,
    guest_version: Option<String>,
    guest_filter: Option<Rules>,
    device: Option<Description>,
    ids: TransferIds,
    in_flight: InFlight,
    streams: Streams,
    /// Bulk endpoints whose streams the guest may use, and how many.
    bulk_streams: Vec<(EndpointAddress, u32)>,
    /// What one packet brought: a transfer, or the ends of a stream's transfers.
    events: VecDeque<HostEvent>,
    tx: TxQueue,
}

/// Where a [`Host`] is.
///
/// ```
/// use usbredir_proto::{Host, HostState, Options};
/// assert_eq!(Host::new(Options::default()).state(), HostState::Greeting);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HostState {
    /// The guest's hello has not come.
    Greeting,
    /// The guest has no device.
    Empty,
    /// It has one.
    Attached,
    /// It was told that the device is gone, and has not yet acknowledged.
    Detaching,
    /// It does not want the device: [`detach`](Frontend::detach) before another.
    Rejected,
    /// The connection is over.
    Over,
}

#[derive(Debug)]
enum Phase {
    Greeting,
    Empty,
    Attached,
    Detaching,
    Rejected,
    /// Nothing more is read; the last event may still be due.
    Over {
        error: Option<ProtocolError>,
        reset_told: bool,
    },
}

impl Host {
    /// A host without a device, whose hello is to be written.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let codec = Codec::new(Role::Host, options.capabilities, options.limits);
        let mut host = Self {
            codec,
            phase: Phase::Greeting,
            guest_version: None,
            guest_filter: None,
            device: None,
            ids: TransferIds::default(),
            in_flight: InFlight::default(),
            streams: Streams::default(),
            bulk_streams: Vec::new(),
            events: VecDeque::new(),
            tx: TxQueue::new(),
        };
        host.send(0, Packet::Hello(host.codec.hello(&options.version)));
        host
    }

    /// Describes the device that the function is, and announces it as soon as the guest's hello
    /// is known. The configuration that is told first is the device's first, until the guest
    /// selects one.
    ///
    /// # Errors
    /// There is a device already; transfers of the last one are not yet completed, or the guest
    /// has not acknowledged its end; the device cannot be described; the connection is over.
    pub fn attach(&mut self, device: DeviceDescriptors) -> Result<(), MisuseError> {
        let is_free = match self.phase {
            Phase::Over { .. } => return Err(MisuseError::Over),
            Phase::Greeting | Phase::Empty => self.device.is_none() && self.pending() == 0,
            Phase::Attached | Phase::Detaching | Phase::Rejected => false,
        };
        if !is_free {
            return Err(MisuseError::Occupied);
        }
        self.device = Some(Description::new(device)?);
        if matches!(self.phase, Phase::Empty) {
            self.announce();
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> HostState {
        match self.phase {
            Phase::Greeting => HostState::Greeting,
            Phase::Empty => HostState::Empty,
            Phase::Attached => HostState::Attached,
            Phase::Detaching => HostState::Detaching,
            Phase::Rejected => HostState::Rejected,
            Phase::Over { .. } => HostState::Over,
        }
    }

    /// Who the guest says it is.
    #[must_use]
    pub fn guest_version(&self) -> Option<&str> {
        self.guest_version.as_deref()
    }

    /// What both sides can do, once the guest's hello is known.
    #[must_use]
    pub const fn capabilities(&self) -> Option<Capabilities> {
        self.codec.negotiated()
    }

    /// Which devices the guest wants, if it said so. Whether to offer others is the embedder's
    /// decision; the guest rejects them.
    #[must_use]
    pub const fn guest_filter(&self) -> Option<&Rules> {
        self.guest_filter.as_ref()
    }

    /// Tells the guest which devices this host redirects. Rarely of use, and never sent unasked:
    /// guests have rules, hosts obey.
    ///
    /// # Errors
    /// The guest's hello has not come, or not both sides have the capability.
    pub fn send_filter(&mut self, rules: &Rules) -> Result<(), MisuseError> {
        let packet = Packet::FilterFilter(rules.to_wire());
        self.codec.encode(0, packet, &mut self.tx)
    }

    /// Queues what the state allows by its construction.
    fn send(&mut self, id: u64, packet: Packet) {
        let sent = self.codec.encode(id, packet, &mut self.tx);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    fn has(&self, capability: Capabilities) -> bool {
        let both = self.codec.negotiated();
        both.is_some_and(|both| both.contains(capability))
    }

    fn announce(&mut self) {
        if let Some(device) = &self.device {
            let connect = device.connect();
            self.describe();
            self.send(0, Packet::DeviceConnect(connect));
            self.phase = Phase::Attached;
        }
    }

    fn describe(&mut self) {
        if let Some(device) = &self.device {
            let (interfaces, endpoints) = (device.interfaces(), device.endpoint_info());
            self.send(0, Packet::InterfaceInfo(interfaces));
            self.send(0, Packet::EndpointInfo(endpoints));
        }
    }

    /// The guest uses the device no more. Its transfers end by the reset, and nobody hears of it.
    fn release(&mut self, phase: Phase) {
        self.streams.clear();
        self.bulk_streams.clear();
        for event in self.events.drain(..) {
            // What the device was never given it does not complete.
            if let HostEvent::Submit(transfer) = event {
                self.in_flight.remove(transfer.id);
            }
        }
        self.events.push_back(HostEvent::Reset);
        self.phase = phase;
    }

    fn over(&mut self, error: Option<ProtocolError>) {
        if !matches!(self.phase, Phase::Over { .. }) {
            self.streams.clear();
            self.phase = Phase::Over {
                error,
                reset_told: false,
            };
        }
    }

    /// Bytes that another transfer may carry or ask for; `None` where none may be.
    fn room(&self) -> Option<u64> {
        let limits = self.codec.limits();
        let held = self.in_flight.bytes();
        let held = held.saturating_add(self.streams.waiting_bytes());
        let room = limits.max_in_flight_bytes.checked_sub(held);
        room.filter(|_| self.in_flight.len() < limits.max_in_flight)
    }

    fn is_above_high_water(&self) -> bool {
        // A queue with nothing in it is never full, or nothing would ever be read.
        self.tx.remaining() >= self.codec.limits().tx_high_water.max(1)
    }

    fn packet(&mut self, id: u64, packet: Packet) {
        match (packet, &self.phase) {
            (Packet::Hello(hello), Phase::Greeting) => {
                self.guest_version = Some(hello.version);
                self.phase = Phase::Empty;
                self.announce();
            }
            (Packet::FilterFilter(text), _) => {
                // What are no rules changes nothing, as with `libusbredirparser`.
                if let Ok(rules) = Rules::from_wire(&text) {
                    self.guest_filter = Some(rules);
                }
            }
            (Packet::DeviceDisconnectAck, Phase::Detaching) => self.phase = Phase::Empty,
            (Packet::FilterReject, Phase::Attached) => self.release(Phase::Rejected),
            (packet, Phase::Attached) => self.request(id, packet),
            // What was sent before the guest knew that the device is gone.
            _ => {}
        }
    }
}

impl Wire for Host {
    type Error = ProtocolError;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        loop {
            let write = !self.tx.is_empty();
            if let Phase::Over { error, reset_told } = &self.phase {
                if let Some(error) = error {
                    return Err(error.clone());
                }
                let wants = Wants { read: None, write };
                let is_quiet = *reset_told && self.events.is_empty();
                return Ok(if is_quiet {
                    Step::Io(wants)
                } else {
                    Step::Ready
                });
            }
            if !self.events.is_empty() {
                return Ok(Step::Ready);
            }
            if self.is_above_high_water() {
                return Ok(Step::Io(Wants { read: None, write }));
            }
            if self.room().is_some_and(|room| self.streams.is_due(room)) {
                return Ok(Step::Ready);
            }
            let waiting = self.streams.waiting();
            self.codec
                .set_held(self.in_flight.len().saturating_add(waiting));
            match self.codec.decode(rx) {
                Ok(Decoded::Packet { id, packet }) => self.packet(id, packet),
                Ok(Decoded::Missing(missing)) => {
                    return Ok(Step::Io(Wants {
                        read: Some(missing),
                        write,
                    }));
                }
                Err(error) => {
                    self.over(Some(error.clone()));
                    return Err(error);
                }
            }
        }
    }

    fn tx(&mut self) -> &mut TxQueue {
        &mut self.tx
    }

    fn end(&mut self) {
        self.over(None);
    }
}

impl Frontend for Host {
    fn poll(&mut self) -> Option<HostEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Phase::Over { reset_told, .. } = &mut self.phase {
            let due = !core::mem::replace(reset_told, true);
            return due.then_some(HostEvent::Reset);
        }
        if self.is_above_high_water() {
            return None;
        }
        let stream = self.streams.next_due(self.room()?)?;
        let transfer = stream.transfer(self.ids.mint());
        let origin = Origin::Stream {
            serial: stream.serial,
            length: u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX),
        };
        self.in_flight.push(transfer.id, 0, origin);
        Some(HostEvent::Submit(transfer))
    }

    fn complete(&mut self, completion: Completion) {
        let Some(request) = self.in_flight.remove(completion.id) else {
            return;
        };
        if !matches!(self.phase, Phase::Attached) {
            return;
        }
        match request.origin {
            Origin::Stream { serial, .. } => self.stream_completed(serial, completion),
            _ => self.reply(request.guest_id, request.origin, completion),
        }
    }

    /// The device is gone: tells the guest. Afterwards another may be attached, as soon as the
    /// guest has acknowledged, where it can.
    fn detach(&mut self) {
        match self.phase {
            Phase::Attached | Phase::Rejected => {
                self.device = None;
                self.send(0, Packet::DeviceDisconnect);
                let phase = if self.has(Capabilities::DEVICE_DISCONNECT_ACK) {
                    Phase::Detaching
                } else {
                    Phase::Empty
                };
                self.release(phase);
            }
            Phase::Greeting => {
                self.device = None;
                self.events.push_back(HostEvent::Reset);
            }
            Phase::Empty | Phase::Detaching | Phase::Over { .. } => {}
        }
    }

    fn pending(&self) -> usize {
        self.in_flight.len()
    }
}
