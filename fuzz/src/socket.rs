//! The socket of a wire under test: brings as much as there is room for, and watches what is taken.

use std::collections::VecDeque;

use bytes::BytesMut;
use usb_transfer::{Step, Wants, Wire};

pub(crate) struct Socket {
    /// On its way to the wire.
    pub(crate) incoming: VecDeque<u8>,
    rx: BytesMut,
    /// What the wire wanted last.
    pub(crate) wants: Wants,
    /// What the receive buffer may grow to.
    most_room: usize,
}

impl Socket {
    pub(crate) fn new(most_room: usize) -> Self {
        Self {
            incoming: VecDeque::new(),
            rx: BytesMut::new(),
            wants: Wants {
                read: None,
                write: false,
            },
            most_room,
        }
    }

    /// Brings some bytes, as far as there is room for them.
    pub(crate) fn read(&mut self, most: usize) {
        let room = match self.wants.read {
            Some(missing) => {
                let room = self.rx.capacity() - self.rx.len();
                assert!(room >= missing.get(), "there is room for what is wanted");
                room
            }
            None => 0,
        };
        let count = most.min(room).min(self.incoming.len());
        self.rx.extend(self.incoming.drain(..count));
    }

    /// Lets the wire receive. Beside the result: what there was, and how much of it was taken.
    pub(crate) fn receive<W: Wire>(
        &mut self,
        wire: &mut W,
    ) -> (Result<Step, W::Error>, Vec<u8>, usize) {
        let before = self.rx.to_vec();
        let result = wire.receive(&mut self.rx);
        let taken = before.len() - self.rx.len();
        assert_eq!(before[taken..], self.rx[..], "bytes go at the front only");
        let room = self.rx.capacity();
        assert!(room <= self.most_room, "{room} bytes of room");
        (result, before, taken)
    }
}
