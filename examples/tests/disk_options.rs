//! What the programs may be told of a disk, and the commands that change its media.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests of programs"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{self, Child, Command, Output, Stdio};
use std::thread;

use examples::{Access, DiskOptions, ImageDisk, ImageError, RawImage, Trays, UnitImage, loopback};
use msc_bot::{Initiator, Lun, MassStorage as _, ScsiError};
use usb_transfer::{Function as _, Segments, exchange};

/// Images of two blocks, each filled with the first letter of its name; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, images: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("options-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        for image in images {
            let byte = image.as_bytes().first().copied().unwrap();
            fs::write(folder.join(image), [byte; 4096]).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const ATTACH: &str = env!("CARGO_BIN_EXE_attach-disk");
const SERVER: &str = env!("CARGO_BIN_EXE_usbip-server");
const HOST: &str = env!("CARGO_BIN_EXE_usbredir-host");

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).output().unwrap()
}

/// One line on standard error, nothing on standard output, and exit code 2.
#[track_caller]
fn refuses(program: &str, arguments: &[&str], words: &str) {
    let output = run(program, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(words), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
}

/// Ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_programs_take_the_same_options_and_refuse_the_same() {
    let folder = Folder::new("same", &["a.img", "b.img", "c.iso"]);
    let [a, b, c] = ["a.img", "b.img", "c.iso"].map(|name| folder.path(name));
    let missing = folder.path("missing");
    let unit = format!("--lun={a},ro");
    let many = vec![unit.as_str(); 16];
    for (program, start) in [
        (ATTACH, &[&*a, "--loopback"][..]),
        (SERVER, &["--disk", &*a]),
        (HOST, &["--connect=unix:/x", "--disk", &*a]),
    ] {
        for (options, words) in [
            (
                &["--cache", "none"][..],
                "a cache is writeback or writethrough",
            ),
            (&["--block-size=520"], "a block has 512 or 4096 bytes"),
            (&["--speed", "warp"], "a speed is low, full, high or super"),
            (&["--uas=yes"], "unexpected argument for option '--uas'"),
            (&["--lun"], "missing argument for option '--lun'"),
            (&["--lun", &missing], "missing: no such file"),
            (&["--lun", &a], "a.img: in use by another process"),
            (&["--lun", &b, "--lun", &b], "b.img: in use"),
            (&["--lun", &b, "--lun", &format!("{b},ro")], "b.img: in use"),
            (&["--cdrom=", "--lun"], "missing argument"),
        ] {
            if options[0] == "--cdrom=" && program == ATTACH {
                continue;
            }
            refuses(program, &[start, options].concat(), words);
        }
        let start: Vec<&str> = start.iter().copied().filter(|each| *each != a).collect();
        let first = format!("{a},ro");
        let full = [&start[..], &[&first], &many[..]].concat();
        refuses(program, &full, "at most 16 logical units");
    }
    let units = [&[a.as_str(), "--loopback", "--read-only"][..], &many[..15]].concat();
    let options = ["--uas", "--cache=writethrough", "--discard"];
    assert!(
        run(ATTACH, &[&units[..], &options].concat())
            .status
            .success()
    );
    let drive = [&*c, "--cdrom", "--lun", &b, "--loopback"];
    let drive = String::from_utf8(run(ATTACH, &drive).stdout).unwrap();
    assert!(
        drive.contains("capacity: 2 blocks of 2048 bytes"),
        "{drive}"
    );
    let one = [ATTACH, "--lun", &*b, "--loopback"];
    let one = String::from_utf8(run(one[0], &one[1..]).stdout).unwrap();
    assert!(one.contains("capacity: 8 blocks of 512 bytes"), "{one}");

    for words in ["--uas", "--discard", "--lun=b.img"] {
        let message = "is of a disk: it comes after --disk or --cdrom";
        refuses(SERVER, &["--keyboard", "x", words, "--disk", &a], message);
    }
    refuses(
        SERVER,
        &["--lun", &a, "--disk", &b],
        "it comes after --disk",
    );
}

#[test]
fn an_image_has_one_writer_in_all_programs() {
    let folder = Folder::new("writer", &["a.img", "b.img"]);
    let [a, b] = ["a.img", "b.img"].map(|name| folder.path(name));
    let socket = format!("unix:{}", folder.path("socket"));
    let only_read = format!("{b},ro");
    let mut server = Command::new(SERVER)
        .args(["--listen", &socket, "--disk", &a, "--lun", &only_read])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let server = Running(server);
    let said: Vec<String> = lines.map(Result::unwrap).take(2).collect();
    assert_eq!(said[0], format!("1-1: {a}, {b}"));

    for path in [&*a, &format!("{a},ro"), &*b] {
        let words = "in use by another process";
        refuses(ATTACH, &[path, "--loopback"], words);
        refuses(SERVER, &["--listen=tcp:127.0.0.1:0", "--disk", path], words);
        refuses(HOST, &["--connect=unix:/x", "--disk", path], words);
    }
    assert!(run(ATTACH, &[&only_read, "--loopback"]).status.success());
    drop(server);
    assert!(run(ATTACH, &[&a, "--loopback"]).status.success());
}

#[test]
fn an_image_is_named_with_what_it_is() {
    for (text, path, access, cdrom) in [
        ("a", "a", Access::ReadWrite, false),
        ("a,ro", "a", Access::ReadOnly, false),
        ("a,cdrom,ro", "a", Access::ReadOnly, true),
        ("a,rw", "a,rw", Access::ReadWrite, false),
        ("a,ro,b", "a,ro,b", Access::ReadWrite, false),
    ] {
        let path = path.into();
        let expected = UnitImage {
            path,
            access,
            cdrom,
        };
        assert_eq!(UnitImage::parse(text.as_ref()), expected);
    }
}

struct Bench {
    disk: ImageDisk,
    host: Initiator,
    trays: Trays,
}

impl Bench {
    fn new(units: &[String], uas: bool) -> Self {
        let options = DiskOptions {
            units: units
                .iter()
                .map(|unit| UnitImage::parse(unit.as_ref()))
                .collect(),
            removable: true,
            uas,
            ..DiskOptions::default()
        };
        let disk = options.open().unwrap();
        let host = Initiator::new(disk.device().descriptors()).unwrap();
        let trays = Trays::new(options);
        Self { disk, host, trays }
    }

    fn obey(&mut self, command: &str) -> String {
        self.trays.obey(command, &mut self.disk)
    }

    /// Inserts what was let go before. A process that another test is just starting may hold a
    /// copy of the file for a moment.
    fn insert(&mut self, command: &str) -> String {
        loop {
            let answer = self.obey(command);
            if !answer.contains("in use by another process") {
                return answer;
            }
            thread::yield_now();
        }
    }

    fn result(&mut self) -> Result<Segments, ScsiError> {
        for _ in 0..1000 {
            exchange(&mut self.host, &mut self.disk);
            if let Some((_, result)) = self.host.result() {
                return result;
            }
        }
        panic!("no result");
    }

    fn read(&mut self) -> Result<Segments, ScsiError> {
        self.read_at(0)
    }

    fn read_at(&mut self, lba: u64) -> Result<Segments, ScsiError> {
        self.host.read(lba, 1);
        self.result()
    }
}

#[track_caller]
fn sense(result: Result<Segments, ScsiError>) -> (u8, u8) {
    match result {
        Err(ScsiError::Sense(sense)) => (sense.key.0, sense.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_are_exchanged_and_the_old_one_is_flushed_and_free() {
    for uas in [false, true] {
        let folder = Folder::new(&format!("exchange-{uas}"), &["a.img", "b.img", "small"]);
        let [a, b] = ["a.img", "b.img"].map(|name| folder.path(name));
        fs::write(folder.path("small"), [0; 511]).unwrap();
        let mut bench = Bench::new(&[a.clone(), format!("{b},ro")], uas);
        assert_eq!(bench.read().unwrap().to_bytes()[..], [b'a'; 512]);
        bench.host.write(0, vec![b'x'; 512].into());
        bench.result().unwrap();
        let status = format!("unit 0: {a}\nunit 1: {b}, read-only\n");
        assert_eq!(bench.obey("status"), status);

        // What does not do changes nothing.
        for (command, words) in [
            ("", "a command is"),
            ("dance", "a command is"),
            ("insert", "a command is"),
            ("eject now", "a command is"),
            ("2 eject", "there is no such unit"),
            ("99999999999999999999 eject", "there is no such unit"),
            ("insert none.img", "none.img: no such file"),
            (
                &format!("1 insert {a}"),
                "in use by another process or unit",
            ),
            ("1 unprotect", "insert it without ,ro"),
            ("protect it", "a command is"),
            (
                &format!("insert {}", folder.path("small")),
                "less than one block",
            ),
            (&format!("insert {b},cdrom"), "the unit is not a drive"),
        ] {
            let answer = bench.obey(command);
            assert!(
                answer.starts_with("error: ") && answer.contains(words),
                "{answer}"
            );
            assert_eq!(answer.lines().count(), 1);
        }
        assert_eq!(bench.obey("status"), status);
        assert_eq!(bench.read().unwrap().to_bytes()[..], [b'x'; 512]);

        assert_eq!(bench.obey("eject"), "unit 0: empty\n");
        // A process that another test is just starting may hold a copy of the file for a moment.
        while let Err(ImageError::InUse(_)) = RawImage::open(a.as_ref(), Access::ReadWrite) {
            thread::yield_now();
        }
        assert_eq!(
            fs::read(&a).unwrap()[..513],
            [&[b'x'; 512][..], b"a"].concat()
        );
        assert_eq!(sense(bench.read()), (2, 0x3a));
        assert_eq!(bench.obey("1 eject"), "unit 1: empty\n");
        assert_eq!(
            bench.obey(&format!("insert {b},ro")),
            format!("unit 0: {b}, read-only\n")
        );
        assert_eq!(bench.read().unwrap().to_bytes()[..], [b'b'; 512]);
        bench.host.write(0, vec![0; 512].into());
        assert_eq!(sense(bench.result()), (7, 0x27));
        // Instead of the one that is in.
        assert_eq!(
            bench.insert(&format!("insert {a}")),
            format!("unit 0: {a}\n")
        );
        assert_eq!(
            bench.insert(&format!("1 insert {b}")),
            format!("unit 1: {b}\n")
        );
        assert_eq!(bench.read().unwrap().to_bytes()[..], [b'x'; 512]);
    }
}

#[test]
fn the_same_image_is_inserted_again_in_another_way() {
    let folder = Folder::new("again", &["a.img"]);
    let a = folder.path("a.img");
    let mut bench = Bench::new(std::slice::from_ref(&a), false);
    bench.read().unwrap();
    bench.host.write(0, vec![b'x'; 512].into());
    bench.result().unwrap();
    assert_eq!(bench.obey("eject"), "unit 0: empty\n");
    for (how, status, may_write) in [
        ("", "", true),
        (",ro", ", read-only", false),
        ("", "", true),
    ] {
        let answer = bench.insert(&format!("insert {a}{how}"));
        assert_eq!(answer, format!("unit 0: {a}{status}\n"));
        bench.host.write(1, vec![b'y'; 512].into());
        assert_eq!(bench.result().is_ok(), may_write);
    }
    // By another name; and where that does not do, it is out.
    let link = folder.path("link");
    std::os::unix::fs::symlink(&a, &link).unwrap();
    let answer = bench.insert(&format!("insert {link}"));
    assert_eq!(answer, format!("unit 0: {link}\n"));
    fs::OpenOptions::new()
        .write(true)
        .open(&a)
        .unwrap()
        .set_len(100)
        .unwrap();
    let words = "100 bytes are less than one block of 512; the unit is empty";
    let answer = bench.insert(&format!("insert {a}"));
    assert_eq!(answer, format!("error: {a}: {words}\n"));
    assert_eq!(bench.obey("status"), "unit 0: empty\n");
}

#[test]
fn an_image_grows_shrinks_and_is_protected_while_a_host_uses_it() {
    for uas in [false, true] {
        let folder = Folder::new(&format!("changes-{uas}"), &["a.img"]);
        let a = folder.path("a.img");
        let mut bench = Bench::new(std::slice::from_ref(&a), uas);
        let file = fs::OpenOptions::new().append(true).open(&a).unwrap();
        let status = format!("unit 0: {a}\n");
        let first = |result: Result<Segments, ScsiError>| result.unwrap().to_bytes()[0];
        assert_eq!(first(bench.read_at(7)), b'a');
        assert_eq!(sense(bench.read_at(8)), (5, 0x21));
        file.set_len(1 << 20).unwrap();
        assert_eq!(sense(bench.read_at(8)), (5, 0x21), "nobody has looked");
        assert_eq!(bench.obey("resize"), status);
        assert_eq!(first(bench.read_at(2047)), 0);
        // As long as a mapped read.
        bench.host.read(0, 2048);
        assert_eq!(bench.result().unwrap().len(), 1 << 20);
        file.set_len(3000).unwrap();
        let rest = "the last 440 bytes are less than a block and left out";
        assert_eq!(bench.obey("resize"), format!("unit 0: {a}, {rest}\n"));
        assert_eq!(first(bench.read_at(4)), b'a');
        assert_eq!(sense(bench.read_at(5)), (5, 0x21));
        file.set_len(511).unwrap();
        let words = "511 bytes are less than one block of 512";
        assert_eq!(bench.obey("resize"), format!("error: {a}: {words}\n"));
        file.set_len(4096).unwrap();
        assert_eq!(bench.obey("resize"), status);

        assert_eq!(bench.obey("protect"), format!("unit 0: {a}, read-only\n"));
        bench.host.write(0, vec![b'x'; 512].into());
        assert_eq!(sense(bench.result()), (7, 0x27));
        assert_eq!(bench.obey("unprotect"), status);
        bench.host.write(0, vec![b'y'; 512].into());
        bench.result().unwrap();
        assert_eq!(bench.obey("eject"), "unit 0: empty\n");
        assert_eq!(fs::read(&a).unwrap()[..512], [b'y'; 512]);
        for command in ["resize", "protect", "unprotect"] {
            assert_eq!(bench.obey(command), "error: the unit is empty\n");
        }
    }
}

#[test]
fn each_program_tells_of_a_block_that_is_not_whole() {
    let folder = Folder::new("rest", &["a.iso"]);
    let a = folder.path("a.iso");
    fs::write(&a, [0; 5000]).unwrap();
    let words = format!("{a}: the last 904 bytes are less than a block and left out\n");
    let output = run(ATTACH, &[&a, "--cdrom", "--loopback"]);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("attach-disk: {words}")
    );
    for (program, name, place) in [
        (SERVER, "usbip-server", "--listen=unix:/no/such/folder/x"),
        (HOST, "usbredir-host", "--connect=unix:/no/such/folder/x"),
    ] {
        let output = run(program, &[place, "--cdrom", &a]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(&format!("{name}: {words}")), "{error}");
    }
}

#[test]
fn an_operation_that_waits_is_done_on_the_image_it_is_for() {
    let folder = Folder::new("waits", &["a.img", "b.img"]);
    let [a, b] = ["a.img", "b.img"].map(|name| folder.path(name));
    let mut bench = Bench::new(std::slice::from_ref(&a), false);
    assert_eq!(bench.read().unwrap().to_bytes()[..], [b'a'; 512]);
    bench.host.write(0, vec![b'x'; 512].into());
    while bench.disk.next_frame().is_none() {
        if let Some(usb_transfer::FunctionEvent::Complete(completion)) = bench.disk.poll() {
            usb_transfer::Frontend::complete(&mut bench.host, completion);
        } else if let Some(usb_transfer::HostEvent::Submit(transfer)) =
            usb_transfer::Frontend::poll(&mut bench.host)
        {
            bench.disk.submit(transfer);
        }
    }
    bench.obey(&format!("insert {b}"));
    assert!(bench.result().is_ok());
    assert_eq!(fs::read(&a).unwrap()[..512], [b'x'; 512]);
    assert_eq!(fs::read(&b).unwrap(), [b'b'; 4096]);
    assert!(bench.disk.store(Lun::ZERO).is_some());
}

#[test]
fn a_disk_and_a_drive_are_units_of_one_device() {
    let folder = Folder::new("units", &["a.img", "b.img"]);
    let [a, b] = ["a.img", "b.img"].map(|name| folder.path(name));
    let options = DiskOptions {
        units: vec![UnitImage::new(a), UnitImage::new(b).cd()],
        ..DiskOptions::default()
    };
    let disk = options.open().unwrap();
    let descriptors = disk.device().descriptors().clone();
    let units = disk.device().units();
    assert_eq!(
        (units[0].options().blocks(), units[1].options().blocks()),
        (8, 2)
    );
    assert!(units.iter().all(msc_bot::LogicalUnit::has_medium));
    assert!(loopback(disk, &descriptors).is_ok());
}
