//! A device that finishes transfers in any order and checks its frontend.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use usb_transfer::{
    Function, FunctionEvent, IsoPacket, Kind, Payload, Segments, Status, Transfer, TransferId,
};

use crate::Decisions;

/// Holds transfers until it is told to finish one. The data of the nth transfer that was submitted
/// is made from its endpoint and n, so that the other side can check that it got its own.
#[derive(Debug, Default)]
pub struct ModelDevice {
    pending: BTreeMap<TransferId, (usize, Transfer)>,
    events: VecDeque<FunctionEvent>,
    last_id: Option<TransferId>,
    /// What arrived OUT, and as which transfer, in order of arrival.
    pub received: Vec<(usize, Bytes)>,
    pub resets: usize,
    pub submitted: usize,
    pub cancels: usize,
}

impl ModelDevice {
    /// What the nth transfer carries or brings, at endpoint `number`.
    pub fn data(number: u8, ordinal: usize, length: usize) -> Vec<u8> {
        let [low, high, ..] = ordinal.to_le_bytes();
        let seed = number.wrapping_mul(31) ^ low.wrapping_mul(7) ^ high;
        let pattern = (0..=250).cycle().take(length);
        pattern.map(|at: u8| seed.wrapping_add(at)).collect()
    }

    /// What the nth transfer brings if it finishes undisturbed.
    pub fn answer(ordinal: usize, transfer: Transfer) -> usb_transfer::Completion {
        let number = transfer.endpoint.number();
        match (&transfer.kind, &transfer.payload) {
            (Kind::Isochronous(packets), payload) => {
                let full = |packet: &IsoPacket| IsoPacket {
                    actual: packet.length,
                    ..*packet
                };
                let packets: Vec<_> = packets.iter().map(full).collect();
                let sum = packets.iter().map(|packet| packet.actual as usize).sum();
                let data = match payload {
                    Payload::In { .. } => Segments::from(Self::data(number, ordinal, sum)),
                    Payload::Out(_) => Segments::new(),
                };
                transfer.complete_packets(packets, data)
            }
            (_, Payload::In { length }) => {
                let data = Self::data(number, ordinal, *length as usize);
                transfer.complete_in(data)
            }
            (_, Payload::Out(_)) => transfer.complete_out(),
        }
    }

    /// Finishes one of the pending transfers, if there is one.
    pub fn finish_one(&mut self, decisions: &mut Decisions<'_>) {
        let at = decisions.below(self.pending.len());
        let Some(id) = self.pending.keys().nth(at).copied() else {
            return;
        };
        if let Some((ordinal, transfer)) = self.pending.remove(&id) {
            let completion = Self::answer(ordinal, transfer);
            self.events.push_back(FunctionEvent::Complete(completion));
        }
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn end(&mut self, id: TransferId, status: Status) {
        if let Some((_, transfer)) = self.pending.remove(&id) {
            self.events
                .push_back(FunctionEvent::Complete(transfer.fail(status)));
        }
    }

    /// The device is pulled.
    pub fn unplug(&mut self) {
        let ids: Vec<_> = self.pending.keys().copied().collect();
        for id in ids {
            self.end(id, Status::DISCONNECTED);
        }
        self.events.push_back(FunctionEvent::Detached);
    }
}

impl Function for ModelDevice {
    fn submit(&mut self, transfer: Transfer) {
        assert!(
            self.last_id < Some(transfer.id),
            "ids are minted in sequence"
        );
        assert!(
            transfer.is_consistent(),
            "the frontend answers what disagrees itself"
        );
        self.last_id = Some(transfer.id);
        if let Payload::Out(data) = &transfer.payload {
            self.received.push((self.submitted, data.clone()));
        }
        self.pending.insert(transfer.id, (self.submitted, transfer));
        self.submitted += 1;
    }

    fn cancel(&mut self, id: TransferId) {
        self.cancels += 1;
        self.end(id, Status::CANCELLED);
    }

    fn reset(&mut self) {
        self.resets += 1;
        let ids: Vec<_> = self.pending.keys().copied().collect();
        for id in ids {
            self.end(id, Status::CANCELLED);
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front()
    }
}
