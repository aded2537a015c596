//! Writes what client and server say to each other as a capture, `usbip.pcap` in the directory for
//! test files; the lab's scenario `usbip-dissected` has tshark judge it, and knows each message.
//! What the kernel asks of our server is judged by `vhci-dissected`; this adds what it never asks.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};
use testkit::{ModelDevice, Pcap, Sender};
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    DeviceDescriptors, Function, IsoPacket, Kind, Payload, Step, Transfer, TransferIds, TxQueue,
    Wire, exchange,
};
use usbip_proto::server::HandshakeEvent;
use usbip_proto::{DeviceId, DeviceRecord, Limits, client, server};

fn carry(pcap: &mut Pcap, sender: Sender, tx: &mut TxQueue, rx: &mut BytesMut) {
    let bytes = tx.copy_to_bytes(tx.remaining());
    pcap.send(sender, &bytes);
    rx.extend_from_slice(&bytes);
}

fn record() -> DeviceRecord {
    let bulk = Endpoint::bulk(EndpointAddress::from_byte(0x81));
    let interface = Interface::new(0, ClassCode::new(0xff, 0, 0)).endpoint(bulk);
    let device = Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut device = DeviceDescriptors::new(Speed::High, device);
    let configuration = Configuration::new(1).interface(interface);
    device
        .configurations
        .push(configuration.to_bytes(Speed::High).unwrap().into());
    DeviceRecord::new(
        "/virtual/1",
        "1-1".parse().unwrap(),
        DeviceId::new(1, 2),
        &device,
    )
    .unwrap()
}

fn transfers() -> Vec<Transfer> {
    let mut ids = TransferIds::default();
    let bulk = EndpointAddress::from_byte(1);
    let iso = EndpointAddress::from_byte(3);
    let packets = || Kind::Isochronous((0..3).map(|at| IsoPacket::new(at * 100, 100)).collect());
    vec![
        Transfer::control_in(
            ids.mint(),
            SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]),
        ),
        Transfer::control_in(
            ids.mint(),
            SetupPacket::from_bytes([0, 9, 1, 0, 0, 0, 0, 0]),
        ),
        Transfer::data_in(ids.mint(), bulk, 512),
        Transfer::data_out(ids.mint(), bulk, Bytes::from(vec![7; 512])),
        Transfer::data_in(ids.mint(), bulk, 100_000),
        Transfer::data_out(ids.mint(), bulk, Bytes::from(vec![7; 100_000])),
        Transfer::data_in(ids.mint(), bulk, 0),
        Transfer::new(
            ids.mint(),
            iso,
            packets(),
            Payload::Out(Bytes::from(vec![7; 300])),
        )
        .with_interval(8),
        Transfer::new(
            ids.mint(),
            EndpointAddress::from_byte(0x83),
            packets(),
            Payload::In { length: 300 },
        )
        .with_interval(8),
    ]
}

#[test]
fn a_conversation_of_every_message() {
    let mut pcap = Pcap::new(3240);
    let (mut client_rx, mut server_rx) = (BytesMut::new(), BytesMut::new());
    let devices = [record()];

    let mut server = server::Handshake::new(Limits::default());
    let mut lister = client::Handshake::list(Limits::default());
    carry(&mut pcap, Sender::Client, lister.tx(), &mut server_rx);
    assert_eq!(server.receive(&mut server_rx).unwrap(), Step::Ready);
    let Some(HandshakeEvent::List(request)) = server.poll() else {
        panic!()
    };
    server.list(request, &devices);
    carry(&mut pcap, Sender::Server, server.tx(), &mut client_rx);
    client_rx.clear();

    let mut importer = client::Handshake::import(devices[0].bus_id(), Limits::default());
    carry(&mut pcap, Sender::Client, importer.tx(), &mut server_rx);
    assert_eq!(server.receive(&mut server_rx).unwrap(), Step::Ready);
    let Some(HandshakeEvent::Import(request)) = server.poll() else {
        panic!()
    };
    let mut server = server.accept(request, &devices[0]);
    carry(&mut pcap, Sender::Server, server.tx(), &mut client_rx);
    assert_eq!(importer.receive(&mut client_rx).unwrap(), Step::Ready);
    assert!(importer.poll().is_some());
    let mut client = importer.into_session().unwrap();

    let mut device = ModelDevice::default();
    let mut completed = 0;
    let mut turn = |client: &mut client::Session, finish: bool| {
        carry(&mut pcap, Sender::Client, client.tx(), &mut server_rx);
        while server.receive(&mut server_rx).unwrap() == Step::Ready {
            exchange(&mut server, &mut device);
        }
        if finish {
            device.finish_one(&mut testkit::Decisions::new(&[]));
            exchange(&mut server, &mut device);
        }
        carry(&mut pcap, Sender::Server, server.tx(), &mut client_rx);
        while client.receive(&mut client_rx).unwrap() == Step::Ready {
            completed += usize::from(client.poll().is_some());
        }
    };
    let transfers = transfers();
    let count = transfers.len();
    for transfer in transfers {
        client.submit(transfer);
        turn(&mut client, true);
    }
    // One that is unlinked while it waits.
    let mut ids = TransferIds::default();
    let waiting = (0..100).map(|_| ids.mint()).last().unwrap();
    client.submit(Transfer::data_in(
        waiting,
        EndpointAddress::from_byte(0x81),
        512,
    ));
    turn(&mut client, false);
    client.cancel(waiting);
    turn(&mut client, false);
    assert_eq!(completed, count + 1);

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("usbip.pcap");
    std::fs::write(path, pcap.finish()).unwrap();
}
