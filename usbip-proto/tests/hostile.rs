//! What peers do that break the protocol, or break other implementations: both roles side by side.
//! What each refuses by name is with its role, in `server.rs`, `client.rs` and `handshake.rs`.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{DEVICE, Server, Submit, packet, reply, ret, unlink, word};
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{
    Completion, Frontend, Function, FunctionEvent, HostEvent, IsoPacket, Kind, Payload, Status,
    Step, Transfer, TransferIds, Wire,
};
use usbip_proto::{DeviceId, Limits, OpStatus, ProtocolError, client, server};

const OUT: u32 = 0;
const IN: u32 = 1;
const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);

fn client() -> client::Session {
    client::Session::new(DeviceId::from_u32(DEVICE), Speed::High, Limits::default())
}

/// A client that has asked for so many reads of 512 bytes, numbered from 1.
fn reading(count: usize) -> (client::Session, Vec<Transfer>) {
    let mut session = client();
    let mut ids = TransferIds::default();
    let transfers: Vec<_> = (0..count)
        .map(|_| Transfer::data_in(ids.mint(), BULK_IN, 512))
        .collect();
    transfers
        .iter()
        .for_each(|transfer| session.submit(transfer.clone()));
    session.tx().clear();
    (session, transfers)
}

fn import(bus_id: &str) -> client::Handshake {
    client::Handshake::import(bus_id.parse().unwrap(), Limits::default())
}

/// REP_IMPORT of a device `1-1`.
fn granted() -> [u8; 320] {
    let mut reply = [0; 320];
    reply[..4].copy_from_slice(&[1, 0x11, 0, 3]);
    reply[8 + 256..8 + 259].copy_from_slice(b"1-1");
    reply[8 + 299] = 3;
    reply
}

/// REP_DEVLIST of a device `1-1` with so many interfaces, which are all zero.
fn listed(interfaces: u8) -> Vec<u8> {
    let mut reply = vec![1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
    let device: &mut [u8] = &mut granted()[8..];
    device[311] = interfaces;
    reply.extend_from_slice(device);
    reply.resize(reply.len() + 4 * usize::from(interfaces), 0);
    reply
}

/// Other servers panic over a SUBMIT before an IMPORT; kernels know no operation at all.
#[test]
fn each_phase_refuses_the_other() {
    let submit = Submit::new(1, IN, 1, 512).header();
    let mut handshake = server::Handshake::new(Limits::default());
    let error = handshake
        .receive(&mut BytesMut::from(&submit[..]))
        .unwrap_err();
    assert!(matches!(error, ProtocolError::Version { found: 0, .. }));

    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    request.resize(48, b'1');
    let error = Server::new(Limits::default()).event(&request).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Command {
            found: 0x0111_8003,
            ..
        }
    ));

    let replied = ret(3, 1, 0, 0, 0);
    let error = import("1-1")
        .receive(&mut BytesMut::from(&replied[..]))
        .unwrap_err();
    assert!(matches!(error, ProtocolError::Version { found: 0, .. }));

    let error = client()
        .receive(&mut BytesMut::from(&granted()[..]))
        .unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Command {
            found: 0x0111_0003,
            ..
        }
    ));
}

/// A request is no reply, nor the other way round.
#[test]
fn each_role_refuses_its_own_words() {
    for command in [3u8, 4] {
        let mut header = Submit::new(1, IN, 1, 512).header();
        header[3] = command;
        let error = Server::new(Limits::default()).event(&header).unwrap_err();
        assert!(
            matches!(error, ProtocolError::Command { found, .. } if found == u32::from(command))
        );
    }
    for command in [1, 2] {
        let (mut session, _) = reading(1);
        let header = ret(command, 1, 0, 0, 0);
        let error = session
            .receive(&mut BytesMut::from(&header[..]))
            .unwrap_err();
        assert!(matches!(error, ProtocolError::Command { found, .. } if found == command));
    }
}

/// CVE-2016-3955, CVE-2017-16913: lengths and counts are checked before memory is taken for them.
#[test]
fn nothing_is_reserved_for_what_is_refused() {
    let good = Submit::new(1, OUT, 2, 512);
    for submit in [
        Submit {
            length: i32::MAX,
            ..good
        },
        Submit { length: -1, ..good },
        Submit {
            packets: i32::MAX,
            endpoint: 3,
            ..good
        },
        Submit {
            packets: 1025,
            endpoint: 3,
            ..good
        },
    ] {
        let mut server = Server::new(Limits::default());
        server.rx = BytesMut::with_capacity(48);
        server.event(&submit.header()).unwrap_err();
        assert!(server.rx.capacity() <= 48, "{submit:?}");
    }
    for header in [
        ret(3, 1, 0, i32::MAX, 0),
        ret(3, 1, 0, -1, 0),
        ret(3, 1, 0, 0, i32::MAX),
    ] {
        let (mut session, _) = reading(1);
        let mut rx = BytesMut::from(&header[..]);
        session.receive(&mut rx).unwrap_err();
        assert!(rx.capacity() < 1024);
    }
    let mut list = client::Handshake::list(Limits::default());
    let mut rx = BytesMut::from(&[1, 0x11, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..]);
    list.receive(&mut rx).unwrap_err();
    assert!(rx.capacity() < 1024);
}

#[test]
fn a_device_of_too_many_interfaces_is_refused() {
    let count = |interfaces: u8| {
        let mut list = client::Handshake::list(Limits::default());
        let mut rx = BytesMut::from(&listed(interfaces)[..]);
        list.receive(&mut rx).map(|step| (step, list.poll()))
    };
    let Ok((Step::Ready, Some(client::HandshakeEvent::Device(record)))) = count(32) else {
        panic!()
    };
    assert_eq!(record.interfaces().len(), 32);
    assert_eq!(
        count(33).unwrap_err().to_string(),
        "device 1-1 of 33 interfaces, limit 32"
    );
}

/// What follows the last answer is left to the embedder, who closes the connection.
#[test]
fn what_follows_an_answer_stays_in_the_buffer() {
    let refused = [1, 0x11, 0, 3, 0, 0, 0, 4];
    let cases: [(client::Handshake, Vec<u8>, usize); 2] = [
        (client::Handshake::list(Limits::default()), listed(2), 2),
        (import("1-1"), refused.to_vec(), 1),
    ];
    for (mut handshake, mut bytes, events) in cases {
        bytes.extend_from_slice(b"more");
        let mut rx = BytesMut::from(&bytes[..]);
        for _ in 0..events {
            assert_eq!(handshake.receive(&mut rx).unwrap(), Step::Ready);
            assert!(handshake.poll().is_some());
        }
        handshake.tx().clear();
        let Step::Io(wants) = handshake.receive(&mut rx).unwrap() else {
            panic!()
        };
        assert!(wants.is_finished());
        assert_eq!(rx, b"more"[..]);
    }
}

/// All events of a wire that is fed so many bytes at a time.
fn fed<W: Wire<Error = ProtocolError>, E>(
    wire: &mut W,
    bytes: &[u8],
    at_a_time: usize,
    mut poll: impl FnMut(&mut W) -> Option<E>,
) -> Vec<E> {
    let (mut rx, mut events) = (BytesMut::new(), Vec::new());
    let mut pieces = bytes.chunks(at_a_time);
    loop {
        match wire.receive(&mut rx).unwrap() {
            Step::Ready => events.extend(poll(wire)),
            Step::Io(wants) => {
                let Some(piece) = pieces.next() else {
                    return events;
                };
                assert!(
                    wants
                        .read
                        .is_some_and(|missing| rx.capacity() - rx.len() >= missing.get())
                );
                rx.extend_from_slice(piece);
            }
        }
    }
}

#[test]
fn replies_may_come_a_byte_at_a_time() {
    let list = |at_a_time| {
        let mut handshake = client::Handshake::list(Limits::default());
        fed(
            &mut handshake,
            &listed(3),
            at_a_time,
            client::Handshake::poll,
        )
    };
    assert_eq!(list(1), list(10_000));
    assert_eq!(list(1).len(), 2);

    let granted_at = |at_a_time| {
        let mut handshake = import("1-1");
        let poll = |handshake: &mut client::Handshake| handshake.poll();
        let (mut rx, mut event) = (BytesMut::new(), None);
        for piece in granted().chunks(at_a_time) {
            rx.extend_from_slice(piece);
            if handshake.receive(&mut rx).unwrap() == Step::Ready {
                event = poll(&mut handshake);
            }
        }
        event
    };
    assert!(granted_at(1).is_some());
    assert_eq!(granted_at(1), granted_at(320));

    let session = |at_a_time| {
        let (mut session, _) = reading(3);
        let mut ids = TransferIds::default();
        for _ in 0..3 {
            let _ = ids.mint();
        }
        let packets = vec![IsoPacket::new(0, 4), IsoPacket::new(4, 4)];
        let kind = Kind::Isochronous(packets);
        session.submit(Transfer::new(
            ids.mint(),
            BULK_IN,
            kind,
            Payload::In { length: 8 },
        ));
        session.tx().clear();
        let mut echoed = [packet(0, 4), packet(4, 4)];
        (echoed[0][11], echoed[1][11]) = (1, 2);
        let bytes = [
            &ret(3, 1, 0, 3, 0)[..],
            b"abc",
            &ret(3, 3, -32, 0, 0),
            &ret(3, 4, 0, 3, 2),
            b"def",
            &echoed.concat(),
            &ret(3, 2, -75, 512, -1),
            &[7; 512],
        ]
        .concat();
        fed(&mut session, &bytes, at_a_time, client::Session::poll)
    };
    assert_eq!(session(1), session(10_000));
    assert_eq!(session(1).len(), 4);
}

/// A stream that ends within a message leaves its start in the buffer, and everything completed.
#[test]
fn an_end_within_a_reply_completes_everything() {
    let bytes = [&ret(3, 1, 0, 512, 0)[..], &[7; 100]].concat();
    for length in 0..bytes.len() {
        let (mut session, transfers) = reading(2);
        let mut rx = BytesMut::from(&bytes[..length]);
        assert!(matches!(session.receive(&mut rx), Ok(Step::Io(_))));
        assert_eq!(rx.len(), length);
        session.end();
        for transfer in transfers {
            let gone = FunctionEvent::Complete(transfer.fail(Status::DISCONNECTED));
            assert_eq!(session.poll(), Some(gone));
        }
        assert_eq!(session.poll(), Some(FunctionEvent::Detached));
    }
}

#[test]
fn a_reply_comes_once() {
    let (mut session, _) = reading(2);
    let twice = ret(3, 1, 0, 0, 0).repeat(2);
    let mut rx = BytesMut::from(&twice[..]);
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    assert!(session.poll().is_some());
    let error = session.receive(&mut rx).unwrap_err();
    assert_eq!(error, session.receive(&mut rx).unwrap_err(), "sticky");
    assert!(matches!(
        error,
        ProtocolError::UnknownSeqnum { seqnum: 1, .. }
    ));
}

/// usbip-win2 ignores them, vhci logs them.
#[test]
fn an_unlink_that_nobody_asked_for_is_shrugged_at() {
    let (mut session, _) = reading(1);
    let mut rx = BytesMut::from(&ret(4, 99, -104, 0, 0)[..]);
    assert!(matches!(session.receive(&mut rx), Ok(Step::Io(_))));
    assert!(rx.is_empty());
    // The number of a request is none of an unlink.
    rx.extend_from_slice(&ret(4, 1, -104, 0, 0));
    assert!(matches!(session.receive(&mut rx), Ok(Step::Io(_))));
    rx.extend_from_slice(&ret(3, 1, 0, 0, 0));
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
}

/// A server that answers every unlink with 0 and its request later: the latest 64 are remembered.
#[test]
fn late_replies_are_remembered_to_a_limit() {
    let late = |unlinked: u32, seqnum: u32| {
        let (mut session, transfers) = reading(unlinked as usize);
        let mut rx = BytesMut::new();
        for (number, transfer) in (unlinked + 1..).zip(&transfers) {
            session.cancel(transfer.id);
            session.tx().clear();
            rx.extend_from_slice(&ret(4, number, 0, 0, 0));
            assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
            let gone = transfer.clone().fail(Status::CANCELLED);
            assert_eq!(session.poll(), Some(FunctionEvent::Complete(gone)));
        }
        rx.extend_from_slice(&ret(3, seqnum, 0, 0, 0));
        session.receive(&mut rx)
    };
    assert!(matches!(late(64, 1), Ok(Step::Io(_))));
    assert!(matches!(late(65, 65), Ok(Step::Io(_))));
    assert!(matches!(
        late(65, 1),
        Err(ProtocolError::UnknownSeqnum { seqnum: 1, .. })
    ));
}

/// jiegec's `usbip` answers 1 for whatever its device refuses. A driver would take it for a length.
#[test]
fn a_positive_status_is_a_stall() {
    let (mut session, transfers) = reading(1);
    let mut rx = BytesMut::from(&ret(3, 1, 1, 0, 0)[..]);
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    let stalled = transfers[0].clone().stall();
    assert_eq!(session.poll(), Some(FunctionEvent::Complete(stalled)));
    // And none is sent, whatever a device makes up.
    let mut server = Server::new(Limits::default());
    let transfer = server.submit(&Submit::new(1, IN, 1, 512).header());
    server
        .session
        .complete(transfer.fail(Status::from_errno(7)));
    assert_eq!(server.replies()[0].status, -71);
}

/// The kernel's server gives up a client over a periodic transfer whose interval is 0.
#[test]
fn isochronous_intervals_are_never_0() {
    for speed in [Speed::Full, Speed::High] {
        let device = DeviceId::from_u32(DEVICE);
        let mut session = client::Session::new(device, speed, Limits::default());
        let kind = Kind::Isochronous(vec![IsoPacket::new(0, 8)]);
        let id = TransferIds::default().mint();
        session.submit(Transfer::new(id, BULK_IN, kind, Payload::In { length: 8 }));
        let tx = session.tx();
        let sent = tx.copy_to_bytes(tx.remaining());
        assert_eq!(word(&sent, 36), 1);

        let mut server = Server::at(speed, Limits::default());
        let head = Submit {
            packets: 1,
            ..Submit::new(1, IN, 3, 8)
        }
        .header();
        let transfer = server.submit(&[&head[..], &packet(0, 8)].concat());
        assert_eq!(transfer.interval, if speed == Speed::Full { 8 } else { 1 });
    }
}

/// usbip-win2 keeps the direction in bit 0 of its numbers, which do not follow each other, says −1
/// packets, and takes −1 or 0 back.
#[test]
fn a_windows_client_is_served() {
    let mut server = Server::new(Limits::default());
    let submit = |seqnum, direction| Submit {
        packets: -1,
        ..Submit::new(seqnum, direction, 1, 0)
    };
    for (number, direction) in [
        (0x101, IN),
        (0x7fff_fffe, OUT),
        (3, IN),
        (0xffff_fffe, OUT),
        (0, OUT),
    ] {
        let transfer = server.submit(&submit(number, direction).header());
        server.session.complete(transfer.stall());
        let replies = server.replies();
        assert_eq!((replies[0].seqnum, replies[0].packets), (number, 0));
    }
    // It unlinks and does not look at the answer.
    let transfer = server.submit(&submit(9, IN).header());
    let cancelled = server.event(&unlink(11, 9));
    assert_eq!(cancelled, Ok(Some(HostEvent::Cancel(transfer.id))));
    server.session.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(server.replies().len(), 1);
    server.submit(&submit(9, IN).header());
}

/// Servers that keep to the kernel's document say −1 packets for "not isochronous".
#[test]
fn minus_one_packets_in_a_reply_is_none() {
    let (mut session, transfers) = reading(1);
    let bytes = [&ret(3, 1, 0, 4, -1)[..], b"data"].concat();
    let mut rx = BytesMut::from(&bytes[..]);
    assert_eq!(session.receive(&mut rx).unwrap(), Step::Ready);
    let done = transfers[0]
        .clone()
        .complete_in(Bytes::from_static(b"data"));
    assert_eq!(session.poll(), Some(FunctionEvent::Complete(done)));
}

/// Junk in the fields of a request that are the reply's: the kernel's server insists on 0, others
/// leave them as they are.
#[test]
fn what_a_request_says_of_its_result_means_nothing() {
    let mut server = Server::new(Limits::default());
    let head = Submit {
        packets: 1,
        ..Submit::new(1, IN, 3, 8)
    }
    .header();
    let mut junk = packet(0, 8);
    junk[8..].fill(0xee);
    let transfer = server.submit(&[&head[..], &junk].concat());
    assert_eq!(transfer.kind, Kind::Isochronous(vec![IsoPacket::new(0, 8)]));
    let failed = Completion::failed(
        transfer.id,
        usb_descriptors::Direction::In,
        Status::PROTOCOL,
    );
    server.session.complete(failed);
    let written = server.written();
    assert_eq!((reply(&written).length, word(&written, 48 + 8)), (0, 0));
}

/// A sum that overflows 32 bits is still too long.
#[test]
fn packets_are_added_up_in_64_bits() {
    let head = Submit {
        packets: 3,
        ..Submit::new(1, IN, 3, 1 << 24)
    }
    .header();
    let most = packet(0, 1 << 24);
    let bytes = [&head[..], &most, &most, &most].concat();
    let error = Server::new(Limits::default()).event(&bytes).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::PacketSum {
            found: 0x300_0000,
            ..
        }
    ));
    let head = Submit {
        packets: 1,
        ..Submit::new(1, IN, 3, 8)
    }
    .header();
    let bytes = [&head[..], &packet(u32::MAX, u32::MAX)].concat();
    let error = Server::new(Limits::default()).event(&bytes).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Packet {
            offset: u32::MAX,
            ..
        }
    ));
}

/// CVE-2026-31607 and its neighbours, at the client: what a reply says of packets is the request's,
/// or the connection ends. Nothing is ever moved by an offset from the wire.
#[test]
fn packets_of_a_reply_are_those_of_the_request() {
    let answered = |count: i32, actual: i32, packets: &[[u32; 4]]| {
        let mut session = client();
        let kind = Kind::Isochronous(vec![IsoPacket::new(0, 4), IsoPacket::new(4, 4)]);
        let id = TransferIds::default().mint();
        session.submit(Transfer::new(id, BULK_IN, kind, Payload::In { length: 8 }));
        session.tx().clear();
        let mut bytes = ret(3, 1, 0, actual, count).to_vec();
        bytes.resize(48 + actual.clamp(0, 8) as usize, 7);
        bytes.extend(packets.iter().flatten().flat_map(|word| word.to_be_bytes()));
        session.receive(&mut BytesMut::from(&bytes[..]))
    };
    assert_eq!(
        answered(2, 3, &[[0, 4, 1, 0], [4, 4, 2, 0]]),
        Ok(Step::Ready)
    );
    for count in [0, -1, 1, 3, 1025, i32::MAX, i32::MIN] {
        let error = answered(count, 0, &[[0, 4, 0, 0]; 3]).unwrap_err();
        assert!(
            matches!(error, ProtocolError::OtherPacketCount { expected: 2, .. }),
            "{count}"
        );
    }
    for packets in [
        [[1, 4, 1, 0], [4, 4, 2, 0]],        // the first elsewhere
        [[0, 4, 1, 0], [u32::MAX, 4, 2, 0]], // the second far away
        [[0, 4, 1, 0], [4, 5, 2, 0]],        // longer
        [[0, 4, u32::MAX, 0], [4, 4, 4, 0]], // more than it is long, and a sum that wraps to 3
    ] {
        let error = answered(2, 3, &packets).unwrap_err();
        let is_named = matches!(
            error,
            ProtocolError::OtherPacket { .. } | ProtocolError::PacketActual { .. }
        );
        assert!(is_named, "{packets:?}");
    }
    let error = answered(2, 3, &[[0, 4, 1, 0], [4, 4, 1, 0]]).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::PacketSum {
            found: 2,
            expected: 3,
            ..
        }
    ));
    let error = answered(2, 9, &[[0, 4, 4, 0], [4, 4, 4, 0]]).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Length {
            found: 9,
            limit: 8,
            ..
        }
    ));
}

/// One listener, several devices, several clients.
#[test]
fn a_device_is_one_clients_at_a_time() {
    use usb_descriptors::build;
    use usbip_proto::server::{ExportState, Exports};
    use usbip_proto::{BusId, DeviceRecord, RecordError};

    let descriptors = usb_transfer::DeviceDescriptors::new(
        Speed::High,
        build::Device::new(0x1209, 1).to_bytes(Speed::High),
    );
    let bus_id = |name: &str| name.parse::<BusId>().unwrap();
    let record = |name: &str, number| {
        let id = DeviceId::new(1, number);
        DeviceRecord::new("/virtual", bus_id(name), id, &descriptors).unwrap()
    };
    let mut exports = Exports::default();
    for (number, name) in (1..).zip(["1-1", "1-2", "1-3", "1-4"]) {
        exports.add(record(name, number)).unwrap();
    }
    assert!(matches!(
        exports.add(record("1-1", 9)),
        Err(RecordError::Taken { .. })
    ));
    let import = |exports: &mut Exports, name: &str| exports.import(bus_id(name));
    let first = import(&mut exports, "1-1").unwrap();
    assert_eq!(first.device().device_id(), DeviceId::new(1, 1));
    let second = import(&mut exports, "1-2").unwrap();
    exports.set_state(bus_id("1-2"), ExportState::Failed);
    exports.set_state(bus_id("1-3"), ExportState::Unknown);
    for (name, status) in [
        ("1-1", OpStatus::BUSY),
        ("1-2", OpStatus::DEVICE_ERROR),
        ("1-3", OpStatus::NOT_AVAILABLE),
        ("9-9", OpStatus::NO_DEVICE),
    ] {
        assert_eq!(import(&mut exports, name).unwrap_err(), status);
    }
    let listed: Vec<_> = exports
        .listed()
        .map(|record| record.bus_id().to_string())
        .collect();
    assert_eq!(
        listed,
        ["1-2", "1-3", "1-4"],
        "usbipd hides only what is in use"
    );
    exports.release(second);
    assert_eq!(
        exports.state(bus_id("1-2")),
        Some(ExportState::Failed),
        "it failed while it was in use"
    );
    exports.release(first);
    let first = import(&mut exports, "1-1").unwrap();
    assert!(exports.remove(bus_id("1-1")).is_some());
    let gone = import(&mut exports, "1-1").unwrap_err();
    assert_eq!(gone, OpStatus::NO_DEVICE);
    assert_eq!(exports.remove(bus_id("1-1")), None);
    // Another in its place is another client's.
    exports.add(record("1-1", 9)).unwrap();
    let other = import(&mut exports, "1-1").unwrap();
    exports.release(first);
    assert_eq!(exports.state(bus_id("1-1")), Some(ExportState::InUse));
    exports.release(other);
    assert_eq!(exports.state(bus_id("1-1")), Some(ExportState::Available));
}
