//! A sound card behind the host of usbredir, as its guest says packet by packet.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use bytes::{Buf, BytesMut};
use host::{endpoint, options};
use usb_functions::AudioLoopback;
use usb_transfer::{Frame, Frontend, Function, TxQueue, Wire, exchange};
use usbredir_proto::codec::{Codec, Decoded, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Host, Limits, Options};

const OUT: u8 = 0x01;
const IN: u8 = 0x82;

struct Guest {
    codec: Codec,
    host: Host,
    audio: AudioLoopback,
    to_host: BytesMut,
    from_host: BytesMut,
    now: u64,
}

impl Guest {
    fn new() -> Self {
        let audio = AudioLoopback::new(options()).unwrap();
        let mut host = Host::new(Options::default());
        host.attach(audio.descriptors().clone()).unwrap();
        let mut guest = Self {
            codec: Codec::new(Role::Guest, Capabilities::ALL, Limits::default()),
            host,
            audio,
            to_host: BytesMut::new(),
            from_host: BytesMut::new(),
            now: 1000,
        };
        let hello = Packet::Hello(guest.codec.hello("test"));
        guest.say(hello);
        guest.heard();
        guest.say(Packet::SetConfiguration { value: 1 });
        for interface in [1, 2] {
            guest.say(Packet::SetAltSetting {
                interface,
                alternate: 1,
            });
        }
        guest.heard();
        guest
    }

    fn say(&mut self, packet: Packet) {
        let mut tx = TxQueue::new();
        self.codec.encode(1, packet, &mut tx).unwrap();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.to_host.extend_from_slice(&bytes);
        while !self.to_host.is_empty() {
            let _ = self.host.receive(&mut self.to_host).unwrap();
            exchange(&mut self.host, &mut self.audio);
        }
        exchange(&mut self.host, &mut self.audio);
    }

    fn heard(&mut self) -> Vec<Packet> {
        let tx = self.host.tx();
        let bytes = tx.copy_to_bytes(tx.remaining());
        self.from_host.extend_from_slice(&bytes);
        let mut heard = Vec::new();
        while let Decoded::Packet { packet, .. } = self.codec.decode(&mut self.from_host).unwrap() {
            heard.push(packet);
        }
        heard
    }

    fn start(&mut self, address: u8) {
        self.say(Packet::StartIsoStream {
            endpoint: endpoint(address),
            packets_per_transfer: 4,
            transfers: 2,
        });
        self.is_answered();
    }

    fn stop(&mut self, address: u8) {
        self.say(Packet::StopIsoStream {
            endpoint: endpoint(address),
        });
        self.is_answered();
    }

    fn is_answered(&mut self) {
        let heard = self.heard();
        let answers = heard.iter().filter_map(|packet| match packet {
            Packet::IsoStreamStatus { status, .. } => Some(*status),
            _ => None,
        });
        assert_eq!(answers.collect::<Vec<_>>(), [StatusCode::SUCCESS]);
    }

    /// Milliseconds pass, each with a packet to play. What was recorded in them.
    fn play(&mut self, from: u8, count: u8) -> Vec<u8> {
        let mut recorded = Vec::new();
        for sound in from..from + count {
            let data = vec![sound; 192];
            self.say(Packet::Iso {
                endpoint: endpoint(OUT),
                status: StatusCode::SUCCESS,
                length: 192,
                data: data.into(),
            });
            self.now += 8;
            if self.audio.next_frame().is_some() {
                self.audio.start_of_frame(Frame(self.now));
            }
            exchange(&mut self.host, &mut self.audio);
            for packet in self.heard() {
                if let Packet::Iso { data, status, .. } = packet {
                    assert_eq!(status, StatusCode::SUCCESS);
                    recorded.extend(data.to_bytes());
                }
            }
        }
        recorded
    }
}

/// Both streams run; one is stopped and begun again, and has a time of its own.
#[test]
fn a_stream_is_stopped_and_begun_again() {
    let mut guest = Guest::new();
    guest.audio.set_latency(10);
    guest.start(OUT);
    guest.start(IN);
    let recorded = guest.play(1, 60);
    let first = recorded.iter().position(|byte| *byte != 0).unwrap();
    for (at, sound) in recorded[first..].chunks(192).enumerate() {
        assert_eq!(sound, vec![at as u8 + 1; sound.len()], "packet {at}");
    }
    assert!(recorded.len() - first > 30 * 192, "{}", recorded.len());
    guest.stop(IN);
    assert_eq!(guest.play(61, 60), [], "nothing is recorded");
    guest.stop(OUT);
    guest.now += 8000;
    guest.start(IN);
    let again = guest.play(121, 20);
    assert!(again.len() <= 20 * 192, "{} bytes at once", again.len());
    assert!(!again.is_empty());
    assert!(
        again.iter().all(|byte| *byte == 0),
        "what was played before"
    );
    guest.host.detach();
    exchange(&mut guest.host, &mut guest.audio);
    assert_eq!(guest.audio.next_frame(), None, "nothing flows");
}
