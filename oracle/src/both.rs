//! Ours and the library side by side.

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::EndpointAddress;
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Codec, Decoded, Packet, Role};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Capabilities, Limits, ProtocolError};

use crate::fields::{endpoint_at, fields, wire_length};
use crate::filter::Rule;
use crate::{Oracle, Seen};

/// The library acknowledges a device's end by itself, and says so whatever it is to be able to do.
pub const ACKNOWLEDGES: u32 = 0x08;

/// The longest transfer that the C library takes.
pub(crate) const MOST_TRANSFER: u32 = 128 << 20;

/// As much as the C library takes.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_transfer = MOST_TRANSFER;
    limits.max_filter = 128 << 20;
    limits
}

/// All that is queued.
fn drain(tx: &mut TxQueue) -> Vec<u8> {
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

/// Without bulk streams where their precondition is missing.
const fn settled(capabilities: u32) -> u32 {
    if capabilities & 0x10 == 0 {
        capabilities & !0x01
    } else {
        capabilities
    }
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
    /// What both ends can do.
    both: u32,
}

impl Both {
    /// Ends of this role with these capabilities, and what their peer's hello told. They say the
    /// same hello themselves.
    ///
    /// # Panics
    /// As all that compares: where they differ.
    #[must_use]
    pub fn new(role: Role, own: u32, peer: u32) -> Self {
        let own = own | ACKNOWLEDGES;
        let mut both = Self {
            ours: Codec::new(role, Capabilities::from_bits(own), limits()),
            theirs: Oracle::new(role == Role::Host, own),
            header: if own & peer & 0x20 == 0 { 12 } else { 16 },
            peer,
            both: settled(own) & settled(peer),
        };
        let hello = |codec: &Codec, version| {
            let mut tx = TxQueue::new();
            let packet = Packet::Hello(codec.hello(version));
            codec.encode(0, packet, &mut tx).unwrap();
            drain(&mut tx)
        };
        assert_eq!(hello(&both.ours, "oracle"), both.theirs.output(), "hello");
        let peer = Codec::new(role.peer(), Capabilities::from_bits(peer), limits());
        let hello = hello(&peer, "peer");
        let _ = both.ours.decode(&mut BytesMut::from(&hello[..])).unwrap();
        both.theirs.bring(&hello);
        both.theirs.read().unwrap();
        let seen = both.theirs.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(
            (seen[0].packet_type, &seen[0].fixed[..]),
            (0, &hello[12..76])
        );
        both
    }

    /// Lets both write a packet, which must come out as the same bytes; its id is 0 where its type
    /// has none. `None` where it is not to be written, and we refuse it.
    pub fn write(&mut self, id: u64, packet: &Packet) -> Option<Vec<u8>> {
        let code = packet.packet_type().0;
        let id = if has_id(code) { id } else { 0 };
        let mut tx = TxQueue::new();
        let written = self.ours.encode(id, packet.clone(), &mut tx);
        assert_eq!(
            written.is_ok(),
            self.may_write(id, packet),
            "{packet:?} with id {id:#x} and {:#04x}: {written:?}",
            self.both
        );
        written.ok()?;
        let bytes = drain(&mut tx);
        if *packet == Packet::DeviceDisconnectAck {
            // They write it by themselves, when the device has gone.
            let mut gone = vec![0; self.header];
            gone[0] = 2;
            self.theirs.bring(&gone);
            self.theirs.read().unwrap();
            self.theirs.seen();
        } else if let Packet::FilterFilter(text) = packet {
            // They print rules in their own form, and only if there are any.
            let Ok(rules) = Rules::from_wire(text) else {
                return Some(bytes);
            };
            if rules.iter().next().is_none() || rules.to_wire() != *text {
                return Some(bytes);
            }
            let rules: Vec<_> = rules.iter().map(Rule::from).collect();
            self.theirs.send_rules(&rules);
        } else {
            self.theirs.send(code, id, &fields(packet), &data(packet));
        }
        assert_eq!(self.theirs.output(), bytes, "written: {packet:?}");
        Some(bytes)
    }

    /// Whether a packet of which nothing else is wrong is for this end to write: an id must have
    /// room, so must a length, and what only some can read needs both sides' word.
    fn may_write(&self, id: u64, packet: &Packet) -> bool {
        let needs = match packet.packet_type().0 {
            18..=20 => 0x01,
            22 | 23 => 0x04,
            24 => 0x08,
            25..=27 | 104 => 0x80,
            _ => 0,
        };
        let id = if u32::try_from(id).is_ok() { 0 } else { 0x20 };
        let length = match packet {
            Packet::Bulk { length, .. } if *length > 0xffff => 0x40,
            _ => 0,
        };
        let needs = needs | id | length;
        let is_text = !matches!(packet, Packet::FilterFilter(text) if text.contains(&0));
        self.both & needs == needs && is_text
    }

    /// A packet as it is read at the other end: without what there is no place for.
    #[must_use]
    pub fn told(&self, packet: &Packet) -> Packet {
        let mut packet = packet.clone();
        match &mut packet {
            Packet::DeviceConnect(device) if self.both & 0x02 == 0 => device.release = None,
            Packet::EndpointInfo(info) => {
                for byte in (0..16).flat_map(|number| [number, number | 0x80]) {
                    let address = EndpointAddress::from_byte(byte);
                    let mut entry = info.get(address);
                    if self.both & 0x10 == 0 {
                        entry.max_packet_size = 0;
                    }
                    if self.both & 0x01 == 0 {
                        entry.max_streams = 0;
                    }
                    info.set(address, entry);
                }
            }
            _ => {}
        }
        packet
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
                    self.compare(&packet, id, read.is_ok(), &seen);
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

    /// All that we tell of a packet is what the library gave to its callback.
    fn compare(&self, packet: &Packet, id: u64, accepted: bool, seen: &[Seen]) {
        match packet {
            // A second one, which changes nothing.
            Packet::Hello(_) => return,
            Packet::FilterFilter(text) => return compare_rules(text, accepted, seen),
            _ => {}
        }
        assert!(accepted, "only they refuse {packet:?}");
        let [seen] = seen else {
            panic!("{packet:?}: {seen:?}")
        };
        let code = packet.packet_type().0;
        assert_eq!(seen.packet_type, code);
        assert_eq!(seen.id, if has_id(code) { id } else { 0 }, "{packet:?}");
        let mut theirs = seen.fixed.clone();
        // What is not on the wire is whatever memory held.
        theirs[wire_length(code, self.both)..].fill(0);
        if let Some(at) = endpoint_at(code) {
            // An address has bits that mean nothing.
            theirs[at] &= 0x8f;
        }
        if let Packet::InterfaceInfo(rows) = packet {
            // And a table, rows that do not count.
            for column in theirs[4..].chunks_mut(32) {
                column[rows.len()..].fill(0);
            }
        }
        assert_eq!(fields(packet), theirs, "read: {packet:?}");
        assert_eq!(data(packet), seen.data, "{packet:?}");
        assert_eq!(*packet, self.told(packet));
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

/// Whether packets of a type are given to the callbacks with an id.
const fn has_id(packet_type: u32) -> bool {
    !matches!(packet_type, 0..=5 | 22..=24)
}

fn data(packet: &Packet) -> Bytes {
    match packet {
        Packet::Control { data, .. }
        | Packet::Bulk { data, .. }
        | Packet::Iso { data, .. }
        | Packet::Interrupt { data, .. }
        | Packet::BufferedBulk { data, .. } => data.to_bytes(),
        _ => Bytes::new(),
    }
}

/// Both saw the same rules, or none in what is no list of rules.
fn compare_rules(text: &[u8], accepted: bool, seen: &[Seen]) {
    let Ok(rules) = Rules::from_wire(text) else {
        assert!(seen.is_empty(), "only they find rules: {seen:?}");
        return;
    };
    assert!(accepted, "only we find rules: {rules}");
    let [seen] = seen else {
        panic!("{rules}: {seen:?}")
    };
    let ours: Vec<_> = rules.iter().map(Rule::from).collect();
    let theirs: Vec<_> = seen.rules.iter().map(|rule| rule.plain()).collect();
    assert_eq!((seen.packet_type, theirs), (23, ours));
}

fn body_length(message: &[u8]) -> usize {
    u32::from_le_bytes(message[4..8].try_into().unwrap()) as usize
}
