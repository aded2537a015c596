//! Requests and replies of a USB/IP session, written and read from the kernel's
//! `Documentation/usb/usbip_protocol.rst` and `drivers/usb/usbip/usbip_common.h`.

pub(crate) const CMD_SUBMIT: u32 = 1;
pub(crate) const CMD_UNLINK: u32 = 2;
pub(crate) const RET_SUBMIT: u32 = 3;
pub(crate) const RET_UNLINK: u32 = 4;

pub(crate) const OUT: u32 = 0;
pub(crate) const IN: u32 = 1;

/// Bytes of a header.
pub(crate) const HEADER: usize = 48;
/// Bytes of an isochronous packet.
pub(crate) const PACKET: usize = 16;

/// A header of any command; what a field means depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Header {
    pub(crate) command: u32,
    pub(crate) seqnum: u32,
    pub(crate) device: u32,
    pub(crate) direction: u32,
    pub(crate) endpoint: u32,
    /// Flags, status, or the request to unlink.
    pub(crate) word: u32,
    /// Bytes of the buffer, or bytes moved.
    pub(crate) length: i32,
    pub(crate) start_frame: i32,
    pub(crate) packets: i32,
    /// Interval, or packets with an error.
    pub(crate) interval: i32,
    pub(crate) setup: [u8; 8],
}

impl Header {
    /// The header at the start of `bytes`, if it is all there.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |index: usize| {
            let at = index * 4;
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(Self {
            command: word(0),
            seqnum: word(1),
            device: word(2),
            direction: word(3),
            endpoint: word(4),
            word: word(5),
            length: word(6) as i32,
            start_frame: word(7) as i32,
            packets: word(8) as i32,
            interval: word(9) as i32,
            setup: *bytes.last_chunk()?,
        })
    }

    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let words = [
            self.command,
            self.seqnum,
            self.device,
            self.direction,
            self.endpoint,
            self.word,
            self.length as u32,
            self.start_frame as u32,
            self.packets as u32,
            self.interval as u32,
        ];
        into.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        into.extend(self.setup);
    }

    /// How many isochronous packets there are; both 0 and −1 say none.
    pub(crate) fn packet_count(&self) -> usize {
        usize::try_from(self.packets).unwrap_or(0)
    }

    /// The status of a reply.
    pub(crate) fn status(&self) -> i32 {
        self.word as i32
    }
}

/// An isochronous packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Packet {
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) actual: u32,
    pub(crate) status: i32,
}

impl Packet {
    pub(crate) fn read_all(bytes: &[u8]) -> Vec<Self> {
        let word = |bytes: &[u8], at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        bytes
            .chunks_exact(PACKET)
            .map(|bytes| Self {
                offset: word(bytes, 0),
                length: word(bytes, 4),
                actual: word(bytes, 8),
                status: word(bytes, 12) as i32,
            })
            .collect()
    }

    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let words = [self.offset, self.length, self.actual, self.status as u32];
        into.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }
}
