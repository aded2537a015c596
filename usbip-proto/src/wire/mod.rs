//! Layouts on the wire. All integers are big-endian; `Documentation/usb/usbip_protocol.rst` of
//! the kernel, with what `drivers/usb/usbip` does where the document is wrong.

pub(crate) mod iso;
pub(crate) mod op;
pub(crate) mod urb;

use bytes::{Buf, Bytes, BytesMut};
use usb_transfer::TxQueue;

use urb::Header;

/// Takes the header and `length` bytes behind it from the front, and gives the latter: by
/// reference, or as a copy if they are few, or less than half of the buffer, so that a payload never
/// keeps much more memory alive than its own.
pub(crate) fn take_payload(rx: &mut BytesMut, length: usize) -> Bytes {
    let total = Header::LENGTH.saturating_add(length);
    if length < TxQueue::COPY_BELOW || length < rx.capacity() / 2 {
        let payload = rx.get(Header::LENGTH..total);
        let payload = payload.map(Bytes::copy_from_slice).unwrap_or_default();
        skip(rx, total);
        return payload;
    }
    if total > rx.len() {
        return Bytes::new();
    }
    let mut payload = rx.split_to(total).freeze();
    payload.advance(Header::LENGTH);
    payload
}

/// Drops up to `length` bytes from the front.
pub(crate) fn skip(rx: &mut BytesMut, length: usize) {
    rx.advance(length.min(rx.len()));
}
