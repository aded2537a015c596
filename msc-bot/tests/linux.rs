//! What Linux asks of a disk, asked of ours: `data/README.md`.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, disk};
use bytes::Bytes;
use msc_bot::BlockSize;
use usb_descriptors::{EndpointAddress, SetupPacket};
use usb_transfer::{Actual, Completion, Payload, Status, Transfer, TransferIds};

static ASKED: &[u8] = include_bytes!("data/linux.c2s.bin");
static ANSWERED: &[u8] = include_bytes!("data/linux.s2c.bin");

const BLOCK: usize = 512;

/// One transfer of the recorded session, and how the recorded device answered it.
struct Recorded {
    transfer: Transfer,
    answer: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn session() -> Vec<Recorded> {
    let mut ids = TransferIds::default();
    // After OP_REQ_IMPORT and OP_REP_IMPORT.
    let (mut asked, mut answered) = (&ASKED[40..], &ANSWERED[320..]);
    let mut session = Vec::new();
    while !asked.is_empty() {
        let (header, rest) = asked.split_at(48);
        assert_eq!(word(header, 0), 1, "USBIP_CMD_SUBMIT");
        let (is_in, endpoint, length) = (word(header, 12) == 1, word(header, 16), word(header, 24));
        let setup = SetupPacket::from_bytes(header[40..48].try_into().unwrap());
        let carried = if is_in { 0 } else { length };
        let data = Bytes::from_static(&rest[..carried]);
        asked = &rest[carried..];
        let (header, rest) = answered.split_at(48);
        assert_eq!(
            (word(header, 0), word(header, 20)),
            (3, 0),
            "USBIP_RET_SUBMIT, success"
        );
        let given = if is_in { word(header, 24) } else { 0 };
        let answer = rest[..given].to_vec();
        answered = &rest[given..];
        let id = ids.mint();
        let transfer = match (endpoint, is_in) {
            (0, true) => Transfer::control_in(id, setup),
            (0, false) => Transfer::control_out(id, setup, data),
            (_, true) => Transfer::data_in(id, bench::BULK_IN, length as u32),
            // The recorded device had both bulk endpoints at number 1.
            (_, false) => Transfer::data_out(id, bench::BULK_OUT, data),
        };
        session.push(Recorded { transfer, answer });
    }
    assert!(answered.is_empty(), "every request was answered");
    session
}

#[test]
fn every_request_of_a_linux_host_is_answered_as_it_should_be() {
    let session = session();
    let mut bench = Bench::unconfigured(vec![disk(BlockSize::BYTES_512, 16_384).removable(true)]);
    // The disk as far as the recorded host read it.
    let mut command = Vec::new();
    for Recorded { transfer, answer } in &session {
        match &transfer.payload {
            Payload::Out(data) if data.starts_with(b"USBC") => command = data[15..].to_vec(),
            Payload::In { .. } if command.first() == Some(&0x28) && answer.len() >= BLOCK => {
                let at = word(&command, 2) * BLOCK;
                bench.stores[0].disk[at..at + answer.len()].copy_from_slice(answer);
            }
            _ => {}
        }
    }
    let (mut reads, mut commands) = (0, 0);
    let mut command = Vec::new();
    for Recorded { transfer, answer } in session {
        let (id, endpoint, payload) = (transfer.id, transfer.endpoint, transfer.payload.clone());
        bench.submit(transfer);
        let Completion { status, actual, .. } = bench.done(id);
        let Actual::In(data) = actual else {
            assert_eq!(status, Status::COMPLETED);
            if let Payload::Out(data) = payload {
                assert_eq!(actual, Actual::Out(data.len() as u32));
                if endpoint == bench::BULK_OUT {
                    command = data[15..].to_vec();
                    commands += 1;
                }
            }
            continue;
        };
        let data = data.to_bytes();
        if endpoint == EndpointAddress::CONTROL_IN {
            // Strings beyond ours are stalled, as a host expects; GET_MAX_LUN says the same.
            assert!(matches!(status, Status::COMPLETED | Status::STALL));
            if answer.len() == 1 {
                assert_eq!(data[..], answer);
            }
        } else if answer.starts_with(b"USBS") {
            assert_eq!(status, Status::COMPLETED);
            assert_eq!(data.len(), 13);
            assert_eq!(data[4..8], answer[4..8], "the tag");
            // The recorded device failed its first commands for unit attention; ours never does.
            assert_eq!(data[12], 0, "passed");
        } else {
            assert_eq!(status, Status::COMPLETED);
            assert_eq!(data.len(), payload.len(), "all that was asked for");
            match command[0] {
                // The same but for the version, and for how much there would be.
                0x12 => assert_eq!(
                    data[..8],
                    [&[0, 0x80, 6, answer[3], 69], &answer[5..8]].concat()
                ),
                // Capacity and contents are the same.
                0x25 | 0x28 => {
                    reads += usize::from(command[0] == 0x28);
                    assert_eq!(data[..], answer);
                }
                // As writable as the recorded one.
                0x1a => assert_eq!(data[2] & 0x80, answer[2] & 0x80),
                0x03 => assert_eq!(data[0], 0x70),
                other => panic!("command {other:02x}h has no data"),
            }
        }
    }
    assert_eq!((commands, reads), (22, 5));
}
