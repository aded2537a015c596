//! What the tests of programs share: a folder, and programs that run, end and fail.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{self, Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("usbip-{}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// An image whose content is the same in no two blocks, nor in two images.
    pub fn image(&self, name: &str, size: usize) -> String {
        let seed = name.bytes().map(u32::from).sum::<u32>() << 20;
        let words = (seed..).flat_map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes());
        let path = self.path(name);
        fs::write(&path, words.take(size).collect::<Vec<u8>>()).unwrap();
        path
    }

    pub fn empty(&self, name: &str, size: u64) -> String {
        let path = self.path(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    /// What looks like a vhci_hcd with two free ports of each hub.
    pub fn sysfs(&self) -> String {
        let controller = self.0.join("devices/platform/vhci_hcd.0");
        fs::create_dir_all(&controller).unwrap();
        let status = "\
            hub port sta spd dev      sockfd local_busid\n\
            hs  0000 006 003 00010002 000003 1-1\n\
            hs  0001 004 000 00000000 000000 0-0\n\
            ss  0002 004 000 00000000 000000 0-0\n\
            ss  0003 004 000 00000000 000000 0-0\n";
        fs::write(controller.join("status"), status).unwrap();
        fs::write(controller.join("attach"), "").unwrap();
        fs::write(controller.join("detach"), "").unwrap();
        let device = self.0.join("bus/usb/devices/1-1");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("idVendor"), "1209\n").unwrap();
        fs::write(device.join("idProduct"), "0001\n").unwrap();
        fs::write(device.join("product"), "Keys\x1b[2J\n").unwrap();
        self.0.to_str().unwrap().to_owned()
    }

    pub fn vhci(&self, name: &str) -> String {
        fs::read_to_string(self.0.join("devices/platform/vhci_hcd.0").join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A program that runs until it is told to end, killed at the latest with this.
pub struct Running {
    pub child: Child,
    pub lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The rest of the first line that starts so.
    #[track_caller]
    pub fn says(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                let mut error = String::new();
                let mut stderr = self.child.stderr.take().unwrap();
                stderr.read_to_string(&mut error).unwrap();
                panic!("it ended without {start:?}: {error}");
            }
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim_end().to_owned();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code and what it said on standard error.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let mut error = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut error).unwrap();
        (self.child.wait().unwrap().code(), error)
    }

    #[track_caller]
    pub fn ends_well(mut self) {
        self.signal(Signal::TERM);
        let (code, error) = self.ended();
        assert_eq!(code, Some(0), "{error}");
    }

    /// Likewise, though it waits for somebody who would be waited for twice as long.
    #[track_caller]
    pub fn ends_at_once(self) {
        let start = Instant::now();
        self.ends_well();
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const SERVER: &str = env!("CARGO_BIN_EXE_usbip-server");
pub const CLIENT: &str = env!("CARGO_BIN_EXE_usbip-client");

/// Where a port is free.
pub const ANYWHERE: &str = "tcp:127.0.0.1:0";

/// A program that serves, and its address.
pub fn serve(program: &str, arguments: &[&str]) -> (Running, String) {
    let mut server = Running::start(program, arguments);
    let address = server.says("listening on ");
    (server, address)
}

/// Likewise, at an address of the test's choice.
pub fn serve_at(program: &str, place: &str, arguments: &[&str]) -> (Running, String) {
    serve(program, &[&["--listen", place], arguments].concat())
}

/// A `usbip-server` at a free port, and its address.
pub fn usbip_server(arguments: &[&str]) -> (Running, String) {
    serve_at(SERVER, ANYWHERE, arguments)
}

/// What `usbip-client` said.
#[track_caller]
pub fn client(arguments: &[&str]) -> String {
    succeeds(CLIENT, arguments)
}

/// A client that says what it likes.
pub fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address.strip_prefix("tcp:").unwrap()).unwrap()
}

/// What asks a USB/IP server for a device.
pub fn import_request(bus_id: &str) -> Vec<u8> {
    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    request.extend_from_slice(bus_id.as_bytes());
    request.resize(40, 0);
    request
}

pub fn until(what: impl Fn() -> bool) {
    while !what() {
        thread::sleep(Duration::from_millis(1));
    }
}

pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What it said on standard output, and nothing else.
#[track_caller]
pub fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).to_owned()
}

/// One line on standard error, and nothing on standard output.
#[track_caller]
pub fn fails(program: &str, arguments: &[&str], code: i32, words: &str) {
    let output = run(program, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let name = program.rsplit('/').next().unwrap();
    assert!(error.starts_with(&format!("{name}: ")), "{error}");
    assert!(error.contains(words), "{error}");
    assert_eq!(text(&output.stdout), "");
}

#[track_caller]
pub fn same(one: &str, other: &str) {
    assert!(
        fs::read(one).unwrap() == fs::read(other).unwrap(),
        "{one} and {other} differ"
    );
}
