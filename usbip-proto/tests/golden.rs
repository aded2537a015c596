//! What two real kernels said to each other, through both roles: see `data/README.md`.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use bytes::{Buf, BytesMut};
use usb_descriptors::Speed;
use usb_transfer::{
    Actual, Completion, Frontend, Function, FunctionEvent, HostEvent, Kind, Segments, Status, Step,
    Transfer, TransferId, TxQueue, Wire,
};
use usbip_proto::client::{self, HandshakeEvent as ClientEvent};
use usbip_proto::server::{self, HandshakeEvent as ServerEvent};
use usbip_proto::{DeviceId, Limits};

struct Capture {
    c2s: &'static [u8],
    s2c: &'static [u8],
}

const MSC: Capture = Capture {
    c2s: include_bytes!("data/msc.c2s.bin"),
    s2c: include_bytes!("data/msc.s2c.bin"),
};

const ZERO: Capture = Capture {
    c2s: include_bytes!("data/zero.c2s.bin"),
    s2c: include_bytes!("data/zero.s2c.bin"),
};

const REQ_IMPORT: usize = 40;
const REP_IMPORT: usize = 320;

fn written(tx: &mut TxQueue) -> Vec<u8> {
    let bytes = tx.copy_to_bytes(tx.remaining());
    bytes.to_vec()
}

/// All transfers that the client's bytes make.
fn transfers(capture: &Capture) -> Vec<Transfer> {
    let mut session = server::Session::new(DeviceId::default(), Speed::High, Limits::default());
    let mut rx = BytesMut::from(&capture.c2s[REQ_IMPORT..]);
    let mut transfers = Vec::new();
    while session.receive(&mut rx).unwrap() == Step::Ready {
        let Some(HostEvent::Submit(transfer)) = session.poll() else {
            panic!("only submits")
        };
        transfers.push(transfer);
    }
    assert!(rx.is_empty(), "every byte belongs to a message");
    transfers
}

/// The completions that the server's bytes make for these transfers, in order.
fn completions(capture: &Capture, transfers: &[Transfer]) -> (Vec<Completion>, Vec<u8>) {
    let mut session = client::Session::new(DeviceId::default(), Speed::High, Limits::default());
    transfers
        .iter()
        .for_each(|transfer| session.submit(transfer.clone()));
    let sent = written(session.tx());
    let mut rx = BytesMut::from(&capture.s2c[REP_IMPORT..]);
    let mut completions = Vec::new();
    while session.receive(&mut rx).unwrap() == Step::Ready {
        let Some(FunctionEvent::Complete(completion)) = session.poll() else {
            panic!()
        };
        completions.push(completion);
    }
    assert!(rx.is_empty(), "every byte belongs to a message");
    (completions, sent)
}

#[test]
fn every_message_of_a_disk_is_understood() {
    let transfers = transfers(&MSC);
    assert_eq!(transfers.len(), 60);
    let (completions, _) = completions(&MSC, &transfers);
    assert_eq!(completions.len(), 60);
    for (transfer, completion) in transfers.iter().zip(&completions) {
        assert_eq!(transfer.id, completion.id);
        assert!(completion.actual.len() <= transfer.payload.len());
    }
    // The first: GET_DESCRIPTOR(device) of 64 bytes, answered with 18.
    assert!(matches!(transfers[0].kind, Kind::Control(setup) if setup.length == 64));
    assert_eq!(completions[0].actual.len(), 18);
    let bulk = transfers
        .iter()
        .filter(|transfer| matches!(transfer.kind, Kind::Data { .. }));
    assert!(
        bulk.count() > 30,
        "bulk transfers, though their setup bytes are not zero"
    );
}

#[test]
fn isochronous_errors_and_overflow_are_understood() {
    let transfers = transfers(&ZERO);
    let (completions, _) = completions(&ZERO, &transfers);
    assert_eq!(completions.len(), 15);
    // An overflow comes with all its data.
    assert_eq!(completions[9].status, Status::OVERFLOW);
    assert_eq!(completions[9].actual.len(), 20_000);
    // bInterval 4 at high speed: 8 microframes.
    assert_eq!(transfers[12].interval, 8);
    let Kind::Isochronous(packets) = &transfers[12].kind else {
        panic!("isochronous IN")
    };
    assert_eq!(
        packets.iter().map(|packet| packet.length).sum::<u32>(),
        3100
    );
    let Kind::Isochronous(packets) = &transfers[13].kind else {
        panic!("isochronous OUT")
    };
    assert_eq!((packets.len(), transfers[13].payload.len()), (4, 3100));
    assert!(transfers[12].flags.iso_asap);
    assert_eq!(completions[12].status, Status::NOT_TRANSFERRED);
    assert_eq!(completions[12].packets.len(), 4);
}

/// The kernel's own bytes, where it had a choice that the standard leaves open, made as ours.
fn normalised(mut bytes: Vec<u8>, transfers: &[Transfer], requests: bool) -> Vec<u8> {
    let mut at = 0;
    for transfer in transfers {
        let header = &mut bytes[at..at + 48];
        let length = i32::from_be_bytes(header[24..28].try_into().unwrap()) as usize;
        let packets = i32::from_be_bytes(header[32..36].try_into().unwrap()) as usize;
        let is_in = matches!(transfer.payload, usb_transfer::Payload::In { .. });
        if requests {
            // DMA flags, and setup bytes that were left over from another transfer.
            header[20..24]
                .iter_mut()
                .zip([0, 0, 2, 0x43])
                .for_each(|(flags, mask)| *flags &= mask);
            if !matches!(transfer.kind, Kind::Control(_)) {
                header[40..48].fill(0);
            }
        } else {
            // vudc counts no packet of a transfer that failed as a whole.
            header[36..40].fill(0);
            // It leaves it to the client to apply SHORT_NOT_OK.
            if transfer.flags.short_not_ok && header[20..24] == (-121i32).to_be_bytes() {
                header[20..24].fill(0);
            }
        }
        let payload = if is_in == requests { 0 } else { length };
        at += 48 + payload + packets * 16;
    }
    assert_eq!(at, bytes.len());
    bytes
}

/// Without printing kilobytes.
fn assert_same(ours: &[u8], kernels: &[u8]) {
    let differ = ours
        .iter()
        .zip(kernels)
        .position(|(ours, kernels)| ours != kernels);
    assert_eq!(differ, None, "lengths {} and {}", ours.len(), kernels.len());
    assert_eq!(ours.len(), kernels.len());
}

#[test]
fn our_server_answers_with_the_same_bytes() {
    for capture in [&MSC, &ZERO] {
        let transfers = transfers(capture);
        let (completions, _) = completions(capture, &transfers);
        let mut session = server::Session::new(DeviceId::default(), Speed::High, Limits::default());
        let mut rx = BytesMut::from(&capture.c2s[REQ_IMPORT..]);
        for completion in completions {
            assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
            assert!(session.poll().is_some());
            session.complete(completion);
        }
        let ours = normalised(written(session.tx()), &transfers, false);
        let kernels = normalised(capture.s2c[REP_IMPORT..].to_vec(), &transfers, false);
        assert_same(&ours, &kernels);
    }
}

#[test]
fn our_client_asks_with_the_same_bytes() {
    for capture in [&MSC, &ZERO] {
        let transfers = transfers(capture);
        let (_, sent) = completions(capture, &transfers);
        let ours = normalised(sent, &transfers, true);
        let kernels = normalised(capture.c2s[REQ_IMPORT..].to_vec(), &transfers, true);
        assert_same(&ours, &kernels);
    }
}

#[test]
fn an_import_goes_through_both_roles() {
    let mut client = client::Handshake::import("usbip-vudc.0".parse().unwrap(), Limits::default());
    assert_eq!(written(client.tx()), MSC.c2s[..REQ_IMPORT]);
    let mut rx = BytesMut::from(MSC.s2c);
    assert_eq!(client.receive(&mut rx).unwrap(), Step::Ready);
    let Some(ClientEvent::Imported(record)) = client.poll() else {
        panic!()
    };
    assert_eq!((record.vendor_id(), record.product_id()), (0x0525, 0xa4a5));
    assert_eq!(record.device_id(), DeviceId::default());
    assert_eq!(record.speed_code().speed(), Some(Speed::High));
    assert!(client.into_session().is_ok());
    assert_eq!(rx, MSC.s2c[REP_IMPORT..], "what follows is the session's");

    let mut server = server::Handshake::new(Limits::default());
    let mut rx = BytesMut::from(&MSC.c2s[..REQ_IMPORT]);
    assert_eq!(server.receive(&mut rx).unwrap(), Step::Ready);
    let Some(ServerEvent::Import(request)) = server.poll() else {
        panic!()
    };
    let mut session = server.accept(request, &record);
    assert_eq!(written(session.tx()), MSC.s2c[..REP_IMPORT]);
}

#[test]
fn an_out_result_of_the_wrong_direction_is_nothing() {
    let mut session = server::Session::new(DeviceId::default(), Speed::High, Limits::default());
    let mut rx = BytesMut::from(&MSC.c2s[REQ_IMPORT..REQ_IMPORT + 48]);
    let _ = session.receive(&mut rx).unwrap();
    let Some(HostEvent::Submit(transfer)) = session.poll() else {
        panic!()
    };
    let confused = Completion::new(transfer.id, Status::COMPLETED, Actual::Out(7));
    session.complete(confused);
    let unknown = TransferId::from_u64(99);
    session.complete(Completion::new(
        unknown,
        Status::COMPLETED,
        Actual::In(Segments::zeros(9)),
    ));
    let reply = written(session.tx());
    assert_eq!((reply.len(), &reply[24..28]), (48, &[0; 4][..]));
}
