//! PyPI's `usbip` 0.7.0 in both roles. `PEERS_PYTHON` names a Python that has it: `ci/check peers`
//! makes one.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use examples::{Disk, Host, MemoryStore, Stream};
use msc_bot::{BlockSize, BotDevice, BotOptions, LogicalUnit, UnitOptions};
use peers::{
    BULK_IN, BULK_OUT, Echo, INTERRUPT_IN, ISOCHRONOUS_IN, ISOCHRONOUS_OUT, OUR_BUS_ID, Script,
    ours, serve,
};
use usb_descriptors::Speed;
use usb_transfer::{Actual, IsoPacket, Kind, Payload, Status, Transfer};
use usbip_proto::Limits;

fn python(script: &str) -> Command {
    let python =
        std::env::var("PEERS_PYTHON").expect("PEERS_PYTHON names a Python with usbip 0.7.0");
    let mut command = Command::new(python);
    command.arg(format!("{}/python/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// A server of theirs, until it is dropped.
struct Serving(Child, SocketAddr);

impl Serving {
    fn new(script: &str) -> Self {
        let mut command = python(script);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().expect("a port");
        Self(child, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn host(&self) -> Host {
        let stream = Stream::new(TcpStream::connect(self.1).unwrap()).unwrap();
        Host::import(stream, OUR_BUS_ID.parse().unwrap(), Limits::default()).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What both sides put onto a disk.
fn pattern() -> Vec<u8> {
    (0..2048 * 512_u32)
        .map(|at| (at / 512 + at) as u8)
        .collect()
}

#[test]
#[ignore = "needs PEERS_PYTHON: ci/check peers"]
fn our_client_uses_their_echo() {
    let server = Serving::new("serve_echo.py");
    let mut host = server.host();
    let device = host.enumerate().unwrap();
    assert_eq!(device.device().unwrap().vendor_id(), 0x1209);
    let mut script = Script::default();
    for length in [1, 31, 512, 4096, 65_536, 1 << 20] {
        let data: Bytes = (0..=250).cycle().take(length).collect::<Vec<u8>>().into();
        // Waits at the device, before there is anything.
        let waiting = script.submit(|id| Transfer::data_in(id, BULK_IN, 1 << 20));
        script.submit(|id| Transfer::data_out(id, BULK_OUT, data.clone()));
        let done = script.finish(&mut host);
        assert!(
            done.iter().all(|done| done.status == Status::COMPLETED),
            "{done:?}"
        );
        let read = done.iter().find(|done| done.id == waiting).unwrap();
        assert!(matches!(&read.actual, Actual::In(read) if *read == data));
    }

    let packets: Vec<_> = (0..8).map(|at| IsoPacket::new(at * 64, 64)).collect();
    let done = script.make(&mut host, |id| {
        let payload = Payload::In { length: 8 * 64 };
        Transfer::new(
            id,
            ISOCHRONOUS_IN,
            Kind::Isochronous(packets.clone()),
            payload,
        )
    });
    let actual: Vec<_> = done.packets.iter().map(|packet| packet.actual).collect();
    assert_eq!(actual, [0, 3, 6, 9, 12, 15, 18, 21]);
    let expected: Vec<u8> = (0..8u8)
        .flat_map(|at| vec![at; 3 * usize::from(at)])
        .collect();
    assert!(matches!(&done.actual, Actual::In(data) if *data == Bytes::from(expected)));

    // With gaps between the packets.
    let packets: Vec<_> = (0..4).map(|at| IsoPacket::new(at * 100, 10 + at)).collect();
    let done = script.make(&mut host, |id| {
        let payload = Payload::Out(Bytes::from(vec![7; 400]));
        Transfer::new(id, ISOCHRONOUS_OUT, Kind::Isochronous(packets), payload)
    });
    assert_eq!(
        (done.status, done.actual),
        (Status::COMPLETED, Actual::Out(46))
    );
    let done = script.make(&mut host, |id| {
        Transfer::data_in(id, INTERRUPT_IN, 8).with_interval(8)
    });
    let told = Bytes::from_static(&[0, 0, 0, 4, 0, 0, 0, 46]);
    assert_eq!(done.actual, Actual::In(told.into()));

    // Cancelled while it waits.
    let waiting = script.submit(|id| Transfer::data_in(id, BULK_IN, 512));
    script.cancel(waiting);
    assert_eq!(script.finish(&mut host)[0].status, Status::CANCELLED);
}

#[test]
#[ignore = "needs PEERS_PYTHON: ci/check peers"]
fn our_client_reads_their_disk() {
    let server = Serving::new("serve_disk.py");
    let mut host = server.host();
    let device = host.enumerate().unwrap();
    let mut read = Vec::new();
    let unit = host.read_disk(&device, |_, piece| {
        read.extend_from_slice(&piece.to_bytes());
    });
    assert_eq!(unit.unwrap().block_size, 512);
    assert!(read == pattern());
}

#[test]
#[ignore = "needs PEERS_PYTHON: ci/check peers"]
fn their_client_uses_our_echo() {
    let address = ours(Echo::new());
    let status = python("use_echo.py")
        .arg(address.port().to_string())
        .status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "needs PEERS_PYTHON: ci/check peers"]
fn their_client_uses_our_disk() {
    let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 2048));
    let device = BotDevice::new(BotOptions::new(Speed::High), [unit]).unwrap();
    let descriptors = device.descriptors().clone();
    let address = serve(&descriptors, Disk::new(device, MemoryStore::new(pattern())));
    let status = python("use_disk.py")
        .arg(address.port().to_string())
        .status();
    assert!(status.unwrap().success());
}
