//! Layouts on the wire. All integers are big-endian; `Documentation/usb/usbip_protocol.rst` of
//! the kernel, with what `drivers/usb/usbip` does where the document is wrong.

pub(crate) mod iso;
pub(crate) mod op;
pub(crate) mod urb;

use bytes::{Buf, BytesMut};

/// Drops up to `length` bytes from the front.
pub(crate) fn skip(rx: &mut BytesMut, length: usize) {
    rx.advance(length.min(rx.len()));
}
