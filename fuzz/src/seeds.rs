//! Where the search starts: a few meaningful inputs for each target, most of them bytes that real
//! kernels sent.

use bytes::Bytes;
use usb_descriptors::build::{Configuration, Device, Endpoint, Interface};
use usb_descriptors::{ClassCode, DescriptorType, EndpointAddress, Speed, build};
use usb_transfer::DeviceDescriptors;

use crate::urb::{HEADER, Header, PACKET, Packet};
use crate::usbredir;

/// An input to be committed as `corpus/TARGET/NAME`.
#[derive(Debug)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// The file's name.
    pub name: &'static str,
    /// The input.
    pub bytes: Vec<u8>,
}

/// What a client and a server said to each other; see the README beside the files.
struct Recording {
    client: &'static [u8],
    server: &'static [u8],
}

const MSC: Recording = Recording {
    client: include_bytes!("../../usbip-proto/tests/data/msc.c2s.bin"),
    server: include_bytes!("../../usbip-proto/tests/data/msc.s2c.bin"),
};

const ZERO: Recording = Recording {
    client: include_bytes!("../../usbip-proto/tests/data/zero.c2s.bin"),
    server: include_bytes!("../../usbip-proto/tests/data/zero.s2c.bin"),
};

/// What QEMU and our host said to each other while SeaBIOS booted.
const BOOT_GUEST: &[u8] = include_bytes!("../../usbredir-proto/tests/data/xhci.g2h.bin");
const BOOT_HOST: &[u8] = include_bytes!("../../usbredir-proto/tests/data/xhci.h2g.bin");

const REQ_IMPORT: usize = 40;
const REP_IMPORT: usize = 320;

/// All seeds.
pub fn all() -> Vec<Seed> {
    let seed = |target, name, bytes| Seed {
        target,
        name,
        bytes,
    };
    let (msc, zero) = (MSC.client_messages(), ZERO.client_messages());
    let msc_replies = MSC.server_messages(&msc);
    let high = device(Speed::High);
    let fast = device(Speed::Super);
    let mut flat = high.device.to_vec();
    flat.extend(&high.configurations[0]);
    flat.extend(high.qualifier.iter().flatten());
    high.strings
        .iter()
        .for_each(|string| flat.extend(&string.descriptor));
    let mut superspeed = fast.configurations[0].to_vec();
    superspeed.extend(fast.bos.iter().flatten());
    let list = [
        &[0x01, 0x11, 0x00, 0x05, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &record(2),
    ]
    .concat();
    // 200 bytes at a time.
    let slowly = [0, 0, 0, 199, 0, 0].repeat(12);
    let mut all = vec![
        seed("uas_device", "composed", join(&any(23, 800), &[])),
        seed("uas_device", "orderly", orderly(0)),
        seed("uas_device", "orderly-streams", orderly(1)),
        seed("bot_device", "many-blocks", many_blocks()),
        seed("bot_device", "composed", join(&any(20, 800), &[])),
        seed("bot_device", "recorded", wrappers(&msc)),
        seed("control_endpoint", "good-device", join(&any(2, 600), &[])),
        seed("control_endpoint", "raw-device", join(&any(3, 600), &flat)),
        seed("descriptors", "gadget", answers(&msc, &msc_replies)),
        seed("descriptors", "high-speed", flat.clone()),
        seed(
            "descriptors",
            "other-speed",
            high.other_speed_configurations[0].to_vec(),
        ),
        seed("descriptors", "superspeed", superspeed),
        seed("enumerator", "good-device", join(&[], &[])),
        seed("enumerator", "raw-answers", join(&any(4, 200), &flat)),
        seed("enumerator", "wrong-bytes", join(&[9; 100], &[])),
        seed("usbip_client", "composed", join(&any(153, 800), &[])),
        seed("usbip_client", "control", client(1, &msc_replies[0])),
        seed(
            "usbip_client",
            "isochronous",
            client(2, &isochronous_reply()),
        ),
        seed("usbip_handshake", "import", join(&[0, 2], &import())),
        seed(
            "usbip_handshake",
            "import-odd",
            join(&[0, 2], &odd_import()),
        ),
        seed(
            "usbip_handshake",
            "import-request",
            join(&[], &MSC.client[..REQ_IMPORT]),
        ),
        seed("usbip_handshake", "list", join(&[0, 1], &list)),
        seed(
            "usbip_handshake",
            "list-request",
            join(&[], &[1, 0x11, 0x80, 5, 0, 0, 0, 0]),
        ),
        seed(
            "usbip_handshake",
            "refusal",
            join(&[0, 2], &[1, 0x11, 0, 3, 0, 0, 0, 4]),
        ),
        seed("usbip_server", "composed", join(&any(14, 800), &[])),
        seed("usbip_server", "disk", join(&slowly, &msc[8..20].concat())),
        seed("usbip_server", "enumeration", join(&[], &msc[..8].concat())),
        seed(
            "usbip_server",
            "isochronous",
            join(&[], &zero[12..].concat()),
        ),
        seed("usbip_server", "unlink", join(&[], &unlinked(&msc))),
        seed(
            "usbip_server",
            "unlink-early",
            join(&[], &unlinked_early(&msc)),
        ),
        seed("vhci_status", "one-controller", STATUS.into()),
        seed(
            "vhci_status",
            "unknown-hub",
            b"hub port\nxs  0000 004".into(),
        ),
    ];
    all.extend(initiators());
    all.extend(functions());
    all.extend(redirected());
    all
}

/// Hosts of disks.
fn initiators() -> [Seed; 5] {
    let after = |streams| [&[streams][..], HONEST].concat();
    let seed = |target, name, choices: &[u8]| Seed {
        target,
        name,
        bytes: join(choices, &[]),
    };
    [
        seed("initiator", "composed", &any(5, 800)),
        seed("initiator", "honest", HONEST),
        seed("uas_initiator", "composed", &any(154, 800)),
        seed("uas_initiator", "streams", &after(1)),
        seed("uas_initiator", "without-streams", &after(0)),
    ]
}

/// A good device with something of everything: bulk and interrupt endpoints, an alternate setting,
/// strings, and what belongs to its speed.
pub fn device(speed: Speed) -> DeviceDescriptors {
    let device = Device::new(0x1209, 0x0001)
        .product_string(1)
        .serial_string(2);
    let endpoint = |address| Endpoint::bulk(EndpointAddress::from_byte(address));
    let mut configuration = Configuration::new(1).max_power(100).remote_wakeup();
    let storage = Interface::new(0, ClassCode::MASS_STORAGE_BULK_ONLY);
    let setting = Interface::new(1, ClassCode::new(0xff, 0, 0));
    // Low speed has no bulk endpoints.
    configuration = if speed == Speed::Low {
        let plain = Interface::new(0, ClassCode::new(0xff, 0, 0));
        configuration.interface(plain).interface(setting)
    } else {
        configuration
            .interface(storage.endpoint(endpoint(0x81)).endpoint(endpoint(0x02)))
            .interface(setting.clone())
            .interface(setting.alternate_setting(1).endpoint(endpoint(0x83)))
    };
    let mut all = DeviceDescriptors::new(speed, device.to_bytes(speed));
    let bytes = configuration.to_bytes(speed).expect("it can be built");
    all.configurations.push(bytes.into());
    if let Speed::Full | Speed::High = speed {
        all.qualifier = Some(device.to_qualifier_bytes().to_vec().into());
        let bytes = configuration.to_other_speed_bytes(Speed::Full);
        all.other_speed_configurations
            .push(bytes.expect("it can be built").into());
    }
    all.bos = build::bos(speed).map(Bytes::from_static);
    all.add_string(1, "A device").expect("a short text");
    all.add_string(2, "0123456789AB").expect("a short text");
    all
}

/// Two controllers' worth of a `status` file.
const STATUS: &str = "\
hub port sta spd dev      sockfd local_busid
hs  0000 006 003 00010002 000003 1-1
hs  0001 004 000 00000000 000000 0-0
hs  0002 005 000 00000000 000000 0-0
ss  0003 004 000 00000000 000000 0-0
ss  0004 006 005 00020003 000004 2-1
";

/// As `split` cuts it.
fn join(choices: &[u8], stream: &[u8]) -> Vec<u8> {
    let count = u16::try_from(choices.len()).expect("few choices");
    [&count.to_be_bytes()[..], choices, stream].concat()
}

/// Choices for `uas_orderly`, at high speed or at SuperSpeed.
fn orderly(speed: u8) -> Vec<u8> {
    join(&[&[speed, 1, 0][..], &any(31, 900)].concat(), &[])
}

/// Choices for `bot_device` with disks of many blocks.
fn many_blocks() -> Vec<u8> {
    join(&[&[0x1d][..], &any(32, 800)].concat(), &[])
}

/// Of usbredir's two ends.
fn redirected() -> [Seed; 5] {
    let seed = |target, name, bytes| Seed {
        target,
        name,
        bytes,
    };
    [
        seed(
            "usbredir_guest",
            "boot",
            join(&[0, 0, 0, 0, 0x80, 0, 0, 0, 0, 3, 0x81], BOOT_HOST),
        ),
        seed("usbredir_guest", "pieces", pieces()),
        seed("usbredir_host", "boot", join(&[0], BOOT_GUEST)),
        seed(
            "usbredir_host",
            "after-a-hello",
            join(&[1], &BOOT_GUEST[80..]),
        ),
        seed("usbredir_host", "pulled", pulled()),
    ]
}

/// The device is pulled while a request, of its configuration, is on its way to it.
fn pulled() -> Vec<u8> {
    let request = [7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let mut choices = Choices(vec![1]);
    choices.numbers(&[3]);
    choices.0.push(0xff);
    choices.numbers(&[request.len() as u16 - 1]);
    join(&choices.0, &request)
}

/// A transfer OUT goes in pieces, another waits for it, and the first is cancelled at the third.
fn pieces() -> Vec<u8> {
    let (hello, mut stream) = usbredir::introduction();
    let mut choices = Choices(vec![1]);
    let whole = stream.len() / 100;
    (0..whole).for_each(|_| choices.numbers(&[5, 99]));
    choices.numbers(&[5, (stream.len() % 100) as u16 - 1]);
    let replies = [(1, 64_512), (2, 1024), (3, 0), (4, 6)];
    let replies = replies.map(|(id, length)| usbredir::taken(&hello, id, length));
    let behind = |reply: &[u8]| reply.len() as u16 - 1;
    for (kind, reply) in [6, 4].into_iter().zip(&replies) {
        choices.numbers(&[0, kind]);
        choices.0.push(2);
        choices.numbers(&[behind(reply)]);
    }
    choices.numbers(&[2, 0, behind(&replies[2]), 5, behind(&replies[3])]);
    stream.extend(replies.concat());
    join(&choices.0, &stream)
}

/// As `Decisions` reads them.
struct Choices(Vec<u8>);

impl Choices {
    fn numbers(&mut self, numbers: &[u16]) {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        self.0.extend(bytes);
    }
}

/// Of the targets of simulated devices.
fn functions() -> impl Iterator<Item = Seed> {
    let inputs = [
        ("audio", "composed", 0),
        ("audio", "loopback", 1),
        ("hid", "keyboard", 0),
        ("hid", "mouse", 1),
        ("hid", "tablet", 2),
        ("serial", "composed", 0),
        ("serial", "loopback", 1),
    ];
    (21..)
        .zip(inputs)
        .map(|(number, (target, name, device))| Seed {
            target,
            name,
            bytes: which(device, &join(&any(number, 900), &[7; 2000])),
        })
}

/// An input of a target with several devices.
fn which(device: u8, input: &[u8]) -> Vec<u8> {
    [&[device], input].concat()
}

/// Some choices; the numbers were picked for runs that last.
fn any(number: u32, count: usize) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f));
    let states = std::iter::successors(next(&number), next);
    states
        .map(|state| (state >> 24) as u8)
        .take(count)
        .collect()
}

/// Three transfers of 4096 bytes IN of a kind, and a reply to the first of them: choices for
/// `choices::transfer`, each number below some count in two bytes.
fn client(kind: u8, reply: &[u8]) -> Vec<u8> {
    let mut choices = Vec::new();
    for _ in 0..3 {
        // Length, direction and endpoint; the kind, with four packets or GET_DESCRIPTOR(device);
        // flags and interval.
        choices.extend([0, 4, 0, 0x81, 0, kind]);
        if kind == 2 {
            choices.extend([0, 4, 0, 0]);
        } else {
            choices.extend([0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]);
        }
        choices.extend([0, 0]);
    }
    let mut reply = reply.to_vec();
    reply[4..8].copy_from_slice(&1_u32.to_be_bytes());
    join(&choices, &reply)
}

/// Four packets of 1024 bytes, of which the last is short.
fn isochronous_reply() -> Vec<u8> {
    let header = Header {
        command: crate::urb::RET_SUBMIT,
        length: 3172,
        packets: 4,
        interval: 1,
        ..Header::default()
    };
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    bytes.resize(bytes.len() + 3172, 0xaa);
    for at in 0..4 {
        let packet = Packet {
            offset: at * 1024,
            length: 1024,
            actual: if at == 3 { 100 } else { 1024 },
            status: if at == 3 { -121 } else { 0 },
        };
        packet.put(&mut bytes);
    }
    bytes
}

/// One that is out, and one that is not.
fn unlinked(msc: &[Vec<u8>]) -> Vec<u8> {
    let [unlink_out, unlink_unknown] = [unlink(0x100, &msc[2]), unlink(0x101, &msc[0])];
    [&msc[2][..], &unlink_out, &unlink_unknown].concat()
}

/// Before what they unlink: one comes, the other is passed.
fn unlinked_early(msc: &[Vec<u8>]) -> Vec<u8> {
    let [comes, passed] = [unlink(0x100, &msc[3]), unlink(0x101, &msc[4])];
    [&msc[2][..], &comes, &passed, &msc[3], &msc[5]].concat()
}

fn unlink(seqnum: u32, target: &[u8]) -> Vec<u8> {
    let target = Header::read(target).expect("a request").seqnum;
    let header = Header {
        command: crate::urb::CMD_UNLINK,
        seqnum,
        word: target,
        ..Header::default()
    };
    let mut bytes = Vec::new();
    header.put(&mut bytes);
    bytes
}

/// The command wrappers of a recording, each with a read of its data, what the store does, and a
/// read of the status: choices for `bot_device`, each number below some count in two bytes.
fn wrappers(requests: &[Vec<u8>]) -> Vec<u8> {
    let payloads = requests.iter().map(|request| &request[HEADER..]);
    let wrappers: Vec<_> = payloads.filter(|payload| payload.len() == 31).collect();
    let mut choices = vec![0];
    for wrapper in &wrappers {
        choices.extend([0, 5, 0, 31]);
        // READ(10), in the first blocks.
        if wrapper[15] == 0x28 && wrapper[17..20] == [0; 3] && wrapper[20] < 64 {
            choices.extend([0, 18, 0, 13, 0, 0]);
        }
        if wrapper[8..12] != [0; 4] {
            choices.extend([0, 6, 0, 8, 0, 3]);
        }
        choices.extend([0, 6, 0, 0, 0, 0]);
    }
    join(&choices, &wrappers.concat())
}

/// Choices for `initiator`, and behind one for `uas_initiator`: a write of 3 blocks, a flush, a read of 3, and later one of 2.
const HONEST: &[u8] = &[
    0, 2, 0, 3, 0, 10, 0, 0, 0, 0, 0xa5, 0, 3, 0, 0, 0, 3, 0, 10, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0,
    0, 10, 0, 0, 0, 10, 0, 0, 0, 2, 0, 11, 0, 0,
];

/// The device of the recording's import, named 1-1, with some interfaces.
fn record(interfaces: u8) -> Vec<u8> {
    let mut record = MSC.server[8..REP_IMPORT].to_vec();
    record[256..288].fill(0);
    record[256..259].copy_from_slice(b"1-1");
    record[311] = interfaces;
    (0..interfaces).for_each(|_| record.extend([8, 6, 0x50, 0]));
    record
}

fn import() -> Vec<u8> {
    [&MSC.server[..8], &record(0)].concat()
}

/// An import whose path is no text and does not end, and which states interfaces that it does not
/// carry.
fn odd_import() -> Vec<u8> {
    let mut import = import();
    import[8..8 + 256].fill(0xff);
    import[8 + 311] = 2;
    import
}

/// The descriptors that a recorded device answered with, one after the other.
fn answers(requests: &[Vec<u8>], replies: &[Vec<u8>]) -> Vec<u8> {
    let descriptors = requests.iter().zip(replies).filter(|(request, _)| {
        let header = Header::read(request).expect("a request");
        header.endpoint == 0 && header.setup[1] == 6 && header.setup[3] != DescriptorType::STRING.0
    });
    descriptors
        .flat_map(|(_, reply)| reply[HEADER..].to_vec())
        .collect()
}

impl Recording {
    /// The client's requests.
    fn client_messages(&self) -> Vec<Vec<u8>> {
        messages(&self.client[REQ_IMPORT..], |header, _| {
            let is_out = header.direction == crate::urb::OUT;
            if is_out { header.length as usize } else { 0 }
        })
    }

    /// The server's replies, which come in the order of the requests.
    fn server_messages(&self, requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
        messages(&self.server[REP_IMPORT..], |header, at| {
            let request = Header::read(&requests[at]).expect("a request");
            assert_eq!(request.seqnum, header.seqnum);
            let is_in = request.direction == crate::urb::IN;
            if is_in { header.length as usize } else { 0 }
        })
    }
}

/// Cuts a stream into messages; `payload` gives the length of what follows a header.
fn messages(mut stream: &[u8], payload: impl Fn(&Header, usize) -> usize) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(header) = Header::read(stream) {
        let payload = payload(&header, messages.len());
        let (message, rest) = stream.split_at(HEADER + payload + header.packet_count() * PACKET);
        messages.push(message.to_vec());
        stream = rest;
    }
    messages
}
