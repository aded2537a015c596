//! A host in front of a device, with a guest whose packets are written one by one.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use bytes::Bytes;
use common::host_bench::HostBench;
use common::{BULK_IN, BULK_OUT, INTERRUPT_IN, ISO_IN, ISO_OUT, address, descriptors};
use testkit::{Decisions, ModelDevice};
use usb_descriptors::SetupPacket;
use usb_transfer::{
    Completion, Frontend, Function, HostEvent, Kind, Payload, Segments, Status, Step, Transfer,
    Wire, exchange,
};
use usbredir_proto::codec::{Packet, StatusCode};
use usbredir_proto::{HostState, MisuseError, Options};

fn bulk(endpoint: u8, length: u32, data: &'static [u8]) -> Packet {
    Packet::Bulk {
        endpoint: address(endpoint),
        status: StatusCode(0x8f), // QEMU leaves what memory held
        stream: 0,
        length,
        data: Bytes::from_static(data).into(),
    }
}

fn bulk_status(packet: &Packet) -> (StatusCode, u32) {
    match packet {
        Packet::Bulk { status, length, .. } => (*status, *length),
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_goes_both_ways() {
    let mut bench = HostBench::new();
    bench.say(7, bulk(BULK_OUT, 3, b"abc"));
    let transfer = bench.submitted();
    assert_eq!(transfer.payload, Payload::Out(Bytes::from_static(b"abc")));
    bench.host.complete(transfer.complete_out());
    let (id, packet) = bench.reply();
    assert_eq!((id, bulk_status(&packet)), (7, (StatusCode::SUCCESS, 3)));

    bench.say(7, bulk(BULK_IN, 4, b""));
    let transfer = bench.submitted();
    bench
        .host
        .complete(transfer.complete_in(b"too much".to_vec()));
    let (id, packet) = bench.reply();
    assert_eq!((id, bulk_status(&packet)), (7, (StatusCode::BABBLE, 4)));
}

fn control(endpoint: u8, setup: SetupPacket, data: &'static [u8]) -> Packet {
    Packet::Control {
        endpoint: address(endpoint),
        setup,
        status: StatusCode::SUCCESS,
        data: Bytes::from_static(data).into(),
    }
}

#[test]
fn control_transfers_go_by_the_endpoint_and_must_agree() {
    let mut bench = HostBench::new();
    let get = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    bench.say(1, control(0x80, get, b""));
    let transfer = bench.submitted();
    assert_eq!(transfer.kind, Kind::Control(get));
    bench.host.complete(transfer.complete_in(b"short".to_vec()));
    let (
        id,
        Packet::Control {
            setup,
            status,
            data,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    assert_eq!(
        (id, setup.length, status, data.len()),
        (1, 5, StatusCode::SUCCESS, 5)
    );

    // Setup packet against endpoint.
    let set = SetupPacket::from_bytes([0x00, 7, 0, 1, 0, 0, 2, 0]);
    bench.say(2, control(0x80, set, b""));
    let (
        2,
        Packet::Control {
            status: StatusCode::INVALID,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    // The guest's own affair.
    bench.say(
        3,
        control(0, SetupPacket::from_bytes([0, 5, 9, 0, 0, 0, 0, 0]), b""),
    );
    let (
        3,
        Packet::Control {
            status: StatusCode::SUCCESS,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    assert!(bench.host.poll().is_none());
}

#[test]
fn configurations_and_settings_are_told_before_their_reply() {
    let mut bench = HostBench::new();
    bench.say(5, Packet::SetConfiguration { value: 1 });
    let transfer = bench.submitted();
    assert_eq!(
        transfer.kind,
        Kind::Control(SetupPacket::set_configuration(1))
    );
    bench.host.complete(transfer.complete_out());
    let success = StatusCode::SUCCESS;
    assert!(matches!(
        bench.heard()[..],
        [
            (0, Packet::InterfaceInfo(_)),
            (0, Packet::EndpointInfo(_)),
            (5, Packet::ConfigurationStatus { status, value: 1 })
        ] if status == success
    ));
    bench.say(
        6,
        Packet::SetAltSetting {
            interface: 0,
            alternate: 1,
        },
    );
    let transfer = bench.submitted();
    bench.host.complete(transfer.complete_out());
    let heard = bench.heard();
    let [
        _,
        (0, Packet::EndpointInfo(info)),
        (6, Packet::AltSettingStatus { alternate: 1, .. }),
    ] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(
        info.get(address(ISO_IN)).transfer_type.transfer_type(),
        None
    );
    assert_eq!(info.get(address(BULK_IN)).max_packet_size, 512);
    assert_eq!(info.get(address(INTERRUPT_IN)).interval, 4);

    bench.say(7, Packet::SetConfiguration { value: 9 });
    let transfer = bench.submitted();
    bench.host.complete(transfer.stall());
    let (
        7,
        Packet::ConfigurationStatus {
            status: StatusCode::STALL,
            value: 1,
        },
    ) = bench.reply()
    else {
        panic!()
    };
    bench.say(8, Packet::GetConfiguration);
    let transfer = bench.submitted();
    bench.host.complete(transfer.complete_in(vec![1]));
    let (8, Packet::ConfigurationStatus { value: 1, .. }) = bench.reply() else {
        panic!()
    };
    // By a control packet that says IN: there is no data, and a device takes it for the same.
    let set = SetupPacket::from_bytes([0x81, 11, 0, 0, 0, 0, 0, 0]);
    bench.say(10, control(0x80, set, b""));
    let transfer = bench.submitted();
    bench.host.complete(transfer.complete_out());
    let heard = bench.heard();
    assert!(
        matches!(
            heard[..],
            [
                (0, Packet::InterfaceInfo(_)),
                (0, Packet::EndpointInfo(_)),
                (10, _)
            ]
        ),
        "{heard:?}"
    );
    bench.say(9, Packet::GetAltSetting { interface: 0 });
    let transfer = bench.submitted();
    bench.host.complete(transfer.complete_in(vec![1]));
    let (
        9,
        Packet::AltSettingStatus {
            interface: 0,
            alternate: 1,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
}

#[test]
fn cancel_meets_completion() {
    let mut bench = HostBench::new();
    bench.say(1, bulk(BULK_IN, 4, b""));
    let transfer = bench.submitted();
    bench.say(1, Packet::CancelDataPacket);
    assert_eq!(bench.host.poll(), Some(HostEvent::Cancel(transfer.id)));
    bench.say(1, Packet::CancelDataPacket);
    assert_eq!(bench.host.poll(), None, "once");
    assert!(bench.heard().is_empty());
    bench.host.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(bulk_status(&bench.reply().1), (StatusCode::CANCELLED, 0));

    bench.say(1, bulk(BULK_IN, 4, b"")); // the id again
    let transfer = bench.submitted();
    bench.say(1, Packet::CancelDataPacket);
    assert_eq!(bench.host.poll(), Some(HostEvent::Cancel(transfer.id)));
    bench.host.complete(transfer.complete_in(b"data".to_vec()));
    assert_eq!(bulk_status(&bench.reply().1), (StatusCode::SUCCESS, 4));

    bench.say(1, Packet::CancelDataPacket);
    assert_eq!(bench.host.poll(), None);
    assert!(bench.heard().is_empty(), "already answered");
}

#[test]
fn endpoints_that_are_not_there_or_of_another_type_are_invalid() {
    let mut bench = HostBench::new();
    for endpoint in [0x8f, INTERRUPT_IN, ISO_IN] {
        bench.say(1, bulk(endpoint, 4, b""));
        assert_eq!(bulk_status(&bench.reply().1), (StatusCode::INVALID, 0));
    }
    bench.say(
        2,
        Packet::StartInterruptReceiving {
            endpoint: address(BULK_IN),
        },
    );
    let (
        2,
        Packet::InterruptReceivingStatus {
            status: StatusCode::INVALID,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    for (packets, transfers) in [(0, 1), (33, 1), (1, 0), (1, 17)] {
        bench.say(
            3,
            Packet::StartIsoStream {
                endpoint: address(ISO_IN),
                packets_per_transfer: packets,
                transfers,
            },
        );
        let (
            3,
            Packet::IsoStreamStatus {
                status: StatusCode::INVALID,
                ..
            },
        ) = bench.reply()
        else {
            panic!()
        };
    }
    bench.say(
        4,
        Packet::AllocBulkStreams {
            endpoints: 1 << 17,
            count: 1,
        },
    );
    let (
        4,
        Packet::BulkStreamsStatus {
            status: StatusCode::INVALID,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    assert_eq!(bench.host.poll(), None);
}

#[test]
fn an_interrupt_endpoint_is_polled_until_it_is_stopped() {
    let mut bench = HostBench::new();
    bench.say(
        1,
        Packet::StartInterruptReceiving {
            endpoint: address(INTERRUPT_IN),
        },
    );
    let (
        1,
        Packet::InterruptReceivingStatus {
            status: StatusCode::SUCCESS,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    let standing: Vec<Transfer> = (0..5).map(|_| bench.submitted()).collect();
    assert_eq!(bench.host.poll(), None);
    assert!(
        standing
            .iter()
            .all(|transfer| transfer.interval == 8 && transfer.payload.len() == 8)
    );
    for (number, transfer) in standing.iter().take(2).enumerate() {
        bench
            .host
            .complete(transfer.clone().complete_in(vec![number as u8]));
        let (id, Packet::Interrupt { length: 1, .. }) = bench.reply() else {
            panic!()
        };
        assert_eq!(id, number as u64);
        bench.submitted();
    }
    bench.say(
        2,
        Packet::StopInterruptReceiving {
            endpoint: address(INTERRUPT_IN),
        },
    );
    let (
        2,
        Packet::InterruptReceivingStatus {
            status: StatusCode::SUCCESS,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    let cancelled = std::iter::from_fn(|| bench.host.poll()).count();
    assert_eq!(cancelled, 5);
    bench
        .host
        .complete(standing[2].clone().complete_in(vec![9]));
    assert!(bench.heard().is_empty(), "nobody's");
}

#[test]
fn a_stream_that_stalls_says_so() {
    let mut bench = HostBench::new();
    bench.say(
        1,
        Packet::StartInterruptReceiving {
            endpoint: address(INTERRUPT_IN),
        },
    );
    let first = bench.submitted();
    bench.submitted();
    bench.heard();
    bench.host.complete(first.stall());
    let (
        0,
        Packet::InterruptReceivingStatus {
            status: StatusCode::STALL,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    assert!(matches!(bench.host.poll(), Some(HostEvent::Cancel(_))));
    assert_eq!(bench.host.poll(), None);
}

#[test]
fn isochronous_packets_are_told_one_by_one() {
    let mut bench = HostBench::new();
    bench.say(
        1,
        Packet::StartIsoStream {
            endpoint: address(ISO_IN),
            packets_per_transfer: 3,
            transfers: 2,
        },
    );
    bench.reply();
    let transfer = bench.submitted();
    bench.submitted();
    assert_eq!(bench.host.poll(), None);
    let Kind::Isochronous(mut packets) = transfer.kind.clone() else {
        panic!()
    };
    assert_eq!(transfer.payload.len(), 300);
    packets[0].actual = 2;
    packets[1].status = Status::PROTOCOL;
    packets[2].actual = 1;
    bench
        .host
        .complete(transfer.complete_packets(packets, Segments::from(vec![1, 2, 3])));
    let heard: Vec<_> = bench
        .heard()
        .into_iter()
        .map(|(id, packet)| match packet {
            Packet::Iso { status, data, .. } => (id, status, data.to_bytes().to_vec()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (0, StatusCode::SUCCESS, vec![1, 2]),
        (1, StatusCode::IO_ERROR, vec![]),
        (2, StatusCode::SUCCESS, vec![3]),
    ];
    assert_eq!(heard, expected);
}

#[test]
fn isochronous_out_starts_half_full_and_drops_when_the_device_is_behind() {
    let mut bench = HostBench::new();
    bench.say(
        1,
        Packet::StartIsoStream {
            endpoint: address(ISO_OUT),
            packets_per_transfer: 2,
            transfers: 4,
        },
    );
    bench.reply();
    let mut sent = 0..;
    let mut packet = |bench: &mut HostBench| {
        bench.say(
            0,
            Packet::Iso {
                endpoint: address(ISO_OUT),
                status: StatusCode::SUCCESS,
                length: 1,
                data: vec![sent.next().unwrap()].into(),
            },
        )
    };
    for _ in 0..3 {
        packet(&mut bench);
        assert_eq!(bench.host.poll(), None);
    }
    packet(&mut bench);
    let first = bench.submitted();
    assert_eq!(first.payload, Payload::Out(Bytes::from_static(&[0, 1])));
    bench.submitted();
    for _ in 0..20 {
        packet(&mut bench);
        bench.host.poll();
    }
    // Four transfers of two stand, and eight packets wait; the others were dropped.
    bench.host.complete(first.complete_out());
    assert_eq!(
        bench.submitted().payload,
        Payload::Out(Bytes::from_static(&[8, 9]))
    );
}

#[test]
fn a_bulk_endpoint_is_polled_on_request() {
    let mut bench = HostBench::new();
    let start = |bytes_per_transfer| Packet::StartBulkReceiving {
        stream: 0,
        bytes_per_transfer,
        endpoint: address(BULK_IN),
        transfers: 2,
    };
    bench.say(1, start(100));
    let (
        1,
        Packet::BulkReceivingStatus {
            status: StatusCode::INVALID,
            ..
        },
    ) = bench.reply()
    else {
        panic!()
    };
    bench.say(2, start(1024));
    bench.reply();
    let transfer = bench.submitted();
    bench.host.complete(transfer.complete_in(vec![7; 600]));
    let (0, Packet::BufferedBulk { length: 600, .. }) = bench.reply() else {
        panic!()
    };
}

#[test]
fn standing_transfers_wait_for_the_writer() {
    let mut options = Options::default();
    options.limits.tx_high_water = 200;
    let mut bench = HostBench::greeted(options);
    bench.host.attach(descriptors()).unwrap();
    let hello = Packet::Hello(bench.guest.hello("test"));
    bench.say(0, hello);
    bench.heard();
    bench.say(
        1,
        Packet::StartInterruptReceiving {
            endpoint: address(INTERRUPT_IN),
        },
    );
    bench.heard();
    let mut given = 0;
    while let Some(HostEvent::Submit(transfer)) = bench.host.poll() {
        bench.host.complete(transfer.complete_in(vec![0; 8]));
        given += 1;
    }
    assert_eq!(given, 8, "200 bytes of packets of 28");
    let Ok(Step::Io(wants)) = bench.host.receive(&mut bench.to_host) else {
        panic!()
    };
    assert!(wants.read.is_none() && wants.write);
    assert_eq!(bench.heard().len(), 8);
    assert_eq!(bench.host.receive(&mut bench.to_host), Ok(Step::Ready));
    bench.submitted();
}

#[test]
fn a_device_that_leaves_is_acknowledged_before_the_next() {
    let mut bench = HostBench::new();
    bench.say(1, bulk(BULK_IN, 4, b""));
    let transfer = bench.submitted();
    bench.host.complete(transfer.fail(Status::DISCONNECTED));
    bench.host.detach();
    assert_eq!(bench.host.poll(), Some(HostEvent::Reset));
    let heard = bench.heard();
    assert!(matches!(
        heard[..],
        [(1, Packet::Bulk { .. }), (0, Packet::DeviceDisconnect)]
    ));
    assert_eq!(bench.host.state(), HostState::Detaching);
    assert_eq!(bench.host.attach(descriptors()), Err(MisuseError::Occupied));
    bench.say(2, bulk(BULK_IN, 4, b"")); // sent before the guest knew
    assert!(bench.heard().is_empty() && bench.host.poll().is_none());
    bench.say(0, Packet::DeviceDisconnectAck);
    assert_eq!(bench.host.state(), HostState::Empty);
    bench.host.attach(descriptors()).unwrap();
    assert_eq!(bench.heard().len(), 3);
}

#[test]
fn a_request_that_the_device_was_not_given_is_not_waited_for() {
    let mut bench = HostBench::new();
    let mut device = ModelDevice::default();
    bench.say(1, bulk(BULK_IN, 4, b""));
    assert_eq!(bench.host.pending(), 1);
    device.unplug();
    exchange(&mut bench.host, &mut device);
    assert_eq!((bench.host.pending(), device.resets), (0, 1));
    assert!(matches!(bench.reply(), (0, Packet::DeviceDisconnect)));
    bench.say(0, Packet::DeviceDisconnectAck);
    bench.host.attach(descriptors()).unwrap();
}

#[test]
fn a_rejected_device_is_free() {
    let mut bench = HostBench::new();
    bench.say(0, Packet::FilterFilter(Bytes::from_static(b"8,-1,-1,-1,1")));
    let rules = bench.host.guest_filter().unwrap().to_string();
    assert_eq!(rules, "0x08,-1,-1,-1,1");
    bench.say(0, Packet::FilterReject);
    assert_eq!(bench.host.state(), HostState::Rejected);
    assert_eq!(bench.host.poll(), Some(HostEvent::Reset));
    assert_eq!(bench.host.attach(descriptors()), Err(MisuseError::Occupied));
    bench.host.detach();
    assert!(matches!(bench.reply(), (0, Packet::DeviceDisconnect)));
}

#[test]
fn a_reset_reaches_the_device() {
    let mut bench = HostBench::new();
    bench.say(1, bulk(BULK_IN, 4, b""));
    let transfer = bench.submitted();
    bench.say(0, Packet::Reset);
    assert_eq!(bench.host.poll(), Some(HostEvent::Reset));
    bench.host.complete(transfer.fail(Status::CANCELLED));
    assert_eq!(bulk_status(&bench.reply().1).0, StatusCode::CANCELLED);
}

#[test]
fn more_than_the_limits_is_answered_and_cancels_are_still_read() {
    let mut options = Options::default();
    options.limits.max_in_flight = 1;
    let mut bench = HostBench::greeted(options);
    bench.host.attach(descriptors()).unwrap();
    let hello = Packet::Hello(bench.guest.hello("test"));
    bench.say(0, hello);
    bench.heard();
    bench.say(1, bulk(BULK_IN, 4, b""));
    bench.submitted();
    bench.say(2, bulk(BULK_IN, 4, b""));
    assert_eq!(bulk_status(&bench.reply().1), (StatusCode::IO_ERROR, 0));
    bench.say(1, Packet::CancelDataPacket);
    assert!(matches!(bench.host.poll(), Some(HostEvent::Cancel(_))));
}

#[test]
fn a_broken_guest_leaves_the_device_free() {
    let mut bench = HostBench::new();
    let mut device = ModelDevice::default();
    bench.say(1, bulk(BULK_IN, 4, b""));
    exchange(&mut bench.host, &mut device);
    assert_eq!(bench.host.pending(), 1);
    bench.to_host.extend_from_slice(&[0xff; 16]);
    let error = bench.host.receive(&mut bench.to_host).unwrap_err();
    assert_eq!(bench.host.receive(&mut bench.to_host), Err(error), "sticky");
    exchange(&mut bench.host, &mut device);
    assert_eq!((bench.host.pending(), device.resets), (0, 1));
    assert_eq!(bench.host.state(), HostState::Over);
    device.finish_one(&mut Decisions::new(&[]));
    device.poll();
}

#[test]
fn an_answer_of_a_device_that_is_not_pending_is_nobodys() {
    let mut bench = HostBench::new();
    let stranger = Transfer::data_in(usb_transfer::TransferId::from_u64(99), address(BULK_IN), 4);
    let completion: Completion = stranger.stall();
    bench.host.complete(completion);
    assert!(bench.heard().is_empty());
}
