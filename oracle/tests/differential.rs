//! The same bytes make the same packets, and the same packets the same bytes.

use std::collections::BTreeSet;

use oracle::{ACKNOWLEDGES, Both, Values, every};
use proptest::prelude::*;
use usbredir_proto::codec::Role;

const ROLES: [Role; 2] = [Role::Host, Role::Guest];

/// Lets this role write a packet of every type, with these values, and its peer read them. Gives
/// what was written.
fn converse(role: Role, own: u32, peer: u32, seed: u64) -> Vec<u8> {
    let mut values = Values(seed);
    let mut writer = Both::new(role, own, peer);
    let mut reader = Both::new(role.peer(), peer, own | ACKNOWLEDGES);
    let mut stream = Vec::new();
    for packet in every(role, &mut values) {
        let id = values.id();
        let Some(bytes) = writer.write(id, &packet) else {
            continue;
        };
        let (taken, error) = reader.feed(&bytes);
        assert_eq!(error, None, "{packet:?}");
        let [(_, read)] = &taken[..] else {
            panic!("{packet:?}: {taken:?}")
        };
        assert_eq!(*read, writer.told(&packet));
        stream.extend(bytes);
    }
    stream
}

#[test]
fn every_type_is_among_what_is_compared() {
    let all = ROLES.map(|role| every(role, &mut Values(0)));
    let found: BTreeSet<_> = all
        .iter()
        .flatten()
        .map(|one| one.packet_type().0)
        .collect();
    // A hello is compared at each beginning.
    assert_eq!(found, (1..=27).chain(100..=104).collect());
}

#[test]
fn what_either_writes_both_read_at_all_capabilities_of_both() {
    for capabilities in 0..=0xff {
        for role in ROLES {
            converse(role, capabilities, capabilities, capabilities.into());
        }
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop::sample::select(&ROLES[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_either_writes_both_read(role in roles(), own in 0u32..=0xff, peer in 0u32..=0xff, seed: u64) {
        converse(role, own, peer, seed);
    }

    #[test]
    fn spoilt_bytes_are_judged_alike(
        role in roles(),
        own in 0u32..=0xff,
        peer in 0u32..=0xff,
        seed: u64,
        at: prop::sample::Index,
        value: u8,
    ) {
        let mut stream = converse(role, own, peer, seed);
        *at.get_mut(&mut stream) = value;
        // Enough for a length that has grown.
        stream.resize(stream.len() + 400, 0);
        Both::new(role.peer(), peer, own | ACKNOWLEDGES).feed(&stream);
    }
}
