//! The same bytes make the same packets.

use bytes::{Buf, BytesMut};
use oracle::{Oracle, Seen};
use proptest::prelude::*;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket};
use usb_transfer::{Segments, TxQueue};
use usbredir_proto::codec::{Codec, Decoded, Packet, PacketType, Role, StatusCode};
use usbredir_proto::{Capabilities, Limits, ProtocolError};

/// As much as the C library takes.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_transfer = 128 << 20;
    limits.max_filter = 128 << 20;
    limits
}

fn drain(tx: &mut TxQueue) -> Vec<u8> {
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

/// Ours and the library as the same end, which has met a peer with these capabilities.
struct Both {
    ours: Codec,
    theirs: Oracle,
    /// Bytes of a header.
    header: usize,
}

impl Both {
    fn new(role: Role, own: u32, peer: u32) -> Self {
        let mut both = Self {
            ours: Codec::new(role, Capabilities::from_bits(own), limits()),
            theirs: Oracle::new(role == Role::Host, own),
            header: if own & peer & 0x20 == 0 { 12 } else { 16 },
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
    fn feed(&mut self, stream: &[u8]) -> (Vec<(u64, Packet)>, Option<ProtocolError>) {
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
                        !accepted || !is_whole || is_ours_alone(&error),
                        "only we refuse: {error}"
                    );
                    return (taken, Some(error));
                }
            }
        }
    }
}

/// Where we are stricter, and mean it.
fn is_ours_alone(error: &ProtocolError) -> bool {
    match error {
        // The library does not ask for capability 0 where a packet needs it.
        ProtocolError::Capability { found, .. } => (18..=20).contains(&found.0),
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

fn endpoint(byte: u8) -> EndpointAddress {
    EndpointAddress::from_byte(byte)
}

/// A packet as `role` may send it, whatever the capabilities.
fn packet(role: Role) -> impl Strategy<Value = Packet> {
    let sends = match role {
        Role::Host => Direction::In,
        Role::Guest => Direction::Out,
    };
    let data = prop::collection::vec(any::<u8>(), 0..600);
    (
        0..9,
        any::<u8>(),
        any::<u8>(),
        any::<u32>(),
        data,
        any::<[u8; 6]>(),
    )
        .prop_map(move |(kind, address, status, stream, mut data, setup)| {
            let mut endpoint = endpoint(address);
            if kind == 2 || kind == 3 || kind == 4 {
                endpoint = endpoint.with_direction(sends);
            }
            let length = data.len() as u16;
            if endpoint.direction() != sends {
                data.clear();
            }
            let (status, data) = (StatusCode(status), Segments::from(data));
            let [low, high] = length.to_le_bytes();
            let [a, b, c, d, e, f] = setup;
            match (kind, role) {
                (0, _) => Packet::Control {
                    endpoint,
                    setup: SetupPacket::from_bytes([a, b, c, d, e, f, low, high]),
                    status,
                    data,
                },
                (1, _) => Packet::Bulk {
                    endpoint,
                    status,
                    stream,
                    length: length.into(),
                    data,
                },
                (2, _) => Packet::Iso {
                    endpoint,
                    status,
                    length,
                    data,
                },
                (3, _) => Packet::Interrupt {
                    endpoint,
                    status,
                    length,
                    data,
                },
                (4, Role::Host) => Packet::BufferedBulk {
                    stream,
                    endpoint,
                    status,
                    length: length.into(),
                    data,
                },
                (4, Role::Guest) => Packet::SetConfiguration { value: a },
                (5, Role::Host) => Packet::ConfigurationStatus { status, value: a },
                (5, Role::Guest) => Packet::SetAltSetting {
                    interface: a,
                    alternate: b,
                },
                (6, Role::Host) => Packet::AltSettingStatus {
                    status,
                    interface: a,
                    alternate: b,
                },
                (6, Role::Guest) => Packet::StartIsoStream {
                    endpoint,
                    packets_per_transfer: a,
                    transfers: b,
                },
                (7, Role::Host) => Packet::IsoStreamStatus { status, endpoint },
                (7, Role::Guest) => Packet::CancelDataPacket,
                (_, Role::Host) => Packet::DeviceDisconnect,
                (_, Role::Guest) => Packet::Reset,
            }
        })
}

fn streams() -> impl Strategy<Value = (Role, Vec<(u32, Packet)>)> {
    let of = |role| {
        prop::collection::vec((any::<u32>(), packet(role)), 1..8).prop_map(move |list| (role, list))
    };
    prop_oneof![of(Role::Host), of(Role::Guest)]
}

/// What our end writes.
fn written(role: Role, own: u32, peer: u32, packets: &[(u32, Packet)]) -> Vec<u8> {
    let writer = Both::new(role, own, peer).ours;
    let mut tx = TxQueue::new();
    for (id, packet) in packets {
        // Without the capability for it there is nothing to compare.
        let _ = writer.encode((*id).into(), packet.clone(), &mut tx);
    }
    drain(&mut tx)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_we_write_they_read((role, packets) in streams(), own in 0u32..=0xff, peer in 0u32..=0xff) {
        let stream = written(role, own, peer, &packets);
        let (taken, error) = Both::new(role.peer(), peer, own).feed(&stream);
        prop_assert_eq!(error, None);
        prop_assert!(taken.len() <= packets.len());
    }

    #[test]
    fn what_they_write_is_what_we_write((role, packets) in streams(), own in 0u32..=0xff, peer in 0u32..=0xff) {
        let mut both = Both::new(role, own, peer);
        let mut reader = Both::new(role.peer(), peer, own);
        for one in packets {
            let stream = written(role, own, peer, std::slice::from_ref(&one));
            let (id, packet) = one;
            let code = packet.packet_type().0;
            if stream.is_empty() || code < 100 {
                continue;
            }
            reader.theirs.bring(&stream);
            reader.theirs.read().unwrap();
            let seen = reader.theirs.seen().remove(0);
            both.theirs.send(code, id.into(), &seen.fixed, &seen.data);
            prop_assert_eq!(both.theirs.output(), stream);
        }
    }

    #[test]
    fn spoilt_bytes_are_judged_alike(
        (role, packets) in streams(),
        own in 0u32..=0xff,
        peer in 0u32..=0xff,
        at: prop::sample::Index,
        value: u8,
    ) {
        let mut stream = written(role, own, peer, &packets);
        if !stream.is_empty() {
            *at.get_mut(&mut stream) = value;
            // Enough for a length that has grown.
            stream.resize(stream.len() + 400, 0);
            Both::new(role.peer(), peer, own).feed(&stream);
        }
    }
}
