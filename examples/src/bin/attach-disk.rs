//! A file becomes a USB disk in Linux. `attach-disk --help` says how.

#![allow(
    clippy::disallowed_methods,
    reason = "a program waits, and measures time"
)]

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use examples::{
    Access, Attachment, Disk, ImageError, RawImage, Sleeper, Stream, Vhci, fat, loopback, run,
    serial_of, signal,
};
use lexopt::prelude::*;
use msc_bot::{
    BlockSize, BotDevice, BotError, BotOptions, LogicalUnit, MassStorage, MediumEvent, UasDevice,
    UnitOptions,
};
use usb_descriptors::Speed;
use usb_transfer::Segments;
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};

const HELP: &str = "\
Attaches a RAW disk image to this machine as a USB disk, through vhci_hcd.

Usage: attach-disk [IMAGE] [OPTION]...

Without IMAGE: a temporary 64 MiB disk with a FAT file system.

Options:
  --uas                 USB Attached SCSI beside Bulk-Only Transport: many commands at a time.
                        Linux uses it at high speed; its vhci_hcd has no streams for super
  --cdrom               the image is that of a CD or DVD, such as an ISO file
  --read-only           let nothing be written
  --speed SPEED         full, high or super [default: super]
  --block-size BYTES    512 or 4096 [default: 512]
  --cache MODE          writeback: what is written is durable when the host flushes, or
                        writethrough: when the write is complete [default: writeback]
  --discard             blocks that the host gives back become holes in the image
  --eject ACTION        when the host ejects the disk: refuse, detach, or keep it until the host
                        loads it again [default: refuse]
  --serial TEXT         the serial number [default: made from the image's path]
  --port N              the port of vhci_hcd [default: the first free one]
  --sysfs FOLDER        where sysfs is mounted [default: /sys]
  --loopback            without the kernel: the built-in host reads the disk and compares it
  -h, --help            print this
  -V, --version         print the version

Standard output tells port, bus id and block device. Ctrl-C, SIGTERM or the end
of the terminal flushes, detaches and ends.

Exit status: 0 after detaching, or if the loopback found no difference; 1 if it found one;
2 after an error.";

/// What the disk calls itself.
const VENDOR: &str = "Virtual";
const PRODUCT: &str = "USB Disk";
/// Each request carries it; which one does not matter.
const DEVICE: DeviceId = DeviceId::new(1, 2);
/// How long the kernel may take to find the disk, on a slow machine with many.
const PATIENCE: Duration = Duration::from_secs(60);

/// With or without USB Attached SCSI.
type AnyDisk = Disk<RawImage, Box<dyn MassStorage + Send>>;
/// What is said on standard error, after the program's name.
type Failure = String;

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("attach-disk ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Start(options)) => start(&options),
        Err(error) => Err(format!("{error} (see attach-disk --help)")),
    };
    result.unwrap_or_else(|failure| {
        note(failure);
        ExitCode::from(2)
    })
}

/// Says something on standard output. That nobody listens is no failure.
fn say(text: impl Display) -> Result<ExitCode, Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "attach-disk: {text}");
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

#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as there are switches"
)]
struct Options {
    image: Option<PathBuf>,
    uas: bool,
    cdrom: bool,
    read_only: bool,
    speed: Speed,
    block_size: BlockSize,
    write_cache: bool,
    discard: bool,
    eject: Eject,
    serial: Option<String>,
    port: Option<u16>,
    sysfs: PathBuf,
    loopback: bool,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut options = Options {
            image: None,
            uas: false,
            cdrom: false,
            read_only: false,
            speed: Speed::Super,
            block_size: BlockSize::BYTES_512,
            write_cache: true,
            discard: false,
            eject: Eject::Refuse,
            serial: None,
            port: None,
            sysfs: Vhci::SYSFS.into(),
            loopback: false,
        };
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("uas") => options.uas = true,
                Long("cdrom") => {
                    options.cdrom = true;
                    options.read_only = true;
                    options.block_size = BlockSize::BYTES_2048;
                }
                Long("read-only") => options.read_only = true,
                Long("speed") => options.speed = arguments.value()?.parse_with(speed)?,
                Long("block-size") => {
                    options.block_size = arguments.value()?.parse_with(block_size)?;
                }
                Long("cache") => options.write_cache = arguments.value()?.parse_with(cache)?,
                Long("discard") => options.discard = true,
                Long("eject") => options.eject = arguments.value()?.parse_with(eject)?,
                Long("serial") => options.serial = Some(arguments.value()?.parse_with(serial)?),
                Long("port") => options.port = Some(arguments.value()?.parse_with(port)?),
                Long("sysfs") => options.sysfs = arguments.value()?.into(),
                Long("loopback") => options.loopback = true,
                Value(image) if options.image.is_none() => options.image = Some(image.into()),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Self::Start(options))
    }
}

fn speed(name: &str) -> Result<Speed, &'static str> {
    match name {
        "full" => Ok(Speed::Full),
        "high" => Ok(Speed::High),
        "super" => Ok(Speed::Super),
        _ => Err("a speed is full, high or super"),
    }
}

fn block_size(bytes: &str) -> Result<BlockSize, &'static str> {
    match bytes {
        "512" => Ok(BlockSize::BYTES_512),
        "4096" => Ok(BlockSize::BYTES_4096),
        _ => Err("a block has 512 or 4096 bytes"),
    }
}

fn port(number: &str) -> Result<u16, &'static str> {
    number
        .parse()
        .map_err(|_| "a port is a number from 0 to 65535")
}

fn cache(mode: &str) -> Result<bool, &'static str> {
    match mode {
        "writeback" => Ok(true),
        "writethrough" => Ok(false),
        _ => Err("a cache is writeback or writethrough"),
    }
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
    let image = open(options)?;
    let reference = image.reader().map_err(|error| error.to_string())?;
    let disk = disk(options, image)?;
    if !options.loopback {
        match Vhci::open(&options.sysfs) {
            Ok(vhci) => return attach(options, vhci, disk),
            Err(missing) => {
                note(missing);
                note("not attached; the built-in host reads the disk instead (--loopback)");
            }
        }
    }
    read_back(disk, &reference)
}

fn open(options: &Options) -> Result<RawImage, Failure> {
    let Some(path) = &options.image else {
        note("no image: a temporary disk, gone when this ends");
        return fat::temporary_image(options.block_size)
            .and_then(RawImage::from_file)
            .map_err(|error| format!("temporary disk: {error}"));
    };
    let access = if options.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    RawImage::open(path, access).map_err(|error| match error {
        ImageError::WriteProtected(_) => format!("{error}: use --read-only"),
        error => error.to_string(),
    })
}

fn disk(options: &Options, image: RawImage) -> Result<AnyDisk, Failure> {
    let path = options
        .image
        .as_deref()
        .unwrap_or(Path::new("temporary disk"));
    let block = u64::from(options.block_size.get());
    let (blocks, rest) = (image.size() / block, image.size() % block);
    if blocks == 0 {
        let (path, size) = (path.display(), image.size());
        return Err(format!(
            "{path}: {size} bytes are less than one block of {block}"
        ));
    }
    if rest != 0 {
        let path = path.display();
        note(format_args!(
            "{path}: the last {rest} bytes are less than a block and left out"
        ));
    }
    let serial = options.serial.clone().unwrap_or_else(|| serial_of(path));
    let unit = if options.cdrom {
        UnitOptions::cd(blocks)
    } else {
        UnitOptions::new(options.block_size, blocks).product(PRODUCT)
    };
    let unit = unit
        .vendor(VENDOR)
        .serial(&serial)
        .read_only(options.read_only)
        .write_cache(options.write_cache)
        .discard(options.discard)
        // By default it stays until it is detached. For a medium that could be removed Linux asks
        // every two seconds, and detaching in the middle of a question makes its hub try for
        // seconds to enumerate what is gone.
        .removable(options.cdrom || options.eject != Eject::Refuse);
    let device = BotOptions::new(options.speed)
        .manufacturer(VENDOR)
        .product(PRODUCT)
        .serial(&serial);
    let units = [LogicalUnit::new(unit)];
    let device: Result<Box<dyn MassStorage + Send>, BotError> = if options.uas {
        UasDevice::new(device, units).map(|device| Box::new(device) as _)
    } else {
        BotDevice::new(device, units).map(|device| Box::new(device) as _)
    };
    Ok(Disk::new(device.map_err(|error| error.to_string())?, image))
}

fn attach(options: &Options, vhci: Vhci, mut disk: AnyDisk) -> Result<ExitCode, Failure> {
    let (mut near, far) = Stream::pair().map_err(|error| format!("socket pair: {error}"))?;
    let attachment = Attachment::new(vhci, &near).map_err(|error| error.to_string())?;
    let ending = attachment.clone();
    let end = move || {
        for (device, place) in ending.mounts() {
            note(format_args!(
                "{device} is still mounted at {place}: what is written there from now on is lost"
            ));
        }
        ending.end(|| note("detaching before the kernel has written all it holds for the disk"));
    };
    signal::on_first_signal(end).map_err(|error| format!("signals: {error}"))?;
    if options.eject == Eject::Detach {
        let ejected = attachment.clone();
        disk.on_medium_event(move |event| {
            if event == MediumEvent::Ejected {
                ejected.ejected();
            }
        });
    }
    let port = attachment.attach(far, DEVICE, options.speed, options.port);
    let Some(port) = port.map_err(|error| error.to_string())? else {
        return Ok(ExitCode::SUCCESS);
    };
    say(format_args!("port: {port}"))?;
    let announced = attachment.clone();
    thread::spawn(move || announce(&announced));

    let mut session = Session::new(DEVICE, options.speed, Limits::default());
    let served = run(&mut near, &Sleeper::new(), &mut session, &mut disk);
    attachment.gone();
    let flushed = disk.close();
    flushed.map_err(|error| format!("what was written last may be lost: {error}"))?;
    served.map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Says what the kernel makes of the device. Where nobody listens, or the device is gone, there is
/// no use in it.
fn announce(attachment: &Attachment) {
    let bus_id = attachment.bus_id(PATIENCE);
    if let Some(bus_id) = &bus_id {
        let _ = say(format_args!("bus id: {bus_id}"));
    }
    match bus_id.and_then(|bus_id| attachment.block_device(&bus_id, PATIENCE)) {
        Some(name) => drop(say(format_args!("block device: /dev/{name}"))),
        None if attachment.is_over() => {}
        None => note(format_args!(
            "no block device after {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// Reads the whole disk through USB/IP and compares it with the image.
fn read_back(disk: AnyDisk, reference: &impl FileExt) -> Result<ExitCode, Failure> {
    let descriptors = disk.device().descriptors().clone();
    let mut host = loopback(disk, &descriptors).map_err(|error| error.to_string())?;
    let descriptors = host.enumerate().map_err(|error| error.to_string())?;
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
        .map_err(|error| error.to_string())?;
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
    say(format_args!("throughput: {rate} MB/s"))
}
