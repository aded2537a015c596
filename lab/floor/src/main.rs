//! The yardstick of the throughput scenarios: a read-only disk behind `vhci_hcd` that does nothing
//! but the two system calls each request needs, one `recv` and one `writev` straight from a mapped
//! file. It checks nothing and knows only what Linux asks such a disk; what a whole library costs on
//! top is what the scenarios measure.
//!
//! `lab-floor IMAGE high|super` attaches, prints what the other programs print, and ends with the
//! connection.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use std::{env, fs, mem, thread};

const VHCI: &str = "/sys/devices/platform/vhci_hcd.0";
const DEVICE_ID: u32 = 0x1_0002;
const BLOCK: usize = 512;
const HEADER: usize = 48;
const RET_SUBMIT: u8 = 3;
const RET_UNLINK: u8 = 4;
const CMD_UNLINK: u8 = 2;
const OUT: u8 = 0;
const STALL: i32 = -32;

#[derive(Clone, Copy, PartialEq)]
enum Speed {
    High,
    Super,
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, image, speed] = arguments.as_slice() else {
        panic!("usage: lab-floor IMAGE high|super");
    };
    let speed = match speed.as_str() {
        "high" => Speed::High,
        "super" => Speed::Super,
        other => panic!("no such speed: {other}"),
    };
    let mut disk = Disk::new(speed, map(image));
    let (ours, theirs) = UnixStream::pair().expect("socketpair");
    let port = attach(&theirs.into(), speed);
    thread::spawn(move || announce(port));
    disk.serve(&ours);
}

/// The file's content, mapped for as long as the program lives.
fn map(path: &str) -> &'static [u8] {
    let file = fs::File::open(path).expect("image");
    let length = file.metadata().expect("image").len() as usize;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping, never unmapped; the scenarios do not change the file meanwhile.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            flags,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        std::slice::from_raw_parts(start.cast(), length)
    }
}

/// The columns of each port in vhci's first status file.
fn ports() -> Vec<Vec<String>> {
    let status = fs::read_to_string(format!("{VHCI}/status")).expect("vhci_hcd is not loaded");
    status
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn attach(socket: &OwnedFd, speed: Speed) -> u32 {
    let (hub, code) = match speed {
        Speed::High => ("hs", 3),
        Speed::Super => ("ss", 5),
    };
    let free = ports()
        .into_iter()
        .find(|port| port[0] == hub && port[2] == "004")
        .expect("no free port");
    let port: u32 = free[1].parse().expect("port number");
    let request = format!("{port} {} {DEVICE_ID} {code}", socket.as_raw_fd());
    fs::write(format!("{VHCI}/attach"), request).expect("attach");
    port
}

/// Prints port, bus id and block device as they become known.
fn announce(port: u32) {
    println!("port: {port}");
    let bus_id = poll(|| {
        let port = ports()
            .into_iter()
            .find(|columns| columns[1].parse() == Ok(port))?;
        (port[2] == "006").then(|| port[6].clone())
    });
    println!("bus id: {bus_id}");
    let interface = format!("/sys/bus/usb/devices/{bus_id}:1.0");
    let block = poll(|| {
        let disk = ["host", "target", "", "block"].iter().try_fold(
            interface.clone(),
            |folder, prefix| {
                let name = entries(&folder).find(|name| match *prefix {
                    "" => name.contains(':') && !name.contains("target"),
                    prefix => name.starts_with(prefix),
                })?;
                Some(format!("{folder}/{name}"))
            },
        )?;
        entries(&disk).next()
    });
    println!("block device: /dev/{block}");
}

fn entries(folder: &str) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(Path::new(folder)).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn poll<T>(mut found: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = found() {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

struct Disk {
    speed: Speed,
    image: &'static [u8],
    /// Of the command under way: what its data phase sends, and then its status.
    tag: [u8; 4],
    data: &'static [u8],
    residue: u32,
    status: u8,
    data_due: bool,
    capacity: &'static [u8],
}

impl Disk {
    fn new(speed: Speed, image: &'static [u8]) -> Self {
        let last = u32::try_from(image.len() / BLOCK - 1).expect("image size");
        let capacity = [last.to_be_bytes(), (BLOCK as u32).to_be_bytes()]
            .concat()
            .leak();
        Self {
            speed,
            image,
            tag: [0; 4],
            data: &[],
            residue: 0,
            status: 0,
            data_due: false,
            capacity,
        }
    }

    fn serve(&mut self, socket: &UnixStream) {
        let mut request = [0; 4096];
        loop {
            // SAFETY: the buffer is ours and as long as stated.
            let received = unsafe {
                libc::recv(
                    socket.as_raw_fd(),
                    request.as_mut_ptr().cast(),
                    request.len(),
                    0,
                )
            };
            // Linux has one request under way per disk and sends it whole.
            if received < HEADER as isize {
                return;
            }
            self.answer(socket, &request);
        }
    }

    fn answer(&mut self, socket: &UnixStream, request: &[u8; 4096]) {
        let (command, direction, endpoint) = (request[3], request[15], request[19]);
        let length = word(&request[24..]) as usize;
        let wrapper = self.status_wrapper();
        let (status, payload): (i32, &[u8]) = match (command, endpoint, direction) {
            (CMD_UNLINK, ..) => (0, &[]),
            (_, 0, _) => match self.control(&request[40..48]) {
                Some(answer) => (0, &answer[..answer.len().min(length)]),
                None => (STALL, &[]),
            },
            (_, _, OUT) => {
                self.command(&request[HEADER..]);
                (0, &[])
            }
            _ if mem::take(&mut self.data_due) => (0, self.data),
            _ => (0, &wrapper),
        };
        let actual = if endpoint != 0 && direction == OUT {
            length
        } else {
            payload.len()
        };
        let mut header = [0; HEADER];
        header[3] = if command == CMD_UNLINK {
            RET_UNLINK
        } else {
            RET_SUBMIT
        };
        header[4..8].copy_from_slice(&request[4..8]);
        header[20..24].copy_from_slice(&status.to_be_bytes());
        header[24..28].copy_from_slice(&(actual as u32).to_be_bytes());
        send(socket, &header, payload);
    }

    fn status_wrapper(&self) -> [u8; 13] {
        let mut wrapper = [0; 13];
        wrapper[..4].copy_from_slice(b"USBS");
        wrapper[4..8].copy_from_slice(&self.tag);
        wrapper[8..12].copy_from_slice(&self.residue.to_le_bytes());
        wrapper[12] = self.status;
        wrapper
    }

    fn control(&self, setup: &[u8]) -> Option<&'static [u8]> {
        match (setup[0], setup[1], setup[3], setup[2]) {
            (0x80, 6, 1, _) => Some(if self.speed == Speed::Super {
                &SUPER_DEVICE
            } else {
                &HIGH_DEVICE
            }),
            (0x80, 6, 2, _) => Some(if self.speed == Speed::Super {
                &SUPER_CONFIGURATION
            } else {
                &HIGH_CONFIGURATION
            }),
            (0x80, 6, 3, 0) => Some(&[4, 3, 9, 4]),
            (0x80, 6, 3, _) => Some(b"\x0c\x03f\0l\0o\0o\0r\0"),
            (0x80, 6, 15, _) if self.speed == Speed::Super => Some(&OBJECT_STORE),
            (0x80, 0, ..) => Some(&[1, 0]),
            (0x00..=0x02, 1 | 3 | 9 | 11 | 0x30 | 0x31, ..) | (0x21, 0xff, ..) => Some(&[]),
            (0xa1, 0xfe, ..) => Some(&[0]),
            _ => None,
        }
    }

    fn command(&mut self, wrapper: &[u8]) {
        let block = &wrapper[15..];
        let wanted =
            u32::from_le_bytes([wrapper[8], wrapper[9], wrapper[10], wrapper[11]]) as usize;
        self.tag.copy_from_slice(&wrapper[4..8]);
        self.status = 0;
        self.data_due = wanted > 0;
        self.data = match block[0] {
            0x00 => &[],
            0x03 => &SENSE,
            0x12 => &INQUIRY,
            0x1a => &MODE,
            0x25 => self.capacity,
            0x28 => {
                let start = word(&block[2..]) as usize * BLOCK;
                &self.image[start..start + wanted]
            }
            _ => {
                self.status = 1;
                &[]
            }
        };
        self.data = &self.data[..self.data.len().min(wanted)];
        self.residue = (wanted - self.data.len()) as u32;
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The second system call. A stream socket that blocks takes everything.
fn send(socket: &UnixStream, header: &[u8], payload: &[u8]) {
    let part = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let parts = [part(header), part(payload)];
    // SAFETY: both parts are readable for as long as stated; the call does not write to them.
    let sent = unsafe { libc::writev(socket.as_raw_fd(), parts.as_ptr(), 2) };
    assert_eq!(sent, (header.len() + payload.len()) as isize, "writev");
}

const HIGH_DEVICE: [u8; 18] = device(0x00, 64);
const SUPER_DEVICE: [u8; 18] = device(0x10, 9);

const fn device(minor: u8, packet: u8) -> [u8; 18] {
    let major = if packet == 9 { 3 } else { 2 };
    [
        18, 1, minor, major, 0, 0, 0, packet, 0x09, 0x12, 0x01, 0x00, 0, 1, 1, 1, 1, 1,
    ]
}

const HIGH_CONFIGURATION: [u8; 32] = [
    9, 2, 32, 0, 1, 1, 0, 0x80, 50, // configuration
    9, 4, 0, 0, 2, 8, 6, 0x50, 0, // interface: mass storage, SCSI, bulk-only
    7, 5, 0x81, 2, 0, 2, 0, // bulk IN, 512
    7, 5, 0x02, 2, 0, 2, 0, // bulk OUT, 512
];

const SUPER_CONFIGURATION: [u8; 44] = [
    9, 2, 44, 0, 1, 1, 0, 0x80, 13, // configuration
    9, 4, 0, 0, 2, 8, 6, 0x50, 0, // interface: mass storage, SCSI, bulk-only
    7, 5, 0x81, 2, 0, 4, 0, // bulk IN, 1024
    6, 0x30, 15, 0, 0, 0, // bursts of 16
    7, 5, 0x02, 2, 0, 4, 0, // bulk OUT, 1024
    6, 0x30, 15, 0, 0, 0, // bursts of 16
];

const OBJECT_STORE: [u8; 22] = [
    5, 15, 22, 0, 2, // two capabilities
    7, 16, 2, 2, 0, 0, 0, // USB 2.0 extension
    10, 16, 3, 0, 0x0e, 0, 1, 10, 0xff, 0x07, // SuperSpeed: full, high and super
];

const INQUIRY: [u8; 36] = *b"\0\0\x06\x02\x1f\0\0\0Lab     Floor           0001";

const MODE: [u8; 4] = [3, 0, 0x80, 0];

const SENSE: [u8; 18] = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0];
