//! What this workspace is compared with: a server as one writes it first. It copies payloads out
//! of what it received into a vector each, and replies into one vector, as does the device.

use std::hint::black_box;

use crate::{Server, Urb};

/// The server with its device.
#[derive(Debug)]
pub struct Copying {
    rx: Vec<u8>,
    tx: Vec<u8>,
    store: Vec<u8>,
}

struct Submit {
    seqnum: u32,
    is_in: bool,
    length: usize,
    payload: Vec<u8>,
}

impl Copying {
    /// A server of a device that brings these bytes.
    pub fn new(store: Vec<u8>) -> Self {
        Self {
            rx: Vec::new(),
            tx: Vec::new(),
            store,
        }
    }

    fn device(&self, submit: &Submit) -> Vec<u8> {
        if submit.is_in {
            self.store[..submit.length].to_vec()
        } else {
            black_box(submit.payload.as_ptr());
            Vec::new()
        }
    }

    fn reply(&mut self, submit: &Submit, data: &[u8]) {
        let words = [
            3,
            submit.seqnum,
            0,
            0,
            0,
            0,
            submit.length as u32,
            0,
            0,
            0,
            0,
            0,
        ];
        self.tx.reserve(words.len() * 4 + data.len());
        for word in words {
            self.tx.extend_from_slice(&word.to_be_bytes());
        }
        self.tx.extend_from_slice(data);
    }
}

impl Server for Copying {
    fn bring(&mut self, urb: &Urb, count: usize) {
        for _ in 0..count {
            self.rx.extend_from_slice(&urb.message);
        }
    }

    fn serve(&mut self) {
        let rx = std::mem::take(&mut self.rx);
        let mut at = 0;
        while let Some(header) = rx.get(at..at + 48) {
            let word = |index: usize| {
                let bytes = header[index * 4..][..4].try_into();
                u32::from_be_bytes(bytes.expect("four bytes"))
            };
            assert_eq!((word(0), word(2)), (1, 0), "CMD_SUBMIT to device 0");
            let (is_in, length) = (word(3) == 1, word(6) as usize);
            at += 48;
            let payload = if is_in { &[] } else { &rx[at..at + length] };
            at += payload.len();
            let submit = Submit {
                seqnum: word(1),
                is_in,
                length,
                payload: payload.to_vec(),
            };
            let data = self.device(&submit);
            self.reply(&submit, &data);
        }
        assert_eq!(at, rx.len(), "whole messages");
        // Written.
        black_box(self.tx.as_ptr());
        self.tx.clear();
        self.rx = rx;
        self.rx.clear();
    }
}
