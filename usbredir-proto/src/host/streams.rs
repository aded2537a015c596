//! Endpoints that a guest has polled for it, and isochronous OUT endpoints that it feeds.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::{
    Completion, Endpoint, IsoPacket, Kind, Payload, Segments, Status, Transfer, TransferId,
};

use crate::codec::{Packet, StatusCode};

/// What a stream moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamKind {
    Interrupt,
    Isochronous {
        packets: usize,
    },
    /// Buffered bulk input, with the guest's number for it.
    Bulk {
        stream: u32,
    },
}

/// One stream. A stream has a fixed number of transfers standing at the device.
#[derive(Debug)]
pub(super) struct Stream {
    /// Tells it from an earlier stream of the same endpoint, whose transfers are still out.
    pub(super) serial: u64,
    pub(super) endpoint: EndpointAddress,
    pub(super) kind: StreamKind,
    /// Bytes of a transfer, or of an isochronous packet.
    bytes: u32,
    interval: u32,
    /// How many transfers stand when all do.
    transfers: usize,
    /// How many stand now.
    standing: usize,
    /// Packets to the guest are counted.
    next_id: u64,
    /// OUT: packets that wait for their transfer.
    waiting: VecDeque<Segments>,
    waiting_bytes: u64,
    /// OUT: half of the transfers' packets were there at once, and it has not run dry since.
    is_running: bool,
    /// What is at the device and ends the stream if it succeeds: a configuration, or a setting of
    /// its interface. Until then nothing is asked, and what is cancelled is nobody's.
    held_by: Option<TransferId>,
    /// Transfers in a row that failed.
    failures: u8,
}

impl Stream {
    /// So many in a row are no accident any more.
    const MOST_FAILURES: u8 = 32;

    fn is_in(&self) -> bool {
        self.endpoint.direction() == Direction::In
    }

    /// Bytes that a transfer, or an isochronous packet, may bring.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    pub(super) const fn packets(&self) -> usize {
        match self.kind {
            StreamKind::Isochronous { packets } => packets,
            StreamKind::Interrupt | StreamKind::Bulk { .. } => 1,
        }
    }

    /// Whether the device should get another transfer, where it may bring so many bytes more. Those
    /// that it carries are counted already.
    fn is_due(&self, room: u64) -> bool {
        let most = u64::from(self.bytes).saturating_mul(self.packets() as u64);
        self.held_by.is_none()
            && self.standing < self.transfers
            && if self.is_in() {
                most <= room
            } else {
                self.is_running && self.waiting.len() >= self.packets()
            }
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held_by.is_some()
    }

    /// Whether a transfer that ended so is the last: it says so, or never was, or is one of many
    /// that failed.
    pub(super) fn ends_with(&mut self, completion: &Completion) -> bool {
        if completion.status == Status::COMPLETED {
            self.failures = 0;
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        match completion.status {
            Status::STALL
            | Status::CANCELLED
            | Status::DISCONNECTED
            | Status::SHUTDOWN
            | Status::INVALID
            | Status::NO_MEMORY => true,
            // Each packet has its own status.
            _ if matches!(self.kind, StreamKind::Isochronous { .. }) => {
                completion.packets.is_empty()
            }
            _ => self.failures >= Self::MOST_FAILURES,
        }
    }

    /// The next standing transfer.
    pub(super) fn transfer(&mut self, id: TransferId) -> Transfer {
        self.standing = self.standing.saturating_add(1);
        let transfer = match self.kind {
            StreamKind::Isochronous { packets } if self.is_in() => {
                let lengths = core::iter::repeat_n(self.bytes, packets);
                let (list, length) = iso_packets(lengths);
                let kind = Kind::Isochronous(list);
                Transfer::new(id, self.endpoint, kind, Payload::In { length })
            }
            StreamKind::Isochronous { packets } => {
                let data: Vec<Segments> = self
                    .waiting
                    .drain(..packets.min(self.waiting.len()))
                    .collect();
                let lengths = data.iter().map(|one| u32::try_from(one.len()).unwrap_or(0));
                let (list, length) = iso_packets(lengths);
                self.waiting_bytes = self.waiting_bytes.saturating_sub(length.into());
                let payload = Payload::Out(joined(data, length as usize));
                Transfer::new(id, self.endpoint, Kind::Isochronous(list), payload)
            }
            StreamKind::Interrupt | StreamKind::Bulk { .. } => {
                Transfer::data_in(id, self.endpoint, self.bytes)
            }
        };
        transfer.with_interval(self.interval)
    }

    /// A standing transfer is done.
    pub(super) fn settle(&mut self) {
        self.standing = self.standing.saturating_sub(1);
        if self.standing == 0 && self.waiting.len() < self.packets() {
            self.is_running = false;
        }
    }

    /// Takes a packet for an OUT endpoint, where it may hold so many bytes more. While the device is
    /// behind by all that its transfers hold once more, what comes is dropped: late sound is worse
    /// than none. So is what the endpoint cannot move in an interval.
    pub(super) fn feed(&mut self, data: Segments, room: u64) {
        let all = self.packets().saturating_mul(self.transfers);
        let length = data.len() as u64;
        if self.waiting.len() < all && data.len() <= self.bytes() && length <= room {
            self.waiting_bytes = self.waiting_bytes.saturating_add(length);
            self.waiting.push_back(data);
        }
        if self.waiting.len() >= all.div_ceil(2).max(self.packets()) {
            self.is_running = true;
        }
    }

    /// What the device sent, and its number.
    pub(super) fn packet(&mut self, status: StatusCode, data: Segments) -> (u64, Packet) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let endpoint = self.endpoint;
        let short = u16::try_from(data.len()).unwrap_or(u16::MAX);
        let packet = match self.kind {
            StreamKind::Interrupt => Packet::Interrupt {
                endpoint,
                status,
                length: short,
                data,
            },
            StreamKind::Isochronous { .. } => Packet::Iso {
                endpoint,
                status,
                length: short,
                data,
            },
            StreamKind::Bulk { stream } => Packet::BufferedBulk {
                stream,
                endpoint,
                status,
                length: u32::try_from(data.len()).unwrap_or(u32::MAX),
                data,
            },
        };
        (id, packet)
    }

    pub(super) const fn status(&self, status: StatusCode) -> Packet {
        status_of(self.kind, self.endpoint, status)
    }
}

/// What is said of a stream that was started, stopped, or has stopped.
pub(super) const fn status_of(
    kind: StreamKind,
    endpoint: EndpointAddress,
    status: StatusCode,
) -> Packet {
    match kind {
        StreamKind::Interrupt => Packet::InterruptReceivingStatus { status, endpoint },
        StreamKind::Isochronous { .. } => Packet::IsoStreamStatus { status, endpoint },
        StreamKind::Bulk { stream } => Packet::BulkReceivingStatus {
            stream,
            endpoint,
            status,
        },
    }
}

/// Packets one after the other, and their length together.
fn iso_packets(lengths: impl Iterator<Item = u32>) -> (Vec<IsoPacket>, u32) {
    let mut offset: u32 = 0;
    let place = |length| {
        let packet = IsoPacket::new(offset, length);
        offset = offset.saturating_add(length);
        packet
    };
    (lengths.map(place).collect(), offset)
}

/// A transfer's packets lie in one piece of memory; on the wire each had a header between.
fn joined(packets: Vec<Segments>, length: usize) -> Bytes {
    let mut data = BytesMut::with_capacity(length);
    for piece in packets.into_iter().flatten() {
        data.extend_from_slice(&piece);
    }
    data.freeze()
}

/// All streams of a device: at most one for each endpoint.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    next_serial: u64,
}

impl Streams {
    /// What `usbredirhost` takes at most, of packets in a transfer and of transfers.
    const MOST_PACKETS: u8 = 32;
    const MOST_TRANSFERS: u8 = 16;
    /// How many transfers poll an interrupt endpoint: while one is looked at, others stand.
    const INTERRUPT_TRANSFERS: u8 = 5;

    pub(super) fn start_interrupt(&mut self, endpoint: &Endpoint) {
        let bytes = packet_bytes(endpoint);
        self.start(
            endpoint,
            StreamKind::Interrupt,
            bytes,
            Self::INTERRUPT_TRANSFERS,
        );
    }

    /// `false`: no such stream can be.
    pub(super) fn start_isochronous(
        &mut self,
        endpoint: &Endpoint,
        packets: u8,
        transfers: u8,
    ) -> bool {
        let fits = (1..=Self::MOST_PACKETS).contains(&packets)
            && (1..=Self::MOST_TRANSFERS).contains(&transfers);
        if fits {
            let packets = packets.into();
            let kind = StreamKind::Isochronous { packets };
            self.start(endpoint, kind, packet_bytes(endpoint), transfers);
        }
        fits
    }

    /// `false`: no such stream can be. Together its transfers hold at most `limit` bytes.
    pub(super) fn start_bulk(
        &mut self,
        endpoint: &Endpoint,
        stream: u32,
        bytes: u32,
        transfers: u8,
        limit: u64,
    ) -> bool {
        let together = u64::from(bytes).saturating_mul(transfers.into());
        let whole = bytes.checked_rem(endpoint.max_packet_size.into()) == Some(0);
        let fits = (1..=Self::MOST_TRANSFERS).contains(&transfers)
            && bytes > 0
            && whole
            && together <= limit;
        if fits {
            self.start(endpoint, StreamKind::Bulk { stream }, bytes, transfers);
        }
        fits
    }

    /// A stream that is there already goes on as it is.
    fn start(&mut self, endpoint: &Endpoint, kind: StreamKind, bytes: u32, transfers: u8) {
        if self.at(endpoint.address).is_some() {
            return;
        }
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.streams.push(Stream {
            serial,
            endpoint: endpoint.address,
            kind,
            bytes,
            interval: endpoint.interval,
            transfers: transfers.into(),
            standing: 0,
            next_id: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_running: false,
            held_by: None,
            failures: 0,
        });
    }

    pub(super) fn at(&mut self, endpoint: EndpointAddress) -> Option<&mut Stream> {
        self.streams
            .iter_mut()
            .find(|stream| stream.endpoint == endpoint)
    }

    pub(super) fn with_serial(&mut self, serial: u64) -> Option<&mut Stream> {
        self.streams
            .iter_mut()
            .find(|stream| stream.serial == serial)
    }

    pub(super) fn remove(&mut self, endpoint: EndpointAddress) -> Option<Stream> {
        let mut streams = self.streams.iter();
        let at = streams.position(|stream| stream.endpoint == endpoint)?;
        Some(self.streams.remove(at))
    }

    /// A request is at the device that ends some of them if it succeeds.
    pub(super) fn hold(&mut self, by: TransferId, ends: impl Fn(EndpointAddress) -> bool) {
        for stream in &mut self.streams {
            if ends(stream.endpoint) {
                stream.held_by.get_or_insert(by);
            }
        }
    }

    /// It failed: they go on.
    pub(super) fn resume(&mut self, by: TransferId) {
        for stream in &mut self.streams {
            if stream.held_by.take_if(|held_by| *held_by == by).is_some() {
                stream.failures = 0;
            }
        }
    }

    /// It succeeded: takes one of those that it ends.
    pub(super) fn take_ended(&mut self, by: TransferId) -> Option<Stream> {
        let mut streams = self.streams.iter();
        let at = streams.position(|stream| stream.held_by == Some(by))?;
        Some(self.streams.remove(at))
    }

    /// Packets that wait for a transfer.
    pub(super) fn waiting(&self) -> usize {
        self.streams.iter().map(|stream| stream.waiting.len()).sum()
    }

    /// Their bytes.
    pub(super) fn waiting_bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.waiting_bytes).sum()
    }

    pub(super) fn clear(&mut self) {
        self.streams.clear();
    }

    pub(super) fn is_due(&self, room: u64) -> bool {
        self.streams.iter().any(|stream| stream.is_due(room))
    }

    pub(super) fn next_due(&mut self, room: u64) -> Option<&mut Stream> {
        let mut streams = self.streams.iter_mut();
        streams.find(|stream| stream.is_due(room))
    }
}

/// Bytes that a periodic endpoint moves in an interval at most.
fn packet_bytes(endpoint: &Endpoint) -> u32 {
    let packets = u32::from(endpoint.transactions_per_microframe.clamp(1, 3));
    u32::from(endpoint.max_packet_size).saturating_mul(packets)
}
