//! What became of a transfer.

use alloc::vec::Vec;

use usb_descriptors::Direction;

use crate::{IsoPacket, Segments, Status, TransferId};

/// The one answer to a [`Transfer`](crate::Transfer).
///
/// ```
/// use bytes::Bytes;
/// use usb_descriptors::EndpointAddress;
/// use usb_transfer::{Transfer, TransferIds};
/// let mut ids = TransferIds::default();
/// let transfer = Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 512);
/// let completion = transfer.complete_in(Bytes::from_static(b"short"));
/// assert!(completion.status.is_completed());
/// assert_eq!(completion.actual.len(), 5);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Which transfer.
    pub id: TransferId,
    /// How it ended as a whole.
    pub status: Status,
    /// What was moved, whatever the status.
    pub actual: Actual,
    /// How each isochronous packet ended; empty for other kinds.
    pub packets: Vec<IsoPacket>,
}

/// What a transfer moved.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "USB has two directions")]
pub enum Actual {
    /// Bytes that the device took.
    Out(u32),
    /// What the device sent. For isochronous transfers the packets' bytes one after the other,
    /// without the gaps that their offsets may leave.
    In(Segments),
}

impl Actual {
    /// Nothing, in a direction.
    #[must_use]
    pub const fn nothing(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Out(0),
            Direction::In => Self::In(Segments::new()),
        }
    }

    /// Bytes moved.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Out(taken) => usize::try_from(*taken).unwrap_or(usize::MAX),
            Self::In(data) => data.len(),
        }
    }

    /// Whether nothing was moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Completion {
    /// A completion; [`Transfer`](crate::Transfer) has shorter ways.
    #[must_use]
    pub const fn new(id: TransferId, status: Status, actual: Actual) -> Self {
        Self {
            id,
            status,
            actual,
            packets: Vec::new(),
        }
    }

    /// A completion with nothing moved, of a transfer without isochronous packets; for any, while
    /// it is at hand, [`Transfer::fail`](crate::Transfer::fail).
    #[must_use]
    pub const fn failed(id: TransferId, direction: Direction, status: Status) -> Self {
        Self::new(id, status, Actual::nothing(direction))
    }

    /// Each isochronous packet with the bytes that came IN as it: what a host puts into its buffer
    /// at the packet's offset. Without bytes where the transfer went OUT.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use usb_transfer::{Actual, Completion, IsoPacket, Segments, Status, TransferId};
    /// let packet = |offset, actual| IsoPacket { actual, ..IsoPacket::new(offset, 4) };
    /// let data = Actual::In(Segments::from(Bytes::from_static(b"abc")));
    /// let completion = Completion::new(TransferId::from_u64(0), Status::COMPLETED, data)
    ///     .with_packets(vec![packet(0, 1), packet(4, 2)]);
    /// let mut buffer = [0; 8];
    /// for (packet, data) in completion.packets_in() {
    ///     data.copy_to_slice(&mut buffer[packet.offset as usize..]);
    /// }
    /// assert_eq!(buffer, *b"a\0\0\0bc\0\0");
    /// ```
    pub fn packets_in(&self) -> impl Iterator<Item = (IsoPacket, Segments)> {
        let mut left = match &self.actual {
            Actual::In(data) => data.clone(),
            Actual::Out(_) => Segments::new(),
        };
        let packets = self.packets.iter();
        packets.map(move |packet| (*packet, left.split_to(packet.actual as usize)))
    }

    /// Adds how the isochronous packets ended.
    #[must_use]
    pub fn with_packets(mut self, packets: Vec<IsoPacket>) -> Self {
        self.packets = packets;
        self
    }
}
