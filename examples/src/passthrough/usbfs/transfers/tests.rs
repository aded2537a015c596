//! Against a node that ends what it is told to.

use std::cell::RefCell;
use std::num::NonZeroU16;

use usb_descriptors::EndpointAddress;
use usb_transfer::{StreamId, TransferIds};

use super::super::super::kernel::Packet;
use super::*;

/// URBs that are under way, by their numbers in order.
#[derive(Default)]
struct Fake {
    urbs: VecDeque<Urb>,
    ended: VecDeque<Reaped<Tag>>,
    next: usize,
    log: RefCell<Vec<String>>,
    /// How many more the kernel takes.
    room: Option<usize>,
}

struct Urb {
    number: usize,
    tag: Tag,
    buffer: Buffer,
    lengths: Vec<u32>,
}

impl Urbs for Fake {
    fn map(&self, _: usize) -> Result<Mapped, Errno> {
        Err(Errno::NOMEM)
    }

    fn submit(&mut self, request: Request<'_>, tag: Tag) -> Result<usize, Errno> {
        if self.room == Some(0) {
            return Err(Errno::NOMEM);
        }
        self.room = self.room.map(|room| room - 1);
        self.log.borrow_mut().push(match request.packets.len() {
            0 => format!("{:x}", request.endpoint),
            packets => format!("{:x}:{packets}", request.endpoint),
        });
        let number = self.next;
        self.next += 1;
        self.urbs.push_back(Urb {
            number,
            tag,
            buffer: request.buffer,
            lengths: request.packets.to_vec(),
        });
        Ok(number)
    }

    fn discard(&self, number: usize) {
        self.log.borrow_mut().push(format!("-{number}"));
    }

    fn reap(&mut self) -> Result<Option<Reaped<Tag>>, Errno> {
        Ok(self.ended.pop_front())
    }

    fn under_way(&self) -> usize {
        self.urbs.len() + self.ended.len()
    }
}

impl Fake {
    /// Ends an URB; of an isochronous one, each packet has moved what `moved` says of its length, and
    /// what has come is counted up from `first`.
    fn end(&mut self, number: usize, status: i32, first: u8, moved: impl Fn(u32) -> u32) {
        let index = self.urbs.iter().position(|urb| urb.number == number);
        let mut urb = self.urbs.remove(index.unwrap()).unwrap();
        let packet = |&length| Packet {
            length,
            actual: moved(length),
            status: 0,
        };
        let packets: Vec<_> = urb.lengths.iter().map(packet).collect();
        if let Buffer::In(data) = &mut urb.buffer {
            let mut next = first;
            let mut offset = 0;
            for packet in &packets {
                for byte in &mut data[offset..offset + packet.actual as usize] {
                    *byte = next;
                    next = next.wrapping_add(1);
                }
                offset += packet.length as usize;
            }
        }
        self.ended.push_back(Reaped {
            tag: urb.tag,
            status,
            actual: 0,
            buffer: urb.buffer,
            packets,
        });
    }

    fn log(&self) -> String {
        self.log.take().join(" ")
    }
}

fn transfers() -> (Transfers<Fake>, TransferIds) {
    (Transfers::new(Fake::default()), TransferIds::default())
}

fn ended(transfers: &mut Transfers<Fake>) -> Vec<Completion> {
    let events = std::iter::from_fn(|| transfers.poll());
    let completion = |event| match event {
        FunctionEvent::Complete(completion) => completion,
        other => panic!("{other:?}"),
    };
    events.map(completion).collect()
}

fn place(kind: UrbKind, endpoint: u8) -> Place {
    Place {
        kind,
        endpoint,
        stream: 0,
    }
}

fn bulk(ids: &mut TransferIds, endpoint: u8, length: usize) -> (Transfer, Place) {
    let address = EndpointAddress::from_byte(endpoint);
    let id = ids.mint();
    let transfer = match address.direction() {
        Direction::In => Transfer::data_in(id, address, u32::try_from(length).unwrap()),
        Direction::Out => Transfer::data_out(id, address, vec![0; length].into()),
    };
    (transfer, place(UrbKind::Bulk, endpoint))
}

fn counted(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

/// So many packets of these lengths, in turn.
fn sound(
    ids: &mut TransferIds,
    endpoint: u8,
    packets: usize,
    lengths: &[u32],
) -> (Transfer, Place) {
    let address = EndpointAddress::from_byte(endpoint);
    let mut offset = 0;
    let packets: Vec<_> = (0..packets)
        .map(|index| {
            let packet = IsoPacket::new(offset, lengths[index % lengths.len()]);
            offset += packet.length;
            packet
        })
        .collect();
    let payload = match address.direction() {
        Direction::In => Payload::In { length: offset },
        Direction::Out => Payload::Out(counted(offset as usize).into()),
    };
    let kind = Kind::Isochronous(packets);
    let transfer = Transfer::new(ids.mint(), address, kind, payload);
    (transfer, place(UrbKind::Isochronous, endpoint))
}

#[test]
fn sound_that_is_sent_is_split_and_told_packet_by_packet() {
    let (mut transfers, mut ids) = transfers();
    let (transfer, place) = sound(&mut ids, 0x01, 300, &[5, 0, 3]);
    transfers.submit(transfer, place);
    assert_eq!(transfers.node.log(), "1:128 1:128 1:44");
    let sent: Vec<u8> = transfers
        .node
        .urbs
        .iter()
        .flat_map(|urb| match &urb.buffer {
            Buffer::Out(data) => data.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent, counted(800));
    // They may come back in any order.
    transfers.node.end(2, 0, 0, |length| length);
    transfers.node.end(0, 0, 0, |length| length);
    assert_eq!(ended(&mut transfers), []);
    transfers.node.end(1, -18, 0, |length| length / 2);
    let [completion] = &ended(&mut transfers)[..] else {
        panic!()
    };
    assert_eq!(completion.status.errno(), -18, "a piece that went wrong");
    let moved: Vec<u32> = completion
        .packets
        .iter()
        .map(|packet| packet.actual)
        .collect();
    let whole = |index: usize| [5, 0, 3][index % 3];
    let expected: Vec<u32> = (0..300)
        .map(|index| match index {
            128..256 => whole(index) / 2,
            _ => whole(index),
        })
        .collect();
    assert_eq!(moved, expected);
    let all: u32 = expected.iter().sum();
    assert_eq!(completion.actual, Actual::Out(all));
}

#[test]
fn sound_that_is_received_has_no_gaps() {
    let (mut transfers, mut ids) = transfers();
    let (transfer, place) = sound(&mut ids, 0x81, 129, &[4]);
    transfers.submit(transfer, place);
    assert_eq!(transfers.node.log(), "81:128 81:1");
    // The last piece first: 2 bytes, which follow the 256 of the first.
    transfers.node.end(1, 0, 0, |_| 2);
    transfers.node.end(0, 0, 0, |_| 2);
    let [completion] = &ended(&mut transfers)[..] else {
        panic!()
    };
    let Actual::In(data) = completion.actual.clone() else {
        panic!()
    };
    let data: Vec<u8> = data.into_iter().flatten().collect();
    assert_eq!(data, [counted(256), counted(2)].concat());
    assert!(completion.packets.iter().all(|packet| packet.actual == 2));
}

#[test]
fn a_piece_that_is_not_taken_ends_those_before_it() {
    let (mut transfers, mut ids) = transfers();
    transfers.node.room = Some(2);
    let (transfer, place) = sound(&mut ids, 0x81, 1024, &[4]);
    transfers.submit(transfer, place);
    assert_eq!(transfers.node.log(), "81:128 81:128 -1 -0");
    transfers.node.end(1, -2, 0, |_| 0);
    assert_eq!(ended(&mut transfers), []);
    transfers.node.end(0, -2, 0, |_| 1);
    let [completion] = &ended(&mut transfers)[..] else {
        panic!()
    };
    assert_eq!(completion.status, Status::NO_MEMORY);
    assert_eq!(completion.packets.len(), 1024);
    assert_eq!(completion.packets[1023].status, Status::NOT_TRANSFERRED);
}

/// With each that is discarded, the next one has its turn.
#[test]
fn what_is_cancelled_is_discarded_from_its_end() {
    let (mut transfers, mut ids) = transfers();
    let (transfer, place) = sound(&mut ids, 0x01, 300, &[4]);
    let id = transfer.id;
    transfers.submit(transfer, place);
    transfers.node.log();
    transfers.cancel(id);
    assert_eq!(transfers.node.log(), "-2 -1 -0");
}

/// The number of an URB that has come back may be another's already.
#[test]
fn only_what_is_under_way_is_discarded() {
    let (mut transfers, mut ids) = transfers();
    let (transfer, place) = sound(&mut ids, 0x01, 300, &[4]);
    let id = transfer.id;
    transfers.submit(transfer, place);
    transfers.node.end(0, 0, 0, |length| length);
    assert_eq!(ended(&mut transfers), []);
    transfers.node.log();
    transfers.cancel(id);
    assert_eq!(transfers.node.log(), "-2 -1");
}

#[test]
fn no_command_waits_for_the_data_that_it_asks_for() {
    let (mut transfers, mut ids) = transfers();
    for (endpoint, length) in [(0x81, MOST), (0x82, MOST), (0x02, 31), (0x02, 31)] {
        let (transfer, place) = bulk(&mut ids, endpoint, length);
        transfers.submit(transfer, place);
    }
    let ask = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, 0, 16]);
    for _ in 0..2 {
        transfers.submit(Transfer::control_in(ids.mint(), ask), Place::CONTROL);
    }
    assert_eq!(transfers.node.log(), "81 2 0 0");
    transfers.node.end(0, 0, 0, |_| 0);
    assert_eq!(ended(&mut transfers).len(), 1);
    // Now there is room for a second command, but not for as much beside it.
    assert_eq!(transfers.node.log(), "2");
}

#[test]
fn streams_of_an_endpoint_do_not_wait_for_each_other() {
    let (mut transfers, mut ids) = transfers();
    for (stream, length) in [(1, MOST / 2), (1, 512), (9, 512), (1, 512)] {
        let (mut transfer, mut place) = bulk(&mut ids, 0x81, length);
        transfer.kind = Kind::Data {
            stream: NonZeroU16::new(stream).map(StreamId),
        };
        place.stream = stream;
        transfers.submit(transfer, place);
    }
    let streams = |transfers: &Transfers<Fake>| -> Vec<u64> {
        let urbs = transfers.node.urbs.iter();
        urbs.map(|urb| urb.tag.id.to_u64()).collect()
    };
    assert_eq!(streams(&transfers), [0, 2]);
    transfers.node.end(0, 0, 0, |_| 0);
    ended(&mut transfers);
    assert_eq!(streams(&transfers), [2, 1, 3]);
}

#[test]
fn what_waited_behind_a_cancelled_one_goes_on() {
    let (mut transfers, mut ids) = transfers();
    for (endpoint, length) in [(0x81, MOST), (0x02, MOST / 2), (0x02, 31)] {
        let (transfer, place) = bulk(&mut ids, endpoint, length);
        transfers.submit(transfer, place);
    }
    assert_eq!(transfers.node.log(), "81");
    transfers.cancel(TransferId::from_u64(1));
    assert_eq!(transfers.node.log(), "2");
    let [cancelled] = &ended(&mut transfers)[..] else {
        panic!()
    };
    assert_eq!(cancelled.status, Status::CANCELLED);
}

#[test]
fn what_the_kernel_has_no_memory_for_waits_if_something_can_end() {
    let (mut transfers, mut ids) = transfers();
    transfers.node.room = Some(1);
    for _ in 0..2 {
        let (transfer, place) = bulk(&mut ids, 0x02, 512);
        transfers.submit(transfer, place);
    }
    assert_eq!(ended(&mut transfers), []);
    transfers.node.room = Some(1);
    transfers.node.end(0, 0, 0, |_| 0);
    assert_eq!(ended(&mut transfers).len(), 1);
    assert_eq!(transfers.node.log(), "2 2");
    transfers.node.end(1, 0, 0, |_| 0);
    assert_eq!(ended(&mut transfers).len(), 1);
    // Nothing will end: who asks is told.
    let (transfer, place) = bulk(&mut ids, 0x02, 512);
    transfers.submit(transfer, place);
    assert_eq!(ended(&mut transfers)[0].status, Status::NO_MEMORY);
}
