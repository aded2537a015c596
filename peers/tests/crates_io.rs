//! crates.io's `usbip` 0.9.0 as the server of our client.

use std::net::TcpStream;

use bytes::Bytes;
use examples::{Host, ImportError, Stream, import, list};
use peers::{BULK_IN, BULK_OUT, Script, THEIR_BUS_ID, crates_io};
use usb_descriptors::SetupPacket;
use usb_transfer::{Actual, Status, Transfer};
use usbip_proto::{Limits, OpStatus};

fn connected(address: std::net::SocketAddr) -> Stream {
    Stream::new(TcpStream::connect(address).unwrap()).unwrap()
}

#[test]
fn its_devices_are_listed_and_others_refused() {
    let address = crates_io(true);
    let devices = list(&mut connected(address), Limits::default()).unwrap();
    let [device] = &devices[..] else {
        panic!("{devices:?}")
    };
    assert_eq!(device.bus_id().as_str(), THEIR_BUS_ID);
    assert_eq!(device.interfaces()[0].class, 0xff);
    let refused = import(
        &mut connected(address),
        "9-9".parse().unwrap(),
        Limits::default(),
    );
    assert!(
        matches!(refused, Err(ImportError::Refused(OpStatus::NOT_AVAILABLE))),
        "{refused:?}"
    );
}

#[test]
fn its_device_echoes_and_its_errors_are_stalls() {
    let address = crates_io(true);
    let bus_id = THEIR_BUS_ID.parse().unwrap();
    let mut host = Host::import(connected(address), bus_id, Limits::default()).unwrap();
    let mut script = Script::default();
    // Not by an `Enumerator`, which ends like every host with a reset: this server panics over it.
    let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
    let done = script.make(&mut host, |id| Transfer::control_in(id, setup));
    assert!(matches!(&done.actual, Actual::In(device) if device.to_bytes()[..2] == [18, 1]));
    for length in [0, 1, 31, 512, 65_536, 1 << 20] {
        let data: Bytes = (0..=250).cycle().take(length).collect::<Vec<u8>>().into();
        let out = |id| Transfer::data_out(id, BULK_OUT, data.clone());
        let done = script.make(&mut host, out);
        assert_eq!(
            (done.status, done.actual),
            (Status::COMPLETED, Actual::Out(length as u32))
        );
        let done = script.make(&mut host, |id| Transfer::data_in(id, BULK_IN, 1 << 20));
        assert_eq!(
            (done.status, done.actual),
            (Status::COMPLETED, Actual::In(data.into()))
        );
    }
    // It says 1 where there is nothing to read; and it answers each unlink with 0, too late.
    let done = script.make(&mut host, |id| Transfer::data_in(id, BULK_IN, 512));
    assert_eq!(done.status, Status::STALL);
    let ids: Vec<_> = (0..8)
        .map(|_| script.submit(|id| Transfer::data_in(id, BULK_IN, 512)))
        .collect();
    for id in &ids {
        script.cancel(*id);
    }
    let done = script.finish(&mut host);
    assert!(done.iter().map(|done| done.id).eq(ids));
    assert!(done.iter().all(|done| done.status == Status::STALL));
}
