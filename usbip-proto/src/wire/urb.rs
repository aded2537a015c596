//! Requests and replies of a session (`drivers/usb/usbip/usbip_common.h`, `struct usbip_header`):
//! 48 bytes each, then the payload, then the isochronous packets.

use usb_transfer::{Status, TxQueue};
use zerocopy::byteorder::big_endian::{I32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const CMD_SUBMIT: u32 = 1;
pub(crate) const CMD_UNLINK: u32 = 2;
pub(crate) const RET_SUBMIT: u32 = 3;
pub(crate) const RET_UNLINK: u32 = 4;

pub(crate) const DIRECTION_OUT: u32 = 0;
pub(crate) const DIRECTION_IN: u32 = 1;

/// `transfer_flags` that mean something on the wire (`include/uapi/linux/usbdevice_fs.h` and
/// `include/linux/usb.h`).
pub(crate) const SHORT_NOT_OK: u32 = 0x0001;
pub(crate) const ISO_ASAP: u32 = 0x0002;
pub(crate) const ZERO_PACKET: u32 = 0x0040;
pub(crate) const DIR_IN: u32 = 0x0200;

/// `struct usbip_header`: the basic part and the union, whose members share their layout well
/// enough to be one: 20 is flags, status, or the number to unlink.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Debug)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) command: U32,
    pub(crate) seqnum: U32,
    pub(crate) device_id: U32,
    pub(crate) direction: U32,
    pub(crate) endpoint: U32,
    /// CMD_SUBMIT: flags. RET_SUBMIT, RET_UNLINK: status. CMD_UNLINK: the number to unlink.
    pub(crate) word: U32,
    /// CMD_SUBMIT: bytes of the buffer. RET_SUBMIT: bytes moved.
    pub(crate) length: I32,
    pub(crate) start_frame: I32,
    pub(crate) packets: I32,
    /// CMD_SUBMIT: interval. RET_SUBMIT: packets with an error.
    pub(crate) interval: I32,
    /// CMD_SUBMIT; meaningful on the control endpoint only, stale elsewhere.
    pub(crate) setup: [u8; 8],
}

const _: () = assert!(Header::LENGTH == 48);

impl Header {
    pub(crate) const LENGTH: usize = size_of::<Self>();

    pub(crate) fn parse(rx: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(rx).ok().map(|(header, _)| header)
    }

    #[inline(always)]
    pub(crate) fn put(&self, tx: &mut TxQueue) {
        tx.put_slice(self.as_bytes());
    }

    const fn zero() -> Self {
        Self {
            command: U32::ZERO,
            seqnum: U32::ZERO,
            device_id: U32::ZERO,
            direction: U32::ZERO,
            endpoint: U32::ZERO,
            word: U32::ZERO,
            length: I32::ZERO,
            start_frame: I32::ZERO,
            packets: I32::ZERO,
            interval: I32::ZERO,
            setup: [0; 8],
        }
    }

    /// Replies carry neither device nor direction nor endpoint.
    pub(crate) fn ret_submit(seqnum: u32, status: Status, actual: u32) -> Self {
        Self {
            command: RET_SUBMIT.into(),
            seqnum: seqnum.into(),
            word: U32::from_bytes(to_errno(status).to_be_bytes()),
            length: I32::from_bytes(actual.to_be_bytes()),
            ..Self::zero()
        }
    }

    pub(crate) fn ret_unlink(seqnum: u32, status: Status) -> Self {
        Self {
            command: RET_UNLINK.into(),
            seqnum: seqnum.into(),
            word: U32::from_bytes(to_errno(status).to_be_bytes()),
            ..Self::zero()
        }
    }

    pub(crate) fn cmd_unlink(seqnum: u32, device_id: u32, target: u32) -> Self {
        Self {
            command: CMD_UNLINK.into(),
            seqnum: seqnum.into(),
            device_id: device_id.into(),
            word: target.into(),
            ..Self::zero()
        }
    }

    pub(crate) fn cmd_submit(seqnum: u32, device_id: u32, direction: u32, endpoint: u8) -> Self {
        Self {
            command: CMD_SUBMIT.into(),
            seqnum: seqnum.into(),
            device_id: device_id.into(),
            direction: direction.into(),
            endpoint: u32::from(endpoint).into(),
            ..Self::zero()
        }
    }

    pub(crate) const fn status(&self) -> Status {
        from_errno(i32::from_be_bytes(self.word.to_bytes()))
    }

    /// `number_of_packets` with the two ways of saying "not isochronous" made one: Linux sends 0,
    /// the kernel's document and usbip-win2 say −1.
    // Quirk: usbip-win2 sends −1 packets; test: minus_one_packets_is_none
    pub(crate) const fn packet_count(&self) -> i32 {
        match self.packets.get() {
            -1 => 0,
            count => count,
        }
    }
}

/// A status as the wire carries it.
// Quirk: jiegec's `usbip` 0.9.0 answers 1 where its device refuses, and a driver may read that as a
// length; test: a_positive_status_is_a_stall
pub(crate) const fn from_errno(errno: i32) -> Status {
    if errno > 0 {
        return Status::STALL;
    }
    Status::from_errno(errno)
}

/// The same, whatever a function has made up.
pub(crate) const fn to_errno(status: Status) -> i32 {
    let errno = status.errno();
    if errno > 0 {
        return Status::PROTOCOL.errno();
    }
    errno
}
