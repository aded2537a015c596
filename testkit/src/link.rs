//! One direction of a byte stream that cuts where it likes.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use usb_transfer::TxQueue;

use crate::Decisions;

/// Bytes on their way: taken from a queue in part, delivered in part.
#[derive(Debug, Default)]
pub struct Link {
    bytes: VecDeque<u8>,
}

impl Link {
    /// Takes some of what is queued, as a socket does that is nearly full, and tells what it took.
    pub fn write(&mut self, tx: &mut TxQueue, decisions: &mut Decisions<'_>) -> Vec<u8> {
        let mut taken = Vec::new();
        while tx.has_remaining() {
            let chunk = tx.chunk();
            let count = if decisions.chance() {
                chunk.len()
            } else {
                decisions.below(chunk.len()) + 1
            };
            self.bytes.extend(&chunk[..count]);
            taken.extend_from_slice(&chunk[..count]);
            tx.advance(count);
            if decisions.chance() {
                break;
            }
        }
        taken
    }

    /// Delivers some of what is on its way.
    pub fn read(&mut self, rx: &mut BytesMut, decisions: &mut Decisions<'_>) {
        let all = decisions.chance();
        let count = if all {
            self.bytes.len()
        } else {
            decisions.below(self.bytes.len() + 1)
        };
        let bytes: Vec<u8> = self.bytes.drain(..count).collect();
        rx.extend_from_slice(&bytes);
    }

    /// Puts bytes on their way.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
