//! Commands that compare, clear and give back blocks, and what becomes of the medium.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, cbw, disk, read_10, write_10};
use msc_bot::{BlockError, BlockOp, BlockSize, Lun, MediumEvent, UnitOptions};
use usb_descriptors::Direction::{In, Out};
use usb_transfer::Segments;

const READY: [u8; 6] = [0; 6];
const EJECT: [u8; 6] = [0x1b, 0, 0, 0, 2, 0];
const LOAD: [u8; 6] = [0x1b, 0, 0, 0, 3, 0];

const MISCOMPARE: (u8, u8, u8) = (0x0e, 0x1d, 0);
const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0);
const INVALID_FIELD: (u8, u8, u8) = (5, 0x24, 0);
const INVALID_PARAMETER: (u8, u8, u8) = (5, 0x26, 0);
const NO_MEDIUM: (u8, u8, u8) = (2, 0x3a, 0);

fn options() -> UnitOptions {
    disk(BlockSize::BYTES_512, 64).discard(true)
}

fn bench() -> Bench {
    Bench::new(options())
}

/// Runs a command with data from the host: good, or the sense.
#[track_caller]
fn send(bench: &mut Bench, command: &[u8], data: &[u8]) -> Result<(), (u8, u8, u8)> {
    match bench.command_out(command, data).0 {
        0 => Ok(()),
        _ => Err(bench.sense()),
    }
}

/// Runs a command without data.
#[track_caller]
fn ask(bench: &mut Bench, command: &[u8]) -> Result<(), (u8, u8, u8)> {
    match bench.command_in(command, 0).1 {
        0 => Ok(()),
        _ => Err(bench.sense()),
    }
}

#[test]
fn verify_compares_with_all_or_with_one_block() {
    let mut bench = bench();
    let verify = |check: u8, lba: u8, count: u8| [0x2f, check << 1, 0, 0, 0, lba, 0, 0, count, 0];
    let content = bench.stores[0].disk[5 * 512..8 * 512].to_vec();
    assert_eq!(send(&mut bench, &verify(1, 5, 3), &content), Ok(()));
    let mut wrong = content.clone();
    wrong[1535] ^= 1;
    assert_eq!(send(&mut bench, &verify(1, 5, 3), &wrong), Err(MISCOMPARE));
    bench.stores[0].disk[1024..4096].fill(0x5a);
    let block = [0x5a; 512];
    assert_eq!(send(&mut bench, &verify(3, 2, 6), &block), Ok(()));
    assert_eq!(send(&mut bench, &verify(3, 2, 7), &block), Err(MISCOMPARE));
    assert_eq!(ask(&mut bench, &verify(3, 2, 0)), Ok(()));
    assert_eq!(ask(&mut bench, &verify(2, 2, 1)), Err(INVALID_FIELD));
    bench.stores[0]
        .failures
        .push(BlockError::Medium { offset: 6 * 512 });
    assert_eq!(
        send(&mut bench, &verify(1, 5, 3), &content),
        Err((3, 0x11, 0))
    );
}

#[test]
fn a_long_comparison_is_done_piece_by_piece() {
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 6000));
    let content = bench.stores[0].disk[..5000 * 512].to_vec();
    let verify = [0x2f, 2, 0, 0, 0, 0, 0, 0x13, 0x88, 0];
    // In transfers that cut blocks.
    bench.send(&cbw(3, content.len() as u32, Out, 0, &verify));
    for piece in content.chunks(100_001) {
        let id = bench.post_out(piece.to_vec());
        bench.status(id);
    }
    // A flush, and three reads.
    assert_eq!((bench.csw().status, bench.stores[0].ops), (0, 4));
}

#[test]
fn write_and_verify_compares_what_it_wrote() {
    let mut bench = bench();
    for (opcode, check) in [(0x2e, 0), (0x2e, 2)] {
        let command = [opcode, check, 0, 0, 0, 3, 0, 0, 2, 0];
        let ops = bench.stores[0].ops;
        assert_eq!(send(&mut bench, &command, &[check | 1; 1024]), Ok(()));
        assert_eq!(bench.stores[0].disk[1536..2560], [check | 1; 1024]);
        assert_eq!(bench.stores[0].ops - ops, 2);
    }
    assert_eq!(bench.stores[0].durable_writes, 2);
    // A store that forgets: the write, then a read of something else.
    bench.serving = false;
    bench.send(&cbw(1, 512, Out, 0, &[0x2e, 2, 0, 0, 0, 3, 0, 0, 1, 0]));
    bench.post_out(vec![7; 512]);
    let write = bench.device.poll_block().unwrap();
    assert!(matches!(write, BlockOp::Write { durable: true, .. }));
    bench.device.finish(write.token(), Ok(Segments::new()));
    let read = bench.device.poll_block().unwrap();
    bench.device.finish(read.token(), Ok(Segments::zeros(512)));
    assert_eq!(bench.csw().status, 1);
    assert_eq!(bench.sense(), MISCOMPARE);
}

#[test]
fn compare_and_write_writes_only_over_what_was_expected() {
    let mut bench = bench();
    let command = |lba: u8, count: u8| {
        let mut command = [0; 16];
        command[0] = 0x89;
        command[9] = lba;
        command[13] = count;
        command
    };
    let old = bench.stores[0].disk[4 * 512..6 * 512].to_vec();
    let both = [old.clone(), vec![9; 1024]].concat();
    assert_eq!(send(&mut bench, &command(4, 2), &both), Ok(()));
    assert_eq!(bench.stores[0].disk[2048..3072], [9; 1024]);
    // Now it differs, and the information says from which byte on.
    bench.stores[0].disk[2048..2058].copy_from_slice(&old[..10]);
    assert_eq!(bench.command_out(&command(4, 2), &both).0, 1);
    let (sense, _, _) = bench.command_in(&[0x03, 1, 0, 0, 252, 0], 252);
    assert_eq!((sense[1], sense[2]), (0x0e, 0x1d));
    let at = u64::from_be_bytes(sense[12..20].try_into().unwrap());
    assert!((10..1024).contains(&at), "{at}");
    assert_eq!(bench.stores[0].disk[2058], 9, "nothing was written");
    assert_eq!(ask(&mut bench, &command(4, 0)), Ok(()));
    assert_eq!(ask(&mut bench, &command(4, 33)), Err(INVALID_FIELD));
    assert_eq!(ask(&mut bench, &command(63, 2)), Err(OUT_OF_RANGE));
}

#[test]
fn write_same_clears_gives_back_or_fills() {
    let mut bench = bench();
    let ten = |flags: u8, lba: u8, count: u8| [0x41, flags, 0, 0, 0, lba, 0, 0, count, 0];
    let mut sixteen = [0; 16];
    (sixteen[0], sixteen[9], sixteen[13]) = (0x93, 20, 4);
    assert_eq!(send(&mut bench, &ten(0, 2, 3), &[0; 512]), Ok(()));
    assert_eq!(bench.stores[0].disk[1024..2560], [0; 1536]);
    let mut block = [6; 512];
    block[511] = 7;
    assert_eq!(send(&mut bench, &ten(0, 50, 14), &block), Ok(()));
    assert_eq!(bench.stores[0].disk[50 * 512..], block.repeat(14));
    assert_ne!(bench.stores[0].disk[49 * 512..50 * 512], block);
    assert_eq!(ask(&mut bench, &ten(0, 50, 0)), Err(INVALID_FIELD), "WSNZ");
    // Without data (NDOB), and with UNMAP.
    sixteen[1] = 0x09;
    assert_eq!(ask(&mut bench, &sixteen), Ok(()));
    assert_eq!(bench.stores[0].disk[20 * 512..24 * 512], [0; 2048]);
    assert_eq!(send(&mut bench, &ten(0, 63, 2), &block), Err(OUT_OF_RANGE));
    let mut other = Bench::new(disk(BlockSize::BYTES_512, 64));
    assert_eq!(
        send(&mut other, &ten(8, 2, 3), &[0; 512]),
        Err(INVALID_FIELD)
    );
    // That it cannot be written at all goes before that it gives nothing back.
    let mut read_only = Bench::new(disk(BlockSize::BYTES_512, 64).read_only(true));
    for flags in [0, 8] {
        assert_eq!(
            send(&mut read_only, &ten(flags, 2, 3), &[0; 512]),
            Err((7, 0x27, 0))
        );
    }
}

#[test]
fn unmap_checks_every_descriptor_before_the_first() {
    let list = |descriptors: &[(u64, u32)]| {
        let length = (descriptors.len() * 16) as u16;
        let mut list = (length + 6).to_be_bytes().to_vec();
        list.extend(length.to_be_bytes());
        list.extend([0; 4]);
        for (lba, count) in descriptors {
            list.extend(lba.to_be_bytes());
            list.extend(count.to_be_bytes());
            list.extend([0; 4]);
        }
        list
    };
    let unmap = |list: &[u8]| [0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
    let mut bench = bench();
    let before = bench.stores[0].disk.clone();
    for wrong in [(64, 1), (u64::MAX, 1), (60, 5), (1, u32::MAX)] {
        let list = list(&[(3, 2), wrong]);
        assert_eq!(send(&mut bench, &unmap(&list), &list), Err(OUT_OF_RANGE));
    }
    assert_eq!(bench.stores[0].disk, before, "nothing happened");
    let good = list(&[(3, 2), (9, 0), (63, 1)]);
    assert_eq!(send(&mut bench, &unmap(&good), &good), Ok(()));
    let zeroed = |disk: &[u8], lba: usize| disk[lba * 512..][..512] == [0; 512];
    let zeros: Vec<usize> = (0..64)
        .filter(|lba| zeroed(&bench.stores[0].disk, *lba))
        .collect();
    assert_eq!(zeros, [3, 4, 63]);
    assert_eq!(
        send(&mut bench, &unmap(&good[..7]), &good[..7]),
        Err((5, 0x1a, 0))
    );
    // A descriptor that was sent in part is none.
    assert_eq!(send(&mut bench, &unmap(&good[..20]), &good[..20]), Ok(()));
    let mut read_only = Bench::new(options().read_only(true));
    assert_eq!(
        send(&mut read_only, &unmap(&good), &good),
        Err((7, 0x27, 0))
    );
}

#[test]
fn mode_select_changes_the_cache_or_nothing() {
    let mut bench = bench();
    let select = |length: u8| [0x15, 0x10, 0, 0, length, 0];
    let cache = |bench: &mut Bench, control: u8| {
        let sense = [0x1a, 8, control << 6 | 8, 0, 24, 0];
        bench.command_in(&sense, 24).0[6] & 4 != 0
    };
    let mut pages = vec![0, 0, 0, 0, 0x08, 18];
    pages.extend([0; 18]);
    let flushes = bench.stores[0].flushes;
    assert_eq!(send(&mut bench, &select(24), &pages), Ok(()));
    assert_eq!(bench.stores[0].flushes, flushes + 1, "what was in it");
    assert!(
        !cache(&mut bench, 0) && cache(&mut bench, 2),
        "now off, by default on"
    );
    assert_eq!(send(&mut bench, &write_10(0, 1), &[1; 512]), Ok(()));
    assert_eq!(bench.stores[0].durable_writes, 1);
    // The second page is wrong, so the first changes nothing.
    pages[6] = 4;
    let wrong = [&pages[..], &[0x0a, 10, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(
        send(&mut bench, &select(36), &wrong),
        Err(INVALID_PARAMETER)
    );
    assert!(!cache(&mut bench, 0));
    // A block descriptor would change the block size.
    let sized = [&[0, 0, 0, 8][..], &[0, 0, 0, 0, 0, 0, 1, 0]].concat();
    assert_eq!(
        send(&mut bench, &select(12), &sized),
        Err(INVALID_PARAMETER)
    );
    assert_eq!(send(&mut bench, &select(3), &pages[..3]), Err((5, 0x1a, 0)));
    assert_eq!(
        send(&mut bench, &select(20), &pages[..20]),
        Err((5, 0x1a, 0))
    );
    assert_eq!(bench.set_configuration(1), usb_transfer::Status::COMPLETED);
    assert_eq!(bench.sense(), (6, 0x29, 0));
    assert!(cache(&mut bench, 0), "a reset brings it back");
}

#[test]
fn the_embedder_changes_the_medium_and_the_host_is_told_once() {
    let mut bench = bench();
    let events =
        |bench: &mut Bench| std::iter::from_fn(|| bench.device.poll_medium()).collect::<Vec<_>>();
    assert_eq!(ask(&mut bench, &READY), Ok(()));
    bench.device.resize(Lun::ZERO, 80);
    assert_eq!(ask(&mut bench, &READY), Err((6, 0x2a, 9)));
    assert_eq!(ask(&mut bench, &READY), Ok(()));
    let (capacity, ..) = bench.command_in(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8);
    assert_eq!(capacity[..4], [0, 0, 0, 79]);
    bench.device.write_protect(Lun::ZERO, true);
    assert_eq!(
        send(&mut bench, &write_10(0, 1), &[0; 512]),
        Err((6, 0x2a, 1))
    );
    assert_eq!(
        send(&mut bench, &write_10(0, 1), &[0; 512]),
        Err((7, 0x27, 0))
    );
    bench.device.remove(Lun::ZERO);
    assert_eq!(ask(&mut bench, &READY), Err(NO_MEDIUM));
    assert_eq!(ask(&mut bench, &LOAD), Err(NO_MEDIUM), "the drive is empty");
    assert_eq!(events(&mut bench), [(Lun::ZERO, MediumEvent::Loaded)]);
    bench.device.insert(Lun::ZERO, 64, false);
    assert_eq!(ask(&mut bench, &READY), Err((6, 0x28, 0)));
    assert_eq!(send(&mut bench, &write_10(0, 1), &[0; 512]), Ok(()));
    assert_eq!(ask(&mut bench, &[0x1e, 0, 0, 0, 1, 0]), Ok(()));
    assert_eq!(events(&mut bench), [(Lun::ZERO, MediumEvent::Locked(true))]);
    assert_eq!(ask(&mut bench, &EJECT), Err((5, 0x53, 2)));
    assert_eq!(ask(&mut bench, &[0x1e, 0, 0, 0, 0, 0]), Ok(()));
    let flushes = bench.stores[0].flushes;
    assert_eq!(ask(&mut bench, &EJECT), Ok(()));
    assert_eq!(bench.stores[0].flushes, flushes + 1);
    assert_eq!(
        events(&mut bench),
        [
            (Lun::ZERO, MediumEvent::Ejected),
            (Lun::ZERO, MediumEvent::Locked(false))
        ]
    );
    assert_eq!(ask(&mut bench, &READY), Err(NO_MEDIUM));
    assert_eq!(ask(&mut bench, &LOAD), Ok(()), "it was not taken out");
    assert_eq!(ask(&mut bench, &READY), Ok(()));
    // Of what nobody asked for in time only the last is told.
    assert_eq!(ask(&mut bench, &EJECT), Ok(()));
    assert_eq!(events(&mut bench), [(Lun::ZERO, MediumEvent::Ejected)]);
}

/// SAM-5, 5.14: each once, a reset before all, and none of the commands that work in spite of them
/// takes one away; REQUEST SENSE tells one as its data.
#[test]
fn unit_attentions_are_told_in_their_order() {
    const IN_ORDER: [(u8, u8, u8); 4] = [(6, 0x29, 0), (6, 0x28, 0), (6, 0x2a, 9), (6, 0x2a, 1)];
    for asked_for in 0..=IN_ORDER.len() {
        let mut bench = bench();
        assert_eq!(ask(&mut bench, &READY), Ok(()));
        bench.device.write_protect(Lun::ZERO, true);
        bench.device.insert(Lun::ZERO, 64, false);
        bench.device.resize(Lun::ZERO, 80);
        bench.transport_reset();
        for _ in 0..2 {
            assert_eq!(bench.command_in(&[0x12, 0, 0, 0, 36, 0], 36).1, 0);
            let luns = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
            assert_eq!(bench.command_in(&luns, 16).1, 0);
        }
        for attention in &IN_ORDER[..asked_for] {
            assert_eq!(bench.sense(), *attention);
        }
        for attention in &IN_ORDER[asked_for..] {
            assert_eq!(ask(&mut bench, &READY), Err(*attention));
        }
        assert_eq!(ask(&mut bench, &READY), Ok(()));
        assert_eq!(bench.sense(), (0, 0, 0));
    }
}

#[test]
fn a_medium_that_is_removed_in_mid_read_ends_the_read() {
    let mut bench = bench();
    bench.serving = false;
    bench.send(&cbw(4, 512, In, 0, &read_10(3, 1)));
    let data = bench.post_in(512);
    let old = bench.device.poll_block().unwrap();
    bench.device.remove(Lun::ZERO);
    bench.run();
    assert_eq!(bench.data(data)[..], [0; 512], "padding");
    let csw = bench.csw();
    assert_eq!((csw.status, csw.residue), (1, 512));
    assert_eq!(bench.sense(), NO_MEDIUM);
    bench.device.insert(Lun::ZERO, 64, false);
    assert_eq!(bench.sense(), (6, 0x28, 0));
    bench.send(&cbw(5, 512, In, 0, &read_10(3, 1)));
    assert_eq!(bench.device.poll_block(), None, "the old one is out");
    bench.device.finish(old.token(), Err(BlockError::Hardware));
    assert!(bench.device.poll_block().is_some());
}

#[test]
fn what_waits_to_be_handed_out_is_not_when_its_medium_is_gone() {
    let mut bench = bench();
    bench.serving = false;
    bench.send(&cbw(4, 512, In, 0, &read_10(3, 1)));
    bench.device.remove(Lun::ZERO);
    assert_eq!(bench.device.poll_block(), None);
    bench.device.insert(Lun::ZERO, 64, false);
    bench.serving = true;
    bench.run();
    let data = bench.post_in(512);
    bench.data(data);
    assert_eq!(bench.csw().status, 1);
    assert_eq!(bench.sense(), NO_MEDIUM);
    bench.assert_fresh();
}

/// A store that hands out pages of a file which may go must copy what is looked at, and only that.
#[test]
fn what_is_compared_is_asked_for_to_be_looked_at() {
    let sixteen = |opcode: u8, byte_1: u8| {
        let mut command = [0; 16];
        (command[0], command[1], command[13]) = (opcode, byte_1, 1);
        command
    };
    for (command, data, inspected) in [
        (sixteen(0x88, 0), 0, false),
        (sixteen(0x8f, 0), 0, false),
        (sixteen(0x8f, 2), 512, true),
        (sixteen(0x8f, 6), 512, true),
        (sixteen(0x8e, 0), 512, true),
        (sixteen(0x89, 0), 1024, true),
    ] {
        let mut bench = bench();
        bench.serving = false;
        let direction = if data > 0 { Out } else { In };
        bench.send(&cbw(1, data.max(512), direction, 0, &command));
        if data > 0 {
            bench.post_out(vec![0; data as usize]);
        }
        let mut read = None;
        while let Some(op) = bench.device.poll_block() {
            if let BlockOp::Read { inspected, .. } = op {
                read = Some(inspected);
            }
            let result = bench.stores[0].serve(&op);
            bench.device.finish(op.token(), result);
        }
        assert_eq!(read, Some(inspected), "{command:02x?}");
    }
}

/// What a host may not do it is not told that it may.
#[test]
fn the_table_of_commands_follows_the_options() {
    let usage = |options: UnitOptions, opcode: u8| {
        let mut bench = Bench::new(options);
        let ask = [0xa3, 0x0c, 1, opcode, 0, 0, 0, 0, 0, 64, 0, 0];
        let (told, ..) = bench.command_in(&ask, 64);
        (told[1] == 3).then_some(told[5])
    };
    for (options, ten, sixteen, unmap) in [
        (options(), 0x08, 0x09, Some(0)),
        (options().discard(false), 0, 0x01, None),
    ] {
        assert_eq!(usage(options.clone(), 0x41), Some(ten));
        assert_eq!(usage(options.clone(), 0x93), Some(sixteen));
        assert_eq!(usage(options, 0x42), unmap);
    }
    // macOS looks after a medium that it may not lock.
    let prevent = [0x1e, 0, 0, 0, 1, 0];
    for (options, may_lock) in [
        (options(), true),
        (options().lockable(false), false),
        (options().removable(false), false),
    ] {
        assert_eq!(usage(options.clone(), 0x1e).is_some(), may_lock);
        let mut bench = Bench::new(options);
        let expected = if may_lock { Ok(()) } else { Err((5, 0x20, 0)) };
        assert_eq!(ask(&mut bench, &prevent), expected);
        let locked = bench.device.poll_medium();
        let expected = (Lun::ZERO, MediumEvent::Locked(true));
        assert_eq!(locked, may_lock.then_some(expected));
    }
}

#[test]
fn no_two_units_have_the_same_name() {
    let page = |options: UnitOptions, page: u8| {
        let mut bench = Bench::new(options);
        let (data, _, residue) = bench.command_in(&[0x12, 1, page, 1, 0, 0], 256);
        data[4..256 - residue as usize].to_vec()
    };
    // Without a number there is no designator that others would have too.
    assert_eq!(page(options().serial(""), 0x83), []);
    assert_eq!(page(options().serial(""), 0x80), [b' '; 8]);
    // As long as that of a device may be, and a suffix.
    let serial = |suffix| "A".repeat(126) + suffix;
    for each in [0x80, 0x83] {
        let one = page(options().serial(&serial("-1")), each);
        assert!(one.ends_with(b"AA-1"));
        assert_ne!(one, page(options().serial(&serial("-2")), each));
    }
    let longest = page(options().serial(&"B".repeat(300)), 0x83);
    assert_eq!((longest.len(), longest[3]), (228, 224));
}
