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

use common::{Folder, Running, fails, succeeds};
use rustix::process::Signal;

const SERVER: &str = env!("CARGO_BIN_EXE_usbip-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_usbip-client");

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
    let mut listening = Running::start(CLIENT, ["listen", "tcp:127.0.0.1:0", &sysfs, &state]);
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
    let mut server = Running::start(SERVER, ["--listen", "tcp:127.0.0.1:0", "--disk", &image]);
    let address = server.says("listening on ");
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
    fs::write(folder.path("state/port0"), "server 3240 3-1\n").unwrap();
    let ports = succeeds(CLIENT, &["ports", &sysfs, &state]);
    assert_eq!(ports, format!("{device}  from usbip://server:3240/3-1\n"));
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
    let serve = || {
        let mut server = Running::start(SERVER, ["--listen", &address, "--disk", &image]);
        server.says("listening on ");
        server
    };
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
        (Some(0), 2),
        "{log}"
    );
    assert_eq!(folder.vhci("detach"), "2");
    third.ends_well();
}
