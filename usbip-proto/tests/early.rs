//! Unlinks that come before the request they name, as vhci_hcd sends them: its thread sends what was
//! submitted, then what is to be unlinked, and what is submitted and unlinked in between leaves in
//! that order. A RET_UNLINK 0 in front of the request has vhci give it back, and drop the device over
//! the RET_SUBMIT.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use common::{IN, OUT, RET_SUBMIT, RET_UNLINK, Reply, Server, Submit, packet, unlink};
use usb_transfer::{Frontend, HostEvent, Status, Wire};
use usbip_proto::{Limits, ProtocolError};

const RESET: i32 = -104;

fn server() -> Server {
    Server::new(Limits::default())
}

fn read(seqnum: u32) -> [u8; 48] {
    Submit::new(seqnum, IN, 1, 512).header()
}

fn unlinked(seqnum: u32, status: i32) -> Reply {
    Reply::new(RET_UNLINK, seqnum, status, 0)
}

/// A server that has had a request of this number, and answered it.
fn after(seqnum: u32) -> Server {
    let mut server = server();
    let transfer = server.submit(&read(seqnum));
    server.session.complete(transfer.stall());
    assert_eq!(server.replies().len(), 1);
    server
}

impl Server {
    /// Nothing comes of it for the function; these replies do.
    fn answers(&mut self, bytes: &[u8]) -> Vec<Reply> {
        assert_eq!(self.event(bytes), Ok(None));
        assert!(self.rx.is_empty(), "taken off the wire");
        assert_eq!(self.session.pending(), 0);
        self.replies()
    }
}

/// As seen in usbtest's case 12: CMD_UNLINK 20375 of 20374, then CMD_SUBMIT 20374.
#[test]
fn the_function_never_sees_what_was_unlinked_before_it_came() {
    let mut server = after(20373);
    assert_eq!(server.answers(&unlink(20375, 20374)), []);
    assert_eq!(server.answers(&read(20374)), [unlinked(20375, RESET)]);
    // Its number and the unlink's are free again, and the next is served.
    let next = server.submit(&read(20376));
    assert_eq!(
        server.event(&unlink(20377, 20376)).unwrap(),
        Some(HostEvent::Cancel(next.id))
    );
    server.session.complete(next.fail(Status::CANCELLED));
    assert_eq!(server.replies(), [unlinked(20377, RESET)]);
}

/// Of every kind, with all that belongs to it, and what the session would answer itself.
#[test]
fn all_of_it_is_taken_off_the_wire() {
    let control = |direction, length: u16, setup: [u8; 4]| {
        let [low, high] = length.to_le_bytes();
        let setup = [setup[0], setup[1], setup[2], setup[3], 0, 0, low, high];
        Submit {
            setup,
            ..Submit::new(11, direction, 0, i32::from(length))
        }
    };
    let isochronous = |direction| Submit {
        packets: 2,
        ..Submit::new(11, direction, 3, 16)
    };
    let packets = [packet(0, 8), packet(8, 8)].concat();
    let messages = [
        read(11).to_vec(),
        [&Submit::new(11, OUT, 2, 600).header()[..], &[7; 600]].concat(),
        control(IN, 18, [0x80, 6, 0, 1]).header().to_vec(),
        [&control(OUT, 4, [0x40, 1, 0, 0]).header()[..], b"data"].concat(),
        [&isochronous(IN).header()[..], &packets].concat(),
        [&isochronous(OUT).header()[..], &[7; 16], &packets].concat(),
        // SET_ADDRESS, a port reset, and a setup packet of another length than the data.
        control(OUT, 0, [0x00, 5, 3, 0]).header().to_vec(),
        control(OUT, 0, [0x23, 3, 4, 0]).header().to_vec(),
        Submit::new(11, IN, 0, 8).header().to_vec(),
    ];
    for message in messages {
        let mut server = after(10);
        assert_eq!(server.answers(&unlink(12, 11)), []);
        // However it is cut, it is taken when it is all there.
        let (head, tail) = message.split_at(message.len() / 2);
        assert_eq!(server.event(head), Ok(None));
        assert_eq!(server.replies(), []);
        assert_eq!(
            server.answers(tail),
            [unlinked(12, RESET)],
            "{message:02x?}"
        );
        server.submit(&read(13));
    }
}

/// What is wrong with it is wrong though nobody wants it any more.
#[test]
fn it_is_checked_as_others_are() {
    let spoilt = Submit {
        packets: 1,
        ..Submit::new(11, IN, 3, 8)
    };
    let outside = [&spoilt.header()[..], &packet(4, 8)].concat();
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(12, 11)), []);
    let error = server.event(&outside).unwrap_err();
    assert!(
        matches!(error, ProtocolError::Packet { seqnum: 11, .. }),
        "{error}"
    );
    assert_eq!(server.replies(), []);

    let mut server = after(10);
    assert_eq!(server.answers(&unlink(12, 11)), []);
    let error = server
        .event(&Submit::new(11, IN, 16, 8).header())
        .unwrap_err();
    assert!(
        matches!(error, ProtocolError::Endpoint { seqnum: 11, .. }),
        "{error}"
    );
}

/// It counts nowhere: where there is no room it is not refused, and it takes none from others.
#[test]
fn it_takes_no_room() {
    let mut limits = Limits::default();
    (limits.max_in_flight, limits.max_in_flight_bytes) = (1, 600);
    let mut server = Server::new(limits);
    let first = server.submit(&read(10));
    assert_eq!(server.event(&unlink(12, 11)), Ok(None));
    assert_eq!(server.event(&read(11)), Ok(None));
    assert_eq!(server.replies(), [unlinked(12, RESET)]);
    server.session.complete(first.stall());
    server.submit(&read(13));
}

/// Anchors are killed from the last request to the first, and vhci's thread goes on after the unlinks.
#[test]
fn many_may_come_early_and_in_any_order() {
    let mut server = after(10);
    for (seqnum, target) in [(18, 13), (19, 12), (20, 11)] {
        assert_eq!(server.answers(&unlink(seqnum, target)), []);
    }
    assert_eq!(server.answers(&read(11)), [unlinked(20, RESET)]);
    assert_eq!(server.answers(&read(12)), [unlinked(19, RESET)]);
    // One behind that is wanted.
    assert_eq!(server.answers(&read(13)), [unlinked(18, RESET)]);
    server.submit(&read(14));

    // Between them one that is in flight is unlinked as ever.
    let mut server = Server::new(Limits::default());
    server.submit(&read(10));
    assert_eq!(server.event(&unlink(13, 11)), Ok(None));
    assert!(matches!(
        server.event(&unlink(14, 10)),
        Ok(Some(HostEvent::Cancel(_)))
    ));
    assert_eq!(server.event(&unlink(15, 12)), Ok(None));
    assert_eq!(server.event(&[read(11), read(12)].concat()), Ok(None));
    assert_eq!(server.replies(), [unlinked(13, RESET), unlinked(15, RESET)]);
}

/// Numbers are given in the order of the requests: a later one says that it will not come.
#[test]
fn what_is_passed_does_not_come() {
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(14, 11)), []);
    assert_eq!(server.answers(&unlink(15, 13)), []);
    let transfer = server.submit(&read(12));
    assert_eq!(server.replies(), [unlinked(14, 0)]);
    // Should it come all the same, it is a request like others.
    let late = server.submit(&read(11));
    server.session.complete(transfer.stall());
    server.session.complete(late.stall());
    assert_eq!(server.replies().len(), 2);
    assert_eq!(server.answers(&read(13)), [unlinked(15, RESET)]);
}

/// An earlier one says nothing of it, nor does another unlink.
#[test]
fn it_waits_while_earlier_requests_come() {
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(15, 13)), []);
    for earlier in [11, 9, 12, 3] {
        let transfer = server.submit(&read(earlier));
        server.session.complete(transfer.stall());
        assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, earlier, -32, 0)]);
    }
    assert_eq!(server.answers(&unlink(17, 12)), [unlinked(17, 0)]);
    assert_eq!(server.answers(&read(13)), [unlinked(15, RESET)]);
}

/// Only what lies between the latest request and the unlink can be to come.
#[test]
fn what_cannot_come_is_answered_at_once() {
    let mut server = after(10);
    for (seqnum, target) in [(12, 10), (12, 9), (12, 12), (12, 13), (12, 1000), (5, 11)] {
        assert_eq!(
            server.answers(&unlink(seqnum, target)),
            [unlinked(seqnum, 0)],
            "{target}"
        );
    }
    // A number that was answered here, without the function: no room, SET_ADDRESS, a setup packet of
    // another length.
    let mut limits = Limits::default();
    limits.max_in_flight = 0;
    let mut server = Server::new(limits);
    assert_eq!(server.answers(&read(1)).len(), 1);
    assert_eq!(server.answers(&unlink(2, 1)), [unlinked(2, 0)]);
    let address = Submit {
        setup: [0, 5, 3, 0, 0, 0, 0, 0],
        ..Submit::new(3, OUT, 0, 0)
    };
    assert_eq!(server.answers(&address.header()).len(), 1);
    assert_eq!(server.answers(&unlink(4, 3)), [unlinked(4, 0)]);
    assert_eq!(server.answers(&Submit::new(5, IN, 0, 8).header()).len(), 1);
    assert_eq!(server.answers(&unlink(6, 5)), [unlinked(6, 0)]);
}

/// The kernel's numbers begin anywhere, since they outlive connections.
#[test]
fn a_session_may_begin_with_an_unlink() {
    for first in [
        0,
        1,
        7,
        0x7fff_ffff,
        0x8000_0000,
        0x9000_0000,
        u32::MAX - 1,
        u32::MAX,
    ] {
        let at = |count: u32| first.wrapping_add(count);
        let mut server = server();
        assert_eq!(server.answers(&unlink(at(3), at(1))), []);
        assert_eq!(server.answers(&unlink(at(4), first)), []);
        assert_eq!(server.answers(&unlink(at(6), at(5))), []);
        assert_eq!(
            server.answers(&read(first)),
            [unlinked(at(4), RESET)],
            "{first:#x}"
        );
        server.submit(&read(at(2)));
        assert_eq!(server.replies(), [unlinked(at(3), 0)]);
        assert_eq!(server.event(&read(at(5))), Ok(None));
        assert_eq!(server.replies(), [unlinked(at(6), RESET)]);
        // And one that begins with a request.
        let mut server = after(first);
        assert_eq!(server.answers(&unlink(at(2), at(1))), []);
        assert_eq!(server.answers(&unlink(at(3), first)), [unlinked(at(3), 0)]);
        assert_eq!(server.answers(&read(at(1))), [unlinked(at(2), RESET)]);
    }
    // One from behind the unlink is later, wherever the numbers are.
    let mut server = server();
    assert_eq!(server.answers(&unlink(0x9000_0001, 0x9000_0000)), []);
    server.submit(&read(0x9000_0002));
    assert_eq!(server.replies(), [unlinked(0x9000_0001, 0)]);
}

#[test]
fn numbers_go_round() {
    for latest in u32::MAX - 4..=u32::MAX {
        let at = |count: u32| latest.wrapping_add(count);
        let mut server = after(latest);
        assert_eq!(server.answers(&unlink(at(4), at(1))), []);
        assert_eq!(server.answers(&unlink(at(5), at(3))), []);
        assert_eq!(server.answers(&unlink(at(6), latest)), [unlinked(at(6), 0)]);
        assert_eq!(server.answers(&read(at(1))), [unlinked(at(4), RESET)]);
        server.submit(&read(at(2)));
        assert_eq!(server.event(&read(at(3))), Ok(None));
        assert_eq!(server.replies(), [unlinked(at(5), RESET)]);
    }
    // A number above the latest is later, however far: whether an unlink waits or not.
    for waits in [false, true] {
        let mut server = after(5);
        if waits {
            assert_eq!(server.answers(&unlink(8, 7)), []);
        }
        let transfer = server.submit(&read(0x9000_0000));
        server.session.complete(transfer.stall());
        server.replies();
        assert_eq!(server.answers(&unlink(0x9000_0002, 0x9000_0001)), []);
        let answer = server.answers(&read(0x9000_0001));
        assert_eq!(answer, [unlinked(0x9000_0002, RESET)]);
    }
    // A keyboard's request, unlinked when it was answered more than half a round ago, is not to come.
    let mut server = after(5);
    for latest in [0x7000_0000, 0xe000_0000] {
        let transfer = server.submit(&read(latest));
        server.session.complete(transfer.stall());
        server.replies();
    }
    assert_eq!(
        server.answers(&unlink(0xe000_0001, 5)),
        [unlinked(0xe000_0001, 0)]
    );
}

#[test]
fn a_second_unlink_of_what_is_to_come_ends_the_session() {
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(13, 11)), []);
    assert_eq!(
        server.event(&unlink(14, 11)).unwrap_err().to_string(),
        "request 14 unlinks 11, which is being unlinked already"
    );
    assert_eq!(server.replies(), []);
}

#[test]
fn the_number_of_an_unlink_that_waits_is_in_use() {
    for again in [read(13), unlink(13, 12), unlink(13, 10), unlink(13, 11)] {
        let mut server = after(10);
        assert_eq!(server.answers(&unlink(13, 11)), []);
        let error = server.event(&again).unwrap_err();
        assert!(
            matches!(error, ProtocolError::DuplicateSeqnum { seqnum: 13, .. }),
            "{error}"
        );
    }
    // The one it waits for is not: who uses it for an unlink in between has one answer for each.
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(13, 12)), []);
    assert_eq!(server.answers(&unlink(12, 10)), [unlinked(12, 0)]);
    assert_eq!(server.answers(&unlink(12, 11)), []);
    assert_eq!(server.answers(&read(11)), [unlinked(12, RESET)]);
    assert_eq!(server.answers(&read(12)), [unlinked(13, RESET)]);
    // And all are free when they are answered.
    let transfer = server.submit(&read(13));
    server.session.complete(transfer.stall());
    server.submit(&read(12));
}

#[test]
fn as_many_wait_as_may_be_in_flight() {
    let mut limits = Limits::default();
    limits.max_in_flight = 2;
    let mut server = Server::new(limits);
    let first = server.submit(&read(1));
    server.session.complete(first.stall());
    assert_eq!(server.replies().len(), 1);
    assert_eq!(server.answers(&unlink(10, 2)), []);
    assert_eq!(server.answers(&unlink(11, 3)), []);
    // What cannot come has its answer still.
    assert_eq!(server.answers(&unlink(12, 1)), [unlinked(12, 0)]);
    assert_eq!(server.answers(&read(2)), [unlinked(10, RESET)]);
    assert_eq!(server.answers(&unlink(13, 4)), []);
    assert_eq!(
        server.event(&unlink(14, 5)).unwrap_err().to_string(),
        "request 14 unlinks 5 before it came, limit 2 such at a time"
    );
}

#[test]
fn they_are_counted_among_the_memory() {
    let mut server = after(0);
    let before = server.session.footprint();
    for number in 1..=1024 {
        assert_eq!(server.answers(&unlink(5000 + number, number)), []);
    }
    let held = server.session.footprint() - before;
    assert!((1024 * 8..=2048 * 8).contains(&held), "{held} bytes");
}

/// All at once are answered by one request, in the order in which they came.
#[test]
fn a_request_passes_many() {
    let mut server = after(0);
    for number in 1..=1024 {
        assert_eq!(server.answers(&unlink(5000 - number, number)), []);
    }
    server.submit(&read(5000));
    let expected: Vec<_> = (1..=1024)
        .map(|number| unlinked(5000 - number, 0))
        .collect();
    assert_eq!(server.replies(), expected);
}

/// The connection is over: nobody reads an answer.
#[test]
fn those_that_wait_end_with_the_session() {
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(12, 11)), []);
    server.session.end();
    assert_eq!(server.session.poll(), Some(HostEvent::Reset));
    assert_eq!((server.session.poll(), server.session.pending()), (None, 0));
    assert_eq!(server.event(&read(11)), Ok(None));
    assert_eq!(server.replies(), []);

    let mut server = after(10);
    assert_eq!(server.answers(&unlink(12, 11)), []);
    server.event(&[0xff; 48]).unwrap_err();
    assert_eq!(server.replies(), []);
}

/// A port reset on its way changes nothing for them, and its own unlink may be early too.
#[test]
fn a_port_reset_passes_them_by() {
    let reset = |seqnum| {
        Submit {
            setup: [0x23, 3, 4, 0, 0, 0, 0, 0],
            ..Submit::new(seqnum, OUT, 0, 0)
        }
        .header()
    };
    let mut server = after(10);
    assert_eq!(server.answers(&unlink(14, 12)), []);
    assert_eq!(server.event(&reset(11)), Ok(Some(HostEvent::Reset)));
    assert_eq!(server.session.poll(), None);
    assert_eq!(server.replies(), [Reply::new(RET_SUBMIT, 11, 0, 0)]);
    assert_eq!(server.answers(&read(12)), [unlinked(14, RESET)]);
    assert_eq!(server.answers(&unlink(16, 15)), []);
    assert_eq!(server.answers(&reset(15)), [unlinked(16, RESET)]);
}

/// usbip-win2 keeps the direction in bit 0: the numbers rise all the same.
#[test]
fn a_windows_clients_numbers_rise_too() {
    let mut server = after(0x100);
    let read = Submit {
        packets: -1,
        ..Submit::new(0x103, IN, 1, 0)
    };
    assert_eq!(server.answers(&unlink(0x104, 0x103)), []);
    assert_eq!(server.answers(&read.header()), [unlinked(0x104, RESET)]);
    // Answered, and its number used again.
    assert_eq!(server.answers(&unlink(0x106, 0x103)), [unlinked(0x106, 0)]);
    server.submit(
        &Submit {
            packets: -1,
            ..read
        }
        .header(),
    );
}

/// Clients that count down, or number requests by their places in a table, have their answers at once.
#[test]
fn nobody_waits_whose_numbers_are_close_together() {
    let orders: [&[u32]; 3] = [
        &[90, 89, 88, 87, 86, 85],
        &[5, 2, 7, 1, 6, 2, 5, 3, 7],
        &[
            u32::MAX,
            0xa000_0000,
            u32::MAX - 7,
            0x9000_0000,
            u32::MAX - 9,
        ],
    ];
    for order in orders {
        let mut server = server();
        for (sent, &number) in order.iter().enumerate() {
            let transfer = server.submit(&read(number));
            server.session.complete(transfer.stall());
            server.replies();
            for &target in &order[..=sent] {
                for seqnum in [0, 4, 50, 91, 0xffff_0000] {
                    let answer = server.answers(&unlink(seqnum, target));
                    assert_eq!(answer, [unlinked(seqnum, 0)], "{target} of {order:?}");
                }
            }
        }
    }
}
