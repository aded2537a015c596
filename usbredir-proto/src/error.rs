//! What can go wrong.

use thiserror::Error;

use crate::codec::PacketType;

/// How the peer broke the protocol. A connection that gave one is over; what it had queued can
/// still be written.
///
/// ```
/// use bytes::BytesMut;
/// use usb_transfer::Wire;
/// use usbredir_proto::{Host, Options, ProtocolError};
/// let mut host = Host::new(Options::default());
/// // A reset before any hello.
/// let error = host.receive(&mut BytesMut::from(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..])).unwrap_err();
/// assert!(matches!(error, ProtocolError::NoHello { .. }));
/// assert_eq!(error.to_string(), "reset (3) before a hello");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Something else came before the hello.
    #[error("{found} before a hello")]
    #[non_exhaustive]
    NoHello {
        /// What came.
        found: PacketType,
    },
    /// A packet of a type that does not exist, or that this side never receives.
    #[error("{found}, expected one that a {sender} sends")]
    #[non_exhaustive]
    Type {
        /// The type in the header.
        found: PacketType,
        /// The peer's role: "host" or "guest".
        sender: &'static str,
    },
    /// A packet that a capability allows, which not both sides have told.
    #[error("{found} without the capability for it")]
    #[non_exhaustive]
    Capability {
        /// The type in the header.
        found: PacketType,
    },
    /// A packet that is shorter than its fixed part, longer than it can be, or than a limit allows.
    #[error("{packet} {id} of {found} bytes, expected {least} to {most}")]
    #[non_exhaustive]
    Length {
        /// The packet's type.
        packet: PacketType,
        /// Its id.
        id: u64,
        /// The length in the header.
        found: u32,
        /// The least it may be.
        least: u32,
        /// The most it may be.
        most: u32,
    },
    /// A transfer that is longer than the limit.
    #[error("{packet} {id} for {found} bytes, limit {limit}")]
    #[non_exhaustive]
    Transfer {
        /// The packet's type.
        packet: PacketType,
        /// Its id.
        id: u64,
        /// Bytes asked for or moved.
        found: u32,
        /// [`Limits::max_transfer`](crate::Limits::max_transfer).
        limit: u32,
    },
    /// A length inside of the packet that is not that of the data behind it.
    #[error("{packet} {id} states {stated} bytes of data, {found} follow")]
    #[non_exhaustive]
    Data {
        /// The packet's type.
        packet: PacketType,
        /// Its id.
        id: u64,
        /// The length that it states; 0 where no data may follow.
        stated: u32,
        /// Bytes that follow.
        found: u32,
    },
    /// An endpoint of the other direction than the packet is for.
    #[error("{packet} {id} for endpoint {found:02x}, which is of the other direction")]
    #[non_exhaustive]
    Direction {
        /// The packet's type.
        packet: PacketType,
        /// Its id.
        id: u64,
        /// The endpoint's address.
        found: u8,
    },
    /// More interfaces than the packet has room for.
    #[error("{found} interfaces, limit 32")]
    #[non_exhaustive]
    Interfaces {
        /// Interfaces announced.
        found: u32,
    },
    /// Filter rules that do not end in a NUL.
    #[error("filter rules without their final NUL")]
    Filter,
}

/// What the embedder asked for and cannot have. Nothing has changed.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_transfer::DeviceDescriptors;
/// use usbredir_proto::{Host, MisuseError, Options};
/// let mut host = Host::new(Options::default());
/// let nothing = DeviceDescriptors::new(Speed::High, []);
/// assert!(matches!(host.attach(nothing), Err(MisuseError::Descriptor(_))));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MisuseError {
    /// A device descriptor that cannot be read.
    #[error("device descriptor: {0}")]
    Descriptor(#[from] usb_descriptors::DescriptorError),
    /// More interfaces than can be told.
    #[error("{found} interfaces, limit 32")]
    #[non_exhaustive]
    Interfaces {
        /// Interfaces of a configuration.
        found: usize,
    },
    /// There is a device already, or the last one's end is not yet acknowledged.
    #[error("there is a device already")]
    Occupied,
    /// The connection is over.
    #[error("the connection is over")]
    Over,
    /// A packet that the other role sends, or that needs a capability which not both sides have
    /// told.
    #[error("{packet} is not for this side to send, or lacks a capability")]
    #[non_exhaustive]
    NotAllowed {
        /// The packet's type.
        packet: PacketType,
    },
    /// A packet whose length field, data or id do not fit its layout or each other.
    #[error("{packet}: {field} does not fit")]
    #[non_exhaustive]
    Field {
        /// The packet's type.
        packet: PacketType,
        /// Which field.
        field: &'static str,
    },
}
