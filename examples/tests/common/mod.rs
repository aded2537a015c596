//! What the tests of programs share: a folder, and programs that run, end and fail.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{self, Child, ChildStdout, Command, Output, Stdio};

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
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
