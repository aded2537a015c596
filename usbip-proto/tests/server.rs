//! The server's end against a peer that is careless, hostile, or just itself.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::Bytes;
use common::{IN, OUT, RET_SUBMIT, RET_UNLINK, Reply, Server, Submit, packet, reply, unlink};
use usb_descriptors::{Direction, EndpointAddress, Speed};
use usb_transfer::{
    Completion, Frontend, HostEvent, IsoPacket, Kind, Payload, Segments, Status, Step, Wire,
};
use usbip_proto::{Limits, ProtocolError};

fn server() -> Server {
    Server::new(Limits::default())
}

/// The error that bytes cause, again and again; then the end as every frontend has it.
fn refused(bytes: &[u8]) -> ProtocolError {
    let mut server = server();
    let error = server.event(bytes).unwrap_err();
    assert_eq!(server.event(&[]).unwrap_err(), error, "sticky");
    assert_eq!(
        server.session.poll(),
        Some(HostEvent::Reset),
        "the last event"
    );
    assert_eq!(server.session.poll(), None);
    assert_eq!(server.event(&[]).unwrap_err(), error);
    error
}

#[test]
fn broken_requests_end_the_session_and_are_named() {
    let good = Submit::new(7, IN, 1, 512);
    let cases = [
        (
            Submit { device: 5, ..good },
            "request for device 0-5, but the session is for device 1-2",
        ),
        (
            Submit {
                direction: 2,
                ..good
            },
            "request 7: direction 2, expected 0 (OUT) or 1 (IN)",
        ),
        (
            Submit {
                endpoint: 16,
                ..good
            },
            "request 7: endpoint 16, expected 0 to 15",
        ),
        (
            Submit {
                endpoint: 0x81,
                ..good
            },
            "request 7: endpoint 129, expected 0 to 15",
        ),
        (
            Submit { length: -1, ..good },
            "request 7: transfer_buffer_length -1, limit 16777216",
        ),
        (
            Submit {
                length: (16 << 20) + 1,
                ..good
            },
            "request 7: transfer_buffer_length 16777217, limit 16777216",
        ),
        (
            Submit {
                length: i32::MAX,
                direction: OUT,
                ..good
            },
            "request 7: transfer_buffer_length 2147483647, limit 16777216",
        ),
        (
            Submit {
                packets: -2,
                ..good
            },
            "request 7: -2 isochronous packets, limit 1024",
        ),
        (
            Submit {
                packets: 1025,
                ..good
            },
            "request 7: 1025 isochronous packets, limit 1024",
        ),
        (
            Submit {
                packets: i32::MAX,
                ..good
            },
            "request 7: 2147483647 isochronous packets, limit 1024",
        ),
        (
            Submit {
                packets: 1,
                endpoint: 0,
                ..good
            },
            "request 7: 1 isochronous packets, limit 0",
        ),
    ];
    for (submit, expected) in cases {
        assert_eq!(
            refused(&submit.header()).to_string(),
            expected,
            "{submit:?}"
        );
    }
    let mut unknown = good.header();
    unknown[3] = 9;
    assert!(matches!(
        refused(&unknown),
        ProtocolError::Command { found: 9, .. }
    ));
    // An import in the middle of a session is an unknown command too.
    unknown[..4].copy_from_slice(&[1, 0x11, 0x80, 3]);
    assert!(matches!(
        refused(&unknown),
        ProtocolError::Command {
            found: 0x0111_8003,
            ..
        }
    ));
}

#[test]
fn packets_must_lie_in_their_buffer() {
    let header = Submit {
        packets: 2,
        ..Submit::new(7, IN, 3, 100)
    }
    .header();
    let with = |first: [u8; 16], second: [u8; 16]| [&header[..], &first, &second].concat();
    assert_eq!(
        refused(&with(packet(0, 50), packet(51, 50))).to_string(),
        "request 7: isochronous packet 1 of 50 bytes at 51, in a buffer of 100"
    );
    assert!(matches!(
        refused(&with(packet(u32::MAX, 1), packet(0, 0))),
        ProtocolError::Packet { index: 0, .. }
    ));
    assert!(matches!(
        refused(&with(packet(0, 60), packet(0, 60))),
        ProtocolError::PacketSum {
            found: 120,
            expected: 100,
            ..
        }
    ));
}

#[test]
fn data_is_cut_to_what_was_asked() {
    let mut server = server();
    let transfer = server.submit(&Submit::new(1, IN, 1, 4).header());
    server
        .session
        .complete(transfer.complete_in(Bytes::from_static(b"too much")));
    let written = server.written();
    assert_eq!(reply(&written), Reply::new(RET_SUBMIT, 1, -75, 4));
    assert_eq!(&written[48..], b"too ");
}

#[test]
fn short_not_ok_is_applied_to_data_in() {
    let mut server = server();
    let short = Submit {
        flags: 0x201,
        ..Submit::new(1, IN, 1, 4)
    };
    let transfer = server.submit(&short.header());
    assert!(transfer.flags.short_not_ok);
    server
        .session
        .complete(transfer.complete_in(Bytes::from_static(b"abc")));
    let written = server.written();
    assert_eq!(reply(&written), Reply::new(RET_SUBMIT, 1, -121, 3));
    // Enough is enough, and another failure stays what it is.
    let transfer = server.submit(&Submit { seqnum: 2, ..short }.header());
    server
        .session
        .complete(transfer.complete_in(Bytes::from_static(b"abcd")));
    let transfer = server.submit(&Submit { seqnum: 3, ..short }.header());
    server.session.complete(transfer.stall());
    let written = server.written();
    assert_eq!(reply(&written), Reply::new(RET_SUBMIT, 2, 0, 4));
    assert_eq!(reply(&written[52..]), Reply::new(RET_SUBMIT, 3, -32, 0));
    // Meaningless OUT and on isochronous transfers.
    let out = Submit {
        flags: 0x41,
        ..Submit::new(4, OUT, 2, 0)
    };
    let transfer = server.submit(&out.header());
    assert!(!transfer.flags.short_not_ok && transfer.flags.zero_packet);
    let packets = Submit {
        flags: 0x201,
        packets: 1,
        ..Submit::new(5, IN, 3, 8)
    };
    let transfer = server.submit(&[&packets.header()[..], &packet(0, 8)].concat());
    assert!(!transfer.flags.short_not_ok);
    server.written();
    let done = vec![IsoPacket::new(0, 8)];
    server
        .session
        .complete(transfer.complete_packets(done, Segments::new()));
    assert_eq!(reply(&server.written()).status, 0);
}

#[test]
fn zero_packet_means_something_for_bulk_out_only() {
    let asked = |submit: Submit, behind: &[u8]| {
        let flags = submit.flags | 0x40;
        let header = Submit { flags, ..submit }.header();
        let transfer = server().submit(&[&header[..], behind].concat());
        transfer.flags.zero_packet
    };
    assert!(asked(Submit::new(1, OUT, 2, 0), &[]));
    assert!(!asked(Submit::new(1, IN, 2, 0), &[]));
    let setup = [0x21, 9, 0, 2, 0, 0, 0, 0];
    let control = Submit::new(1, OUT, 0, 0);
    assert!(!asked(Submit { setup, ..control }, &[]));
    let isochronous = Submit::new(1, OUT, 3, 0);
    let packets = 1;
    let isochronous = Submit {
        packets,
        ..isochronous
    };
    assert!(!asked(isochronous, &packet(0, 0)));
}

#[test]
fn minus_one_packets_is_none() {
    let mut server = server();
    let windows = Submit {
        packets: -1,
        ..Submit::new(1, IN, 1, 4)
    };
    let transfer = server.submit(&windows.header());
    assert_eq!(transfer.kind, Kind::Data { stream: None });
    server.session.complete(transfer.stall());
    assert_eq!(server.replies()[0].packets, 0);
}

#[test]
fn setup_bytes_count_on_the_control_endpoint_only() {
    let mut server = server();
    let stale = [0xa1, 0xfe, 0, 0, 0, 0, 1, 0];
    let bulk = Submit {
        setup: stale,
        ..Submit::new(1, IN, 1, 512)
    };
    assert_eq!(
        server.submit(&bulk.header()).kind,
        Kind::Data { stream: None }
    );
    let control = Submit {
        setup: stale,
        ..Submit::new(2, IN, 0, 1)
    };
    let transfer = server.submit(&control.header());
    assert!(matches!(transfer.kind, Kind::Control(setup) if setup.request == 0xfe));
    assert_eq!(transfer.endpoint, EndpointAddress::CONTROL_IN);
}

#[test]
fn control_transfers_that_disagree_with_themselves_are_answered_here() {
    let mut server = server();
    let get = [0x80, 6, 0, 1, 0, 0, 18, 0];
    let set = [0x21, 9, 0, 2, 0, 0, 4, 0];
    let cases = [
        Submit {
            setup: get,
            ..Submit::new(1, OUT, 0, 0)
        },
        Submit {
            setup: set,
            ..Submit::new(2, IN, 0, 4)
        },
        Submit {
            setup: set,
            ..Submit::new(3, OUT, 0, 0)
        },
    ];
    for submit in cases {
        assert_eq!(server.event(&submit.header()), Ok(None), "{submit:?}");
        assert_eq!(
            server.replies(),
            [Reply::new(RET_SUBMIT, submit.seqnum, -22, 0)]
        );
    }
    // Without a data stage the direction means nothing.
    let empty = Submit {
        setup: [0x80, 6, 0, 1, 0, 0, 0, 0],
        ..Submit::new(4, IN, 0, 0)
    };
    assert_eq!(
        server.submit(&empty.header()).payload,
        Payload::Out(Bytes::new())
    );
    assert_eq!(server.session.pending(), 1);
}

#[test]
fn port_reset_resets_the_function_before_it_is_answered() {
    let mut server = server();
    let pending = server.submit(&Submit::new(1, IN, 1, 512).header());
    let reset = Submit {
        setup: [0x23, 3, 4, 0, 1, 0, 0, 0],
        ..Submit::new(2, OUT, 0, 0)
    };
    assert_eq!(server.event(&reset.header()), Ok(Some(HostEvent::Reset)));
    server.session.complete(pending.fail(Status::CANCELLED));
    assert_eq!(server.session.poll(), None);
    assert_eq!(
        server.replies(),
        [
            Reply::new(RET_SUBMIT, 1, -104, 0),
            Reply::new(RET_SUBMIT, 2, 0, 0)
        ]
    );
    // A function that takes its time, and a host that does not wait for it.
    let slow = server.submit(&Submit::new(4, IN, 1, 512).header());
    let second = Submit { seqnum: 5, ..reset };
    assert_eq!(server.event(&second.header()), Ok(Some(HostEvent::Reset)));
    let third = Submit { seqnum: 6, ..reset };
    assert_eq!(server.event(&third.header()), Ok(Some(HostEvent::Reset)));
    let later = server.submit(&Submit::new(7, OUT, 2, 0).header());
    server.session.complete(later.complete_out());
    assert_eq!(server.event(&unlink(8, 6)), Ok(None));
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 7, 0, 0)]);
    assert_eq!(server.session.pending(), 1, "the function knows one");
    server.session.complete(slow.fail(Status::CANCELLED));
    assert_eq!(server.session.poll(), None);
    assert_eq!(
        server.replies(),
        [
            Reply::new(RET_SUBMIT, 4, -104, 0),
            Reply::new(RET_SUBMIT, 5, 0, 0),
            Reply::new(RET_SUBMIT, 6, 0, 0),
            Reply::new(RET_UNLINK, 8, 0, 0),
        ]
    );
    // SET_ADDRESS is the host controller's.
    let address = Submit {
        setup: [0, 5, 3, 0, 0, 0, 0, 0],
        ..Submit::new(3, OUT, 0, 0)
    };
    assert_eq!(server.event(&address.header()), Ok(None));
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 3, 0, 0)]);
}

#[test]
fn too_many_transfers_are_answered_and_unlinks_still_read() {
    let mut limits = Limits::default();
    limits.max_in_flight = 2;
    let mut server = Server::new(limits);
    let first = server.submit(&Submit::new(1, IN, 1, 512).header());
    server.submit(&Submit::new(2, IN, 1, 512).header());
    let payload = [Submit::new(3, OUT, 2, 5).header().as_slice(), b"12345"].concat();
    assert_eq!(server.event(&payload), Ok(None));
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 3, -12, 0)]);
    assert!(server.rx.is_empty(), "its payload was taken");
    assert_eq!(
        server.event(&unlink(4, 1)),
        Ok(Some(HostEvent::Cancel(first.id)))
    );

    let mut limits = Limits::default();
    limits.max_in_flight_bytes = 1000;
    let mut server = Server::new(limits);
    let first = server.submit(&Submit::new(1, IN, 1, 600).header());
    assert_eq!(server.event(&Submit::new(2, IN, 1, 600).header()), Ok(None));
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 2, -12, 0)]);
    server.session.complete(first.stall());
    server.submit(&Submit::new(3, IN, 1, 600).header());

    // Lists of packets count, the function's too: 2 of 16 bytes for each.
    for (limit, status) in [(8 + 32 * 16, None), (8 + 32 * 16 - 1, Some(-12))] {
        let mut limits = Limits::default();
        limits.max_in_flight_bytes = limit;
        let mut server = Server::new(limits);
        let head = Submit {
            packets: 16,
            ..Submit::new(1, IN, 3, 8)
        };
        let event = server.event(&[&head.header()[..], &[0; 256]].concat());
        assert_eq!(event.unwrap().is_some(), status.is_none());
        let written = server.written();
        let told = written
            .first_chunk::<48>()
            .map(|header| reply(header).status);
        assert_eq!(told, status);
    }
}

#[test]
fn reading_stops_at_the_high_water_mark_only() {
    let mut limits = Limits::default();
    limits.tx_high_water = 100;
    let mut server = Server::new(limits);
    for seqnum in 0..3 {
        let transfer = server.submit(&Submit::new(seqnum, IN, 1, 0).header());
        server.session.complete(transfer.complete_in(Bytes::new()));
    }
    server
        .rx
        .extend_from_slice(&Submit::new(9, IN, 1, 0).header());
    let Step::Io(wants) = server.session.receive(&mut server.rx).unwrap() else {
        panic!()
    };
    assert!(wants.read.is_none() && wants.write && !wants.is_finished());
    assert_eq!(server.written().len(), 3 * 48);
    assert_eq!(server.session.receive(&mut server.rx).unwrap(), Step::Ready);
}

#[test]
fn a_mark_of_zero_does_not_end_the_session() {
    let mut limits = Limits::default();
    limits.tx_high_water = 0;
    let mut server = Server::new(limits);
    let transfer = server.submit(&Submit::new(1, IN, 1, 0).header());
    server.session.complete(transfer.complete_in(Bytes::new()));
    let Step::Io(wants) = server.session.receive(&mut server.rx).unwrap() else {
        panic!()
    };
    assert!(wants.read.is_none() && wants.write);
    assert_eq!(server.written().len(), 48);
    server.submit(&Submit::new(2, IN, 1, 0).header());
}

#[test]
fn isochronous_in_is_packed_and_out_has_gaps() {
    let mut server = server();
    let head = Submit {
        packets: 3,
        interval: 8,
        ..Submit::new(1, IN, 3, 300)
    }
    .header();
    let packets = [packet(0, 100), packet(100, 100), packet(200, 100)].concat();
    let transfer = server.submit(&[&head[..], &packets].concat());
    assert_eq!(transfer.interval, 8);
    let Kind::Isochronous(mut packets) = transfer.kind.clone() else {
        panic!()
    };
    packets[0].actual = 2;
    packets[1].status = Status::NOT_TRANSFERRED;
    packets[2].actual = 3;
    server
        .session
        .complete(transfer.complete_packets(packets, Segments::from(&b"abcde"[..])));
    let written = server.written();
    let expected = Reply {
        packets: 3,
        errors: 1,
        ..Reply::new(RET_SUBMIT, 1, 0, 5)
    };
    assert_eq!(
        (reply(&written), &written[48..53]),
        (expected, &b"abcde"[..])
    );
    let described: Vec<_> = written[53..]
        .chunks(16)
        .map(|each| common::word(each, 0))
        .collect();
    assert_eq!(described, [0, 100, 200], "offsets come back");
    assert_eq!(written.len(), 53 + 48);

    let head = Submit {
        packets: 2,
        ..Submit::new(2, OUT, 3, 10)
    }
    .header();
    let bytes = [&head[..], b"ab--------", &packet(0, 2), &packet(8, 2)].concat();
    let transfer = server.submit(&bytes);
    let Payload::Out(data) = &transfer.payload else {
        panic!()
    };
    assert_eq!(&data[..], b"ab--------");
    let Kind::Isochronous(mut packets) = transfer.kind.clone() else {
        panic!()
    };
    packets
        .iter_mut()
        .for_each(|packet| packet.actual = packet.length);
    server
        .session
        .complete(transfer.complete_packets(packets, Segments::new()));
    let written = server.written();
    assert_eq!(reply(&written).length, 4);
    assert_eq!(written.len(), 48 + 32);
}

#[test]
fn where_packets_lie_is_the_requests_word() {
    let head = Submit {
        packets: 2,
        ..Submit::new(1, IN, 3, 20)
    }
    .header();
    let bytes = [&head[..], &packet(0, 10), &packet(10, 10)].concat();
    let lies = |packets: &[u8]| -> Vec<(u32, u32, u32)> {
        let words = packets.chunks(16);
        words
            .map(|each| {
                (
                    common::word(each, 0),
                    common::word(each, 4),
                    common::word(each, 8),
                )
            })
            .collect()
    };
    // Too few, too long, elsewhere.
    let mut server = server();
    let transfer = server.submit(&bytes);
    let wrong = vec![IsoPacket {
        actual: 99,
        ..IsoPacket::new(0xffff_0000, 200)
    }];
    server
        .session
        .complete(transfer.complete_packets(wrong, Segments::zeros(50)));
    let written = server.written();
    let answer = reply(&written);
    assert_eq!((answer.packets, answer.length, answer.errors), (2, 10, 1));
    assert_eq!(lies(&written[58..]), [(0, 10, 10), (10, 10, 0)]);
    // None at all: a transfer that failed as a whole.
    let mut server = Server::new(Limits::default());
    let transfer = server.submit(&bytes);
    let failed = Completion::failed(transfer.id, Direction::In, Status::PROTOCOL);
    server.session.complete(failed);
    let written = server.written();
    assert_eq!(reply(&written).errors, 2);
    assert_eq!(lies(&written[48..]), [(0, 10, 0), (10, 10, 0)]);
}

#[test]
fn intervals_count_frames_up_to_full_speed() {
    let mut server = Server::at(Speed::Full, Limits::default());
    let submit = Submit {
        interval: 10,
        ..Submit::new(1, IN, 1, 8)
    };
    assert_eq!(server.submit(&submit.header()).interval, 80);
    let negative = Submit {
        interval: -1,
        ..Submit::new(2, IN, 1, 8)
    };
    assert_eq!(server.submit(&negative.header()).interval, 0);
}

#[test]
fn an_end_in_the_middle_leaves_nothing_pending() {
    let mut server = server();
    let transfer = server.submit(&Submit::new(1, IN, 1, 512).header());
    assert_eq!(
        server.event(&Submit::new(2, OUT, 2, 512).header()),
        Ok(None)
    );
    server.session.end();
    assert_eq!(server.session.receive(&mut server.rx).unwrap(), Step::Ready);
    assert_eq!(server.session.poll(), Some(HostEvent::Reset));
    assert_eq!(server.session.pending(), 1);
    server.session.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(server.session.pending(), 0);
    let Step::Io(wants) = server.session.receive(&mut server.rx).unwrap() else {
        panic!()
    };
    assert!(wants.is_finished());
    assert!(server.written().is_empty(), "nobody listens");
}

#[test]
fn a_detached_device_ends_the_connection_after_its_replies() {
    let mut server = server();
    let transfer = server.submit(&Submit::new(1, IN, 1, 512).header());
    server.session.complete(transfer.fail(Status::DISCONNECTED));
    server.session.detach();
    assert_eq!(server.session.poll(), Some(HostEvent::Reset));
    let Step::Io(wants) = server.session.receive(&mut server.rx).unwrap() else {
        panic!()
    };
    assert!(wants.write && wants.read.is_none());
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 1, -19, 0)]);
    let Step::Io(wants) = server.session.receive(&mut server.rx).unwrap() else {
        panic!()
    };
    assert!(wants.is_finished());
}
