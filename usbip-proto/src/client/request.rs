//! The requests that a server has to answer, and its answers.

use alloc::vec::Vec;

use usb_descriptors::Direction;
use usb_transfer::{Completion, IsoPacket, Status, TransferId};

use crate::ProtocolError;
use crate::wire::iso;
use crate::wire::urb::Header;

/// What reading the reply to a request needs to know: replies carry no direction.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) seqnum: u32,
    /// `None`: the session's own request, whose reply is nobody's.
    pub(super) id: Option<TransferId>,
    pub(super) direction: Direction,
    pub(super) length: u32,
    pub(super) packets: Vec<IsoPacket>,
    /// Where its header ends in what was ever queued.
    pub(super) header_end: u64,
    pub(super) unlink: Option<Unlink>,
}

/// A request to end another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unlink {
    pub(super) seqnum: u32,
    /// As of a [`Request`].
    pub(super) header_end: u64,
}

impl Request {
    pub(super) fn fail(&self, status: Status) -> Option<Completion> {
        let packets = self.packets.iter().map(|packet| IsoPacket {
            actual: 0,
            status,
            ..*packet
        });
        let completion = Completion::failed(self.id?, self.direction, status);
        Some(completion.with_packets(packets.collect()))
    }

    /// The numbers that it uses.
    pub(super) fn seqnums(&self) -> impl Iterator<Item = u32> {
        let unlink = self.unlink.map(|unlink| unlink.seqnum);
        core::iter::once(self.seqnum).chain(unlink)
    }

    /// Takes what became of the packets; offsets and lengths must come back as they were sent.
    pub(super) fn take_packets(&mut self, bytes: &[u8], actual: u32) -> Result<(), ProtocolError> {
        if self.packets.is_empty() {
            return Ok(());
        }
        let seqnum = self.seqnum;
        let mut sum: u64 = 0;
        for (index, (ours, theirs)) in self.packets.iter_mut().zip(iso::parse(bytes)).enumerate() {
            if (ours.offset, ours.length) != (theirs.offset, theirs.length) {
                return Err(ProtocolError::OtherPacket {
                    seqnum,
                    index,
                    offset: theirs.offset,
                    length: theirs.length,
                    expected_offset: ours.offset,
                    expected_length: ours.length,
                });
            }
            let (found, limit) = (theirs.actual, ours.length);
            if found > limit {
                return Err(ProtocolError::PacketActual {
                    seqnum,
                    index,
                    found,
                    limit,
                });
            }
            sum = sum.saturating_add(u64::from(theirs.actual));
            *ours = theirs;
        }
        if sum != u64::from(actual) {
            return Err(ProtocolError::PacketSum {
                seqnum,
                found: sum,
                expected: actual,
            });
        }
        Ok(())
    }
}

/// A checked RET_SUBMIT header.
pub(super) struct Reply {
    pub(super) status: Status,
    /// Bytes moved, at most what was asked for.
    pub(super) actual: u32,
    /// Bytes that follow: those moved IN.
    pub(super) payload: u32,
    pub(super) packets: usize,
}

impl Reply {
    pub(super) fn parse(header: &Header, request: &Request) -> Result<Self, ProtocolError> {
        let seqnum = request.seqnum;
        let (found, limit) = (header.length.get(), request.length);
        let actual = u32::try_from(found).ok().filter(|actual| *actual <= limit);
        let actual = actual.ok_or(ProtocolError::Length {
            seqnum,
            field: "actual_length",
            found,
            limit,
        })?;
        let (found, packets) = (header.packet_count(), request.packets.len());
        if usize::try_from(found).ok() != Some(packets) {
            let expected = u32::try_from(packets).unwrap_or(u32::MAX);
            return Err(ProtocolError::OtherPacketCount {
                seqnum,
                found,
                expected,
            });
        }
        let payload = match request.direction {
            Direction::Out => 0,
            Direction::In => actual,
        };
        Ok(Self {
            status: header.status(),
            actual,
            payload,
            packets,
        })
    }

    pub(super) const fn message_length(&self) -> usize {
        let packets = self.packets.saturating_mul(iso::LENGTH);
        Header::LENGTH
            .saturating_add(self.payload as usize)
            .saturating_add(packets)
    }
}
