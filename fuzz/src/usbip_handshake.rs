//! What comes before a session, in both roles, with a hostile peer.
//!
//! Invariants: a request is one event and gets one well-formed answer, before which nothing more is
//! taken; a list gives as many devices as it says, then its end; `receive` takes what it
//! has understood, and never more than it needs; reserved is no more than one message; an error is
//! sticky.

use bytes::{Buf, BytesMut};
use testkit::Decisions;
use usb_descriptors::{Speed, build};
use usb_transfer::{DeviceDescriptors, Frontend, HostEvent, Step, Wire};
use usbip_proto::{BusId, DeviceId, DeviceRecord, Limits, OpStatus, ProtocolError};
use usbip_proto::{client, server};

use crate::split;

/// Bytes of a header, of a device, of an interface.
const COMMON: usize = 8;
const DEVICE: usize = 312;
const INTERFACE: usize = 4;

/// What an impatient client may have in the receive buffer, which doubles where it has to grow.
const MAX_ROOM: usize = 4 * (4096 + COMMON + DEVICE);

const MAX_DEVICES: u32 = 4;

/// Runs the target: the first choice is the role; the bytes are the peer's.
pub fn run(input: &[u8]) {
    let (mut decisions, stream) = split(input);
    let mut limits = Limits::default();
    limits.max_devices = MAX_DEVICES;
    match decisions.below(3) {
        0 => serve(server::Handshake::new(limits), &mut decisions, stream),
        1 => ask(client::Handshake::list(limits), &mut decisions, stream),
        _ => {
            let bus_id = "1-1".parse().expect("a bus id");
            let handshake = client::Handshake::import(bus_id, limits);
            ask(handshake, &mut decisions, stream);
        }
    }
}

/// The peer's bytes, as a socket brings them.
struct Socket<'a> {
    stream: &'a [u8],
    rx: BytesMut,
    /// Bytes that the handshake took.
    taken: usize,
}

impl<'a> Socket<'a> {
    fn new(stream: &'a [u8]) -> Self {
        Self {
            stream,
            rx: BytesMut::new(),
            taken: 0,
        }
    }

    /// Brings some bytes, as far as there is room; false where there are none.
    fn read(&mut self, missing: usize, decisions: &mut Decisions<'_>) -> bool {
        let room = self.rx.capacity() - self.rx.len();
        assert!(room >= missing, "there is room for what is wanted");
        assert!(self.rx.capacity() <= MAX_ROOM, "bounded room");
        let some = match decisions.below(4) {
            0 => room,
            1 => missing,
            2 => 1,
            _ => decisions.below(room) + 1,
        };
        let (now, later) = self.stream.split_at(some.min(room).min(self.stream.len()));
        self.rx.extend_from_slice(now);
        self.stream = later;
        !now.is_empty()
    }

    fn receive<W: Wire>(&mut self, wire: &mut W) -> Result<Step, W::Error> {
        let before = self.rx.to_vec();
        let result = wire.receive(&mut self.rx);
        let taken = before.len() - self.rx.len();
        assert_eq!(before[taken..], self.rx[..], "bytes go at the front only");
        self.taken += taken;
        result
    }
}

fn is_sticky<W: Wire<Error = ProtocolError>>(wire: &mut W, error: &ProtocolError) {
    let mut rx = BytesMut::from(&[1, 0x11, 0x80, 5, 0, 0, 0, 0][..]);
    assert_eq!(
        wire.receive(&mut rx).as_ref(),
        Err(error),
        "an error is sticky"
    );
    wire.end();
    assert_eq!(
        wire.receive(&mut rx).as_ref(),
        Err(error),
        "an error is sticky"
    );
    assert_eq!(rx.len(), COMMON, "nothing is taken after the end");
}

fn drain<W: Wire>(wire: &mut W) -> Vec<u8> {
    let tx = wire.tx();
    tx.copy_to_bytes(tx.remaining()).to_vec()
}

fn record(decisions: &mut Decisions<'_>) -> DeviceRecord {
    let device = build::Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut descriptors = DeviceDescriptors::new(Speed::High, device);
    let mut configuration = build::Configuration::new(1);
    for number in 0..decisions.below(4) as u8 {
        let class = usb_descriptors::ClassCode::new(0xff, 1, number);
        configuration = configuration.interface(build::Interface::new(number, class));
    }
    let bytes = configuration
        .to_bytes(Speed::High)
        .expect("a configuration");
    descriptors.configurations.push(bytes.into());
    let bus_id: BusId = "3-7".parse().expect("a bus id");
    DeviceRecord::new("/virtual", bus_id, DeviceId::new(3, 7), &descriptors).expect("a record")
}

/// Version, code and status.
fn common(code: u16, status: u32) -> Vec<u8> {
    let mut bytes = vec![0x01, 0x11];
    bytes.extend(code.to_be_bytes());
    bytes.extend(status.to_be_bytes());
    bytes
}

fn serve(mut handshake: server::Handshake, decisions: &mut Decisions<'_>, stream: &[u8]) {
    let mut socket = Socket::new(stream);
    loop {
        match socket.receive(&mut handshake) {
            Ok(Step::Ready) => {
                let event = handshake
                    .poll()
                    .expect("ready means that there is an event");
                assert!(handshake.poll().is_none(), "one request, one event");
                assert_eq!(socket.taken % COMMON, 0, "requests are 8 and 40 bytes");
                let waited = wait(&mut handshake, &mut socket, decisions);
                let is_over = waited != Ok(false);
                match answer(handshake, event, decisions, is_over) {
                    Some(next) => handshake = next,
                    None => return,
                }
                match waited {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => return is_sticky(&mut handshake, &error),
                }
            }
            Ok(Step::Io(wants)) => {
                let missing = wants.read.expect("it waits for a request").get();
                if !socket.read(missing, decisions) {
                    break;
                }
            }
            Err(error) => return is_sticky(&mut handshake, &error),
        }
    }
    handshake.end();
    let Ok(Step::Io(wants)) = socket.receive(&mut handshake) else {
        panic!("the end is no event");
    };
    assert!(wants.is_finished());
}

/// The embedder takes its time, and the client goes on, or leaves, which is true.
fn wait(
    handshake: &mut server::Handshake,
    socket: &mut Socket<'_>,
    decisions: &mut Decisions<'_>,
) -> Result<bool, ProtocolError> {
    let taken = socket.taken;
    for _ in 0..decisions.below(8) {
        match socket.receive(handshake)? {
            Step::Ready => panic!("a request waits for its answer"),
            Step::Io(wants) => {
                if let Some(missing) = wants.read {
                    socket.read(missing.get(), decisions);
                }
            }
        }
        assert_eq!(socket.taken, taken, "nothing is taken before the answer");
    }
    let leaves = decisions.below(16) == 15;
    if leaves {
        handshake.end();
    }
    Ok(leaves)
}

/// Answers a request; the handshake is gone where it became a session.
fn answer(
    mut handshake: server::Handshake,
    event: server::HandshakeEvent,
    decisions: &mut Decisions<'_>,
    is_over: bool,
) -> Option<server::Handshake> {
    match event {
        server::HandshakeEvent::List(request) => {
            let records: Vec<_> = (0..decisions.below(4)).map(|_| record(decisions)).collect();
            handshake.list(request, &records);
            let reply = drain(&mut handshake);
            let mut start = common(0x0005, 0);
            start.extend((records.len() as u32).to_be_bytes());
            assert_eq!(reply[..12], start);
            let interfaces = records
                .iter()
                .map(|record| record.interfaces().len() * INTERFACE);
            let devices = interfaces.map(|interfaces| DEVICE + interfaces);
            assert_eq!(reply.len(), 12 + devices.sum::<usize>());
        }
        server::HandshakeEvent::Import(request) => {
            let bus_id = request.bus_id();
            assert!(bus_id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            if decisions.chance() {
                let status = OpStatus(u32::from(decisions.byte() % 8));
                handshake.reject(request, status);
                let said = if status == OpStatus::OK { 5 } else { status.0 };
                assert_eq!(drain(&mut handshake), common(0x0003, said));
            } else {
                let mut session = handshake.accept(request, &record(decisions));
                let reply = drain(&mut session);
                assert_eq!(
                    reply.len(),
                    COMMON + DEVICE,
                    "an import carries no interfaces"
                );
                assert_eq!(reply[..COMMON], common(0x0003, 0));
                let name = &reply[COMMON + 256..COMMON + 288];
                assert_eq!(name[..bus_id.as_str().len()], *bus_id.as_str().as_bytes());
                assert_eq!(session.poll() == Some(HostEvent::Reset), is_over);
                return None;
            }
        }
        other => panic!("a request this target does not know: {other:?}"),
    }
    Some(handshake)
}

fn ask(mut handshake: client::Handshake, decisions: &mut Decisions<'_>, stream: &[u8]) {
    assert!(matches!(drain(&mut handshake).len(), 8 | 40), "one request");
    let mut socket = Socket::new(stream);
    let (mut devices, mut bytes) = (0, 12);
    let imported = loop {
        match socket.receive(&mut handshake) {
            Ok(Step::Ready) => {
                let event = handshake
                    .poll()
                    .expect("ready means that there is an event");
                assert!(handshake.poll().is_none(), "one at a time");
                match event {
                    client::HandshakeEvent::Device(record) => {
                        devices += 1;
                        assert!(devices <= MAX_DEVICES);
                        bytes += DEVICE + record.interfaces().len() * INTERFACE;
                        check_record(&record);
                    }
                    client::HandshakeEvent::EndOfList => {
                        assert_eq!(socket.taken, bytes, "all of the list and no more");
                        break false;
                    }
                    client::HandshakeEvent::Refused(status) => {
                        assert_ne!(status, OpStatus::OK);
                        assert_eq!(socket.taken, COMMON);
                        break false;
                    }
                    client::HandshakeEvent::Imported(record) => {
                        assert_eq!(record.bus_id().as_str(), "1-1");
                        assert_eq!(socket.taken, COMMON + DEVICE);
                        check_record(&record);
                        break true;
                    }
                    other => panic!("an answer this target does not know: {other:?}"),
                }
            }
            Ok(Step::Io(wants)) => {
                let missing = wants.read.expect("it waits for the answer").get();
                if !socket.read(missing, decisions) {
                    handshake.end();
                    break false;
                }
            }
            Err(error) => return is_sticky(&mut handshake, &error),
        }
    };
    let Ok(Step::Io(wants)) = socket.receive(&mut handshake) else {
        panic!("nothing follows the last event");
    };
    assert!(wants.is_finished());
    assert_eq!(handshake.into_session().is_ok(), imported);
}

/// What was received can be served again, and is received as it was.
fn check_record(record: &DeviceRecord) {
    assert!(record.bus_id().as_str().parse::<BusId>().is_ok());
    let _ = (record.speed_code().speed(), format!("{record:?}"));
    let mut server = server::Handshake::new(Limits::default());
    let mut rx = BytesMut::from(&common(0x8005, 0)[..]);
    assert_eq!(server.receive(&mut rx), Ok(Step::Ready));
    let Some(server::HandshakeEvent::List(request)) = server.poll() else {
        panic!("a list was asked for");
    };
    server.list(request, [record]);
    let mut rx = BytesMut::from(&drain(&mut server)[..]);
    assert_eq!(rx[12 + 255], 0, "a terminated path");
    let mut client = client::Handshake::list(Limits::default());
    assert_eq!(client.receive(&mut rx), Ok(Step::Ready));
    let Some(client::HandshakeEvent::Device(again)) = client.poll() else {
        panic!("a list of one device");
    };
    assert_eq!(again.path(), record.path());
    assert_eq!(again.bus_id(), record.bus_id());
    assert_eq!(again.device_id(), record.device_id());
    assert_eq!(again.interfaces(), record.interfaces());
    assert_eq!(client.receive(&mut rx), Ok(Step::Ready));
    assert_eq!(client.poll(), Some(client::HandshakeEvent::EndOfList));
    assert!(rx.is_empty());
}
