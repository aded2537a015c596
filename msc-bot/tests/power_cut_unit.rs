//! All that a unit can be asked to write, to flush and to read past its cache, many commands at a
//! time, and power cuts: what a host was told to be safe is never lost.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;
mod volatile;

use bench::disk;
use msc_bot::{BlockSize, LogicalUnit, Sense, Task, UnitEvent};
use proptest::prelude::*;
use volatile::{BLOCKS, Held, History, Store};

/// What a host can ask of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Write {
        forced: bool,
    },
    /// Of a block that is not zeros, or of zeros.
    WriteSame {
        zeros: bool,
    },
    Unmap,
    /// Past the cache.
    Read,
    Verify,
    Synchronize,
    Cache {
        enabled: bool,
    },
    Eject,
}

const COMMANDS: [Command; 14] = [
    Command::Write { forced: false },
    Command::Write { forced: false },
    Command::Write { forced: false },
    Command::Write { forced: true },
    Command::WriteSame { zeros: false },
    Command::WriteSame { zeros: true },
    Command::WriteSame { zeros: true },
    Command::Unmap,
    Command::Read,
    Command::Verify,
    Command::Synchronize,
    Command::Cache { enabled: true },
    Command::Cache { enabled: false },
    Command::Eject,
];

/// A command in progress.
#[derive(Debug)]
struct Started {
    command: Command,
    lba: usize,
    count: usize,
    asked: u16,
}

impl Started {
    /// What it makes its blocks hold.
    fn number(&self) -> Option<u16> {
        match self.command {
            Command::Write { .. } | Command::WriteSame { zeros: false } => Some(self.asked),
            Command::WriteSame { zeros: true } | Command::Unmap => Some(0),
            _ => None,
        }
    }

    fn block(&self) -> [u8; 16] {
        let (opcode, flags) = match self.command {
            Command::Write { forced } => (0x8a, u8::from(forced) << 3),
            Command::WriteSame { .. } => (0x93, 0),
            Command::Unmap => return [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0],
            Command::Read => (0x88, 8),
            Command::Verify => (0x8f, 0),
            Command::Synchronize => return [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Command::Cache { .. } => {
                return [0x15, 0x10, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            }
            Command::Eject => return [0x1b, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        let mut block = [0; 16];
        (block[0], block[1]) = (opcode, flags);
        block[2..10].copy_from_slice(&(self.lba as u64).to_be_bytes());
        block[10..14].copy_from_slice(&(self.count as u32).to_be_bytes());
        block
    }

    /// The host's part.
    fn data(&self, length: usize) -> Vec<u8> {
        match self.command {
            Command::Unmap => {
                let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
                list.extend((self.lba as u64).to_be_bytes());
                list.extend((self.count as u32).to_be_bytes());
                list.extend([0; 4]);
                list
            }
            Command::Cache { enabled } => {
                let mut pages = vec![0, 0, 0, 0, 0x08, 18, u8::from(enabled) << 2];
                pages.resize(24, 0);
                pages
            }
            _ => self.number().unwrap_or(0).to_le_bytes().repeat(length / 2),
        }
    }

    fn touches(&self, other: &Self) -> bool {
        self.lba < other.lba + other.count && other.lba < self.lba + self.count
    }
}

/// A unit with many commands at a time, of which none writes where another is at work, and one at
/// most sets the mode.
struct Queue {
    unit: LogicalUnit,
    store: Store,
    blocks: Vec<History>,
    started: Vec<Started>,
    wants: Vec<(Task, u32)>,
    asked: u16,
    /// Whether the host knows that there is no cache.
    uncached: bool,
    cached: bool,
}

impl Queue {
    fn unit(cached: bool) -> LogicalUnit {
        let options = disk(BlockSize::BYTES_512, BLOCKS as u64);
        LogicalUnit::new(options.write_cache(cached).discard(true))
    }

    fn new(cached: bool) -> Self {
        Self {
            unit: Self::unit(cached),
            store: Store::new(),
            blocks: vec![History::new(0); BLOCKS],
            started: Vec::new(),
            wants: Vec::new(),
            asked: 0,
            uncached: !cached,
            cached,
        }
    }

    fn ask(&mut self, command: Command, lba: usize, count: usize) {
        let new = Started {
            command,
            lba,
            count,
            asked: self.asked + 1,
        };
        let is_in_the_way = |other: &Started| match (new.number(), command) {
            (Some(_), _) => other.touches(&new),
            (None, Command::Cache { .. }) => matches!(other.command, Command::Cache { .. }),
            _ => false,
        };
        if self.started.iter().any(is_in_the_way) {
            return;
        }
        self.asked = new.asked;
        if let Some(number) = new.number() {
            for block in &mut self.blocks[lba..lba + count] {
                block.ask(number, new.asked);
            }
        }
        if command == (Command::Cache { enabled: true }) {
            self.uncached = false;
        }
        self.unit.start(Task(new.asked.into()), &new.block());
        self.started.push(new);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(event) = self.unit.poll() {
            match event {
                UnitEvent::Block(op) => self.store.ops.push((op, self.store.cache.len())),
                UnitEvent::WantOut(task, length) => self.wants.push((task, length)),
                UnitEvent::Done(Task(asked), result) => self.done(asked as u16, result),
                UnitEvent::Phase(..) | UnitEvent::In(..) => {}
            }
        }
    }

    fn send(&mut self, choice: usize) {
        if self.wants.is_empty() {
            return;
        }
        let (task, length) = self.wants.swap_remove(choice % self.wants.len());
        let mut started = self.started.iter();
        // One that was ejected wants nothing any more.
        if let Some(started) = started.find(|each| u32::from(each.asked) == task.0) {
            let data = started.data(length as usize);
            self.unit.data_out(task, data.into());
            self.poll();
        }
    }

    fn finish(&mut self, choice: usize) {
        let count = self.store.ops.len();
        if count > 0 {
            let (token, answer) = self.store.finish(choice % count);
            self.unit.finish(token, Ok(answer));
            self.poll();
        }
    }

    fn done(&mut self, asked: u16, result: Result<(), Sense>) {
        let at = self.started.iter().position(|each| each.asked == asked);
        let started = self.started.remove(at.expect("done once"));
        if let Err(sense) = result {
            return assert_eq!(sense, Sense::NO_MEDIUM, "{started:?}");
        }
        let (command, now) = (started.command, self.asked);
        let range = started.lba..started.lba + started.count;
        // What was told before this was asked for.
        let is_before = |held: &Held| held.told.is_some_and(|told| told < asked);
        match command {
            Command::Read | Command::Verify => {
                for block in &mut self.blocks[range] {
                    block.flush(is_before);
                }
            }
            Command::Synchronize | Command::Cache { enabled: false } => {
                self.blocks
                    .iter_mut()
                    .for_each(|block| block.flush(is_before));
                self.uncached |= command != Command::Synchronize;
            }
            Command::Cache { enabled: true } => {}
            Command::Eject => {
                for block in &mut self.blocks {
                    block.flush(|held| held.asked < asked && held.told.is_some());
                }
                assert!(!self.unit.has_medium());
                self.ask_load();
            }
            Command::Write { .. } | Command::WriteSame { .. } | Command::Unmap => {
                let safe = self.uncached || command == (Command::Write { forced: true });
                for block in &mut self.blocks[range] {
                    block.tell(asked, now, safe);
                }
            }
        }
    }

    /// The medium is not taken out.
    fn ask_load(&mut self) {
        let mut load = [0; 16];
        (load[0], load[4]) = (0x1b, 3);
        self.unit.start(Task(u32::MAX), &load);
        // The others have ended.
        while let Some(event) = self.unit.poll() {
            match event {
                UnitEvent::Done(Task(u32::MAX), result) => {
                    assert_eq!(result, Ok(()));
                    return;
                }
                UnitEvent::Done(Task(asked), result) => self.done(asked as u16, result),
                UnitEvent::WantOut(..) | UnitEvent::Phase(..) | UnitEvent::In(..) => {}
                UnitEvent::Block(op) => panic!("{op:?} of a medium that has left"),
            }
        }
    }

    fn cut(&mut self, chance: u64) {
        self.store.cut(chance);
        self.unit = Self::unit(self.cached);
        self.uncached = !self.cached;
        self.started.clear();
        self.wants.clear();
        for (number, block) in self.blocks.iter_mut().enumerate() {
            block.cut(number, self.store.safe[number]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_told_to_be_safe_is_never_lost(
        cached in prop::bool::weighted(0.6),
        turns in prop::collection::vec((0u8..32, any::<u16>()), 0..600),
        chance: u64,
    ) {
        let mut queue = Queue::new(cached);
        for (turn, choice) in turns {
            let choice = usize::from(choice);
            let count = match choice % 64 {
                // In more than one piece.
                0 => 2500,
                16 | 32 | 48 => 200,
                _ => 1 + choice % 9,
            };
            let lba = choice / 16 % if choice % 5 == 0 { BLOCKS - count } else { 20 };
            match turn {
                0..=6 => queue.ask(COMMANDS[choice / 3 % COMMANDS.len()], lba, count),
                7..=15 => queue.send(choice),
                16 if choice % 16 == 0 => queue.cut(chance ^ choice as u64),
                _ => queue.finish(choice),
            }
        }
        // All ends, and a last cut.
        while !queue.wants.is_empty() || !queue.store.ops.is_empty() {
            queue.send(0);
            queue.finish(0);
        }
        prop_assert!(queue.started.is_empty(), "{:?}", queue.started);
        queue.cut(chance);
    }
}
