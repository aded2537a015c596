//! `usbredir-host`, `usbredir-guest` and `bridge` against each other and against USB/IP, over sockets
//! of this machine.

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

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;

use common::{
    ANYWHERE, CLIENT, Folder, Running, SERVER, fails, run, same, serve, serve_at, succeeds, text,
};
use rustix::process::Signal;

const HOST: &str = env!("CARGO_BIN_EXE_usbredir-host");
const GUEST: &str = env!("CARGO_BIN_EXE_usbredir-guest");
const BRIDGE: &str = env!("CARGO_BIN_EXE_bridge");

fn redirect(disk: &str) -> (Running, String) {
    serve_at(HOST, ANYWHERE, &["--disk", disk])
}

#[test]
fn help_and_version() {
    for program in [GUEST, BRIDGE] {
        let help = run(program, &["--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(text(&help.stdout).contains("Exit status:"));
        let version = run(program, &["-V"]);
        assert!(text(&version.stdout).starts_with(program.rsplit('/').next().unwrap()));
    }
}

#[test]
fn a_bad_command_line_is_refused() {
    for (arguments, words) in [
        (&[][..], "no command"),
        (&["dance", "tcp:a:1"], "no command \"dance\""),
        (&["tree"], "tree: wrong number of arguments"),
        (&["tree", "a:1"], "an address is tcp:HOST:PORT"),
        (&["read", "tcp:a:1"], "no file: --output FILE is missing"),
        (&["write", "tcp:a:1"], "no file: --input FILE is missing"),
        (
            &["tree", "tcp:a:1", "--resume"],
            "invalid option '--resume'",
        ),
        (&["tree", "tcp:a:1", "--filter", "8,-1,-1,-1"], "4 numbers"),
        (&["tree", "tcp:a:1", "--filter", "8,-1,-1,x,1"], "\"x\""),
        (&["attach", "tcp:a:1", "--sysfs", "/nowhere"], "vhci"),
        (
            &["tree", "tcp:a:1", "--capabilities", "0x100"],
            "capabilities are 0 to 0xff",
        ),
    ] {
        fails(GUEST, arguments, 2, words);
    }
    for (arguments, words) in [
        (&[][..], "no direction"),
        (&["sideways"], "no direction \"sideways\""),
        (&["to-usbredir", "tcp:a:1", "1-1"], "GUEST"),
        (&["to-usbredir", "tcp:a:1", "1-1", "b"], "an address is"),
        (&["to-usbredir", "--filter", "x"], "invalid option"),
        (&["to-usbip"], "HOST is needed"),
        (&["to-usbip", "tcp:a:1", "--filter", "x,1,1,1,1"], "\"x\""),
    ] {
        fails(BRIDGE, arguments, 2, words);
    }
}

#[test]
fn a_disk_is_shown_read_and_written() {
    let folder = Folder::new("redirected");
    let disk = folder.image("disk.img", 3 << 20);
    let (host, address) = redirect(&disk);
    let tree = succeeds(GUEST, &["tree", &address]);
    assert!(tree.contains("bulk IN"), "{tree}");

    let copy = folder.path("copy");
    let said = succeeds(GUEST, &["read", &address, "--output", &copy]);
    assert_eq!(said, "read: 3145728 bytes\n");
    same(&disk, &copy);
    let read = ["read", &address, "--output", &copy];
    fails(GUEST, &read, 2, "exists; --resume continues it");
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    file.set_len(1_500_000).unwrap();
    succeeds(GUEST, &["read", &address, "--output", &copy, "--resume"]);
    same(&disk, &copy);

    // What goes at once is a megabyte, to a guest without long lengths too.
    let less = ["--capabilities", "0xbf"];
    let again = folder.path("again");
    let read = ["read", &address, "--output", &again];
    succeeds(GUEST, &[&read[..], &less].concat());
    same(&disk, &again);

    let input = folder.image("input", 3 << 20);
    let write = ["write", &address, "--input", &input];
    succeeds(GUEST, &[&write[..], &less].concat());
    same(&disk, &input);
    let long = folder.empty("long", 4 << 20);
    let write = ["write", &address, "--input", &long];
    fails(GUEST, &write, 2, "more than the disk has");
    host.ends_well();
}

#[test]
fn rules_decide() {
    let folder = Folder::new("rules");
    let (host, address) = redirect(&folder.empty("disk.img", 1 << 20));
    let no_disks = "8,-1,-1,-1,0|-1,-1,-1,-1,1";
    let tree = ["tree", &address, "--filter", no_disks];
    fails(GUEST, &tree, 1, "the rules do not allow its device");
    let join = [
        "to-usbip", &address, "--listen", ANYWHERE, "--filter", no_disks,
    ];
    fails(BRIDGE, &join, 1, "the rules do not allow its device");
    let disks_only = "8,-1,-1,-1,1";
    succeeds(GUEST, &["tree", &address, "--filter", disks_only]);
    host.ends_well();
}

#[test]
fn the_host_may_connect() {
    let folder = Folder::new("dialled");
    let disk = folder.image("disk.img", 1 << 20);
    let copy = folder.path("copy");
    let place = format!("unix:{}", folder.path("guest"));
    let mut guest = Running::start(GUEST, ["read", &place, "--listen", "--output", &copy]);
    assert_eq!(guest.says("listening on "), place);
    succeeds(HOST, &["--connect", &place, "--disk", &disk]);
    assert_eq!(guest.ended(), (Some(0), String::new()));
    same(&disk, &copy);
}

#[test]
fn a_guest_that_says_no_more_is_left() {
    let folder = Folder::new("silent");
    let disk = folder.empty("disk.img", 1 << 20);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp:{}", listener.local_addr().unwrap());
    let mut host = Running::start(HOST, ["--connect", &place, "--disk", &disk]);
    let (mut guest, _) = listener.accept().unwrap();
    // A hello with all capabilities, that to acknowledge among them.
    let mut hello = [0; 12 + 64 + 4];
    hello[4] = 68;
    hello[76] = 0xff;
    guest.write_all(&hello).unwrap();
    host.says("attached: ");
    host.signal(Signal::TERM);
    assert_eq!(host.says("detached"), "");
    assert_eq!(host.ended(), (Some(0), String::new()));
    drop(guest);
}

#[test]
fn a_host_that_leaves_is_told() {
    let folder = Folder::new("left");
    let (host, address) = redirect(&folder.empty("disk.img", 1 << 20));
    host.ends_well();
    fails(GUEST, &["tree", &address], 1, "refused");
    fails(
        BRIDGE,
        &["to-usbip", &address, "--listen", ANYWHERE],
        1,
        "refused",
    );
}

#[test]
fn a_bridge_serves_one_client_after_the_other_and_dials_again() {
    let folder = Folder::new("to-usbip");
    let disk = folder.image("disk.img", 2 << 20);
    let socket = format!("unix:{}", folder.path("host"));
    let host = ["--listen", &socket, "--disk", &disk];
    let (first, _) = serve(HOST, &host);
    let (bridge, address) = serve(BRIDGE, &["to-usbip", &socket, "--listen", ANYWHERE]);
    assert!(succeeds(CLIENT, &["list", &address]).starts_with("1-1 "));
    for name in ["one", "two"] {
        let copy = folder.path(name);
        succeeds(CLIENT, &["read", &address, "1-1", "--output", &copy]);
        same(&disk, &copy);
    }
    let input = folder.image("input", 1 << 20);
    succeeds(CLIENT, &["write", &address, "1-1", "--input", &input]);
    assert!(
        fs::read(&disk)
            .unwrap()
            .starts_with(&fs::read(&input).unwrap())
    );

    first.ends_well();
    fails(CLIENT, &["tree", &address, "1-1"], 1, "refuses");
    let (second, _) = serve(HOST, &host);
    succeeds(CLIENT, &["tree", &address, "1-1"]);
    second.ends_well();
    // The same place, but not the same device.
    let other = folder.image("other.img", 1 << 20);
    let (third, _) = serve_at(HOST, &socket, &["--disk", &other]);
    fails(CLIENT, &["tree", &address, "1-1"], 1, "refuses");
    third.ends_well();
    bridge.signal(Signal::TERM);
    let mut bridge = bridge;
    let (code, notes) = bridge.ended();
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains("has another device now"), "{notes}");
}

#[test]
fn a_bridge_gives_a_servers_device_to_a_guest() {
    let folder = Folder::new("to-usbredir");
    let disk = folder.image("disk.img", 2 << 20);
    let (server, origin) = serve_at(SERVER, ANYWHERE, &["--disk", &disk]);
    let copy = folder.path("copy");
    let place = format!("unix:{}", folder.path("guest"));
    let mut guest = Running::start(GUEST, ["read", &place, "--listen", "--output", &copy]);
    guest.says("listening on ");
    let said = succeeds(BRIDGE, &["to-usbredir", &origin, "1-1", &place]);
    assert!(said.starts_with("attached: usbredir-proto "), "{said}");
    assert_eq!(guest.ended(), (Some(0), String::new()));
    same(&disk, &copy);

    let no_disks = "8,-1,-1,-1,0|-1,-1,-1,-1,1";
    let mut guest = Running::start(GUEST, ["tree", &place, "--listen", "--filter", no_disks]);
    guest.says("listening on ");
    let join = ["to-usbredir", &origin, "1-1", &place];
    let output = run(BRIDGE, &join);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("does not want the device"));
    assert_eq!(guest.ended().0, Some(1));
    server.ends_well();
}
