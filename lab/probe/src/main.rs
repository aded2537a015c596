//! Uses the periodic endpoints of a remote device as no driver does on demand: waits for interrupt
//! data, leaves isochronous transfers pending, cancels them, and insists that each transfer
//! completes once.
//!
//! `lab-probe hid DEVICE` asks a HID device for reports by its idle rate.
//! `lab-probe bulk-cancel DEVICE` cancels bulk IN transfers to which the device has nothing to say.
//! `lab-probe audio-cancel DEVICE` cancels isochronous OUT transfers that are pending.
//! `lab-probe audio-play DEVICE` waits until as many are completed.
//! `lab-probe loop-play DEVICE` plays and records, by USB/IP, with a card that hears itself: all comes back.
//! `lab-probe loop-unlink DEVICE` likewise, and cancels some of the transfers.
//! `lab-probe loop-limit DEVICE` likewise, and asks for more packets than a transfer may have.
//! `lab-probe chardev PATH BYTES` measures how fast QEMU's usb-redir reads packets of so many bytes.
//! `lab-probe corpus FILE SPEED` reads descriptors as sysfs has them, and builds them again.
//!
//! DEVICE is ADDR BUSID of a USB/IP server, or ADDR of a usbredir host. Each prints what it found.

mod chardev;
mod corpus;
mod loopback;
mod tape;
mod wiretap;

use std::collections::{BTreeSet, VecDeque};
use std::env;

use bytes::Bytes;
use examples::{Address, Host, HostError, Stream, StreamError};
use usb_descriptors::{
    DescriptorType, Direction, EndpointAddress, LanguageId, RequestType, SetupPacket, Speed,
    TransferType,
};
use usb_transfer::{
    Completion, DeviceDescriptors, Flags, Frontend, Function, HostEvent, IsoPacket, Kind, Payload,
    Status, Transfer, TransferId, TransferIds, Wire,
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let address = |text: &str| text.parse::<Address>().expect("an address");
    match &arguments[..] {
        [what, file, speed] if what == "corpus" => corpus::judge(file, speed),
        [what, path, bytes] if what == "chardev" => chardev::measure(path, bytes),
        [what, server, bus_id] => {
            let (server, bus_id) = (address(server), bus_id.parse().expect("a bus id"));
            match what.as_str() {
                "loop-play" => loopback::play(&server, bus_id),
                "loop-unlink" => loopback::unlink(&server, bus_id),
                "loop-limit" => loopback::limit(&server, bus_id),
                what => probe(what, Host::open(&server, bus_id)),
            }
        }
        [what, host] => {
            let socket = address(host).connect().expect("a host");
            probe(
                what,
                Host::take(Stream::new(socket).expect("a socket"), None),
            );
        }
        _ => panic!(
            "usage: lab-probe hid|bulk-cancel|audio-cancel|audio-play ADDR [BUSID], loop-play|loop-unlink|loop-limit ADDR BUSID, chardev PATH BYTES, or corpus FILE SPEED"
        ),
    }
}

fn probe<D: Wire + Function>(what: &str, host: Result<Host<D>, HostError>)
where
    HostError: From<StreamError<D::Error>>,
{
    let mut host = host.expect("a device");
    let device = host.enumerate().expect("descriptors");
    let mut probe = Probe {
        host,
        user: User::default(),
    };
    probe.control(SetupPacket::set_configuration(1));
    match what {
        "hid" => probe.hid(&device),
        "bulk-cancel" => probe.bulk_cancel(&device),
        "audio-cancel" => probe.audio_cancel(&device),
        "audio-play" => probe.audio_play(&device),
        other => panic!("no such probe: {other}"),
    }
}

struct Probe<D> {
    host: Host<D>,
    user: User,
}

/// An endpoint, and the interface with the setting that has it.
struct Found {
    interface: u8,
    setting: u8,
    endpoint: EndpointAddress,
    packet: u16,
    interval: u32,
}

fn find(device: &DeviceDescriptors, kind: TransferType, direction: Direction) -> Found {
    let configuration = device.configurations().next().expect("a configuration");
    for interface in configuration.interfaces() {
        for endpoint in interface.endpoints() {
            let address = endpoint.address();
            if endpoint.transfer_type() == kind && address.direction() == direction {
                return Found {
                    interface: interface.number(),
                    setting: interface.alternate_setting(),
                    endpoint: address,
                    packet: endpoint.max_packet_size(),
                    interval: endpoint.interval(device.speed),
                };
            }
        }
    }
    panic!("no such endpoint: {kind:?}");
}

/// A request that any device answers at once.
const ASK: SetupPacket =
    SetupPacket::get_descriptor(DescriptorType::DEVICE, 0, LanguageId::NONE, 18);

/// USB HID 1.11, 7.2.4: the device sends its state each 4 ms times `rate`; 0 for changes only.
fn set_idle(interface: u8, rate: u8) -> SetupPacket {
    SetupPacket {
        request_type: RequestType::CLASS_INTERFACE_OUT,
        request: 0x0a,
        value: u16::from(rate) << 8,
        index: interface.into(),
        length: 0,
    }
}

impl<D: Wire + Function> Probe<D>
where
    HostError: From<StreamError<D::Error>>,
{
    fn hid(&mut self, device: &DeviceDescriptors) {
        const REPORTS: usize = 20;
        const PENDING: usize = 8;
        let found = find(device, TransferType::Interrupt, Direction::In);
        self.control(set_idle(found.interface, 2));
        let submit = |user: &mut User| {
            let id = user.ids.mint();
            let transfer = Transfer::data_in(id, found.endpoint, found.packet.into());
            user.submit(transfer.with_interval(found.interval));
        };
        (0..REPORTS).for_each(|_| submit(&mut self.user));
        self.finish();
        let reports = self.user.take(Status::COMPLETED);
        assert!(reports.iter().all(|report| !report.actual.is_empty()));
        assert_eq!(reports.len(), REPORTS);

        self.control(set_idle(found.interface, 0));
        (0..PENDING).for_each(|_| submit(&mut self.user));
        // The answer shows that they have arrived.
        self.control(ASK);
        self.cancel_all();
        let late = self.user.take(Status::COMPLETED).len();
        let cancelled = self.user.take(Status::CANCELLED).len();
        assert_eq!((late + cancelled, self.user.done.len()), (PENDING, 0));
        println!("{REPORTS} reports, then {cancelled} pending cancelled and {late} more reports");
    }

    fn bulk_cancel(&mut self, device: &DeviceDescriptors) {
        const PENDING: usize = 4;
        let found = find(device, TransferType::Bulk, Direction::In);
        for _ in 0..PENDING {
            let id = self.user.ids.mint();
            let transfer = Transfer::data_in(id, found.endpoint, found.packet.into());
            self.user.submit(transfer);
        }
        // The answer shows that they have arrived.
        self.control(ASK);
        assert_eq!(self.user.done.len(), 0, "the device has something to say");
        self.cancel_all();
        let cancelled = self.user.take(Status::CANCELLED).len();
        assert_eq!((cancelled, self.user.done.len()), (PENDING, 0));
        self.control(ASK);
        println!("{cancelled} pending cancelled");
    }

    fn audio_cancel(&mut self, device: &DeviceDescriptors) {
        const PENDING: usize = 16;
        let found = self.open_audio(device);
        (0..PENDING).for_each(|_| self.play(&found, device.speed));
        // The answer shows that they have arrived.
        self.control(ASK);
        self.cancel_all();
        let counts = (
            self.user.take(Status::COMPLETED).len(),
            self.user.take(Status::CANCELLED).len(),
        );
        assert_eq!((counts.0 + counts.1, self.user.done.len()), (PENDING, 0));
        println!("{} completed, {} cancelled", counts.0, counts.1);
    }

    fn audio_play(&mut self, device: &DeviceDescriptors) {
        const TRANSFERS: usize = 64;
        let found = self.open_audio(device);
        for _ in 0..4 {
            (0..TRANSFERS / 4).for_each(|_| self.play(&found, device.speed));
            self.finish();
        }
        let done = self.user.take(Status::COMPLETED);
        let packets = done.iter().flat_map(|each| &each.packets);
        let failed = packets.filter(|packet| packet.status != Status::COMPLETED);
        println!(
            "{} of {TRANSFERS} completed, {} packets failed",
            done.len(),
            failed.count()
        );
        assert_eq!(done.len(), TRANSFERS);
    }

    fn open_audio(&mut self, device: &DeviceDescriptors) -> Found {
        let found = find(device, TransferType::Isochronous, Direction::Out);
        self.control(SetupPacket::set_interface(found.interface, found.setting));
        found
    }

    /// Ten packets.
    fn play(&mut self, found: &Found, speed: Speed) {
        const PACKETS: u32 = 10;
        assert_eq!(speed, Speed::Full, "the emulated sound card's");
        let length = u32::from(found.packet);
        let packets = (0..PACKETS).map(|at| IsoPacket::new(at * length, length));
        let transfer = Transfer::new(
            self.user.ids.mint(),
            found.endpoint,
            Kind::Isochronous(packets.collect()),
            Payload::Out(Bytes::from(vec![0; (PACKETS * length) as usize])),
        );
        let flags = Flags {
            iso_asap: true,
            ..Flags::default()
        };
        let transfer = transfer.with_interval(found.interval).with_flags(flags);
        self.user.submit(transfer);
    }

    /// A control request, which must succeed. Others may be pending.
    fn control(&mut self, setup: SetupPacket) {
        let id = self.user.ids.mint();
        self.user.submit(Transfer::control_in(id, setup));
        let find = |user: &mut User| {
            let at = user.done.iter().position(|each| each.id == id)?;
            user.done.remove(at)
        };
        let completion = self.host.drive(&mut self.user, find).expect("an answer");
        assert_eq!(completion.status, Status::COMPLETED, "{setup:?}");
    }

    fn cancel_all(&mut self) {
        let pending: Vec<TransferId> = self.user.pending.iter().copied().collect();
        pending.into_iter().for_each(|id| self.user.cancel(id));
        self.finish();
    }

    fn finish(&mut self) {
        let is_done =
            |user: &mut User| (user.pending() == 0 && user.queue.is_empty()).then_some(());
        self.host
            .drive(&mut self.user, is_done)
            .expect("completions");
    }
}

/// Submits what it is given and keeps what comes back.
#[derive(Default)]
struct User {
    ids: TransferIds,
    queue: VecDeque<HostEvent>,
    pending: BTreeSet<TransferId>,
    done: VecDeque<Completion>,
    /// The device may go.
    expects_end: bool,
}

impl User {
    fn submit(&mut self, transfer: Transfer) {
        self.pending.insert(transfer.id);
        self.queue.push_back(HostEvent::Submit(transfer));
    }

    fn cancel(&mut self, id: TransferId) {
        self.queue.push_back(HostEvent::Cancel(id));
    }

    fn take(&mut self, status: Status) -> Vec<Completion> {
        let (taken, rest) = self.done.drain(..).partition(|each| each.status == status);
        self.done = rest;
        taken.into()
    }
}

impl Frontend for User {
    fn poll(&mut self) -> Option<HostEvent> {
        self.queue.pop_front()
    }

    fn complete(&mut self, completion: Completion) {
        let known = self.pending.remove(&completion.id);
        assert!(known, "completed twice: {completion:?}");
        self.done.push_back(completion);
    }

    fn detach(&mut self) {
        assert!(self.expects_end, "the device is gone");
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }
}
