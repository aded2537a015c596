//! The numbers of requests and unlinks at the server's end, and where the two meet.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::Bytes;
use common::{IN, OUT, RET_SUBMIT, RET_UNLINK, Reply, Server, Submit, reply, unlink};
use usb_transfer::{Frontend, HostEvent, Status};
use usbip_proto::{Limits, ProtocolError};

fn server() -> Server {
    Server::new(Limits::default())
}

#[test]
fn a_number_in_flight_cannot_be_used_again() {
    let mut server = server();
    server.submit(&Submit::new(7, IN, 1, 512).header());
    let again = server.event(&Submit::new(7, IN, 1, 512).header());
    assert_eq!(
        again.unwrap_err().to_string(),
        "request 7 is still in flight and was sent again"
    );

    let mut server = Server::new(Limits::default());
    let transfer = server.submit(&Submit::new(7, IN, 1, 512).header());
    assert!(matches!(
        server.event(&unlink(8, 7)),
        Ok(Some(HostEvent::Cancel(_)))
    ));
    assert_eq!(
        server.event(&unlink(9, 7)).unwrap_err().to_string(),
        "request 9 unlinks 7, which is being unlinked already"
    );
    // Both are free again when answered.
    let mut server = Server::new(Limits::default());
    let first = server.submit(&Submit::new(7, IN, 1, 512).header());
    server.session.complete(first.stall());
    server.submit(&Submit::new(7, IN, 1, 512).header());
    drop(transfer);
}

/// An unlink has a number too, and it is nobody else's while it is not answered.
#[test]
fn numbers_are_used_once_among_requests_and_unlinks() {
    let read = |seqnum| Submit::new(seqnum, IN, 1, 512).header();
    for (again, expected) in [
        (unlink(7, 8), 7),
        (unlink(8, 8), 8),
        (unlink(9, 8), 9),
        (read(9), 9),
    ] {
        let mut server = server();
        server.submit(&read(7));
        server.submit(&read(8));
        assert!(matches!(
            server.event(&unlink(9, 7)),
            Ok(Some(HostEvent::Cancel(_)))
        ));
        let error = server.event(&again).unwrap_err();
        assert!(
            matches!(error, ProtocolError::DuplicateSeqnum { seqnum, .. } if seqnum == expected),
            "{error}"
        );
    }
}

/// Most clients count up; ours to know are numbers in any order, and round the end.
#[test]
fn a_number_in_flight_is_known_in_any_order() {
    let read = |seqnum| Submit::new(seqnum, IN, 1, 512).header();
    let order = [u32::MAX - 1, u32::MAX, 0, 1, 9, 5, 7];
    for again in order {
        let mut server = server();
        for seqnum in order {
            server.submit(&read(seqnum));
        }
        let error = server.event(&read(again)).unwrap_err();
        assert!(matches!(error, ProtocolError::DuplicateSeqnum { .. }));
    }
    // The highest has gone, others came, and some of them are gone too.
    for again in [5, 7, 8] {
        let mut server = server();
        let highest = server.submit(&read(100));
        server.submit(&read(5));
        server.session.complete(highest.stall());
        let gone = server.submit(&read(6));
        server.submit(&read(7));
        server.session.complete(gone.stall());
        server.submit(&read(6));
        server.submit(&read(8));
        assert!(server.event(&read(again)).is_err(), "{again}");
    }
    // One below what came and went; one above that, but below an unlink that was answered.
    for seqnum in [5, 15] {
        let mut server = server();
        let gone = server.submit(&read(10));
        let _ = server.event(&unlink(20, 10));
        server.session.complete(gone.fail(Status::CANCELLED));
        server.submit(&read(seqnum));
        assert!(server.event(&read(seqnum)).is_err(), "{seqnum}");
    }
}

/// The unlink table of `server::Session`, a row a block.
#[test]
fn unlink_meets_completion() {
    // Cancelled in time: only RET_UNLINK, −ECONNRESET.
    let mut server = server();
    let transfer = server.submit(&Submit::new(1, IN, 1, 512).header());
    assert_eq!(
        server.event(&unlink(2, 1)),
        Ok(Some(HostEvent::Cancel(transfer.id)))
    );
    server.session.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(server.replies(), [Reply::new(RET_UNLINK, 2, -104, 0)]);

    // Finished meanwhile: its data, then RET_UNLINK 0.
    let transfer = server.submit(&Submit::new(3, IN, 1, 4).header());
    let _ = server.event(&unlink(4, 3));
    server
        .session
        .complete(transfer.complete_in(Bytes::from_static(b"data")));
    let written = server.written();
    assert_eq!(reply(&written), Reply::new(RET_SUBMIT, 3, 0, 4));
    assert_eq!(&written[48..52], b"data");
    assert_eq!(reply(&written[52..]), Reply::new(RET_UNLINK, 4, 0, 0));

    // Failed meanwhile: the failure, then RET_UNLINK 0.
    let transfer = server.submit(&Submit::new(5, OUT, 2, 0).header());
    let _ = server.event(&unlink(6, 5));
    server.session.complete(transfer.stall());
    assert_eq!(
        server.replies(),
        [
            Reply::new(RET_SUBMIT, 5, -32, 0),
            Reply::new(RET_UNLINK, 6, 0, 0)
        ]
    );

    // Answered before, and never heard of.
    assert_eq!(server.event(&unlink(7, 5)), Ok(None));
    assert_eq!(server.event(&unlink(8, 1000)), Ok(None));
    assert_eq!(
        server.replies(),
        [
            Reply::new(RET_UNLINK, 7, 0, 0),
            Reply::new(RET_UNLINK, 8, 0, 0)
        ]
    );

    // Stopped by the function itself.
    let transfer = server.submit(&Submit::new(9, IN, 1, 512).header());
    server.session.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 9, -104, 0)]);
    assert_eq!(server.session.pending(), 0);
}
