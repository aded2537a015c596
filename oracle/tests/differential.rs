//! The same bytes make the same packets.

use oracle::{Both, drain};
use proptest::prelude::*;
use usb_descriptors::{Direction, EndpointAddress, SetupPacket};
use usb_transfer::{Segments, TxQueue};
use usbredir_proto::codec::{Packet, Role, StatusCode};

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
