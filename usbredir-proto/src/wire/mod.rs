//! Layouts on the wire. All integers are little-endian and nothing is padded
//! (usb-redirection-protocol 0.7, "Basic packet structure").

pub(crate) mod layout;

use usb_transfer::TxQueue;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::codec::PacketType;

/// A header as far as both widths have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) packet_type: PacketType,
    /// Bytes that follow the header.
    pub(crate) length: u32,
    pub(crate) id: u64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Narrow {
    packet_type: U32,
    length: U32,
    id: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Wide {
    packet_type: U32,
    length: U32,
    id: U64,
}

/// A header and what each packet of its type has.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Start<H, T> {
    header: H,
    fixed: T,
}

/// Which header: the wide one after hellos that both had the capability for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    Narrow,
    Wide,
}

impl Width {
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Narrow => size_of::<Narrow>(),
            Self::Wide => size_of::<Wide>(),
        }
    }

    /// The header, and what follows it.
    #[inline(always)]
    pub(crate) fn parse(self, rx: &[u8]) -> Option<(Header, &[u8])> {
        match self {
            Self::Narrow => Narrow::ref_from_prefix(rx).ok().map(|(header, rest)| {
                let header = Header {
                    packet_type: PacketType(header.packet_type.get()),
                    length: header.length.get(),
                    id: header.id.get().into(),
                };
                (header, rest)
            }),
            Self::Wide => Wide::ref_from_prefix(rx).ok().map(|(header, rest)| {
                let header = Header {
                    packet_type: PacketType(header.packet_type.get()),
                    length: header.length.get(),
                    id: header.id.get(),
                };
                (header, rest)
            }),
        }
    }

    /// Queues a header and a fixed part as one. An id of more than 32 bits does not get here where
    /// it has no room.
    #[inline(always)]
    pub(crate) fn put<T>(self, header: Header, fixed: T, tx: &mut TxQueue)
    where
        T: IntoBytes + Immutable + Unaligned,
    {
        let packet_type = header.packet_type.0.into();
        let length = header.length.into();
        match self {
            Self::Narrow => {
                let id = U32::new(u32::try_from(header.id).unwrap_or(u32::MAX));
                let header = Narrow {
                    packet_type,
                    length,
                    id,
                };
                tx.put_slice(Start { header, fixed }.as_bytes());
            }
            Self::Wide => {
                let id = U64::new(header.id);
                let header = Wide {
                    packet_type,
                    length,
                    id,
                };
                tx.put_slice(Start { header, fixed }.as_bytes());
            }
        }
    }
}
