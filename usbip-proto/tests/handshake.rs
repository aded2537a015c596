//! The server's handshake.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use bytes::{Buf, BytesMut};
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, Speed};
use usb_transfer::{DeviceDescriptors, Frontend, HostEvent, Step, Wire};
use usbip_proto::client;
use usbip_proto::server::{Handshake, HandshakeEvent};
use usbip_proto::{DeviceId, DeviceRecord, Limits, OpStatus, ProtocolError};

fn record(bus_id: &str) -> DeviceRecord {
    let mut device =
        DeviceDescriptors::new(Speed::Super, Device::new(0x1209, 7).to_bytes(Speed::Super));
    let class = ClassCode::MASS_STORAGE_BULK_ONLY;
    let other = ClassCode::new(3, 1, 1);
    let storage = Interface::new(0, class)
        .endpoint(Endpoint::bulk(EndpointAddress::from_byte(0x81)))
        .endpoint(Endpoint::bulk(EndpointAddress::from_byte(0x02)));
    let keys = Interface::new(1, other).descriptor(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0]);
    let configuration = Configuration::new(1)
        .interface(storage.clone())
        .interface(storage.alternate_setting(1))
        .interface(keys.unwrap());
    device
        .configurations
        .push(configuration.to_bytes(Speed::Super).unwrap().into());
    DeviceRecord::new(
        "/virtual",
        bus_id.parse().unwrap(),
        DeviceId::new(1, 2),
        &device,
    )
    .unwrap()
}

fn event(handshake: &mut Handshake, bytes: &[u8]) -> HandshakeEvent {
    let mut rx = BytesMut::from(bytes);
    assert_eq!(handshake.receive(&mut rx).unwrap(), Step::Ready);
    handshake.poll().unwrap()
}

fn written(handshake: &mut Handshake) -> Vec<u8> {
    let tx = handshake.tx();
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

const LIST: [u8; 8] = [1, 0x11, 0x80, 5, 0, 0, 0, 0];

fn import(bus_id: &[u8]) -> Vec<u8> {
    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    request.extend_from_slice(bus_id);
    request.resize(40, 0);
    request
}

#[test]
fn a_list_and_then_an_import_on_one_connection() {
    let mut handshake = Handshake::new(Limits::default());
    let HandshakeEvent::List(request) = event(&mut handshake, &LIST) else {
        panic!()
    };
    let waiting = handshake.receive(&mut BytesMut::from(&LIST[..])).unwrap();
    assert!(
        matches!(waiting, Step::Io(wants) if wants.read.is_some()),
        "one at a time, and not finished"
    );
    let devices = [record("1-1"), record("1-2")];
    handshake.list(request, &devices);
    let reply = written(&mut handshake);
    assert_eq!(reply[..12], [1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(reply.len(), 12 + 2 * (312 + 2 * 4));
    let device = &reply[12..12 + 320];
    assert_eq!(&device[256..260], b"1-1\0");
    assert_eq!(
        device[288..300],
        [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5],
        "bus, device, SuperSpeed"
    );
    assert_eq!(device[300..312], [0x12, 0x09, 0, 7, 1, 0, 0, 0, 0, 1, 1, 2]);
    assert_eq!(device[312..320], [8, 6, 0x50, 0, 3, 1, 1, 0]);

    let HandshakeEvent::Import(request) = event(&mut handshake, &import(b"1-2")) else {
        panic!()
    };
    assert_eq!(request.bus_id().as_str(), "1-2");
    let mut session = handshake.accept(request, &devices[1]);
    let reply = session.tx().copy_to_bytes(320);
    assert_eq!(reply[..8], [1, 0x11, 0, 3, 0, 0, 0, 0]);
    assert!(!session.tx().has_remaining());
}

#[test]
fn a_client_iterates_over_the_list_however_it_comes() {
    let mut server = Handshake::new(Limits::default());
    let HandshakeEvent::List(request) = event(&mut server, &LIST) else {
        panic!()
    };
    let devices = [record("1-1"), record("1-2"), record("1-3")];
    server.list(request, &devices);
    let reply = written(&mut server);
    for piece in [1, 7, 320, reply.len()] {
        let mut client = client::Handshake::list(Limits::default());
        let (mut rx, mut found) = (BytesMut::new(), Vec::new());
        for bytes in reply.chunks(piece) {
            assert_eq!(client.poll(), None, "the end before the last piece");
            rx.extend_from_slice(bytes);
            for device in client.devices(&mut rx) {
                found.push(device.unwrap());
            }
        }
        assert_eq!(found, devices, "in pieces of {piece}");
        assert_eq!(client.poll(), Some(client::HandshakeEvent::EndOfList));
        assert_eq!(client.devices(&mut rx).count(), 0);
    }

    // What is wrong is told once, behind the devices before it.
    let mut limits = Limits::default();
    limits.max_interfaces = 1;
    let mut client = client::Handshake::list(limits);
    let mut rx = BytesMut::from(&reply[..]);
    let found: Vec<_> = client.devices(&mut rx).collect();
    assert!(
        matches!(
            found[..],
            [Err(ProtocolError::InterfaceCount { found: 2, .. })]
        ),
        "{found:?}"
    );

    // A refusal is no device.
    let mut client = client::Handshake::list(Limits::default());
    let mut rx = BytesMut::from(&[1, 0x11, 0, 5, 0, 0, 0, 1][..]);
    assert_eq!(client.devices(&mut rx).count(), 0);
    assert_eq!(
        client.poll(),
        Some(client::HandshakeEvent::Refused(OpStatus::NOT_AVAILABLE))
    );
}

#[test]
fn refusals_carry_their_status_and_never_ok() {
    for (status, sent) in [
        (OpStatus::NOT_AVAILABLE, 1),
        (OpStatus::BUSY, 2),
        (OpStatus::DEVICE_ERROR, 3),
        (OpStatus::NO_DEVICE, 4),
        (OpStatus::ERROR, 5),
        (OpStatus::OK, 5),
    ] {
        let mut handshake = Handshake::new(Limits::default());
        let HandshakeEvent::Import(request) = event(&mut handshake, &import(b"9-9")) else {
            panic!()
        };
        handshake.reject(request, status);
        assert_eq!(written(&mut handshake), [1, 0x11, 0, 3, 0, 0, 0, sent]);
    }
}

/// A client checks that what it asked for comes back, whatever the device is called here.
#[test]
fn an_import_is_answered_with_the_bus_id_that_was_asked_for() {
    let mut handshake = Handshake::new(Limits::default());
    let HandshakeEvent::Import(request) = event(&mut handshake, &import(b"9-9")) else {
        panic!()
    };
    let mut session = handshake.accept(request, &record("1-1"));
    let mut reply = vec![0; 320];
    session.tx().copy_to_slice(&mut reply);
    assert_eq!(reply[8 + 256..8 + 260], *b"9-9\0");
}

/// The reply to an import says how many interfaces a device has, and does not list them: a server
/// that offers the device of another states as many as it can list.
#[test]
fn a_list_states_as_many_interfaces_as_follow() {
    let mut granted = vec![0; 320];
    granted[..4].copy_from_slice(&[1, 0x11, 0, 3]);
    granted[8 + 256..8 + 259].copy_from_slice(b"1-1");
    granted[319] = 2;
    let asked = "1-1".parse().unwrap();
    let mut far = client::Handshake::import(asked, Limits::default());
    let step = far.receive(&mut BytesMut::from(&granted[..]));
    assert_eq!(step, Ok(Step::Ready));
    let Some(client::HandshakeEvent::Imported(imported)) = far.poll() else {
        panic!()
    };
    let mut handshake = Handshake::new(Limits::default());
    let HandshakeEvent::List(request) = event(&mut handshake, &LIST) else {
        panic!()
    };
    handshake.list(request, [&imported, &imported]);
    let list = written(&mut handshake);
    assert_eq!(list.len(), 12 + 2 * 312);
    assert_eq!((list[12 + 311], list[12 + 312 + 311]), (0, 0));
}

#[test]
fn broken_requests_are_named() {
    let error = |bytes: &[u8]| {
        let mut handshake = Handshake::new(Limits::default());
        let mut rx = BytesMut::from(bytes);
        let error = handshake.receive(&mut rx).unwrap_err();
        assert_eq!(handshake.receive(&mut rx).unwrap_err(), error, "sticky");
        error
    };
    assert_eq!(
        error(&[1, 6, 0x80, 5, 0, 0, 0, 0]).to_string(),
        "version 0x0106, expected 0x0111; does the peer speak USB/IP?"
    );
    for code in [0u16, 0x8001, 0x8002, 0x8004, 0x8006, 0x0003] {
        let [high, low] = code.to_be_bytes();
        let error = error(&[1, 0x11, high, low, 0, 0, 0, 0]);
        assert!(matches!(error, ProtocolError::Operation { found, .. } if found == code));
    }
    for bus_id in [&b""[..], b"a b", b"\xff", &[b'1'; 32]] {
        assert!(matches!(
            error(&import(bus_id)),
            ProtocolError::BusId { .. }
        ));
    }
}

#[test]
fn a_client_that_never_reads_gets_one_answer() {
    let mut handshake = Handshake::new(Limits::default());
    let devices: Vec<_> = (0..100).map(|_| record("1-1")).collect();
    let mut rx = BytesMut::from(&LIST.repeat(2000)[..]);
    let mut answers = 0;
    while handshake.receive(&mut rx).unwrap() == Step::Ready {
        let Some(HandshakeEvent::List(request)) = handshake.poll() else {
            panic!()
        };
        handshake.list(request, &devices);
        answers += 1;
    }
    assert_eq!(answers, 1);
    let Step::Io(wants) = handshake.receive(&mut rx).unwrap() else {
        panic!()
    };
    assert!(wants.read.is_none() && wants.write);
    written(&mut handshake);
    assert_eq!(
        handshake.receive(&mut rx).unwrap(),
        Step::Ready,
        "then the next"
    );
}

#[test]
fn a_client_that_does_not_wait_is_given_up() {
    let mut handshake = Handshake::new(Limits::default());
    let HandshakeEvent::List(request) = event(&mut handshake, &LIST) else {
        panic!()
    };
    let mut rx = BytesMut::from(&LIST.repeat(513)[..]);
    let error = handshake.receive(&mut rx).unwrap_err();
    assert!(matches!(
        error,
        ProtocolError::Impatient {
            found: 4104,
            limit: 4096,
            ..
        }
    ));
    handshake.list(request, []);
    assert_eq!(handshake.receive(&mut rx).unwrap_err(), error, "sticky");
}

#[test]
fn a_client_that_left_before_the_answer_gets_a_session_that_is_over() {
    let mut handshake = Handshake::new(Limits::default());
    let HandshakeEvent::Import(request) = event(&mut handshake, &import(b"1-1")) else {
        panic!()
    };
    handshake.end();
    let mut session = handshake.accept(request, &record("1-1"));
    assert_eq!(session.receive(&mut BytesMut::new()).unwrap(), Step::Ready);
    assert_eq!(session.poll(), Some(HostEvent::Reset));
}

#[test]
fn requests_may_come_a_byte_at_a_time() {
    let mut handshake = Handshake::new(Limits::default());
    let mut rx = BytesMut::new();
    let request = import(b"1-1");
    for (at, byte) in request.iter().enumerate() {
        match handshake.receive(&mut rx).unwrap() {
            Step::Io(wants) => {
                let missing = wants.read.unwrap().get();
                assert!(missing <= request.len() - at && rx.capacity() - rx.len() >= missing);
            }
            Step::Ready => panic!("too early"),
        }
        rx.extend_from_slice(&[*byte]);
    }
    assert_eq!(handshake.receive(&mut rx).unwrap(), Step::Ready);
}
