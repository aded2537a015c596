//! `usbip-client` and devices at ports of a vhci_hcd that is only files.

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
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    ANYWHERE, CLIENT, Folder, Running, SERVER, connect, fails, import_request, run, serve_at,
    succeeds, text, until,
};
use examples::{Address, Sleeper, Stream, list, offer};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use usbip_proto::Limits;

/// The options for a kernel in the folder.
fn kernel(folder: &Folder) -> (String, String) {
    let state = format!("--state={}", folder.path("state"));
    (format!("--sysfs={}", folder.sysfs()), state)
}

#[test]
fn a_listening_client_attaches_what_dials() {
    let folder = Folder::new("listen");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let mut listening = Running::start(CLIENT, ["listen", ANYWHERE, &sysfs, &state]);
    let address = listening.says("listening on ");
    let server = Running::start(SERVER, ["--connect", &address, "--disk", &image]);
    assert_eq!(listening.says("port: "), "2");
    let record = fs::read_to_string(folder.path("state/port2")).unwrap();
    assert_eq!(record, "127.0.0.1 reverse 1-1\n");
    let written = folder.vhci("attach");
    assert!(
        written.starts_with("2 ") && written.ends_with(" 65537 5"),
        "{written}"
    );
    listening.ends_well();
    assert_eq!(folder.vhci("detach"), "2");
    server.ends_well();
}

#[test]
fn a_device_is_attached_listed_and_detached() {
    let folder = Folder::new("attach");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let (server, address) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let attach = ["attach", &address, "1-1", &sysfs, &state];
    assert_eq!(succeeds(CLIENT, &attach), "port: 2\n");
    let record = fs::read_to_string(folder.path("state/port2")).unwrap();
    let place = address.trim_start_matches("tcp:").replace(':', " ");
    assert_eq!(record, format!("{place} 1-1\n"));
    assert_eq!(
        succeeds(CLIENT, &[&attach[..], &["--port=3"]].concat()),
        "port: 3\n"
    );
    fails(
        CLIENT,
        &[&attach[..], &["--port=1"]].concat(),
        2,
        "does not take SuperSpeed",
    );
    let ports = succeeds(CLIENT, &["ports", &sysfs, &state]);
    let device = "0    high-speed hub  1-1 1209:0001 Keys\\u{1b}[2J";
    assert_eq!(ports, format!("{device}\n"));
    // What the stock tool has attached.
    fs::create_dir_all(folder.path("state")).unwrap();
    fs::write(folder.path("state/port0"), "server 3240 3-1\n").unwrap();
    let ports = succeeds(CLIENT, &["ports", &sysfs, &state]);
    assert_eq!(ports, format!("{device}  from usbip://server:3240/3-1\n"));
    // As long as it cannot be detached, it is told where it is from.
    let controller = folder.path("devices/platform/vhci_hcd.0/detach");
    fs::remove_file(&controller).unwrap();
    fs::create_dir(&controller).unwrap();
    fails(CLIENT, &["detach", "0", &sysfs, &state], 1, "port 0: ");
    let ports = succeeds(CLIENT, &["ports", &sysfs, &state]);
    assert_eq!(ports, format!("{device}  from usbip://server:3240/3-1\n"));
    fs::remove_dir(&controller).unwrap();
    fs::write(&controller, "").unwrap();
    succeeds(CLIENT, &["detach", "0", &sysfs, &state]);
    assert_eq!(folder.vhci("detach"), "0");
    assert!(fs::metadata(folder.path("state/port0")).is_err());
    fails(
        CLIENT,
        &["detach", "1", &sysfs],
        2,
        "port 1: nothing is attached",
    );
    fails(
        CLIENT,
        &["detach", "4", &sysfs],
        2,
        "port 4: there is no such port",
    );
    server.ends_well();
}

#[test]
fn a_device_comes_back_with_its_server() {
    let folder = Folder::new("reconnect");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let address = format!("unix:{}", folder.path("socket"));
    let serve = || serve_at(SERVER, &address, &["--disk", &image]).0;
    let attach = ["attach", &address, "1-1", "--reconnect", &sysfs, &state];
    fails(CLIENT, &attach, 1, "No such file");
    let first = serve();
    let mut attached = Running::start(CLIENT, attach);
    assert_eq!(attached.says("port: "), "2");
    // Once killed, once ended.
    first.signal(Signal::KILL);
    drop(first);
    let second = serve();
    assert_eq!(attached.says("port: "), "2");
    second.ends_well();
    let third = serve();
    assert_eq!(attached.says("port: "), "2");
    attached.signal(Signal::TERM);
    let (code, log) = attached.ended();
    assert_eq!(
        (code, log.matches("the connection has ended").count()),
        (Some(0), 1),
        "each time soon after it was attached, so said once: {log}"
    );
    assert_eq!(folder.vhci("detach"), "2");
    third.ends_well();
}

/// Has the status of the two ports for SuperSpeed say that they have devices.
fn take_ports(folder: &Folder) {
    let status = folder.path("devices/platform/vhci_hcd.0/status");
    let text = fs::read_to_string(&status).unwrap();
    let taken = |port: &str, text: String| {
        let line = format!("ss  {port} 006 005 00010001 000003 2-{port}\n");
        text.replace(&format!("ss  {port} 004 000 00000000 000000 0-0\n"), &line)
    };
    fs::write(&status, taken("0003", taken("0002", text))).unwrap();
}

#[test]
fn a_port_that_is_detached_is_not_attached_again() {
    let folder = Folder::new("detached");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let (server, address) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let attach = ["attach", &address, "1-1", "--reconnect", &sysfs, &state];
    let mut attached = Running::start(CLIENT, attach);
    assert_eq!(attached.says("port: "), "2");
    until(|| fs::metadata(folder.path("state/port2")).is_ok());
    take_ports(&folder);
    succeeds(CLIENT, &["detach", "2", &sysfs, &state]);
    assert_eq!(folder.vhci("detach"), "2");
    // As the kernel ends the connection.
    server.ends_well();
    let begin = Instant::now();
    while attached.child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it goes on");
        thread::sleep(Duration::from_millis(10));
    }
    let (code, log) = attached.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("port 2 was detached"), "{log}");
}

#[test]
fn a_server_that_leaves_at_once_is_tried_less_and_less() {
    let folder = Folder::new("leaves");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let (server, far) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let origin = connect(&far);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let attach = ["attach", &address, "1-1", "--reconnect", &sysfs, &state];
    let mut attached = Running::start(CLIENT, attach);
    let mut reply = [0; 320];
    let begin = Instant::now();
    for round in 0..4 {
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 40]).unwrap();
        if round == 0 {
            let mut origin = &origin;
            origin.write_all(&import_request("1-1")).unwrap();
            origin.read_exact(&mut reply).unwrap();
        }
        client.write_all(&reply).unwrap();
        assert_eq!(attached.says("port: "), "2");
    }
    // After half a second, one and two.
    assert!(begin.elapsed() > Duration::from_millis(3400));
    attached.signal(Signal::TERM);
    let (code, log) = attached.ended();
    assert_eq!(
        (code, log.lines().count()),
        (Some(0), 1),
        "said once: {log}"
    );
    drop(origin);
    server.ends_well();
}

#[test]
fn a_listening_client_takes_nothing_that_has_no_port() {
    let folder = Folder::new("no-port");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    take_ports(&folder);
    let (server, far) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let far: Address = far.parse().unwrap();
    let mut far = Stream::new(far.connect().unwrap()).unwrap();
    let devices = list(&mut far, Limits::default()).unwrap();
    let mut listening = Running::start(CLIENT, ["listen", ANYWHERE, &sysfs, &state]);
    let address: Address = listening.says("listening on ").parse().unwrap();
    for _ in 0..3 {
        let mut stream = Stream::new(address.connect().unwrap()).unwrap();
        let sleeper = Sleeper::new();
        let chosen = offer(&mut stream, &sleeper, &devices[..], Limits::default(), None);
        assert!(chosen.unwrap().is_none());
    }
    listening.signal(Signal::TERM);
    let (code, log) = listening.ended();
    assert_eq!((code, log.lines().count()), (Some(0), 1), "{log}");
    assert!(log.contains("1-1: no free port for SuperSpeed"), "{log}");
    drop(far);
    server.ends_well();
}

#[test]
fn a_server_pauses_before_it_dials_a_client_that_left_at_once() {
    let folder = Folder::new("pause");
    let image = folder.image("1.img", 4096);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let mut server = Running::start(SERVER, ["--connect", &address, "--disk", &image]);
    let begin = Instant::now();
    for _ in 0..3 {
        let (mut dialled, _) = listener.accept().unwrap();
        dialled.write_all(&import_request("1-1")).unwrap();
        dialled.read_exact(&mut [0; 320]).unwrap();
    }
    assert!(begin.elapsed() > Duration::from_millis(1900));
    server.signal(Signal::TERM);
    let (code, log) = server.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches(": uses 1-1").count(), 1, "{log}");
}

#[test]
fn a_device_that_fails_keeps_no_other_from_being_given() {
    let folder = Folder::new("next");
    let (image, other) = (folder.image("1.img", 4096), folder.image("2.img", 4096));
    let (sysfs, state) = kernel(&folder);
    let (origin, far) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let place = format!("unix:{}", folder.path("socket"));
    let offered = ["--relay", &far, "1-1", "--disk", &other];
    let arguments = ["--connect", &place].into_iter().chain(offered);
    let mut server = Running::start(SERVER, arguments);
    server.says("connecting to ");
    origin.ends_well();
    let mut listening = Running::start(CLIENT, ["listen", &place, &sysfs, &state]);
    assert_eq!(listening.says("port: "), "2");
    // The second device.
    let written = folder.vhci("attach");
    assert!(written.ends_with(" 65538 5"), "{written}");
    listening.ends_well();
    server.ends_well();
}

#[test]
fn silent_servers_keep_nobody_out_and_nothing_up() {
    let folder = Folder::new("silent-servers");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let mut listening = Running::start(CLIENT, ["listen", ANYWHERE, &sysfs, &state]);
    let address = listening.says("listening on ");
    let _crowd: Vec<_> = (0..300).map(|_| connect(&address)).collect();
    let server = Running::start(SERVER, ["--connect", &address, "--disk", &image]);
    assert_eq!(listening.says("port: "), "2");
    listening.ends_at_once();
    assert_eq!(folder.vhci("detach"), "2");
    server.ends_well();
}

#[test]
fn a_server_that_does_not_answer_keeps_nothing_up() {
    let folder = Folder::new("mute-server");
    let (sysfs, state) = kernel(&folder);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", server.local_addr().unwrap());
    let attach = ["attach", &address, "1-1", "--reconnect", &sysfs, &state];
    let attaching = Running::start(CLIENT, attach);
    let (mut asking, _) = server.accept().unwrap();
    asking.read_exact(&mut [0; 40]).unwrap();
    attaching.ends_at_once();
    assert_eq!(folder.vhci("detach"), "");
}

#[test]
fn a_disk_that_does_not_sync_is_detached() {
    let folder = Folder::new("no-sync");
    let (sysfs, state) = kernel(&folder);
    let interface = "bus/usb/devices/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0/block";
    // /dev/stdin is to be a pipe that nobody ever writes to: to open it takes for ever.
    fs::create_dir_all(folder.path(&format!("{interface}/stdin"))).unwrap();
    let pipe = folder.path("pipe");
    assert!(run("mkfifo", &[&pipe]).status.success());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let pipe = rustix::fs::open(&pipe, flags, Mode::empty()).unwrap();
    fs::create_dir(folder.path("state")).unwrap();
    fs::write(folder.path("state/port0"), "server 3240 3-1\n").unwrap();
    let mut detach = Command::new(CLIENT);
    let detached = detach
        .args(["detach", "0", &sysfs, &state])
        .stdin(pipe)
        .output()
        .unwrap();
    assert_eq!(detached.status.code(), Some(1));
    let said = text(&detached.stderr);
    assert!(
        said.contains("port 0: detached, but what was written last may be lost"),
        "{said}"
    );
    assert_eq!(folder.vhci("detach"), "0");
    assert!(fs::metadata(folder.path("state")).is_err());
}

#[test]
fn records_of_others_stay_and_those_of_the_dead_go() {
    let folder = Folder::new("records");
    let image = folder.image("1.img", 4096);
    let (sysfs, state) = kernel(&folder);
    let record = |port: u16| folder.path(&format!("state/port{port}"));
    fs::create_dir(folder.path("state")).unwrap();
    // Port 0 has a device; at port 1 there was one.
    for port in 0..2 {
        fs::write(record(port), "server 3240 3-1\n").unwrap();
    }
    let (server, address) = serve_at(SERVER, ANYWHERE, &["--disk", &image]);
    let attach = ["attach", &address, "1-1", "--reconnect", &sysfs, &state];
    let mut attached = Running::start(CLIENT, attach);
    assert_eq!(attached.says("port: "), "2");
    assert!(fs::metadata(record(0)).is_ok() && fs::metadata(record(1)).is_err());
    // The port is lost, and somebody else has it before that is noticed.
    fs::remove_file(record(2)).unwrap();
    fs::write(record(2), "other 3240 1-1\n").unwrap();
    server.ends_well();
    attached.ends_well();
    assert_eq!(fs::read_to_string(record(2)).unwrap(), "other 3240 1-1\n");
}
