//! Disks of a server, copied by `usbip-client` over sockets of this machine.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::pedantic,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests of programs"
)]

mod common;

use std::fs::{self, File};
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use common::{CLIENT, Folder, Running, client, fails, same, until, usbip_server};
use examples::{DiskJob, Host, HostError, MemoryStore, ReadDisk, WriteDisk};
use msc_bot::{Initiator, Unit};
use rustix::process::{Pid, Signal, kill_process};
use usb_transfer::Segments;

#[test]
fn devices_are_listed_described_and_read() {
    let folder = Folder::new("read");
    // Neither is whole pieces, nor is the second whole blocks.
    let (one, two) = (
        folder.image("1.img", 5_000_192),
        folder.image("2.img", 100_100),
    );
    let read_only = format!("{two},ro");
    let (server, address) = usbip_server(&["--disk", &one, "--disk", &read_only, "--keyboard", ""]);
    let list = client(&["list", &address]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[0].starts_with("1-1 ") && lines[1].starts_with("1-2 "),
        "{list}"
    );
    assert!(
        list.contains("1209:0001  SuperSpeed, class 00/00/00, interfaces 08/06/50"),
        "{list}"
    );

    let tree = client(&["tree", &address, "1-2"]);
    assert!(tree.contains("Endpoint 81, bulk IN, 1024 bytes"), "{tree}");
    let copy = folder.path("copy");
    let said = client(&["read", &address, "1-1", "--output", &copy]);
    assert_eq!(said, "read: 5000192 bytes\n");
    same(&one, &copy);
    let second = folder.path("second");
    client(&["read", &address, "1-2", "--output", &second]);
    assert!(fs::read(&second).unwrap() == fs::read(&two).unwrap()[..195 * 512]);
    fails(
        CLIENT,
        &["write", &address, "1-2", "--input", &second],
        1,
        "write protected",
    );
    let none = folder.path("none");
    let read = ["read", &address, "1-3", "--output", &none];
    fails(CLIENT, &read, 1, "no mass storage");
    assert!(fs::metadata(&none).is_err());
    for wrong in ["1-3", "9-9"] {
        let read = ["read", &address, wrong, "--output", &none, "--resume"];
        fails(CLIENT, &read, 1, "");
        assert!(fs::metadata(&none).is_err());
    }
    fails(
        CLIENT,
        &["read", &address, "1-1", "--output", "/"],
        2,
        "is a directory",
    );
    server.ends_well();
}

#[test]
fn a_disk_is_written_and_what_does_not_fit_is_refused() {
    let folder = Folder::new("write");
    let (disk, input) = (
        folder.empty("disk", 3 << 20),
        folder.image("input", 2_500_096),
    );
    let (server, address) = usbip_server(&["--disk", &disk]);
    let said = client(&["write", &address, "1-1", "--input", &input]);
    assert_eq!(said, "written: 2500096 bytes\n");
    let large = folder.empty("large", (3 << 20) + 512);
    fails(
        CLIENT,
        &["write", &address, "1-1", "--input", &large],
        2,
        "more than the disk has",
    );
    let odd = folder.image("odd", 513);
    fails(
        CLIENT,
        &["write", &address, "1-1", "--input", &odd],
        2,
        "not whole blocks of 512",
    );
    server.ends_well();
    let written = fs::read(&disk).unwrap();
    assert!(written[..2_500_096] == fs::read(&input).unwrap());
    assert!(written[2_500_096..].iter().all(|byte| *byte == 0));
}

#[test]
fn reading_goes_on_where_it_was_killed() {
    let folder = Folder::new("resume-read");
    let image = folder.image("disk", 40_000_000);
    let (_server, address) = usbip_server(&["--disk", &image]);
    let copy = folder.path("copy");
    let read = ["read", &address, "1-1", "--output", &copy];
    let mut killed = Running::start(CLIENT, read);
    until(|| fs::metadata(&copy).is_ok_and(|file| file.len() > 5_000_000));
    killed.signal(Signal::KILL);
    killed.child.wait().unwrap();
    // So that something is missing even if it was faster than the signal.
    let length = fs::metadata(&copy).unwrap().len().min(33_333_333);
    File::options()
        .write(true)
        .open(&copy)
        .unwrap()
        .set_len(length)
        .unwrap();

    fails(CLIENT, &read, 2, "exists; --resume continues it");
    let resume: Vec<&str> = read.into_iter().chain(["--resume"]).collect();
    client(&resume);
    same(&image, &copy);
    // Once more, with nothing left to do; and from nothing.
    client(&resume);
    same(&image, &copy);
    fs::remove_file(&copy).unwrap();
    client(&resume);
    same(&image, &copy);

    let other = folder.image("other", 5_000_000);
    let before = fs::read(&other).unwrap();
    let resume = ["read", &address, "1-1", "--output", &other, "--resume"];
    fails(CLIENT, &resume, 2, "is not the beginning of this disk");
    assert!(fs::read(&other).unwrap() == before);
    // Only its first byte is another's.
    let mut near = fs::read(&image).unwrap();
    near.truncate(5_000_000);
    near[0] ^= 1;
    fs::write(&other, &near).unwrap();
    fails(CLIENT, &resume, 2, "is not the beginning of this disk");
    assert!(fs::read(&other).unwrap() == near);
    File::options()
        .write(true)
        .open(&copy)
        .unwrap()
        .set_len(40_000_001)
        .unwrap();
    let resume = ["read", &address, "1-1", "--output", &copy, "--resume"];
    fails(CLIENT, &resume, 2, "more than the disk has");
}

/// Reads a disk that may not be silent for a second.
struct Hasty<S>(ReadDisk<S>);

impl<S: FnMut(&Unit, u64, Segments) -> io::Result<()>> DiskJob for Hasty<S> {
    fn advance(&mut self, disk: &mut Initiator, unit: &Unit) -> Result<bool, HostError> {
        self.0.advance(disk, unit)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[test]
fn a_server_that_stops_answering_is_given_up() {
    let folder = Folder::new("silent");
    let image = folder.empty("disk", 40 << 20);
    let (server, address) = usbip_server(&["--disk", &image]);
    let (address, bus_id) = (address.parse().unwrap(), "1-1".parse().unwrap());
    let mut host = Host::open(&address, bus_id).unwrap();
    let descriptors = host.enumerate().unwrap();
    // What takes long on this side, or all in all, is not silence.
    let mut is_first = true;
    let mut reading = Hasty(ReadDisk::new(|_: &Unit, _, _| {
        let pause = if is_first { 1500 } else { 50 };
        is_first = false;
        thread::sleep(Duration::from_millis(pause));
        Ok(())
    }));
    host.use_disk(&descriptors, &mut reading).unwrap();

    let pid = Pid::from_child(&server.child);
    // Should it be waited for, the disk is read after all.
    let _late = thread::spawn(move || {
        thread::sleep(Duration::from_secs(20));
        let _ = kill_process(pid, Signal::CONT);
    });
    let mut read = 0;
    let mut reading = Hasty(ReadDisk::new(|_: &Unit, offset, _| {
        if offset == 0 {
            server.signal(Signal::STOP);
        }
        read = offset;
        Ok(())
    }));
    let error = host.use_disk(&descriptors, &mut reading).unwrap_err();
    assert!(matches!(error, HostError::Silent(_)), "{error}");
    assert_eq!(error.to_string(), "no answer for 1 s");
    assert!(read < 39 << 20, "{read}");

    // What is written may be flushed slowly.
    let writing = WriteDisk::new(MemoryStore::new(vec![0; 512]), 512, false, |_| {});
    assert!(
        writing.patience() > Host::PATIENCE && ReadDisk::new(sink).patience() == Host::PATIENCE
    );
}

fn sink(_: &Unit, _: u64, _: Segments) -> io::Result<()> {
    Ok(())
}

#[test]
fn writing_goes_on_where_it_was_killed() {
    let folder = Folder::new("resume-write");
    let (disk, input) = (
        folder.empty("disk", 40_000_000),
        folder.image("input", 39_999_488),
    );
    let (server, address) = usbip_server(&["--disk", &disk]);
    let write = ["write", &address, "1-1", "--input", &input];
    let mut killed = Running::start(CLIENT, write);
    let first_is_written = || {
        let mut start = [0; 4];
        File::open(&disk).unwrap().read_exact(&mut start).unwrap();
        start != [0; 4]
    };
    until(first_is_written);
    killed.signal(Signal::KILL);
    killed.child.wait().unwrap();
    client(&write.into_iter().chain(["--resume"]).collect::<Vec<_>>());
    server.ends_well();
    assert!(fs::read(&disk).unwrap()[..39_999_488] == fs::read(&input).unwrap());
}
