//! A host with its device, and a guest whose packets are written one by one.

use bytes::{Buf, BytesMut};
use usb_transfer::{Frontend, HostEvent, Transfer, TxQueue, Wire};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role};
use usbredir_proto::{Capabilities, Host, HostState, Limits, Options};

use super::descriptors;

/// A host, and a guest that says what the test wants.
pub struct HostBench {
    pub host: Host,
    pub guest: Codec,
    pub to_host: BytesMut,
    from_host: BytesMut,
}

impl HostBench {
    pub fn greeted(options: Options) -> Self {
        let guest = Codec::new(Role::Guest, Capabilities::ALL, Limits::default());
        let mut bench = Self {
            host: Host::new(options),
            guest,
            to_host: BytesMut::new(),
            from_host: BytesMut::new(),
        };
        assert!(matches!(bench.heard()[..], [(0, Packet::Hello(_))]));
        bench
    }

    /// With the device attached.
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    /// So too, with other limits.
    pub fn with(limits: Limits) -> Self {
        let mut options = Options::default();
        options.limits = limits;
        let mut bench = Self::greeted(options);
        bench.host.attach(descriptors()).unwrap();
        assert!(bench.heard().is_empty(), "nothing before the guest's hello");
        let hello = Packet::Hello(bench.guest.hello("test"));
        bench.say(0, hello);
        let heard = bench.heard();
        assert!(matches!(
            heard[..],
            [
                (0, Packet::InterfaceInfo(_)),
                (0, Packet::EndpointInfo(_)),
                (0, Packet::DeviceConnect(_))
            ]
        ));
        assert_eq!(bench.host.state(), HostState::Attached);
        bench
    }

    pub fn say(&mut self, id: u64, packet: Packet) {
        let mut tx = TxQueue::new();
        self.guest.encode(id, packet, &mut tx).unwrap();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.to_host.extend_from_slice(&bytes);
        let _ = self.host.receive(&mut self.to_host).unwrap();
    }

    pub fn heard(&mut self) -> Vec<(u64, Packet)> {
        let tx = self.host.tx();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.from_host.extend_from_slice(&bytes);
        let mut heard = Vec::new();
        while let Decoded::Packet { id, packet } = self.guest.decode(&mut self.from_host).unwrap() {
            heard.push((id, packet));
        }
        heard
    }

    pub fn submitted(&mut self) -> Transfer {
        match self.host.poll() {
            Some(HostEvent::Submit(transfer)) => transfer,
            other => panic!("{other:?}"),
        }
    }

    /// All that is asked of the device.
    pub fn all_submitted(&mut self) -> Vec<Transfer> {
        let events = std::iter::from_fn(|| self.host.poll());
        let submit = |event| match event {
            HostEvent::Submit(transfer) => transfer,
            other => panic!("{other:?}"),
        };
        events.map(submit).collect()
    }

    /// The one packet that came of it.
    pub fn reply(&mut self) -> (u64, Packet) {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }
}
