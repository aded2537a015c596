//! What a guest asks, as transfers, and their completions, as replies.

use core::num::NonZeroU16;

use usb_descriptors::{
    Direction, EndpointAddress, RequestType, SetupPacket, TransferType, request,
};
use usb_transfer::{
    Actual, Completion, Endpoint, HostEvent, Kind, Payload, Segments, Status, StreamId, Transfer,
};

use super::streams::{StreamKind, status_of};
use super::{Host, Origin};
use crate::codec::{Packet, StatusCode};

impl Host {
    /// A packet about the device that is there.
    pub(super) fn request(&mut self, id: u64, packet: Packet) {
        match packet {
            Packet::Reset => {
                self.streams.clear();
                self.bulk_streams.clear();
                if let Some(device) = &mut self.device {
                    device.reset();
                }
                self.events.push_back(HostEvent::Reset);
            }
            Packet::SetConfiguration { value } => {
                let setup = SetupPacket::set_configuration(value);
                self.control(id, Origin::SetConfiguration { value }, setup, None);
            }
            Packet::GetConfiguration => {
                let setup = get_byte(RequestType::DEVICE_IN, request::GET_CONFIGURATION, 0);
                self.control(id, Origin::GetConfiguration, setup, None);
            }
            Packet::SetAltSetting {
                interface,
                alternate,
            } => {
                let setup = SetupPacket::set_interface(interface, alternate);
                let origin = Origin::SetAltSetting {
                    interface,
                    alternate,
                };
                self.control(id, origin, setup, None);
            }
            Packet::GetAltSetting { interface } => {
                let index = interface.into();
                let setup = get_byte(RequestType::INTERFACE_IN, request::GET_INTERFACE, index);
                self.control(id, Origin::GetAltSetting { interface }, setup, None);
            }
            Packet::CancelDataPacket => {
                if let Some(request) = self.in_flight.find_to_cancel(id) {
                    request.is_cancelled = true;
                    self.events.push_back(HostEvent::Cancel(request.id));
                }
            }
            Packet::Control {
                endpoint,
                setup,
                data,
                ..
            } => self.control(id, Origin::Control { endpoint, setup }, setup, Some(data)),
            Packet::Bulk {
                endpoint,
                stream,
                length,
                data,
                ..
            } => {
                let origin = Origin::Bulk {
                    endpoint,
                    stream,
                    length,
                };
                self.data(id, origin, endpoint, stream, length, data);
            }
            Packet::Interrupt {
                endpoint,
                length,
                data,
                ..
            } => {
                let origin = Origin::Interrupt { endpoint, length };
                self.data(id, origin, endpoint, 0, length.into(), data);
            }
            Packet::Iso { endpoint, data, .. } => {
                let room = self.room().unwrap_or(0);
                if let Some(stream) = self.streams.at(endpoint) {
                    stream.feed(data, room);
                }
            }
            other => self.stream_request(id, &other),
        }
    }

    /// Starts and stops streams of any kind.
    fn stream_request(&mut self, id: u64, packet: &Packet) {
        match *packet {
            Packet::StartIsoStream {
                endpoint,
                packets_per_transfer,
                transfers,
            } => {
                let found = self.endpoint(endpoint, TransferType::Isochronous);
                let started = found.is_some_and(|found| {
                    self.streams
                        .start_isochronous(&found, packets_per_transfer, transfers)
                });
                let kind = StreamKind::Isochronous { packets: 0 };
                self.send(id, status_of(kind, endpoint, success_if(started)));
            }
            Packet::StartInterruptReceiving { endpoint } => {
                let found = self.endpoint(endpoint, TransferType::Interrupt);
                if let Some(found) = found {
                    self.streams.start_interrupt(&found);
                }
                let status = success_if(found.is_some());
                self.send(id, status_of(StreamKind::Interrupt, endpoint, status));
            }
            Packet::StartBulkReceiving {
                stream,
                bytes_per_transfer,
                endpoint,
                transfers,
            } => {
                let limits = self.codec.limits();
                let limit = u64::from(limits.max_transfer).min(limits.max_in_flight_bytes);
                let found = self.endpoint(endpoint, TransferType::Bulk);
                // Not of one stream among several: the transfers could not be told apart.
                let found = found.filter(|_| stream == 0);
                let started = found.is_some_and(|found| {
                    self.streams
                        .start_bulk(&found, stream, bytes_per_transfer, transfers, limit)
                });
                let kind = StreamKind::Bulk { stream };
                self.send(id, status_of(kind, endpoint, success_if(started)));
            }
            Packet::StopIsoStream { endpoint } => {
                let kind = StreamKind::Isochronous { packets: 0 };
                self.stop(id, endpoint, kind);
            }
            Packet::StopInterruptReceiving { endpoint } => {
                self.stop(id, endpoint, StreamKind::Interrupt);
            }
            Packet::StopBulkReceiving { stream, endpoint } => {
                self.stop(id, endpoint, StreamKind::Bulk { stream });
            }
            Packet::AllocBulkStreams { endpoints, count } => {
                self.set_bulk_streams(id, endpoints, count);
            }
            Packet::FreeBulkStreams { endpoints } => self.set_bulk_streams(id, endpoints, 0),
            // The others are not a guest's, or are dealt with.
            _ => {}
        }
    }

    /// A stop is answered at once; what the standing transfers still bring is nobody's.
    fn stop(&mut self, id: u64, endpoint: EndpointAddress, kind: StreamKind) {
        if let Some(stream) = self.streams.remove(endpoint) {
            self.cancel_standing(stream.serial);
        }
        self.send(id, status_of(kind, endpoint, StatusCode::SUCCESS));
    }

    fn cancel_standing(&mut self, serial: u64) {
        let standing = self.in_flight.of_stream(serial);
        self.events.extend(standing.map(HostEvent::Cancel));
    }

    /// Streams need no call of the device: its descriptors say how many there are. 0 frees them.
    fn set_bulk_streams(&mut self, id: u64, endpoints: u32, count: u32) {
        let named = (0..32u8).filter(|index| endpoints >> index & 1 != 0);
        let named =
            named.map(|index| EndpointAddress::from_byte((index & 0x10) << 3 | index & 0x0f));
        let fits = named.clone().all(|address| {
            let found = self.endpoint(address, TransferType::Bulk);
            found.is_some_and(|found| count <= found.max_streams)
        });
        if fits {
            for address in named {
                self.bulk_streams.retain(|(known, _)| *known != address);
                if count > 0 {
                    self.bulk_streams.push((address, count));
                }
            }
        }
        let status = success_if(fits);
        let packet = Packet::BulkStreamsStatus {
            endpoints,
            count,
            status,
        };
        self.send(id, packet);
    }

    fn endpoint(&self, address: EndpointAddress, kind: TransferType) -> Option<Endpoint> {
        let found = self.device.as_ref()?.endpoint(address).copied();
        found.filter(|endpoint| endpoint.transfer_type == kind)
    }

    /// A control transfer, the guest's own (with its data) or made of another request.
    fn control(&mut self, id: u64, origin: Origin, setup: SetupPacket, data: Option<Segments>) {
        let endpoint = match origin {
            Origin::Control { endpoint, .. } => endpoint,
            _ => EndpointAddress::CONTROL_OUT,
        };
        let direction = match data {
            // A request without data may come as either.
            Some(_) if setup.length == 0 => Direction::Out,
            Some(_) => endpoint.direction(),
            None => setup.data_direction(),
        };
        let payload = match direction {
            Direction::In => Payload::In {
                length: setup.length.into(),
            },
            Direction::Out => Payload::Out(data.unwrap_or_default().into_bytes()),
        };
        let transfer = Transfer::control(self.ids.mint(), setup, payload);
        if !transfer.is_consistent() || !endpoint.is_control() {
            return self.reply(id, origin, transfer.fail(Status::INVALID));
        }
        match (setup.effective_type(), setup.request) {
            // The guest's host controller's part.
            (RequestType::DEVICE_OUT, request::SET_ADDRESS) => {
                return self.reply(id, origin, transfer.complete_out());
            }
            // The device completes what these stop, and then them.
            (RequestType::DEVICE_OUT, request::SET_CONFIGURATION) => {
                self.streams.hold(transfer.id, |_| true);
            }
            (RequestType::INTERFACE_OUT, request::SET_INTERFACE) => {
                let (device, interface) = (&self.device, setup.interface());
                self.streams.hold(transfer.id, |address| {
                    let found = device.as_ref().and_then(|device| device.endpoint(address));
                    found.is_none_or(|found| found.interface == interface)
                });
            }
            _ => {}
        }
        self.submit(id, origin, transfer);
    }

    /// A transfer of a bulk endpoint, or to an interrupt endpoint.
    fn data(
        &mut self,
        id: u64,
        origin: Origin,
        address: EndpointAddress,
        stream: u32,
        length: u32,
        data: Segments,
    ) {
        let kind = match origin {
            Origin::Interrupt { .. } => TransferType::Interrupt,
            _ => TransferType::Bulk,
        };
        let payload = match address.direction() {
            Direction::In => Payload::In { length },
            Direction::Out => Payload::Out(data.into_bytes()),
        };
        let found = self.endpoint(address, kind);
        let stream_id = self.stream_id(address, stream);
        let interval = found.map_or(0, |found| found.interval);
        let data = Kind::Data {
            stream: stream_id.unwrap_or_default(),
        };
        let transfer =
            Transfer::new(self.ids.mint(), address, data, payload).with_interval(interval);
        if found.is_none() || stream_id.is_err() {
            return self.reply(id, origin, transfer.fail(Status::INVALID));
        }
        self.submit(id, origin, transfer);
    }

    /// A stream that the guest has made usable; 0 is none.
    fn stream_id(&self, address: EndpointAddress, stream: u32) -> Result<Option<StreamId>, Status> {
        if stream == 0 {
            return Ok(None);
        }
        let mut usable = self.bulk_streams.iter();
        let is_usable = usable.any(|(known, count)| *known == address && stream <= *count);
        let number = u16::try_from(stream).ok().filter(|_| is_usable);
        let number = number.and_then(NonZeroU16::new).ok_or(Status::INVALID)?;
        Ok(Some(StreamId(number)))
    }

    fn submit(&mut self, guest_id: u64, origin: Origin, transfer: Transfer) {
        if self.room().is_none_or(|room| origin.bytes() > room) {
            return self.reply(guest_id, origin, transfer.fail(Status::NO_MEMORY));
        }
        self.in_flight.push(transfer.id, guest_id, origin);
        self.events.push_back(HostEvent::Submit(transfer));
    }

    /// The one reply to a request.
    pub(super) fn reply(&mut self, id: u64, origin: Origin, completion: Completion) {
        let asked = u32::try_from(origin.bytes()).unwrap_or(u32::MAX);
        let mut status = completion.status;
        let (moved, data) = match completion.actual {
            Actual::Out(taken) => (taken.min(asked), Segments::new()),
            Actual::In(mut data) => {
                if data.len() > asked as usize && !is_own(origin) {
                    data.truncate(asked as usize);
                    status = Status::OVERFLOW;
                }
                (u32::try_from(data.len()).unwrap_or(asked), data)
            }
        };
        let status = StatusCode::from(status);
        if status == StatusCode::SUCCESS {
            while let Some(stream) = self.streams.take_ended(completion.id) {
                self.cancel_standing(stream.serial);
            }
            self.follow(origin);
        } else {
            self.streams.resume(completion.id);
        }
        let short = u16::try_from(moved).unwrap_or(u16::MAX);
        let packet = match origin {
            Origin::SetConfiguration { value } => Packet::ConfigurationStatus {
                status,
                value: match (&self.device, status) {
                    (_, StatusCode::SUCCESS) | (None, _) => value,
                    (Some(device), _) => device.configuration(),
                },
            },
            Origin::GetConfiguration => Packet::ConfigurationStatus {
                status,
                value: first_byte(&data),
            },
            Origin::SetAltSetting {
                interface,
                alternate,
            } => Packet::AltSettingStatus {
                status,
                interface,
                alternate,
            },
            Origin::GetAltSetting { interface } => Packet::AltSettingStatus {
                status,
                interface,
                alternate: first_byte(&data),
            },
            Origin::Control { endpoint, setup } => Packet::Control {
                endpoint,
                setup: SetupPacket {
                    length: short,
                    ..setup
                },
                status,
                data,
            },
            Origin::Bulk {
                endpoint, stream, ..
            } => Packet::Bulk {
                endpoint,
                status,
                stream,
                length: moved,
                data,
            },
            Origin::Interrupt { endpoint, .. } => Packet::Interrupt {
                endpoint,
                status,
                length: short,
                data,
            },
            Origin::Stream { .. } => return,
        };
        self.send(id, packet);
    }

    /// Where a request changed what exists, the guest is told before its reply.
    fn follow(&mut self, origin: Origin) {
        let Some(device) = &mut self.device else {
            return;
        };
        match origin {
            Origin::SetConfiguration { value } => device.configure(value),
            Origin::SetAltSetting {
                interface,
                alternate,
            } => device.set_interface(interface, alternate),
            Origin::Control { setup, .. } => {
                let [low, _] = setup.value.to_le_bytes();
                match (setup.effective_type(), setup.request) {
                    (RequestType::DEVICE_OUT, request::SET_CONFIGURATION) => device.configure(low),
                    (RequestType::INTERFACE_OUT, request::SET_INTERFACE) => {
                        device.set_interface(setup.interface(), low);
                    }
                    _ => return,
                }
            }
            _ => return,
        }
        let gone = |address: EndpointAddress| device.endpoint(address).is_none();
        self.bulk_streams.retain(|(address, _)| !gone(*address));
        self.describe();
    }

    pub(super) fn stream_completed(&mut self, serial: u64, completion: Completion) {
        let Some(stream) = self.streams.with_serial(serial) else {
            return;
        };
        stream.settle();
        if stream.ends_with(&completion) {
            if stream.is_held() {
                return;
            }
            let packet = stream.status(StatusCode::STALL);
            let endpoint = stream.endpoint;
            self.cancel_standing(serial);
            self.streams.remove(endpoint);
            return self.send(0, packet);
        }
        let Actual::In(mut data) = completion.actual else {
            return;
        };
        if !matches!(stream.kind, StreamKind::Isochronous { .. }) {
            let limit = stream.bytes();
            let mut status = completion.status;
            if data.len() > limit {
                data.truncate(limit);
                status = Status::OVERFLOW;
            }
            let (id, packet) = stream.packet(status.into(), data);
            return self.send(id, packet);
        }
        let most = stream.packets();
        for result in completion.packets.into_iter().take(most) {
            let Some(stream) = self.streams.with_serial(serial) else {
                return;
            };
            let length = (result.actual as usize).min(stream.bytes());
            let piece = data.split_to(length);
            let (id, packet) = stream.packet(result.status.into(), piece);
            self.send(id, packet);
        }
    }
}

/// Whether the request was made here, of one byte.
const fn is_own(origin: Origin) -> bool {
    matches!(
        origin,
        Origin::GetConfiguration | Origin::GetAltSetting { .. }
    )
}

const fn get_byte(request_type: RequestType, request: u8, index: u16) -> SetupPacket {
    SetupPacket {
        request_type,
        request,
        value: 0,
        index,
        length: 1,
    }
}

fn first_byte(data: &Segments) -> u8 {
    let mut byte = [0];
    data.copy_to_slice(&mut byte);
    let [byte] = byte;
    byte
}

const fn success_if(condition: bool) -> StatusCode {
    if condition {
        StatusCode::SUCCESS
    } else {
        StatusCode::INVALID
    }
}
