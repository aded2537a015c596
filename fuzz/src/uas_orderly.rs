//! A host that keeps the rules of USB Attached SCSI, for a device whose store finishes late, out of
//! order or with an error.
//!
//! What a block holds says which it is, so that whatever is moved says where it belongs. Invariants:
//! data is that of the command it was asked for, from its first byte on, and lands where it should;
//! a command that is not aborted has one status, and a good one when all its data was moved; what
//! was given for a command is over when it is; no operation is at a unit's store beside one that an
//! ordered command must wait for, or one of before an abort or a reset; task management answers what
//! is so; and every command ends once the host does its part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use bytes::Bytes;
use msc_bot::{
    BlockError, BlockOp, BlockSize, BlockToken, BotOptions, LogicalUnit, UasDevice, UnitOptions,
};
use testkit::Decisions;
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_transfer::{
    Actual, Completion, Function, FunctionEvent, Kind, Segments, Status, StreamId, Transfer,
    TransferId, TransferIds,
};

use crate::store::bounded;
use crate::uas_device::{COMMAND, DATA_IN, DATA_OUT, STATUS};

const BLOCK: usize = 512;
/// Each tag has blocks of its own: two pieces of a store's operation, and some.
const BLOCKS_OF_TAG: usize = 2 * 2048 + 100;
const TAGS: u16 = 31;
/// The tag of task management.
const MANAGEMENT: u16 = TAGS + 1;
const UNITS: u8 = 2;

const HEAD_OF_QUEUE: u8 = 1;
const ORDERED: u8 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Request,
    Status,
    Data(u16),
}

/// A command whose status has not come.
#[derive(Debug)]
struct Command {
    unit: u8,
    attribute: u8,
    /// The place in the order of all commands.
    number: u64,
    /// None has no data.
    direction: Option<Direction>,
    first: usize,
    /// Bytes of its data, and of these, moved.
    length: usize,
    moved: usize,
    /// The host is to move data.
    is_ready: bool,
    /// What was given for it, with what each has room for.
    given: VecDeque<(TransferId, usize)>,
    /// The device has ended its data.
    is_short: bool,
    /// The store has failed it.
    has_failed: bool,
}

impl Command {
    fn missing(&self) -> usize {
        if self.is_short {
            return 0;
        }
        let given: usize = self.given.iter().map(|(_, room)| room).sum();
        self.length - self.moved - given
    }
}

struct Run<'a> {
    decisions: Decisions<'a>,
    device: UasDevice,
    has_streams: bool,
    /// The store may fail.
    may_fail: bool,
    ids: TransferIds,
    pending: BTreeMap<TransferId, What>,
    /// Transfers that were submitted, and completions.
    moves: u64,
    /// What the host calls off.
    cancelling: Option<TransferId>,
    /// Tags whose status is asked for; 0 where there are no streams.
    listening: BTreeSet<u16>,
    commands: BTreeMap<u16, Command>,
    /// Those that the host is giving up.
    aborting: Vec<u16>,
    next_number: u64,
    /// What task management has answered.
    response: Option<u8>,
    /// A unit may have a reset to tell of.
    attention: [bool; UNITS as usize],
    at_store: BTreeMap<BlockToken, BlockOp>,
    /// Of these, those of before an abort.
    before: BTreeSet<BlockToken>,
}

/// Runs on choices alone.
pub(crate) fn run(decisions: Decisions<'_>, speed: Speed) {
    let mut run = Run::new(decisions, speed);
    run.configure();
    while !run.decisions.is_empty() {
        run.step();
    }
    run.settle();
}

/// What blocks hold: eight bytes with unit and block, again and again.
fn content(unit: u8, first_byte: usize, length: usize) -> Vec<u8> {
    let (first, end) = (first_byte / BLOCK, first_byte + length);
    let word = |block: usize| (u64::from(unit) << 56 | block as u64).to_be_bytes();
    let mut bytes = Vec::with_capacity(length + 2 * BLOCK);
    for block in first..end.div_ceil(BLOCK) {
        bytes.extend(word(block).repeat(BLOCK / 8));
    }
    bytes.truncate(end - first * BLOCK);
    bytes.split_off(first_byte - first * BLOCK)
}

impl<'a> Run<'a> {
    fn new(mut decisions: Decisions<'a>, speed: Speed) -> Self {
        let blocks = (BLOCKS_OF_TAG * usize::from(MANAGEMENT)) as u64;
        let unit = |_| LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, blocks));
        let device = UasDevice::new(BotOptions::new(speed), (0..UNITS).map(unit));
        Self {
            may_fail: decisions.chance(),
            decisions,
            device: device.expect("a device of two units"),
            has_streams: speed.is_super(),
            ids: TransferIds::default(),
            pending: BTreeMap::new(),
            moves: 0,
            cancelling: None,
            listening: BTreeSet::new(),
            commands: BTreeMap::new(),
            aborting: Vec::new(),
            next_number: 0,
            response: None,
            attention: [true; UNITS as usize],
            at_store: BTreeMap::new(),
            before: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        match self.decisions.below(20) {
            0..=3 => self.begin(),
            4..=8 => self.give(),
            9..=11 => _ = self.take_operation(),
            12..=14 => {
                let at = self.decisions.below(self.at_store.len());
                _ = self.finish(at);
            }
            15 | 16 => self.listen(),
            17 => self.call_off(),
            18 => self.manage(),
            _ if self.decisions.below(4) > 0 => {}
            _ => self.reset(),
        }
    }

    fn submit(&mut self, mut transfer: Transfer, tag: u16, what: What) {
        if self.has_streams && what != What::Request {
            let stream = NonZeroU16::new(tag).map(StreamId);
            transfer.kind = Kind::Data { stream };
        }
        self.pending.insert(transfer.id, what);
        self.moves += 1;
        bounded(|| self.device.submit(transfer));
        self.poll();
    }

    fn say(&mut self, unit: Vec<u8>) {
        let id = self.ids.mint();
        let transfer = Transfer::data_out(id, COMMAND, unit.into());
        self.submit(transfer, 0, What::Request);
        assert!(!self.pending.contains_key(&id), "a request is taken");
    }

    fn configure(&mut self) {
        let setups = [
            SetupPacket::set_configuration(1),
            SetupPacket::set_interface(0, 1),
        ];
        for setup in setups {
            let transfer = Transfer::control_in(self.ids.mint(), setup);
            self.submit(transfer, 0, What::Request);
        }
        assert!(self.pending.is_empty(), "a setting completes what it stops");
    }

    /// A command with a tag that is free, and perhaps some of its data ahead.
    fn begin(&mut self) {
        let tag = 1 + self.decisions.below(TAGS.into()) as u16;
        if self.commands.contains_key(&tag) {
            return;
        }
        let unit = self.decisions.byte() % UNITS;
        let attribute = [0, 0, 0, ORDERED, HEAD_OF_QUEUE][self.decisions.below(5)];
        let count = match self.decisions.below(8) {
            0..=4 => 1 + self.decisions.below(8),
            5 => 2040 + self.decisions.below(16),
            6 => 1 + self.decisions.below(2 * 2048 + 8),
            _ => 0,
        };
        let first = usize::from(tag - 1) * BLOCKS_OF_TAG + self.decisions.below(80);
        let direction = match (count, self.decisions.chance()) {
            (0, _) => None,
            (_, true) => Some(Direction::In),
            (_, false) => Some(Direction::Out),
        };
        self.next_number += 1;
        let command = Command {
            unit,
            attribute,
            number: self.next_number,
            direction,
            first,
            length: count * BLOCK,
            moved: 0,
            is_ready: self.has_streams,
            given: VecDeque::new(),
            is_short: false,
            has_failed: false,
        };
        self.commands.insert(tag, command);
        if self.has_streams && self.decisions.chance() {
            self.give_to(tag);
        }
        let opcode = match direction {
            None => 0x00,
            Some(Direction::In) => 0x28,
            Some(Direction::Out) => 0x2a,
        };
        let mut said = vec![1, 0];
        said.extend(tag.to_be_bytes());
        said.extend([attribute, 0, 0, 0, 0, unit, 0, 0, 0, 0, 0, 0, opcode, 0]);
        if direction.is_some() {
            said.extend((first as u32).to_be_bytes());
            said.push(0);
            said.extend((count as u16).to_be_bytes());
        }
        said.resize(32, 0);
        self.say(said);
    }

    /// Gives a transfer for one of the commands.
    fn give(&mut self) {
        let may = |command: &Command| command.is_ready && command.missing() > 0;
        let tags = self.commands.iter().filter(|(_, command)| may(command));
        let tags: Vec<u16> = tags.map(|(tag, _)| *tag).collect();
        let at = self.decisions.below(tags.len());
        if let Some(tag) = tags.get(at) {
            self.give_to(*tag);
        }
    }

    fn give_to(&mut self, tag: u16) {
        // By a stream, what comes behind the status would be the next command's.
        if self.has_streams && !self.listening.contains(&tag) {
            self.ask_status(tag);
        }
        let Some(command) = self.commands.get_mut(&tag) else {
            return;
        };
        let (missing, Some(direction)) = (command.missing(), command.direction) else {
            return;
        };
        // Where data may end early, what is behind it would be the next command's.
        let is_alone = self.has_streams || !self.may_fail;
        if missing == 0 || !is_alone && !command.given.is_empty() {
            return;
        }
        let length = match self.decisions.below(4) {
            0 | 1 => missing,
            2 => missing.min(BLOCK * (1 + self.decisions.below(4))),
            _ => 1 + self.decisions.below(missing),
        };
        let id = self.ids.mint();
        let at = command.first * BLOCK + command.length - missing;
        command.given.push_back((id, length));
        let transfer = match direction {
            Direction::In => Transfer::data_in(id, DATA_IN, length as u32),
            Direction::Out => {
                let data = content(command.unit, at, length);
                Transfer::data_out(id, DATA_OUT, data.into())
            }
        };
        self.submit(transfer, tag, What::Data(tag));
    }

    fn ask_status(&mut self, tag: u16) {
        self.listening
            .insert(if self.has_streams { tag } else { 0 });
        let transfer = Transfer::data_in(self.ids.mint(), STATUS, 112);
        self.submit(transfer, tag, What::Status);
    }

    /// Hears all that the device has to say.
    fn listen(&mut self) {
        if !self.has_streams {
            while self.listening.is_empty() {
                self.ask_status(0);
            }
            return;
        }
        let tags: Vec<u16> = self.commands.keys().copied().collect();
        for tag in tags {
            if !self.listening.contains(&tag) {
                self.ask_status(tag);
            }
        }
    }

    /// Calls off the youngest transfer of a command. It may be given again.
    fn call_off(&mut self) {
        let youngest = |command: &Command| command.given.back().map(|(id, _)| *id);
        let ids: Vec<TransferId> = self.commands.values().filter_map(youngest).collect();
        let at = self.decisions.below(ids.len());
        let Some(id) = ids.get(at).copied() else {
            return;
        };
        self.cancelling = Some(id);
        self.device.cancel(id);
        self.poll();
        assert!(!self.pending.contains_key(&id), "it ends at once");
        self.cancelling = None;
    }

    fn manage(&mut self) {
        // What has been said is not taken back.
        self.listen();
        let functions = [0x01, 0x02, 0x04, 0x08, 0x10, 0x80, 0x81];
        let function = functions[self.decisions.below(functions.len())];
        let unit = self.decisions.byte() % UNITS;
        let task = 1 + self.decisions.below(TAGS.into()) as u16;
        let is_meant = |tag: u16, command: &Command| match function {
            0x01 | 0x80 => tag == task && command.unit == unit,
            0x10 => true,
            _ => command.unit == unit,
        };
        let meant = self.commands.iter();
        let meant = meant.filter(|(tag, command)| is_meant(**tag, command));
        let meant: Vec<u16> = meant.map(|(tag, _)| *tag).collect();
        let is_query = function >= 0x80;
        if !is_query {
            self.leave_behind(&meant);
            self.aborting.clone_from(&meant);
        }
        let mut said = vec![5, 0];
        said.extend(MANAGEMENT.to_be_bytes());
        said.extend([function, 0]);
        said.extend(task.to_be_bytes());
        said.extend([0, unit]);
        said.resize(16, 0);
        self.say(said);
        if !is_query {
            for tag in &meant {
                let command = self.commands.remove(tag).expect("it has no status");
                assert!(command.given.is_empty(), "what was for it ends with it");
            }
            self.aborting.clear();
        }
        for (number, attention) in (0..).zip(&mut self.attention) {
            *attention |= function == 0x10 || function == 0x08 && number == unit;
        }
        while self.response.is_none() {
            let tag = if self.has_streams { MANAGEMENT } else { 0 };
            let is_new = !self.listening.contains(&tag);
            assert!(is_new, "task management answers");
            self.ask_status(MANAGEMENT);
        }
        let is_there = is_query && !meant.is_empty();
        let expected = if is_there { 8 } else { 0 };
        assert_eq!(self.response.take(), Some(expected));
    }

    /// What commands have at the store is of before.
    fn leave_behind(&mut self, tags: &[u16]) {
        for (token, op) in &self.at_store {
            if tags.contains(&tag_of(op)) {
                self.before.insert(*token);
            }
        }
    }

    fn reset(&mut self) {
        self.aborting = self.commands.keys().copied().collect();
        self.before.extend(self.at_store.keys());
        if self.decisions.chance() {
            self.device.reset();
            self.poll();
        }
        self.configure();
        self.commands.clear();
        self.aborting.clear();
        self.attention = [true; UNITS as usize];
    }

    fn take_operation(&mut self) -> bool {
        let Some(op) = self.device.poll_block() else {
            return false;
        };
        let (unit, tag) = (op.lun().get(), tag_of(&op));
        let of_unit = |token: &&BlockToken| self.at_store[token].lun() == op.lun();
        let old = self.before.iter().find(of_unit);
        assert!(old.is_none(), "one of before is out");
        let command = self.commands.get(&tag).expect("a command that is there");
        assert_eq!(command.unit, unit);
        for other in self
            .at_store
            .values()
            .filter(|other| other.lun() == op.lun())
        {
            let Some(other) = self.commands.get(&tag_of(other)) else {
                continue;
            };
            let is_ordered = command.attribute == ORDERED || other.attribute == ORDERED;
            let waits = is_ordered && command.attribute != HEAD_OF_QUEUE;
            assert!(
                other.number >= command.number || !waits,
                "it must wait for what is before it"
            );
        }
        let range = command.first * BLOCK..command.first * BLOCK + command.length;
        let (offset, length) = match &op {
            BlockOp::Read { offset, length, .. } => (*offset as usize, *length as usize),
            BlockOp::Write { offset, data, .. } => {
                let expected = content(unit, *offset as usize, data.len());
                assert!(data[..] == expected, "the data of these blocks");
                (*offset as usize, data.len())
            }
            other => panic!("nobody asked for {other:?}"),
        };
        assert!(range.start <= offset && offset + length <= range.end);
        let is_new = self.at_store.insert(op.token(), op).is_none();
        assert!(is_new, "a token of its own");
        true
    }

    fn finish(&mut self, at: usize) -> bool {
        let Some(token) = self.at_store.keys().nth(at).copied() else {
            return false;
        };
        let op = self.at_store.remove(&token).expect("it is there");
        let is_old = self.before.remove(&token);
        let fails = self.may_fail && self.decisions.below(8) == 7;
        let result = match &op {
            _ if fails => Err(BlockError::Hardware),
            BlockOp::Read { offset, length, .. } => {
                let data = content(op.lun().get(), *offset as usize, *length as usize);
                Ok(Segments::from(data))
            }
            _ => Ok(Segments::new()),
        };
        if let (true, false, Some(command)) = (fails, is_old, self.commands.get_mut(&tag_of(&op))) {
            command.has_failed = true;
        }
        bounded(|| self.device.finish(token, result));
        self.poll();
        true
    }

    fn poll(&mut self) {
        while let Some(event) = self.device.poll() {
            let FunctionEvent::Complete(completion) = event else {
                panic!("a disk in memory does not leave");
            };
            self.moves += 1;
            let what = self.pending.remove(&completion.id);
            match what.expect("completed once, and only what was submitted") {
                What::Request => assert_eq!(completion.status, Status::COMPLETED),
                What::Status => self.told(&completion),
                What::Data(tag) => self.moved(tag, &completion),
            }
        }
    }

    fn moved(&mut self, tag: u16, completion: &Completion) {
        let command = self.commands.get_mut(&tag).expect("of a command");
        let of_it = command
            .given
            .iter()
            .position(|(id, _)| *id == completion.id);
        let at = of_it.expect("given for it");
        let is_called_off = self.cancelling == Some(completion.id);
        assert!(at == 0 || is_called_off, "one after the other");
        let (_, room) = command.given.remove(at).expect("it is there");
        if completion.status == Status::CANCELLED {
            let is_over = is_called_off || self.aborting.contains(&tag);
            assert!(is_over, "nobody called it off");
        } else {
            assert_eq!(completion.status, Status::COMPLETED);
        }
        let place = command.first * BLOCK + command.moved;
        let count = match &completion.actual {
            Actual::In(data) => {
                let expected = content(command.unit, place, data.len());
                let data: Bytes = data.to_bytes();
                assert!(data[..] == expected, "the data of the command");
                command.is_short |= completion.status.is_completed() && data.len() < room;
                data.len()
            }
            Actual::Out(count) => *count as usize,
        };
        assert!(count <= room, "no more than there is room for");
        command.moved += count;
    }

    fn told(&mut self, completion: &Completion) {
        if completion.status == Status::CANCELLED {
            self.listening.clear();
            return;
        }
        let Actual::In(unit) = &completion.actual else {
            panic!("an IN transfer");
        };
        let unit = unit.to_bytes();
        let tag = u16::from_be_bytes([unit[2], unit[3]]);
        self.listening
            .remove(if self.has_streams { &tag } else { &0 });
        if tag == MANAGEMENT {
            assert_eq!((unit[0], self.response), (4, None));
            self.response = Some(unit[7]);
            return;
        }
        let command = self.commands.get_mut(&tag).expect("of a command");
        let is_over = self.aborting.contains(&tag);
        assert!(!is_over, "nothing more is said of it");
        match unit[0] {
            ready @ (6 | 7) => {
                let direction = if ready == 6 {
                    Direction::In
                } else {
                    Direction::Out
                };
                assert!(!command.is_ready && command.direction == Some(direction));
                command.is_ready = true;
            }
            3 => {
                assert!(command.given.is_empty(), "what was for it ends with it");
                let attention = &mut self.attention[usize::from(command.unit)];
                if unit[6] == 0 {
                    assert_eq!(command.moved, command.length, "all was moved");
                } else if unit[18] == 6 {
                    assert!(std::mem::take(attention), "it is told once");
                } else {
                    assert!(command.has_failed, "there was nothing wrong");
                }
                self.commands.remove(&tag);
            }
            other => panic!("{other:#x} was not asked for"),
        }
    }

    /// The host and the store do their parts: every command ends.
    fn settle(&mut self) {
        self.decisions = Decisions::new(&[]);
        loop {
            let before = self.moves;
            self.listen();
            let is_ready = |(_, command): &(&u16, &Command)| command.is_ready;
            let tags = self.commands.iter().filter(is_ready);
            let tags: Vec<u16> = tags.map(|(tag, _)| *tag).collect();
            for tag in tags {
                self.give_to(tag);
            }
            let (has_taken, has_finished) = (self.take_operation(), self.finish(0));
            if self.moves == before && !has_taken && !has_finished {
                assert!(self.commands.is_empty(), "{:?}", self.commands);
                return;
            }
        }
    }
}

/// Whose blocks an operation is about.
fn tag_of(op: &BlockOp) -> u16 {
    let offset = match op {
        BlockOp::Read { offset, .. } | BlockOp::Write { offset, .. } => *offset,
        other => panic!("nobody asked for {other:?}"),
    };
    (offset as usize / BLOCK / BLOCKS_OF_TAG) as u16 + 1
}
