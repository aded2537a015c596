//! Layouts on the wire. All integers are little-endian and nothing is padded
//! (usb-redirection-protocol 0.7, "Basic packet structure").

pub(crate) mod layout;

use usb_transfer::TxQueue;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header as far as both widths have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) packet_type: u32,
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

    pub(crate) fn parse(self, rx: &[u8]) -> Option<Header> {
        match self {
            Self::Narrow => Narrow::ref_from_prefix(rx).ok().map(|(header, _)| Header {
                packet_type: header.packet_type.get(),
                length: header.length.get(),
                id: header.id.get().into(),
            }),
            Self::Wide => Wide::ref_from_prefix(rx).ok().map(|(header, _)| Header {
                packet_type: header.packet_type.get(),
                length: header.length.get(),
                id: header.id.get(),
            }),
        }
    }

    /// Queues a header and a fixed part as one. An id of more than 32 bits does not get here where
    /// it has no room.
    pub(crate) fn put<T: IntoBytes + Immutable>(self, header: Header, fixed: &T, tx: &mut TxQueue) {
        let (packet_type, length) = (header.packet_type.into(), header.length.into());
        match self {
            Self::Narrow => {
                let id = U32::new(u32::try_from(header.id).unwrap_or(u32::MAX));
                let narrow = Narrow {
                    packet_type,
                    length,
                    id,
                };
                tx.put_slice(narrow.as_bytes());
            }
            Self::Wide => {
                let id = U64::new(header.id);
                let wide = Wide {
                    packet_type,
                    length,
                    id,
                };
                tx.put_slice(wide.as_bytes());
            }
        }
        tx.put_slice(fixed.as_bytes());
    }
}
