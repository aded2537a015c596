//! A file becomes a USB disk in Linux. `attach-disk --help` says how.

#![allow(
    clippy::disallowed_methods,
    reason = "a program waits, and measures time"
)]

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use examples::{
    Access, Attachment, DiskOptions, Driven, Failure, ImageDisk, RawImage, Sleeper, Stream, Trays,
    UnitImage, Vhci, fat, loopback, run, say, signal,
};
use lexopt::prelude::*;
use msc_bot::{BlockSize, Lun, MassStorage as _, MediumEvent};
use usb_transfer::Segments;
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};

const HELP: &str = "\
Attaches a RAW disk image to this machine as a USB disk, through vhci_hcd.

Usage: attach-disk [IMAGE[,ro][,cdrom]] [OPTION]...

IMAGE is a file or a block device. Without any: a temporary 64 MiB disk with a FAT file system.

Options:
  --cdrom               IMAGE is that of a CD or DVD, such as an ISO file
  --read-only           let nothing be written
";

const OPTIONS: &str = "  \
  --eject ACTION        when the host ejects the disk: refuse, detach (of several units when the
                        last is ejected), or keep it until the host loads it again
                        [default: refuse]
  --serial TEXT         the serial number [default: made from the image's path]
  --commands            take commands from standard input; the media can be taken out
  --port N              the port of vhci_hcd [default: the first free one]
  --sysfs FOLDER        where sysfs is mounted [default: /sys]
  --loopback            without the kernel: the built-in host reads unit 0 and compares it
  -h, --help            print this
  -V, --version         print the version

";

const ABOUT: &str = "
Standard output tells port, bus id and block device. Ctrl-C, SIGTERM or the end
of the terminal flushes, detaches and ends.

Exit status: 0 after detaching, or if the loopback found no difference; 1 if it found one, or if
something that was written may be lost; 2 after an error.";

const PROGRAM: &str = "attach-disk";
/// Each request carries it; which one does not matter.
const DEVICE: DeviceId = DeviceId::new(1, 2);
/// How long the kernel may take to find the disk, on a slow machine with many.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => {
            let (disk, trays) = (DiskOptions::HELP, Trays::HELP);
            say(format_args!("{HELP}{disk}{OPTIONS}{trays}{ABOUT}")).map(|()| ExitCode::SUCCESS)
        }
        Ok(Command::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            say(format_args!("{PROGRAM} {version}")).map(|()| ExitCode::SUCCESS)
        }
        Ok(Command::Start(options)) => start(&options),
        Err(error) => Err(Failure::Mistake(format!("{error} (see {PROGRAM} --help)"))),
    };
    // Exit code 1 is an image that differs from what it should be, nothing else.
    result.unwrap_or_else(|failure| Failure::Mistake(failure.into_text()).report(PROGRAM))
}

fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
}

enum Command {
    Help,
    Version,
    Start(Options),
}

/// What becomes of a disk that the host ejects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eject {
    Refuse,
    Detach,
    Keep,
}

struct Options {
    disk: DiskOptions,
    /// There is no image.
    temporary: bool,
    eject: Eject,
    commands: bool,
    port: Option<u16>,
    sysfs: PathBuf,
    loopback: bool,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut options = Options {
            disk: DiskOptions::default(),
            temporary: false,
            eject: Eject::Refuse,
            commands: false,
            port: None,
            sysfs: Vhci::SYSFS.into(),
            loopback: false,
        };
        let (mut image, mut cdrom, mut read_only) = (None, false, false);
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("cdrom") => cdrom = true,
                Long("read-only") => read_only = true,
                Long("eject") => options.eject = arguments.value()?.parse_with(eject)?,
                Long("serial") => {
                    options.disk.serial = Some(arguments.value()?.parse_with(serial)?);
                }
                Long("commands") => options.commands = true,
                Long("port") => options.port = Some(arguments.value()?.parse_with(port)?),
                Long("sysfs") => options.sysfs = arguments.value()?.into(),
                Long("loopback") => options.loopback = true,
                Long(option) => {
                    let option = option.to_owned();
                    if !options.disk.take(&option, &mut arguments)? {
                        return Err(Long(&option).unexpected());
                    }
                }
                Value(value) if image.is_none() => image = Some(UnitImage::parse(&value)),
                _ => return Err(argument.unexpected()),
            }
        }
        let units = &mut options.disk.units;
        options.temporary = image.is_none() && units.is_empty();
        if options.temporary {
            image = Some(UnitImage::new("temporary disk"));
        }
        units.splice(0..0, image);
        for (number, unit) in units.iter_mut().enumerate() {
            if cdrom && number == 0 {
                *unit = unit.clone().cd();
            } else if read_only {
                unit.access = Access::ReadOnly;
            }
        }
        options.disk.removable = options.eject != Eject::Refuse || options.commands;
        Ok(Self::Start(options))
    }
}

fn port(number: &str) -> Result<u16, &'static str> {
    number
        .parse()
        .map_err(|_| "a port is a number from 0 to 65535")
}

fn eject(action: &str) -> Result<Eject, &'static str> {
    match action {
        "refuse" => Ok(Eject::Refuse),
        "detach" => Ok(Eject::Detach),
        "keep" => Ok(Eject::Keep),
        _ => Err("to eject is to refuse, detach or keep"),
    }
}

/// What a string descriptor holds and every host can show.
fn serial(text: &str) -> Result<String, &'static str> {
    let fits = (1..=126).contains(&text.len());
    let shows = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if fits && shows {
        Ok(text.into())
    } else {
        Err("a serial number has 1 to 126 printable ASCII characters")
    }
}

fn start(options: &Options) -> Result<ExitCode, Failure> {
    let images = if options.temporary {
        vec![temporary(options)?]
    } else {
        let images = options.disk.units.iter().map(UnitImage::open);
        images.collect::<Result<_, _>>()?
    };
    let [first, ..] = &images[..] else {
        return Err(Failure::Mistake("a disk has an image".into()));
    };
    let reference = first.reader().map_err(Failure::failed)?;
    let disk = options.disk.disk(images)?;
    for line in options.disk.left_out(&disk) {
        note(line);
    }
    if !options.loopback {
        match Vhci::open(&options.sysfs) {
            Ok(vhci) => {
                // It holds the lock of an image that may be taken out.
                drop(reference);
                return attach(options, vhci, disk);
            }
            Err(missing) => {
                note(missing);
                note("not attached; the built-in host reads the disk instead (--loopback)");
            }
        }
    }
    read_back(disk, &reference)
}

fn temporary(options: &Options) -> Result<RawImage, Failure> {
    note("no image: a temporary disk, gone when this ends");
    let block_size = options.disk.block_size.unwrap_or(BlockSize::BYTES_512);
    fat::temporary_image(block_size)
        .and_then(RawImage::from_file)
        .map_err(|error| Failure::Failed(format!("temporary disk: {error}")))
}

fn attach(options: &Options, vhci: Vhci, mut disk: ImageDisk) -> Result<ExitCode, Failure> {
    let (mut near, far) = Stream::pair().map_err(Failure::failed)?;
    let attachment = Attachment::new(vhci, &near).map_err(Failure::failed)?;
    let ending = attachment.clone();
    let end = move || {
        for (device, place) in ending.mounts() {
            note(format_args!(
                "{device} is still mounted at {place}: what is written there from now on is lost"
            ));
        }
        ending.end(|| note("detaching before the kernel has written all it holds for the disk"));
    };
    signal::on_first_signal(end).map_err(Failure::failed)?;
    let units = options.disk.units.len();
    if options.eject == Eject::Detach {
        detach_when_ejected(&mut disk, units, attachment.clone());
    }
    let port = attachment.attach(far, DEVICE, options.disk.speed, options.port);
    let Some(port) = port.map_err(Failure::failed)? else {
        return Ok(ExitCode::SUCCESS);
    };
    say(format_args!("port: {port}"))?;
    let announced = attachment.clone();
    thread::spawn(move || announce(&announced, units));

    let mut session = Session::new(DEVICE, options.disk.speed, Limits::default());
    let mut sleeper = Sleeper::new();
    let commands = if options.commands {
        Some(commands(sleeper.waker().map_err(Failure::failed)?))
    } else {
        None
    };
    let mut trays = Trays::new(options.disk.clone());
    let obey = |disk: &mut ImageDisk| {
        for command in commands.iter().flat_map(Receiver::try_iter) {
            let mut out = io::stdout();
            // That nobody listens is no failure.
            let _ = out.write_all(trays.obey(&command, disk).as_bytes());
            let _ = out.flush();
        }
    };
    let mut disk = Driven::new(disk, obey);
    let served = run(&mut near, &sleeper, &mut session, &mut disk);
    attachment.gone();
    let flushed = disk.into_device().close();
    if let Err(error) = &flushed {
        note(format_args!("what was written last may be lost: {error}"));
    }
    served.map_err(Failure::failed)?;
    Ok(ExitCode::from(u8::from(flushed.is_err())))
}

/// Detaches when the host has ejected the media of all units.
fn detach_when_ejected(disk: &mut ImageDisk, units: usize, attachment: Attachment) {
    let mut ejected = BTreeSet::<Lun>::new();
    disk.on_medium_event(move |lun, event| {
        match event {
            MediumEvent::Ejected => ejected.insert(lun),
            MediumEvent::Loaded => ejected.remove(&lun),
            _ => false,
        };
        if ejected.len() == units {
            attachment.ejected();
        }
    });
}

/// The lines of standard input; the end of it is no end of anything else.
fn commands(waker: Waker) -> Receiver<String> {
    let (sender, commands) = channel();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
            waker.wake_by_ref();
        }
    });
    commands
}

/// Says what the kernel makes of the device. Where nobody listens, or the device is gone, there is
/// no use in it.
fn announce(attachment: &Attachment, units: usize) {
    let Some(bus_id) = attachment.bus_id(PATIENCE) else {
        return;
    };
    let _ = say(format_args!("bus id: {bus_id}"));
    let names = attachment.block_devices(&bus_id, units, PATIENCE);
    let lines = names
        .iter()
        .map(|name| format!("block device: /dev/{name}"));
    if !names.is_empty() {
        let _ = say(lines.collect::<Vec<_>>().join("\n"));
    }
    if names.len() < units && !attachment.is_over() {
        let (found, seconds) = (names.len(), PATIENCE.as_secs());
        note(format_args!(
            "{found} block devices of {units} after {seconds} s"
        ));
    }
}

/// Reads the whole of unit 0 through USB/IP and compares it with the image.
fn read_back(disk: ImageDisk, reference: &impl FileExt) -> Result<ExitCode, Failure> {
    let descriptors = disk.device().descriptors().clone();
    let mut host = loopback(disk, &descriptors).map_err(Failure::failed)?;
    let descriptors = host.enumerate().map_err(Failure::failed)?;
    say(descriptors.to_string().trim_end())?;

    let mut difference = None;
    let start = Instant::now();
    let mut image = Vec::new();
    let compare = |mut offset: u64, data: Segments| {
        for piece in data {
            image.resize(piece.len(), 0);
            let read = reference.read_exact_at(&mut image, offset);
            if !(read.is_ok() && image == piece) && difference.is_none() {
                difference = Some(offset);
            }
            offset += piece.len() as u64;
        }
    };
    let unit = host
        .read_disk(&descriptors, compare)
        .map_err(Failure::failed)?;
    let (capacity, time) = (unit.capacity(), start.elapsed());
    say(format_args!(
        "capacity: {} blocks of {} bytes",
        unit.blocks, unit.block_size
    ))?;
    if let Some(offset) = difference {
        say(format_args!(
            "read back: differs from the image near byte {offset}"
        ))?;
        return Ok(ExitCode::from(1));
    }
    say(format_args!(
        "read back: {capacity} bytes, the same as the image"
    ))?;
    let rate = u128::from(capacity) / time.as_micros().max(1);
    say(format_args!("throughput: {rate} MB/s"))?;
    Ok(ExitCode::SUCCESS)
}
