//! A guest and its user, with a host whose packets are written one by one.

use bytes::{Buf, BytesMut};
use usb_descriptors::SetupPacket;
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, IsoPacket, Kind, Payload, Status, Transfer,
    TransferId, TransferIds, TxQueue, Wire,
};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role};
use usbredir_proto::{Capabilities, Guest, GuestState, Host, Limits, Options};

use super::{ISO_IN, address, descriptors};

/// A guest with its user, and a host that says what the test wants.
pub struct Bench {
    pub guest: Guest,
    pub host: Codec,
    pub ids: TransferIds,
    to_guest: BytesMut,
    from_guest: BytesMut,
}

/// What a real host says of the device.
pub fn introduction() -> Vec<Packet> {
    let mut host = Host::new(Options::default());
    host.attach(descriptors()).unwrap();
    let mut codec = Codec::new(Role::Guest, Capabilities::ALL, Limits::default());
    let mut tx = TxQueue::new();
    let hello = Packet::Hello(codec.hello("guest"));
    codec.encode(0, hello, &mut tx).unwrap();
    let mut hello = BytesMut::from(&tx.copy_to_bytes(tx.remaining())[..]);
    let _ = host.receive(&mut hello).unwrap();
    let tx = host.tx();
    let mut said = BytesMut::from(&tx.copy_to_bytes(tx.remaining())[..]);
    let mut packets = Vec::new();
    while let Decoded::Packet { packet, .. } = codec.decode(&mut said).unwrap() {
        packets.push(packet);
    }
    packets.split_off(1)
}

impl Bench {
    pub fn greeted(guest: Guest) -> Self {
        Self::greeted_by(guest, Capabilities::ALL)
    }

    /// By a host that can do so much.
    pub fn greeted_by(mut guest: Guest, capabilities: Capabilities) -> Self {
        assert!(guest.tx().has_remaining(), "a hello");
        let mut bench = Self {
            guest,
            host: Codec::new(Role::Host, capabilities, Limits::default()),
            ids: TransferIds::default(),
            to_guest: BytesMut::new(),
            from_guest: BytesMut::new(),
        };
        assert!(matches!(bench.heard()[..], [Packet::Hello(_)]));
        let hello = Packet::Hello(bench.host.hello("test"));
        bench.say(0, hello);
        bench
    }

    pub fn with(options: Options) -> Self {
        let mut bench = Self::greeted(Guest::new(options));
        assert!(bench.heard().is_empty());
        bench.introduce();
        assert_eq!(bench.guest.state(), GuestState::Attached);
        bench
    }

    pub fn new() -> Self {
        Self::with(Options::default())
    }

    pub fn introduce(&mut self) {
        for packet in introduction() {
            self.say(0, packet);
        }
    }

    pub fn say(&mut self, id: u64, packet: Packet) {
        let mut tx = TxQueue::new();
        self.host.encode(id, packet, &mut tx).unwrap();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.to_guest.extend_from_slice(&bytes);
        let _ = self.guest.receive(&mut self.to_guest).unwrap();
        assert!(self.to_guest.is_empty(), "nothing waits");
    }

    pub fn heard_with_ids(&mut self) -> Vec<(u64, Packet)> {
        let tx = self.guest.tx();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.from_guest.extend_from_slice(&bytes);
        let mut heard = Vec::new();
        while let Decoded::Packet { id, packet } = self.host.decode(&mut self.from_guest).unwrap() {
            heard.push((id, packet));
        }
        heard
    }

    pub fn heard(&mut self) -> Vec<Packet> {
        let heard = self.heard_with_ids().into_iter();
        heard.map(|(_, packet)| packet).collect()
    }

    /// The id of the one request that came of the last transfer.
    pub fn request(&mut self) -> u64 {
        let heard = self.heard_with_ids();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard[0].0
    }

    pub fn read(&mut self, endpoint: u8, length: u32) -> TransferId {
        let transfer = Transfer::data_in(self.ids.mint(), address(endpoint), length);
        self.submit(transfer)
    }

    pub fn submit(&mut self, transfer: Transfer) -> TransferId {
        let id = transfer.id;
        self.guest.submit(transfer);
        id
    }

    pub fn control(&mut self, setup: [u8; 8]) -> TransferId {
        let setup = SetupPacket::from_bytes(setup);
        let transfer = Transfer::control_in(self.ids.mint(), setup);
        self.submit(transfer)
    }

    pub fn iso(&mut self, endpoint: u8, packets: usize, interval: u32) -> TransferId {
        let all = (0..packets as u32).map(|at| IsoPacket::new(at * 10, 10));
        let length = packets as u32 * 10;
        let payload = if address(endpoint) == address(ISO_IN) {
            Payload::In { length }
        } else {
            Payload::Out((0..length as u8).collect::<Vec<u8>>().into())
        };
        let kind = Kind::Isochronous(all.collect());
        let transfer = Transfer::new(self.ids.mint(), address(endpoint), kind, payload);
        self.submit(transfer.with_interval(interval))
    }

    pub fn event(&mut self) -> Option<FunctionEvent> {
        self.guest.poll()
    }

    #[track_caller]
    pub fn completed(&mut self, id: TransferId) -> Completion {
        match self.event() {
            Some(FunctionEvent::Complete(completion)) if completion.id == id => completion,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn ends(&mut self, id: TransferId, status: Status) {
        assert_eq!(self.completed(id).status, status);
    }

    #[track_caller]
    pub fn brings(&mut self, id: TransferId, data: &[u8]) {
        let completion = self.completed(id);
        assert_eq!(completion.status, Status::COMPLETED);
        assert_eq!(bytes_of(&completion), data);
    }

    #[track_caller]
    pub fn is_quiet(&mut self) {
        assert_eq!(self.event(), None);
        assert_eq!(self.heard(), []);
    }
}

pub fn bytes_of(completion: &Completion) -> Vec<u8> {
    match &completion.actual {
        Actual::In(data) => data.clone().into_iter().flatten().collect(),
        Actual::Out(_) => panic!("{completion:?}"),
    }
}
