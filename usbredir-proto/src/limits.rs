//! What a peer may ask for.

/// What a peer may make this side hold. Every length is checked against these before memory is
/// taken for it.
///
/// ```
/// let mut limits = usbredir_proto::Limits::default();
/// limits.max_transfer = 1 << 20;
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest bulk transfer, in bytes, carried or asked for; a longer one ends the
    /// connection. Default 16 MiB. `libusbredirparser` takes 128 MiB.
    pub max_transfer: u32,
    /// The longest list of filter rules, in bytes; a longer one ends the connection. Default
    /// 64 KiB.
    pub max_filter: u32,
    /// Transfers in flight at a [`Host`](crate::Host), those of streams too; one more is answered
    /// with [`StatusCode::IO_ERROR`](crate::codec::StatusCode::IO_ERROR), and a stream waits.
    /// Default 1024.
    pub max_in_flight: usize,
    /// Bytes that all transfers in flight at a [`Host`](crate::Host) carry or ask for, with what
    /// waits for an isochronous OUT endpoint; more is answered in the same way, or dropped where it
    /// is isochronous. Default 64 MiB. Payloads are parts of the receive buffer and may
    /// keep more of it alive: each as much again as it is long, and 64 of them 256 KiB
    /// ([`ReadAhead`](usb_transfer::ReadAhead)). So a guest makes a host hold twice this limit and
    /// 16 MiB at worst, beside a receive buffer of 512 KiB or one packet.
    pub max_in_flight_bytes: u64,
    /// Bytes queued for writing at which a [`Host`](crate::Host) stops reading and stops asking
    /// its device for stream data. Default 1 MiB. The queue can exceed it by what is in flight.
    pub tx_high_water: usize,
    /// Packets that a [`Guest`](crate::Guest) keeps of what a host pushes from one interrupt or
    /// isochronous endpoint; more push the oldest out. Default 1000, as QEMU.
    pub max_buffered_packets: usize,
    /// Bytes of those packets, of one endpoint; more push the oldest out, too, but the last stays.
    /// Default 4 MiB: 1000 packets of high speed.
    pub max_buffered_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_transfer: 16 << 20,
            max_filter: 64 << 10,
            max_in_flight: 1024,
            max_in_flight_bytes: 64 << 20,
            tx_high_water: 1 << 20,
            max_buffered_packets: 1000,
            max_buffered_bytes: 4 << 20,
        }
    }
}
