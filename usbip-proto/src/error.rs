//! What can go wrong.

use core::fmt;

use thiserror::Error;

use crate::{BusId, DeviceId};

/// How the peer broke the protocol. A session that gave one is over; what it had queued can still
/// be written.
///
/// ```
/// use bytes::BytesMut;
/// use usb_transfer::Wire;
/// use usbip_proto::{Limits, ProtocolError, server::Handshake};
/// let mut handshake = Handshake::new(Limits::default());
/// let error = handshake.receive(&mut BytesMut::from(&[1, 6, 0x80, 5, 0, 0, 0, 0][..])).unwrap_err();
/// assert!(matches!(error, ProtocolError::Version { found: 0x0106, .. }));
/// assert!(error.to_string().starts_with("version 0x0106, expected 0x0111"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An operation of another protocol version.
    #[error("version {found:#06x}, expected 0x0111; does the peer speak USB/IP?")]
    #[non_exhaustive]
    Version {
        /// The version in the header.
        found: u16,
    },
    /// An operation that does not belong here.
    #[error("operation {found:#06x}, expected {expected}")]
    #[non_exhaustive]
    Operation {
        /// The code in the header.
        found: u16,
        /// What would have been in order.
        expected: &'static str,
    },
    /// A bus id that is empty, not terminated, or not of printable ASCII.
    #[error("bus id of {found:02x?}, expected 1 to 31 printable ASCII characters")]
    #[non_exhaustive]
    BusId {
        /// The field's bytes.
        found: [u8; 32],
    },
    /// A client that did not wait for the answer to its request.
    #[error("{found} bytes sent before the answer to a request, limit {limit}")]
    #[non_exhaustive]
    Impatient {
        /// Bytes that wait.
        found: usize,
        /// Bytes that may.
        limit: usize,
    },
    /// The server answered for another device than was asked for.
    #[error("the server answered for bus id {found}, expected {expected}")]
    #[non_exhaustive]
    OtherBusId {
        /// The bus id in the answer.
        found: BusId,
        /// The one that was asked for.
        expected: BusId,
    },
    /// More devices than the limit.
    #[error("a list of {found} devices, limit {limit}")]
    #[non_exhaustive]
    DeviceCount {
        /// Devices announced.
        found: u32,
        /// [`Limits::max_devices`](crate::Limits::max_devices).
        limit: u32,
    },
    /// A device of more interfaces than the limit.
    #[error("device {bus_id} of {found} interfaces, limit {limit}")]
    #[non_exhaustive]
    InterfaceCount {
        /// The device.
        bus_id: BusId,
        /// Interfaces announced.
        found: u8,
        /// [`Limits::max_interfaces`](crate::Limits::max_interfaces).
        limit: u8,
    },
    /// A header whose command does not belong here.
    #[error("command {found:#x}, expected {expected}")]
    #[non_exhaustive]
    Command {
        /// The command in the header.
        found: u32,
        /// What would have been in order.
        expected: &'static str,
    },
    /// A request for another device than the session's.
    #[error("request for device {found}, but the session is for device {expected}")]
    #[non_exhaustive]
    DeviceId {
        /// The id in the header.
        found: DeviceId,
        /// The session's.
        expected: DeviceId,
    },
    /// A direction that is neither 0 nor 1.
    #[error("request {seqnum}: direction {found}, expected 0 (OUT) or 1 (IN)")]
    #[non_exhaustive]
    Direction {
        /// The request's number.
        seqnum: u32,
        /// The direction in the header.
        found: u32,
    },
    /// An endpoint number above 15.
    #[error("request {seqnum}: endpoint {found}, expected 0 to 15")]
    #[non_exhaustive]
    Endpoint {
        /// The request's number.
        seqnum: u32,
        /// The number in the header.
        found: u32,
    },
    /// A length that is negative or beyond what is allowed.
    #[error("request {seqnum}: {field} {found}, limit {limit}")]
    #[non_exhaustive]
    Length {
        /// The request's number.
        seqnum: u32,
        /// The field of the header.
        field: &'static str,
        /// Its value.
        found: i32,
        /// The most it may be: a limit, or what was asked for.
        limit: u32,
    },
    /// A number of isochronous packets that is negative, beyond the limit, or on the control
    /// endpoint, where it is 0.
    #[error("request {seqnum}: {found} isochronous packets, limit {limit}")]
    #[non_exhaustive]
    PacketCount {
        /// The request's number.
        seqnum: u32,
        /// The number in the header.
        found: i32,
        /// The most there may be.
        limit: u32,
    },
    /// A reply with another number of isochronous packets than its request.
    #[error(
        "request {seqnum}: reply with {found} isochronous packets, expected exactly {expected}"
    )]
    #[non_exhaustive]
    OtherPacketCount {
        /// The request's number.
        seqnum: u32,
        /// The number in the reply's header.
        found: i32,
        /// The number in the request's.
        expected: u32,
    },
    /// An isochronous packet of a request outside its buffer.
    #[error(
        "request {seqnum}: isochronous packet {index} of {length} bytes at {offset}, in a buffer of {limit}"
    )]
    #[non_exhaustive]
    Packet {
        /// The request's number.
        seqnum: u32,
        /// Which packet, from 0.
        index: usize,
        /// Its offset.
        offset: u32,
        /// Its length.
        length: u32,
        /// Bytes of the buffer.
        limit: u32,
    },
    /// An isochronous packet of a reply that is not where the request had it.
    #[error(
        "request {seqnum}: reply with isochronous packet {index} of {length} bytes at {offset}, \
        expected {expected_length} at {expected_offset}"
    )]
    #[non_exhaustive]
    OtherPacket {
        /// The request's number.
        seqnum: u32,
        /// Which packet, from 0.
        index: usize,
        /// Its offset in the reply.
        offset: u32,
        /// Its length in the reply, not the bytes moved.
        length: u32,
        /// Its offset in the request.
        expected_offset: u32,
        /// Its length in the request.
        expected_length: u32,
    },
    /// An isochronous packet of a reply that moved more than was asked.
    #[error("request {seqnum}: isochronous packet {index} moved {found} bytes, limit {limit}")]
    #[non_exhaustive]
    PacketActual {
        /// The request's number.
        seqnum: u32,
        /// Which packet, from 0.
        index: usize,
        /// Bytes moved.
        found: u32,
        /// Its length in the request.
        limit: u32,
    },
    /// The packets do not add up to the transfer.
    #[error("request {seqnum}: isochronous packets of {found} bytes in a transfer of {expected}")]
    #[non_exhaustive]
    PacketSum {
        /// The request's number.
        seqnum: u32,
        /// The sum of the packets.
        found: u64,
        /// What it was to be (at most).
        expected: u32,
    },
    /// The number of a request or an unlink that is not answered yet.
    #[error("request {seqnum} is still in flight and was sent again")]
    #[non_exhaustive]
    DuplicateSeqnum {
        /// The number.
        seqnum: u32,
    },
    /// A second unlink for one request, in flight or to come.
    #[error("request {seqnum} unlinks {target}, which is being unlinked already")]
    #[non_exhaustive]
    DuplicateUnlink {
        /// The unlink's number.
        seqnum: u32,
        /// The request to be unlinked.
        target: u32,
    },
    /// More unlinks of requests that are still to come than requests may be in flight.
    #[error("request {seqnum} unlinks {target} before it came, limit {limit} such at a time")]
    #[non_exhaustive]
    EarlyUnlinks {
        /// The unlink's number.
        seqnum: u32,
        /// The request to be unlinked.
        target: u32,
        /// [`Limits::max_in_flight`](crate::Limits::max_in_flight).
        limit: usize,
    },
    /// A reply to a request that was never made or has been answered.
    #[error("reply to request {seqnum}, which is not in flight")]
    #[non_exhaustive]
    UnknownSeqnum {
        /// The number.
        seqnum: u32,
    },
    /// A reply to a request or an unlink before its header was wholly written: the server cannot
    /// have read it.
    #[error("reply to request {seqnum}, which was not sent yet")]
    #[non_exhaustive]
    Unsent {
        /// The number.
        seqnum: u32,
    },
}

/// What a server says to a request for a list or a device
/// (`tools/usb/usbip/libsrc/usbip_common.h`, `ST_*`).
///
/// ```
/// use usbip_proto::OpStatus;
/// assert_eq!(OpStatus::NO_DEVICE.to_string(), "no such device");
/// ```
#[doc(alias = "ST_NODEV")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct OpStatus(pub u32);

impl OpStatus {
    /// Granted.
    pub const OK: Self = Self(0);
    /// Refused: not available to this client, or not exported.
    pub const NOT_AVAILABLE: Self = Self(1);
    /// Another client uses the device.
    pub const BUSY: Self = Self(2);
    /// The device is in an error state.
    pub const DEVICE_ERROR: Self = Self(3);
    /// There is no such device.
    pub const NO_DEVICE: Self = Self(4);
    /// Anything else.
    pub const ERROR: Self = Self(5);
}

impl fmt::Display for OpStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OK => f.pad("granted"),
            Self::NOT_AVAILABLE => f.pad("not available"),
            Self::BUSY => f.pad("in use"),
            Self::DEVICE_ERROR => f.pad("device in error state"),
            Self::NO_DEVICE => f.pad("no such device"),
            Self::ERROR => f.pad("error"),
            Self(other) => write!(f, "status {other}"),
        }
    }
}

/// Why a device cannot be described to a client.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not 1 to 31 characters of printable ASCII.
    #[error("a bus id is 1 to 31 printable ASCII characters")]
    BusId,
    /// Longer than 255 bytes, or with a NUL in it.
    #[error("a device path is at most 255 bytes without NUL, found {found}")]
    #[non_exhaustive]
    Path {
        /// Bytes.
        found: usize,
    },
    /// A device descriptor that cannot be read.
    #[error("device descriptor: {0}")]
    Descriptor(#[from] usb_descriptors::DescriptorError),
    /// A device that is offered already has this bus id.
    #[error("another device is offered as {bus_id}")]
    #[non_exhaustive]
    Taken {
        /// The bus id.
        bus_id: BusId,
    },
    /// More interfaces than a byte counts.
    #[error("{found} interfaces, limit 255")]
    #[non_exhaustive]
    Interfaces {
        /// Interfaces.
        found: usize,
    },
}
