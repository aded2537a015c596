//! What a disk asks of its store, and a store that is late, wrong or out of order.

use std::collections::{BTreeMap, BTreeSet};

use msc_bot::{BlockError, BlockOp, BlockToken, Lun};
use testkit::{Decisions, largest_allocation};
use usb_descriptors::SetupPacket;
use usb_transfer::{Completion, Kind, Segments, Transfer};

use crate::choices;

/// The most that a device may allocate at once, in bytes, whatever a host says: what it gathers of a
/// command that compares and writes.
const MAX_ALLOCATION: usize = 1 << 20;
/// Each byte that is written has this bit: what the store holds never looks like a wrapper.
pub(crate) const MARK: u8 = 0x80;

/// The disks of a device's units.
///
/// It asserts that each operation has a token of its own, is about whole blocks inside the capacity,
/// and writes to no unit that takes no writes; and that none comes while one of before a reset is
/// out.
pub(crate) struct Store {
    disks: Vec<Disk>,
    operations: BTreeMap<BlockToken, BlockOp>,
    tokens: BTreeSet<BlockToken>,
    /// Those of the operations that a reset has left behind.
    before: BTreeSet<BlockToken>,
}

struct Disk {
    /// Bytes in a block.
    block: u64,
    bytes: Vec<u8>,
    /// It takes no writes.
    read_only: bool,
}

impl Disk {
    fn new(blocks: u64, block: u64, read_only: bool) -> Self {
        Self {
            block,
            bytes: vec![MARK; (blocks * block) as usize],
            read_only,
        }
    }
}

/// How an operation ended.
pub(crate) type Finished = (BlockToken, Result<Segments, BlockError>);

impl Store {
    /// Of units of one size, of which one may take no writes.
    pub(crate) fn new(units: usize, blocks: u64, block: u64, read_only: Option<Lun>) -> Self {
        let is_read_only = |unit| read_only.is_some_and(|lun| usize::from(lun.get()) == unit);
        Self {
            disks: (0..units)
                .map(|unit| Disk::new(blocks, block, is_read_only(unit)))
                .collect(),
            operations: BTreeMap::new(),
            tokens: BTreeSet::new(),
            before: BTreeSet::new(),
        }
    }

    /// The same with one unit more, which is a drive for CDs.
    pub(crate) fn and_cd(mut self, blocks: u64) -> Self {
        self.disks.push(Disk::new(blocks, 2048, true));
        self
    }

    /// Operations that are not finished, of one unit or of all.
    pub(crate) fn outstanding(&self, lun: Option<Lun>) -> usize {
        let of_unit = |operation: &&BlockOp| lun.is_none_or(|lun| operation.lun() == lun);
        self.operations.values().filter(of_unit).count()
    }

    pub(crate) fn holds(&self, token: BlockToken) -> bool {
        self.operations.contains_key(&token)
    }

    /// The device was reset: what is out is of before.
    pub(crate) fn reset(&mut self) {
        self.before.extend(self.operations.keys());
    }

    /// Takes what the device hands out.
    pub(crate) fn take(&mut self, operation: BlockOp) {
        let lun = operation.lun();
        let mut before = self.before.iter();
        assert!(
            before.all(|token| self.operations[token].lun() != lun),
            "nothing before all of before the reset is finished"
        );
        let (offset, length) = extent(&operation);
        let disk = &self.disks[usize::from(lun.get())];
        let whole = (offset % disk.block, length % disk.block);
        assert_eq!(whole, (0, 0), "whole blocks");
        let end = offset.checked_add(length).expect("inside 64 bits");
        assert!(end <= disk.bytes.len() as u64, "inside the capacity");
        match operation {
            BlockOp::Flush { .. } => {}
            _ => assert!(length > 0),
        }
        if let BlockOp::Write { .. } | BlockOp::Zero { .. } = operation {
            assert!(!disk.read_only, "it takes no writes");
        }
        assert!(self.tokens.insert(operation.token()), "a token of its own");
        self.operations.insert(operation.token(), operation);
    }

    /// Ends one of the operations, well or not.
    pub(crate) fn finish_one(&mut self, decisions: &mut Decisions<'_>) -> Option<Finished> {
        let at = decisions.below(self.operations.len());
        let token = self.operations.keys().nth(at).copied()?;
        let operation = self.remove(token)?;
        let result = match decisions.below(16) {
            11 => Err(BlockError::Hardware),
            12 => Err(BlockError::NoSpace),
            13 => Err(BlockError::Medium {
                offset: u64::from(choices::word(decisions)),
            }),
            // More or less than was asked for.
            14 => Ok(Segments::zeros(decisions.below(2 * 4096))),
            15 => Err(BlockError::WriteProtected),
            _ => Ok(self.serve(&operation)),
        };
        Some((token, result))
    }

    /// Ends the oldest operation as it should be.
    pub(crate) fn serve_first(&mut self) -> Option<Finished> {
        let token = *self.operations.keys().next()?;
        let operation = self.remove(token)?;
        Some((token, Ok(self.serve(&operation))))
    }

    fn remove(&mut self, token: BlockToken) -> Option<BlockOp> {
        self.before.remove(&token);
        self.operations.remove(&token)
    }

    fn serve(&mut self, operation: &BlockOp) -> Segments {
        let disk = &mut self.disks[usize::from(operation.lun().get())].bytes;
        let (offset, length) = extent(operation);
        let place = offset as usize..(offset + length) as usize;
        match operation {
            BlockOp::Read { .. } => return Segments::from(disk[place].to_vec()),
            BlockOp::Write { data, .. } => {
                let bytes = disk[place].iter_mut().zip(data);
                bytes.for_each(|(to, from)| *to = from | MARK);
            }
            BlockOp::Zero { .. } => disk[place].fill(0),
            BlockOp::Flush { .. } => {}
        }
        Segments::new()
    }
}

/// Whether a request was carried out that ends all that is under way: SET_CONFIGURATION,
/// SET_INTERFACE, or the reset of Bulk-Only Transport.
pub(crate) fn is_restart(transfer: &Transfer, completion: &Completion) -> bool {
    let Kind::Control(SetupPacket {
        request_type,
        request,
        ..
    }) = transfer.kind
    else {
        return false;
    };
    let restarts = matches!(
        (request_type.0, request),
        (0x00, 0x09) | (0x01, 0x0b) | (0x21, 0xff)
    );
    restarts && transfer.endpoint.is_control() && completion.status.is_completed()
}

/// Offset and length of what an operation is about.
fn extent(operation: &BlockOp) -> (u64, u64) {
    match operation {
        BlockOp::Read { offset, length, .. } => (*offset, u64::from(*length)),
        BlockOp::Write { offset, data, .. } => (*offset, data.len() as u64),
        BlockOp::Zero { offset, length, .. } => (*offset, *length),
        BlockOp::Flush { .. } => (0, 0),
    }
}

/// Calls a device, which allocates no more than it may.
pub(crate) fn bounded<T>(call: impl FnOnce() -> T) -> T {
    let (largest, result) = largest_allocation(call);
    assert!(largest <= MAX_ALLOCATION, "{largest} bytes at once");
    result
}
