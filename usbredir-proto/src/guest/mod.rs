//! The guest's end: uses a device.

mod pieces;
mod requests;
mod streams;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::BytesMut;
use usb_descriptors::{Bcd, ClassCode, EndpointAddress, Speed};
use usb_transfer::{
    Completion, Frame, Function, FunctionEvent, Status, Step, Transfer, TransferId, TxQueue, Wants,
    Wire,
};

use crate::codec::{
    Codec, Decoded, DeviceConnect, EndpointEntry, EndpointInfo, InterfaceEntry, Packet, PacketType,
    Role,
};
use crate::filter::{Check, DeviceIdentity, Rules, Verdict};
use crate::{Capabilities, MisuseError, Options, ProtocolError};
use pieces::Pieces;
use requests::Request;
use streams::Stream;

/// The guest's end of a connection: a [`Wire`] to the host and a [`Function`], the remote device.
///
/// While there is no device, all that is submitted is answered with [`Status::DISCONNECTED`]. When
/// a device leaves, its transfers are completed and [`FunctionEvent::Detached`] follows; another
/// may come on the same connection.
///
/// # Cancel meets reply
///
/// | transfer | completes with |
/// |---|---|
/// | sent, cancelled | what the host replies: [`Status::CANCELLED`], or the real result |
/// | sent in pieces, cancelled | the same, if the piece is short or the last; else [`Status::CANCELLED`] with all that has moved |
/// | waits for one that goes in pieces | [`Status::CANCELLED`], at once |
/// | waits for data that the host pushes, or for its time OUT | [`Status::CANCELLED`], at once |
/// | stopped by a reset, a configuration or an alternate setting | [`Status::CANCELLED`], at once; a late reply is dropped |
///
/// # Pieces
///
/// A host without [`Capabilities::BULK_LENGTH_32_BITS`] takes bulk transfers of at most 65 535
/// bytes. Longer ones go to it in pieces of 64 512 bytes, one after the other; what follows on the
/// endpoint waits, or on that stream of it. A piece that is short or fails ends the transfer. An
/// empty packet that [`Flags::zero_packet`](usb_transfer::Flags::zero_packet) asks for is a piece,
/// too; it needs [`Capabilities::ENDPOINT_MAX_PACKET_SIZE`], which says where packets end.
///
/// # Streams
///
/// Interrupt IN and isochronous endpoints are polled by the host from the first transfer on, until
/// the last that waits is cancelled. What comes meanwhile and nobody takes is kept, up to
/// [`Limits::max_buffered_packets`](crate::Limits::max_buffered_packets) and
/// [`Limits::max_buffered_bytes`](crate::Limits::max_buffered_bytes); then the oldest is
/// dropped. Isochronous OUT has no acknowledgement on this wire: such a transfer is completed when
/// the time of its packets has passed.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_transfer::Wire;
/// use usbredir_proto::{Guest, GuestState, Options};
///
/// let mut guest = Guest::new(Options::default());
/// assert_eq!(guest.tx().remaining(), 80); // our hello
/// let mut hello = BytesMut::from(&[0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0][..]);
/// hello.resize(12 + 64, 0);
/// let _ = guest.receive(&mut hello)?;
/// assert_eq!(guest.state(), GuestState::Empty);
/// assert!(guest.device().is_none());
/// # Ok::<(), usbredir_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Guest {
    codec: Codec,
    phase: Phase,
    host_version: Option<String>,
    filter: Option<Rules>,
    /// As told, before there is a device too; `None` before they were.
    interfaces: Option<Vec<InterfaceEntry>>,
    endpoints: EndpointInfo,
    device: Option<Device>,
    /// Nothing was asked since the device came or was reset.
    is_fresh: bool,
    next_id: u64,
    in_flight: VecDeque<Request>,
    /// One for each endpoint, or stream of it, where a transfer goes in pieces.
    pieces: Vec<Pieces>,
    streams: Vec<Stream>,
    /// Bulk endpoints whose streams were made usable, as bits by index.
    bulk_streams: u32,
    now: Frame,
    events: VecDeque<FunctionEvent>,
    tx: TxQueue,
}

/// Where a [`Guest`] is.
///
/// ```
/// use usbredir_proto::{Guest, GuestState, Options};
/// assert_eq!(Guest::new(Options::default()).state(), GuestState::Greeting);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GuestState {
    /// The host's hello has not come.
    Greeting,
    /// There is no device.
    Empty,
    /// There is one.
    Attached,
    /// The one that came was not wanted.
    Rejected,
    /// The connection is over.
    Over,
}

#[derive(Debug)]
enum Phase {
    Greeting,
    Empty,
    Attached,
    Rejected,
    Over(Option<ProtocolError>),
}

/// What the host says of its device. The rest is asked of the device itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Device {
    /// How fast it runs, and what it is.
    pub connect: DeviceConnect,
    /// Its interfaces, in the current configuration.
    pub interfaces: Vec<InterfaceEntry>,
    /// Its endpoints, with the current alternate settings.
    pub endpoints: EndpointInfo,
    has_told_interfaces: bool,
}

impl Device {
    /// How fast it runs; high speed where the host says nothing that is known.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.connect.speed.speed().unwrap_or(Speed::High)
    }

    /// One of its endpoints.
    #[must_use]
    pub fn endpoint(&self, address: EndpointAddress) -> EndpointEntry {
        self.endpoints.get(address)
    }

    /// What rules say of it. Where the host has not told the interfaces, or the release, nobody
    /// can say, and it is denied; QEMU takes no such device under a filter either.
    #[must_use]
    pub fn check(&self, rules: &Rules, check: Check) -> Verdict {
        let Some(Bcd(release)) = self.connect.release.filter(|_| self.has_told_interfaces) else {
            return Verdict::Denied;
        };
        let interfaces = self.interfaces.iter().map(|interface| interface.class);
        let interfaces: Vec<ClassCode> = interfaces.collect();
        let identity = DeviceIdentity {
            class: self.connect.class.class,
            vendor_id: self.connect.vendor_id,
            product_id: self.connect.product_id,
            release,
            interfaces: &interfaces,
        };
        rules.check(&identity, check)
    }
}

impl Guest {
    /// A guest without a device, whose hello is to be written.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let codec = Codec::new(Role::Guest, options.capabilities, options.limits);
        let mut guest = Self {
            codec,
            phase: Phase::Greeting,
            host_version: None,
            filter: None,
            interfaces: None,
            endpoints: EndpointInfo::default(),
            device: None,
            is_fresh: true,
            next_id: 1,
            in_flight: VecDeque::new(),
            pieces: Vec::new(),
            streams: Vec::new(),
            bulk_streams: 0,
            now: Frame::ZERO,
            events: VecDeque::new(),
            tx: TxQueue::new(),
        };
        guest.send(0, Packet::Hello(guest.codec.hello(&options.version)));
        guest
    }

    /// Takes only devices that the rules allow, by [`Device::check`], and tells the host which
    /// those are, if it can be told. A host has to tell a device's interfaces before it, and its
    /// release ([`Capabilities::CONNECT_DEVICE_VERSION`]).
    ///
    /// # Errors
    /// The rules are longer than [`Limits::max_filter`](crate::Limits::max_filter).
    pub fn with_filter(mut self, rules: Rules) -> Result<Self, MisuseError> {
        let most = usize::try_from(self.codec.limits().max_filter).unwrap_or(usize::MAX);
        if rules.to_wire().len() > most {
            return Err(MisuseError::Field {
                packet: PacketType::FILTER_FILTER,
                field: "rules",
            });
        }
        self.filter = Some(rules);
        Ok(self)
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> GuestState {
        match self.phase {
            Phase::Greeting => GuestState::Greeting,
            Phase::Empty => GuestState::Empty,
            Phase::Attached => GuestState::Attached,
            Phase::Rejected => GuestState::Rejected,
            Phase::Over(_) => GuestState::Over,
        }
    }

    /// The device, while there is one.
    #[must_use]
    pub const fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Who the host says it is.
    #[must_use]
    pub fn host_version(&self) -> Option<&str> {
        self.host_version.as_deref()
    }

    /// What both sides can do, once the host's hello is known.
    #[must_use]
    pub const fn capabilities(&self) -> Option<Capabilities> {
        self.codec.negotiated()
    }

    /// Does not want the device that is there. The host is told, if it can be.
    pub fn reject(&mut self) {
        if matches!(self.phase, Phase::Attached) {
            self.lose_device(Phase::Rejected);
            if self.has(Capabilities::FILTER) {
                self.send(0, Packet::FilterReject);
            }
        }
    }

    fn send(&mut self, id: u64, packet: Packet) {
        encode(&self.codec, &mut self.tx, id, packet);
    }

    fn has(&self, capability: Capabilities) -> bool {
        let both = self.codec.negotiated();
        both.is_some_and(|both| both.contains(capability))
    }

    fn tell(&mut self, completions: impl IntoIterator<Item = Completion>) {
        let events = completions.into_iter().map(FunctionEvent::Complete);
        self.events.extend(events);
    }

    /// Completes everything and says that the device is gone.
    fn lose_device(&mut self, phase: Phase) {
        let had_one = self.device.take().is_some();
        self.phase = phase;
        self.fail_all(Status::DISCONNECTED);
        self.bulk_streams = 0;
        self.interfaces = None;
        self.endpoints = EndpointInfo::default();
        if had_one {
            self.events.push_back(FunctionEvent::Detached);
        }
    }

    fn fail_all(&mut self, status: Status) {
        for request in core::mem::take(&mut self.in_flight) {
            if !self.is_in_pieces(&request) {
                self.tell([request.fail(status)]);
            }
        }
        for pieces in core::mem::take(&mut self.pieces) {
            self.tell(pieces.fail(status));
        }
        for mut stream in core::mem::take(&mut self.streams) {
            self.tell(stream.fail(status));
        }
    }

    fn over(&mut self, error: Option<ProtocolError>) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.lose_device(Phase::Over(error));
        }
    }

    fn packet(&mut self, id: u64, packet: Packet) {
        match (packet, &self.phase) {
            (Packet::Hello(hello), Phase::Greeting) => {
                self.host_version = Some(hello.version);
                self.phase = Phase::Empty;
                let rules = self.filter.as_ref().map(Rules::to_wire);
                if let Some(rules) = rules.filter(|_| self.has(Capabilities::FILTER)) {
                    self.send(0, Packet::FilterFilter(rules));
                }
            }
            (Packet::InterfaceInfo(interfaces), _) => {
                if let Some(device) = &mut self.device {
                    device.interfaces.clone_from(&interfaces);
                    device.has_told_interfaces = true;
                }
                self.interfaces = Some(interfaces);
                self.apply_filter();
            }
            (Packet::EndpointInfo(endpoints), _) => {
                self.endpoints.clone_from(&endpoints);
                if let Some(device) = &mut self.device {
                    device.endpoints = endpoints;
                }
            }
            (Packet::DeviceConnect(connect), Phase::Empty) => {
                self.device = Some(Device {
                    connect,
                    interfaces: self.interfaces.clone().unwrap_or_default(),
                    endpoints: self.endpoints.clone(),
                    has_told_interfaces: self.interfaces.is_some(),
                });
                self.is_fresh = true;
                self.phase = Phase::Attached;
                self.apply_filter();
            }
            (Packet::DeviceDisconnect, Phase::Attached | Phase::Rejected | Phase::Empty) => {
                self.lose_device(Phase::Empty);
                if self.has(Capabilities::DEVICE_DISCONNECT_ACK) {
                    self.send(0, Packet::DeviceDisconnectAck);
                }
            }
            (packet, Phase::Attached) => self.reply(id, packet),
            // About a device that is gone, or not wanted.
            _ => {}
        }
    }

    fn apply_filter(&mut self) {
        let (Some(rules), Some(device)) = (&self.filter, &self.device) else {
            return;
        };
        if device.check(rules, Check::default()) != Verdict::Allowed {
            self.reject();
        }
    }
}

/// Queues what the state allows by its construction.
fn encode(codec: &Codec, tx: &mut TxQueue, id: u64, packet: Packet) {
    let sent = codec.encode(id, packet, tx);
    debug_assert!(sent.is_ok(), "{sent:?}");
}

impl Wire for Guest {
    type Error = ProtocolError;

    /// As [`Wire::receive`]. It is also [`Step::Ready`] when a device has come.
    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        loop {
            let write = !self.tx.is_empty();
            if let Phase::Over(error) = &self.phase {
                if let Some(error) = error {
                    return Err(error.clone());
                }
                let wants = Wants { read: None, write };
                let is_quiet = self.events.is_empty();
                return Ok(if is_quiet {
                    Step::Io(wants)
                } else {
                    Step::Ready
                });
            }
            if !self.events.is_empty() {
                return Ok(Step::Ready);
            }
            let buffered = self.streams.iter().map(Stream::buffered);
            let buffered = buffered.chain(self.pieces.iter().map(Pieces::brought));
            let held = buffered.fold(self.in_flight.len(), usize::saturating_add);
            self.codec.set_held(held);
            match self.codec.decode(rx) {
                Ok(Decoded::Packet { id, packet }) => {
                    let had_one = self.device.is_some();
                    self.packet(id, packet);
                    if !had_one && self.device.is_some() {
                        return Ok(Step::Ready);
                    }
                    let now = self.now;
                    self.pull(now);
                }
                Ok(Decoded::Missing(missing)) => {
                    let read = Some(missing);
                    return Ok(Step::Io(Wants { read, write }));
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

impl Function for Guest {
    fn submit(&mut self, transfer: Transfer) {
        if self.device.is_none() {
            return self.tell([transfer.fail(Status::DISCONNECTED)]);
        }
        self.is_fresh = false;
        self.request(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.cancel_request(id);
    }

    /// Resets the device, unless it was asked nothing since it came or was reset.
    fn reset(&mut self) {
        if self.device.is_none() || core::mem::replace(&mut self.is_fresh, true) {
            return;
        }
        self.stop(|_| true);
        self.bulk_streams = 0;
        self.send(0, Packet::Reset);
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.events.is_empty() {
            let now = self.now;
            self.pull(now);
        }
        self.events.pop_front()
    }

    fn start_of_frame(&mut self, now: Frame) {
        self.now = now;
        for stream in &mut self.streams {
            stream.start_of_frame(now);
        }
        self.feed();
    }

    fn next_frame(&self) -> Option<Frame> {
        self.streams.iter().filter_map(Stream::next_frame).min()
    }
}
