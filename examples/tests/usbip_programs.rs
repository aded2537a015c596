//! `usbip-server` and `usbip-client` against each other, over sockets of this machine.

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
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{Folder, Running, fails, run, same, succeeds, text};
use examples::{Address, Host, Listener, ReadDisk, Stop, Stream, list};
use rustix::process::Signal;
use usbip_proto::Limits;

const SERVER: &str = env!("CARGO_BIN_EXE_usbip-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_usbip-client");
const REDIR_HOST: &str = env!("CARGO_BIN_EXE_usbredir-host");

/// A server at a free port, and its address.
fn serve(arguments: &[&str]) -> (Running, String) {
    let place = ["--listen", "tcp:127.0.0.1:0"];
    let mut server = Running::start(SERVER, place.iter().chain(arguments));
    let address = server.says("listening on ");
    (server, address)
}

/// What the client said.
#[track_caller]
fn client(arguments: &[&str]) -> String {
    succeeds(CLIENT, arguments)
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn import_request(bus_id: &str) -> Vec<u8> {
    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    request.extend_from_slice(bus_id.as_bytes());
    request.resize(40, 0);
    request
}

fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("tcp:").unwrap()).unwrap()
}

#[test]
fn help_and_version() {
    for program in [SERVER, CLIENT, REDIR_HOST] {
        let help = run(program, &["--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help.stdout).contains("Exit status:"));
        let version = run(program, &["-V"]);
        assert!(text(&version.stdout).starts_with(program.rsplit('/').next().unwrap()));
    }
}

#[test]
fn a_bad_command_line_is_refused() {
    let folder = Folder::new("refused");
    let (image, small) = (folder.image("a.img", 4096), folder.image("small.img", 511));
    let disk = format!("--disk={image}");
    for (arguments, words) in [
        (&[][..], "no device"),
        (&["--disk"], "missing argument for option '--disk'"),
        (&["--disk", "missing.img"], "missing.img: no such file"),
        (&["--disk", &small], "511 bytes are less than one block"),
        (&[&disk, &disk], "in use by another process"),
        (&["--wrong"], "invalid option '--wrong'"),
        (&["what"], "unexpected argument \"what\""),
        (&[&disk, "--listen", "3240"], "an address is tcp:HOST:PORT"),
        (
            &[&disk, "--connect=tcp:a", "--listen=tcp:b"],
            "exclude each other",
        ),
        (&[&disk, "--allow", "10.0.0.0/33"], "a network is ADDRESS"),
        (
            &[&disk, "--listen=unix:/x", "--allow=::1"],
            "--allow is for",
        ),
        (&["--relay", "tcp:localhost:1"], "missing argument"),
        (&["--relay", "nowhere", "1-1"], "an address is"),
        (&["--relay", "tcp:localhost:1", "one two"], "bus id"),
    ] {
        fails(SERVER, arguments, 2, words);
    }
    for (arguments, words) in [
        (&[][..], "one of --connect and --listen"),
        (&["--connect=unix:/x"], "no device"),
        (&["--connect=unix:/x", "--listen=unix:/y"], "one of"),
        (&["--connect=unix:/x", &disk, "--audio"], "one device"),
        (&["--connect=unix:/x", "--relay", "tcp:a", "1-1"], "--relay"),
        (
            &["--connect=unix:/x", "--keys", "missing"],
            "missing: No such",
        ),
        (&["--connect=unix:/x", "--audio", "--speed=low"], "low"),
        (&["--connect=unix:/x", &disk, "--speed=slow"], "a speed is"),
        (&["--connect=unix:/x", &disk, "--id=1:2"], "not of a disk"),
        (&["--connect=unix:/x", "--serial", "--id=1"], "numbers are"),
    ] {
        fails(REDIR_HOST, arguments, 2, words);
    }
    for (arguments, words) in [
        (&[][..], "no command"),
        (&["dance"], "no command \"dance\""),
        (&["list"], "list: wrong number of arguments"),
        (&["list", "host:1"], "an address is tcp:HOST:PORT"),
        (
            &["tree", "tcp:localhost:1", ""],
            "cannot parse argument \"\"",
        ),
        (
            &["read", "tcp:localhost:1", "1-1"],
            "--output FILE is missing",
        ),
        (
            &["write", "tcp:localhost:1", "1-1"],
            "--input FILE is missing",
        ),
        (
            &["write", "tcp:localhost:1", "1-1", "--input", "missing.img"],
            "no such file",
        ),
        (
            &["read", "tcp:localhost:1", "1-1", "--output", &image],
            "exists; --resume",
        ),
        (
            &["list", "tcp:localhost:1", "--resume"],
            "invalid option '--resume'",
        ),
        (&["detach", "many"], "invalid digit"),
        (&["ports", "--sysfs=/nonexistent"], "vhci"),
    ] {
        fails(CLIENT, arguments, 2, words);
    }
}

#[test]
fn what_the_network_does_is_no_mistake() {
    let folder = Folder::new("network");
    let image = folder.image("a.img", 4096);
    // A port that was free a moment ago.
    let (server, gone) = serve(&["--disk", &image]);
    server.ends_well();
    fails(CLIENT, &["list", &gone], 1, "refused");
    fails(SERVER, &["--relay", &gone, "1-1"], 1, "refused");
    let (_server, address) = serve(&["--disk", &image]);
    fails(
        SERVER,
        &["--relay", &address, "1-2"],
        1,
        "does not list 1-2",
    );
    fails(
        SERVER,
        &["--disk", &folder.image("b.img", 512), "--listen", &address],
        1,
        "in use",
    );
    fails(CLIENT, &["tree", &address, "9-9"], 1, "the server refuses");
    fails(CLIENT, &["list", "unix:/nonexistent"], 1, "No such file");
}

#[test]
fn devices_are_listed_described_and_read() {
    let folder = Folder::new("read");
    // Neither is whole pieces, nor is the second whole blocks.
    let (one, two) = (
        folder.image("1.img", 5_000_192),
        folder.image("2.img", 100_100),
    );
    let (server, address) = serve(&["--disk", &one, "--disk", &format!("{two},ro")]);
    let list = client(&["list", &address]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
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
    server.ends_well();
}

#[test]
fn a_disk_is_written_and_what_does_not_fit_is_refused() {
    let folder = Folder::new("write");
    let (disk, input) = (
        folder.empty("disk", 3 << 20),
        folder.image("input", 2_500_096),
    );
    let (server, address) = serve(&["--disk", &disk]);
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
    let (_server, address) = serve(&["--disk", &image]);
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
    File::options()
        .write(true)
        .open(&copy)
        .unwrap()
        .set_len(40_000_001)
        .unwrap();
    let resume = ["read", &address, "1-1", "--output", &copy, "--resume"];
    fails(CLIENT, &resume, 2, "more than the disk has");
}

#[test]
fn writing_goes_on_where_it_was_killed() {
    let folder = Folder::new("resume-write");
    let (disk, input) = (
        folder.empty("disk", 40_000_000),
        folder.image("input", 39_999_488),
    );
    let (server, address) = serve(&["--disk", &disk]);
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

#[test]
fn clients_that_stall_flood_or_leave_disturb_nobody() {
    let folder = Folder::new("many");
    let images: Vec<_> = (1..=4)
        .map(|n| folder.image(&format!("{n}.img"), 3_000_320))
        .collect();
    let disks: Vec<_> = images
        .iter()
        .map(|image| format!("--disk={image}"))
        .collect();
    let (server, address) = serve(&disks.iter().map(String::as_str).collect::<Vec<_>>());

    // One that imports, asks for descriptors again and again and never reads an answer.
    let mut flood = connect(&address);
    flood.write_all(&import_request("1-3")).unwrap();
    flood
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let words = |seqnum: u32| {
        let words = [
            1,
            seqnum,
            0x0001_0003,
            1,
            0,
            0x200,
            4096,
            0,
            0,
            0,
            0x8006_0001,
            0x0000_0010,
        ];
        words.into_iter().flat_map(u32::to_be_bytes)
    };
    let mut sent = 0;
    while sent < 1_000_000 {
        let requests: Vec<u8> = (sent..sent + 1000).flat_map(words).collect();
        sent += 1000;
        if flood.write_all(&requests).is_err() {
            break;
        }
    }
    assert!(
        sent < 1_000_000,
        "the server stops reading what is not read"
    );
    // One that imports and says nothing, one that does not even import, one that talks nonsense.
    let mut silent = connect(&address);
    silent.write_all(&import_request("1-4")).unwrap();
    silent.read_exact(&mut [0; 320]).unwrap();
    let _mute = connect(&address);
    let mut nonsense = connect(&address);
    nonsense.write_all(&[0x55; 4096]).unwrap();
    let mut rest = Vec::new();
    // A reset counts as an end.
    let _ = nonsense.read_to_end(&mut rest);
    assert_eq!(rest, []);

    let list = client(&["list", &address]);
    assert_eq!(list.lines().count(), 2, "devices in use are hidden: {list}");
    fails(CLIENT, &["tree", &address, "1-3"], 1, "in use");

    // Two that work at the same time.
    let read = |number: usize| {
        let (bus_id, copy) = (
            format!("1-{number}"),
            folder.path(&format!("{number}.copy")),
        );
        let running = Running::start(CLIENT, ["read", &address, &bus_id, "--output", &copy]);
        (running, copy)
    };
    let (mut first, mut second) = (read(1), read(2));
    assert_eq!(first.0.ended().0, Some(0));
    assert_eq!(second.0.ended().0, Some(0));
    same(&images[0], &first.1);
    same(&images[1], &second.1);

    // Who leaves gives the device back.
    drop((flood, silent));
    until(|| client(&["list", &address]).lines().count() == 4);
    let mut third = read(3);
    assert_eq!(third.0.ended().0, Some(0));
    same(&images[2], &third.1);
    server.ends_well();
}

#[test]
fn only_allowed_clients_come_in() {
    let folder = Folder::new("allow");
    let image = folder.image("1.img", 4096);
    let (mut server, address) = serve(&["--disk", &image, "--allow=10.0.0.0/8", "--allow=::2"]);
    let mut denied = connect(&address);
    // It is not even heard.
    let mut answer = Vec::new();
    denied.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, []);
    let output = run(CLIENT, &["list", &address]);
    assert_eq!(output.status.code(), Some(1));
    server.signal(Signal::TERM);
    let (code, log) = server.ended();
    assert_eq!(
        (code, log.matches(": not allowed\n").count()),
        (Some(0), 2),
        "{log}"
    );

    let (server, address) = serve(&["--disk", &image, "--allow=10.0.0.0/8", "--allow=127.0.0.1"]);
    assert_eq!(client(&["list", &address]).lines().count(), 1);
    server.ends_well();
}

#[test]
fn a_unix_socket_serves_and_is_taken_over_from_a_server_that_was_killed() {
    let folder = Folder::new("unix");
    let image = folder.image("1.img", 1_000_448);
    let address = format!("unix:{}", folder.path("socket"));
    let arguments = ["--listen", &address, "--disk", &image];
    let mut killed = Running::start(SERVER, arguments);
    assert_eq!(killed.says("listening on "), address);
    let other = folder.image("2.img", 4096);
    fails(
        SERVER,
        &["--listen", &address, "--disk", &other],
        1,
        "in use",
    );
    killed.signal(Signal::KILL);
    killed.child.wait().unwrap();
    assert!(Path::new(&folder.path("socket")).exists());

    let mut server = Running::start(SERVER, arguments);
    server.says("listening on ");
    let copy = folder.path("copy");
    client(&["read", &address, "1-1", "--output", &copy]);
    same(&image, &copy);
    server.ends_well();
    assert!(!Path::new(&folder.path("socket")).exists());
}

#[test]
fn a_server_that_dials_offers_one_device_after_the_other() {
    let folder = Folder::new("dial");
    let images = [
        folder.image("1.img", 500_224),
        folder.image("2.img", 700_416),
    ];
    let address: Address = format!("unix:{}", folder.path("socket")).parse().unwrap();
    let place = format!("--connect={address}");
    let mut server = Running::start(SERVER, [&place, "--disk", &images[0], "--disk", &images[1]]);
    // It dials before anybody listens.
    server.says("connecting to ");
    let listener = Listener::bind(&address).unwrap();
    let stop = Stop::new().unwrap();
    let mut hosts = Vec::new();
    for number in 1..=2 {
        let (socket, _) = listener.accept(&stop).unwrap().unwrap();
        let mut stream = Stream::new(socket).unwrap();
        let devices = list(&mut stream, Limits::default()).unwrap();
        assert_eq!(devices.len(), 3 - number);
        let bus_id = devices[0].bus_id();
        assert_eq!(bus_id.as_str(), format!("1-{number}"));
        hosts.push(Host::import(stream, bus_id, Limits::default()).unwrap());
    }
    for (host, image) in hosts.iter_mut().zip(&images) {
        let image = fs::read(image).unwrap();
        let device = host.enumerate().unwrap();
        let mut matches = 0;
        let mut read = ReadDisk::new(0, |_: &_, offset, data: usb_transfer::Segments| {
            let data = data.to_bytes();
            let at = usize::try_from(offset).unwrap();
            matches += usize::from(image[at..at + data.len()] == data[..]);
            Ok(())
        });
        assert_eq!(
            host.use_disk(&device, &mut read).unwrap().capacity(),
            image.len() as u64
        );
        assert_eq!(matches, 1);
    }
    // A device that is free again is offered again.
    drop(hosts.remove(0));
    let (socket, _) = listener.accept(&stop).unwrap().unwrap();
    let devices = list(&mut Stream::new(socket).unwrap(), Limits::default()).unwrap();
    assert_eq!(devices[0].bus_id().as_str(), "1-1");
    server.ends_well();
}

#[test]
fn a_relay_passes_a_disk_on_and_survives_its_server() {
    let folder = Folder::new("relay");
    let (image, input) = (
        folder.image("1.img", 2_000_384),
        folder.image("input", 1_000_448),
    );
    let origin = format!("unix:{}", folder.path("origin"));
    let start = || {
        let mut server = Running::start(SERVER, ["--listen", &origin, "--disk", &image]);
        server.says("listening on ");
        server
    };
    let first = start();
    let own = folder.image("2.img", 512);
    let (relay, address) = serve(&["--disk", &own, "--relay", &origin, "1-1"]);
    let list = client(&["list", &address]);
    assert!(list.lines().any(|line| line.starts_with("1-2 ")), "{list}");
    let copy = folder.path("copy");
    client(&["read", &address, "1-2", "--output", &copy]);
    same(&image, &copy);
    // Its user is the origin's user.
    let mut user = connect(&address);
    user.write_all(&import_request("1-2")).unwrap();
    user.read_exact(&mut [0; 320]).unwrap();
    assert_eq!(client(&["list", &origin]), "");
    // When the origin goes, its user is told; later users are until it comes back.
    first.ends_well();
    assert_eq!(user.read(&mut [0; 1]).unwrap(), 0);
    drop(user);
    until(|| client(&["list", &address]).lines().count() == 2);
    fails(CLIENT, &["tree", &address, "1-2"], 1, "the server refuses");
    let second = start();
    client(&["write", &address, "1-2", "--input", &input]);
    relay.ends_well();
    second.ends_well();
    assert!(fs::read(&image).unwrap()[..1_000_448] == fs::read(&input).unwrap());
}

#[test]
fn a_signal_ends_all_connections_and_loses_nothing() {
    let folder = Folder::new("signal");
    let (disk, input) = (
        folder.empty("disk", 64 << 20),
        folder.image("input", 64 << 20),
    );
    let (mut server, address) = serve(&["--disk", &disk]);
    let mut writer = Running::start(CLIENT, ["write", &address, "1-1", "--input", &input]);
    let idle = connect(&address);
    let written = |at: usize| fs::read(&disk).unwrap()[at..at + 4] != [0; 4];
    until(|| written(1 << 20));
    server.signal(Signal::INT);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    drop(idle);
    // Unless the writer was faster, it says how far it came, and that much is there.
    let (code, error) = writer.ended();
    if code != Some(0) {
        assert_eq!(code, Some(1), "{error}");
        let (_, rest) = error.split_once("; ").unwrap();
        let (bytes, _) = rest.split_once(" bytes are copied").unwrap();
        let bytes: usize = bytes.parse().unwrap();
        assert!(bytes >= 1 << 20, "{error}");
        assert!(fs::read(&disk).unwrap()[..bytes] == fs::read(&input).unwrap()[..bytes]);
    }
}

#[test]
fn a_terminal_that_goes_ends_a_program_in_good_order() {
    let folder = Folder::new("terminal");
    let disk = folder.image("disk", 4096);
    let place = ["--listen", "tcp:127.0.0.1:0", "--disk", &disk];
    // Whatever runs this test may itself ignore it.
    let with_default = ["--default-signal=HUP", SERVER].into_iter().chain(place);
    let mut server = Running::start("env", with_default);
    server.says("listening on ");
    // From the kernel and from the shell.
    server.signal(Signal::HUP);
    server.signal(Signal::HUP);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");

    let script = "trap '' HUP && exec \"$@\"";
    let under_nohup = ["-c", script, "sh", SERVER].into_iter().chain(place);
    let mut server = Running::start("sh", under_nohup);
    let address = server.says("listening on ");
    server.signal(Signal::HUP);
    client(&["list", &address]);
    server.ends_well();
}

#[test]
fn half_a_request_is_no_request() {
    let folder = Folder::new("half");
    let (server, address) = serve(&["--disk", &folder.image("1.img", 4096)]);
    let mut half = connect(&address);
    half.write_all(&import_request("1-1")[..20]).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, []);
    server.ends_well();
}
