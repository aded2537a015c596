extern crate std;
use std::vec;

use super::*;
use crate::BlockSize;

const TASK: Task = Task(3);

fn unit(blocks: u64) -> LogicalUnit {
    let options = UnitOptions::new(BlockSize::BYTES_512, blocks)
        .vendor("Vendor")
        .product("Product")
        .revision("2.1")
        .serial("SERIAL");
    LogicalUnit::new(options)
}

fn change(change: impl FnOnce(UnitOptions) -> UnitOptions) -> LogicalUnit {
    LogicalUnit::new(change(UnitOptions::new(BlockSize::BYTES_512, 100)))
}

/// Runs a command without a store: its data, or its sense. The sense is kept, as a transport does.
fn run(unit: &mut LogicalUnit, command: &[u8]) -> Result<Vec<u8>, Sense> {
    let mut block = [0; 16];
    block[..command.len()].copy_from_slice(command);
    unit.start(TASK, &block);
    let mut data = Vec::new();
    let mut announced = None;
    while let Some(event) = unit.poll() {
        match event {
            UnitEvent::Phase(_, _, length) => announced = Some(length),
            UnitEvent::In(_, piece) => data.extend_from_slice(&piece.to_bytes()),
            UnitEvent::Block(op @ BlockOp::Flush { .. }) => {
                unit.finish(op.token(), Ok(Segments::new()));
            }
            UnitEvent::Done(task, result) => {
                assert_eq!(task, TASK);
                assert_eq!(announced, Some(data.len() as u64));
                if let Err(sense) = result {
                    unit.keep_sense(sense);
                }
                return result.map(|()| data);
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not end")
}

/// Runs a command up to its first operation.
fn first_op(unit: &mut LogicalUnit, command: &[u8]) -> Option<BlockOp> {
    let mut block = [0; 16];
    block[..command.len()].copy_from_slice(command);
    unit.start(TASK, &block);
    while let Some(event) = unit.poll() {
        match event {
            UnitEvent::Block(op) => return Some(op),
            UnitEvent::WantOut(task, length) => {
                unit.data_out(task, vec![1; length as usize].into());
            }
            UnitEvent::Done(..) => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn inquiry_says_who_it_is() {
    let mut unit = unit(100);
    let data = run(&mut unit, &[0x12, 0, 0, 0, 255, 0]).unwrap();
    assert_eq!(&data[..8], [0, 0x80, 6, 2, 69, 0, 0, 0]);
    assert_eq!(&data[8..36], b"Vendor  Product         2.1 ");
    assert_eq!(&data[58..64], [0x04, 0x60, 0x04, 0xc0, 0x17, 0x30]);
    assert_eq!(data.len(), 74);
    assert_eq!(run(&mut unit, &[0x12, 0, 0, 0, 5, 0]).unwrap().len(), 5);
    assert_eq!(run(&mut unit, &[0x12, 0, 0, 0, 0, 0]).unwrap().len(), 0);
    let fixed = &mut change(|options| options.removable(false));
    assert_eq!(run(fixed, &[0x12, 0, 0, 0, 36, 0]).unwrap()[1], 0);
    // A page without EVPD.
    let page = run(&mut unit, &[0x12, 0, 0x80, 0, 36, 0]);
    assert_eq!(page, Err(Sense::INVALID_FIELD));
}

#[test]
fn vital_product_data_has_the_lengths_it_states() {
    let mut unit = unit(100);
    let pages = run(&mut unit, &[0x12, 1, 0, 0, 255, 0]).unwrap();
    assert_eq!(&pages[4..], [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for page in pages.iter().skip(4).copied() {
        let data = run(&mut unit, &[0x12, 1, page, 1, 0, 0]).unwrap();
        assert_eq!(data[1], page);
        let length = usize::from(u16::from_be_bytes([data[2], data[3]]));
        assert_eq!(length + 4, data.len(), "page {page:02x}h");
        match page {
            0x80 => assert_eq!(&data[4..], b"SERIAL"),
            0x83 => {
                assert_eq!(usize::from(data[7]) + 8, data.len());
                assert_eq!(&data[8..], b"Vendor  Product         SERIAL");
            }
            0xb0 => assert_eq!((data.len(), data[7]), (64, 1)),
            0xb1 => assert_eq!((data.len(), data[5]), (64, 1)),
            _ => {}
        }
    }
    let unknown = run(&mut unit, &[0x12, 1, 0xb5, 0, 255, 0]);
    assert_eq!(unknown, Err(Sense::INVALID_FIELD));
    let nameless = &mut change(|options| options);
    let data = run(nameless, &[0x12, 1, 0x80, 0, 255, 0]).unwrap();
    assert_eq!(&data[4..], b"        ");
}

#[test]
fn capacities_are_clamped_where_the_field_is_small() {
    let ten = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sixteen = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let formats = [0x23, 0, 0, 0, 0, 0, 0, 0, 12, 0];
    // Blocks; last block in 32 and in 64 bits; blocks in 32 bits.
    let cases = [
        (1, 0, 0, 1),
        (0xffff_ffff, 0xffff_fffe, 0xffff_fffe, 0xffff_ffff),
        (1 << 32, u32::MAX, 0xffff_ffff, u32::MAX),
        (1 << 40, u32::MAX, (1 << 40) - 1, u32::MAX),
    ];
    for (blocks, last_32, last_64, count) in cases {
        let mut unit = unit(blocks);
        let data = run(&mut unit, &ten).unwrap();
        assert_eq!(data[..4], u32::to_be_bytes(last_32));
        assert_eq!(data[4..], [0, 0, 2, 0]);
        let data = run(&mut unit, &sixteen).unwrap();
        assert_eq!(data.len(), 32);
        assert_eq!(data[..8], u64::to_be_bytes(last_64));
        assert_eq!(data[8..12], [0, 0, 2, 0]);
        assert_eq!(data[12..], [0; 20]);
        let data = run(&mut unit, &formats).unwrap();
        assert_eq!(data[..4], [0, 0, 0, 8]);
        assert_eq!(data[4..8], u32::to_be_bytes(count));
        assert_eq!(data[8..], [2, 0, 2, 0]);
    }
    // An address without PMI.
    let strange = [0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(run(&mut unit(9), &strange), Err(Sense::INVALID_FIELD));
}

#[test]
fn a_disk_of_no_blocks_has_no_medium() {
    let mut unit = unit(0);
    for command in [
        &[0x00, 0, 0, 0, 0, 0][..],
        &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1b, 0, 0, 0, 3, 0],
    ] {
        assert_eq!(run(&mut unit, command), Err(Sense::NO_MEDIUM));
    }
    let formats = run(&mut unit, &[0x23, 0, 0, 0, 0, 0, 0, 0, 12, 0]).unwrap();
    assert_eq!(formats[8] & 3, 3, "no medium");
    assert!(run(&mut unit, &[0x12, 0, 0, 0, 36, 0]).is_ok());
}

#[test]
fn addresses_are_checked_in_64_bits() {
    let mut unit = unit(1000);
    let sixteen = |lba: u64, blocks: u32| {
        let mut command = [0x88; 16];
        command[1] = 0;
        command[2..10].copy_from_slice(&lba.to_be_bytes());
        command[10..14].copy_from_slice(&blocks.to_be_bytes());
        command[14..].fill(0);
        command
    };
    for (lba, blocks) in [
        (1000, 1),
        (999, 2),
        (1001, 0),
        (u64::MAX, 1),
        (u64::MAX, 0),
        (0, 1001),
    ] {
        let result = run(&mut unit, &sixteen(lba, blocks));
        assert_eq!(result, Err(Sense::LBA_OUT_OF_RANGE), "{lba} {blocks}");
    }
    assert_eq!(run(&mut unit, &sixteen(1000, 0)), Ok(vec![]));
    let op = first_op(&mut unit, &sixteen(999, 1)).unwrap();
    assert!(matches!(
        op,
        BlockOp::Read {
            offset: 511_488,
            length: 512,
            ..
        }
    ));
}

#[test]
fn a_store_gives_what_was_asked_or_fails() {
    let read = [0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0];
    for given in [0, 511, 512, 513] {
        let mut unit = unit(100);
        let op = first_op(&mut unit, &read).unwrap();
        unit.finish(op.token(), Ok(Segments::zeros(given)));
        let event = unit.poll();
        if given < 512 {
            let failed = UnitEvent::Done(TASK, Err(Sense::INTERNAL_FAILURE));
            assert_eq!(event, Some(failed));
        } else {
            assert_eq!(event, Some(UnitEvent::In(TASK, Segments::zeros(512))));
        }
        // Again: it is not out any more.
        unit.finish(op.token(), Ok(Segments::zeros(512)));
    }
}

#[test]
fn every_form_of_read_and_write_becomes_an_operation() {
    let reads: [&[u8]; 4] = [
        &[0x08, 0, 0, 7, 2, 0],
        &[0x28, 0, 0, 0, 0, 7, 0, 0, 2, 0],
        &[0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0],
        &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0],
    ];
    for command in reads {
        let op = first_op(&mut unit(100), command).unwrap();
        assert!(
            matches!(
                op,
                BlockOp::Read {
                    offset: 3584,
                    length: 1024,
                    ..
                }
            ),
            "{op:?}"
        );
        let mut write = command.to_vec();
        write[0] += 2;
        for (byte, expected) in [(0x00, false), (0x08, true), (0x10, false)] {
            // The six-byte form has an address there.
            if command.len() > 6 {
                write[1] = byte;
                let op = first_op(&mut unit(100), &write).unwrap();
                let BlockOp::Write {
                    offset,
                    data,
                    durable,
                    ..
                } = op
                else {
                    panic!("{op:?}")
                };
                assert_eq!((offset, data.len(), durable), (3584, 1024, expected));
            }
        }
        let read_only = &mut change(|options| options.read_only(true));
        write[1] = 0;
        assert_eq!(run(read_only, &write), Err(Sense::WRITE_PROTECTED));
        let through = &mut change(|options| options.write_cache(false));
        let op = first_op(through, &write);
        assert!(matches!(op, Some(BlockOp::Write { durable: true, .. })));
    }
    // Count 0: 256 blocks in six bytes, else none.
    let op = first_op(&mut unit(256), &[0x08, 0, 0, 0, 0, 0]);
    assert!(matches!(
        op,
        Some(BlockOp::Read {
            length: 131_072,
            ..
        })
    ));
    assert_eq!(
        first_op(&mut unit(256), &[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        None
    );
}

#[test]
fn verify_reads_and_tells_nothing_but_errors() {
    let mut unit = unit(5000);
    let verify = [0x2f, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0]; // 3000 blocks: two operations
    let flush = first_op(&mut unit, &verify).unwrap();
    assert!(matches!(flush, BlockOp::Flush { .. }));
    unit.finish(flush.token(), Ok(Segments::new()));
    let Some(UnitEvent::Block(op)) = unit.poll() else {
        panic!()
    };
    assert!(matches!(
        op,
        BlockOp::Read {
            offset: 0,
            length: 1_048_576,
            ..
        }
    ));
    unit.finish(op.token(), Ok(Segments::zeros(1 << 20)));
    let Some(UnitEvent::Block(op)) = unit.poll() else {
        panic!()
    };
    let bad = BlockError::Medium { offset: 2500 * 512 };
    unit.finish(op.token(), Err(bad));
    let sense = Sense::READ_ERROR.with_information(2500);
    assert_eq!(unit.poll(), Some(UnitEvent::Done(TASK, Err(sense))));
    let reserved = [0x2f, 4, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(run(&mut unit, &reserved), Err(Sense::INVALID_FIELD));
}

#[test]
fn what_is_cached_is_flushed_by_those_who_should() {
    let mut unit = unit(100);
    let flushes: [&[u8]; 4] = [
        &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x35, 2, 0, 0, 0, 10, 0, 0, 5, 0],
        &[0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1b, 0, 0, 0, 0, 0], // stop
    ];
    for command in flushes {
        let op = first_op(&mut unit, command);
        let Some(BlockOp::Flush { token, .. }) = op else {
            panic!("{command:02x?}")
        };
        unit.finish(token, Err(BlockError::Medium { offset: 1024 }));
        let sense = Sense::WRITE_ERROR.with_information(2);
        assert_eq!(unit.poll(), Some(UnitEvent::Done(TASK, Err(sense))));
    }
    let beyond = [0x35, 0, 0, 0, 0, 101, 0, 0, 0, 0];
    assert_eq!(run(&mut unit, &beyond), Err(Sense::LBA_OUT_OF_RANGE));
}

#[test]
fn mode_pages_tell_cache_and_protection() {
    let mut unit = unit(100);
    let all = run(&mut unit, &[0x1a, 0, 0x3f, 0, 192, 0]).unwrap();
    assert_eq!(all.len(), 4 + 20 + 12);
    assert_eq!(&all[..4], [35, 0, 0x10, 0]);
    assert_eq!(&all[4..7], [0x08, 18, 0x04]);
    assert_eq!(&all[24..26], [0x0a, 10]);
    let long = run(&mut unit, &[0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0, 0]).unwrap();
    assert_eq!(&long[..8], [0, 38, 0, 0x10, 0, 0, 0, 0]);
    assert_eq!(long[8..], all[4..]);
    let caching = run(&mut unit, &[0x1a, 8, 0x08, 0, 192, 0]).unwrap();
    assert_eq!((caching.len(), caching[0]), (24, 23));
    // Changeable: the cache. Saved: not there.
    let changeable = run(&mut unit, &[0x1a, 0, 0x48, 0, 192, 0]).unwrap();
    assert_eq!(&changeable[4..7], [0x08, 18, 4]);
    assert_eq!(changeable[7..], [0; 17]);
    assert_eq!(
        run(&mut unit, &[0x1a, 0, 0xc8, 0, 192, 0]),
        Err(Sense::NOT_SAVED)
    );
    for (page, subpage) in [(0x02, 0), (0x08, 1)] {
        let result = run(&mut unit, &[0x1a, 0, page, subpage, 192, 0]);
        assert_eq!(result, Err(Sense::INVALID_FIELD));
    }
    let other = &mut change(|options| options.read_only(true).write_cache(false));
    let all = run(other, &[0x1a, 0, 0x3f, 0, 192, 0]).unwrap();
    assert_eq!((all[2], all[6]), (0x90, 0));
}

#[test]
fn a_locked_medium_stays_and_an_ejected_one_can_be_loaded() {
    let (eject, load) = ([0x1b, 0, 0, 0, 2, 0], [0x1b, 0, 0, 0, 3, 0]);
    let ready = [0; 6];
    let mut unit = unit(100);
    run(&mut unit, &[0x1e, 0, 0, 0, 1, 0]).unwrap();
    assert_eq!(run(&mut unit, &eject), Err(Sense::REMOVAL_PREVENTED));
    run(&mut unit, &[0x1e, 0, 0, 0, 0, 0]).unwrap();
    run(&mut unit, &eject).unwrap();
    assert_eq!(run(&mut unit, &ready), Err(Sense::NO_MEDIUM));
    run(&mut unit, &load).unwrap();
    run(&mut unit, &ready).unwrap();
    // A power condition takes START and LOEJ their meaning.
    run(&mut unit, &[0x1b, 0, 0, 0, 0x32, 0]).unwrap();
    run(&mut unit, &ready).unwrap();
    // A reset unlocks.
    run(&mut unit, &[0x1e, 0, 0, 0, 1, 0]).unwrap();
    unit.reset();
    assert_eq!(run(&mut unit, &eject), Err(Sense::RESET));
    run(&mut unit, &eject).unwrap();
    let fixed = &mut change(|options| options.removable(false));
    assert_eq!(run(fixed, &eject), Err(Sense::INVALID_FIELD));
}

#[test]
fn a_sense_is_kept_until_it_is_told_or_outdated() {
    let mut unit = unit(100);
    let ask = [0x03, 0, 0, 0, 18, 0];
    run(&mut unit, &[0xff]).unwrap_err();
    let told = run(&mut unit, &ask).unwrap();
    assert_eq!(Sense::parse(&told), Some(Sense::INVALID_OPCODE));
    assert_eq!(
        Sense::parse(&run(&mut unit, &ask).unwrap()),
        Some(Sense::NONE)
    );
    run(&mut unit, &[0xff]).unwrap_err();
    run(&mut unit, &[0; 6]).unwrap();
    assert_eq!(
        Sense::parse(&run(&mut unit, &ask).unwrap()),
        Some(Sense::NONE)
    );
    unit.keep_sense(Sense::READ_ERROR.with_information(1 << 33));
    let told = run(&mut unit, &[0x03, 1, 0, 0, 252, 0]).unwrap();
    let expected = Sense::READ_ERROR.with_information(1 << 33);
    assert_eq!(Sense::parse(&told), Some(expected));
}

#[test]
fn unknown_commands_and_fields_are_refused() {
    let mut unit = unit(100);
    // Among them UNMAP, of a unit that gives nothing back, and PERSISTENT RESERVE.
    for opcode in [0x04, 0x16, 0x42, 0x5e, 0x5f, 0x85, 0xa1, 0xc0, 0xff] {
        assert_eq!(run(&mut unit, &[opcode; 1]), Err(Sense::INVALID_OPCODE));
    }
    let fields: [&[u8]; 5] = [
        &[0x9e, 0x11],                        // another service action
        &[0x00, 0, 0, 0, 0, 4],               // NACA
        &[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1],   // PROTECT
        &[0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 255], // select report
        &[0x12, 2, 0, 0, 36],                 // CMDDT
    ];
    for command in fields {
        assert_eq!(
            run(&mut unit, command),
            Err(Sense::INVALID_FIELD),
            "{command:02x?}"
        );
    }
    unit.place(Lun::new(1).unwrap(), 2);
    assert!(
        first_op(&mut unit, &[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1]).is_some(),
        "the unit's number"
    );
}

#[test]
fn units_are_listed() {
    let mut unit = unit(100);
    unit.place(Lun::ZERO, 3);
    let list = run(&mut unit, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    assert_eq!(list.len(), 8 + 24);
    assert_eq!((list[3], list[9], list[17], list[25]), (24, 0, 1, 2));
    let well_known = run(&mut unit, &[0xa0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    assert_eq!(well_known, [0; 8]);
}

#[test]
fn the_table_of_commands_is_told() {
    let mut unit = unit(100);
    let ask = |options: u8, opcode: u8, action: u8| {
        [0xa3, 0x0c, options, opcode, 0, action, 0, 0, 0x10, 0, 0, 0]
    };
    let all = run(&mut unit, &ask(0, 0, 0)).unwrap();
    assert_eq!(
        all[..4],
        u32::to_be_bytes(u32::try_from(all.len()).unwrap() - 4)
    );
    assert_eq!(all.len() % 8, 4);
    for descriptor in all[4..].chunks(8) {
        let one = if descriptor[5] & 1 == 0 { 1 } else { 2 };
        let told = run(&mut unit, &ask(one, descriptor[0], descriptor[3])).unwrap();
        assert_eq!((told[1], told[3]), (3, descriptor[7]));
        assert_eq!(told.len(), 4 + usize::from(told[3]));
        assert_eq!(told[4], descriptor[0]);
        // Either way of asking; the other way is wrong.
        assert_eq!(
            run(&mut unit, &ask(3, descriptor[0], descriptor[3])).unwrap(),
            told
        );
        let wrong = run(&mut unit, &ask(3 - one, descriptor[0], descriptor[3]));
        assert_eq!(wrong, Err(Sense::INVALID_FIELD));
    }
    assert_eq!(run(&mut unit, &ask(1, 0xff, 0)).unwrap(), [0, 1, 0, 0]);
    assert_eq!(run(&mut unit, &ask(2, 0x9e, 0x1f)).unwrap(), [0, 1, 0, 0]);
    assert_eq!(run(&mut unit, &ask(4, 0, 0)), Err(Sense::INVALID_FIELD));
    let timeouts = run(&mut unit, &ask(0x80, 0, 0)).unwrap();
    assert_eq!((timeouts.len() - 4) / 20, (all.len() - 4) / 8);
    let timeouts = run(&mut unit, &ask(0x81, 0x28, 0)).unwrap();
    assert_eq!((timeouts[1], timeouts.len()), (0x83, 4 + 10 + 12));
}

#[test]
fn data_to_write_is_asked_for_one_piece_ahead() {
    let mut unit = unit(1 << 20);
    let mut write = [0x2a, 0, 0, 0, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0, 0]; // 3 MiB
    write[1] = 0;
    unit.start(TASK, &write);
    let expected = UnitEvent::Phase(TASK, Some(Direction::Out), 3 << 20);
    assert_eq!(unit.poll(), Some(expected));
    assert_eq!(unit.poll(), Some(UnitEvent::WantOut(TASK, 1 << 20)));
    assert_eq!(unit.poll(), None);
    // Less than was wanted, with a start of a block.
    unit.data_out(TASK, vec![1; 700].into());
    let Some(UnitEvent::Block(op)) = unit.poll() else {
        panic!()
    };
    assert!(matches!(&op, BlockOp::Write { offset: 0, data, .. } if data.len() == 512));
    assert_eq!(unit.poll(), Some(UnitEvent::WantOut(TASK, 1 << 20)));
    // More than was wanted is cut.
    unit.data_out(TASK, vec![2; (1 << 20) + 5].into());
    assert_eq!(unit.poll(), None, "one is out, one is next");
    unit.data_out(TASK, vec![3; 512].into()); // not wanted
    unit.finish(op.token(), Ok(Segments::new()));
    let Some(UnitEvent::Block(op)) = unit.poll() else {
        panic!()
    };
    let BlockOp::Write {
        offset: 512, data, ..
    } = &op
    else {
        panic!("{op:?}")
    };
    assert_eq!(
        (data.len(), data[187], data[188]),
        (512, 1, 2),
        "the block that was cut"
    );
    assert_eq!(unit.poll(), None);
    unit.finish(op.token(), Err(BlockError::NoSpace));
    let error = Err(Sense::SPACE_ALLOCATION_FAILED);
    assert_eq!(unit.poll(), Some(UnitEvent::Done(TASK, error)));
    assert_eq!(unit.poll(), None);
}

#[test]
fn tasks_run_side_by_side_and_wait_for_those_that_were_aborted() {
    let mut unit = unit(100);
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let (first, second) = (Task(1), Task(2));
    unit.start(first, &read);
    unit.start(second, &read);
    let mut ops = Vec::new();
    while let Some(event) = unit.poll() {
        if let UnitEvent::Block(op) = event {
            ops.push(op.token());
        }
    }
    assert_eq!(ops.len(), 2);
    unit.abort(first);
    unit.start(first, &read);
    assert!(matches!(unit.poll(), Some(UnitEvent::Phase(Task(1), ..))));
    assert_eq!(unit.poll(), None, "the aborted one is at the store");
    unit.finish(ops[1], Ok(Segments::zeros(512)));
    assert!(matches!(unit.poll(), Some(UnitEvent::In(Task(2), _))));
    assert!(matches!(
        unit.poll(),
        Some(UnitEvent::Done(Task(2), Ok(())))
    ));
    unit.finish(ops[0], Ok(Segments::zeros(512)));
    assert!(matches!(unit.poll(), Some(UnitEvent::Block(_))));
}

#[test]
fn compare_and_write_has_the_store_for_itself() {
    let mut unit = unit(100);
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let mut swap = [0; 16];
    (swap[0], swap[13]) = (0x89, 1);
    let (first, exclusive, last) = (Task(1), Task(2), Task(3));
    let ops = |unit: &mut LogicalUnit| {
        let mut ops = Vec::new();
        while let Some(event) = unit.poll() {
            match event {
                UnitEvent::Block(op) => ops.push(op),
                UnitEvent::WantOut(task, length) => {
                    unit.data_out(task, vec![0; length as usize].into());
                }
                _ => {}
            }
        }
        ops
    };
    unit.start(first, &read);
    let before = ops(&mut unit);
    assert_eq!(before.len(), 1);
    unit.start(exclusive, &swap);
    unit.start(last, &read);
    assert_eq!(ops(&mut unit), [], "one is out; nobody overtakes");
    unit.finish(before[0].token(), Ok(Segments::zeros(512)));
    let compare = ops(&mut unit);
    assert!(matches!(&compare[..], [BlockOp::Read { .. }]));
    unit.finish(compare[0].token(), Ok(Segments::zeros(512)));
    let write = ops(&mut unit);
    assert!(matches!(&write[..], [BlockOp::Write { .. }]));
    unit.finish(write[0].token(), Ok(Segments::new()));
    assert_eq!(ops(&mut unit).len(), 1, "the last one");
    // One that is aborted leaves the store to the others.
    unit.start(exclusive, &swap);
    assert_eq!(ops(&mut unit), []);
    unit.abort(exclusive);
    unit.start(first, &read);
    assert_eq!(ops(&mut unit).len(), 1);
}
