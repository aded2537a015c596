//! Transfers, as requests to the host, and its replies, as completions.

use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{
    Direction, EndpointAddress, RequestType, SetupPacket, TransferType, request,
};
use usb_transfer::{
    Actual, Completion, Frame, Kind, Payload, Segments, Status, StreamId, Transfer, TransferId,
};

use super::streams::{Stream, StreamKind, piece};
use super::{Guest, encode};
use crate::Capabilities;
use crate::codec::{EndpointEntry, Packet, StatusCode};

/// What a reply must be to be that of a request, beside its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expected {
    Configuration,
    AltSetting,
    Control(EndpointAddress),
    Bulk(EndpointAddress),
    Interrupt(EndpointAddress),
}

impl Expected {
    /// Whether a cancel can name it.
    const fn is_data_packet(self) -> bool {
        matches!(self, Self::Control(_) | Self::Bulk(_) | Self::Interrupt(_))
    }
}

/// A transfer that the host has been sent.
#[derive(Debug)]
pub(super) struct Request {
    wire_id: u64,
    id: TransferId,
    endpoint: EndpointAddress,
    direction: Direction,
    length: u32,
    expected: Expected,
    is_cancelled: bool,
}

impl Request {
    pub(super) const fn id(&self) -> TransferId {
        self.id
    }

    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    pub(super) const fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    pub(super) const fn fail(&self, status: Status) -> Completion {
        Completion::failed(self.id, self.direction, status)
    }

    fn complete(&self, code: StatusCode, length: u32, mut data: Segments) -> Completion {
        let mut status = Status::from(code);
        let actual = match self.direction {
            Direction::Out => Actual::Out(length.min(self.length)),
            Direction::In => {
                if data.len() > self.length as usize {
                    data.truncate(self.length as usize);
                    status = Status::OVERFLOW;
                }
                Actual::In(data)
            }
        };
        Completion::new(self.id, status, actual)
    }
}

impl Guest {
    pub(super) fn request(&mut self, transfer: Transfer) {
        let entry = self.endpoints.get(transfer.endpoint);
        match (&transfer.kind, entry.transfer_type.transfer_type()) {
            (Kind::Control(setup), _) if transfer.endpoint.is_control() => {
                let setup = *setup;
                self.control(transfer, setup);
            }
            (Kind::Data { stream }, Some(TransferType::Bulk)) => {
                let stream = *stream;
                self.bulk(transfer, stream, entry);
            }
            (Kind::Data { .. }, Some(TransferType::Interrupt)) => self.interrupt(transfer),
            (Kind::Isochronous(_), Some(TransferType::Isochronous)) => self.isochronous(transfer),
            _ => self.tell([transfer.stall()]),
        }
    }

    fn sent(&mut self, transfer: &Transfer, expected: Expected, packet: Packet) {
        let length = u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX);
        self.sent_part(transfer, length, expected, packet);
    }

    /// Sends the request for so many bytes of a transfer.
    pub(super) fn sent_part(
        &mut self,
        transfer: &Transfer,
        length: u32,
        expected: Expected,
        packet: Packet,
    ) {
        let wire_id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        if !self.has(Capabilities::IDS_64_BITS) {
            self.next_id &= u64::from(u32::MAX);
        }
        self.send(wire_id, packet);
        self.in_flight.push_back(Request {
            wire_id,
            id: transfer.id,
            endpoint: transfer.endpoint,
            direction: transfer.payload.direction(),
            length,
            expected,
            is_cancelled: false,
        });
    }

    fn control(&mut self, transfer: Transfer, setup: SetupPacket) {
        let [value, _] = setup.value.to_le_bytes();
        match (setup.effective_type(), setup.request) {
            _ if !transfer.is_consistent() => self.tell([transfer.fail(Status::INVALID)]),
            (RequestType::DEVICE_OUT, request::SET_ADDRESS) => self.tell([transfer.complete_out()]),
            (RequestType::DEVICE_OUT, request::SET_CONFIGURATION) => {
                self.stop(|endpoint| !endpoint.is_control());
                self.bulk_streams = 0;
                let packet = Packet::SetConfiguration { value };
                self.sent(&transfer, Expected::Configuration, packet);
            }
            (RequestType::DEVICE_IN, request::GET_CONFIGURATION) => {
                self.sent(&transfer, Expected::Configuration, Packet::GetConfiguration);
            }
            (RequestType::INTERFACE_OUT, request::SET_INTERFACE) => {
                let interface = setup.interface();
                let endpoints = self.endpoints.clone();
                self.stop(|endpoint| {
                    !endpoint.is_control() && endpoints.get(endpoint).interface == interface
                });
                let packet = Packet::SetAltSetting {
                    interface,
                    alternate: value,
                };
                self.sent(&transfer, Expected::AltSetting, packet);
            }
            (RequestType::INTERFACE_IN, request::GET_INTERFACE) => {
                let interface = setup.interface();
                let packet = Packet::GetAltSetting { interface };
                self.sent(&transfer, Expected::AltSetting, packet);
            }
            _ => {
                // QEMU's habit, which hosts know: the endpoint has the request's direction.
                let endpoint = transfer
                    .endpoint
                    .with_direction(setup.request_type.direction());
                let data = match &transfer.payload {
                    Payload::Out(data) => data.clone(),
                    Payload::In { .. } => Bytes::new(),
                };
                let packet = Packet::Control {
                    endpoint,
                    setup,
                    status: StatusCode::SUCCESS,
                    data: data.into(),
                };
                self.sent(&transfer, Expected::Control(endpoint), packet);
            }
        }
    }

    fn bulk(&mut self, transfer: Transfer, stream: Option<StreamId>, entry: EndpointEntry) {
        let most = self.codec.limits().max_transfer;
        let length = u32::try_from(transfer.payload.len()).unwrap_or(u32::MAX);
        let has_stream = stream.is_none_or(|StreamId(stream)| {
            self.has(Capabilities::BULK_STREAMS) && u32::from(stream.get()) <= entry.max_streams
        });
        if length > most || !has_stream {
            return self.tell([transfer.fail(Status::INVALID)]);
        }
        let endpoint = transfer.endpoint;
        let bit = 1 << endpoint.index();
        if stream.is_some() && self.bulk_streams & bit == 0 {
            self.bulk_streams |= bit;
            let packet = Packet::AllocBulkStreams {
                endpoints: bit,
                count: entry.max_streams,
            };
            self.send(0, packet);
        }
        self.send_bulk(transfer, stream, entry);
    }

    fn interrupt(&mut self, transfer: Transfer) {
        let endpoint = transfer.endpoint;
        let Payload::Out(data) = &transfer.payload else {
            return self.stream(transfer, StreamKind::Interrupt);
        };
        let Ok(length) = u16::try_from(data.len()) else {
            return self.tell([transfer.fail(Status::INVALID)]);
        };
        let packet = Packet::Interrupt {
            endpoint,
            status: StatusCode::SUCCESS,
            length,
            data: data.clone().into(),
        };
        self.sent(&transfer, Expected::Interrupt(endpoint), packet);
    }

    fn isochronous(&mut self, transfer: Transfer) {
        let Kind::Isochronous(packets) = &transfer.kind else {
            return self.tell([transfer.fail(Status::INVALID)]);
        };
        let Payload::Out(data) = &transfer.payload else {
            let limits = self.codec.limits();
            // It could never be filled.
            if packets.len() > limits.max_buffered_packets
                || transfer.payload.len() > limits.max_buffered_bytes
            {
                return self.tell([transfer.fail(Status::INVALID)]);
            }
            return self.stream(transfer, StreamKind::Isochronous);
        };
        let count = packets.len();
        if !packets.iter().all(|packet| piece(data, packet).is_some()) {
            return self.tell([transfer.fail(Status::INVALID)]);
        }
        let stream = self.stream_at(transfer.endpoint, StreamKind::Isochronous);
        let start = stream.start(&transfer);
        stream.pushed(transfer, count);
        if let Some(start) = start {
            self.send(0, start);
        }
        self.feed();
    }

    /// A transfer that takes what the host pushes.
    fn stream(&mut self, transfer: Transfer, kind: StreamKind) {
        let stream = self.stream_at(transfer.endpoint, kind);
        let start = stream.start(&transfer);
        stream.pull(transfer);
        if let Some(start) = start {
            self.send(0, start);
        }
    }

    fn stream_at(&mut self, endpoint: EndpointAddress, kind: StreamKind) -> &mut Stream {
        let at = self.streams.iter().position(|one| one.endpoint == endpoint);
        let at = at.unwrap_or_else(|| {
            self.streams.push(Stream::new(endpoint, kind));
            self.streams.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "just found or made")]
        &mut self.streams[at]
    }

    /// Sends isochronous packets that are due.
    pub(super) fn feed(&mut self) {
        for stream in &mut self.streams {
            stream.feed(self.now, |id, packet| {
                encode(&self.codec, &mut self.tx, id, packet);
            });
        }
    }

    /// Completes what streams have for transfers that wait.
    pub(super) fn pull(&mut self, now: Frame) {
        let streams = self.streams.iter_mut();
        let done = streams.flat_map(|stream| core::iter::from_fn(|| stream.completed(now)));
        let done: Vec<_> = done.collect();
        self.tell(done);
    }

    pub(super) fn cancel_request(&mut self, id: TransferId) {
        let sent = self.in_flight.iter_mut().find(|request| request.id == id);
        if let Some(request) = sent {
            let is_first = !core::mem::replace(&mut request.is_cancelled, true);
            let wire_id = request.wire_id;
            if is_first && request.expected.is_data_packet() {
                self.send(wire_id, Packet::CancelDataPacket);
            }
            return;
        }
        if self.cancel_held(id) {
            return;
        }
        let streams = self.streams.iter_mut();
        let mut found = streams.filter_map(|stream| {
            let (completion, was_last) = stream.cancel(id)?;
            let stop = if was_last { stream.stop() } else { None };
            Some((completion, stop))
        });
        if let Some((completion, stop)) = found.next() {
            self.tell([completion]);
            if let Some(stop) = stop {
                self.send(0, stop);
            }
        }
    }

    /// Completes what is under way at some endpoints, and tells the host to leave it.
    pub(super) fn stop(&mut self, at: impl Fn(EndpointAddress) -> bool) {
        let all = core::mem::take(&mut self.in_flight);
        for request in all {
            if !at(request.endpoint) {
                self.in_flight.push_back(request);
                continue;
            }
            if request.expected.is_data_packet() && !request.is_cancelled {
                self.send(request.wire_id, Packet::CancelDataPacket);
            }
            if !self.is_in_pieces(&request) {
                self.tell([request.fail(Status::CANCELLED)]);
            }
        }
        for pieces in core::mem::take(&mut self.pieces) {
            if at(pieces.endpoint()) {
                self.tell(pieces.fail(Status::CANCELLED));
            } else {
                self.pieces.push(pieces);
            }
        }
        for mut stream in core::mem::take(&mut self.streams) {
            if !at(stream.endpoint) {
                self.streams.push(stream);
                continue;
            }
            if let Some(stop) = stream.stop() {
                self.send(0, stop);
            }
            self.tell(stream.fail(Status::CANCELLED));
        }
    }

    /// A packet about the device that is there. What answers nothing is passed over: the host
    /// may have sent it before it knew.
    pub(super) fn reply(&mut self, id: u64, packet: Packet) {
        match packet {
            Packet::ConfigurationStatus { status, value } => {
                self.answered(id, Expected::Configuration, status, 1, byte(value));
            }
            Packet::AltSettingStatus {
                status, alternate, ..
            } => self.answered(id, Expected::AltSetting, status, 1, byte(alternate)),
            Packet::Control {
                endpoint,
                setup,
                status,
                data,
            } => {
                let expected = Expected::Control(endpoint);
                self.answered(id, expected, status, setup.length.into(), data);
            }
            Packet::Bulk {
                endpoint,
                status,
                length,
                data,
                ..
            } => self.answered(id, Expected::Bulk(endpoint), status, length, data),
            Packet::Interrupt {
                endpoint,
                status,
                length,
                data,
            } => {
                if endpoint.direction() == Direction::In {
                    self.pushed(endpoint, StreamKind::Interrupt, status, data);
                } else {
                    let expected = Expected::Interrupt(endpoint);
                    self.answered(id, expected, status, length.into(), data);
                }
            }
            Packet::Iso {
                endpoint,
                status,
                data,
                ..
            } => self.pushed(endpoint, StreamKind::Isochronous, status, data),
            Packet::InterruptReceivingStatus { status, endpoint }
            | Packet::IsoStreamStatus { status, endpoint }
                if status != StatusCode::SUCCESS =>
            {
                let streams = self.streams.iter_mut();
                let mut found = streams.filter(|stream| stream.endpoint == endpoint);
                let failed = found.next().map(|stream| stream.stopped(status.into()));
                self.tell(failed.unwrap_or_default());
            }
            Packet::BulkStreamsStatus {
                endpoints, status, ..
            } if status != StatusCode::SUCCESS => self.bulk_streams &= !endpoints,
            _ => {}
        }
    }

    fn answered(
        &mut self,
        id: u64,
        expected: Expected,
        status: StatusCode,
        length: u32,
        data: Segments,
    ) {
        let mut requests = self.in_flight.iter();
        let found = requests.position(|one| one.wire_id == id && one.expected == expected);
        if let Some(request) = found.and_then(|at| self.in_flight.remove(at)) {
            let completion = request.complete(status, length, data);
            self.replied(&request, completion);
        }
    }

    fn pushed(
        &mut self,
        endpoint: EndpointAddress,
        kind: StreamKind,
        status: StatusCode,
        data: Segments,
    ) {
        let mut streams = self.streams.iter_mut();
        let found = streams.find(|stream| stream.endpoint == endpoint && stream.kind() == kind);
        if let Some(stream) = found.filter(|stream| stream.is_started()) {
            stream.push(status.into(), data, self.codec.limits());
        }
    }
}

fn byte(value: u8) -> Segments {
    Bytes::copy_from_slice(&[value]).into()
}
