//! The data phase, transfer by transfer: how transfers may be cut, queued and cancelled, and what
//! the store does to them.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    clippy::type_complexity,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, Csw, cbw, disk, read_10, write_10};
use bytes::Bytes;
use msc_bot::{BlockError, BlockOp, BlockSize, UnitOptions};
use usb_descriptors::Direction::{In, Out};
use usb_transfer::{Actual, Function, Status};

fn small() -> UnitOptions {
    disk(BlockSize::BYTES_512, 64)
}

const READY: [u8; 6] = [0; 6];

#[test]
fn data_may_be_cut_into_transfers_of_any_size() {
    let mut bench = Bench::new(small());
    let expected = bench.stores[0].disk[..2048].to_vec();
    for sizes in [
        vec![1, 2, 3, 2042],
        vec![512; 4],
        vec![700, 0, 700, 648],
        vec![2047, 1],
    ] {
        bench.send(&cbw(1, 2048, In, 0, &read_10(0, 4)));
        // All at once, and the status too.
        let ids: Vec<_> = sizes.iter().map(|size| bench.post_in(*size)).collect();
        let status = bench.post_in(13);
        let pieces: Vec<_> = ids.into_iter().map(|id| bench.data(id)).collect();
        assert!(
            pieces
                .iter()
                .zip(&sizes)
                .all(|(data, size)| data.len() == *size as usize)
        );
        assert_eq!(pieces.concat(), expected);
        assert_eq!(bench.csw_of(status).residue, 0);
    }
    let data = bench::pattern(4096)[1..2049].to_vec();
    for sizes in [
        vec![1, 2, 3, 2042],
        vec![512; 4],
        vec![700, 0, 700, 648],
        vec![2047, 1],
    ] {
        bench.stores[0].disk.fill(0);
        bench.send(&cbw(1, 2048, Out, 0, &write_10(0, 4)));
        let mut rest = &data[..];
        for size in sizes {
            let (piece, next) = rest.split_at(size);
            rest = next;
            let id = bench.post_out(piece.to_vec());
            assert_eq!(bench.done(id).actual, Actual::Out(piece.len() as u32));
        }
        assert_eq!(
            bench.csw(),
            Csw {
                tag: 1,
                residue: 0,
                status: 0
            }
        );
        assert_eq!(bench.stores[0].disk[..2048], data);
    }
}

#[test]
fn out_transfers_are_held_back_while_the_store_is_busy() {
    let mut bench = Bench::new(small());
    bench.serving = false;
    bench.send(&cbw(1, 4096, Out, 0, &write_10(0, 8)));
    let ids: Vec<_> = (0..8).map(|fill| bench.post_out(vec![fill; 512])).collect();
    let taken = |bench: &Bench| ids.iter().filter(|id| !bench.is_pending(**id)).count();
    assert_eq!(taken(&bench), 1, "handed out");
    let mut writes = 0;
    while let Some(op) = bench.device.poll_block() {
        assert_eq!(bench.device.poll_block(), None, "one at a time");
        writes += 1;
        bench.run();
        assert!(taken(&bench) <= writes + 1, "one more is taken meanwhile");
        bench.device.finish(op.token(), Ok(Bytes::new().into()));
        bench.run();
    }
    assert_eq!((writes, taken(&bench)), (8, 8));
    assert_eq!(bench.csw().status, 0);
}

#[test]
fn the_status_waits_for_the_store_and_tells_of_its_error() {
    let mut bench = Bench::new(small());
    bench.serving = false;
    bench.send(&cbw(1, 512, Out, 0, &write_10(3, 1)));
    let data = bench.post_out(vec![1; 512]);
    assert_eq!(bench.status(data), Status::COMPLETED, "at once");
    let status = bench.post_in(13);
    let op = bench.device.poll_block().unwrap();
    bench.run();
    assert!(bench.is_pending(status));
    bench.device.finish(op.token(), Err(BlockError::NoSpace));
    bench.run();
    assert_eq!(bench.csw_of(status).status, 1);
    assert_eq!(bench.sense(), (7, 0x27, 7));
    assert_eq!(bench.sense(), (0, 0, 0), "told once");
}

#[test]
fn a_read_that_fails_in_the_middle_gives_what_there_was() {
    // Two operations: 1 MiB, and the rest.
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 4096));
    bench.serving = false;
    let length = (1 << 20) + 4096;
    bench.send(&cbw(1, length, In, 0, &read_10(0, 2048 + 8)));
    let op = bench.device.poll_block().unwrap();
    let data = bench.stores[0].serve(&op);
    bench.device.finish(op.token(), data);
    assert_eq!(
        bench.device.poll_block(),
        None,
        "not before the host takes some"
    );
    let first = bench.post_in(512);
    assert_eq!(bench.data(first)[..], bench.stores[0].disk[..512]);
    let op = bench.device.poll_block().unwrap();
    let bad = BlockError::Medium {
        offset: (1 << 20) + 1024,
    };
    bench.device.finish(op.token(), Err(bad));
    let rest = bench.post_in(length - 512);
    let rest = bench.data(rest);
    assert_eq!(rest[..(1 << 20) - 512], bench.stores[0].disk[512..1 << 20]);
    assert!(rest[(1 << 20) - 512..].iter().all(|byte| *byte == 0));
    assert_eq!(
        bench.csw(),
        Csw {
            tag: 1,
            residue: 4096,
            status: 1
        }
    );
    let (sense, ..) = bench.command_in(&[3, 0, 0, 0, 18, 0], 18);
    assert_eq!((sense[0], &sense[3..7]), (0xf0, &2050u32.to_be_bytes()[..]));
}

#[test]
fn one_transfer_may_span_several_operations() {
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 8192));
    let length = (2 << 20) + 512;
    bench.send(&cbw(1, length, In, 0, &read_10(1, 4097)));
    let id = bench.post_in(length);
    assert_eq!(
        bench.data(id)[..],
        bench.stores[0].disk[512..][..length as usize]
    );
    assert_eq!(
        bench.csw(),
        Csw {
            tag: 1,
            residue: 0,
            status: 0
        }
    );
    assert_eq!(bench.stores[0].ops, 3);
    // When the long one that waits is cancelled, a shorter one behind it has what it needs.
    bench.serving = false;
    bench.send(&cbw(2, length, In, 0, &read_10(0, 4097)));
    let op = bench.device.poll_block().unwrap();
    let (long, short) = (bench.post_in(length), bench.post_in(512));
    let data = bench.stores[0].serve(&op);
    bench.device.finish(op.token(), data);
    bench.run();
    assert!(bench.is_pending(long) && bench.is_pending(short));
    bench.device.cancel(long);
    bench.run();
    assert_eq!(bench.status(long), Status::CANCELLED);
    assert_eq!(bench.data(short)[..], bench.stores[0].disk[..512]);
}

#[test]
fn what_is_beyond_the_data_phase_is_dropped() {
    let mut bench = Bench::new(small());
    // The unit wants all, and nothing.
    for (command, residue) in [(write_10(1, 1), 0), (READY.to_vec(), 512)] {
        bench.send(&cbw(1, 512, Out, 0, &command));
        let id = bench.post_out(vec![0xa5; 600]);
        assert_eq!(bench.done(id).actual, Actual::Out(600));
        assert_eq!(
            bench.csw(),
            Csw {
                tag: 1,
                residue,
                status: 0
            }
        );
    }
    assert_eq!(bench.stores[0].disk[512..1024], [0xa5; 512]);
    assert_ne!(bench.stores[0].disk[1024..1112], [0xa5; 88]);
    bench.assert_fresh();
}

#[test]
fn a_store_that_gives_too_much_or_too_little_is_repaired() {
    let mut bench = Bench::new(small());
    bench.serving = false;
    for (given, status) in [(600, 0), (512, 0), (511, 1), (0, 1)] {
        bench.send(&cbw(1, 512, In, 0, &read_10(0, 1)));
        let op = bench.device.poll_block().unwrap();
        bench.device.finish(op.token(), Ok(vec![7; given].into()));
        let data = bench.post_in(512);
        let fill = if status == 0 { 7 } else { 0 };
        assert_eq!(bench.data(data)[..], [fill; 512]);
        assert_eq!(bench.csw().status, status);
    }
    assert_eq!(bench.sense(), (4, 0x44, 0));
}

#[test]
fn any_transfer_can_be_cancelled_once() {
    let mut bench = Bench::new(small());
    bench.serving = false;
    let ids = [bench.post_in(13), bench.post_in(13), bench.post_in(13)];
    bench.device.cancel(ids[1]);
    bench.device.cancel(ids[1]);
    bench.run();
    assert_eq!(bench.status(ids[1]), Status::CANCELLED);
    bench.send(&cbw(4, 0, In, 0, &READY));
    assert_eq!(bench.csw_of(ids[0]).tag, 4);
    bench.send(&cbw(5, 0, In, 0, &READY));
    assert_eq!(bench.csw_of(ids[2]).tag, 5);
    // An OUT transfer of which a part was taken says how much.
    bench.send(&cbw(6, 3 << 20, Out, 0, &write_10(0, 1)));
    assert_eq!(bench.device.poll_block(), None);
    bench.device.cancel(ids[0]);
    bench.run();
    assert!(bench.completions.is_empty());
}

#[test]
fn a_cancelled_write_says_how_much_was_taken() {
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 1 << 14));
    bench.serving = false;
    bench.send(&cbw(6, 4 << 20, Out, 0, &write_10(0, 1 << 13)));
    let id = bench.post_out(vec![1; 4 << 20]);
    assert!(
        bench.is_pending(id),
        "one piece is handed out, three are left"
    );
    bench.device.cancel(id);
    bench.run();
    let done = bench.done(id);
    assert_eq!(
        (done.status, done.actual),
        (Status::CANCELLED, Actual::Out(1 << 20))
    );
    bench.serving = true;
    bench.run();
    bench.recover();
    bench.assert_fresh();
}

#[test]
fn transfers_of_absurd_size_are_refused() {
    let mut bench = Bench::new(small());
    bench.send(&cbw(1, u32::MAX, In, 0, &READY));
    let id = bench.post_in(u32::MAX);
    assert_eq!(bench.status(id), Status::NO_MEMORY);
    let id = bench.post_in(16 << 20);
    assert_eq!(bench.data(id).len(), 16 << 20);
    bench.recover();
    bench.assert_fresh();
    bench.send(&cbw(1, 0, In, 0, &READY));
    let id = bench.post_in(5);
    let done = bench.done(id);
    assert_eq!((done.status, done.actual.len()), (Status::OVERFLOW, 5));
    bench.assert_fresh();
}

/// From the store to the host's transfer, and from the host's transfer to the store.
#[test]
fn payloads_are_not_copied() {
    let mut bench = Bench::new(disk(BlockSize::BYTES_512, 4096));
    bench.serving = false;
    let stored = Bytes::from(vec![1; 1 << 20]);
    bench.send(&cbw(1, 1 << 20, In, 0, &read_10(0, 2048)));
    let op = bench.device.poll_block().unwrap();
    bench.device.finish(op.token(), Ok(stored.clone().into()));
    let ids = [bench.post_in(1 << 19), bench.post_in(1 << 19)];
    for (id, at) in ids.into_iter().zip([0, 1 << 19]) {
        let Actual::In(data) = bench.done(id).actual else {
            panic!()
        };
        let mut pieces = data.iter();
        let piece = pieces.next().unwrap();
        assert_eq!(
            (piece.as_ptr(), piece.len()),
            (stored[at..].as_ptr(), 1 << 19)
        );
        assert_eq!(pieces.next(), None);
    }
    bench.csw();
    let sent = Bytes::from(vec![2; 1 << 20]);
    bench.send(&cbw(2, 1 << 20, Out, 0, &write_10(0, 2048)));
    bench.post_out(sent.clone());
    let Some(BlockOp::Write {
        data,
        durable: false,
        ..
    }) = bench.device.poll_block()
    else {
        panic!()
    };
    assert_eq!((data.as_ptr(), data.len()), (sent.as_ptr(), sent.len()));
}

#[test]
fn a_transfer_without_room_takes_no_status() {
    let mut bench = Bench::new(small());
    bench.send(&cbw(1, 0, In, 0, &READY));
    let id = bench.post_in(0);
    assert_eq!(bench.data(id).len(), 0);
    assert_eq!(bench.csw().tag, 1);
}
