//! Packets to bytes.

use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::{Segments, TxQueue};
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::codec::{Codec, DeviceConnect, EndpointInfo, Hello, InterfaceEntry, Packet, PacketType};
use crate::wire::{Header, Width, layout};
use crate::{Capabilities, MisuseError};

impl Codec {
    /// Queues a packet. Payloads are queued by reference, small ones as copies.
    ///
    /// # Errors
    /// The packet is not this side's to send now, or its fields contradict each other; nothing is
    /// queued.
    pub fn encode(&self, id: u64, packet: Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
        let packet_type = packet.packet_type();
        // No hello needs another's word.
        let allowed = packet_type == PacketType::HELLO
            || self.negotiated.is_some() && self.has(packet_type.needs());
        if !packet_type.is_sent_by(self.role) || !allowed {
            return Err(MisuseError::NotAllowed {
                packet: packet_type,
            });
        }
        let width = if packet_type == PacketType::HELLO {
            Width::Narrow
        } else {
            self.width()
        };
        let writer = Writer {
            codec: self,
            packet: packet_type,
            width,
            id,
        };
        if width == Width::Narrow && u32::try_from(id).is_err() {
            return Err(writer.misfit("id"));
        }
        writer.packet(packet, tx)
    }
}

/// A packet being written.
struct Writer<'a> {
    codec: &'a Codec,
    packet: PacketType,
    width: Width,
    id: u64,
}

impl Writer<'_> {
    const fn misfit(&self, field: &'static str) -> MisuseError {
        MisuseError::Field {
            packet: self.packet,
            field,
        }
    }

    /// Header and fixed part, with so many bytes to follow.
    fn put<T: IntoBytes + Immutable>(&self, fixed: &T, more: usize, tx: &mut TxQueue) {
        // What is to follow has met its own limit.
        let length = size_of::<T>().saturating_add(more);
        let header = Header {
            packet_type: self.packet.0,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            id: self.id,
        };
        self.width.put(header, fixed, tx);
    }

    fn packet(&self, packet: Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
        match packet {
            Packet::Hello(hello) => self.hello(&hello, tx)?,
            Packet::DeviceConnect(device) => self.device_connect(&device, tx),
            Packet::InterfaceInfo(interfaces) => self.interface_info(&interfaces, tx)?,
            Packet::EndpointInfo(endpoints) => self.endpoint_info(&endpoints, tx),
            Packet::DeviceDisconnect
            | Packet::Reset
            | Packet::GetConfiguration
            | Packet::CancelDataPacket
            | Packet::FilterReject
            | Packet::DeviceDisconnectAck => self.put(&(), 0, tx),
            Packet::SetConfiguration { value } => self.put(&layout::Byte { value }, 0, tx),
            Packet::GetAltSetting { interface } => {
                self.put(&layout::Byte { value: interface }, 0, tx);
            }
            Packet::ConfigurationStatus { status, value } => {
                let status = status.0;
                self.put(&layout::ConfigurationStatus { status, value }, 0, tx);
            }
            Packet::SetAltSetting {
                interface,
                alternate,
            } => {
                let body = layout::SetAltSetting {
                    interface,
                    alternate,
                };
                self.put(&body, 0, tx);
            }
            Packet::AltSettingStatus {
                status,
                interface,
                alternate,
            } => {
                let body = layout::AltSettingStatus {
                    status: status.0,
                    interface,
                    alternate,
                };
                self.put(&body, 0, tx);
            }
            Packet::FilterFilter(rules) => {
                let most = usize::try_from(self.codec.limits.max_filter).unwrap_or(usize::MAX);
                if rules.contains(&0) || rules.len() > most {
                    return Err(self.misfit("rules"));
                }
                self.put(&(), rules.len().saturating_add(1), tx);
                tx.put(rules);
                tx.put_slice(&[0]);
            }
            Packet::Control { .. }
            | Packet::Bulk { .. }
            | Packet::Iso { .. }
            | Packet::Interrupt { .. }
            | Packet::BufferedBulk { .. } => self.data_packet(packet, tx)?,
            _ => self.stream(&packet, tx)?,
        }
        Ok(())
    }

    fn endpoint_in(&self, endpoint: EndpointAddress) -> Result<u8, MisuseError> {
        if endpoint.direction() == Direction::In {
            return Ok(endpoint.to_byte());
        }
        Err(self.misfit("endpoint"))
    }

    fn stream(&self, packet: &Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
        match *packet {
            Packet::StartIsoStream {
                endpoint,
                packets_per_transfer,
                transfers,
            } => {
                let body = layout::StartIsoStream {
                    endpoint: endpoint.to_byte(),
                    packets: packets_per_transfer,
                    transfers,
                };
                self.put(&body, 0, tx);
            }
            Packet::StopIsoStream { endpoint } => {
                let value = endpoint.to_byte();
                self.put(&layout::Byte { value }, 0, tx);
            }
            Packet::IsoStreamStatus { status, endpoint } => {
                let body = layout::EndpointStatus {
                    status: status.0,
                    endpoint: endpoint.to_byte(),
                };
                self.put(&body, 0, tx);
            }
            Packet::StartInterruptReceiving { endpoint }
            | Packet::StopInterruptReceiving { endpoint } => {
                let value = self.endpoint_in(endpoint)?;
                self.put(&layout::Byte { value }, 0, tx);
            }
            Packet::InterruptReceivingStatus { status, endpoint } => {
                let body = layout::EndpointStatus {
                    status: status.0,
                    endpoint: self.endpoint_in(endpoint)?,
                };
                self.put(&body, 0, tx);
            }
            Packet::AllocBulkStreams { endpoints, count } => {
                let (endpoints, count) = (endpoints.into(), count.into());
                self.put(&layout::AllocBulkStreams { endpoints, count }, 0, tx);
            }
            Packet::FreeBulkStreams { endpoints } => {
                let endpoints = endpoints.into();
                self.put(&layout::FreeBulkStreams { endpoints }, 0, tx);
            }
            Packet::BulkStreamsStatus {
                endpoints,
                count,
                status,
            } => {
                let body = layout::BulkStreamsStatus {
                    endpoints: endpoints.into(),
                    count: count.into(),
                    status: status.0,
                };
                self.put(&body, 0, tx);
            }
            Packet::StartBulkReceiving {
                stream,
                bytes_per_transfer,
                endpoint,
                transfers,
            } => {
                if bytes_per_transfer > self.codec.limits.max_transfer {
                    return Err(self.misfit("bytes_per_transfer"));
                }
                let body = layout::StartBulkReceiving {
                    stream: stream.into(),
                    bytes: bytes_per_transfer.into(),
                    endpoint: self.endpoint_in(endpoint)?,
                    transfers,
                };
                self.put(&body, 0, tx);
            }
            Packet::StopBulkReceiving { stream, endpoint } => {
                let body = layout::StopBulkReceiving {
                    stream: stream.into(),
                    endpoint: self.endpoint_in(endpoint)?,
                };
                self.put(&body, 0, tx);
            }
            Packet::BulkReceivingStatus {
                stream,
                endpoint,
                status,
            } => {
                let body = layout::BulkReceivingStatus {
                    stream: stream.into(),
                    endpoint: self.endpoint_in(endpoint)?,
                    status: status.0,
                };
                self.put(&body, 0, tx);
            }
            _ => {}
        }
        Ok(())
    }

    fn hello(&self, hello: &Hello, tx: &mut TxQueue) -> Result<(), MisuseError> {
        let mut body = layout::Hello { version: [0; 64] };
        let room = body.version.len().saturating_sub(1);
        let text = hello.version.as_bytes();
        let place = body.version.get_mut(..text.len());
        match place.filter(|place| place.len() <= room) {
            Some(place) => place.copy_from_slice(text),
            None => return Err(self.misfit("version")),
        }
        let words = hello.capabilities.bits().to_le_bytes();
        self.put(&body, words.len(), tx);
        tx.put_slice(&words);
        Ok(())
    }

    fn device_connect(&self, device: &DeviceConnect, tx: &mut TxQueue) {
        let body = layout::DeviceConnect {
            speed: device.speed.0,
            class: device.class.class,
            subclass: device.class.subclass,
            protocol: device.class.protocol,
            vendor: device.vendor_id.into(),
            product: device.product_id.into(),
        };
        if self.codec.has(Capabilities::CONNECT_DEVICE_VERSION) {
            let release = device.release.map_or(0, |release| release.0).into();
            let version = layout::DeviceVersion { release };
            self.put(&body, size_of_val(&version), tx);
            tx.put_slice(version.as_bytes());
        } else {
            self.put(&body, 0, tx);
        }
    }

    fn interface_info(
        &self,
        interfaces: &[InterfaceEntry],
        tx: &mut TxQueue,
    ) -> Result<(), MisuseError> {
        if interfaces.len() > layout::ROWS {
            return Err(self.misfit("interfaces"));
        }
        let mut body = layout::InterfaceInfo::new_zeroed();
        body.count = U32::new(u32::try_from(interfaces.len()).unwrap_or(0));
        let classes = body.class.iter_mut().zip(&mut body.subclass);
        let classes = classes.zip(&mut body.protocol);
        let rows = body.number.iter_mut().zip(classes);
        for ((number, ((class, subclass), protocol)), entry) in rows.zip(interfaces) {
            *number = entry.number;
            *class = entry.class.class;
            *subclass = entry.class.subclass;
            *protocol = entry.class.protocol;
        }
        self.put(&body, 0, tx);
        Ok(())
    }

    fn endpoint_info(&self, endpoints: &EndpointInfo, tx: &mut TxQueue) {
        let mut body = layout::EndpointInfo::new_zeroed();
        let columns = body.transfer_type.iter_mut().zip(&mut body.interval);
        let columns = columns.zip(&mut body.interface);
        for (((transfer_type, interval), interface), entry) in columns.zip(endpoints.iter()) {
            *transfer_type = entry.transfer_type.0;
            *interval = entry.interval;
            *interface = entry.interface;
        }
        let mut sizes = layout::EndpointSizes::new_zeroed();
        for (size, entry) in sizes.max_packet_size.iter_mut().zip(endpoints.iter()) {
            *size = U16::new(entry.max_packet_size);
        }
        let mut streams = layout::EndpointStreams::new_zeroed();
        for (most, entry) in streams.max_streams.iter_mut().zip(endpoints.iter()) {
            *most = U32::new(entry.max_streams);
        }
        let part = |capability, bytes| {
            if self.codec.has(capability) {
                bytes
            } else {
                &[][..]
            }
        };
        let sizes = part(Capabilities::ENDPOINT_MAX_PACKET_SIZE, sizes.as_bytes());
        let streams = part(Capabilities::BULK_STREAMS, streams.as_bytes());
        self.put(&body, sizes.len().saturating_add(streams.len()), tx);
        tx.put_slice(sizes);
        tx.put_slice(streams);
    }

    fn data_packet(&self, packet: Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
        match packet {
            Packet::Control {
                endpoint,
                setup,
                status,
                data,
            } => {
                self.check_data(endpoint, setup.length.into(), &data)?;
                let body = layout::Control {
                    endpoint: endpoint.to_byte(),
                    request: setup.request,
                    request_type: setup.request_type.0,
                    status: status.0,
                    value: setup.value.into(),
                    index: setup.index.into(),
                    length: setup.length.into(),
                };
                self.put(&body, data.len(), tx);
                tx.put_segments(data);
            }
            Packet::Bulk {
                endpoint,
                status,
                stream,
                length,
                data,
            } => {
                self.check_data(endpoint, length, &data)?;
                let [low, high] = [length & 0xffff, length >> 16].map(u16::try_from);
                let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
                let is_wide = self.codec.has(Capabilities::BULK_LENGTH_32_BITS);
                if !is_wide && high != 0 || length > self.codec.limits.max_transfer {
                    return Err(self.misfit("length"));
                }
                let body = layout::Bulk {
                    endpoint: endpoint.to_byte(),
                    status: status.0,
                    length: low.into(),
                    stream: stream.into(),
                };
                let more = layout::BulkLength { high: high.into() };
                let more = if is_wide { more.as_bytes() } else { &[] };
                self.put(&body, more.len().saturating_add(data.len()), tx);
                tx.put_slice(more);
                tx.put_segments(data);
            }
            Packet::Iso {
                endpoint,
                status,
                length,
                data,
            }
            | Packet::Interrupt {
                endpoint,
                status,
                length,
                data,
            } => {
                let is_iso = self.packet == PacketType::ISO_PACKET;
                let is_in = endpoint.direction() == Direction::In;
                if (is_iso || is_in) && endpoint.direction() != self.codec.role.sends() {
                    return Err(self.misfit("endpoint"));
                }
                self.check_data(endpoint, length.into(), &data)?;
                let body = layout::Packet {
                    endpoint: endpoint.to_byte(),
                    status: status.0,
                    length: length.into(),
                };
                self.put(&body, data.len(), tx);
                tx.put_segments(data);
            }
            Packet::BufferedBulk {
                stream,
                endpoint,
                status,
                length,
                data,
            } => {
                self.endpoint_in(endpoint)?;
                self.check_data(endpoint, length, &data)?;
                if length > self.codec.limits.max_transfer {
                    return Err(self.misfit("length"));
                }
                let body = layout::BufferedBulk {
                    stream: stream.into(),
                    length: length.into(),
                    endpoint: endpoint.to_byte(),
                    status: status.0,
                };
                self.put(&body, data.len(), tx);
                tx.put_segments(data);
            }
            _ => {}
        }
        Ok(())
    }

    /// The way of data, there is as much as is stated; the other way, none.
    fn check_data(
        &self,
        endpoint: EndpointAddress,
        length: u32,
        data: &Segments,
    ) -> Result<(), MisuseError> {
        let carries = endpoint.direction() == self.codec.role.sends();
        let expected = if carries { length as usize } else { 0 };
        if data.len() == expected {
            Ok(())
        } else {
            Err(self.misfit("data"))
        }
    }
}
