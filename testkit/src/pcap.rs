//! A conversation as a capture file that Wireshark reads.

/// Records a TCP conversation in the pcap format (`draft-ietf-opsawg-pcap`), link type 101: raw
/// IPv4. Addresses, ports but the server's, and times are made up.
#[derive(Debug)]
pub struct Pcap {
    file: Vec<u8>,
    server_port: u16,
    /// The next sequence number of client and server.
    sequence: [u32; 2],
    packets: u32,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Client,
    Server,
}

const LINKTYPE_RAW: u32 = 101;
const SEGMENT: usize = 16 << 10;

const FIN: u8 = 1;
const SYN: u8 = 2;
const PUSH: u8 = 8;
const ACK: u8 = 16;

impl Pcap {
    /// A conversation that starts.
    pub fn new(server_port: u16) -> Self {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x4_0000, LINKTYPE_RAW] {
            file.extend_from_slice(&u32::to_le_bytes(word));
        }
        let mut pcap = Self {
            file,
            server_port,
            sequence: [1000, 2000],
            packets: 0,
        };
        pcap.packet(Sender::Client, SYN, &[]);
        pcap.packet(Sender::Server, SYN | ACK, &[]);
        pcap.packet(Sender::Client, ACK, &[]);
        pcap
    }

    /// Somebody sends.
    pub fn send(&mut self, sender: Sender, bytes: &[u8]) {
        for segment in bytes.chunks(SEGMENT) {
            self.packet(sender, PUSH | ACK, segment);
        }
    }

    /// The capture file.
    pub fn finish(mut self) -> Vec<u8> {
        self.packet(Sender::Client, FIN | ACK, &[]);
        self.packet(Sender::Server, FIN | ACK, &[]);
        self.file
    }

    fn packet(&mut self, sender: Sender, flags: u8, payload: &[u8]) {
        let (from, to) = match sender {
            Sender::Client => (0, 1),
            Sender::Server => (1, 0),
        };
        let ports = [40_000, self.server_port];
        let length = u16::try_from(40 + payload.len()).expect("segments are short");
        let mut packet = Vec::with_capacity(usize::from(length));
        // RFC 791, without a checksum.
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend_from_slice(&[10, 0, 0, 1 + from]);
        packet.extend_from_slice(&[10, 0, 0, 1 + to]);
        // RFC 9293, without a checksum.
        packet.extend_from_slice(&ports[usize::from(from)].to_be_bytes());
        packet.extend_from_slice(&u16::to_be_bytes(ports[usize::from(to)]));
        packet.extend_from_slice(&self.sequence[usize::from(from)].to_be_bytes());
        let acknowledged = match flags & ACK {
            0 => 0,
            _ => self.sequence[usize::from(to)],
        };
        packet.extend_from_slice(&acknowledged.to_be_bytes());
        packet.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        let counted = u32::try_from(payload.len()).expect("segments are short");
        let counted = counted + u32::from(flags & (SYN | FIN) != 0);
        let sequence = &mut self.sequence[usize::from(from)];
        *sequence = sequence.wrapping_add(counted);
        // A packet each millisecond.
        let length = u32::from(length);
        for word in [
            self.packets / 1000,
            self.packets % 1000 * 1000,
            length,
            length,
        ] {
            self.file.extend_from_slice(&word.to_le_bytes());
        }
        self.packets += 1;
        self.file.extend_from_slice(&packet);
    }
}
