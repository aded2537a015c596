//! The host's side of a disk by USB Attached SCSI, with and without streams, and a device that
//! answers what it likes: units of any kind for any tag, data that is too long, stalls.
//!
//! The invariants are those of `initiator`.

use msc_bot::{BlockSize, BotOptions, Initiator, LogicalUnit, UasDevice, UnitOptions};
use testkit::Decisions;
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::{Completion, Transfer};

use crate::initiator::{BLOCKS, run_with};
use crate::{choices, split};

const STATUS: EndpointAddress = EndpointAddress::from_byte(0x83);

/// Runs the target: choices steer the embedder and how the device answers; the first says whether
/// there are streams.
pub fn run(input: &[u8]) {
    let (mut decisions, _) = split(input);
    let speed = if decisions.chance() {
        Speed::Super
    } else {
        Speed::High
    };
    let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, BLOCKS));
    let device = UasDevice::new(BotOptions::new(speed), [unit]).expect("a device");
    let host = Initiator::with_streams(device.descriptors()).expect("a disk");
    assert!(host.is_uas());
    run_with(decisions, host, device, answer);
}

/// On the status pipe mostly something that could be meant.
fn answer(decisions: &mut Decisions<'_>, transfer: &Transfer) -> Completion {
    if transfer.endpoint != STATUS || choices::rarely(decisions, 4) {
        return choices::completion(decisions, transfer);
    }
    // Sense, response, ready to read and to write, and what a host would say.
    let id = [3, 3, 4, 6, 7, 1, 5, 0][decisions.below(8)];
    let mut unit = vec![id, 0, 0, decisions.byte() % 40];
    unit.resize(34, 0);
    match id {
        // Good, check condition, busy, task set full, aborted.
        3 => unit[6] = [0, 0, 2, 2, 8, 0x28, 0x40][decisions.below(7)],
        _ => unit[7] = [0, 8, 2, 4, 5, 9, 10][decisions.below(7)],
    }
    unit[15] = 18;
    let sense = [(2, 0x3a), (3, 0x11), (5, 0x20), (6, 0x29)][decisions.below(4)];
    (unit[16], unit[18], unit[28]) = (0x70, sense.0, sense.1);
    if choices::rarely(decisions, 4) {
        unit.truncate(decisions.below(20));
    }
    transfer.clone().complete_in(unit)
}
