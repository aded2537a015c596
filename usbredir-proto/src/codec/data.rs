//! Packets that carry payloads, 100 to 104: what a connection is busy with.

use bytes::BytesMut;
use usb_descriptors::{Direction, EndpointAddress, RequestType, SetupPacket};
use usb_transfer::{Segments, TxQueue};

use zerocopy::{Immutable, IntoBytes, Unaligned};

use crate::codec::decode::Reader;
use crate::codec::encode::Writer;
use crate::codec::{Codec, Packet, PacketType, StatusCode};
use crate::wire::layout;
use crate::{Capabilities, MisuseError, ProtocolError};

/// Endpoint, status, stream and length of a bulk packet.
pub(super) type Bulk = (EndpointAddress, StatusCode, u32, u32);

impl Reader<'_> {
    /// Reads the fixed part of a bulk packet.
    #[inline(always)]
    pub(super) fn bulk(self, bytes: &[u8]) -> Result<Bulk, ProtocolError> {
        let is_long = self.fixed as usize == size_of::<layout::LongBulk>();
        let (body, length) = if is_long {
            let (long, _) = self.read::<layout::LongBulk>(bytes)?;
            (&long.bulk, u32::from(long.length_high.get()) << 16)
        } else {
            (self.read::<layout::Bulk>(bytes)?.0, 0)
        };
        let length = length | u32::from(body.length.get());
        let endpoint = EndpointAddress::from_byte(body.endpoint);
        let (status, stream) = (StatusCode(body.status), body.stream.get());
        self.check_transfer(length)?;
        self.check_data(endpoint, length)?;
        Ok((endpoint, status, stream, length))
    }

    /// Reads a packet and takes it.
    pub(super) fn data(self, rx: &mut BytesMut) -> Result<Packet, ProtocolError> {
        let bytes = rx.get(self.codec.width.length()..).unwrap_or(&[]);
        Ok(match self.packet {
            PacketType::BULK_PACKET => {
                let (endpoint, status, stream, length) = self.bulk(bytes)?;
                Packet::Bulk {
                    endpoint,
                    status,
                    stream,
                    length,
                    data: self.codec.take(rx, self.fixed, self.more),
                }
            }
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
                self.check_data(endpoint, setup.length.into())?;
                Packet::Control {
                    endpoint,
                    setup,
                    status,
                    data: self.codec.take(rx, self.fixed, self.more),
                }
            }
            PacketType::BUFFERED_BULK_PACKET => {
                let (body, _) = self.read::<layout::BufferedBulk>(bytes)?;
                let endpoint = self.endpoint_in(body.endpoint)?;
                let (stream, length) = (body.stream.get(), body.length.get());
                let status = StatusCode(body.status);
                self.check_data(endpoint, length)?;
                Packet::BufferedBulk {
                    stream,
                    endpoint,
                    status,
                    length,
                    data: self.codec.take(rx, self.fixed, self.more),
                }
            }
            found => {
                let (body, _) = self.read::<layout::Packet>(bytes)?;
                let endpoint = EndpointAddress::from_byte(body.endpoint);
                let (status, length) = (StatusCode(body.status), body.length.get());
                // Isochronous packets go only the way of data; so do those of interrupt IN
                // endpoints.
                let is_iso = found == PacketType::ISO_PACKET;
                let is_in = endpoint.direction() == Direction::In;
                if (is_iso || is_in) && !self.carries_data(endpoint) {
                    return Err(self.direction(body.endpoint));
                }
                self.check_data(endpoint, length.into())?;
                let data = self.codec.take(rx, self.fixed, self.more);
                if is_iso {
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
                }
            }
        })
    }

    #[inline(always)]
    fn carries_data(self, endpoint: EndpointAddress) -> bool {
        endpoint.direction() == self.codec.role.peer().sends()
    }

    /// Behind the fixed part is as much data as is stated, if the direction has data.
    #[inline(always)]
    fn check_data(self, endpoint: EndpointAddress, length: u32) -> Result<(), ProtocolError> {
        let stated = if self.carries_data(endpoint) {
            length
        } else {
            0
        };
        if stated == self.more {
            Ok(())
        } else {
            Err(self.misstated(stated))
        }
    }

    #[inline(always)]
    const fn misstated(self, stated: u32) -> ProtocolError {
        ProtocolError::Data {
            packet: self.packet,
            id: self.id,
            stated,
            found: self.more,
        }
    }
}

impl Codec {
    /// Takes a whole packet, and gives the data behind its fixed part.
    #[inline(always)]
    pub(super) fn take(&self, rx: &mut BytesMut, fixed: u32, more: u32) -> Segments {
        let before = self.width.length().saturating_add(fixed as usize);
        let payload = self
            .read_ahead
            .take_payload(rx, before, more as usize, self.held);
        payload.into()
    }

    /// Queues a packet, with its data by reference where that is not small.
    #[inline(always)]
    pub(super) fn encode_data(
        &self,
        id: u64,
        packet: Packet,
        tx: &mut TxQueue,
    ) -> Result<(), MisuseError> {
        match packet {
            Packet::Bulk {
                endpoint,
                status,
                stream,
                length,
                data,
            } => {
                let writer = self.writer(PacketType::BULK_PACKET, id)?;
                writer.check_data(endpoint, length, &data)?;
                let is_long = self.has(Capabilities::BULK_LENGTH_32_BITS);
                let [low, high] = [length & 0xffff, length >> 16].map(u16::try_from);
                let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
                if !is_long && high != 0 || length > self.limits.max_transfer {
                    return Err(writer.misfit("length"));
                }
                let bulk = layout::Bulk {
                    endpoint: endpoint.to_byte(),
                    status: status.0,
                    length: low.into(),
                    stream: stream.into(),
                };
                if is_long {
                    let length_high = high.into();
                    writer.put_data(layout::LongBulk { bulk, length_high }, data, tx);
                } else {
                    writer.put_data(bulk, data, tx);
                }
            }
            Packet::Control {
                endpoint,
                setup,
                status,
                data,
            } => {
                let writer = self.writer(PacketType::CONTROL_PACKET, id)?;
                writer.check_data(endpoint, setup.length.into(), &data)?;
                let body = layout::Control {
                    endpoint: endpoint.to_byte(),
                    request: setup.request,
                    request_type: setup.request_type.0,
                    status: status.0,
                    value: setup.value.into(),
                    index: setup.index.into(),
                    length: setup.length.into(),
                };
                writer.put_data(body, data, tx);
            }
            Packet::Iso {
                endpoint,
                status,
                length,
                data,
            } => {
                let writer = self.writer(PacketType::ISO_PACKET, id)?;
                writer.periodic(endpoint, status, length, data, tx)?;
            }
            Packet::Interrupt {
                endpoint,
                status,
                length,
                data,
            } => {
                let writer = self.writer(PacketType::INTERRUPT_PACKET, id)?;
                writer.periodic(endpoint, status, length, data, tx)?;
            }
            Packet::BufferedBulk {
                stream,
                endpoint,
                status,
                length,
                data,
            } => {
                let writer = self.writer(PacketType::BUFFERED_BULK_PACKET, id)?;
                writer.endpoint_in(endpoint)?;
                writer.check_data(endpoint, length, &data)?;
                if length > self.limits.max_transfer {
                    return Err(writer.misfit("length"));
                }
                let body = layout::BufferedBulk {
                    stream: stream.into(),
                    length: length.into(),
                    endpoint: endpoint.to_byte(),
                    status: status.0,
                };
                writer.put_data(body, data, tx);
            }
            other => return self.encode_control(id, other, tx),
        }
        Ok(())
    }
}

impl Writer<'_> {
    #[inline(always)]
    fn put_data<T>(self, fixed: T, data: Segments, tx: &mut TxQueue)
    where
        T: IntoBytes + Immutable + Unaligned,
    {
        self.put(fixed, data.len(), tx);
        tx.put_segments(data);
    }

    #[inline(always)]
    fn periodic(
        self,
        endpoint: EndpointAddress,
        status: StatusCode,
        length: u16,
        data: Segments,
        tx: &mut TxQueue,
    ) -> Result<(), MisuseError> {
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
        self.put_data(body, data, tx);
        Ok(())
    }

    /// The way of data, there is as much as is stated; the other way, none.
    #[inline(always)]
    fn check_data(
        self,
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
