//! How fast QEMU takes what a usbredir host sends, where nobody asked for it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::EndpointAddress;
use usb_transfer::TxQueue;
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Limits};

/// Bytes in all.
const TOTAL: usize = 32 << 20;

/// Sends replies that answer nothing, each with so much data, and prints in how many microseconds
/// QEMU has read them: it acknowledges the device's end, which comes behind them.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
pub(crate) fn measure(path: &str, each: &str) {
    let each: usize = each.parse().expect("bytes");
    let mut host = Host::greet(UnixStream::connect(path).expect("QEMU listens"));
    let data = Bytes::from(vec![0x5a; each]);
    let replies = (0..TOTAL / each).map(|_| Packet::Bulk {
        endpoint: EndpointAddress::from_byte(0x81),
        status: StatusCode::SUCCESS,
        stream: 0,
        length: each as u32,
        data: data.clone().into(),
    });
    let start = Instant::now();
    for (id, reply) in (1_u64 << 32..).zip(replies) {
        host.say(id, reply);
    }
    host.say(0, Packet::DeviceDisconnect);
    while host.hear() != Packet::DeviceDisconnectAck {}
    println!("{}", start.elapsed().as_micros());
}

struct Host {
    codec: Codec,
    socket: UnixStream,
    rx: BytesMut,
}

impl Host {
    fn greet(socket: UnixStream) -> Self {
        let codec = Codec::new(Role::Host, Capabilities::ALL, Limits::default());
        let hello = Packet::Hello(codec.hello("lab-probe"));
        let rx = BytesMut::new();
        let mut host = Self { codec, socket, rx };
        host.say(0, hello);
        while !matches!(host.hear(), Packet::Hello(_)) {}
        host
    }

    fn say(&mut self, id: u64, packet: Packet) {
        let mut tx = TxQueue::new();
        self.codec.encode(id, packet, &mut tx).expect("it fits");
        while tx.has_remaining() {
            let chunk = tx.chunk();
            self.socket.write_all(chunk).expect("QEMU reads");
            let length = chunk.len();
            tx.advance(length);
        }
    }

    fn hear(&mut self) -> Packet {
        loop {
            match self.codec.decode(&mut self.rx).expect("usbredir") {
                Decoded::Packet { packet, .. } => return packet,
                Decoded::Missing(missing) => {
                    let at = self.rx.len();
                    self.rx.resize(at + missing.get(), 0);
                    let count = self.socket.read(&mut self.rx[at..]).expect("QEMU answers");
                    assert_ne!(count, 0, "QEMU has left");
                    self.rx.truncate(at + count);
                }
            }
        }
    }
}
