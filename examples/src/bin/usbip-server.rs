//! Offers USB devices to the network by USB/IP. `usbip-server --help` says how.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use examples::{
    Address, DEFAULT_PORT, Devices, Failure, Listener, Named, Network, PhysicalOptions,
    PluggedDevice, Server, say, signal, watch,
};
use lexopt::prelude::*;

const PROGRAM: &str = "usbip-server";

const HELP: &str = "\
Offers USB devices to the network by USB/IP.

Usage: usbip-server [OPTION]... DEVICE...
       usbip-server list

list shows the devices of this machine that could be offered by --usb, and what the machine itself
uses them for.

Devices, as many as wanted; they are called 1-1, 1-2 and so on:
";

const OPTIONS: &str = "
Options:
  --listen ADDR    where clients come in [default: tcp:127.0.0.1:3240]
  --connect ADDR   dial a client that listens instead, once for each device
  --allow CIDR     let TCP clients in from this network only, such as 192.168.0.0/16;
                   may be repeated
  --watch DEVICE[,OPTION]...
                   offer a device of this machine, as by --usb, whenever it is plugged in; VID:PID
                   is each of its kind, but for those of --usb
  -h, --help       print this
  -V, --version    print the version

ADDR is tcp:HOST[:PORT], unix:PATH or vsock:CID:PORT. USB/IP knows no passwords: whoever reaches the
address can use the devices, so listen on tcp:0.0.0.0 only in a network you trust.

Standard output tells the devices and, last, the address; those of --watch, which come and go, are
told on standard error. Ctrl-C or SIGTERM ends all connections, flushes the disks and ends.

Exit status: 0 after that; 1 after a failure of network, device or disk; 2 after a mistake, with
nothing changed.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(help()),
        Ok(Command::Version) => say(concat!("usbip-server ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::List) => list(),
        Ok(Command::Serve(options)) => serve(&options),
        Err(error) => Err(Failure::Mistake(format!(
            "{error} (see usbip-server --help)"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}

fn help() -> String {
    format!("{HELP}{}{OPTIONS}", Devices::help(|_| true))
}

enum Command {
    Help,
    Version,
    List,
    Serve(Box<Options>),
}

struct Options {
    place: Place,
    allowed: Vec<Network>,
    devices: Devices,
    watched: Vec<PhysicalOptions>,
}

enum Place {
    Listen(Address),
    Connect(Address),
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut listen, mut connect) = (None, None);
        let (mut allowed, mut devices) = (Vec::new(), Devices::default());
        let mut watched = Vec::new();
        let mut arguments = lexopt::Parser::from_args(arguments);
        let mut is_first = true;
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("listen") => listen = Some(arguments.value()?.parse()?),
                Long("connect") => connect = Some(arguments.value()?.parse()?),
                Long("watch") => watched.push(arguments.value()?.parse()?),
                Value(word) if is_first && word == "list" => return Self::list(arguments),
                Long("allow") => allowed.push(arguments.value()?.parse()?),
                Long(option) => {
                    let option = option.to_owned();
                    if !devices.take(&option, &mut arguments)? {
                        return Err(Long(&option).unexpected());
                    }
                }
                _ => return Err(argument.unexpected()),
            }
            is_first = false;
        }
        let place = match (listen, connect) {
            (Some(_), Some(_)) => return Err("--listen and --connect exclude each other".into()),
            (listen, None) => Place::Listen(listen.unwrap_or_else(|| Address::Tcp {
                host: "127.0.0.1".into(),
                port: DEFAULT_PORT,
            })),
            (None, Some(address)) => Place::Connect(address),
        };
        devices.check()?;
        if devices.wanted.is_empty() && watched.is_empty() {
            return Err("no device: say what to offer, such as --disk disk.img".into());
        }
        if !allowed.is_empty() && !matches!(place, Place::Listen(Address::Tcp { .. })) {
            return Err("--allow is for clients that come in by TCP".into());
        }
        Ok(Self::Serve(Box::new(Options {
            place,
            allowed,
            devices,
            watched,
        })))
    }

    /// Nothing more is said of what there is.
    fn list(mut rest: lexopt::Parser) -> Result<Self, lexopt::Error> {
        Ok(match rest.next()? {
            None => Self::List,
            Some(Short('h') | Long("help")) => Self::Help,
            Some(Short('V') | Long("version")) => Self::Version,
            Some(argument) => return Err(format!("list: {}", argument.unexpected()).into()),
        })
    }
}

fn serve(options: &Options) -> Result<(), Failure> {
    let server = Server::new(note).map_err(Failure::failed)?;
    let (mut lines, mut named) = (Vec::new(), Vec::<Named>::new());
    for (number, wanted) in (1..).zip(&options.devices.wanted) {
        let offered = wanted.open()?;
        let name = offered.name.clone();
        if let Some(device) = offered.named() {
            if named.iter().any(|before| before.is(&device)) {
                let device = device.selector();
                return Err(Failure::Mistake(format!(
                    "--usb {device}: is offered already"
                )));
            }
            named.push(device);
        }
        for line in &offered.notes {
            note(line);
        }
        lines.push(format!("{}: {name}", server.offer(offered, number)?));
    }
    let stopped = server.clone();
    signal::on_first_signal(move || stopped.stop())
        .map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    if !options.watched.is_empty() {
        let first = u16::try_from(lines.len() + 1).map_err(Failure::failed)?;
        watch(&server, options.watched.clone(), named, first)?;
    }
    let result = match &options.place {
        Place::Listen(address) => listen(&server, lines, address, &options.allowed),
        Place::Connect(address) => {
            lines.push(format!("connecting to {address}"));
            say(lines.join("\n")).map(|()| server.dial(address))
        }
    };
    let flushed = server.end();
    result?;
    flushed.map_err(|error| Failure::Failed(format!("what was written last may be lost: {error}")))
}

/// What could be offered.
fn list() -> Result<(), Failure> {
    let devices = PluggedDevice::all().map_err(Failure::failed)?;
    let lines = devices.iter().map(|device| {
        let uses = device.uses.iter().map(|used| format!("in use: {used}"));
        let below = device.lack_of_authorization().into_iter().chain(uses);
        let below = below.map(|line| format!("\n    {line}"));
        format!("{device}{}", below.collect::<String>())
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return say("no USB device is plugged in");
    }
    say(lines.join("\n"))
}

fn listen(
    server: &Server,
    mut lines: Vec<String>,
    address: &Address,
    allowed: &[Network],
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("{address}: {error}"));
    let listener = Listener::bind(address).map_err(failed)?;
    let address = listener.address().map_err(failed)?;
    lines.push(format!("listening on {address}"));
    say(lines.join("\n"))?;
    server.listen(&listener, allowed).map_err(failed)
}

fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
}
