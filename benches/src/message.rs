//! Requests as bytes (`Documentation/usb/usbip_protocol.rst` of the kernel).

/// One request, or the few that belong together.
#[derive(Clone, Debug)]
pub struct Urb {
    /// As the client sends it.
    pub message: Vec<u8>,
    /// Transfers in it.
    pub transfers: usize,
}

impl Urb {
    /// A bulk transfer to the device.
    pub fn bulk_out(payload: &[u8]) -> Self {
        let mut message = header(0, 2, payload.len());
        message.extend_from_slice(payload);
        Self {
            message,
            transfers: 1,
        }
    }

    /// A bulk transfer from the device.
    pub fn bulk_in(length: usize) -> Self {
        Self {
            message: header(1, 1, length),
            transfers: 1,
        }
    }

    /// SET_CONFIGURATION(1).
    pub fn configure() -> Self {
        Self::control([0, 9, 1, 0, 0, 0, 0, 0])
    }

    /// A control transfer without data.
    pub fn control(setup: [u8; 8]) -> Self {
        let mut message = header(0, 0, 0);
        message[40..].copy_from_slice(&setup);
        Self {
            message,
            transfers: 1,
        }
    }

    /// What a host plays and records in a millisecond: a packet each way.
    pub fn millisecond() -> Self {
        const BYTES: usize = 192;
        let mut packet = [0; 16];
        packet[4..8].copy_from_slice(&(BYTES as u32).to_be_bytes());
        let mut message = header(0, 1, BYTES);
        message.extend([7; BYTES]);
        message.extend(packet);
        let at = message.len();
        message.extend(header(1, 2, BYTES));
        message.extend(packet);
        for (number, at) in [(1_u32, 0), (2, at)] {
            message[at + 4..at + 8].copy_from_slice(&number.to_be_bytes());
            // One packet.
            message[at + 32..at + 36].copy_from_slice(&1_u32.to_be_bytes());
        }
        Self {
            message,
            transfers: 2,
        }
    }

    /// As many bytes each way, by bulk transfers.
    pub fn millisecond_of_bulk() -> Self {
        let mut message = Self::bulk_out(&[7; 192]).message;
        let at = message.len();
        message.extend(Self::bulk_in(192).message);
        message[at + 4..at + 8].copy_from_slice(&2_u32.to_be_bytes());
        Self {
            message,
            transfers: 2,
        }
    }

    /// A READ(10) from block 0: command wrapper, data and status.
    pub fn disk_read(length: usize) -> Self {
        let mut wrapper = b"USBC\x01\0\0\0".to_vec();
        wrapper.extend((length as u32).to_le_bytes());
        wrapper.extend([0x80, 0, 10, 0x28, 0, 0, 0, 0, 0, 0]);
        wrapper.extend(((length / 512) as u16).to_be_bytes());
        wrapper.resize(31, 0);
        let parts = [
            Self::bulk_out(&wrapper),
            Self::bulk_in(length),
            Self::bulk_in(13),
        ];
        let mut message = Vec::new();
        for (number, part) in (1_u32..).zip(parts) {
            let at = message.len();
            message.extend(part.message);
            message[at + 4..at + 8].copy_from_slice(&number.to_be_bytes());
        }
        Self {
            message,
            transfers: 3,
        }
    }
}

/// CMD_SUBMIT of request 1 to device 0.
fn header(direction: u32, endpoint: u32, length: usize) -> Vec<u8> {
    let words = [1, 1, 0, direction, endpoint, 0, length as u32, 0, 0, 0];
    let mut header: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    header.extend([0; 8]);
    header
}
