//! Isochronous packets, as USB/IP has them and as usbfs does.

use bytes::{Bytes, BytesMut};
use usb_transfer::{IsoPacket, Segments};

use super::super::kernel::Packet;

/// Bytes of all packets.
pub(super) fn total(packets: &[IsoPacket]) -> Option<usize> {
    let mut lengths = packets.iter().map(|packet| packet.length as usize);
    lengths.try_fold(0, usize::checked_add)
}

/// Packets one after the other, as usbfs has them. `None`: one lies outside the data,
/// or they overlap.
pub(super) fn packed(data: &Bytes, packets: &[IsoPacket]) -> Option<Bytes> {
    let range = |packet: &IsoPacket| {
        let start = packet.offset as usize;
        let end = start.checked_add(packet.length as usize)?;
        (end <= data.len()).then_some(start..end)
    };
    let mut joined = range(packets.first()?)?;
    for packet in packets.iter().skip(1) {
        let range = range(packet)?;
        if range.start == joined.end {
            joined.end = range.end;
            continue;
        }
        // There are gaps: a copy without them.
        let length = total(packets).filter(|&length| length <= data.len())?;
        let mut copy = BytesMut::with_capacity(length);
        for packet in packets {
            let start = packet.offset as usize;
            copy.extend_from_slice(data.get(start..start + packet.length as usize)?);
        }
        return Some(copy.freeze());
    }
    Some(data.slice(joined))
}

/// What came, without the gaps that short packets leave.
pub(super) fn compacted(data: &Bytes, packets: &[Packet]) -> Segments {
    let mut compact = Segments::new();
    let mut run = 0..0;
    let mut offset = 0;
    for packet in packets {
        let actual = packet.actual.min(packet.length) as usize;
        if offset == run.end {
            run.end += actual;
        } else {
            compact.push(data.slice(run.clone()));
            run = offset..offset + actual;
        }
        offset += packet.length as usize;
    }
    compact.push(data.slice(run));
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(length: u32, actual: u32) -> Packet {
        Packet {
            length,
            actual,
            status: 0,
        }
    }

    #[test]
    fn short_packets_leave_no_gaps() {
        let data = Bytes::from_static(b"aabb..cc.");
        let packets = [packet(4, 4), packet(2, 0), packet(3, 2)];
        let compact = compacted(&data, &packets);
        assert_eq!(compact, Bytes::from_static(b"aabbcc"));
        // Full packets stay in one piece, where they are.
        let whole = compacted(&data, &[packet(4, 4), packet(5, 5)]);
        assert_eq!(whole.iter().count(), 1);
        assert_eq!(whole.iter().next().unwrap().as_ptr(), data.as_ptr());
    }

    #[test]
    fn gaps_are_not_sent() {
        let data = Bytes::from_static(b"..aabb..cc");
        let adjacent = [IsoPacket::new(2, 2), IsoPacket::new(4, 2)];
        let sent = packed(&data, &adjacent).unwrap();
        assert_eq!(sent, "aabb");
        assert_eq!(sent.as_ptr(), data[2..].as_ptr());
        let apart = [IsoPacket::new(4, 2), IsoPacket::new(8, 2)];
        assert_eq!(packed(&data, &apart).unwrap(), "bbcc");
        assert_eq!(packed(&data, &[IsoPacket::new(8, 3)]), None);
        assert_eq!(packed(&data, &[IsoPacket::new(u32::MAX, 1)]), None);
    }
}
