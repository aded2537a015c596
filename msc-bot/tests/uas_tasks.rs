//! Whose data a transfer moves, and what becomes of it when its command ends: order, task
//! management, task attributes and the thirteen cases.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;
mod uas_host;

use bench::{read_10, write_10};
use bytes::Bytes;
use msc_bot::{BlockError, BlockOp};
use uas_host::{
    ABORT_TASK, ABORT_TASK_SET, ACA, CLEAR_TASK_SET, COMMAND, DATA_IN, DATA_OUT, HEAD_OF_QUEUE,
    Host, LOGICAL_UNIT_RESET, NEXUS_RESET, ORDERED, QUERY_TASK, QUERY_TASK_SET, READ_READY,
    RESPONSE, SENSE, SIMPLE, STATUS, WRITE_READY,
};
use usb_descriptors::{Direction, SetupPacket, Speed};
use usb_transfer::{Function, Kind, Segments, Status, StreamId, Transfer, TransferId};

const SPEEDS: [Speed; 2] = [Speed::High, Speed::Super];
const READY: [u8; 6] = [0; 6];
const MIB: usize = 1 << 20;

/// Takes the readiness to move data, which is told where there are no streams.
#[track_caller]
fn take_ready(host: &mut Host, tag: u16, ready: u8) {
    if !host.streams {
        assert_eq!(host.report(tag), (ready, tag, 0));
    }
}

fn offset(op: &BlockOp) -> u64 {
    match op {
        BlockOp::Read { offset, .. } | BlockOp::Write { offset, .. } => *offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn transfers_of_one_command_are_served_in_order() {
    for speed in SPEEDS {
        let mut host = Host::new(speed);
        host.serving = false;
        host.command(1, 0, &read_10(0, 4096));
        let first = host.device.poll_block().unwrap();
        host.serve(&first);
        host.run();
        take_ready(&mut host, 1, READ_READY);
        // The second would be filled by what has come.
        let ids = [3 << 19, 1 << 19].map(|length| host.ask_data(1, length));
        assert!(host.done.is_empty(), "{speed}");
        host.serving = true;
        host.run();
        let [long, short] = ids.map(|id| host.data(id));
        assert!(long[..] == host.store.disk[..3 << 19], "{speed}");
        assert!(short[..] == host.store.disk[3 << 19..2 * MIB], "{speed}");
        assert_eq!(host.report(1), (SENSE, 1, 0));
        host.assert_quiet();
    }
}

#[test]
fn what_was_given_for_an_aborted_command_ends_with_it() {
    let functions = [
        ABORT_TASK,
        ABORT_TASK_SET,
        CLEAR_TASK_SET,
        LOGICAL_UNIT_RESET,
        NEXUS_RESET,
    ];
    for (speed, function) in SPEEDS.map(|speed| functions.map(|f| (speed, f))).concat() {
        for direction in [Direction::In, Direction::Out] {
            let mut host = Host::new(speed);
            host.serving = false;
            let is_read = direction == Direction::In;
            let given = if is_read {
                host.command(1, 0, &read_10(0, 4096));
                let first = host.device.poll_block().unwrap();
                host.serve(&first);
                host.run();
                take_ready(&mut host, 1, READ_READY);
                // Two of what is three pieces of data, and waits for the second.
                [3 << 19, 1 << 19].map(|length| host.ask_data(1, length))
            } else {
                host.command(1, 0, &write_10(0, 8191));
                take_ready(&mut host, 1, WRITE_READY);
                let data = vec![0x11; 8191 * 512];
                let (long, short) = data.split_at(7 * MIB / 2);
                [long, short].map(|data| host.give_data(1, data))
            };
            let old = host.device.poll_block().unwrap();
            assert!(host.done.is_empty());
            host.manage(30, function, 1);
            for id in given {
                let done = host.done.remove(&id).expect("it ends");
                assert_eq!(done.status, Status::CANCELLED, "{speed}, {function:#x}");
                assert!(done.actual.len() <= 2 << 20);
            }
            assert_eq!(host.report(30), (RESPONSE, 30, 0));
            host.device.finish(old.token(), Ok(Segments::zeros(MIB)));
            assert_eq!(host.device.poll_block(), None, "{speed}, {function:#x}");
            // A reset is told.
            host.serving = true;
            host.command(2, 0, &READY);
            host.report(2);
            // The same tag has nothing of the one before.
            host.store.disk.fill(0);
            host.command(1, 0, &write_10(5000, 1));
            take_ready(&mut host, 1, WRITE_READY);
            let data = host.give_data(1, &[2; 512]);
            assert_eq!(host.data(data).len(), 512);
            assert_eq!(host.report(1), (SENSE, 1, 0));
            host.command(1, 0, &read_10(5000, 1));
            take_ready(&mut host, 1, READ_READY);
            let data = host.ask_data(1, 512);
            assert_eq!(host.data(data)[..], [2; 512]);
            assert_eq!(host.report(1), (SENSE, 1, 0));
            let mut expected = vec![0; host.store.disk.len()];
            expected[5000 * 512..5001 * 512].fill(2);
            assert!(host.store.disk == expected);
            host.assert_quiet();
        }
    }
}

/// Nor what other commands had ready by then.
#[test]
fn after_an_abort_nothing_is_handed_out_before_what_is_out_is_finished() {
    let mut host = Host::new(Speed::High);
    host.serving = false;
    for (tag, lun) in [(1, 0), (2, 0), (3, 1)] {
        host.command(tag, lun, &read_10(tag.into(), 1));
    }
    let first = host.device.poll_block().unwrap();
    host.manage(30, ABORT_TASK, 1);
    assert_eq!(host.report(30), (RESPONSE, 30, 0));
    let of_others = host.ops();
    assert_eq!(of_others.len(), 1, "another unit does not wait");
    assert_eq!(offset(&of_others[0]), 3 * 512);
    host.serve(&first);
    let rest = host.ops();
    assert_eq!(rest.len(), 1);
    assert_eq!(offset(&rest[0]), 2 * 512);
}

/// Where there are no streams, a host may have asked for the data of several.
#[test]
fn what_was_given_for_the_next_stays() {
    let mut host = Host::new(Speed::High);
    host.serving = false;
    for (tag, block) in [(1, 10), (2, 20)] {
        host.command(tag, 0, &read_10(block, 4));
    }
    let ops = host.ops();
    host.serve(&ops[1]);
    host.run();
    assert_eq!(host.report(1), (READ_READY, 2, 0));
    // The first 3 blocks of it come; the last is of the command that is next.
    let ids = [1536, 512, 2048].map(|length| host.ask_data(2, length));
    assert_eq!(host.data(ids[0])[..], host.store.disk[20 * 512..23 * 512]);
    host.data(ids[1]);
    assert_eq!(host.report(1), (SENSE, 2, 0));
    host.serve(&ops[0]);
    host.run();
    assert_eq!(host.data(ids[2])[..], host.store.disk[10 * 512..14 * 512]);
    assert_eq!(host.report(1), (READ_READY, 1, 0));
    assert_eq!(host.report(1), (SENSE, 1, 0));
    // The same with the first aborted: 2 MiB are its own, the rest is not.
    host.command(3, 0, &read_10(0, 4096));
    let first = host.device.poll_block().unwrap();
    host.serve(&first);
    host.run();
    assert_eq!(host.report(1), (READ_READY, 3, 0));
    let of_third = host.ask_data(1, 2 << 20);
    let of_fourth = host.ask_data(1, 512);
    let second = host.device.poll_block().unwrap();
    host.manage(30, ABORT_TASK, 3);
    assert_eq!(host.status_of(of_third), Some(Status::CANCELLED));
    assert_eq!(host.status_of(of_fourth), None);
    host.serve(&second);
    host.serving = true;
    host.command(4, 0, &read_10(7, 1));
    assert_eq!(host.data(of_fourth)[..], host.store.disk[7 * 512..8 * 512]);
}

/// By streams the host cannot be told that there is nothing to move: what it gave for a command
/// ends with it.
#[test]
fn what_is_on_a_stream_ends_with_the_command() {
    let mut host = Host::new(Speed::Super);
    let data = host.ask_data(1, 512);
    let other = host.ask_data(2, 512);
    host.command(1, 0, &READY);
    assert_eq!(host.data(data).len(), 0);
    assert_eq!(host.report(1), (SENSE, 1, 0));
    assert_eq!(host.status_of(other), None, "the other's is its own");
    // An error before any data, and in the middle of it, where it has what came before.
    host.command(2, 0, &read_10(8192, 1));
    assert_eq!(host.data(other).len(), 0);
    assert_eq!(host.sense(2), (5, 0x21, 0));
    host.serving = false;
    host.command(3, 0, &read_10(0, 4096));
    let ids = [2 << 20, 512].map(|length| host.ask_data(3, length));
    let first = host.device.poll_block().unwrap();
    host.serve(&first);
    host.run();
    let second = host.device.poll_block().unwrap();
    let error = Err(BlockError::Medium { offset: 1 << 20 });
    host.device.finish(second.token(), error);
    host.run();
    assert!(host.data(ids[0])[..] == host.store.disk[..MIB]);
    assert_eq!(host.data(ids[1]).len(), 0);
    assert_eq!(host.sense(3), (3, 0x11, 0));
    host.serving = true;
    host.store.failures.push(BlockError::NoSpace);
    host.command(4, 0, &write_10(0, 4));
    let ids = [512, 1536, 512].map(|length| host.give_data(4, &vec![1; length]));
    // It is swallowed, and none of it comes back.
    for (id, length) in ids[..2].iter().zip([512, 1536]) {
        assert_eq!(host.data(*id).len(), length);
    }
    assert_eq!(host.sense(4), (7, 0x27, 7));
    // What came after the end waits for the next.
    assert_eq!(host.status_of(ids[2]), None);
    host.command(4, 0, &write_10(9, 1));
    assert_eq!(host.data(ids[2]).len(), 512);
    assert_eq!(host.report(4), (SENSE, 4, 0));
    host.assert_quiet();
}

/// Bulk-Only Transport, 6.7, by a host that gives at most one data transfer, as Linux's uas does.
///
/// An information unit does not say how much the host expects. Where that is less than the command
/// moves, or goes the other way, the device waits for the rest until the host ends the command.
#[test]
fn the_thirteen_cases() {
    use Direction::{In, Out};
    let none: Option<(Direction, usize)> = None;
    // By number: what the host means to move, the command, and what was moved; or none, where it
    // never ends by itself.
    let (read, write) = (|count| read_10(3, count), |count| write_10(3, count));
    let cases: [(_, Vec<u8>, Option<usize>); 13] = [
        (none, READY.into(), Some(0)),
        (none, read(1), None),
        (none, write(1), None),
        (Some((In, 512)), READY.into(), Some(0)),
        (Some((In, 1024)), read(1), Some(512)),
        (Some((In, 512)), read(1), Some(512)),
        (Some((In, 512)), read(2), None),
        (Some((In, 512)), write(1), None),
        (Some((Out, 512)), READY.into(), Some(0)),
        (Some((Out, 512)), read(1), None),
        (Some((Out, 1024)), write(1), Some(1024)),
        (Some((Out, 512)), write(1), Some(512)),
        (Some((Out, 512)), write(2), None),
    ];
    for speed in SPEEDS {
        for (number, (expected, command, moved)) in (1..).zip(&cases) {
            let mut host = Host::new(speed);
            let mut given = None;
            let give = |host: &mut Host| match *expected {
                Some((In, length)) => Some(host.ask_data(1, length as u32)),
                Some((Out, length)) => Some(host.give_data(1, &vec![9; length])),
                None => None,
            };
            if host.streams {
                given = give(&mut host);
            }
            host.command(1, 0, command);
            let mut status = host.ask_status(1);
            if let (false, Some(unit)) = (host.streams, host.done.get(&status)) {
                let unit = unit.actual.clone();
                let usb_transfer::Actual::In(unit) = unit else {
                    panic!()
                };
                let ready = match unit.to_bytes()[0] {
                    READ_READY => Some(In),
                    WRITE_READY => Some(Out),
                    _ => None,
                };
                // The host has nothing for what it is not told of.
                if let Some(direction) = ready {
                    if expected.is_some_and(|(expected, _)| expected == direction) {
                        given = give(&mut host);
                    }
                    status = host.ask_status(1);
                }
            }
            let case = format!("{speed}, case {number}");
            match moved {
                Some(moved) => {
                    let unit = host.data(status);
                    assert_eq!((unit[0], unit[6]), (SENSE, 0), "{case}");
                    if let Some(id) = given {
                        let swallows = number == 9;
                        let length = host.data(id).len();
                        assert_eq!(length, if swallows { 512 } else { *moved }, "{case}");
                    }
                }
                None => {
                    assert_eq!(host.status_of(status), None, "{case}");
                    host.manage(30, ABORT_TASK, 1);
                    let response = if host.streams {
                        host.report(30)
                    } else {
                        let unit = host.data(status);
                        (unit[0], unit[3].into(), unit[7])
                    };
                    assert_eq!(response, (RESPONSE, 30, 0), "{case}");
                    if let Some(id) = given {
                        assert!(host.status_of(id).is_some(), "{case}: it ends");
                    }
                }
            }
            // After this it works.
            host.done.clear();
            host.command(2, 0, &read_10(9, 1));
            take_ready(&mut host, 2, READ_READY);
            let data = host.ask_data(2, 512);
            assert_eq!(host.data(data)[..], host.store.disk[9 * 512..10 * 512]);
            assert_eq!(host.report(2), (SENSE, 2, 0), "{case}");
        }
    }
}

/// Two commands of unit 0 and two of unit 1, all at the store.
fn two_units() -> (Host, Vec<BlockOp>) {
    let mut host = Host::new(Speed::High);
    // Both have been used, so that a reset is told.
    for lun in [0, 1] {
        host.command(1, lun, &READY);
        assert_eq!(host.report(1), (SENSE, 1, 0));
    }
    host.serving = false;
    for (tag, lun) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        host.command(tag, lun, &read_10(tag.into(), 1));
    }
    let ops = host.ops();
    assert_eq!(ops.len(), 4);
    (host, ops)
}

/// Tags in progress, as the device tells of them.
fn in_progress(host: &mut Host) -> Vec<u16> {
    let is_there = |tag: &u16| {
        let lun = u8::from(*tag > 2);
        host.manage_at(lun, 60, QUERY_TASK, *tag);
        match host.report(60) {
            (RESPONSE, 60, 8) => true,
            (RESPONSE, 60, 0) => false,
            other => panic!("{other:?}"),
        }
    };
    (1..=4).filter(is_there).collect()
}

#[test]
fn task_management_is_of_one_unit() {
    // The function, the task and unit it names, the response; what stays, and whose units are
    // reset.
    let cases: [(u8, u16, u8, u8, &[u16], [bool; 2]); 16] = [
        (ABORT_TASK, 1, 0, 0, &[2, 3, 4], [false; 2]),
        (ABORT_TASK, 3, 1, 0, &[1, 2, 4], [false; 2]),
        // There is no such task in that unit, and so nothing to do.
        (ABORT_TASK, 1, 1, 0, &[1, 2, 3, 4], [false; 2]),
        (ABORT_TASK, 9, 0, 0, &[1, 2, 3, 4], [false; 2]),
        (ABORT_TASK_SET, 3, 0, 0, &[3, 4], [false; 2]),
        (ABORT_TASK_SET, 1, 1, 0, &[1, 2], [false; 2]),
        (CLEAR_TASK_SET, 3, 0, 0, &[3, 4], [false; 2]),
        (CLEAR_TASK_SET, 1, 1, 0, &[1, 2], [false; 2]),
        (LOGICAL_UNIT_RESET, 0, 0, 0, &[3, 4], [true, false]),
        (LOGICAL_UNIT_RESET, 0, 1, 0, &[1, 2], [false, true]),
        (NEXUS_RESET, 0, 0, 0, &[], [true, true]),
        // It is of all units, whichever is named.
        (NEXUS_RESET, 0, 7, 0, &[], [true, true]),
        (QUERY_TASK, 3, 0, 0, &[1, 2, 3, 4], [false; 2]),
        (QUERY_TASK, 3, 1, 8, &[1, 2, 3, 4], [false; 2]),
        (QUERY_TASK_SET, 0, 1, 8, &[1, 2, 3, 4], [false; 2]),
        (0x33, 0, 0, 4, &[1, 2, 3, 4], [false; 2]),
    ];
    for (function, task, lun, response, stays, resets) in cases {
        let case = format!("{function:#x} of task {task} at unit {lun}");
        let (mut host, ops) = two_units();
        host.manage_at(lun, 50, function, task);
        assert_eq!(host.report(50), (RESPONSE, 50, response), "{case}");
        assert_eq!(in_progress(&mut host), stays, "{case}");
        for op in &ops {
            host.serve(op);
        }
        host.serving = true;
        host.run();
        // Those that stay end, each with the data of its unit.
        for tag in stays {
            assert_eq!(host.report(0), (READ_READY, *tag, 0), "{case}");
            let data = host.ask_data(*tag, 512);
            let data = host.data(data);
            if *tag > 2 {
                assert_eq!(data[..], host.other.disk[..512], "{case}");
            } else {
                let at = usize::from(*tag) * 512;
                assert_eq!(data[..], host.store.disk[at..at + 512], "{case}");
            }
            assert_eq!(host.report(0), (SENSE, *tag, 0), "{case}");
        }
        for (lun, is_reset) in (0..).zip(resets) {
            host.command(5, lun, &READY);
            if is_reset {
                assert_eq!(host.sense(5), (6, 0x29, 0), "{case}");
            } else {
                assert_eq!(host.report(5), (SENSE, 5, 0), "{case}");
            }
        }
        host.assert_quiet();
    }
}

#[test]
fn task_management_of_a_unit_that_is_none_does_nothing() {
    for function in [
        ABORT_TASK,
        ABORT_TASK_SET,
        CLEAR_TASK_SET,
        LOGICAL_UNIT_RESET,
        QUERY_TASK,
        QUERY_TASK_SET,
    ] {
        let (mut host, _) = two_units();
        host.manage_at(2, 50, function, 1);
        assert_eq!(host.report(50), (RESPONSE, 50, 9), "incorrect number");
        assert_eq!(in_progress(&mut host), [1, 2, 3, 4]);
    }
    let (mut host, ops) = two_units();
    host.manage_at(1, 50, ABORT_TASK_SET, 0);
    assert_eq!(host.report(50), (RESPONSE, 50, 0));
    host.manage_at(1, 50, QUERY_TASK_SET, 0);
    assert_eq!(host.report(50), (RESPONSE, 50, 0), "none is left");
    drop(ops);
}

/// What is at the store, by the block it is about.
fn at_store(host: &mut Host, ops: &mut Vec<BlockOp>) -> Vec<u64> {
    ops.extend(host.ops());
    ops.iter().map(|op| offset(op) / 512).collect()
}

/// SAM-5, 8.6.
#[test]
fn attributes_order_the_commands_of_a_unit() {
    let mut host = Host::new(Speed::Super);
    host.serving = false;
    let mut ops = Vec::new();
    let commands = [
        (SIMPLE, 1),
        (SIMPLE, 2),
        (ORDERED, 3),
        (SIMPLE, 4),
        (ORDERED, 5),
        (SIMPLE, 6),
        (SIMPLE, 7),
    ];
    for (attribute, tag) in commands {
        host.command_with(attribute, tag, 0, &read_10(tag.into(), 1));
        host.ask_data(tag, 512);
    }
    // Those of another unit do not wait.
    host.command_with(ORDERED, 8, 1, &read_10(8, 1));
    host.ask_data(8, 512);
    assert_eq!(at_store(&mut host, &mut ops), [1, 2, 8]);
    host.manage(30, QUERY_TASK, 5);
    assert_eq!(host.report(30), (RESPONSE, 30, 8), "it waits, and is there");
    let mut end = |host: &mut Host, tag: u16, then: &[u64]| {
        let at = ops.iter().position(|op| offset(op) == u64::from(tag) * 512);
        let op = ops.remove(at.unwrap());
        host.serve(&op);
        host.run();
        assert_eq!(host.report(tag), (SENSE, tag, 0));
        assert_eq!(at_store(host, &mut ops), then, "after {tag}");
    };
    end(&mut host, 2, &[1, 8]);
    end(&mut host, 8, &[1]);
    end(&mut host, 1, &[3]);
    // At the head: at once, beside what has begun; and nobody begins before it is over.
    host.command_with(HEAD_OF_QUEUE, 9, 0, &read_10(9, 1));
    host.ask_data(9, 512);
    end(&mut host, 3, &[9]);
    end(&mut host, 9, &[4]);
    // One that waits and is aborted lets the next in.
    host.manage(30, ABORT_TASK, 5);
    assert_eq!(host.report(30), (RESPONSE, 30, 0));
    end(&mut host, 4, &[6, 7]);
    end(&mut host, 6, &[7]);
    end(&mut host, 7, &[]);
}

#[test]
fn ordered_writes_of_one_block_are_never_at_the_store_at_once() {
    for speed in SPEEDS {
        let mut host = Host::new(speed);
        host.serving = false;
        for tag in [1, 2] {
            host.command_with(ORDERED, tag, 0, &write_10(9, 1));
        }
        for tag in [1, 2] {
            take_ready(&mut host, tag, WRITE_READY);
            host.give_data(tag, &[tag as u8; 512]);
            let ops = host.ops();
            assert_eq!(ops.len(), 1, "{speed}");
            host.serve(&ops[0]);
            host.run();
            assert_eq!(host.report(tag), (SENSE, tag, 0));
        }
        assert_eq!(host.store.disk[9 * 512..10 * 512], [2; 512]);
    }
}

#[test]
fn other_attributes_are_refused() {
    let mut host = Host::new(Speed::High);
    for attribute in [3, ACA, 5, 6, 7] {
        host.command_with(attribute, 1, 0, &write_10(0, 1));
        assert_eq!(host.sense(1), (5, 0x49, 0), "{attribute}");
        assert_eq!(host.device.poll_block(), None);
    }
    // The bits above are a priority.
    host.command_with(0x78, 1, 0, &READY);
    assert_eq!(host.report(1), (SENSE, 1, 0));
    host.assert_quiet();
}

/// A tag that has no stream has no status either: nothing is done for it, and nothing kept.
#[test]
fn tags_without_a_stream_do_not_exist() {
    let mut host = Host::new(Speed::Super);
    for _ in 0..200 {
        host.say(vec![0; 3]);
        host.say(vec![9, 0, 0, 33]);
        host.command(0, 0, &write_10(0, 1));
        host.command(33, 0, &write_10(0, 1));
        host.manage(0xffff, NEXUS_RESET, 0);
    }
    assert_eq!(host.device.poll_block(), None);
    host.command(32, 0, &READY);
    assert_eq!(host.report(32), (SENSE, 32, 0), "and no reset was done");
    for endpoint in [STATUS, DATA_IN, DATA_OUT] {
        for stream in [None, Some(33)] {
            let id = host.submit(|id| {
                let mut transfer = if endpoint == DATA_OUT {
                    Transfer::data_out(id, endpoint, Bytes::from_static(&[1; 4]))
                } else {
                    Transfer::data_in(id, endpoint, 512)
                };
                let stream = stream.map(|stream: u16| StreamId(stream.try_into().unwrap()));
                transfer.kind = Kind::Data { stream };
                transfer
            });
            assert_eq!(host.done.remove(&id).unwrap().status, Status::STALL);
        }
    }
    let id = host.submit(|id| {
        let mut transfer = Transfer::data_out(id, COMMAND, vec![1; 32].into());
        let stream = Some(StreamId(1u16.try_into().unwrap()));
        transfer.kind = Kind::Data { stream };
        transfer
    });
    assert_eq!(host.done.remove(&id).unwrap().status, Status::STALL);
    host.assert_quiet();
}

/// CMDQUE and the version descriptor of the transport, by the alternate setting.
#[test]
fn inquiry_is_of_the_transport_in_use() {
    let inquiry = [0x12, 0, 0, 0, 74, 0];
    let mut host = Host::new(Speed::High);
    for _ in 0..2 {
        host.control(SetupPacket::set_interface(0, 0));
        let wrapper = bench::cbw(5, 74, Direction::In, 0, &inquiry);
        let id = host.submit(|id| Transfer::data_out(id, DATA_OUT, wrapper.into()));
        host.data(id);
        let id = host.submit(|id| Transfer::data_in(id, DATA_IN, 74));
        let data = host.data(id);
        assert_eq!((data[7], &data[62..64]), (0, &[0x17, 0x30][..]));
        let id = host.submit(|id| Transfer::data_in(id, DATA_IN, 13));
        assert_eq!(host.data(id)[12], 0);
        host.control(SetupPacket::set_interface(0, 1));
        host.command(1, 0, &inquiry);
        assert_eq!(host.report(1), (READ_READY, 1, 0));
        let id = host.ask_data(1, 74);
        let data = host.data(id);
        assert_eq!((data[7], &data[62..64]), (2, &[0x17, 0x40][..]));
        assert_eq!(host.report(1), (SENSE, 1, 0));
    }
}

/// Of transfers longer than a piece one at a time gathers its data; the others have a piece, and
/// one more is ready.
#[test]
fn one_long_transfer_gathers_at_a_time() {
    let mut host = Host::new(Speed::Super);
    host.serving = false;
    let long: Vec<TransferId> = (1..=32)
        .map(|tag| {
            host.command(tag, 0, &read_10(0, 8192));
            host.ask_data(tag, 4 << 20)
        })
        .collect();
    let (mut asked, mut done, mut most) = (0, 0, 0);
    loop {
        let ops = host.ops();
        if ops.is_empty() {
            break;
        }
        asked += ops.len();
        let ended = |id: &&TransferId| host.done.contains_key(id);
        done = long.iter().filter(ended).count();
        most = most.max(asked - 4 * done);
        for op in &ops {
            host.serve(op);
        }
        host.run();
    }
    assert_eq!((asked, done), (4 * 32, 31));
    assert!(most <= 2 * 32 + 3, "{most} MiB at once");
    for (tag, id) in (1..).zip(&long) {
        assert!(host.data(*id)[..] == host.store.disk[..], "{tag}");
        assert_eq!(host.report(tag), (SENSE, tag, 0));
    }
    // One that is called off has what it gathered, and lets another.
    for tag in [1, 2] {
        host.command(tag, 0, &read_10(0, 8192));
    }
    let [first, second] = [1, 2].map(|tag| host.ask_data(tag, 4 << 20));
    for _ in 0..2 {
        for op in host.ops() {
            host.serve(&op);
        }
        host.run();
    }
    host.device.cancel(first);
    host.run();
    let cancelled = host.done.remove(&first).unwrap();
    assert_eq!(cancelled.status, Status::CANCELLED);
    assert_eq!(cancelled.actual.len(), 2 << 20);
    host.serving = true;
    host.run();
    assert!(host.data(second)[..] == host.store.disk[..]);
    let rest = host.ask_data(1, 2 << 20);
    assert!(host.data(rest)[..] == host.store.disk[2 * MIB..]);
}

#[test]
fn a_status_is_not_lost_to_a_transfer_without_room() {
    let mut host = Host::new(Speed::High);
    host.command(1, 0, &READY);
    let id = host.submit(|id| Transfer::data_in(id, STATUS, 0));
    assert_eq!(host.data(id).len(), 0);
    assert_eq!(host.report(1), (SENSE, 1, 0));
    host.command(1, 0, &read_10(4, 1));
    assert_eq!(host.report(1), (READ_READY, 1, 0));
    let id = host.ask_data(1, 0);
    assert_eq!(host.data(id).len(), 0);
    let id = host.ask_data(1, 512);
    assert_eq!(host.data(id)[..], host.store.disk[4 * 512..5 * 512]);
    assert_eq!(host.report(1), (SENSE, 1, 0));
    host.assert_quiet();
}

#[test]
fn what_waits_on_a_status_pipe_that_halts_stalls() {
    for speed in SPEEDS {
        let mut host = Host::new(speed);
        let ids = [1, 2].map(|tag| host.ask_status(tag));
        // SET_FEATURE(ENDPOINT_HALT).
        host.control(SetupPacket::from_bytes([2, 3, 0, 0, 0x83, 0, 0, 0]));
        for id in ids {
            assert_eq!(host.done.remove(&id).unwrap().status, Status::STALL);
        }
        host.command(1, 0, &READY);
        host.control(SetupPacket::clear_halt(STATUS));
        assert_eq!(host.report(1), (SENSE, 1, 0), "it was kept");
        host.assert_quiet();
    }
}
