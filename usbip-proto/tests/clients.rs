//! What clients ask of our server that its device has not got, or that no client should.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{Server, Submit, packet, reply, word};
use usb_transfer::{
    Actual, Completion, Frontend, IsoPacket, Kind, Payload, Segments, Status, Step, Transfer, Wire,
};
use usbip_proto::{Limits, server};

const OUT: u32 = 0;
const IN: u32 = 1;

/// The kernel's server tells by the type of an endpoint whether packets follow, and does not look
/// at their number elsewhere; the session knows no endpoints and goes by the number. So the packets
/// are read, the function is asked for what its endpoint cannot do, and what it answers keeps the
/// count; the next request is where it should be.
#[test]
fn packets_for_an_endpoint_that_is_not_isochronous_are_the_functions_to_stall() {
    for direction in [OUT, IN] {
        let mut server = Server::new(Limits::default());
        let head = Submit {
            packets: 2,
            ..Submit::new(1, direction, 1, 8)
        };
        let mut bytes = head.header().to_vec();
        if direction == OUT {
            bytes.extend_from_slice(b"ABCDEFGH");
        }
        bytes.extend_from_slice(&[packet(0, 4), packet(4, 4)].concat());
        bytes.extend_from_slice(&Submit::new(2, IN, 1, 8).header());
        let transfer = server.submit(&bytes);
        assert!(matches!(&transfer.kind, Kind::Isochronous(packets) if packets.len() == 2));
        server.session.complete(transfer.stall());
        let written = server.written();
        let told = reply(&written);
        assert_eq!((told.seqnum, told.status, told.length), (1, -32, 0));
        assert_eq!((told.packets, written.len()), (2, 48 + 32));
        assert_eq!((word(&written, 48 + 8), word(&written, 64 + 8)), (0, 0));
        let next = server.submit(&[]);
        assert_eq!(next.kind, Kind::Data { stream: None });
    }
}

/// The other way round: the kernel's server takes it, fails to submit it, and gives up the client.
#[test]
fn no_packets_for_an_isochronous_endpoint_are_the_functions_to_stall() {
    for packets in [0, -1] {
        let mut server = Server::new(Limits::default());
        let head = Submit {
            packets,
            interval: 8,
            ..Submit::new(1, IN, 3, 8)
        };
        let transfer = server.submit(&head.header());
        assert_eq!(transfer.kind, Kind::Data { stream: None });
        server.session.complete(transfer.stall());
        let told = &server.replies()[0];
        assert_eq!((told.status, told.packets), (-32, 0));
    }
}

/// CVE-2017-16914: a reply with data to a request that left no room for any.
#[test]
fn nothing_is_brought_into_a_buffer_of_nothing() {
    let mut server = Server::new(Limits::default());
    let transfer = server.submit(&Submit::new(1, IN, 1, 0).header());
    let done = transfer.complete_in(Bytes::from_static(b"data"));
    server.session.complete(done);
    let written = server.written();
    let told = reply(&written);
    assert_eq!((told.status, told.length, written.len()), (-75, 0, 48));

    // Packets of nothing, in a buffer of nothing.
    let head = Submit {
        packets: 2,
        ..Submit::new(2, IN, 3, 0)
    };
    let bytes = [&head.header()[..], &packet(0, 0), &packet(0, 0)].concat();
    let transfer = server.submit(&bytes);
    let packets = vec![
        IsoPacket {
            actual: u32::MAX,
            ..IsoPacket::new(0, 0)
        };
        2
    ];
    let data = Actual::In(Segments::from(Bytes::from_static(b"data")));
    let done = Completion::new(transfer.id, Status::COMPLETED, data);
    server.session.complete(done.with_packets(packets));
    let written = server.written();
    assert_eq!((reply(&written).length, written.len()), (0, 48 + 32));

    // Nothing OUT is a transfer, too.
    let transfer = server.submit(&Submit::new(3, OUT, 2, 0).header());
    assert_eq!(transfer.payload, Payload::Out(Bytes::new()));
    server.session.complete(Completion::new(
        transfer.id,
        Status::COMPLETED,
        Actual::Out(u32::MAX),
    ));
    assert_eq!(reply(&server.written()).length, 0);
}

/// All sixteen endpoints, both ways, are the function's: one that it has not got is stalled, and
/// the client is kept.
#[test]
fn an_endpoint_that_does_not_exist_is_the_functions_to_stall() {
    let mut server = Server::new(Limits::default());
    for (seqnum, endpoint) in (1..).zip(1..16) {
        for direction in [OUT, IN] {
            let seqnum = seqnum * 2 + direction;
            let transfer = server.submit(&Submit::new(seqnum, direction, endpoint, 0).header());
            assert_eq!(u32::from(transfer.endpoint.number()), endpoint);
            server.session.complete(transfer.stall());
            assert_eq!(server.replies()[0].status, -32);
        }
    }
}

/// What follows the end is not read, whatever it is.
#[test]
fn what_follows_the_end_is_not_read() {
    let mut session = server::Session::new(
        usbip_proto::DeviceId::from_u32(common::DEVICE),
        usb_descriptors::Speed::High,
        Limits::default(),
    );
    session.end();
    let mut rx = BytesMut::from(&Submit::new(1, IN, 1, 512).header()[..]);
    assert_eq!(session.receive(&mut rx), Ok(Step::Ready), "the reset");
    assert!(session.poll().is_some());
    let Ok(Step::Io(wants)) = session.receive(&mut rx) else {
        panic!()
    };
    assert!(wants.is_finished());
    assert_eq!(rx.len(), 48);
    // Nor what follows an error.
    let mut server = Server::new(Limits::default());
    let mut bytes = vec![0xff; 48];
    bytes.extend_from_slice(&Submit::new(1, IN, 1, 512).header());
    let error = server.event(&bytes).unwrap_err();
    assert_eq!(server.event(&[]).unwrap_err(), error, "sticky");
    assert_eq!(server.rx.len(), 96);
    let late = Transfer::data_in(
        usb_transfer::TransferId::from_u64(1),
        usb_descriptors::EndpointAddress::from_byte(0x81),
        512,
    );
    server.session.complete(late.stall());
    assert!(server.written().is_empty());
}
