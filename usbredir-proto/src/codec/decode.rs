//! Bytes to packets.

use alloc::string::String;
use core::num::NonZeroUsize;

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::{Bcd, ClassCode, Direction, EndpointAddress, RequestType, SetupPacket};
use usb_transfer::{ReadAhead, Segments};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::codec::{
    Codec, DeviceConnect, EndpointInfo, EndpointTypeCode, Hello, InterfaceEntry, Packet,
    PacketType, SpeedCode, StatusCode,
};
use crate::wire::{Header, layout};
use crate::{Capabilities, ProtocolError};

/// What the front of the received bytes is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a loop must handle both")]
#[must_use = "the packet is in it"]
pub enum Decoded {
    /// A packet, which was taken.
    Packet {
        /// The id in its header.
        id: u64,
        /// What it says.
        packet: Packet,
    },
    /// Part of one: at least so many bytes are missing, and there is room for them.
    Missing(NonZeroUsize),
}

/// Words of capabilities that a hello may have: the protocol defines eight bits.
const MOST_WORDS: u32 = 1024;

impl Codec {
    /// Takes the next packet from the front of `rx`.
    ///
    /// The peer's first hello settles the layouts; another changes nothing.
    ///
    /// # Errors
    /// The packet is not one that this peer may send now. `rx` has still all of it: without knowing
    /// what it means there is no going on.
    pub fn decode(&mut self, rx: &mut BytesMut) -> Result<Decoded, ProtocolError> {
        let width = self.width().length();
        let Some(header) = self.width().parse(rx) else {
            return Ok(self.missing(rx, width));
        };
        self.check(header)?;
        // Within 32 bits and the limits.
        let total = width.saturating_add(header.length as usize);
        if rx.len() < total {
            return Ok(self.missing(rx, total));
        }
        self.read_ahead.record(total, rx);
        let packet = self.body(header, rx, width)?;
        if let (Packet::Hello(hello), None) = (&packet, self.negotiated) {
            self.meet(hello.capabilities);
        }
        Ok(Decoded::Packet {
            id: header.id,
            packet,
        })
    }

    fn missing(&self, rx: &mut BytesMut, total: usize) -> Decoded {
        let missing =
            NonZeroUsize::new(total.saturating_sub(rx.len())).unwrap_or(NonZeroUsize::MIN);
        self.read_ahead
            .make_room(rx, self.width().length(), missing);
        Decoded::Missing(missing)
    }

    /// Whether this peer may send it now, and so long.
    fn check(&self, header: Header) -> Result<(), ProtocolError> {
        let found = PacketType(header.packet_type);
        let sender = self.role.peer();
        if !found.is_sent_by(sender) {
            let sender = sender.name();
            return Err(ProtocolError::Type { found, sender });
        }
        if self.negotiated.is_none() && found != PacketType::HELLO {
            return Err(ProtocolError::NoHello { found });
        }
        if found != PacketType::HELLO && !self.has(found.needs()) {
            return Err(ProtocolError::Capability { found });
        }
        let least = self.fixed_length(found);
        let most = least.saturating_add(self.most_data(found));
        if (least..=most).contains(&header.length) {
            return Ok(());
        }
        Err(ProtocolError::Length {
            packet: found,
            id: header.id,
            found: header.length,
            least,
            most,
        })
    }

    /// Bytes of the part that each packet of a type has.
    fn fixed_length(&self, packet: PacketType) -> u32 {
        let has = |capability, bytes| if self.has(capability) { bytes } else { 0 };
        match packet {
            PacketType::HELLO => 64,
            PacketType::DEVICE_CONNECT => 8 | has(Capabilities::CONNECT_DEVICE_VERSION, 2),
            PacketType::INTERFACE_INFO => 132,
            PacketType::EP_INFO => {
                let sizes = has(Capabilities::ENDPOINT_MAX_PACKET_SIZE, 64);
                let streams = has(Capabilities::BULK_STREAMS, 128);
                96u32.saturating_add(sizes).saturating_add(streams)
            }
            PacketType::SET_CONFIGURATION
            | PacketType::GET_ALT_SETTING
            | PacketType::STOP_ISO_STREAM
            | PacketType::START_INTERRUPT_RECEIVING
            | PacketType::STOP_INTERRUPT_RECEIVING
            // Its NUL.
            | PacketType::FILTER_FILTER => 1,
            PacketType::CONFIGURATION_STATUS
            | PacketType::SET_ALT_SETTING
            | PacketType::ISO_STREAM_STATUS
            | PacketType::INTERRUPT_RECEIVING_STATUS => 2,
            PacketType::ALT_SETTING_STATUS | PacketType::START_ISO_STREAM => 3,
            PacketType::FREE_BULK_STREAMS | PacketType::ISO_PACKET | PacketType::INTERRUPT_PACKET => 4,
            PacketType::STOP_BULK_RECEIVING => 5,
            PacketType::BULK_RECEIVING_STATUS => 6,
            PacketType::ALLOC_BULK_STREAMS => 8,
            PacketType::BULK_STREAMS_STATUS => 9,
            PacketType::START_BULK_RECEIVING
            | PacketType::CONTROL_PACKET
            | PacketType::BUFFERED_BULK_PACKET => 10,
            PacketType::BULK_PACKET => 8 | has(Capabilities::BULK_LENGTH_32_BITS, 2),
            _ => 0,
        }
    }

    /// Bytes that may follow.
    fn most_data(&self, packet: PacketType) -> u32 {
        match packet {
            PacketType::HELLO => MOST_WORDS.saturating_mul(4),
            PacketType::FILTER_FILTER => self.limits.max_filter,
            PacketType::CONTROL_PACKET | PacketType::ISO_PACKET | PacketType::INTERRUPT_PACKET => {
                u16::MAX.into()
            }
            PacketType::BULK_PACKET | PacketType::BUFFERED_BULK_PACKET => self.limits.max_transfer,
            _ => 0,
        }
    }

    /// Reads and takes a whole packet of a length that was checked.
    fn body(
        &self,
        header: Header,
        rx: &mut BytesMut,
        width: usize,
    ) -> Result<Packet, ProtocolError> {
        let packet = PacketType(header.packet_type);
        let mut body = Body {
            codec: self,
            packet,
            id: header.id,
            length: header.length,
            width,
        };
        if matches!(
            packet,
            PacketType::CONTROL_PACKET
                | PacketType::BULK_PACKET
                | PacketType::ISO_PACKET
                | PacketType::INTERRUPT_PACKET
                | PacketType::BUFFERED_BULK_PACKET
        ) {
            return body.data_packet(rx);
        }
        let total = width.saturating_add(header.length as usize);
        let bytes = rx.get(width..total).unwrap_or(&[]);
        let packet = body.control(bytes)?;
        rx.advance(total.min(rx.len()));
        Ok(packet)
    }
}

/// A packet being read.
struct Body<'a> {
    codec: &'a Codec,
    packet: PacketType,
    id: u64,
    length: u32,
    width: usize,
}

impl Body<'_> {
    /// Not as long as its type; lengths were checked, so this does not happen.
    fn too_short(&self) -> ProtocolError {
        let least = self.codec.fixed_length(self.packet);
        ProtocolError::Length {
            packet: self.packet,
            id: self.id,
            found: self.length,
            least,
            most: least,
        }
    }

    fn read<'b, T>(&self, bytes: &'b [u8]) -> Result<(&'b T, &'b [u8]), ProtocolError>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        T::ref_from_prefix(bytes).map_err(|_| self.too_short())
    }

    fn endpoint_in(&self, found: u8) -> Result<EndpointAddress, ProtocolError> {
        let endpoint = EndpointAddress::from_byte(found);
        if endpoint.direction() == Direction::In {
            return Ok(endpoint);
        }
        Err(self.direction(found))
    }

    const fn direction(&self, found: u8) -> ProtocolError {
        ProtocolError::Direction {
            packet: self.packet,
            id: self.id,
            found,
        }
    }

    /// A packet that carries no payload.
    fn control(&self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        Ok(match self.packet {
            PacketType::HELLO => {
                let (hello, words) = self.read::<layout::Hello>(bytes)?;
                Packet::Hello(read_hello(hello, words))
            }
            PacketType::DEVICE_CONNECT => self.device_connect(bytes)?,
            PacketType::DEVICE_DISCONNECT => Packet::DeviceDisconnect,
            PacketType::RESET => Packet::Reset,
            PacketType::INTERFACE_INFO => self.interface_info(bytes)?,
            PacketType::EP_INFO => self.endpoint_info(bytes)?,
            PacketType::SET_CONFIGURATION => Packet::SetConfiguration {
                value: self.byte(bytes)?,
            },
            PacketType::GET_CONFIGURATION => Packet::GetConfiguration,
            PacketType::CONFIGURATION_STATUS => {
                let (body, _) = self.read::<layout::ConfigurationStatus>(bytes)?;
                Packet::ConfigurationStatus {
                    status: StatusCode(body.status),
                    value: body.value,
                }
            }
            PacketType::SET_ALT_SETTING => {
                let (body, _) = self.read::<layout::SetAltSetting>(bytes)?;
                Packet::SetAltSetting {
                    interface: body.interface,
                    alternate: body.alternate,
                }
            }
            PacketType::GET_ALT_SETTING => Packet::GetAltSetting {
                interface: self.byte(bytes)?,
            },
            PacketType::ALT_SETTING_STATUS => {
                let (body, _) = self.read::<layout::AltSettingStatus>(bytes)?;
                Packet::AltSettingStatus {
                    status: StatusCode(body.status),
                    interface: body.interface,
                    alternate: body.alternate,
                }
            }
            PacketType::CANCEL_DATA_PACKET => Packet::CancelDataPacket,
            PacketType::FILTER_REJECT => Packet::FilterReject,
            PacketType::FILTER_FILTER => match bytes.split_last() {
                Some((0, rules)) => Packet::FilterFilter(Bytes::copy_from_slice(rules)),
                _ => return Err(ProtocolError::Filter),
            },
            PacketType::DEVICE_DISCONNECT_ACK => Packet::DeviceDisconnectAck,
            _ => self.stream(bytes)?,
        })
    }

    /// A packet about a stream of any kind.
    fn stream(&self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        Ok(match self.packet {
            PacketType::START_ISO_STREAM => {
                let (body, _) = self.read::<layout::StartIsoStream>(bytes)?;
                Packet::StartIsoStream {
                    endpoint: EndpointAddress::from_byte(body.endpoint),
                    packets_per_transfer: body.packets,
                    transfers: body.transfers,
                }
            }
            PacketType::STOP_ISO_STREAM => Packet::StopIsoStream {
                endpoint: EndpointAddress::from_byte(self.byte(bytes)?),
            },
            PacketType::ISO_STREAM_STATUS => {
                let (body, _) = self.read::<layout::EndpointStatus>(bytes)?;
                Packet::IsoStreamStatus {
                    status: StatusCode(body.status),
                    endpoint: EndpointAddress::from_byte(body.endpoint),
                }
            }
            PacketType::START_INTERRUPT_RECEIVING => Packet::StartInterruptReceiving {
                endpoint: self.endpoint_in(self.byte(bytes)?)?,
            },
            PacketType::STOP_INTERRUPT_RECEIVING => Packet::StopInterruptReceiving {
                endpoint: self.endpoint_in(self.byte(bytes)?)?,
            },
            PacketType::INTERRUPT_RECEIVING_STATUS => {
                let (body, _) = self.read::<layout::EndpointStatus>(bytes)?;
                Packet::InterruptReceivingStatus {
                    status: StatusCode(body.status),
                    endpoint: self.endpoint_in(body.endpoint)?,
                }
            }
            PacketType::ALLOC_BULK_STREAMS => {
                let (body, _) = self.read::<layout::AllocBulkStreams>(bytes)?;
                Packet::AllocBulkStreams {
                    endpoints: body.endpoints.get(),
                    count: body.count.get(),
                }
            }
            PacketType::FREE_BULK_STREAMS => {
                let (body, _) = self.read::<layout::FreeBulkStreams>(bytes)?;
                Packet::FreeBulkStreams {
                    endpoints: body.endpoints.get(),
                }
            }
            PacketType::BULK_STREAMS_STATUS => {
                let (body, _) = self.read::<layout::BulkStreamsStatus>(bytes)?;
                Packet::BulkStreamsStatus {
                    endpoints: body.endpoints.get(),
                    count: body.count.get(),
                    status: StatusCode(body.status),
                }
            }
            PacketType::START_BULK_RECEIVING => {
                let (body, _) = self.read::<layout::StartBulkReceiving>(bytes)?;
                let bytes_per_transfer = body.bytes.get();
                self.check_transfer(bytes_per_transfer)?;
                Packet::StartBulkReceiving {
                    stream: body.stream.get(),
                    bytes_per_transfer,
                    endpoint: self.endpoint_in(body.endpoint)?,
                    transfers: body.transfers,
                }
            }
            PacketType::STOP_BULK_RECEIVING => {
                let (body, _) = self.read::<layout::StopBulkReceiving>(bytes)?;
                Packet::StopBulkReceiving {
                    stream: body.stream.get(),
                    endpoint: self.endpoint_in(body.endpoint)?,
                }
            }
            PacketType::BULK_RECEIVING_STATUS => {
                let (body, _) = self.read::<layout::BulkReceivingStatus>(bytes)?;
                Packet::BulkReceivingStatus {
                    stream: body.stream.get(),
                    endpoint: self.endpoint_in(body.endpoint)?,
                    status: StatusCode(body.status),
                }
            }
            found => {
                let sender = self.codec.role.peer().name();
                return Err(ProtocolError::Type { found, sender });
            }
        })
    }

    fn byte(&self, bytes: &[u8]) -> Result<u8, ProtocolError> {
        Ok(self.read::<layout::Byte>(bytes)?.0.value)
    }

    fn device_connect(&self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, rest) = self.read::<layout::DeviceConnect>(bytes)?;
        let release = if rest.is_empty() {
            None
        } else {
            Some(Bcd(self
                .read::<layout::DeviceVersion>(rest)?
                .0
                .release
                .get()))
        };
        Ok(Packet::DeviceConnect(DeviceConnect {
            speed: SpeedCode(body.speed),
            class: ClassCode::new(body.class, body.subclass, body.protocol),
            vendor_id: body.vendor.get(),
            product_id: body.product.get(),
            release,
        }))
    }

    fn interface_info(&self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, _) = self.read::<layout::InterfaceInfo>(bytes)?;
        let found = body.count.get();
        let count = usize::try_from(found).unwrap_or(usize::MAX);
        if count > layout::ROWS {
            return Err(ProtocolError::Interfaces { found });
        }
        let classes = body.class.iter().zip(&body.subclass).zip(&body.protocol);
        let rows = body.number.iter().zip(classes).take(count);
        let rows = rows.map(|(number, ((class, subclass), protocol))| InterfaceEntry {
            number: *number,
            class: ClassCode::new(*class, *subclass, *protocol),
        });
        Ok(Packet::InterfaceInfo(rows.collect()))
    }

    fn endpoint_info(&self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, rest) = self.read::<layout::EndpointInfo>(bytes)?;
        let mut info = EndpointInfo::default();
        let columns = body
            .transfer_type
            .iter()
            .zip(&body.interval)
            .zip(&body.interface);
        for (entry, ((transfer_type, interval), interface)) in info.iter_mut().zip(columns) {
            entry.transfer_type = EndpointTypeCode(*transfer_type);
            entry.interval = *interval;
            entry.interface = *interface;
        }
        if !rest.is_empty() {
            let (sizes, rest) = self.read::<layout::EndpointSizes>(rest)?;
            for (entry, size) in info.iter_mut().zip(&sizes.max_packet_size) {
                entry.max_packet_size = size.get();
            }
            if !rest.is_empty() {
                let (streams, _) = self.read::<layout::EndpointStreams>(rest)?;
                for (entry, most) in info.iter_mut().zip(&streams.max_streams) {
                    entry.max_streams = most.get();
                }
            }
        }
        Ok(Packet::EndpointInfo(info))
    }

    /// A packet that may carry a payload, which is taken by reference.
    fn data_packet(&mut self, rx: &mut BytesMut) -> Result<Packet, ProtocolError> {
        let bytes = rx.get(self.width..).unwrap_or(&[]);
        match self.packet {
            PacketType::CONTROL_PACKET => {
                let (body, _) = self.read::<layout::Control>(bytes)?;
                let endpoint = EndpointAddress::from_byte(body.endpoint);
                let setup = SetupPacket {
                    request_type: RequestType(body.request_type),
                    request: body.request,
                    value: body.value.get(),
                    index: body.index.get(),
                    length: body.length.get(),
                };
                let status = StatusCode(body.status);
                let data = self.take_data(rx, endpoint, setup.length.into())?;
                Ok(Packet::Control {
                    endpoint,
                    setup,
                    status,
                    data,
                })
            }
            PacketType::BULK_PACKET => {
                let (body, rest) = self.read::<layout::Bulk>(bytes)?;
                let mut length = u32::from(body.length.get());
                if self.codec.has(Capabilities::BULK_LENGTH_32_BITS) {
                    let (more, _) = self.read::<layout::BulkLength>(rest)?;
                    length |= u32::from(more.high.get()) << 16;
                }
                let endpoint = EndpointAddress::from_byte(body.endpoint);
                let (status, stream) = (StatusCode(body.status), body.stream.get());
                self.check_transfer(length)?;
                let data = self.take_data(rx, endpoint, length)?;
                Ok(Packet::Bulk {
                    endpoint,
                    status,
                    stream,
                    length,
                    data,
                })
            }
            PacketType::BUFFERED_BULK_PACKET => {
                let (body, _) = self.read::<layout::BufferedBulk>(bytes)?;
                let endpoint = self.endpoint_in(body.endpoint)?;
                let (stream, length) = (body.stream.get(), body.length.get());
                let status = StatusCode(body.status);
                let data = self.take_data(rx, endpoint, length)?;
                Ok(Packet::BufferedBulk {
                    stream,
                    endpoint,
                    status,
                    length,
                    data,
                })
            }
            _ => self.periodic_packet(rx),
        }
    }

    fn periodic_packet(&mut self, rx: &mut BytesMut) -> Result<Packet, ProtocolError> {
        let bytes = rx.get(self.width..).unwrap_or(&[]);
        let (body, _) = self.read::<layout::Packet>(bytes)?;
        let endpoint = EndpointAddress::from_byte(body.endpoint);
        let (status, length) = (StatusCode(body.status), body.length.get());
        let is_iso = self.packet == PacketType::ISO_PACKET;
        // Isochronous packets go only the way of data; so do those of interrupt IN endpoints.
        let is_reply_in = endpoint.direction() == Direction::In;
        if (is_iso || is_reply_in) && !self.carries_data(endpoint) {
            return Err(self.direction(body.endpoint));
        }
        let data = self.take_data(rx, endpoint, length.into())?;
        Ok(if is_iso {
            Packet::Iso {
                endpoint,
                status,
                length,
                data,
            }
        } else {
            Packet::Interrupt {
                endpoint,
                status,
                length,
                data,
            }
        })
    }

    fn check_transfer(&self, found: u32) -> Result<(), ProtocolError> {
        let limit = self.codec.limits.max_transfer;
        if found <= limit {
            return Ok(());
        }
        Err(ProtocolError::Transfer {
            packet: self.packet,
            id: self.id,
            found,
            limit,
        })
    }

    fn carries_data(&self, endpoint: EndpointAddress) -> bool {
        endpoint.direction() == self.codec.role.peer().sends()
    }

    /// Takes the whole packet, and gives its data, if its direction has data.
    fn take_data(
        &self,
        rx: &mut BytesMut,
        endpoint: EndpointAddress,
        length: u32,
    ) -> Result<Segments, ProtocolError> {
        let fixed = self.codec.fixed_length(self.packet);
        let found = self.length.saturating_sub(fixed);
        let stated = if self.carries_data(endpoint) {
            length
        } else {
            0
        };
        if found != stated {
            return Err(ProtocolError::Data {
                packet: self.packet,
                id: self.id,
                stated,
                found,
            });
        }
        let before = self.width.saturating_add(fixed as usize);
        Ok(ReadAhead::take_payload(rx, before, found as usize).into())
    }
}

fn read_hello(hello: &layout::Hello, words: &[u8]) -> Hello {
    let text = hello.version.split(|byte| *byte == 0).next();
    let first = words.first_chunk::<4>();
    Hello {
        version: String::from_utf8_lossy(text.unwrap_or_default()).into_owned(),
        capabilities: first.map_or(Capabilities::NONE, |word| {
            Capabilities::from_bits(u32::from_le_bytes(*word))
        }),
    }
}
