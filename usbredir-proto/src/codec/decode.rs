//! Bytes to packets.

use core::num::NonZeroUsize;

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::Segments;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::ProtocolError;
use crate::codec::data::Bulk;
use crate::codec::{Codec, Packet, PacketType, StatusCode};
use crate::wire::{Header, layout};

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

impl Codec {
    /// Takes the next packet from the front of `rx`.
    ///
    /// The peer's first hello settles the layouts; another changes nothing.
    ///
    /// # Errors
    /// The packet is not one that this peer may send now. `rx` has still all of it: without knowing
    /// what it means there is no going on.
    #[inline(always)]
    pub fn decode(&mut self, rx: &mut BytesMut) -> Result<Decoded, ProtocolError> {
        // Inlined is only what builds one variant of the result. Where several are built in one
        // place, those that have bytes where others have words make all go byte by byte.
        let Some((id, (endpoint, status, stream, length), data)) = self.decode_bulk(rx) else {
            return match self.decode_any(rx) {
                Ok((id, packet)) => Ok(Decoded::Packet { id, packet }),
                Err(Stop::Missing(missing)) => Ok(Decoded::Missing(missing)),
                Err(Stop::Error(error)) => Err(error),
            };
        };
        let packet = Packet::Bulk {
            endpoint,
            status,
            stream,
            length,
            data,
        };
        Ok(Decoded::Packet { id, packet })
    }

    /// A bulk packet that is all there and without fault: what a connection is busy with.
    #[inline(always)]
    fn decode_bulk(&mut self, rx: &mut BytesMut) -> Option<(u64, Bulk, Segments)> {
        let (header, body) = self.width.parse(rx)?;
        let Header {
            packet_type,
            length,
            id,
        } = header;
        if packet_type != PacketType::BULK_PACKET || body.len() < length as usize {
            return None;
        }
        let (fixed, more) = self.terms.received(packet_type, length)?;
        let reader = Reader {
            codec: self,
            packet: packet_type,
            id,
            fixed,
            more,
        };
        let bulk = reader.bulk(body).ok()?;
        let total = self.width.length().saturating_add(length as usize);
        self.read_ahead.record(total, rx);
        Some((id, bulk, self.take(rx, fixed, more)))
    }

    /// What is there, whatever it is.
    #[inline(never)]
    fn decode_any(&mut self, rx: &mut BytesMut) -> Result<(u64, Packet), Stop> {
        let width = self.width.length();
        let Some((header, body)) = self.width.parse(rx) else {
            return Err(Stop::Missing(self.missing(rx, width)));
        };
        let Header {
            packet_type,
            length,
            id,
        } = header;
        let Some((fixed, more)) = self.terms.received(packet_type, length) else {
            return Err(Stop::Error(self.refusal(packet_type, length, id)));
        };
        // Within 32 bits and the limits.
        let total = width.saturating_add(length as usize);
        let Some(body) = body.get(..length as usize) else {
            return Err(Stop::Missing(self.missing(rx, total)));
        };
        self.read_ahead.record(total, rx);
        let reader = Reader {
            codec: self,
            packet: packet_type,
            id,
            fixed,
            more,
        };
        if packet_type.is_data() {
            let packet = reader.data(rx)?;
            return Ok((id, packet));
        }
        let packet = reader.control(body)?;
        rx.advance(total);
        if let (Packet::Hello(hello), None) = (&packet, self.negotiated) {
            self.meet(hello.capabilities);
        }
        Ok((id, packet))
    }

    /// Makes room for what is missing.
    #[inline(never)]
    fn missing(&mut self, rx: &mut BytesMut, total: usize) -> NonZeroUsize {
        let missing = total.saturating_sub(rx.len());
        let missing = NonZeroUsize::new(missing).unwrap_or(NonZeroUsize::MIN);
        self.read_ahead.make_room(rx, self.width.length(), missing);
        missing
    }

    /// Why this peer may not send it now, or not so long.
    #[cold]
    #[inline(never)]
    fn refusal(&self, found: PacketType, length: u32, id: u64) -> ProtocolError {
        let sender = self.role.peer();
        if !found.is_sent_by(sender) {
            let sender = sender.name();
            return ProtocolError::Type { found, sender };
        }
        if self.negotiated.is_none() && found != PacketType::HELLO {
            return ProtocolError::NoHello { found };
        }
        match self.terms.lengths(found) {
            None => ProtocolError::Capability { found },
            Some((least, most)) => ProtocolError::Length {
                packet: found,
                id,
                found: length,
                least,
                most,
            },
        }
    }
}

/// Why there is no packet.
enum Stop {
    Missing(NonZeroUsize),
    Error(ProtocolError),
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Error(error)
    }
}

/// A packet being read: all of it is there, and as long as its type may be.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) codec: &'a Codec,
    pub(super) packet: PacketType,
    pub(super) id: u64,
    /// Bytes behind the header that each packet of its type has.
    pub(super) fixed: u32,
    /// Bytes behind those.
    pub(super) more: u32,
}

impl Reader<'_> {
    /// Not as long as its type; lengths were checked, so this does not happen.
    #[inline(always)]
    fn too_short(self) -> ProtocolError {
        ProtocolError::Length {
            packet: self.packet,
            id: self.id,
            found: self.fixed.saturating_add(self.more),
            least: self.fixed,
            most: self.fixed,
        }
    }

    #[inline(always)]
    pub(super) fn read<T>(self, bytes: &[u8]) -> Result<(&T, &[u8]), ProtocolError>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        T::ref_from_prefix(bytes).map_err(|_| self.too_short())
    }

    #[inline(always)]
    pub(super) fn endpoint_in(self, found: u8) -> Result<EndpointAddress, ProtocolError> {
        let endpoint = EndpointAddress::from_byte(found);
        if endpoint.direction() == Direction::In {
            return Ok(endpoint);
        }
        Err(self.direction(found))
    }

    #[inline(always)]
    pub(super) const fn direction(self, found: u8) -> ProtocolError {
        ProtocolError::Direction {
            packet: self.packet,
            id: self.id,
            found,
        }
    }

    /// A packet that carries no payload.
    fn control(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        Ok(match self.packet {
            PacketType::HELLO => self.hello(bytes)?,
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
    fn stream(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
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

    fn byte(self, bytes: &[u8]) -> Result<u8, ProtocolError> {
        Ok(self.read::<layout::Byte>(bytes)?.0.value)
    }

    #[inline(always)]
    pub(super) fn check_transfer(self, found: u32) -> Result<(), ProtocolError> {
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
}
