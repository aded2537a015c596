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

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "usbredir-host: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = lexopt::Parser::from_env();
    let (mut listen, mut connect, mut disk, mut speed, mut caps) = (None, None, None, Speed::Super, 0xff);
    while let Some(arg) = args.next()? {
        match arg {
            Long("listen") => listen = Some(args.value()?.string()?),
            Long("connect") => connect = Some(args.value()?.string()?),
            Long("disk") => disk = Some(args.value()?),
            Long("speed") => speed = if args.value()? == "high" { Speed::High } else { Speed::Super },
            Long("capabilities") => caps = u32::from_str_radix(args.value()?.string()?.trim_start_matches("0x"), 16)?,
            _ => return Err(arg.unexpected().into()),
        }
    }
    let disk = disk.ok_or("no disk")?;
    let (path, access) = match disk.as_bytes().strip_suffix(b",ro") {
        Some(p) => (Path::new(OsStr::from_bytes(p)), Access::ReadOnly),
        None => (Path::new(&disk), Access::ReadWrite),
    };
    let image = RawImage::open(path, access)?;
    let unit = UnitOptions::new(BlockSize::BYTES_512, image.size() / 512)
        .vendor("Virtual").product("USB Disk").serial("1234567890ABCDEF")
        .read_only(access == Access::ReadOnly).removable(false);
    let options = BotOptions::new(speed).manufacturer("Virtual").product("USB Disk").serial("1234567890ABCDEF");
    let device = BotDevice::new(options, [LogicalUnit::new(unit)])?;
    let descriptors = device.descriptors().clone();
    let mut function = Disk::new(device, image);
    let stop = Arc::new(AtomicBool::new(false));
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker()?;
    let stopped = stop.clone();
    signal::on_first_signal(move || { stopped.store(true, Ordering::Release); waker.wake(); })?;
    let say = |text: &dyn Display| { let _ = writeln!(io::stdout(), "{text}"); };
    let fd: OwnedFd = match (listen, connect) {
        (_, Some(c)) => match c.split_once(':').ok_or("address")? {
            ("unix", p) => UnixStream::connect(p)?.into(),
            (_, p) => TcpStream::connect(p)?.into(),
        },
        (Some(l), _) => match l.split_once(':').ok_or("address")? {
            ("unix", p) => UnixListener::bind(p)?.accept()?.0.into(),
            (_, p) => TcpListener::bind(p)?.accept()?.0.into(),
        },
        _ => return Err("no address".into()),
    };
    let mut stream = Stream::new(fd)?;
    let mut options = Options::default();
    options.capabilities = Capabilities::from_bits(caps);
    let mut host = Host::new(options);
    host.attach(descriptors)?;
    let outcome = redirect(&mut stream, &sleeper, &mut host, &mut function, &stop, |host| {
        say(&format!("{:?} {:?} {:?} {:?}", host.state(), host.guest_version(), host.capabilities(), host.guest_filter().map(ToString::to_string)));
    });
    say(&format!("{outcome:?}"));
    Ok(())
}
