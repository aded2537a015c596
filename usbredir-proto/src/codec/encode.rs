//! Packets to bytes.

use usb_descriptors::{Direction, EndpointAddress};
use usb_transfer::TxQueue;
use zerocopy::{Immutable, IntoBytes, Unaligned};

use crate::MisuseError;
use crate::codec::{Codec, Packet, PacketType};
use crate::wire::{Header, Width, layout};

impl Codec {
    /// Queues a packet. Payloads are queued by reference, small ones as copies.
    ///
    /// # Errors
    /// The packet is not this side's to send now, or its fields contradict each other; nothing is
    /// queued.
    #[inline(always)]
    pub fn encode(&self, id: u64, packet: Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
        self.encode_data(id, packet, tx)
    }

    /// A packet that carries no payload.
    #[inline(never)]
    pub(super) fn encode_control(
        &self,
        id: u64,
        packet: Packet,
        tx: &mut TxQueue,
    ) -> Result<(), MisuseError> {
        self.writer(packet.packet_type(), id)?.control(packet, tx)
    }

    /// For what may be sent now.
    #[inline(always)]
    pub(super) fn writer(&self, packet: PacketType, id: u64) -> Result<Writer<'_>, MisuseError> {
        if !self.terms.is_sent(packet) {
            return Err(MisuseError::NotAllowed { packet });
        }
        // A hello needs no other's word.
        let width = match packet {
            PacketType::HELLO => Width::Narrow,
            _ => self.width,
        };
        let writer = Writer {
            codec: self,
            packet,
            width,
            id,
        };
        if width == Width::Narrow && u32::try_from(id).is_err() {
            return Err(writer.misfit("id"));
        }
        Ok(writer)
    }
}

/// A packet being written.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) codec: &'a Codec,
    pub(super) packet: PacketType,
    width: Width,
    id: u64,
}

impl Writer<'_> {
    #[cold]
    pub(super) const fn misfit(self, field: &'static str) -> MisuseError {
        MisuseError::Field {
            packet: self.packet,
            field,
        }
    }

    /// Header and fixed part, with so many bytes to follow.
    #[inline(always)]
    pub(super) fn put<T>(self, fixed: T, more: usize, tx: &mut TxQueue)
    where
        T: IntoBytes + Immutable + Unaligned,
    {
        // What is to follow has met its own limit.
        let length = size_of::<T>().saturating_add(more);
        let header = Header {
            packet_type: self.packet,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            id: self.id,
        };
        self.width.put(header, fixed, tx);
    }

    fn control(self, packet: Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
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
            | Packet::DeviceDisconnectAck => self.put((), 0, tx),
            Packet::SetConfiguration { value } => self.put(layout::Byte { value }, 0, tx),
            Packet::GetAltSetting { interface } => {
                self.put(layout::Byte { value: interface }, 0, tx);
            }
            Packet::ConfigurationStatus { status, value } => {
                let status = status.0;
                self.put(layout::ConfigurationStatus { status, value }, 0, tx);
            }
            Packet::SetAltSetting {
                interface,
                alternate,
            } => {
                let body = layout::SetAltSetting {
                    interface,
                    alternate,
                };
                self.put(body, 0, tx);
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
                self.put(body, 0, tx);
            }
            Packet::FilterFilter(rules) => {
                let most = usize::try_from(self.codec.limits.max_filter).unwrap_or(usize::MAX);
                if rules.contains(&0) || rules.len() > most {
                    return Err(self.misfit("rules"));
                }
                self.put((), rules.len().saturating_add(1), tx);
                tx.put(rules);
                tx.put_slice(&[0]);
            }
            _ => self.stream(&packet, tx)?,
        }
        Ok(())
    }

    pub(super) fn endpoint_in(self, endpoint: EndpointAddress) -> Result<u8, MisuseError> {
        if endpoint.direction() == Direction::In {
            return Ok(endpoint.to_byte());
        }
        Err(self.misfit("endpoint"))
    }

    fn stream(self, packet: &Packet, tx: &mut TxQueue) -> Result<(), MisuseError> {
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
                self.put(body, 0, tx);
            }
            Packet::StopIsoStream { endpoint } => {
                let value = endpoint.to_byte();
                self.put(layout::Byte { value }, 0, tx);
            }
            Packet::IsoStreamStatus { status, endpoint } => {
                let body = layout::EndpointStatus {
                    status: status.0,
                    endpoint: endpoint.to_byte(),
                };
                self.put(body, 0, tx);
            }
            Packet::StartInterruptReceiving { endpoint }
            | Packet::StopInterruptReceiving { endpoint } => {
                let value = self.endpoint_in(endpoint)?;
                self.put(layout::Byte { value }, 0, tx);
            }
            Packet::InterruptReceivingStatus { status, endpoint } => {
                let body = layout::EndpointStatus {
                    status: status.0,
                    endpoint: self.endpoint_in(endpoint)?,
                };
                self.put(body, 0, tx);
            }
            Packet::AllocBulkStreams { endpoints, count } => {
                let (endpoints, count) = (endpoints.into(), count.into());
                self.put(layout::AllocBulkStreams { endpoints, count }, 0, tx);
            }
            Packet::FreeBulkStreams { endpoints } => {
                let endpoints = endpoints.into();
                self.put(layout::FreeBulkStreams { endpoints }, 0, tx);
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
                self.put(body, 0, tx);
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
                self.put(body, 0, tx);
            }
            Packet::StopBulkReceiving { stream, endpoint } => {
                let body = layout::StopBulkReceiving {
                    stream: stream.into(),
                    endpoint: self.endpoint_in(endpoint)?,
                };
                self.put(body, 0, tx);
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
                self.put(body, 0, tx);
            }
            _ => {}
        }
        Ok(())
    }
}
