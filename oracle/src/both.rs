//! Ours and the library side by side.

use bytes::{Buf, BytesMut};
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Codec, Decoded, Packet, PacketType, Role};
use usbredir_proto::{Capabilities, Limits, ProtocolError};

use crate::{Oracle, Seen};

/// As much as the C library takes.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_transfer = 128 << 20;
    limits.max_filter = 128 << 20;
    limits
}

/// All that is queued.
pub fn drain(tx: &mut TxQueue) -> Vec<u8> {
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

/// Ours and the library as the same end, which has met a peer with these capabilities.
pub struct Both {
    /// Ours.
    pub ours: Codec,
    /// The library.
    pub theirs: Oracle,
    /// Bytes of a header.
    header: usize,
    /// What the peer can do.
    peer: u32,
}

impl Both {
    /// Ends of this role with these capabilities, and what their peer's hello told.
    #[must_use]
    pub fn new(role: Role, own: u32, peer: u32) -> Self {
        let mut both = Self {
            ours: Codec::new(role, Capabilities::from_bits(own), limits()),
            theirs: Oracle::new(role == Role::Host, own),
            header: if own & peer & 0x20 == 0 { 12 } else { 16 },
            peer,
        };
        let peer = Codec::new(role.peer(), Capabilities::from_bits(peer), limits());
        let mut tx = TxQueue::new();
        peer.encode(0, Packet::Hello(peer.hello("peer")), &mut tx)
            .unwrap();
        let hello = drain(&mut tx);
        let _ = both.ours.decode(&mut BytesMut::from(&hello[..])).unwrap();
        both.theirs.bring(&hello);
        both.theirs.read().unwrap();
        both.theirs.seen();
        // Their hello, which is in no packet that is compared.
        both.theirs.discard();
        both
    }

    /// Feeds both until one refuses. What both took is the same; what one refused is told.
    pub fn feed(&mut self, stream: &[u8]) -> (Vec<(u64, Packet)>, Option<ProtocolError>) {
        let mut rx = BytesMut::from(stream);
        let mut taken = Vec::new();
        loop {
            let before = rx.clone();
            match self.ours.decode(&mut rx) {
                Ok(Decoded::Packet { id, packet }) => {
                    let bytes = &before[..before.len() - rx.len()];
                    self.theirs.bring(bytes);
                    let read = self.theirs.read();
                    let seen = self.theirs.seen();
                    compare(&packet, id, bytes, read.is_ok(), &seen);
                    taken.push((id, packet));
                }
                Ok(Decoded::Missing(_)) => return (taken, None),
                Err(error) => {
                    self.theirs.bring(&before);
                    // The library judges a packet when all of it is there; we, by its header.
                    let is_whole = before.len() >= self.header + body_length(&before);
                    let accepted = self.theirs.read().is_ok();
                    assert!(
                        !accepted || !is_whole || is_ours_alone(&error, self.peer),
                        "only we refuse: {error}"
                    );
                    return (taken, Some(error));
                }
            }
        }
    }
}

/// Where we are stricter, and mean it: what a capability allows needs both sides' word for it, or
/// the answer could not be sent.
fn is_ours_alone(error: &ProtocolError, peer: u32) -> bool {
    let ProtocolError::Capability { found, .. } = error else {
        return false;
    };
    match found.0 {
        // The library asks for nobody's.
        18..=20 => true,
        // And here for the receiver's.
        22 | 23 => peer & 0x04 == 0,
        24 => peer & 0x08 == 0,
        25..=27 | 104 => peer & 0x80 == 0,
        _ => false,
    }
}

fn compare(packet: &Packet, id: u64, bytes: &[u8], accepted: bool, seen: &[Seen]) {
    // A list of rules that are none is passed over; the rules themselves are compared elsewhere.
    if matches!(
        packet.packet_type(),
        PacketType::FILTER_FILTER | PacketType::HELLO
    ) {
        return;
    }
    assert!(accepted, "only they refuse {packet:?}: {bytes:02x?}");
    let [seen] = seen else {
        panic!("{packet:?}: {seen:?}")
    };
    assert_eq!(seen.packet_type, packet.packet_type().0);
    let has_id = !matches!(seen.packet_type, 0..=5 | 22 | 24);
    assert!(!has_id || seen.id == id);
    // Where it has fewer fields on the wire, those behind them are not told.
    let body = &bytes[bytes.len() - body_length(bytes)..];
    let fixed = seen.fixed.len().min(body.len() - seen.data.len());
    assert_eq!(&seen.fixed[..fixed], &body[..fixed], "{packet:?}");
    assert_eq!(&seen.data[..], &body[fixed..], "{packet:?}");
    let data = match packet {
        Packet::Control { data, .. }
        | Packet::Bulk { data, .. }
        | Packet::Iso { data, .. }
        | Packet::Interrupt { data, .. }
        | Packet::BufferedBulk { data, .. } => data.to_bytes().to_vec(),
        _ => Vec::new(),
    };
    assert_eq!(data, seen.data);
}

fn body_length(message: &[u8]) -> usize {
    u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize
}
