//! Isochronous packets (`drivers/usb/usbip/usbip_common.h`,
//! `struct usbip_iso_packet_descriptor`), 16 bytes each.

use usb_transfer::{IsoPacket, TxQueue};
use zerocopy::byteorder::big_endian::{I32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::urb;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    offset: U32,
    length: U32,
    actual: U32,
    status: I32,
}

pub(crate) const LENGTH: usize = size_of::<Layout>();

const _: () = assert!(LENGTH == 16);

/// Reads as many packets as `bytes` holds.
pub(crate) fn parse(bytes: &[u8]) -> impl Iterator<Item = IsoPacket> {
    bytes.chunks_exact(LENGTH).filter_map(|bytes| {
        let layout = Layout::ref_from_bytes(bytes).ok()?;
        Some(IsoPacket {
            offset: layout.offset.get(),
            length: layout.length.get(),
            actual: layout.actual.get(),
            status: urb::from_errno(layout.status.get()),
        })
    })
}

pub(crate) fn put(packet: &IsoPacket, tx: &mut TxQueue) {
    let layout = Layout {
        offset: packet.offset.into(),
        length: packet.length.into(),
        actual: packet.actual.into(),
        status: urb::to_errno(packet.status).into(),
    };
    tx.put_slice(layout.as_bytes());
}
