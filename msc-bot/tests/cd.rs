//! A drive for CDs and DVDs: what hosts ask of it before they read.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bench;

use bench::{Bench, read_10};
use msc_bot::{Lun, UnitOptions};

const DVD_BLOCKS: u64 = 2_000_000;

fn drive(blocks: u64) -> Bench {
    Bench::new(UnitOptions::cd(blocks).vendor("Vendor"))
}

/// The relevant bytes of an answer; nothing where the command fails.
#[track_caller]
fn ask(bench: &mut Bench, command: &[u8]) -> Vec<u8> {
    let (data, _, residue) = bench.command_in(command, 3000);
    data[..3000 - residue as usize].to_vec()
}

fn toc(format: u8, time: u8, track: u8) -> [u8; 10] {
    [0x43, time << 1, format, 0, 0, 0, track, 0x0b, 0xb8, 0]
}

#[test]
fn it_says_that_it_is_a_drive() {
    let mut bench = drive(100);
    let inquiry = ask(&mut bench, &[0x12, 0, 0, 0, 255, 0]);
    assert_eq!(inquiry[..4], [5, 0x80, 6, 2]);
    assert_eq!(inquiry[60..62], [0x04, 0xe0], "MMC-6");
    let (capacity, ..) = bench.command_in(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8);
    assert_eq!(capacity[..], [0, 0, 0, 99, 0, 0, 8, 0]);
    assert_eq!(
        ask(&mut bench, &read_10(3, 1))[..],
        bench.stores[0].disk[6144..8192]
    );
    let capabilities = ask(&mut bench, &[0x5a, 8, 0x2a, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(
        (capabilities[1], capabilities[8], capabilities[9]),
        (28, 0x2a, 20)
    );
    assert_eq!(capabilities.len(), 30);
    // Writes are no commands here; nor are a drive's commands a disk's.
    for command in [
        &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0][..],
        &[0x41; 1],
        &[0x42; 1],
    ] {
        assert_eq!(ask(&mut bench, command), []);
        assert_eq!(bench.sense(), (5, 0x20, 0));
    }
    let mut disk = Bench::new(bench::disk(msc_bot::BlockSize::BYTES_2048, 100));
    assert_eq!(ask(&mut disk, &toc(0, 0, 0)), []);
    assert_eq!(disk.sense(), (5, 0x20, 0));
}

#[test]
fn the_table_of_contents_has_one_track() {
    let mut bench = drive(4650); // 1:04:00 with the two seconds before
    let tracks = [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0];
    let by_block = [&tracks[..], &[0, 0x14, 0xaa, 0, 0, 0, 0x12, 0x2a]].concat();
    assert_eq!(ask(&mut bench, &toc(0, 0, 0)), by_block);
    let by_time = ask(&mut bench, &toc(0, 1, 0));
    assert_eq!(
        (&by_time[8..12], &by_time[16..]),
        (&[0, 0, 2, 0][..], &[0, 1, 4, 0][..])
    );
    assert_eq!(
        ask(&mut bench, &toc(0, 0, 0xaa)).len(),
        12,
        "the lead-out alone"
    );
    assert_eq!(ask(&mut bench, &toc(1, 0, 0))[..4], [0, 10, 1, 1]);
    let raw = ask(&mut bench, &toc(2, 0, 0));
    assert_eq!((raw.len(), raw[1]), (4 + 4 * 11, 46));
    assert_eq!((raw[29], &raw[34..37]), (0xa2, &[1, 4, 0][..]));
    // macOS has the format elsewhere.
    let mut old = toc(0, 0, 0);
    old[9] = 2 << 6;
    assert_eq!(ask(&mut bench, &old), raw);
    for wrong in [toc(3, 0, 0), toc(0, 0, 2)] {
        assert_eq!(ask(&mut bench, &wrong), []);
        assert_eq!(bench.sense(), (5, 0x24, 0));
    }
}

#[test]
fn its_profile_is_that_of_its_disc() {
    let configuration = |kind, first| [0x46, kind, 0, first, 0, 0, 0, 0x0b, 0xb8, 0];
    let mut bench = drive(100);
    let core = ask(&mut bench, &configuration(2, 1));
    assert_eq!(
        core[8..],
        [0, 1, 0x0b, 8, 0, 0, 0, 8, 1, 0, 0, 0],
        "USB, DBE"
    );
    for (blocks, profile, reads) in [(100, 0x08, 0x1e), (DVD_BLOCKS, 0x10, 0x1f), (0, 0, 0)] {
        let mut bench = drive(blocks);
        let all = ask(&mut bench, &configuration(0, 0));
        let length = u32::from_be_bytes(all[..4].try_into().unwrap());
        assert_eq!((length as usize + 4, all[7]), (all.len(), profile));
        let mut codes = Vec::new();
        let mut features = &all[8..];
        while let [_, code, flags, length, rest @ ..] = features {
            codes.push(*code);
            if matches!(code, 0x1e | 0x1f) {
                assert_eq!(flags & 1 != 0, *code == reads);
            }
            features = &rest[usize::from(*length)..];
        }
        assert_eq!(codes, [0x00, 0x01, 0x03, 0x10, 0x1e, 0x1f]);
        let one = ask(&mut bench, &configuration(2, 3));
        assert_eq!((one.len(), one[9]), (16, 3));
        let current = ask(&mut bench, &configuration(1, 0x10));
        assert_eq!(current.len(), if profile == 0 { 8 } else { 8 + 12 + 8 });
        // Of a DVD there is a physical format.
        let structure = ask(&mut bench, &[0xad, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0, 0]);
        if profile == 0x10 {
            assert_eq!((structure.len(), &structure[..2]), (2052, &[8, 2][..]));
            let end = u32::from_be_bytes(structure[12..16].try_into().unwrap());
            assert_eq!(u64::from(end), 0x3_0000 + DVD_BLOCKS - 1);
        } else {
            let sense = if profile == 0 {
                (2, 0x3a, 0)
            } else {
                (5, 0x30, 2)
            };
            assert_eq!((structure.len(), bench.sense()), (0, sense));
        }
    }
}

#[test]
fn events_tell_of_the_medium_once() {
    let events = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0];
    let mut bench = drive(100);
    assert_eq!(ask(&mut bench, &events), [0, 6, 4, 0x50, 0, 2, 0, 0]);
    assert_eq!(ask(&mut bench, &[0x1b, 0, 0, 0, 2, 0]), []);
    assert_eq!(
        ask(&mut bench, &events),
        [0, 6, 4, 0x50, 3, 1, 0, 0],
        "ejected"
    );
    assert_eq!(ask(&mut bench, &events), [0, 6, 4, 0x50, 0, 1, 0, 0]);
    let status = ask(&mut bench, &[0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]);
    assert_eq!(status[1], 0x10, "the door is open");
    bench.device.insert(Lun::ZERO, 50, false);
    // In spite of the unit attention, which remains. The header alone does not tell it.
    let header = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4, 0];
    assert_eq!(ask(&mut bench, &header), [0, 6, 4, 0x50]);
    assert_eq!(ask(&mut bench, &events), [0, 6, 4, 0x50, 2, 2, 0, 0]);
    assert_eq!(ask(&mut bench, &[0; 6]), []);
    assert_eq!(bench.sense(), (6, 0x28, 0));
    // It is never busy; of two classes the lower is told.
    let classes = |classes| [0x4a, 1, 0, 0, classes, 0, 0, 0, 8, 0];
    assert_eq!(ask(&mut bench, &classes(0x40)), [0, 6, 6, 0x50, 0, 0, 0, 0]);
    assert_eq!(ask(&mut bench, &classes(0x52)), [0, 6, 4, 0x50, 0, 2, 0, 0]);
    // Of another class, or as they come.
    assert_eq!(ask(&mut bench, &classes(2)), [0, 2, 0x80, 0x50]);
    assert_eq!(ask(&mut bench, &[0x4a, 0, 0, 0, 2, 0, 0, 0, 8, 0]), []);
    assert_eq!(bench.sense(), (5, 0x24, 0));
    let disc = ask(&mut bench, &[0x51, 0, 0, 0, 0, 0, 0, 0, 34, 0]);
    assert_eq!((disc.len(), disc[1], disc[2]), (34, 32, 0x0e));
    let track = ask(&mut bench, &[0x52, 1, 0, 0, 0, 1, 0, 0, 36, 0]);
    assert_eq!((track.len(), track[27], track[31]), (36, 50, 49));
}

/// Each of the commands that the feature CD Read names (MMC-6, 5.3.11).
#[test]
fn user_data_is_read_by_block_and_by_time() {
    let mut bench = drive(200);
    let disc = bench.stores[0].disk.clone();
    let by_block = |kind: u8, lba: u8, count: u8, fields: u8| {
        [0xbe, kind << 2, 0, 0, 0, lba, 0, 0, count, fields, 0, 0]
    };
    let by_time =
        |[m, s, f]: [u8; 3], [n, t, g]: [u8; 3]| [0xb9, 0, 0, m, s, f, n, t, g, 0x10, 0, 0];
    for (command, blocks) in [
        (by_block(0, 7, 1, 0x10), 7..8),
        (by_block(2, 198, 1, 0x10), 198..199),
        (by_block(0, 7, 1, 0), 0..0),
        (by_block(0, 200, 0, 0x10), 0..0),
        (by_time([0, 2, 74], [0, 3, 0]), 74..75),
        (by_time([0, 4, 10], [0, 4, 11]), 160..161),
        (by_time([0, 4, 10], [0, 4, 10]), 0..0),
    ] {
        let data = ask(&mut bench, &command);
        assert_eq!(data[..], disc[blocks.start * 2048..blocks.end * 2048]);
        assert_eq!(bench.sense(), (0, 0, 0), "{command:02x?}");
    }
    for (command, sense) in [
        (by_block(0, 199, 2, 0x10), (5, 0x21, 0)),
        (by_block(1, 0, 1, 0x10), (5, 0x64, 0)), // CD-DA
        (by_block(0, 0, 1, 0xf8), (5, 0x24, 0)), // all of a sector
        (by_time([0, 1, 74], [0, 2, 1]), (5, 0x21, 0)),
        (by_time([0, 4, 50], [0, 4, 51]), (5, 0x21, 0)),
        (by_time([0, 2, 2], [0, 2, 1]), (5, 0x24, 0)),
        (by_time([0, 2, 75], [0, 3, 1]), (5, 0x24, 0)),
    ] {
        assert_eq!(ask(&mut bench, &command), []);
        assert_eq!(bench.sense(), sense, "{command:02x?}");
    }
    let mut dvd = drive(DVD_BLOCKS);
    assert_eq!(ask(&mut dvd, &by_block(0, 0, 1, 0x10)), []);
    assert_eq!(dvd.sense(), (5, 0x30, 2));
    let mut empty = drive(0);
    assert_eq!(ask(&mut empty, &by_block(0, 0, 1, 0x10)), []);
    assert_eq!(empty.sense(), (2, 0x3a, 0));
}

#[test]
fn its_mode_pages_are_its_own_and_stay() {
    let mut bench = drive(100);
    let capabilities = ask(&mut bench, &[0x5a, 8, 0x2a, 0, 0, 0, 0, 0, 255, 0]);
    // Reads CD-R, CD-RW and DVD; a tray, ejected and locked.
    assert_eq!(capabilities[10..15], [0x0b, 0, 0, 0, 0x29]);
    let select = |bench: &mut Bench, pages: &[u8]| {
        let parameters = [&[0; 4], pages].concat();
        let command = [0x15, 0x10, 0, 0, parameters.len() as u8, 0];
        match bench.command_out(&command, &parameters).0 {
            0 => (0, 0, 0),
            _ => bench.sense(),
        }
    };
    let recovery = ask(&mut bench, &[0x5a, 8, 1, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(select(&mut bench, &recovery[8..]), (0, 0, 0), "what it is");
    let mut other = recovery[8..].to_vec();
    other[2] = 0x20;
    let caching = [&[8, 18][..], &[0; 18]].concat();
    for pages in [&other, &caching, &capabilities[8..].to_vec()] {
        assert_eq!(select(&mut bench, pages), (5, 0x26, 0));
    }
    // One that stays shut says so in both places.
    let mut bench = Bench::new(UnitOptions::cd(100).lockable(false));
    let capabilities = ask(&mut bench, &[0x5a, 8, 0x2a, 0, 0, 0, 0, 0, 255, 0]);
    assert_eq!(capabilities[14], 0x28);
    let feature = ask(&mut bench, &[0x46, 2, 0, 3, 0, 0, 0, 0, 255, 0]);
    assert_eq!(feature[12], 0x28);
}
