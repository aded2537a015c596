//! A role and the capabilities of both sides, a byte each, and what the peer sends after its hello.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oracle::Both;
use usbredir_proto::codec::Role;

fuzz_target!(|input: &[u8]| {
    if let [role, own, peer, stream @ ..] = input {
        let role = if role & 1 == 0 {
            Role::Host
        } else {
            Role::Guest
        };
        Both::new(role, (*own).into(), (*peer).into()).feed(stream);
    }
});
