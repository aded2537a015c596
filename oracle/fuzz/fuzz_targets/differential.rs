//! A role and the capabilities of both sides, a byte each, and what the peer sends after its hello.
//! What was read is then written as the peer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oracle::Both;
use usbredir_proto::codec::{Packet, Role};

fuzz_target!(|input: &[u8]| {
    if let [role, own, peer, stream @ ..] = input {
        let role = if role & 1 == 0 {
            Role::Host
        } else {
            Role::Guest
        };
        let (own, peer) = (u32::from(*own), u32::from(*peer));
        let (taken, _) = Both::new(role, own, peer).feed(stream);
        let mut writer = Both::new(role.peer(), peer, own);
        for (id, packet) in taken {
            if !matches!(packet, Packet::Hello(_)) {
                writer.write(id, &packet);
            }
        }
    }
});
