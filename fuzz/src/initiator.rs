//! The host's side of a disk by Bulk-Only Transport, and a device that answers what it likes.
//!
//! Invariants: transfers have new ids, and a completion that is not due changes nothing; it never
//! asks for ever; each request has exactly one result, at the latest after the end; the last event
//! is one reset; with a device that answers as it should, what was written is read back.

use std::collections::BTreeMap;

use bytes::Bytes;
use msc_bot::{
    BlockOp, BlockSize, BotDevice, BotOptions, Initiator, LogicalUnit, MassStorage, Ticket,
    UnitOptions,
};
use testkit::Decisions;
use usb_descriptors::{Direction, Speed};
use usb_transfer::{
    Completion, Frontend, FunctionEvent, HostEvent, Kind, Segments, Status, Transfer, TransferId,
};

use crate::{choices, split};

pub(crate) const BLOCKS: u64 = 600;
const BLOCK: usize = 512;

/// Runs the target: choices steer the embedder and how the device answers.
pub fn run(input: &[u8]) {
    let (decisions, _) = split(input);
    let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, BLOCKS));
    let device = BotDevice::new(BotOptions::new(Speed::High), [unit]).expect("a device");
    let host = Initiator::new(device.descriptors()).expect("a disk");
    run_with(decisions, host, device, answer);
}

/// Where bytes are asked for, often something that could be a status (BOT 1.0, table 5.3).
fn answer(decisions: &mut Decisions<'_>, transfer: &Transfer) -> Completion {
    let is_control = matches!(transfer.kind, Kind::Control(_));
    if is_control || transfer.payload.direction() == Direction::Out || decisions.chance() {
        return choices::completion(decisions, transfer);
    }
    let mut status = b"USBS".to_vec();
    status.extend([decisions.byte() % 40, 0, 0, 0]);
    status.extend([0, decisions.byte() % 4, 0, 0]);
    status.push(decisions.byte() % 4);
    transfer.clone().complete_in(status)
}

/// A device's answer to a transfer, whether it keeps its contract or not.
pub(crate) type Answer = fn(&mut Decisions<'_>, &Transfer) -> Completion;

pub(crate) fn run_with(
    decisions: Decisions<'_>,
    host: Initiator,
    device: impl MassStorage,
    answer: Answer,
) {
    let mut run = Run {
        decisions,
        host,
        device,
        answer,
        disk: vec![0x5a; BLOCKS as usize * BLOCK],
        pending: BTreeMap::new(),
        lost: Vec::new(),
        latest: None,
        tickets: BTreeMap::new(),
        is_honest: true,
        is_over: false,
    };
    while !run.decisions.is_empty() {
        run.step();
    }
    // With no more choices the device answers as it should.
    run.settle();
    run.end();
}

struct Run<'a, D> {
    decisions: Decisions<'a>,
    host: Initiator,
    /// What answers where nothing is made up.
    device: D,
    /// What makes it up.
    answer: Answer,
    disk: Vec<u8>,
    /// At the device.
    pending: BTreeMap<TransferId, Transfer>,
    /// Of these, the device knows nothing.
    lost: Vec<TransferId>,
    latest: Option<TransferId>,
    /// Requests without a result, with what a read is to bring.
    tickets: BTreeMap<Ticket, Option<Vec<u8>>>,
    /// Nothing was made up yet.
    is_honest: bool,
    is_over: bool,
}

impl<D: MassStorage> Run<'_, D> {
    fn step(&mut self) {
        match self.decisions.below(16) {
            0 | 1 => {
                let (lba, blocks) = self.extent();
                let ticket = self.host.read(lba, blocks);
                // What is asked for before it, and writes, is not done yet.
                let is_settled = self.tickets.values().all(Option::is_some) && lba < BLOCKS;
                let expected = is_settled.then(|| {
                    let at = lba as usize * BLOCK;
                    self.disk[at..at + blocks as usize * BLOCK].to_vec()
                });
                self.tickets.insert(ticket, expected);
            }
            2 => {
                let (lba, blocks) = self.extent();
                let odd = usize::from(choices::rarely(&mut self.decisions, 8));
                let data = vec![self.decisions.byte(); blocks as usize * BLOCK + odd];
                let ticket = self.host.write(lba, Bytes::from(data));
                self.tickets.insert(ticket, None);
            }
            3 => {
                let ticket = self.host.flush();
                self.tickets.insert(ticket, None);
            }
            4 => {
                let id = TransferId::from_u64(u64::from(self.decisions.byte()));
                if !self.pending.contains_key(&id) {
                    let before = self.host.pending();
                    let direction = usb_descriptors::Direction::In;
                    let completion = Completion::failed(id, direction, Status::COMPLETED);
                    self.host.complete(completion);
                    assert_eq!(self.host.pending(), before);
                }
            }
            5 if choices::rarely(&mut self.decisions, 8) => {
                self.is_honest = false;
                self.host.detach();
            }
            6 if choices::rarely(&mut self.decisions, 8) => {
                self.is_honest = false;
                self.host.close();
            }
            7 => {
                let at = self.decisions.below(self.pending.len());
                if let Some(id) = self.pending.keys().nth(at).copied() {
                    self.make_up(id);
                }
            }
            _ => {
                self.turn();
            }
        }
        self.results();
    }

    fn extent(&mut self) -> (u64, u32) {
        let blocks = self.decisions.below(300) as u32;
        let lba = self.decisions.below(BLOCKS as usize) as u64;
        if choices::rarely(&mut self.decisions, 16) {
            return (
                BLOCKS + u64::from(choices::word(&mut self.decisions)),
                blocks,
            );
        }
        (lba.min(BLOCKS - u64::from(blocks)), blocks)
    }

    /// One event of the host, and what the device does about it; true where there is nothing.
    fn turn(&mut self) -> bool {
        let event = self.host.poll();
        let mut is_quiet = event.is_none();
        match event {
            Some(HostEvent::Submit(transfer)) => {
                assert!(!self.is_over, "nothing follows the last event");
                assert!(transfer.is_consistent());
                assert!(
                    self.latest < Some(transfer.id),
                    "ids are minted in sequence"
                );
                self.latest = Some(transfer.id);
                self.pending.insert(transfer.id, transfer.clone());
                match self.decisions.below(16) {
                    // Never heard of; `make_up` may answer it.
                    12 => self.lost.push(transfer.id),
                    13..=15 => self.make_up(transfer.id),
                    _ => self.device.submit(transfer),
                }
            }
            Some(HostEvent::Cancel(id)) => {
                assert!(!self.is_over, "nothing follows the last event");
                self.device.cancel(id);
                if self.lost.contains(&id) {
                    self.make_up(id);
                }
            }
            Some(HostEvent::Reset) => {
                assert!(!self.is_over, "the last event comes once");
                self.is_over = true;
                self.device.reset();
            }
            Some(other) => panic!("an event this target does not know: {other:?}"),
            None => {}
        }
        assert_eq!(self.host.pending(), self.pending.len());
        while let Some(operation) = self.device.poll_block() {
            let result = self.serve(&operation);
            self.device.finish(operation.token(), Ok(result));
        }
        while let Some(FunctionEvent::Complete(completion)) = self.device.poll() {
            is_quiet = false;
            // Where something was made up, it is not pending any more.
            if self.pending.remove(&completion.id).is_some() {
                self.host.complete(completion);
            }
        }
        is_quiet
    }

    fn serve(&mut self, operation: &BlockOp) -> Segments {
        match operation {
            BlockOp::Read { offset, length, .. } => {
                let data = &self.disk[*offset as usize..][..*length as usize];
                return Segments::from(data.to_vec());
            }
            BlockOp::Write { offset, data, .. } => {
                self.disk[*offset as usize..][..data.len()].copy_from_slice(data);
            }
            BlockOp::Zero { offset, length, .. } => {
                self.disk[*offset as usize..][..*length as usize].fill(0);
            }
            BlockOp::Flush { .. } => {}
        }
        Segments::new()
    }

    /// Answers a transfer as it should not be.
    fn make_up(&mut self, id: TransferId) {
        if let Some(transfer) = self.pending.remove(&id) {
            self.is_honest = false;
            self.lost.retain(|lost| *lost != id);
            let completion = (self.answer)(&mut self.decisions, &transfer);
            self.host.complete(completion);
        }
    }

    fn results(&mut self) {
        while let Some((ticket, result)) = self.host.result() {
            let expected = self.tickets.remove(&ticket);
            let expected = expected.expect("one result for each request");
            if let (true, Some(expected), Ok(data)) = (self.is_honest, expected, result) {
                assert!(data.to_bytes() == expected, "what was written is read back");
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..20_000 {
            let is_quiet = self.turn();
            self.results();
            match self.lost.first().copied() {
                Some(id) if is_quiet => self.make_up(id),
                None if is_quiet => return,
                _ => {}
            }
        }
        panic!("it asks for ever");
    }

    fn end(&mut self) {
        if self.is_honest {
            assert!(self.tickets.is_empty(), "all that was asked for is done");
            assert_eq!(self.host.error(), None);
        }
        self.host.close();
        self.settle();
        assert!(self.is_over, "the last event came");
        assert!(self.tickets.is_empty(), "every request has a result");
        assert!(self.host.poll().is_none());
        let ticket = self.host.read(0, 1);
        let (done, result) = self.host.result().expect("refused at once");
        assert!(done == ticket && result.is_err());
        assert_eq!(self.host.pending(), 0);
    }
}
