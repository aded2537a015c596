//! The transport, transfer by transfer: wrappers that are not valid, resets in every phase, requests
//! and descriptors. The data phase and the thirteen cases are in files of their own.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, Csw, cbw, disk, read_10, write_10};
use bytes::Bytes;
use msc_bot::{BlockError, BlockOp, BlockSize, BlockToken, UnitOptions};
use usb_descriptors::Direction::{In, Out};
use usb_descriptors::{Configuration, Speed};
use usb_transfer::{Function, Status, Transfer};

fn small() -> UnitOptions {
    disk(BlockSize::BYTES_512, 64)
}

/// What the host is told after a reset, if it has used the unit before.
const RESET: (u8, u8, u8) = (6, 0x29, 0);
const READY: [u8; 6] = [0; 6];

/// BOT 1.0, 6.6.1; the compliance test sends these three.
#[test]
fn an_invalid_wrapper_wedges_until_reset_recovery() {
    let good = cbw(1, 0, In, 0, &READY);
    let mut signature = good.clone();
    signature[0] = b'X';
    let long = [&good[..], &[0]].concat();
    for bad in [
        &signature,
        &good[..30].to_vec(),
        &long,
        &Vec::new(),
        &vec![0; 512],
    ] {
        let mut bench = Bench::new(small());
        let early = bench.post_in(13);
        let id = bench.post_out(bad.clone());
        assert_eq!(bench.status(id), Status::COMPLETED);
        assert_eq!(bench.status(early), Status::STALL);
        // Halted, and the halt says so.
        assert!(bench.is_halted(0x81));
        for _ in 0..2 {
            let (read, write) = (bench.post_in(13), bench.post_out(good.clone()));
            assert_eq!(bench.status(read), Status::STALL);
            assert_eq!(bench.status(write), Status::STALL);
            // To clear the halt alone does not help.
            assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
            assert_eq!(bench.clear_halt(0x02), Status::COMPLETED);
        }
        // The reset keeps the halts (BOT 1.0, 3.1).
        assert_eq!(bench.transport_reset(), Status::COMPLETED);
        let read = bench.post_in(13);
        assert_eq!(bench.status(read), Status::STALL);
        assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
        assert_eq!(bench.clear_halt(0x02), Status::COMPLETED);
        bench.assert_fresh();
    }
}

#[test]
fn configuring_frees_a_wedged_device() {
    for way in 0..3 {
        let mut bench = Bench::new(small());
        bench.post_out(vec![0; 31]);
        match way {
            0 => assert_eq!(bench.set_configuration(1), Status::COMPLETED),
            // SET_INTERFACE
            1 => assert_eq!(
                bench.control([1, 11, 0, 0, 0, 0, 0, 0]).0,
                Status::COMPLETED
            ),
            _ => {
                bench.device.reset();
                assert_eq!(bench.set_configuration(1), Status::COMPLETED);
            }
        }
        bench.assert_fresh();
    }
}

/// Valid but not meaningful (BOT 1.0, 6.2.2): answered as SCSI.
#[test]
fn a_wrapper_that_means_nothing_fails() {
    let mut bench = Bench::new(small());
    for length in [0, 17, 31] {
        let mut wrapper = cbw(5, 0, In, 0, &READY);
        wrapper[14] = length;
        bench.send(&wrapper);
        assert_eq!(bench.csw().status, 1);
        assert_eq!(bench.sense(), (5, 0x24, 0));
    }
    // Too short for its command.
    bench.send(&cbw(5, 0, In, 0, &read_10(0, 0)[..6]));
    assert_eq!(bench.csw().status, 1);
    assert_eq!(bench.sense(), (5, 0x24, 0));
    // Longer than its command, and garbage behind it: what hosts send.
    let mut wrapper = cbw(5, 18, In, 0, &[3, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0]);
    wrapper[27..].fill(0x55);
    bench.send(&wrapper);
    let data = bench.post_in(18);
    assert_eq!(bench.data(data).len(), 18);
    assert_eq!(bench.csw().status, 0);
}

#[test]
fn there_is_nothing_behind_other_unit_numbers() {
    let mut bench = Bench::new(small());
    bench.send(&cbw(1, 36, In, 9, &[0x12, 0, 0, 0, 36, 0]));
    let id = bench.post_in(36);
    assert_eq!(bench.data(id)[0], 0x7f);
    assert_eq!(bench.csw().status, 0);
    bench.send(&cbw(2, 512, In, 9, &read_10(0, 1)));
    let id = bench.post_in(512);
    assert_eq!(bench.data(id)[..], [0; 512]);
    assert_eq!(
        bench.csw(),
        Csw {
            tag: 2,
            residue: 512,
            status: 1
        }
    );
    bench.send(&cbw(3, 18, In, 9, &[3, 0, 0, 0, 18, 0]));
    let id = bench.post_in(18);
    assert_eq!(bench.data(id)[12], 0x25);
    assert_eq!(bench.csw().status, 0);
    bench.assert_fresh();
}

#[test]
fn class_requests_want_their_exact_parameters() {
    let mut bench = Bench::unconfigured(vec![small(), small(), small()]);
    let get_max_lun = [0xa1, 0xfe, 0, 0, 0, 0, 1, 0];
    assert_eq!(
        bench.control(get_max_lun).0,
        Status::STALL,
        "not configured"
    );
    bench.set_configuration(1);
    assert_eq!(bench.control(get_max_lun), (Status::COMPLETED, vec![2]));
    for wrong in [
        [0xa1, 0xfe, 1, 0, 0, 0, 1, 0], // wValue
        [0xa1, 0xfe, 0, 0, 1, 0, 1, 0], // wIndex
        [0xa1, 0xfe, 0, 0, 0, 0, 0, 0], // wLength
        [0xa1, 0xfe, 0, 0, 0, 0, 2, 0],
        [0x21, 0xff, 1, 0, 0, 0, 0, 0],
        [0x21, 0xff, 0, 0, 1, 0, 0, 0],
        [0xa1, 0xff, 0, 0, 0, 0, 1, 0],
        [0x21, 0xfd, 0, 0, 0, 0, 0, 0],
        [0xc0, 0x01, 0, 0, 0, 0, 1, 0], // vendor
    ] {
        assert_eq!(bench.control(wrong).0, Status::STALL, "{wrong:02x?}");
    }
    bench.assert_fresh();
}

#[test]
fn each_unit_is_a_disk_with_a_sense_of_its_own() {
    let mut bench = Bench::unconfigured(vec![small(), small()]);
    bench.set_configuration(1);
    bench.send(&cbw(1, 0, Out, 1, &[0xff; 6]));
    assert_eq!(bench.csw().status, 1);
    assert_eq!(bench.sense(), (0, 0, 0), "of unit 0");
    bench.send(&cbw(1, 18, In, 1, &[3, 0, 0, 0, 18, 0]));
    let id = bench.post_in(18);
    assert_eq!(bench.data(id)[12], 0x20);
    bench.csw();
    bench.send(&cbw(1, 512, Out, 1, &write_10(0, 1)));
    bench.post_out(vec![1; 512]);
    assert_eq!(bench.csw().status, 0);
    assert_eq!(bench.stores[1].disk[..512], [1; 512]);
    assert_ne!(bench.stores[0].disk[..512], [1; 512]);
    let (luns, ..) = bench.command_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0], 24);
    assert_eq!(luns[..4], [0, 0, 0, 16]);
    assert_eq!((luns[9], luns[17]), (0, 1));
}

#[test]
fn there_may_be_sixteen_units() {
    let mut bench = Bench::unconfigured(vec![small(); 16]);
    bench.set_configuration(1);
    let get_max_lun = [0xa1, 0xfe, 0, 0, 0, 0, 1, 0];
    assert_eq!(bench.control(get_max_lun), (Status::COMPLETED, vec![15]));
    let (luns, ..) = bench.command_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256);
    assert_eq!((luns[3], luns[8 + 15 * 8 + 1]), (128, 15));
    for lun in 0..16 {
        bench.send(&cbw(1, 512, Out, lun, &write_10(0, 1)));
        bench.post_out(vec![lun; 512]);
        assert_eq!(bench.csw().status, 0);
    }
    for (lun, store) in bench.stores.iter().enumerate() {
        assert_eq!(store.disk[..512], [lun as u8; 512]);
    }
}

#[test]
fn before_configuration_there_are_no_bulk_endpoints() {
    let mut bench = Bench::unconfigured(vec![small()]);
    let (read, write) = (bench.post_in(13), bench.post_out(cbw(1, 0, In, 0, &READY)));
    assert_eq!(bench.status(read), Status::STALL);
    assert_eq!(bench.status(write), Status::STALL);
    bench.set_configuration(1);
    for address in [0x82, 0x01, 0x83] {
        let endpoint = usb_descriptors::EndpointAddress::from_byte(address);
        let id = bench.ids.mint();
        let transfer = if address & 0x80 == 0 {
            Transfer::data_out(id, endpoint, Bytes::new())
        } else {
            Transfer::data_in(id, endpoint, 1)
        };
        bench.submit(transfer);
        assert_eq!(bench.status(id), Status::STALL);
    }
    bench.assert_fresh();
}

/// What is pending is completed first, then the request.
#[test]
fn a_reset_in_every_phase_gives_a_fresh_state() {
    let resets: [(&str, [u8; 8]); 3] = [
        ("transport reset", [0x21, 0xff, 0, 0, 0, 0, 0, 0]),
        ("SET_CONFIGURATION", [0, 9, 1, 0, 0, 0, 0, 0]),
        ("SET_INTERFACE", [1, 11, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, reset) in resets {
        for phase in 0..7 {
            let mut bench = Bench::new(small());
            bench.serving = false;
            let mut pending = Vec::new();
            match phase {
                0 => pending.push(bench.post_in(13)),
                // Waits for the store, data and status asked for.
                1 => {
                    bench.send(&cbw(1, 512, In, 0, &read_10(0, 1)));
                    pending.extend([bench.post_in(512), bench.post_in(13)]);
                }
                // The operation is handed out.
                2 => {
                    bench.send(&cbw(1, 512, In, 0, &read_10(0, 1)));
                    assert!(bench.device.poll_block().is_some());
                    pending.push(bench.post_in(512));
                }
                // Data for the store is missing.
                3 => bench.send(&cbw(1, 1024, Out, 0, &write_10(0, 2))),
                // Data is held back, for the store is busy.
                4 => {
                    bench.send(&cbw(1, 2048, Out, 0, &write_10(0, 4)));
                    bench.post_out(vec![1; 512]);
                    pending.extend([bench.post_out(vec![1; 512]), bench.post_out(vec![1; 512])]);
                }
                // Padding.
                5 => {
                    bench.send(&cbw(1, 512, In, 0, &READY));
                    let id = bench.post_in(100);
                    assert_eq!(bench.data(id).len(), 100);
                }
                // The status is due.
                _ => bench.send(&cbw(1, 0, In, 0, &READY)),
            }
            bench.order.clear();
            assert_eq!(bench.control(reset).0, Status::COMPLETED, "{name}");
            assert_eq!(bench.order.len(), pending.len() + 1);
            assert_eq!(
                bench.order[..pending.len()],
                pending,
                "{name}, phase {phase}"
            );
            for id in pending {
                assert_eq!(bench.status(id), Status::CANCELLED, "{name}, phase {phase}");
            }
            bench.serving = true;
            if phase == 2 {
                // The read of before is still out: nothing new until it comes back.
                assert_eq!(bench.sense(), RESET);
                bench.send(&cbw(2, 512, In, 0, &read_10(1, 1)));
                assert_eq!(bench.stores[0].ops, 0);
            } else {
                bench.assert_fresh();
            }
        }
    }
}

#[test]
fn a_write_of_before_never_lands_on_one_of_after() {
    let ways: [(&str, fn(&mut Bench)); 5] = [
        ("transport reset", |bench| {
            bench.transport_reset();
        }),
        ("SET_CONFIGURATION", |bench| {
            bench.set_configuration(1);
        }),
        ("no configuration", |bench| {
            bench.set_configuration(0);
            bench.set_configuration(1);
        }),
        ("SET_INTERFACE", |bench| {
            bench.control([1, 11, 0, 0, 0, 0, 0, 0]);
        }),
        // Of a port; also how a frontend ends, after which another host comes.
        ("reset", |bench| {
            bench.device.reset();
            bench.set_configuration(1);
        }),
    ];
    for (name, way) in ways {
        let mut bench = Bench::new(small());
        bench.serving = false;
        bench.send(&cbw(1, 512, Out, 0, &write_10(0, 1)));
        bench.post_out(vec![1; 512]);
        let old = bench.device.poll_block().unwrap();
        way(&mut bench);
        assert_eq!(bench.sense(), RESET, "{name}");
        bench.send(&cbw(2, 512, Out, 0, &write_10(0, 1)));
        let data = bench.post_out(vec![2; 512]);
        assert_eq!(bench.status(data), Status::COMPLETED, "it is next");
        assert_eq!(
            bench.device.poll_block(),
            None,
            "{name}: the old one is out"
        );
        // Nor does another reset change that.
        way(&mut bench);
        assert_eq!(bench.sense(), RESET, "{name}");
        bench.send(&cbw(2, 512, Out, 0, &write_10(0, 1)));
        bench.post_out(vec![2; 512]);
        assert_eq!(bench.device.poll_block(), None, "{name}: it still is");
        bench.device.finish(old.token(), Err(BlockError::Hardware));
        let new = bench.device.poll_block().unwrap();
        assert!(matches!(&new, BlockOp::Write { data, .. } if data[..] == [2; 512]));
        let early = bench.post_in(13);
        bench.device.finish(old.token(), Err(BlockError::Hardware)); // again: ignored
        assert!(bench.is_pending(early));
        bench.device.finish(new.token(), Ok(Bytes::new().into()));
        bench.run();
        let (tag, residue, status) = (2, 0, 0);
        assert_eq!(
            bench.csw_of(early),
            Csw {
                tag,
                residue,
                status
            },
            "{name}"
        );
    }
}

#[test]
fn what_was_not_handed_out_cannot_have_ended() {
    let mut bench = Bench::new(small());
    bench.serving = false;
    bench.send(&cbw(1, 512, Out, 0, &write_10(0, 1)));
    bench.post_out(vec![1; 512]);
    for number in 0..100 {
        let token = BlockToken::from_u64(number);
        bench.device.finish(token, Err(BlockError::Hardware));
    }
    let op = bench.device.poll_block().unwrap();
    assert!(matches!(&op, BlockOp::Write { data, .. } if data[..] == [1; 512]));
    let status = bench.post_in(13);
    assert!(bench.is_pending(status), "the store has not answered");
    bench.device.finish(op.token(), Ok(Bytes::new().into()));
    bench.run();
    assert_eq!(bench.csw_of(status).status, 0);
}

#[test]
fn a_reset_forgets_what_the_units_kept() {
    let mut bench = Bench::new(small());
    let eject = [0x1b, 0, 0, 0, 2, 0];
    assert_eq!(bench.command_in(&[0x1e, 0, 0, 0, 1, 0], 0).1, 0);
    assert_eq!(bench.command_in(&eject, 0).1, 1);
    assert_eq!(bench.transport_reset(), Status::COMPLETED);
    assert_eq!(bench.sense(), RESET);
    assert_eq!(bench.sense(), (0, 0, 0), "told once");
    assert_eq!(bench.command_in(&eject, 0).1, 0, "the lock is gone");
}

#[test]
fn a_host_may_halt_an_endpoint_by_itself() {
    let mut bench = Bench::new(small());
    let early = bench.post_in(13);
    assert_eq!(
        bench.control([2, 3, 0, 0, 0x81, 0, 0, 0]).0,
        Status::COMPLETED
    );
    assert_eq!(bench.status(early), Status::STALL);
    bench.send(&cbw(1, 0, In, 0, &READY));
    let halted = bench.post_in(13);
    assert_eq!(bench.status(halted), Status::STALL);
    assert_eq!(bench.clear_halt(0x81), Status::COMPLETED);
    assert_eq!(
        bench.csw(),
        Csw {
            tag: 1,
            residue: 0,
            status: 0
        },
        "it was held"
    );
}

#[test]
fn the_same_tag_may_come_again() {
    let mut bench = Bench::new(small());
    for _ in 0..3 {
        bench.send(&cbw(999, 512, In, 0, &read_10(2, 1)));
        let id = bench.post_in(512);
        assert_eq!(bench.data(id)[..], bench.stores[0].disk[1024..1536]);
        assert_eq!(
            bench.csw(),
            Csw {
                tag: 999,
                residue: 0,
                status: 0
            }
        );
    }
}

#[test]
fn only_at_high_speed_is_there_another() {
    for (speed, status) in [
        (Speed::Full, Status::STALL),
        (Speed::High, Status::COMPLETED),
        (Speed::Super, Status::STALL),
    ] {
        let mut bench = Bench::at(speed, small());
        for (kind, length) in [(6, 10), (7, 32)] {
            let (answer, data) = bench.control([0x80, 6, 0, kind, 0, 0, 64, 0]);
            assert_eq!(answer, status, "{speed}: descriptor {kind}");
            let expected = if status == Status::STALL { 0 } else { length };
            assert_eq!(data.len(), expected, "{speed}: descriptor {kind}");
        }
    }
}

#[test]
fn descriptors_are_complete_at_every_speed() {
    for speed in [Speed::Full, Speed::High, Speed::Super, Speed::SuperPlus] {
        let options = msc_bot::BotOptions::new(speed)
            .vendor_id(0x1234)
            .product_id(0x5678)
            .serial("SERIAL");
        let unit = || msc_bot::LogicalUnit::new(small());
        let bot = msc_bot::BotDevice::new(options.clone(), [unit()]).unwrap();
        let uas = msc_bot::UasDevice::new(options, [unit()]).unwrap();
        for (all, settings) in [(bot.descriptors(), 1), (uas.descriptors(), 2)] {
            let mut findings = Vec::new();
            all.lint(&mut |finding| findings.push(finding.rule.id()));
            let expected: &[_] = if speed == Speed::Full {
                &["full-speed-only"]
            } else {
                &[]
            };
            assert_eq!(findings, expected, "{speed}");
            let read = all.device().unwrap();
            assert_eq!((read.vendor_id(), read.product_id()), (0x1234, 0x5678));
            assert_eq!(
                all.string(read.serial_string()).unwrap().to_string(),
                "SERIAL"
            );
            assert_eq!(all.bos.is_some(), speed.is_super());
            // Only at high speed is there another that it works at, too.
            assert_eq!(all.qualifier.is_some(), speed == Speed::High);
            assert_eq!(
                all.other_speed_configurations.len(),
                usize::from(speed == Speed::High)
            );
            let configuration = Configuration::parse(&all.configurations[0]).unwrap();
            assert_eq!(configuration.interfaces().count(), settings);
            let bulk_only = configuration.interface(0, 0).unwrap();
            assert_eq!(bulk_only.endpoints().count(), 2);
        }
    }
    let low = msc_bot::BotOptions::new(Speed::Low);
    let unit = msc_bot::LogicalUnit::new(small());
    assert!(msc_bot::BotDevice::new(low, [unit]).is_err());
    let units = |count| (0..count).map(|_| msc_bot::LogicalUnit::new(small()));
    let options = || msc_bot::BotOptions::new(Speed::High);
    assert!(msc_bot::BotDevice::new(options(), units(16)).is_ok());
    for too_many in [17, 300] {
        let error = msc_bot::BotDevice::new(options(), units(too_many)).unwrap_err();
        assert_eq!(error, msc_bot::BotError::TooManyUnits);
    }
}

/// SeaBIOS and Windows 11 say 12 for commands of 6 and 10 bytes.
#[test]
fn a_command_may_be_sent_longer_than_it_is() {
    let mut bench = Bench::new(small());
    for command in [&READY[..], &[0x12, 0, 0, 0, 36, 0], &read_10(1, 1)] {
        let mut sent = command.to_vec();
        sent.resize(12, 0);
        let length = match command[0] {
            0x12 => 36,
            0x28 => 512,
            _ => 0,
        };
        let (data, status, residue) = bench.command_in(&sent, length);
        assert_eq!((status, residue), (0, 0));
        if command[0] == 0x28 {
            assert_eq!(data[..], bench.stores[0].disk[512..1024]);
        }
    }
}
