//! What a peer may ask for.

use crate::wire::iso;
use crate::wire::urb::Header;

/// What a peer may make this side hold. Every length is checked against these before memory is
/// taken for it.
///
/// ```
/// let mut limits = usbip_proto::Limits::default();
/// limits.max_transfer = 1 << 20;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest transfer, in bytes; a longer one ends the session. Default 16 MiB, what Linux
    /// lets a program submit at once. More than `i32::MAX`, which the wire has no number for, means
    /// that; with 32-bit addresses half of it. A server reserves what one header announces: with
    /// `i32::MAX` here each client that sends 48 bytes makes it ask for 2 GiB at once.
    pub max_transfer: u32,
    /// Transfers in flight at a server; one more is answered with
    /// [`Status::NO_MEMORY`](usb_transfer::Status::NO_MEMORY). Default 1024: drivers keep 1 to
    /// about 100. As many unlinks may come before their requests; one more ends the session. A
    /// client has as many as its embedder submits.
    pub max_in_flight: usize,
    /// Bytes that all transfers in flight carry or ask for, and their lists of isochronous packets;
    /// more is answered in the same way. Default 64 MiB: four of the longest, or 500 of the
    /// 120 KiB that usb-storage asks for at once. Payloads are parts of the receive
    /// buffer and may keep more of it alive: each as much again as it is long, and 64 of them
    /// 256 KiB ([`ReadAhead`](usb_transfer::ReadAhead)). Lists of packets are kept for reuse, 32 of
    /// them. So a client makes a server, whose function keeps nothing that it has
    /// completed, hold twice this limit, 16 MiB, and 1 MiB of such lists at
    /// worst, beside a receive buffer of 512 KiB or one message.
    pub max_in_flight_bytes: u64,
    /// Packets of an isochronous transfer; more end the session. Default 1024, the kernel's own
    /// limit (`drivers/usb/usbip/usbip_common.h`, `USBIP_MAX_ISO_PACKETS`). With 32-bit addresses more
    /// than fit into 1 GiB, 16 bytes each, means those.
    pub max_iso_packets: u32,
    /// Bytes queued for writing at which a server's session stops reading. Default 1 MiB: more than
    /// a socket buffer takes, so that a fast client is never waited for. The queue can exceed it by
    /// what is in flight, and by the answers to unlinks that waited.
    pub tx_high_water: usize,
    /// Devices that a server may list to a client; more end the handshake. Default 1024: four
    /// times the ports that Debian's vhci_hcd has. They are handed on one by one, not kept.
    pub max_devices: u32,
    /// Interfaces of a device in that list; more end the handshake. Default 32, beyond which Linux
    /// uses none (`include/linux/usb.h`, `USB_MAXINTERFACES`).
    pub max_interfaces: u8,
}

impl Limits {
    /// The same, as far as the fields of a header and a buffer have room: half of it for the
    /// payload, the other half for the header and the packets.
    pub(crate) fn within_reach(mut self) -> Self {
        const HALF: usize = usize::MAX / 4;
        let most = u32::try_from(HALF).unwrap_or(u32::MAX);
        self.max_transfer = self.max_transfer.min(most).min(i32::MAX as u32);
        let most = HALF.saturating_sub(Header::LENGTH) / iso::LENGTH;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.max_iso_packets = self.max_iso_packets.min(most);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_transfer: 16 << 20,
            max_in_flight: 1024,
            max_in_flight_bytes: 64 << 20,
            max_iso_packets: 1024,
            tx_high_water: 1 << 20,
            max_devices: 1024,
            max_interfaces: 32,
        }
    }
}
