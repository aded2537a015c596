//! The client's end against a server that is careless, hostile, or just itself.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{ret, word};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Flags, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Step,
    StreamId, Transfer, TransferIds, Wire,
};
use usbip_proto::client::{Handshake, HandshakeEvent, Session};
use usbip_proto::{DeviceId, Limits, OpStatus, ProtocolError};

const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);

struct Client {
    session: Session,
    rx: BytesMut,
    ids: TransferIds,
}

impl Client {
    fn new() -> Self {
        let session = Session::new(
            DeviceId::from_u32(common::DEVICE),
            Speed::High,
            Limits::default(),
        );
        Self {
            session,
            rx: BytesMut::new(),
            ids: TransferIds::default(),
        }
    }

    fn read(&mut self, length: u32) -> Transfer {
        let transfer = Transfer::data_in(self.ids.mint(), BULK_IN, length);
        self.session.submit(transfer.clone());
        transfer
    }

    fn read_packets(&mut self, packets: Vec<IsoPacket>) {
        let (id, kind) = (self.ids.mint(), Kind::Isochronous(packets));
        let payload = Payload::In { length: 8 };
        let transfer = Transfer::new(id, BULK_IN, kind, payload);
        self.session.submit(transfer);
    }

    fn written(&mut self) -> Vec<u8> {
        let tx = self.session.tx();
        tx.copy_to_bytes(tx.remaining()).to_vec()
    }

    /// What a server says that has read everything.
    fn receive(&mut self, bytes: &[u8]) -> Result<Option<Completion>, ProtocolError> {
        self.session.tx().clear();
        self.rx.extend_from_slice(bytes);
        Ok(match self.session.receive(&mut self.rx)? {
            Step::Ready => match self.session.poll() {
                Some(FunctionEvent::Complete(completion)) => Some(completion),
                other => panic!("{other:?}"),
            },
            Step::Io(_) => None,
        })
    }
}

fn ret_submit(seqnum: u32, status: i32, length: i32) -> [u8; 48] {
    ret(3, seqnum, status, length, 0)
}

#[test]
fn requests_carry_what_the_kernel_expects() {
    let mut client = Client::new();
    let id = client.ids.mint();
    let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    client.session.submit(Transfer::control_in(id, setup));
    let header = client.written();
    let words: Vec<u32> = (0..40).step_by(4).map(|at| word(&header, at)).collect();
    assert_eq!(words, [1, 1, common::DEVICE, 1, 0, 0x200, 18, 0, 0, 0]);
    assert_eq!(header[40..], setup.to_bytes());

    let flags = Flags {
        zero_packet: true,
        ..Flags::default()
    };
    let out = Transfer::data_out(client.ids.mint(), BULK_IN, Bytes::from_static(b"data"));
    client
        .session
        .submit(out.with_flags(flags).with_interval(8));
    let bytes = client.written();
    let words: Vec<u32> = (0..40).step_by(4).map(|at| word(&bytes, at)).collect();
    assert_eq!(words, [1, 2, common::DEVICE, 0, 1, 0x40, 4, 0, 0, 8]);
    assert_eq!(&bytes[48..], b"data");
}

#[test]
fn isochronous_packets_go_out_and_come_back() {
    let mut client = Client::new();
    client.read_packets(vec![IsoPacket::new(0, 4), IsoPacket::new(4, 4)]);
    let sent = client.written();
    assert_eq!((sent.len(), word(&sent, 32)), (48 + 32, 2));
    assert_eq!(
        (word(&sent, 48 + 8), word(&sent, 48 + 12) as i32),
        (0, -18),
        "untouched"
    );
    let reply = |first: [u32; 4], second: [u32; 4]| {
        let words = first.into_iter().chain(second).flat_map(u32::to_be_bytes);
        let packets: Vec<u8> = words.collect();
        [&ret(3, 1, 0, 3, 2)[..], b"abc", &packets].concat()
    };
    let done = client
        .receive(&reply([0, 4, 1, 0], [4, 4, 2, 0]))
        .unwrap()
        .unwrap();
    assert_eq!(
        done.packets
            .iter()
            .map(|each| each.actual)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    let mut buffer = [0; 8];
    for (packet, data) in done.packets_in() {
        data.copy_to_slice(&mut buffer[packet.offset as usize..]);
    }
    assert_eq!(buffer, *b"a\0\0\0bc\0\0", "spread again");
    let Actual::In(data) = done.actual else {
        panic!()
    };
    assert_eq!(data, Bytes::from_static(b"abc"));

    for (first, second, expected) in [
        (
            [0, 4, 1, 0],
            [5, 3, 2, 0],
            "request 1: reply with isochronous packet 1 of 3 bytes at 5, expected 4 at 4",
        ),
        (
            [0, 4, 5, 0],
            [4, 4, 0, 0],
            "request 1: isochronous packet 0 moved 5 bytes, limit 4",
        ),
        (
            [0, 4, 1, 0],
            [4, 4, 1, 0],
            "request 1: isochronous packets of 2 bytes in a transfer of 3",
        ),
    ] {
        let mut client = Client::new();
        client.read_packets(vec![IsoPacket::new(0, 4), IsoPacket::new(4, 4)]);
        let error = client.receive(&reply(first, second)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// OUT, a reply has packets and no data; vhci adds them up all the same.
#[test]
fn packets_out_add_up_too() {
    for (moved, sum) in [(4, true), (3, false), (5, false)] {
        let mut client = Client::new();
        let kind = Kind::Isochronous(vec![IsoPacket::new(0, 4), IsoPacket::new(4, 4)]);
        let payload = Payload::Out(Bytes::from_static(b"abcdefgh"));
        let id = client.ids.mint();
        let transfer = Transfer::new(id, EndpointAddress::from_byte(1), kind, payload);
        client.session.submit(transfer);
        let packets = [[0, 4, 1, 0], [4, 4, 3, 0]];
        let packets = packets.into_iter().flatten().flat_map(u32::to_be_bytes);
        let mut bytes = ret(3, 1, 0, moved, 2).to_vec();
        bytes.extend(packets);
        match client.receive(&bytes) {
            Ok(done) => assert!(sum && done.unwrap().actual == Actual::Out(4)),
            Err(ProtocolError::PacketSum { found: 4, .. }) => assert!(!sum),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn broken_replies_end_the_session_and_complete_everything() {
    let cases = [
        (
            ret_submit(2, 0, 0),
            "reply to request 2, which is not in flight",
        ),
        (
            ret_submit(1, 0, 513),
            "request 1: actual_length 513, limit 512",
        ),
        (
            ret_submit(1, 0, -1),
            "request 1: actual_length -1, limit 512",
        ),
        (
            ret(3, 1, 0, 0, 1),
            "request 1: reply with 1 isochronous packets, expected exactly 0",
        ),
        (
            ret(3, 1, 0, 0, -7),
            "request 1: reply with -7 isochronous packets, expected exactly 0",
        ),
    ];
    for (bytes, expected) in cases {
        let mut client = Client::new();
        let transfer = client.read(512);
        assert_eq!(client.receive(&bytes).unwrap_err().to_string(), expected);
        assert_eq!(
            client.receive(&[]).unwrap_err().to_string(),
            expected,
            "sticky"
        );
        let gone = transfer.clone().fail(Status::DISCONNECTED);
        assert_eq!(client.session.poll(), Some(FunctionEvent::Complete(gone)));
        assert_eq!(client.session.poll(), Some(FunctionEvent::Detached));
        assert_eq!(client.session.poll(), None);
        client.session.submit(transfer.clone());
        let gone = transfer.fail(Status::DISCONNECTED);
        assert_eq!(client.session.poll(), Some(FunctionEvent::Complete(gone)));
    }
    let mut client = Client::new();
    assert!(matches!(
        client.receive(&[0; 48]),
        Err(ProtocolError::Command { found: 0, .. })
    ));
}

#[test]
fn a_failure_keeps_its_data() {
    let mut client = Client::new();
    client.read(4);
    let bytes = [&ret_submit(1, -75, 4)[..], b"data"].concat();
    let done = client.receive(&bytes).unwrap().unwrap();
    assert_eq!((done.status, done.actual.len()), (Status::OVERFLOW, 4));
}

/// The table of `client::Session`, a row a block.
#[test]
fn cancel_meets_reply() {
    // The server unlinked it.
    let mut client = Client::new();
    let transfer = client.read(512);
    client.session.cancel(transfer.id);
    client.session.cancel(transfer.id);
    let sent = client.written();
    assert_eq!(sent.len(), 96, "one submit, one unlink");
    assert_eq!(
        (word(&sent, 48), word(&sent, 52), word(&sent, 68)),
        (2, 2, 1)
    );
    let done = client.receive(&ret(4, 2, -104, 0, 0)).unwrap().unwrap();
    assert_eq!((done.id, done.status), (transfer.id, Status::CANCELLED));

    // The server says 0 and sends the result late all the same.
    let transfer = client.read(512);
    client.session.cancel(transfer.id);
    let done = client.receive(&ret(4, 4, 0, 0, 0)).unwrap().unwrap();
    assert_eq!(done.status, Status::CANCELLED);
    let late = [&ret_submit(3, 0, 3)[..], b"abc"].concat();
    assert_eq!(client.receive(&late).unwrap(), None);
    assert!(client.rx.is_empty(), "its payload was taken");
    assert_eq!(
        client.receive(&late).unwrap_err().to_string(),
        "reply to request 3, which is not in flight",
        "but only once"
    );

    // It had finished.
    let mut client = Client::new();
    let transfer = client.read(512);
    client.session.cancel(transfer.id);
    let bytes = [&ret_submit(1, 0, 3)[..], b"abc", &ret(4, 2, 0, 0, 0)].concat();
    let done = client.receive(&bytes).unwrap().unwrap();
    assert_eq!((done.status, done.actual.len()), (Status::COMPLETED, 3));
    assert_eq!(client.receive(&[]).unwrap(), None);
    assert!(client.rx.is_empty());
}

#[test]
fn what_the_wire_cannot_say_is_not_sent() {
    let mut limits = Limits::default();
    limits.max_transfer = 100;
    let mut client = Client::new();
    client.session = Session::new(DeviceId::new(1, 2), Speed::High, limits);
    let transfer = client.read(101);
    let refused = transfer.fail(Status::INVALID);
    assert_eq!(
        client.session.poll(),
        Some(FunctionEvent::Complete(refused))
    );
    assert!(client.written().is_empty());
}

/// `usb_submit_urb` refuses a control transfer whose buffer is not of `wLength` bytes, and the
/// kernel's server drops the connection over it.
#[test]
fn control_transfers_that_disagree_with_themselves_are_not_sent() {
    let get = [0x80, 6, 0, 1, 0, 0, 18, 0];
    let set = [0x21, 9, 0, 2, 0, 0, 4, 0];
    let none = [0x21, 9, 0, 2, 0, 0, 0, 0];
    let bytes = |length| Payload::Out(Bytes::from(vec![0; length]));
    let cases = [
        (get, Payload::In { length: 18 }, true),
        (get, Payload::In { length: 17 }, false),
        (get, Payload::In { length: 64 }, false),
        (get, bytes(18), false),
        (set, bytes(4), true),
        (set, bytes(3), false),
        (set, bytes(5), false),
        (set, Payload::In { length: 4 }, false),
        (none, bytes(0), true),
        (none, bytes(1), false),
    ];
    for (setup, payload, is_sent) in cases {
        let mut client = Client::new();
        let kind = Kind::Control(SetupPacket::from_bytes(setup));
        let (id, endpoint) = (client.ids.mint(), EndpointAddress::CONTROL_OUT);
        let transfer = Transfer::new(id, endpoint, kind, payload);
        client.session.submit(transfer.clone());
        assert_eq!(!client.written().is_empty(), is_sent, "{transfer:?}");
        let refused = FunctionEvent::Complete(transfer.fail(Status::INVALID));
        let expected = Some(refused).filter(|_| !is_sent);
        assert_eq!(client.session.poll(), expected);
    }
}

#[test]
fn streams_are_not_sent() {
    let mut client = Client::new();
    let stream = core::num::NonZeroU16::new(1).map(StreamId);
    let (id, payload) = (client.ids.mint(), Payload::In { length: 8 });
    let transfer = Transfer::new(id, BULK_IN, Kind::Data { stream }, payload);
    client.session.submit(transfer.clone());
    assert!(client.written().is_empty());
    let refused = FunctionEvent::Complete(transfer.fail(Status::INVALID));
    assert_eq!(client.session.poll(), Some(refused));
}

/// Up to full speed in whole frames: an endpoint is asked no more often than it wants.
#[test]
fn intervals_are_rounded_up_to_frames() {
    for (speed, cases) in [
        (Speed::Full, [(0, 0), (1, 1), (8, 1), (9, 2), (80, 10)]),
        (Speed::High, [(0, 0), (1, 1), (8, 8), (9, 9), (80, 80)]),
    ] {
        for (interval, expected) in cases {
            let mut client = Client::new();
            client.session = Session::new(DeviceId::new(1, 2), speed, Limits::default());
            let transfer = Transfer::data_in(client.ids.mint(), BULK_IN, 8);
            client.session.submit(transfer.with_interval(interval));
            assert_eq!(word(&client.written(), 36), expected, "{speed:?}");
        }
    }
}

#[test]
fn packets_that_no_server_takes_are_not_sent() {
    let far = vec![IsoPacket::new(5, 4)];
    let many = vec![IsoPacket::new(0, 0); 1025];
    for packets in [far, many, Vec::new()] {
        let mut client = Client::new();
        client.read_packets(packets);
        let Some(FunctionEvent::Complete(done)) = client.session.poll() else {
            panic!()
        };
        assert_eq!(done.status, Status::INVALID);
        assert!(client.written().is_empty());
    }
}

#[test]
fn a_reset_of_what_was_not_used_is_none() {
    let mut client = Client::new();
    client.session.reset();
    client.written();
    for _ in 0..1000 {
        client.session.reset();
    }
    assert!(client.written().is_empty());
    client.read(512);
    client.session.reset();
    assert_eq!(
        client.written().len(),
        3 * 48,
        "the request, its unlink, the reset"
    );
}

#[test]
fn a_reset_unlinks_and_asks_for_a_port_reset() {
    let mut client = Client::new();
    let transfer = client.read(512);
    client.written();
    client.session.reset();
    let sent = client.written();
    assert_eq!(sent.len(), 96);
    assert_eq!((word(&sent, 0), word(&sent, 48)), (2, 1));
    assert_eq!(sent[88..], [0x23, 3, 4, 0, 0, 0, 0, 0]);
    let done = client.receive(&ret(4, 2, -104, 0, 0)).unwrap().unwrap();
    assert_eq!(done.id, transfer.id);
    assert_eq!(
        client.receive(&ret_submit(3, 0, 0)).unwrap(),
        None,
        "its own, nobody's"
    );
}

#[test]
fn lists_are_read_device_by_device() {
    let mut handshake = Handshake::list(Limits::default());
    let sent = handshake.tx().copy_to_bytes(8);
    assert_eq!(&sent[..], [1, 0x11, 0x80, 5, 0, 0, 0, 0]);
    let mut device = [0; 312];
    device[..4].copy_from_slice(b"/sys");
    device[256..259].copy_from_slice(b"1-1");
    device[299] = 3;
    device[311] = 2;
    let head = [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2];
    let mut reply = [&head[..], &device, &[3, 1, 1, 0, 8, 6, 80, 0]].concat();
    device[311] = 0;
    reply.extend_from_slice(&device);
    let mut events = Vec::new();
    let mut rx = BytesMut::new();
    for byte in reply {
        rx.extend_from_slice(&[byte]);
        while handshake.receive(&mut rx).unwrap() == Step::Ready {
            events.extend(handshake.poll());
        }
    }
    let [
        HandshakeEvent::Device(first),
        HandshakeEvent::Device(second),
        HandshakeEvent::EndOfList,
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((first.path(), first.interfaces().len()), ("/sys", 2));
    assert_eq!(
        (second.bus_id().as_str(), second.interfaces().len()),
        ("1-1", 0)
    );
    assert!(handshake.into_session().is_err(), "nothing was imported");
}

#[test]
fn hostile_servers_are_refused_by_name() {
    let import = || Handshake::import("1-1".parse().unwrap(), Limits::default());
    let error = |mut handshake: Handshake, bytes: &[u8]| {
        let mut rx = BytesMut::from(bytes);
        let error = handshake.receive(&mut rx).unwrap_err();
        assert_eq!(handshake.receive(&mut rx).unwrap_err(), error, "sticky");
        error
    };
    let version = error(import(), &[1, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(
        version.to_string(),
        "version 0x0100, expected 0x0111; does the peer speak USB/IP?"
    );
    let code = error(import(), &[1, 0x11, 0, 5, 0, 0, 0, 0]);
    assert!(matches!(code, ProtocolError::Operation { found: 5, .. }));
    let mut granted = [0; 320];
    granted[..4].copy_from_slice(&[1, 0x11, 0, 3]);
    assert!(matches!(
        error(import(), &granted),
        ProtocolError::BusId { .. }
    ));
    granted[8 + 256..8 + 259].copy_from_slice(b"1-2");
    assert_eq!(
        error(import(), &granted).to_string(),
        "the server answered for bus id 1-2, expected 1-1"
    );
    granted[8 + 256..8 + 288].fill(b'1');
    assert!(matches!(
        error(import(), &granted),
        ProtocolError::BusId { .. }
    ));
    let list = Handshake::list(Limits::default());
    let many = error(list, &[1, 0x11, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(many.to_string(), "a list of 4294967295 devices, limit 1024");
}

#[test]
fn a_path_that_is_no_text_is_read_as_well_as_it_can_be() {
    let mut granted = [0; 320];
    granted[..4].copy_from_slice(&[1, 0x11, 0, 3]);
    granted[8 + 256..8 + 259].copy_from_slice(b"1-1");
    granted[8..8 + 256].fill(b'/');
    granted[8] = 0xff;
    let mut handshake = Handshake::import("1-1".parse().unwrap(), Limits::default());
    assert_eq!(
        handshake
            .receive(&mut BytesMut::from(&granted[..]))
            .unwrap(),
        Step::Ready
    );
    let Some(HandshakeEvent::Imported(record)) = handshake.poll() else {
        panic!()
    };
    assert_eq!(record.path().len(), 255, "cut, since the field was full");
    handshake.end();
    let mut session = handshake.into_session().unwrap();
    assert_eq!(
        session.poll(),
        Some(FunctionEvent::Detached),
        "the stream had ended"
    );
}

/// The kernel's tools cut both numbers when they compose the device id of requests.
#[test]
fn device_numbers_beyond_16_bits_are_cut() {
    let mut granted = [0; 320];
    granted[..4].copy_from_slice(&[1, 0x11, 0, 3]);
    granted[8 + 256..8 + 259].copy_from_slice(b"1-1");
    granted[296..300].copy_from_slice(&0x0001_0002_u32.to_be_bytes());
    granted[300..304].copy_from_slice(&0x0003_0004_u32.to_be_bytes());
    let mut handshake = Handshake::import("1-1".parse().unwrap(), Limits::default());
    let mut rx = BytesMut::from(&granted[..]);
    assert_eq!(handshake.receive(&mut rx), Ok(Step::Ready));
    let Some(HandshakeEvent::Imported(record)) = handshake.poll() else {
        panic!()
    };
    assert_eq!(record.device_id(), DeviceId::new(2, 4));
}

#[test]
fn a_refusal_has_no_body() {
    for status in 1..=5 {
        let mut handshake = Handshake::import("1-1".parse().unwrap(), Limits::default());
        let mut rx = BytesMut::from(&[1, 0x11, 0, 3, 0, 0, 0, status][..]);
        assert_eq!(handshake.receive(&mut rx).unwrap(), Step::Ready);
        let refused = HandshakeEvent::Refused(OpStatus(u32::from(status)));
        assert_eq!(handshake.poll(), Some(refused));
        let Step::Io(_) = handshake.receive(&mut rx).unwrap() else {
            panic!()
        };
    }
}
