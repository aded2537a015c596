//! Layouts on the wire. All integers are big-endian; `Documentation/usb/usbip_protocol.rst` of
//! the kernel, with what `drivers/usb/usbip` does where the document is wrong.

pub(crate) mod iso;
pub(crate) mod op;
pub(crate) mod urb;

use bytes::{Buf, Bytes, BytesMut};
use usb_transfer::TxQueue;

/// Takes `length` bytes from the front: by reference, or as a copy if they are few, or less than
/// half of the buffer, so that a payload never keeps much more memory alive than its own.
pub(crate) fn take_payload(rx: &mut BytesMut, length: usize) -> Bytes {
    if length == 0 {
        return Bytes::new();
    }
    if length < TxQueue::COPY_BELOW || length < rx.capacity() / 2 {
        let payload = rx
            .get(..length)
            .map(Bytes::copy_from_slice)
            .unwrap_or_default();
        skip(rx, length);
        return payload;
    }
    if length > rx.len() {
        return Bytes::new();
    }
    rx.split_to(length).freeze()
}

/// Drops up to `length` bytes from the front.
pub(crate) fn skip(rx: &mut BytesMut, length: usize) {
    rx.advance(length.min(rx.len()));
}
