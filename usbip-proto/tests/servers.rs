//! What servers do to our client beside answering: some are hostile, some careless, and some have
//! ways of their own.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::{DEVICE, Reply, Submit, ret, word};
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Step, Transfer,
    TransferIds, Wire, exchange,
};
use usbip_proto::client::{Handshake, Session};
use usbip_proto::{DeviceId, Limits, ProtocolError};

const IN: u32 = 1;
const BULK_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

/// `SET_FEATURE(PORT_RESET)`.
const PORT_RESET: [u8; 8] = [0x23, 3, 4, 0, 0, 0, 0, 0];

struct Client {
    session: Session,
    rx: BytesMut,
    ids: TransferIds,
}

impl Client {
    fn new() -> Self {
        Self {
            session: Session::new(DeviceId::from_u32(DEVICE), Speed::High, Limits::default()),
            rx: BytesMut::new(),
            ids: TransferIds::default(),
        }
    }

    fn read(&mut self) -> Transfer {
        let transfer = Transfer::data_in(self.ids.mint(), BULK_IN, 512);
        self.session.submit(transfer.clone());
        transfer
    }

    fn write(&mut self, length: usize) -> Transfer {
        let data = Bytes::from(vec![7; length]);
        let transfer = Transfer::data_out(self.ids.mint(), BULK_OUT, data);
        self.session.submit(transfer.clone());
        transfer
    }

    fn read_packets(&mut self, count: u32) -> Transfer {
        let packets = (0..count).map(|at| IsoPacket::new(at * 4, 4)).collect();
        let (kind, length) = (Kind::Isochronous(packets), count * 4);
        let transfer = Transfer::new(self.ids.mint(), BULK_IN, kind, Payload::In { length });
        self.session.submit(transfer.clone());
        transfer
    }

    fn sent(&mut self) -> Vec<u8> {
        let tx = self.session.tx();
        tx.copy_to_bytes(tx.remaining()).to_vec()
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Option<Completion>, ProtocolError> {
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

/// A reply to an isochronous request of so many packets of 4 bytes each, which brings nothing.
fn ret_packets(seqnum: u32, status: i32, count: u32) -> Vec<u8> {
    let mut bytes = ret(3, seqnum, status, 0, count as i32).to_vec();
    let packets = (0..count).flat_map(|at| [at * 4, 4, 0, status as u32]);
    bytes.extend(packets.flat_map(u32::to_be_bytes));
    bytes
}

/// Else a server that takes nothing could have its client ask on and on.
#[test]
fn what_was_not_sent_is_not_answered() {
    type Ask = fn(&mut Client) -> Transfer;
    let submits: [(Ask, Vec<u8>); 3] = [
        (Client::read, ret(3, 1, -32, 0, 0).to_vec()),
        (|client| client.write(4096), ret(3, 1, -32, 0, 0).to_vec()),
        (|client| client.read_packets(2), ret_packets(1, -32, 2)),
    ];
    for (submit, reply) in submits {
        for taken in 0..=48 {
            let mut client = Client::new();
            let transfer = submit(&mut client);
            client.session.tx().advance(taken);
            let result = client.receive(&reply);
            if taken == 48 {
                assert_eq!(result, Ok(Some(transfer.stall())), "its header is enough");
                continue;
            }
            let error = result.unwrap_err();
            assert!(matches!(error, ProtocolError::Unsent { seqnum: 1, .. }));
            assert_eq!(client.receive(&[]).unwrap_err(), error, "sticky");
            let gone = FunctionEvent::Complete(transfer.fail(Status::DISCONNECTED));
            assert_eq!(client.session.poll(), Some(gone));
            assert_eq!(client.session.poll(), Some(FunctionEvent::Detached));
        }
    }
    let error = {
        let mut client = Client::new();
        client.read();
        client.receive(&ret(3, 1, 0, 0, 0)).unwrap_err()
    };
    assert_eq!(
        error.to_string(),
        "reply to request 1, which was not sent yet"
    );
}

/// A device may refuse data by the header before it; what is left of them is sent all the same.
#[test]
fn data_may_be_answered_before_they_are_sent() {
    let mut client = Client::new();
    let first = client.write(4096);
    let second = client.write(300);
    client.session.tx().advance(48 + 1000);
    let stalled = client.receive(&ret(3, 1, -32, 1000, 0)).unwrap().unwrap();
    assert_eq!((stalled.id, stalled.status), (first.id, Status::STALL));
    assert_eq!(stalled.actual, Actual::Out(1000));
    let rest = client.sent();
    assert_eq!(rest.len(), 3096 + 48 + 300);
    assert_eq!((word(&rest, 3096), word(&rest, 3100)), (1, 2));
    let done = client.receive(&ret(3, 2, 0, 300, 0));
    assert_eq!(done, Ok(Some(second.complete_out())));
}

#[test]
fn an_unlink_that_was_not_sent_is_not_answered() {
    for taken in 0..=48 {
        let mut client = Client::new();
        let transfer = client.read();
        client.sent();
        client.session.cancel(transfer.id);
        client.session.tx().advance(taken);
        let result = client.receive(&ret(4, 2, -104, 0, 0));
        if taken == 48 {
            assert_eq!(result, Ok(Some(transfer.fail(Status::CANCELLED))));
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, ProtocolError::Unsent { seqnum: 2, .. }));
        }
    }
    // Its target was.
    let mut client = Client::new();
    let transfer = client.read();
    client.sent();
    client.session.cancel(transfer.id);
    let done = client.receive(&ret(3, 1, -32, 0, 0));
    assert_eq!(done, Ok(Some(transfer.stall())));
}

/// The kernel's server tells by the RET_UNLINK how a request ended that it had no time to answer, and
/// drops its data.
#[test]
fn an_unlink_may_tell_how_its_target_ended() {
    for (status, ended) in [(-32, Status::STALL), (-75, Status::OVERFLOW)] {
        let mut client = Client::new();
        let transfer = client.read();
        client.session.cancel(transfer.id);
        client.sent();
        let done = client.receive(&ret(4, 2, status, 0, 0));
        assert_eq!(done, Ok(Some(transfer.fail(ended))));
    }
}

/// A server that answers what it was never sent, behind which a relay asks on for a client.
#[test]
fn a_server_that_never_reads_makes_nobody_grow() {
    let mut near = common::Server::new(Limits::default());
    let mut far = Client::new();
    let mut most = 0;
    for seqnum in 1..10_000 {
        near.rx
            .extend_from_slice(&Submit::new(seqnum, IN, 1, 512).header());
        while near.session.receive(&mut near.rx) == Ok(Step::Ready) {
            exchange(&mut near.session, &mut far.session);
        }
        far.rx.extend_from_slice(&ret(3, seqnum, 0, 0, 0));
        let _ = far.session.receive(&mut far.rx);
        exchange(&mut near.session, &mut far.session);
        near.session.tx().clear();
        most = most.max(far.session.tx().remaining());
    }
    assert_eq!(most, 48);
}

/// Nobody knows who had a device before it was imported.
#[test]
fn the_first_reset_is_asked_for() {
    let mut client = Client::new();
    client.session.reset();
    assert_eq!(client.sent()[40..], PORT_RESET);
    client.session.reset();
    assert!(client.sent().is_empty(), "the second of an unused one");
}

/// A server that leaves its client's own requests unanswered.
#[test]
fn resets_are_left_unanswered_to_a_limit() {
    let mut client = Client::new();
    let (mut resets, mut unanswered) = (0, Vec::new());
    for _ in 0..1000 {
        let transfer = client.read();
        client.session.reset();
        let sent = client.sent();
        for header in sent.chunks(48) {
            match word(header, 0) {
                1 if header[40..] == PORT_RESET => {
                    resets += 1;
                    unanswered.push(word(header, 4));
                }
                2 => {
                    let reply = ret(4, word(header, 4), -104, 0, 0);
                    let done = client.receive(&reply);
                    assert_eq!(done, Ok(Some(transfer.clone().fail(Status::CANCELLED))));
                }
                _ => {}
            }
        }
    }
    assert_eq!(resets, 64);
    // One is answered: one more is asked for.
    assert_eq!(client.receive(&ret(3, unanswered[0], 0, 0, 0)), Ok(None));
    for expected in [PORT_RESET.len(), 0] {
        client.read();
        client.session.reset();
        let sent = client.sent();
        let own = sent.chunks(48).find(|header| header[40..] == PORT_RESET);
        assert_eq!(own.map_or(0, |header| header[40..].len()), expected);
    }
}

/// A reset that could not be sent is not taken for one: the next is, once the server goes on.
#[test]
fn a_reset_that_was_not_sent_is_asked_for_again() {
    let mut client = Client::new();
    let mut first = None;
    for _ in 0..65 {
        let transfer = client.read();
        client.session.reset();
        for header in client.sent().chunks(48) {
            match word(header, 0) {
                1 if header[40..] == PORT_RESET => first = first.or(Some(word(header, 4))),
                2 => {
                    let done = client.receive(&ret(4, word(header, 4), -104, 0, 0));
                    assert_eq!(done, Ok(Some(transfer.clone().fail(Status::CANCELLED))));
                }
                _ => {}
            }
        }
    }
    client.session.reset();
    assert!(client.sent().is_empty(), "64 are unanswered");
    let answered = client.receive(&ret(3, first.unwrap(), 0, 0, 0));
    assert_eq!(answered, Ok(None));
    client.session.reset();
    assert_eq!(client.sent()[40..], PORT_RESET);
}

/// usbipd-win aborts the whole pipe to unlink one request: those beside it come back as cancelled,
/// though nobody unlinked them. That is data: each is completed once, and a relay tells its client
/// by a RET_SUBMIT.
#[test]
fn an_unlink_may_abort_the_whole_pipe() {
    let mut near = common::Server::new(Limits::default());
    let mut far = Client::new();
    for seqnum in 11..14 {
        near.rx
            .extend_from_slice(&Submit::new(seqnum, IN, 1, 512).header());
    }
    near.rx.extend_from_slice(&common::unlink(14, 12));
    while near.session.receive(&mut near.rx) == Ok(Step::Ready) {
        exchange(&mut near.session, &mut far.session);
    }
    let sent: Vec<_> = far
        .sent()
        .chunks(48)
        .map(|header| word(header, 0))
        .collect();
    assert_eq!(sent, [1, 1, 1, 2]);
    for reply in [
        ret(3, 1, -104, 0, 0),
        ret(4, 4, -104, 0, 0),
        ret(3, 3, -104, 0, 0),
    ] {
        far.rx.extend_from_slice(&reply);
    }
    while far.session.receive(&mut far.rx) == Ok(Step::Ready) {
        exchange(&mut near.session, &mut far.session);
    }
    let replies = near.replies();
    let told: Vec<_> = replies
        .iter()
        .map(|reply| (reply.command, reply.seqnum, reply.status))
        .collect();
    assert_eq!(told, [(3, 11, -104), (4, 14, -104), (3, 13, -104)]);
}

/// vudc moves no isochronous data: each packet comes back as −EXDEV, and none is counted as an
/// error.
#[test]
fn isochronous_transfers_may_come_back_untouched() {
    let mut client = Client::new();
    let transfer = client.read_packets(3);
    client.sent();
    let done = client.receive(&ret_packets(1, -18, 3)).unwrap().unwrap();
    assert_eq!(
        (done.id, done.status),
        (transfer.id, Status::NOT_TRANSFERRED)
    );
    assert_eq!(done.actual.len(), 0);
    for (packet, at) in done.packets.iter().zip(0..) {
        assert_eq!(
            (packet.offset, packet.length, packet.actual),
            (at * 4, 4, 0)
        );
        assert_eq!(packet.status, Status::NOT_TRANSFERRED);
    }
    // A relay counts them.
    let mut near = common::Server::new(Limits::default());
    let head = Submit {
        packets: 3,
        ..Submit::new(5, IN, 1, 12)
    };
    let packets: Vec<_> = (0..3).flat_map(|at| common::packet(at * 4, 4)).collect();
    let asked = near.submit(&[&head.header()[..], &packets].concat());
    let mut handed_on = done;
    handed_on.id = asked.id;
    usb_transfer::Frontend::complete(&mut near.session, handed_on);
    let expected = Reply {
        command: 3,
        seqnum: 5,
        status: -18,
        length: 0,
        packets: 3,
        errors: 3,
    };
    assert_eq!(common::reply(&near.written()), expected);
}

/// It is handed on as it came, in one piece and in place, with gaps and with packets of nothing:
/// where the pieces belong is the packets' word.
#[test]
fn isochronous_data_is_handed_on_packed() {
    let mut client = Client::new();
    let packets = vec![
        IsoPacket::new(0, 400),
        IsoPacket::new(1000, 400),
        IsoPacket::new(400, 400),
    ];
    let (kind, length) = (Kind::Isochronous(packets), 1400);
    let id = client.ids.mint();
    let transfer = Transfer::new(id, BULK_IN, kind, Payload::In { length });
    client.session.submit(transfer);
    client.sent();
    client.rx.extend_from_slice(&ret(3, 1, 0, 700, 3));
    client.rx.extend_from_slice(&[b'a'; 300]);
    client.rx.extend_from_slice(&[b'b'; 400]);
    let words = [[0, 400, 300, 0], [1000, 400, 0, 0], [400, 400, 400, 0]];
    let words = words.into_iter().flatten().flat_map(u32::to_be_bytes);
    client.rx.extend(words);
    let place = client.rx[48..].as_ptr();
    let done = client.receive(&[]).unwrap().unwrap();
    let Actual::In(data) = &done.actual else {
        panic!()
    };
    let pieces: Vec<_> = data
        .iter()
        .map(|piece| (piece.as_ptr(), piece.len()))
        .collect();
    assert_eq!(pieces, [(place, 700)]);
    let belongs: Vec<_> = done
        .packets_in()
        .map(|(packet, piece)| (packet.offset, piece.len()))
        .collect();
    assert_eq!(belongs, [(0, 300), (1000, 0), (400, 400)]);
}

/// The field is an `i32`, whatever the limit.
#[test]
fn a_length_that_has_no_number_is_not_sent() {
    let mut limits = Limits::default();
    limits.max_transfer = u32::MAX;
    let mut client = Client::new();
    client.session = Session::new(DeviceId::from_u32(DEVICE), Speed::High, limits);
    let mut ask = |length| {
        let transfer = Transfer::data_in(client.ids.mint(), BULK_IN, length);
        client.session.submit(transfer);
        let refused = client.session.poll().is_some();
        (refused, client.sent().len())
    };
    assert_eq!(ask(i32::MAX as u32), (false, 48));
    assert_eq!(ask(1 << 31), (true, 0));
    assert_eq!(ask(u32::MAX), (true, 0));
}

/// A list that breaks the protocol says so to whoever asks, each time once, as `receive` does.
#[test]
fn an_iterator_over_a_broken_list_ends_with_its_error() {
    let mut list = Handshake::list(Limits::default());
    let mut rx = BytesMut::from(&[1, 0x11, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..]);
    for _ in 0..2 {
        let mut devices = list.devices(&mut rx);
        assert!(matches!(
            devices.next(),
            Some(Err(ProtocolError::DeviceCount { .. }))
        ));
        assert!(devices.next().is_none() && devices.next().is_none());
    }
    assert_eq!(list.poll(), None);
}

/// What follows the end is not read.
#[test]
fn what_follows_the_end_is_not_read() {
    let mut client = Client::new();
    let transfer = client.read();
    client.sent();
    client.session.end();
    let gone = transfer.fail(Status::DISCONNECTED);
    assert_eq!(client.receive(&ret(3, 1, 0, 0, 0)), Ok(Some(gone)));
    assert_eq!(client.session.poll(), Some(FunctionEvent::Detached));
    assert_eq!(client.receive(&[]), Ok(None));
    assert_eq!(client.rx.len(), 48);
}
