//! What a client asks of the device.

use alloc::vec::Vec;

use bytes::BytesMut;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket, Speed, feature, request};
use usb_transfer::{Flags, IsoPacket};

use crate::wire::urb::{self, Header};
use crate::wire::{iso, skip};
use crate::{Limits, ProtocolError};

/// A checked CMD_SUBMIT header.
#[derive(Debug)]
pub(super) struct Submit {
    pub(super) seqnum: u32,
    pub(super) endpoint: EndpointAddress,
    pub(super) direction: Direction,
    /// Bytes of the buffer, at most `Limits::max_transfer`.
    pub(super) length: u32,
    /// At most `Limits::max_iso_packets`; 0 on the control endpoint.
    pub(super) packets: u32,
    flags: u32,
    raw_interval: u32,
    pub(super) setup: [u8; 8],
}

/// Requests that a host's USB stack acts on, rather than the device.
pub(super) enum HostRequest {
    SetAddress,
    PortReset,
}

impl HostRequest {
    pub(super) fn of(setup: SetupPacket) -> Option<Self> {
        // `bmRequestType` 0x23: class, to a port (USB 2.0, 11.24.2.13).
        match (setup.effective_type().0, setup.request) {
            (0x00, request::SET_ADDRESS) => Some(Self::SetAddress),
            (0x23, request::SET_FEATURE) if setup.value == feature::PORT_RESET => {
                Some(Self::PortReset)
            }
            _ => None,
        }
    }
}

impl Submit {
    pub(super) fn parse(header: &Header, limits: &Limits) -> Result<Self, ProtocolError> {
        let seqnum = header.seqnum.get();
        let direction = match header.direction.get() {
            urb::DIRECTION_OUT => Direction::Out,
            urb::DIRECTION_IN => Direction::In,
            found => return Err(ProtocolError::Direction { seqnum, found }),
        };
        let found = header.endpoint.get();
        let number = u8::try_from(found).ok();
        let endpoint = number.and_then(|number| EndpointAddress::new(number, direction));
        let endpoint = endpoint.ok_or(ProtocolError::Endpoint { seqnum, found })?;
        let found = header.length.get();
        let limit = limits.max_transfer;
        let length = u32::try_from(found)
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(ProtocolError::Length {
                seqnum,
                field: "transfer_buffer_length",
                found,
                limit,
            })?;
        let packets = match header.packet_count() {
            0 => 0,
            found => Self::packets(seqnum, endpoint, found, limits)?,
        };
        Ok(Self {
            seqnum,
            endpoint,
            direction,
            length,
            packets,
            flags: header.word.get(),
            raw_interval: u32::try_from(header.interval.get()).unwrap_or(0),
            setup: header.setup,
        })
    }

    /// The number of packets of what is not just data.
    #[inline(never)]
    fn packets(
        seqnum: u32,
        endpoint: EndpointAddress,
        found: i32,
        limits: &Limits,
    ) -> Result<u32, ProtocolError> {
        let limit = if endpoint.is_control() {
            0
        } else {
            limits.max_iso_packets
        };
        let packets = u32::try_from(found).ok();
        let packets = packets.filter(|packets| *packets <= limit);
        packets.ok_or(ProtocolError::PacketCount {
            seqnum,
            found,
            limit,
        })
    }

    pub(super) const fn buffer(&self) -> usize {
        self.length as usize
    }

    /// Header, payload and packets; cannot overflow within the limits.
    pub(super) const fn message_length(&self) -> usize {
        let packets = (self.packets as usize).saturating_mul(iso::LENGTH);
        self.packets_at().saturating_add(packets)
    }

    /// Where the packets begin: behind header and payload.
    pub(super) const fn packets_at(&self) -> usize {
        let payload = match self.direction {
            Direction::Out => self.buffer(),
            Direction::In => 0,
        };
        Header::LENGTH.saturating_add(payload)
    }

    /// Takes the packets, which follow the payload. What they say of status and bytes moved is
    /// the client's state, not a request.
    pub(super) fn take_packets(
        &self,
        rx: &mut BytesMut,
        packets: &mut Vec<IsoPacket>,
    ) -> Result<(), ProtocolError> {
        let (seqnum, length) = (
            self.seqnum,
            (self.packets as usize).saturating_mul(iso::LENGTH),
        );
        packets.reserve(self.packets as usize);
        let mut sum: u64 = 0;
        for (index, packet) in iso::parse(rx.get(..length).unwrap_or(&[])).enumerate() {
            let end = u64::from(packet.offset).saturating_add(u64::from(packet.length));
            if end > u64::from(self.length) {
                let IsoPacket { offset, length, .. } = packet;
                return Err(ProtocolError::Packet {
                    seqnum,
                    index,
                    offset,
                    length,
                    limit: self.length,
                });
            }
            sum = sum.saturating_add(u64::from(packet.length));
            packets.push(IsoPacket::new(packet.offset, packet.length));
        }
        if sum > u64::from(self.length) {
            return Err(ProtocolError::PacketSum {
                seqnum,
                found: sum,
                expected: self.length,
            });
        }
        skip(rx, length);
        Ok(())
    }

    pub(super) const fn is_control(&self) -> bool {
        self.endpoint.is_control()
    }

    fn short_not_ok(&self) -> bool {
        self.flags & urb::SHORT_NOT_OK != 0 && self.packets == 0 && self.direction == Direction::In
    }

    #[inline(always)]
    pub(super) fn flags(&self) -> Flags {
        if self.flags & (urb::SHORT_NOT_OK | urb::ZERO_PACKET | urb::ISO_ASAP) == 0 {
            return Flags::default();
        }
        Flags {
            short_not_ok: self.short_not_ok(),
            zero_packet: self.flags & urb::ZERO_PACKET != 0
                && self.direction == Direction::Out
                && self.packets == 0
                && !self.is_control(),
            iso_asap: self.flags & urb::ISO_ASAP != 0 && self.packets > 0,
        }
    }

    /// In 125 µs: the field counts frames of 1 ms up to full speed (`urb->interval`). What is
    /// isochronous has one, whatever the client says; what else is periodic, only the endpoint
    /// knows.
    pub(super) fn interval(&self, speed: Speed) -> u32 {
        let interval = if self.packets > 0 {
            self.raw_interval.max(1)
        } else {
            self.raw_interval
        };
        match speed {
            _ if self.is_control() => 0,
            Speed::Low | Speed::Full => interval.saturating_mul(8),
            _ => interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Limits {
        let mut limits = Limits::default();
        (limits.max_transfer, limits.max_iso_packets) = (u32::MAX, u32::MAX);
        limits.within_reach()
    }

    /// 16 bytes for each of 2²⁸ packets have no room in 32 bits: they are counted or refused, and
    /// never taken for few.
    #[test]
    fn the_largest_counts_do_not_overflow() {
        for count in [1, 1 << 27, 1 << 28, (1 << 28) + 1, i32::MAX] {
            let mut header = Header::cmd_submit(7, 0, urb::DIRECTION_OUT, 3);
            (header.length, header.packets) = (i32::MAX.into(), count.into());
            let total = 48 + i64::from(i32::MAX) + 16 * i64::from(count);
            match Submit::parse(&header, &open()) {
                Ok(submit) => assert_eq!(i64::try_from(submit.message_length()), Ok(total)),
                Err(error) => assert!(isize::try_from(total).is_err(), "{error}"),
            }
        }
    }

    /// The longest message has a length that a buffer can have.
    #[test]
    fn the_longest_message_has_room() {
        let limits = open();
        let packets = u64::from(limits.max_iso_packets) * 16;
        let total = 48 + u64::from(limits.max_transfer) + packets;
        assert!(isize::try_from(total).is_ok());
    }
}
