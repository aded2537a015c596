//! The program from outside: what it refuses, what it says, and the loopback.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests of a program"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};
use std::thread;

use examples::{Access, ImageError, RawImage};

/// A folder with images and a sysfs of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("attach-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// An image whose content is the same in no two blocks.
    fn image(&self, size: usize) -> PathBuf {
        let path = self.0.join(format!("{size}.img"));
        let words = (0u32..).flat_map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes());
        fs::write(&path, words.take(size).collect::<Vec<u8>>()).unwrap();
        path
    }

    /// A vhci_hcd with one port for each speed, of which one is taken.
    fn sysfs(&self) -> PathBuf {
        let controller = self.0.join("devices/platform/vhci_hcd.0");
        fs::create_dir_all(&controller).unwrap();
        let status = "\
            hub port sta spd dev      sockfd local_busid\n\
            hs  0000 006 003 00010002 000003 1-1\n\
            hs  0001 004 000 00000000 000000 0-0\n\
            ss  0002 004 000 00000000 000000 0-0\n";
        fs::write(controller.join("status"), status).unwrap();
        fs::write(controller.join("attach"), "").unwrap();
        fs::write(controller.join("detach"), "").unwrap();
        self.0.clone()
    }

    fn attached(&self) -> String {
        fs::read_to_string(self.0.join("devices/platform/vhci_hcd.0/attach")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn attach_disk<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attach-disk"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Exit status 2 and one line on standard error; nothing on standard output.
#[track_caller]
fn expect_error(output: &Output, message: &str) {
    let error = text(&output.stderr);
    assert_eq!(error, format!("attach-disk: {message}\n"));
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn help_and_version() {
    for (argument, start) in [
        ("--help", "Attaches a RAW"),
        ("-h", "Attaches"),
        ("-V", "attach-disk 0"),
    ] {
        let output = attach_disk([argument]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).starts_with(start));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_bad_command_line_is_refused() {
    let more = "(see attach-disk --help)";
    for (arguments, message) in [
        (
            &["--speed", "warp"][..],
            "cannot parse argument \"warp\": a speed is low, full, high or super",
        ),
        (
            &["--block-size", "520"],
            "cannot parse argument \"520\": a block has 512 or 4096 bytes",
        ),
        (
            &["--short-in", "cut"],
            "cannot parse argument \"cut\": what is short is to pad or to stall",
        ),
        (
            &["--port", "many"],
            "cannot parse argument \"many\": a port is a number from 0 to 65535",
        ),
        (
            &["--port", "65536"],
            "cannot parse argument \"65536\": a port is a number from 0 to 65535",
        ),
        (&["--serial"], "missing argument for option '--serial'"),
        (
            &["--serial", ""],
            "cannot parse argument \"\": a serial number has 1 to 126 printable ASCII characters",
        ),
        (
            &["--read-only=yes"],
            "unexpected argument for option '--read-only': \"yes\"",
        ),
        (&["--wrong"], "invalid option '--wrong'"),
        (&["-x"], "invalid option '-x'"),
        (&["one.img", "two.img"], "unexpected argument \"two.img\""),
    ] {
        expect_error(&attach_disk(arguments), &format!("{message} {more}"));
    }
    let long = "7".repeat(127);
    assert_eq!(attach_disk(["--serial", &long]).status.code(), Some(2));
}

#[test]
fn what_is_no_image_is_refused() {
    let folder = Folder::new("refused");
    let name = |path: &Path| path.display().to_string();
    let missing = folder.0.join("missing.img");
    let message = format!("{}: no such file", name(&missing));
    expect_error(&attach_disk([&missing]), &message);
    assert!(!missing.exists(), "nothing is made");
    let message = format!("{}: is a directory, not a disk image", name(&folder.0));
    expect_error(&attach_disk([&folder.0]), &message);
    expect_error(
        &attach_disk(["/dev/null"]),
        "/dev/null: not a regular file or block device",
    );

    let small = folder.image(4095);
    let message = format!(
        "{}: 4095 bytes are less than one block of 4096",
        name(&small)
    );
    expect_error(
        &attach_disk([small.as_os_str(), "--block-size=4096".as_ref()]),
        &message,
    );
    let empty = folder.image(0);
    let message = format!("{}: 0 bytes are less than one block of 512", name(&empty));
    expect_error(&attach_disk([&empty]), &message);

    let protected = folder.image(8192);
    fs::set_permissions(&protected, fs::Permissions::from_mode(0o444)).unwrap();
    let message = format!(
        "{}: cannot be written: add ,ro to only read it",
        name(&protected)
    );
    expect_error(&attach_disk([&protected]), &message);
    let read_only = attach_disk([
        protected.as_os_str(),
        "--read-only".as_ref(),
        "--loopback".as_ref(),
    ]);
    assert_eq!(
        read_only.status.code(),
        Some(0),
        "{}",
        text(&read_only.stderr)
    );
}

#[test]
fn an_image_in_use_is_refused() {
    let folder = Folder::new("in-use");
    let path = folder.image(1024);
    let message = format!("{}: in use by another process or unit", path.display());
    let writer = RawImage::open(&path, Access::ReadWrite).unwrap();
    expect_error(&attach_disk([&path]), &message);
    expect_error(
        &attach_disk([path.as_os_str(), "--read-only".as_ref()]),
        &message,
    );
    drop(writer);
    // A process that another test is just starting may hold a copy of the file for a moment.
    let _reader = loop {
        match RawImage::open(&path, Access::ReadOnly) {
            Err(ImageError::InUse(_)) => thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    expect_error(&attach_disk([&path]), &message);
    let reader = attach_disk([
        path.as_os_str(),
        "--read-only".as_ref(),
        "--loopback".as_ref(),
    ]);
    assert_eq!(reader.status.code(), Some(0));
}

/// With a folder in place of sysfs; nothing takes the socket, so the disk is detached at once.
fn attach(folder: &Folder, arguments: &[&str]) -> Output {
    let image = folder.image(4096);
    let sysfs = folder.sysfs();
    let first = [image.as_os_str(), "--sysfs".as_ref(), sysfs.as_os_str()];
    attach_disk(first.into_iter().chain(arguments.iter().map(OsStr::new)))
}

#[test]
fn a_port_that_does_not_do_is_refused() {
    let folder = Folder::new("port");
    for (arguments, message) in [
        (&["--speed=high", "--port=0"][..], "port 0: taken"),
        (
            &["--port=1"],
            "port 1: does not take SuperSpeed, port 2 would",
        ),
        (
            &["--speed=full", "--port=2"],
            "port 2: does not take full speed, port 1 would",
        ),
        (&["--port=3"], "port 3: vhci_hcd has ports 0 to 2"),
    ] {
        expect_error(&attach(&folder, arguments), message);
        assert_eq!(folder.attached(), "", "nothing is attached");
    }
}

#[test]
fn the_port_is_told_and_the_end_of_the_connection_is_a_good_end() {
    let folder = Folder::new("attach");
    for (speed, port, code) in [("super", 2, 5), ("high", 1, 3), ("full", 1, 2)] {
        let output = attach(&folder, &["--speed", speed]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), format!("port: {port}\n"));
        let written = folder.attached();
        let fields: Vec<&str> = written.split(' ').collect();
        assert_eq!((fields[0], fields[2]), (port.to_string().as_str(), "65538"));
        assert_eq!((fields.len(), fields[3]), (4, code.to_string().as_str()));
    }
}

#[test]
fn without_vhci_it_says_so_and_reads_the_disk_itself() {
    let folder = Folder::new("without");
    let image = folder.image(8192);
    let arguments = [image.as_os_str(), "--sysfs=/nonexistent".as_ref()];
    let output = attach_disk(arguments);
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("attach-disk: "));
    assert!(lines[0].contains("modprobe vhci-hcd"), "{}", lines[0]);
    assert!(lines[1].contains("--loopback"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\nread back: 8192 bytes, the same as the image\n"));
}

#[test]
fn the_loopback_reads_any_image_at_any_speed() {
    let folder = Folder::new("loopback");
    for size in [512, 4096, 8191, 122_880, 1_000_000, 3_333_333] {
        let image = folder.image(size);
        let before = fs::read(&image).unwrap();
        for (speed, line) in [
            ("full", "full speed\n"),
            ("high", "high speed\n"),
            ("super", "SuperSpeed\n"),
        ] {
            for block in [512, 4096].into_iter().filter(|block| *block <= size) {
                let block_size = format!("--block-size={block}");
                let arguments = [
                    "--loopback",
                    "--speed",
                    speed,
                    "--serial=ABC 123",
                    &block_size,
                ];
                let arguments = arguments
                    .map(OsStr::new)
                    .into_iter()
                    .chain([image.as_os_str()]);
                let output = attach_disk(arguments);
                let (out, error) = (text(&output.stdout), text(&output.stderr));
                assert_eq!(output.status.code(), Some(0), "{error}");
                assert!(
                    out.lines().next().unwrap().ends_with(line.trim_end()),
                    "{out}"
                );
                assert!(out.contains("\n  Serial number: ABC 123\n"));
                let blocks = size / block;
                assert!(out.contains(&format!("\ncapacity: {blocks} blocks of {block} bytes\n")));
                let whole = blocks * block;
                let same = format!("\nread back: {whole} bytes, the same as the image\n");
                assert!(out.contains(&same), "{out}");
                assert!(out.contains("\nthroughput: "));
                let rest = size - whole;
                assert_eq!(error.is_empty(), rest == 0);
                assert!(
                    rest == 0 || error.contains(&format!("the last {rest} bytes")),
                    "{error}"
                );
            }
        }
        assert!(
            fs::read(&image).unwrap() == before,
            "the image is as it was"
        );
    }
}

#[test]
fn the_temporary_disk_and_the_default_serial_are_the_same_each_time() {
    let serial = |output: Output| {
        let out = text(&output.stdout).to_owned();
        let line = out
            .lines()
            .find(|line| line.starts_with("  Serial number: "));
        line.unwrap()
            .trim_start_matches("  Serial number: ")
            .to_owned()
    };
    let none: [&str; 0] = [];
    let temporary = attach_disk(none.into_iter().chain(["--loopback"]));
    assert_eq!(temporary.status.code(), Some(0));
    assert!(text(&temporary.stdout).contains("capacity: 131072 blocks of 512 bytes\n"));

    let folder = Folder::new("serial");
    let (one, other) = (folder.image(512), folder.image(1024));
    let of = |image: &Path| serial(attach_disk([image.as_os_str(), "--loopback".as_ref()]));
    let first = of(&one);
    // Bulk-Only Transport 1.0, 4.1.1: at least twelve digits and letters A to F.
    assert!(first.len() >= 12);
    assert!(
        first
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
    );
    assert_eq!(
        first,
        of(&folder.0.join("./512.img")),
        "however it is named"
    );
    assert_ne!(first, of(&other));
    assert_ne!(first, serial(temporary));
}

#[test]
fn an_image_that_is_truncated_meanwhile_kills_nothing() {
    let folder = Folder::new("truncated");
    let path = folder.0.join("large.img");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_attach-disk"))
        .args([path.as_os_str(), "--loopback".as_ref()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    file.set_len(1 << 20).unwrap();
    let output = child.wait_with_output().unwrap();
    // Unless it was so slow that it never saw the large image, it says what the host was told.
    if output.status.code() != Some(0) {
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.starts_with("attach-disk: disk: medium error"),
            "{error}"
        );
    }
}
