//! A guest and its user, with a host whose packets are written one by one.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::Bytes;
use common::bench::{Bench, bytes_of, introduction};
use common::{BULK_IN, BULK_OUT, INTERRUPT_IN, INTERRUPT_OUT, ISO_IN, ISO_OUT, address};
use usb_descriptors::{EndpointAddress, SetupPacket};
use usb_transfer::{Actual, Frame, Function, FunctionEvent, Status, Transfer};
use usbredir_proto::codec::{Packet, StatusCode};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Capabilities, Guest, GuestState, MisuseError, Options};

fn bulk(endpoint: u8, length: u32, data: &'static [u8]) -> Packet {
    Packet::Bulk {
        endpoint: address(endpoint),
        status: StatusCode::SUCCESS,
        stream: 0,
        length,
        data: Bytes::from_static(data).into(),
    }
}

fn interrupt(endpoint: u8, data: &'static [u8]) -> Packet {
    Packet::Interrupt {
        endpoint: address(endpoint),
        status: StatusCode::SUCCESS,
        length: data.len() as u16,
        data: Bytes::from_static(data).into(),
    }
}

fn iso(status: StatusCode, data: &'static [u8]) -> Packet {
    Packet::Iso {
        endpoint: address(ISO_IN),
        status,
        length: data.len() as u16,
        data: Bytes::from_static(data).into(),
    }
}

const IN: EndpointAddress = EndpointAddress::from_byte(INTERRUPT_IN);
const START: Packet = Packet::StartInterruptReceiving { endpoint: IN };
const STOP: Packet = Packet::StopInterruptReceiving { endpoint: IN };

#[test]
fn interrupt_data_is_pulled_from_what_was_pushed() {
    let mut bench = Bench::new();
    let first = bench.read(INTERRUPT_IN, 8);
    assert_eq!(bench.heard(), [START]);
    bench.is_quiet();
    bench.say(0, interrupt(INTERRUPT_IN, b"one"));
    bench.brings(first, b"one");
    // Nobody pulls: it is kept, in order, and the stream goes on.
    bench.say(1, interrupt(INTERRUPT_IN, b"two"));
    bench.say(2, interrupt(INTERRUPT_IN, b"three"));
    bench.is_quiet();
    let second = bench.read(INTERRUPT_IN, 8);
    bench.brings(second, b"two");
    let third = bench.read(INTERRUPT_IN, 8);
    bench.brings(third, b"three");
    bench.is_quiet();
}

#[test]
fn of_what_nobody_pulls_the_oldest_is_dropped() {
    let mut options = Options::default();
    options.limits.max_buffered_packets = 2;
    let mut bench = Bench::with(options);
    let first = bench.read(INTERRUPT_IN, 8);
    bench.say(0, interrupt(INTERRUPT_IN, b"zero"));
    bench.brings(first, b"zero");
    for data in [&b"one"[..], b"two", b"three"] {
        bench.say(0, interrupt(INTERRUPT_IN, data));
    }
    let second = bench.read(INTERRUPT_IN, 8);
    bench.brings(second, b"two");
}

#[test]
fn of_packets_too_long_the_oldest_are_dropped_too() {
    let mut options = Options::default();
    options.limits.max_buffered_bytes = 9;
    let mut bench = Bench::with(options);
    let first = bench.read(INTERRUPT_IN, 8);
    bench.say(0, interrupt(INTERRUPT_IN, b"zero"));
    bench.brings(first, b"zero");
    for data in [&b"one"[..], b"two", b"three"] {
        bench.say(0, interrupt(INTERRUPT_IN, data));
    }
    let second = bench.read(INTERRUPT_IN, 8);
    bench.brings(second, b"two");
    // The last stays, however long it is, and what was taken counts no more.
    bench.say(0, interrupt(INTERRUPT_IN, b"four and more"));
    let third = bench.read(INTERRUPT_IN, 16);
    bench.brings(third, b"four and more");
    for data in [&b"five"[..], b"six"] {
        bench.say(0, interrupt(INTERRUPT_IN, data));
    }
    let fourth = bench.read(INTERRUPT_IN, 8);
    bench.brings(fourth, b"five");
    // It could never be filled.
    let fifth = bench.iso(ISO_IN, 1, 8);
    bench.ends(fifth, Status::INVALID);
}

#[test]
fn more_than_was_asked_for_is_an_overflow() {
    let mut bench = Bench::new();
    let read = bench.read(INTERRUPT_IN, 8);
    bench.say(0, interrupt(INTERRUPT_IN, b"0123456789"));
    let completion = bench.completed(read);
    assert_eq!(completion.status, Status::OVERFLOW);
    assert_eq!(bytes_of(&completion), b"01234567");
}

#[test]
fn isochronous_transfers_take_as_many_packets_as_they_have() {
    let mut bench = Bench::new();
    let first = bench.iso(ISO_IN, 2, 8);
    let second = bench.iso(ISO_IN, 1, 8);
    let start = Packet::StartIsoStream {
        endpoint: address(ISO_IN),
        packets_per_transfer: 4,
        transfers: 16,
    };
    assert_eq!(bench.heard(), [start], "64 ms at 1 ms a packet, and once");
    bench.say(0, iso(StatusCode::SUCCESS, b"abc"));
    bench.is_quiet();
    bench.say(1, iso(StatusCode::IO_ERROR, b""));
    let completion = bench.completed(first);
    let told = completion.packets.iter();
    let told = told.map(|packet| (packet.offset, packet.actual, packet.status));
    let told: Vec<_> = told.collect();
    assert_eq!(
        told,
        [
            (0, 3, Status::COMPLETED),
            (10, 0, StatusCode::IO_ERROR.into())
        ]
    );
    assert_eq!(bytes_of(&completion), b"abc");
    // Longer than there is room for.
    bench.say(2, iso(StatusCode::SUCCESS, b"0123456789abc"));
    let completion = bench.completed(second);
    assert_eq!(completion.packets[0].status, Status::OVERFLOW);
    assert_eq!(bytes_of(&completion), b"0123456789");
}

#[test]
fn isochronous_out_is_completed_by_frames() {
    let mut bench = Bench::new();
    bench.guest.start_of_frame(Frame(7));
    assert_eq!(bench.guest.next_frame(), None);
    let first = bench.iso(ISO_OUT, 3, 8);
    let second = bench.iso(ISO_OUT, 1, 8);
    let heard = bench.heard_with_ids();
    assert!(matches!(
        heard[0],
        (0, Packet::StartIsoStream { endpoint, .. }) if endpoint == address(ISO_OUT)
    ));
    let packets = heard[1..].iter().map(|(id, packet)| match packet {
        Packet::Iso {
            length: 10, data, ..
        } => (*id, data.clone().into_iter().next().unwrap()[0]),
        other => panic!("{other:?}"),
    });
    let packets: Vec<_> = packets.collect();
    assert_eq!(packets, [(0, 0), (1, 10), (2, 20), (3, 0)], "counted");
    // It may be long ago that the time was told.
    assert!(bench.guest.next_frame() < Some(Frame(100)));
    bench.guest.start_of_frame(Frame(100));
    bench.is_quiet();
    assert_eq!(bench.guest.next_frame(), Some(Frame(124)));
    bench.guest.start_of_frame(Frame(123));
    bench.is_quiet();
    bench.guest.start_of_frame(Frame(124));
    let completion = bench.completed(first);
    assert_eq!(completion.status, Status::COMPLETED);
    assert_eq!(completion.actual, Actual::Out(30));
    assert!(completion.packets.iter().all(|packet| packet.actual == 10));
    // The next begins where that ended, also when the time is told late.
    assert_eq!(bench.guest.next_frame(), Some(Frame(132)));
    bench.guest.start_of_frame(Frame(140));
    bench.ends(second, Status::COMPLETED);
    assert_eq!(bench.guest.next_frame(), None);
    bench.is_quiet();
}

#[test]
fn isochronous_out_is_not_sent_before_the_host_has_room() {
    // Of 40 ms each, where the host keeps 64.
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..3).map(|_| bench.iso(ISO_OUT, 10, 32)).collect();
    let sent = |bench: &mut Bench| {
        let heard = bench.heard();
        let packets = heard
            .iter()
            .filter(|packet| matches!(packet, Packet::Iso { .. }));
        packets.count()
    };
    assert_eq!(sent(&mut bench), 10);
    bench.guest.start_of_frame(Frame(1000));
    assert_eq!(sent(&mut bench), 0);
    assert_eq!(bench.guest.next_frame(), Some(Frame(1000 + 640 - 512)));
    bench.guest.start_of_frame(Frame(1127));
    assert_eq!(sent(&mut bench), 0);
    bench.guest.start_of_frame(Frame(1128));
    assert_eq!(sent(&mut bench), 10);
    assert_eq!(bench.guest.next_frame(), Some(Frame(1320)));
    // One that was not sent is cancelled without a trace, and one that was takes its time.
    bench.guest.cancel(ids[2]);
    bench.ends(ids[2], Status::CANCELLED);
    bench.guest.start_of_frame(Frame(1639));
    bench.ends(ids[0], Status::COMPLETED);
    bench.is_quiet();
    bench.guest.start_of_frame(Frame(1640));
    bench.ends(ids[1], Status::COMPLETED);
    assert_eq!(bench.guest.next_frame(), None);
    assert_eq!(sent(&mut bench), 0);
}

#[test]
fn a_stream_stops_when_its_last_transfer_is_cancelled_not_completed() {
    let mut bench = Bench::new();
    let (first, second) = (bench.read(INTERRUPT_IN, 8), bench.read(INTERRUPT_IN, 8));
    assert_eq!(bench.heard(), [START]);
    bench.guest.cancel(first);
    bench.ends(first, Status::CANCELLED);
    bench.is_quiet();
    bench.say(0, interrupt(INTERRUPT_IN, b"data"));
    bench.brings(second, b"data");
    assert_eq!(bench.heard(), [], "the last was completed");

    let third = bench.read(INTERRUPT_IN, 8);
    bench.is_quiet();
    bench.guest.cancel(third);
    bench.ends(third, Status::CANCELLED);
    assert_eq!(bench.heard(), [STOP]);
    // What was under way is nobody's; the next begins anew.
    bench.say(1, interrupt(INTERRUPT_IN, b"late"));
    let status = StatusCode::SUCCESS;
    bench.say(
        0,
        Packet::InterruptReceivingStatus {
            status,
            endpoint: IN,
        },
    );
    let fourth = bench.read(INTERRUPT_IN, 8);
    assert_eq!(bench.heard(), [START]);
    bench.is_quiet();
    bench.say(0, interrupt(INTERRUPT_IN, b"new"));
    bench.brings(fourth, b"new");

    for endpoint in [ISO_IN, ISO_OUT] {
        let transfer = bench.iso(endpoint, 1, 8);
        assert!(matches!(bench.heard()[0], Packet::StartIsoStream { .. }));
        bench.guest.cancel(transfer);
        bench.ends(transfer, Status::CANCELLED);
        let endpoint = address(endpoint);
        assert_eq!(bench.heard(), [Packet::StopIsoStream { endpoint }]);
    }
}

#[test]
fn a_stream_that_the_host_stops_fails_what_waits() {
    let mut bench = Bench::new();
    let (first, second) = (bench.read(INTERRUPT_IN, 8), bench.read(INTERRUPT_IN, 8));
    assert_eq!(bench.heard(), [START]);
    let status = StatusCode::STALL;
    bench.say(
        0,
        Packet::InterruptReceivingStatus {
            status,
            endpoint: IN,
        },
    );
    bench.ends(first, Status::STALL);
    bench.ends(second, Status::STALL);
    bench.is_quiet();
    bench.read(INTERRUPT_IN, 8);
    assert_eq!(bench.heard(), [START]);
}

#[test]
fn replies_are_matched_by_id_type_and_endpoint() {
    let mut bench = Bench::new();
    let transfer = bench.read(BULK_IN, 4);
    let id = bench.request();
    bench.say(id + 1, bulk(BULK_IN, 4, b"data"));
    bench.say(id, bulk(BULK_OUT, 4, b""));
    bench.say(id, bulk(0x87, 4, b"data"));
    bench.say(id, interrupt(INTERRUPT_OUT, b""));
    let (status, value) = (StatusCode::SUCCESS, 1);
    bench.say(id, Packet::ConfigurationStatus { status, value });
    bench.is_quiet();
    bench.say(id, bulk(BULK_IN, 4, b"data"));
    bench.brings(transfer, b"data");
    bench.is_quiet();
}

#[test]
fn ids_that_are_unknown_or_come_again_are_passed_over() {
    let mut bench = Bench::new();
    let first = bench.read(BULK_IN, 4);
    let id = bench.request();
    bench.say(id, bulk(BULK_IN, 3, b"one"));
    bench.brings(first, b"one");
    bench.say(id, bulk(BULK_IN, 3, b"two"));
    bench.is_quiet();
    bench.say(u64::MAX, bulk(BULK_IN, 3, b"xxx"));
    bench.say(0, bulk(BULK_IN, 3, b"xxx"));
    let second = bench.read(BULK_IN, 4);
    let again = bench.request();
    assert_ne!(again, id);
    bench.say(id, bulk(BULK_IN, 3, b"old"));
    bench.is_quiet();
    bench.say(again, bulk(BULK_IN, 3, b"two"));
    bench.brings(second, b"two");
    // One that a user cancels and that is not there.
    bench.guest.cancel(first);
    bench.is_quiet();
}

#[test]
fn replies_may_come_in_another_order() {
    let mut bench = Bench::new();
    let first = bench.read(BULK_IN, 4);
    let one = bench.request();
    let second = bench.control([0xc0, 1, 0, 0, 0, 0, 4, 0]);
    let two = bench.request();
    let setup = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, 2, 0]);
    let answer = Packet::Control {
        endpoint: EndpointAddress::CONTROL_IN,
        setup,
        status: StatusCode::SUCCESS,
        data: Bytes::from_static(b"ok").into(),
    };
    bench.say(two, answer);
    bench.brings(second, b"ok");
    bench.say(one, bulk(BULK_IN, 3, b"one"));
    bench.brings(first, b"one");
}

#[test]
fn cancel_meets_reply() {
    // Sent, cancelled, and so answered.
    let mut bench = Bench::new();
    let transfer = bench.read(BULK_IN, 4);
    let id = bench.request();
    bench.guest.cancel(transfer);
    bench.guest.cancel(transfer);
    assert_eq!(bench.heard_with_ids(), [(id, Packet::CancelDataPacket)]);
    assert_eq!(bench.event(), None, "the host has the word");
    let mut cancelled = bulk(BULK_IN, 0, b"");
    if let Packet::Bulk { status, .. } = &mut cancelled {
        *status = StatusCode::CANCELLED;
    }
    bench.say(id, cancelled.clone());
    bench.ends(transfer, Status::CANCELLED);
    // It was faster.
    let transfer = bench.read(BULK_IN, 4);
    let id = bench.request();
    bench.guest.cancel(transfer);
    assert_eq!(bench.heard(), [Packet::CancelDataPacket]);
    bench.say(id, bulk(BULK_IN, 4, b"data"));
    bench.brings(transfer, b"data");
    // Stopped by a reset, which does not wait for anybody.
    let transfer = bench.read(BULK_IN, 4);
    let id = bench.request();
    bench.guest.reset();
    bench.ends(transfer, Status::CANCELLED);
    assert_eq!(bench.heard(), [Packet::CancelDataPacket, Packet::Reset]);
    bench.say(id, cancelled.clone());
    bench.is_quiet();
    // Or by a configuration.
    let transfer = bench.read(BULK_IN, 4);
    let id = bench.request();
    let configured = bench.control([0, 9, 1, 0, 0, 0, 0, 0]);
    bench.ends(transfer, Status::CANCELLED);
    let heard = bench.heard_with_ids();
    let [
        (_, Packet::CancelDataPacket),
        (set, Packet::SetConfiguration { value: 1 }),
    ] = heard[..]
    else {
        panic!("{heard:?}")
    };
    bench.say(id, cancelled);
    bench.is_quiet();
    let (status, value) = (StatusCode::SUCCESS, 1);
    bench.say(set, Packet::ConfigurationStatus { status, value });
    bench.ends(configured, Status::COMPLETED);
    bench.is_quiet();
}

#[test]
fn a_setting_stops_its_own_interface_only() {
    let mut bench = Bench::new();
    let polled = bench.read(INTERRUPT_IN, 8);
    assert_eq!(bench.heard(), [START]);
    bench.control([1, 11, 0, 0, 7, 0, 0, 0]);
    let interface = 7;
    let set = |interface| Packet::SetAltSetting {
        interface,
        alternate: 0,
    };
    assert_eq!(bench.heard(), [set(interface)]);
    assert_eq!(bench.event(), None);
    let own = bench.control([1, 11, 1, 0, 0, 0, 0, 0]);
    bench.ends(polled, Status::CANCELLED);
    let heard = bench.heard_with_ids();
    let [
        (_, STOP),
        (
            id,
            Packet::SetAltSetting {
                interface: 0,
                alternate: 1,
            },
        ),
    ] = heard[..]
    else {
        panic!("{heard:?}")
    };
    bench.say(
        id,
        Packet::AltSettingStatus {
            status: StatusCode::STALL,
            interface: 0,
            alternate: 0,
        },
    );
    bench.ends(own, Status::STALL);
}

#[test]
fn what_is_not_asked_of_the_device_itself() {
    let mut bench = Bench::new();
    // The bus's.
    let transfer = bench.control([0, 5, 9, 0, 0, 0, 0, 0]);
    bench.ends(transfer, Status::COMPLETED);
    // No reset of a device that was asked nothing.
    bench.guest.reset();
    let transfer = bench.control([0x80, 8, 0, 0, 0, 0, 1, 0]);
    let heard = bench.heard_with_ids();
    let [(_, Packet::Reset), (id, Packet::GetConfiguration)] = heard[..] else {
        panic!("{heard:?}")
    };
    let (status, value) = (StatusCode::SUCCESS, 3);
    bench.say(id, Packet::ConfigurationStatus { status, value });
    bench.brings(transfer, &[3]);
    let transfer = bench.control([0x81, 10, 0, 0, 0, 0, 1, 0]);
    let id = bench.request();
    bench.say(
        id,
        Packet::AltSettingStatus {
            status,
            interface: 0,
            alternate: 1,
        },
    );
    bench.brings(transfer, &[1]);
    // An endpoint that is not there.
    let transfer = bench.read(0x8f, 4);
    bench.ends(transfer, Status::STALL);
    bench.is_quiet();
}

#[test]
fn an_interrupt_out_is_answered_by_its_own_packet() {
    let mut bench = Bench::new();
    let data = Bytes::from_static(b"led");
    let transfer = Transfer::data_out(bench.ids.mint(), address(INTERRUPT_OUT), data);
    let transfer = bench.submit(transfer);
    let id = bench.request();
    let reply = Packet::Interrupt {
        endpoint: address(INTERRUPT_OUT),
        status: StatusCode::SUCCESS,
        length: 3,
        data: Bytes::new().into(),
    };
    bench.say(id, reply);
    let completion = bench.completed(transfer);
    assert_eq!(
        (completion.status, completion.actual),
        (Status::COMPLETED, Actual::Out(3))
    );
}

#[test]
fn a_device_that_leaves_is_acknowledged_and_another_may_come() {
    let mut bench = Bench::new();
    let (read, polled) = (bench.read(BULK_IN, 4), bench.read(INTERRUPT_IN, 8));
    let request = bench.heard_with_ids()[0].0;
    bench.say(0, Packet::DeviceDisconnect);
    bench.ends(read, Status::DISCONNECTED);
    bench.ends(polled, Status::DISCONNECTED);
    assert_eq!(bench.event(), Some(FunctionEvent::Detached));
    assert_eq!(bench.heard(), [Packet::DeviceDisconnectAck]);
    assert_eq!(bench.guest.state(), GuestState::Empty);
    bench.say(request, bulk(BULK_IN, 4, b"late"));
    bench.is_quiet();
    let nobody = bench.read(BULK_IN, 4);
    bench.ends(nobody, Status::DISCONNECTED);

    bench.introduce();
    assert_eq!(bench.guest.state(), GuestState::Attached);
    let read = bench.read(BULK_IN, 4);
    let id = bench.request();
    assert_ne!(id, request);
    bench.say(id, bulk(BULK_IN, 4, b"data"));
    bench.brings(read, b"data");
}

#[test]
fn rules_are_told_and_kept() {
    let rules: Rules = "0xff,-1,-1,-1,0|-1,-1,-1,-1,1".parse().unwrap();
    let guest = Guest::new(Options::default())
        .with_filter(rules.clone())
        .unwrap();
    let mut bench = Bench::greeted(guest);
    assert_eq!(bench.heard(), [Packet::FilterFilter(rules.to_wire())]);
    bench.introduce();
    assert_eq!(bench.guest.state(), GuestState::Rejected);
    assert_eq!(bench.heard(), [Packet::FilterReject]);
    assert_eq!(bench.event(), Some(FunctionEvent::Detached));
    bench.say(0, Packet::DeviceDisconnect);
    assert_eq!(bench.heard(), [Packet::DeviceDisconnectAck]);
    assert_eq!(bench.guest.state(), GuestState::Empty);

    let rules: Rules = "0xff,-1,-1,-1,1".parse().unwrap();
    let guest = Guest::new(Options::default()).with_filter(rules).unwrap();
    let mut bench = Bench::greeted(guest);
    bench.introduce();
    assert_eq!(bench.guest.state(), GuestState::Attached);
}

#[test]
fn under_a_filter_a_device_whose_class_or_release_is_not_told_is_rejected() {
    let rules: Rules = "-1,-1,-1,0x0200,0|-1,-1,-1,-1,1".parse().unwrap();
    let state = |is_kept: fn(&Packet) -> bool, capabilities| {
        let guest = Guest::new(Options::default());
        let guest = guest.with_filter(rules.clone()).unwrap();
        let mut bench = Bench::greeted_by(guest, capabilities);
        for packet in introduction().into_iter().filter(is_kept) {
            bench.say(0, packet);
        }
        assert_eq!(
            bench.guest.state() == GuestState::Rejected,
            bench.heard().contains(&Packet::FilterReject)
        );
        bench.guest.state()
    };
    let (all, release) = (Capabilities::ALL, Capabilities::CONNECT_DEVICE_VERSION);
    assert_eq!(state(|_| true, all), GuestState::Attached);
    assert_eq!(state(|_| true, all.without(release)), GuestState::Rejected);
    let is_kept = |packet: &Packet| !matches!(packet, Packet::InterfaceInfo(_));
    assert_eq!(state(is_kept, all), GuestState::Rejected);
}

#[test]
fn rules_that_are_too_long_to_be_told_are_refused() {
    let rules: Rules = "3,-1,-1,-1,0".parse().unwrap();
    let mut options = Options::default();
    let length = rules.to_wire().len() as u32;
    options.limits.max_filter = length - 1;
    let refused = Guest::new(options.clone()).with_filter(rules.clone());
    let field = "rules";
    assert!(matches!(refused, Err(MisuseError::Field { field: found, .. }) if found == field));
    options.limits.max_filter = length;
    let guest = Guest::new(options).with_filter(rules.clone()).unwrap();
    let mut bench = Bench::greeted(guest);
    assert_eq!(bench.heard(), [Packet::FilterFilter(rules.to_wire())]);
}
