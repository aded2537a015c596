//! Packets to bytes and back, for either role.
//!
//! [`Host`](crate::Host) and [`Guest`](crate::Guest) stand on it. On its own it serves what looks
//! at a conversation or takes part in one without being either: a proxy, a test, a capture.

mod codes;
mod data;
mod decode;
mod encode;
mod packet;
mod tables;
mod terms;

use usb_descriptors::Direction;
use usb_transfer::ReadAhead;

pub use codes::{EndpointTypeCode, PacketType, SpeedCode, StatusCode};
pub use decode::Decoded;
pub use packet::{DeviceConnect, EndpointEntry, EndpointInfo, Hello, InterfaceEntry, Packet};

use crate::wire::Width;
use crate::{Capabilities, Limits};
use terms::Terms;

/// Which end of the wire.
///
/// ```
/// use usbredir_proto::codec::Role;
/// assert_eq!(Role::Host.peer(), Role::Guest);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has two roles")]
pub enum Role {
    /// Has the device: `usbredirect`, a SPICE client.
    #[doc(alias = "usb-host")]
    Host,
    /// Uses it: QEMU.
    #[doc(alias = "usb-guest")]
    Guest,
}

impl Role {
    /// The other one.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Host => Self::Guest,
            Self::Guest => Self::Host,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
        }
    }

    /// The direction in which this side's data flows.
    const fn sends(self) -> Direction {
        match self {
            Self::Host => Direction::In,
            Self::Guest => Direction::Out,
        }
    }
}

/// One end of a connection, as far as layouts depend on it: the capabilities of both sides.
///
/// The first packet that [`encode`](Self::encode) is to be given is this side's hello, and nothing
/// else before the peer's hello has been decoded: only then both sides know the layouts.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_transfer::TxQueue;
/// use usbredir_proto::codec::{Codec, Decoded, Hello, Packet, Role};
/// use usbredir_proto::{Capabilities, Limits};
///
/// let mut host = Codec::new(Role::Host, Capabilities::ALL, Limits::default());
/// let mut guest = Codec::new(Role::Guest, Capabilities::ALL, Limits::default());
/// let mut tx = TxQueue::new();
/// host.encode(0, Packet::Hello(host.hello("a host")), &mut tx)?;
///
/// let mut rx = BytesMut::from(&tx.copy_to_bytes(tx.remaining())[..]);
/// let Decoded::Packet { packet: Packet::Hello(hello), .. } = guest.decode(&mut rx)? else { panic!() };
/// assert_eq!(hello.version, "a host");
/// assert_eq!(guest.negotiated(), Some(Capabilities::ALL));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Codec {
    role: Role,
    ours: Capabilities,
    /// What both can do, once the peer said hello.
    negotiated: Option<Capabilities>,
    limits: Limits,
    /// The header of this and the following packets, in both directions.
    width: Width,
    terms: Terms,
    read_ahead: ReadAhead,
    /// Of so many packets the data are still held.
    held: usize,
}

impl Codec {
    /// The end of a side that is to say `capabilities` in its hello.
    #[must_use]
    pub fn new(role: Role, capabilities: Capabilities, limits: Limits) -> Self {
        Self {
            role,
            ours: capabilities.settled(),
            negotiated: None,
            width: Width::Narrow,
            terms: Terms::new(role, None, &limits),
            limits,
            read_ahead: ReadAhead::default(),
            held: 0,
        }
    }

    /// Says of how many packets that were decoded the data are still held, or may be. With
    /// [`ReadAhead::FEW`] and more, data is copied sooner than it keeps a large receive buffer
    /// alive.
    #[inline(always)]
    pub const fn set_held(&mut self, packets: usize) {
        self.held = packets;
    }

    /// This side's hello; of `version` as much as there is room for.
    #[must_use]
    pub fn hello(&self, version: &str) -> Hello {
        Hello::new(version, self.ours)
    }

    /// Which end it is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What both sides can do; `None` before the peer's hello.
    #[must_use]
    pub const fn negotiated(&self) -> Option<Capabilities> {
        self.negotiated
    }

    /// What peers may ask for.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    fn has(&self, capability: Capabilities) -> bool {
        self.negotiated
            .is_some_and(|negotiated| negotiated.contains(capability))
    }

    fn meet(&mut self, theirs: Capabilities) {
        self.negotiated = Some((self.ours & theirs.settled()).settled());
        self.terms = Terms::new(self.role, self.negotiated, &self.limits);
        if self.has(Capabilities::IDS_64_BITS) {
            self.width = Width::Wide;
        }
    }
}
