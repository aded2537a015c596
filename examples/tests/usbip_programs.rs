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

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use common::{
    CLIENT, Folder, Running, SERVER, client, connect, fails, import_request, run, same, text,
    until, usbip_server,
};
use examples::{Address, Host, Listener, Offers, ReadDisk, Relay, Server, Stop, Stream, list};
use rustix::process::Signal;
use usbip_proto::Limits;

const REDIR_HOST: &str = env!("CARGO_BIN_EXE_usbredir-host");

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
        (&["list", "--bogus"], "list: invalid option '--bogus'"),
        (&["list", "extra"], "list: unexpected argument \"extra\""),
        (&[&disk, "list"], "unexpected argument \"list\""),
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
        (&["--usb", "1-2,nusb,usbfs"], "is said twice"),
        (
            &["--watch=1-2", "--watch=1-2,read-only"],
            "--watch 1-2: it is said already",
        ),
        (
            &["--usb=1-2", "--id=1209:0001"],
            "--id is of simulated devices, not of --usb",
        ),
        (&["--usb=1-2", "--speed=low"], "not of --usb"),
        (&["--usb=1-2", "--serial-number=A"], "not of --usb"),
        (
            &["--speed=low", "--usb=1-2"],
            "--speed is of simulated devices, and there is none",
        ),
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
        (
            &["--connect=unix:/x", "--serial-number=A", "--audio"],
            "before it",
        ),
        (
            &["--connect=unix:/x", &disk, "--serial-number=A"],
            "no disk",
        ),
    ] {
        fails(REDIR_HOST, arguments, 2, words);
    }
    for (arguments, words) in [
        (&[][..], "say which device"),
        (&["--usb=1-2", "--speed=low"], "a real device has its own"),
        (&["--usb=1-2", "--usb=1-3"], "one device at a time"),
    ] {
        fails(env!("CARGO_BIN_EXE_attach-usb"), arguments, 2, words);
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
        (&["detach", "many"], "a port is a number"),
        (&["list", "tcp:a", "1-1"], "it takes ADDR"),
        (&["--port=1", "attach"], "options come after the command"),
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
    let (server, gone) = usbip_server(&["--disk", &image]);
    server.ends_well();
    fails(CLIENT, &["list", &gone], 1, "refused");
    fails(SERVER, &["--relay", &gone, "1-1"], 1, "refused");
    let (_server, address) = usbip_server(&["--disk", &image]);
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

    let address = format!("unix:{other}");
    fails(
        SERVER,
        &["--listen", &address, "--disk", &image],
        1,
        "what is there is no socket",
    );
    assert!(Path::new(&other).exists());
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
        let mut read = ReadDisk::new(|_: &_, offset, data: usb_transfer::Segments| {
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
    let (relay, address) = usbip_server(&["--disk", &own, "--relay", &origin, "1-1"]);
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
fn a_relay_ends_though_its_server_does_not_answer() {
    let folder = Folder::new("mute-relay");
    let (origin, far) = usbip_server(&["--disk", &folder.image("1.img", 4096)]);
    let (relay, address) = usbip_server(&["--relay", &far, "1-1"]);
    origin.signal(Signal::STOP);
    let mut user = connect(&address);
    user.write_all(&import_request("1-1")).unwrap();
    until(|| client(&["list", &address]).is_empty());
    relay.ends_at_once();
}

#[test]
fn what_a_relay_has_got_ready_for_nobody_is_let_go() {
    let folder = Folder::new("nobody");
    let (origin, far) = usbip_server(&["--disk", &folder.image("1.img", 4096)]);
    let bus_id = "1-1".parse().unwrap();
    let relay = Relay::new(far.parse().unwrap(), bus_id).unwrap();
    let server = Server::new(|_| ()).unwrap();
    server
        .export(relay.record().clone(), Box::new(relay))
        .unwrap();
    for _ in 0..2 {
        let (_, lease) = server.grant(bus_id).unwrap();
        assert_eq!(client(&["list", &far]), "");
        // As where there is no thread to serve its user.
        drop(lease);
        until(|| client(&["list", &far]).lines().count() == 1);
    }
    server.end().unwrap();
    origin.ends_well();
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
