//! What a host asks of a device.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket};

use crate::{Actual, Completion, Segments, Status};

/// Names one transfer from its submission to its completion. Minted by the frontend, in sequence
/// and never reused, by [`TransferIds`]; opaque to the function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(u64);

impl TransferId {
    /// The number, for a table or a C interface that wants one.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The id of a number that [`to_u64`](Self::to_u64) gave.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Mints the ids of one frontend.
///
/// ```
/// use usb_transfer::TransferIds;
/// let mut ids = TransferIds::default();
/// assert!(ids.mint() < ids.mint());
/// ```
#[derive(Debug, Default)]
pub struct TransferIds {
    next: u64,
}

impl TransferIds {
    /// The next id. At one a nanosecond they last for 584 years.
    pub fn mint(&mut self) -> TransferId {
        let id = TransferId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }
}

/// One of the streams of a SuperSpeed bulk endpoint, counted from 1 (USB 3.2, 8.12.1.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct StreamId(pub core::num::NonZeroU16);

/// One request of a host to an endpoint.
///
/// Constructors keep the endpoint's direction equal to the payload's; who changes a field keeps it
/// so.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket};
/// use usb_transfer::{Transfer, TransferIds};
/// let mut ids = TransferIds::default();
/// let read = Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 512);
/// let get = Transfer::control_in(ids.mint(), SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]));
/// assert_eq!(get.payload.len(), 18);
/// # let _ = read;
/// ```
#[doc(alias = "URB")]
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Transfer {
    /// Its name.
    pub id: TransferId,
    /// Where it goes. For a control transfer, endpoint 0 (or another control endpoint) in the
    /// direction of the data stage.
    pub endpoint: EndpointAddress,
    /// What kind of transfer.
    pub kind: Kind,
    /// The data it carries or asks for.
    pub payload: Payload,
    /// How it wants to be treated.
    pub flags: Flags,
    /// How often the host polls the endpoint, in 125 µs; 0 where the type is not polled.
    pub interval: u32,
}

/// The kinds of transfer that differ in what they carry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "USB has these; a function must handle each"
)]
pub enum Kind {
    /// With a setup packet.
    Control(SetupPacket),
    /// Bulk or interrupt: the endpoint knows which, and USB/IP does not say.
    Data {
        /// The stream, on a bulk endpoint that has streams.
        stream: Option<StreamId>,
    },
    /// In packets, one per interval.
    Isochronous(Vec<IsoPacket>),
}

/// The data of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "USB has two directions")]
pub enum Payload {
    /// Host to device: the data. Isochronous packets lie in it at their offsets, gaps included.
    Out(Bytes),
    /// Device to host: the most that may come, in bytes.
    In {
        /// Bytes.
        length: u32,
    },
}

impl Payload {
    /// Which way it goes.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match self {
            Self::Out(_) => Direction::Out,
            Self::In { .. } => Direction::In,
        }
    }

    /// Bytes that are carried or asked for.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Out(data) => data.len(),
            Self::In { length } => *length as usize,
        }
    }

    /// Whether nothing is carried or asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One packet of an isochronous transfer, on its way out and back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the four numbers that every wire carries"
)]
pub struct IsoPacket {
    /// Where it lies in the host's buffer, in bytes.
    pub offset: u32,
    /// Bytes carried or asked for.
    pub length: u32,
    /// Bytes moved; 0 on the way out.
    pub actual: u32,
    /// How it ended; [`Status::COMPLETED`] on the way out.
    pub status: Status,
}

impl IsoPacket {
    /// A packet to be moved.
    #[must_use]
    pub const fn new(offset: u32, length: u32) -> Self {
        Self {
            offset,
            length,
            actual: 0,
            status: Status::COMPLETED,
        }
    }
}

/// How a transfer wants to be treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "filled by literals with ..Default"
)]
pub struct Flags {
    /// Less data than asked for is an error. Frontends apply it, functions need not look.
    #[doc(alias = "URB_SHORT_NOT_OK")]
    pub short_not_ok: bool,
    /// Bulk OUT: if the data ends at a packet boundary, an empty packet follows.
    #[doc(alias = "URB_ZERO_PACKET")]
    pub zero_packet: bool,
    /// Isochronous: start as soon as possible.
    #[doc(alias = "URB_ISO_ASAP")]
    pub iso_asap: bool,
}

impl Transfer {
    /// A control transfer that asks for up to `setup.length` bytes, or has no data stage.
    #[must_use]
    pub fn control_in(id: TransferId, setup: SetupPacket) -> Self {
        match setup.data_direction() {
            Direction::In => Self::control(
                id,
                setup,
                Payload::In {
                    length: u32::from(setup.length),
                },
            ),
            Direction::Out => Self::control(id, setup, Payload::Out(Bytes::new())),
        }
    }

    /// A control transfer that carries data to the device, or has no data stage.
    #[must_use]
    pub fn control_out(id: TransferId, setup: SetupPacket, data: Bytes) -> Self {
        Self::control(id, setup, Payload::Out(data))
    }

    /// A control transfer on endpoint 0 with a payload that the caller vouches for:
    /// [`is_consistent`](Self::is_consistent) tells.
    #[must_use]
    pub fn control(id: TransferId, setup: SetupPacket, payload: Payload) -> Self {
        Self::new(
            id,
            EndpointAddress::CONTROL_OUT,
            Kind::Control(setup),
            payload,
        )
    }

    /// A bulk or interrupt transfer that asks for up to `length` bytes.
    #[must_use]
    pub fn data_in(id: TransferId, endpoint: EndpointAddress, length: u32) -> Self {
        Self::new(
            id,
            endpoint,
            Kind::Data { stream: None },
            Payload::In { length },
        )
    }

    /// A bulk or interrupt transfer that carries data to the device.
    #[must_use]
    pub fn data_out(id: TransferId, endpoint: EndpointAddress, data: Bytes) -> Self {
        Self::new(
            id,
            endpoint,
            Kind::Data { stream: None },
            Payload::Out(data),
        )
    }

    /// Any transfer; the endpoint takes the direction of the payload.
    #[must_use]
    pub fn new(id: TransferId, endpoint: EndpointAddress, kind: Kind, payload: Payload) -> Self {
        let endpoint = endpoint.with_direction(payload.direction());
        Self {
            id,
            endpoint,
            kind,
            payload,
            flags: Flags::default(),
            interval: 0,
        }
    }

    /// Sets the flags.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the polling interval, in 125 µs.
    #[must_use]
    pub fn with_interval(mut self, interval: u32) -> Self {
        self.interval = interval;
        self
    }

    /// Whether setup packet and payload of a control transfer agree: the same direction, and host
    /// to device exactly `wLength` bytes. Other kinds always agree. A frontend answers what does
    /// not agree itself, with [`Status::INVALID`].
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        match (&self.kind, &self.payload) {
            (Kind::Control(setup), Payload::Out(data)) => {
                setup.data_direction() == Direction::Out && data.len() == usize::from(setup.length)
            }
            (Kind::Control(setup), Payload::In { .. }) => setup.data_direction() == Direction::In,
            (Kind::Data { .. } | Kind::Isochronous(_), _) => true,
        }
    }

    /// Completes it with data for the host. Without packets of its own, an isochronous transfer
    /// is completed by [`complete_packets`](Self::complete_packets).
    #[must_use]
    pub fn complete_in(self, data: impl Into<Segments>) -> Completion {
        Completion::new(self.id, Status::COMPLETED, Actual::In(data.into()))
    }

    /// Completes it with all its data taken.
    #[must_use]
    pub fn complete_out(self) -> Completion {
        let taken = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        Completion::new(self.id, Status::COMPLETED, Actual::Out(taken))
    }

    /// Completes an isochronous transfer: the packets as they went, and for IN their data, one
    /// after the other without gaps.
    #[must_use]
    pub fn complete_packets(self, packets: Vec<IsoPacket>, data: Segments) -> Completion {
        let actual = match self.payload {
            Payload::In { .. } => Actual::In(data),
            Payload::Out(_) => Actual::Out(
                packets
                    .iter()
                    .fold(0, |sum: u32, packet| sum.saturating_add(packet.actual)),
            ),
        };
        Completion::new(self.id, Status::COMPLETED, actual).with_packets(packets)
    }

    /// Completes it with nothing moved, for a reason.
    #[must_use]
    pub fn fail(self, status: Status) -> Completion {
        let completion = Completion::failed(self.id, self.payload.direction(), status);
        match self.kind {
            Kind::Isochronous(mut packets) => {
                for packet in &mut packets {
                    packet.actual = 0;
                    packet.status = status;
                }
                completion.with_packets(packets)
            }
            Kind::Control(_) | Kind::Data { .. } => completion,
        }
    }

    /// Completes it with a stall.
    #[must_use]
    pub fn stall(self) -> Completion {
        self.fail(Status::STALL)
    }
}
