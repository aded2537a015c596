//! A host that speaks USB Attached SCSI to a `UasDevice`, transfer by transfer.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;
mod uas_host;

use bench::{pattern, read_10, write_10};
use msc_bot::{BlockError, BlockOp, Lun};
use uas_host::{DATA_IN, DATA_OUT, Host, READ_READY, RESPONSE, SENSE, STATUS, WRITE_READY};
use usb_descriptors::{SetupPacket, Speed};
use usb_transfer::{Function, Segments, Status, Transfer};

#[test]
fn without_streams_the_host_is_told_whose_data_is_next() {
    let mut host = Host::new(Speed::High);
    host.command(7, 0, &read_10(3, 2));
    assert_eq!(host.report(7), (READ_READY, 7, 0));
    let data = host.ask_data(7, 1024);
    assert_eq!(host.data(data)[..], host.store.disk[1536..2560]);
    assert_eq!(host.report(7), (SENSE, 7, 0));
    host.command(8, 0, &write_10(5, 2));
    assert_eq!(host.report(8), (WRITE_READY, 8, 0));
    let data = host.give_data(8, &[9; 1024]);
    assert_eq!(host.data(data).len(), 1024);
    assert_eq!(host.report(8), (SENSE, 8, 0));
    assert_eq!(host.store.disk[2560..3584], [9; 1024]);
    // Without data: only the status.
    host.command(9, 0, &[0; 6]);
    assert_eq!(host.report(9), (SENSE, 9, 0));
    host.assert_quiet();
}

#[test]
fn with_streams_data_and_status_go_by_the_tag() {
    let mut host = Host::new(Speed::Super);
    host.serving = false;
    host.command(1, 0, &read_10(1, 1));
    host.command(2, 0, &read_10(2, 1));
    let data: Vec<_> = [1, 2].map(|tag| host.ask_data(tag, 512)).into();
    let status: Vec<_> = [1, 2].map(|tag| host.ask_status(tag)).into();
    let ops: Vec<_> = std::iter::from_fn(|| host.device.poll_block()).collect();
    assert_eq!(ops.len(), 2, "both are at the store");
    // The later one is done first.
    for op in ops.iter().rev() {
        host.serve(op);
        host.run();
    }
    for (at, (data, status)) in data.into_iter().zip(status).enumerate() {
        assert_eq!(
            host.data(data)[..],
            host.store.disk[(at + 1) * 512..][..512]
        );
        let status = host.data(status);
        assert_eq!((status[0], status[3], status[6]), (SENSE, at as u8 + 1, 0));
    }
    host.serving = true;
    let data = host.give_data(3, &[4; 512]);
    host.command(3, 0, &write_10(9, 1));
    host.data(data);
    assert_eq!(host.report(3), (SENSE, 3, 0));
    assert_eq!(host.store.disk[9 * 512..10 * 512], [4; 512]);
}

#[test]
fn commands_take_turns_on_a_pipe_and_run_side_by_side() {
    let mut host = Host::new(Speed::High);
    host.serving = false;
    for tag in 1..=32 {
        host.command(tag, 0, &read_10(u32::from(tag), 1));
    }
    host.command(33, 0, &read_10(33, 1));
    assert_eq!(host.report(33), (SENSE, 33, 0x28), "the task set is full");
    host.serving = true;
    host.run();
    assert_eq!(host.store.ops, 32);
    let mut order = Vec::new();
    for _ in 1..=32 {
        let mut ready = host.report(1);
        // The status of the one before.
        if ready.0 == SENSE {
            assert_eq!(ready.2, 0);
            ready = host.report(1);
        }
        assert_eq!(ready.0, READ_READY);
        let data = host.ask_data(1, 512);
        let at = usize::from(ready.1) * 512;
        assert_eq!(host.data(data)[..], host.store.disk[at..at + 512]);
        order.push(ready.1);
    }
    assert_eq!(order, (1..=32).collect::<Vec<_>>());
    assert_eq!(host.report(1), (SENSE, 32, 0));
    host.assert_quiet();
}

/// CMDQUE, and the version descriptors of SPC-4, SBC-3 and UAS.
#[test]
fn inquiry_says_that_there_are_queues() {
    let mut host = Host::new(Speed::High);
    host.command(1, 0, &[0x12, 0, 0, 0, 74, 0]);
    assert_eq!(host.report(1), (READ_READY, 1, 0));
    let data = host.ask_data(1, 74);
    let data = host.data(data);
    assert_eq!((data.len(), data[7]), (74, 2));
    assert_eq!(data[58..64], [0x04, 0x60, 0x04, 0xc0, 0x17, 0x40]);
    assert_eq!(host.report(1), (SENSE, 1, 0));
    host.assert_quiet();
}

#[test]
fn errors_end_the_data_phase_before_the_status() {
    let mut host = Host::new(Speed::High);
    // Before any data: no data phase.
    host.command(1, 0, &read_10(8192, 1));
    assert_eq!(host.sense(1), (5, 0x21, 0));
    host.command(2, 5, &read_10(0, 1));
    assert_eq!(host.sense(2), (5, 0x25, 0), "no such unit");
    // In the middle of a read of two pieces: what there is, in a short transfer.
    host.serving = false;
    host.command(3, 0, &read_10(0, 4096));
    let first = host.device.poll_block().unwrap();
    host.serve(&first);
    assert_eq!(host.report(3), (READ_READY, 3, 0));
    let data = host.ask_data(3, 2 << 20);
    let second = host.device.poll_block().unwrap();
    host.device
        .finish(second.token(), Err(BlockError::Hardware));
    host.run();
    assert_eq!(host.data(data).len(), 1 << 20);
    assert_eq!(host.sense(3), (4, 0x44, 0));
    // In the middle of a write: the rest is swallowed.
    host.serving = true;
    host.store.failures.push(BlockError::NoSpace);
    host.command(4, 0, &write_10(0, 4096));
    assert_eq!(host.report(4), (WRITE_READY, 4, 0));
    let data = host.give_data(4, &vec![1; 2 << 20]);
    assert_eq!(host.data(data).len(), 2 << 20);
    assert_eq!(host.sense(4), (7, 0x27, 7));
    host.assert_quiet();
}

#[test]
fn data_may_be_cut_into_transfers_of_any_size() {
    let mut host = Host::new(Speed::High);
    host.command(1, 0, &write_10(0, 4096));
    assert_eq!(host.report(1), (WRITE_READY, 1, 0));
    let content = pattern((2 << 20) + 5)[5..].to_vec();
    for piece in content.chunks(300_001) {
        let id = host.give_data(1, piece);
        assert_eq!(host.data(id).len(), piece.len());
    }
    assert_eq!(host.report(1), (SENSE, 1, 0));
    assert!(host.store.disk[..2 << 20] == content);
    host.command(2, 0, &read_10(0, 4096));
    assert_eq!(host.report(2), (READ_READY, 2, 0));
    let mut read = Vec::new();
    while read.len() < 2 << 20 {
        let id = host.ask_data(2, 300_001);
        read.extend_from_slice(&host.data(id));
    }
    assert!(read == content);
    assert_eq!(host.report(2), (SENSE, 2, 0));
    host.assert_quiet();
}

#[test]
fn tasks_are_managed() {
    let mut host = Host::new(Speed::High);
    host.serving = false;
    host.command(1, 0, &write_10(0, 1));
    assert_eq!(host.report(1), (WRITE_READY, 1, 0));
    host.give_data(1, &[1; 512]);
    let old = host.device.poll_block().unwrap();
    host.manage(40, 0x80, 1);
    assert_eq!(host.report(40), (RESPONSE, 40, 8), "it is there");
    host.manage(41, 0x01, 1);
    assert_eq!(host.report(41), (RESPONSE, 41, 0), "it was");
    host.manage(42, 0x80, 1);
    assert_eq!(host.report(42), (RESPONSE, 42, 0), "not any more");
    host.done.clear();
    // The pipe is free, and what was aborted does not land on what comes.
    host.command(2, 0, &write_10(0, 1));
    assert_eq!(host.report(2), (WRITE_READY, 2, 0));
    host.give_data(2, &[2; 512]);
    assert_eq!(host.device.poll_block(), None);
    host.device.finish(old.token(), Ok(Segments::new()));
    assert!(host.device.poll_block().is_some());
    host.done.clear();
    // The same tag again while it is in use.
    host.command(2, 0, &[0; 6]);
    assert_eq!(host.report(2), (RESPONSE, 2, 0x0a));
    host.manage(43, 0x08, 0);
    assert_eq!(host.report(43), (RESPONSE, 43, 0), "the unit is reset");
    host.command(3, 0, &[0; 6]);
    assert_eq!(host.sense(3), (6, 0x29, 0));
    host.manage(44, 0x33, 0);
    assert_eq!(host.report(44), (RESPONSE, 44, 4), "no such function");
    host.say(vec![9; 32]);
    assert_eq!(host.report(1), (RESPONSE, 0x0909, 2));
    host.assert_quiet();
}

#[test]
fn another_setting_or_a_reset_cancels_all_and_forgets_all() {
    for step in 0..3 {
        let mut host = Host::new(Speed::High);
        host.serving = false;
        host.command(1, 0, &read_10(0, 1));
        host.command(2, 0, &write_10(0, 1));
        let mut pending = vec![host.ask_status(1), host.ask_data(1, 512)];
        // The readiness to write.
        host.done.clear();
        pending.retain(|id| !host.done.contains_key(id));
        let pending = vec![host.ask_status(1), host.ask_status(1)];
        let old = host.device.poll_block().unwrap();
        match step {
            0 => host.control(SetupPacket::set_interface(0, 0)),
            1 => host.control(SetupPacket::set_configuration(1)),
            _ => {
                host.device.reset();
                host.run();
            }
        }
        for id in &pending {
            assert_eq!(host.done.remove(id).unwrap().status, Status::CANCELLED);
        }
        host.done.clear();
        host.control(SetupPacket::set_configuration(1));
        host.control(SetupPacket::set_interface(0, 1));
        host.serving = true;
        host.device.finish(old.token(), Err(BlockError::Hardware));
        host.command(1, 0, &read_10(3, 1));
        let mut report = host.report(1);
        if report == (SENSE, 1, 2) {
            host.command(1, 0, &read_10(3, 1));
            report = host.report(1);
        }
        assert_eq!(report, (READ_READY, 1, 0), "step {step}");
        let data = host.ask_data(1, 512);
        assert_eq!(host.data(data)[..], host.store.disk[1536..2048]);
        assert_eq!(host.report(1), (SENSE, 1, 0));
        host.assert_quiet();
    }
}

#[test]
fn nothing_is_handed_out_before_all_of_before_is_finished() {
    fn configure(host: &mut Host) {
        host.control(SetupPacket::set_configuration(1));
        host.control(SetupPacket::set_interface(0, 1));
    }
    fn manage(host: &mut Host, function: u8) {
        host.manage(50, function, 0);
        assert_eq!(host.report(50), (RESPONSE, 50, 0));
    }
    // With the status of the next command: resets are told.
    let ways: [(&str, u8, fn(&mut Host)); 7] = [
        ("SET_CONFIGURATION", 2, configure),
        ("SET_INTERFACE", 2, |host| {
            host.control(SetupPacket::set_interface(0, 1));
        }),
        // Of a port; also how a frontend ends, after which another host comes.
        ("reset", 2, |host| {
            host.device.reset();
            configure(host);
        }),
        ("ABORT TASK SET", 0, |host| manage(host, 0x02)),
        ("CLEAR TASK SET", 0, |host| manage(host, 0x04)),
        ("LOGICAL UNIT RESET", 2, |host| manage(host, 0x08)),
        ("I_T NEXUS RESET", 2, |host| manage(host, 0x10)),
    ];
    for (name, status, way) in ways {
        let mut host = Host::new(Speed::High);
        host.serving = false;
        // Four at the store, and one that is not handed out.
        for tag in 1..=5 {
            host.command(tag, 0, &read_10(0, 1));
        }
        let mut old: Vec<_> = (0..4).map(|_| host.device.poll_block().unwrap()).collect();
        way(&mut host);
        assert_eq!(host.device.poll_block(), None, "{name}");
        host.command(6, 0, &[0; 6]);
        assert_eq!(host.report(6), (SENSE, 6, status), "{name}");
        host.command(7, 0, &write_10(0, 1));
        assert_eq!(host.report(7), (WRITE_READY, 7, 0), "{name}");
        host.give_data(7, &[7; 512]);
        while let Some(one) = old.pop() {
            assert_eq!(
                host.device.poll_block(),
                None,
                "{name}: {} are out",
                old.len() + 1
            );
            for _ in 0..2 {
                host.device.finish(one.token(), Ok(Segments::zeros(512)));
            }
        }
        let new = host.device.poll_block().unwrap();
        assert!(
            matches!(&new, BlockOp::Write { data, .. } if data[..] == [7; 512]),
            "{name}"
        );
        assert_eq!(
            host.device.poll_block(),
            None,
            "{name}: what was not handed out is gone"
        );
        host.serve(&new);
        host.run();
        assert_eq!(host.report(7), (SENSE, 7, 0), "{name}");
        host.done.clear();
        host.assert_quiet();
    }
}

#[test]
fn bulk_only_is_beside_it() {
    let mut host = Host::new(Speed::High);
    let get_max_lun = SetupPacket::from_bytes([0xa1, 0xfe, 0, 0, 0, 0, 1, 0]);
    let id = host.submit(|id| Transfer::control_in(id, get_max_lun));
    assert_eq!(host.done.remove(&id).unwrap().status, Status::STALL);
    host.control(SetupPacket::set_interface(0, 0));
    host.control(get_max_lun);
    let id = host.submit(|id| Transfer::data_in(id, STATUS, 112));
    assert_eq!(host.done.remove(&id).unwrap().status, Status::STALL);
    let wrapper = bench::cbw(5, 512, usb_descriptors::Direction::In, 0, &read_10(1, 1));
    let id = host.submit(|id| Transfer::data_out(id, DATA_OUT, wrapper.into()));
    host.data(id);
    let id = host.submit(|id| Transfer::data_in(id, DATA_IN, 512));
    assert_eq!(host.data(id)[..], host.store.disk[512..1024]);
    let id = host.submit(|id| Transfer::data_in(id, DATA_IN, 13));
    assert_eq!(host.data(id)[12], 0);
}

#[test]
fn a_medium_that_is_removed_ends_all_that_use_it() {
    let mut host = Host::new(Speed::High);
    host.serving = false;
    for tag in 1..4 {
        host.command(tag, 0, &read_10(0, 1));
    }
    let old = host.device.poll_block().unwrap();
    host.device.remove(Lun::ZERO);
    host.run();
    assert_eq!(
        host.device.poll_block(),
        None,
        "the others are not handed out"
    );
    for tag in 1..4 {
        assert_eq!(host.sense(tag), (2, 0x3a, 0));
    }
    host.device.insert(Lun::ZERO, 100, false);
    host.device.finish(old.token(), Ok(Segments::new()));
    host.serving = true;
    host.command(5, 0, &[0; 6]);
    assert_eq!(host.sense(5), (6, 0x28, 0));
    host.assert_quiet();
}
