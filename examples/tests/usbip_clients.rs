//! Clients of all manners at one `usbip-server`, over sockets of this machine.

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
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{
    ANYWHERE, CLIENT, Folder, Running, SERVER, client, connect, fails, import_request, run, same,
    serve_at, until, usbip_server,
};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

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
    let (server, address) = usbip_server(&disks.iter().map(String::as_str).collect::<Vec<_>>());

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
    let (mut server, address) =
        usbip_server(&["--disk", &image, "--allow=10.0.0.0/8", "--allow=::2"]);
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

    let (server, address) =
        usbip_server(&["--disk", &image, "--allow=10.0.0.0/8", "--allow=127.0.0.1"]);
    assert_eq!(client(&["list", &address]).lines().count(), 1);
    server.ends_well();
}

#[test]
fn half_a_request_is_no_request() {
    let folder = Folder::new("half");
    let (server, address) = usbip_server(&["--disk", &folder.image("1.img", 4096)]);
    let mut half = connect(&address);
    half.write_all(&import_request("1-1")[..20]).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    half.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, []);
    server.ends_well();
}
#[test]
fn a_signal_ends_all_connections_and_loses_nothing() {
    let folder = Folder::new("signal");
    let (disk, input) = (
        folder.empty("disk", 64 << 20),
        folder.image("input", 64 << 20),
    );
    let (mut server, address) = usbip_server(&["--disk", &disk]);
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

/// Who comes from another address of this machine.
fn connect_from(host: [u8; 4], address: &str) -> TcpStream {
    let address: SocketAddr = address.strip_prefix("tcp:").unwrap().parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// More than there is room for.
const CROWD: usize = 300;

#[test]
fn who_says_nothing_keeps_nobody_out() {
    let folder = Folder::new("silent");
    let (mut server, address) = usbip_server(&["--disk", &folder.image("1.img", 4096)]);
    let request = import_request("1-1");
    let (first, rest) = request.split_at(20);
    let mut slow = connect_from([127, 0, 0, 3], &address);
    slow.write_all(first).unwrap();
    let mut crowd: Vec<_> = (0..CROWD)
        .map(|_| connect_from([127, 0, 0, 2], &address))
        .collect();
    assert_eq!(client(&["list", &address]).lines().count(), 1);
    // The oldest of the crowd had to go; whoever else is slow, and the newest, may stay.
    assert_eq!(crowd[0].read(&mut [0]).unwrap(), 0);
    slow.write_all(rest).unwrap();
    slow.read_exact(&mut [0; 320]).unwrap();
    let newest = crowd.last_mut().unwrap();
    newest.write_all(&import_request("9-9")).unwrap();
    newest.read_exact(&mut [0; 8]).unwrap();
    server.signal(Signal::TERM);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("127.0.0.2:") && log.contains(": gave way to others\n"));
    assert!(
        !log.contains("127.0.0.3:") || log.contains("uses 1-1"),
        "{log}"
    );
}

#[test]
fn who_says_nothing_at_a_unix_socket_keeps_nobody_out() {
    let folder = Folder::new("silent-unix");
    let (path, place) = (
        folder.path("socket"),
        format!("unix:{}", folder.path("socket")),
    );
    let (server, _) = serve_at(SERVER, &place, &["--disk", &folder.image("1.img", 4096)]);
    let _crowd: Vec<_> = (0..CROWD)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert_eq!(client(&["list", &place]).lines().count(), 1);
    server.ends_at_once();
}

#[test]
fn a_server_without_file_descriptors_waits_for_some() {
    let folder = Folder::new("few-files");
    let disk = folder.image("1.img", 4096);
    let script = "ulimit -n 24 && exec \"$@\"";
    let arguments = [
        "-c", script, "sh", SERVER, "--listen", ANYWHERE, "--disk", &disk,
    ];
    let mut server = Running::start("sh", arguments);
    let address = server.says("listening on ");
    let crowd: Vec<_> = (0..40).map(|_| connect(&address)).collect();
    let files = format!("/proc/{}/fd", server.child.id());
    until(|| fs::read_dir(&files).unwrap().count() >= 23);
    drop(crowd);
    // Until it has noticed that they left, others may be turned away.
    until(|| run(CLIENT, &["list", &address]).status.success());
    server.ends_well();
}
