//! Gives a USB device to a virtual machine by usbredir. `usbredir-host --help` says how.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use examples::{Access, Disk, RawImage, Redirected, Sleeper, Stream, redirect, signal};
use lexopt::prelude::*;
use msc_bot::{BlockSize, BotDevice, BotOptions, LogicalUnit, UnitOptions};
use usb_descriptors::Speed;
use usbredir_proto::{Capabilities, Host, HostState, Options};

const HELP: &str = "\
Gives a USB device to a virtual machine by usbredir.

Usage: usbredir-host --connect ADDR | --listen ADDR  --disk IMAGE[,ro] [OPTION]...

  --connect ADDR        where the virtual machine listens
  --listen ADDR         where it is to come in, once
  --disk IMAGE[,ro]     a disk; with ,ro it cannot be written
  --speed SPEED         high or super [default: super]
  --capabilities BITS   what to say that it can do, to see how a guest takes less [default: 0xff]
  -h, --help            print this
  -V, --version         print the version

ADDR is tcp:HOST:PORT or unix:PATH. QEMU listens with
  -chardev socket,id=usb,path=PATH,server=on,wait=off -device usb-redir,chardev=usb

Standard output tells of the guest and of what it makes of the device. Ctrl-C or SIGTERM tells the
guest that the device is gone, flushes and ends.

Exit status: 0 after that, or when the guest has left; 1 if it rejected the device, or after a
failure of the connection; 2 after a mistake, with nothing changed.";

/// What is said on standard error, after the program's name, and the exit status.
struct Failure(String, u8);

fn mistake(error: impl Display) -> Failure {
    Failure(error.to_string(), 2)
}

fn failed(error: impl Display) -> Failure {
    Failure(error.to_string(), 1)
}

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("usbredir-host ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Serve(arguments)) => serve(&arguments),
        Err(error) => Err(mistake(format_args!("{error} (see usbredir-host --help)"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text, code)) => {
            let _ = writeln!(io::stderr(), "usbredir-host: {text}");
            ExitCode::from(code)
        }
    }
}

/// Says something on standard output. That nobody listens is no failure.
fn say(text: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed(format_args!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

enum Command {
    Help,
    Version,
    Serve(Arguments),
}

struct Arguments {
    place: Place,
    disk: OsString,
    speed: Speed,
    capabilities: Capabilities,
}

enum Place {
    Listen(String),
    Connect(String),
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut listen, mut connect, mut disk) = (None, None, None);
        let (mut speed, mut capabilities) = (Speed::Super, Capabilities::ALL);
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("listen") => listen = Some(arguments.value()?.string()?),
                Long("connect") => connect = Some(arguments.value()?.string()?),
                Long("disk") => disk = Some(arguments.value()?),
                Long("speed") => speed = arguments.value()?.parse_with(read_speed)?,
                Long("capabilities") => {
                    capabilities = arguments.value()?.parse_with(read_capabilities)?;
                }
                _ => return Err(argument.unexpected()),
            }
        }
        let place = match (listen, connect) {
            (Some(address), None) => Place::Listen(address),
            (None, Some(address)) => Place::Connect(address),
            _ => return Err("one of --connect and --listen is needed".into()),
        };
        let disk = disk.ok_or("no device: say what to give, such as --disk disk.img")?;
        Ok(Self::Serve(Arguments {
            place,
            disk,
            speed,
            capabilities,
        }))
    }
}

fn read_speed(name: &str) -> Result<Speed, &'static str> {
    match name {
        "high" => Ok(Speed::High),
        "super" => Ok(Speed::Super),
        _ => Err("a speed is high or super"),
    }
}

fn read_capabilities(bits: &str) -> Result<Capabilities, &'static str> {
    let bits = bits.strip_prefix("0x").unwrap_or(bits);
    let bits = u32::from_str_radix(bits, 16).ok();
    let bits = bits.filter(|bits| *bits <= 0xff);
    bits.map(Capabilities::from_bits)
        .ok_or("capabilities are 0 to 0xff")
}

/// Between guest and device.
fn connection(place: &Place) -> Result<OwnedFd, Failure> {
    let (Place::Listen(address) | Place::Connect(address)) = place;
    let (kind, rest) = address.split_once(':').unwrap_or((address, ""));
    let opened = match (kind, place) {
        ("unix", Place::Connect(_)) => UnixStream::connect(rest).map(OwnedFd::from),
        ("tcp", Place::Connect(_)) => TcpStream::connect(rest).map(OwnedFd::from),
        ("unix", Place::Listen(_)) => UnixListener::bind(rest).and_then(|listener| {
            let _ = writeln!(io::stdout(), "listening on {address}");
            Ok(listener.accept()?.0.into())
        }),
        ("tcp", Place::Listen(_)) => TcpListener::bind(rest).and_then(|listener| {
            let _ = writeln!(io::stdout(), "listening on {address}");
            Ok(listener.accept()?.0.into())
        }),
        _ => return Err(mistake("an address is tcp:HOST:PORT or unix:PATH")),
    };
    opened.map_err(|error| failed(format_args!("{address}: {error}")))
}

fn open_disk(arguments: &Arguments) -> Result<Disk<RawImage>, Failure> {
    let value = arguments.disk.as_os_str();
    let (path, access) = match value.as_bytes().strip_suffix(b",ro") {
        Some(path) => (Path::new(OsStr::from_bytes(path)), Access::ReadOnly),
        None => (Path::new(value), Access::ReadWrite),
    };
    let image = RawImage::open(path, access).map_err(mistake)?;
    let block_size = BlockSize::BYTES_512;
    let blocks = image.size() / u64::from(block_size.get());
    let unit = UnitOptions::new(block_size, blocks)
        .vendor("Virtual")
        .product("USB Disk")
        .read_only(access == Access::ReadOnly)
        .removable(false);
    let options = BotOptions::new(arguments.speed)
        .manufacturer("Virtual")
        .product("USB Disk");
    let device = BotDevice::new(options, [LogicalUnit::new(unit)]).map_err(mistake)?;
    Ok(Disk::new(device, image))
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let mut disk = open_disk(arguments)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(failed)?;
    let stopped = Arc::clone(&stop);
    let end = move || {
        stopped.store(true, Ordering::Release);
        waker.wake();
    };

    let mut stream = Stream::new(connection(&arguments.place)?).map_err(failed)?;
    signal::on_first_signal(end).map_err(failed)?;
    let mut options = Options::default();
    options.capabilities = arguments.capabilities;
    let mut host = Host::new(options);
    let descriptors = disk.device().descriptors().clone();
    host.attach(descriptors).map_err(failed)?;

    let mut is_rejected = false;
    let served = redirect(&mut stream, &sleeper, &mut host, &mut disk, &stop, |host| {
        is_rejected |= host.state() == HostState::Rejected;
        announce(host);
    });
    let flushed = disk.close();
    flushed.map_err(|error| failed(format_args!("what was written last may be lost: {error}")))?;
    match served.map_err(failed)? {
        _ if is_rejected => Err(failed("the guest does not want the device")),
        Redirected::Left => say("the guest has left"),
        Redirected::Stopped => say("detached"),
    }
}

/// What the guest makes of the device. Where nobody listens there is no use in it.
fn announce(host: &Host) {
    let guest = host.guest_version().unwrap_or_default().escape_default();
    let bits = host.capabilities().unwrap_or(Capabilities::NONE).bits();
    let mut out = io::stdout();
    let _ = match (host.state(), host.guest_filter()) {
        (HostState::Attached, _) => writeln!(out, "attached: {guest}, capabilities {bits:#x}"),
        (HostState::Rejected, Some(rules)) => {
            writeln!(out, "rejected by the guest's rules {rules}")
        }
        (HostState::Rejected, None) => writeln!(out, "rejected by the guest"),
        _ => Ok(()),
    };
}
