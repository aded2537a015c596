//! Uses USB devices of other machines by USB/IP. `usbip-client --help` says how.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use examples::{
    Address, DiskCopy, Failure, Host, ImportError, Keeper, Network, Origin, Origins, Stream, Vhci,
    import_from, list, say,
};
use lexopt::prelude::*;
use usbip_proto::vhci::{Hub, PortState};
use usbip_proto::{BusId, DeviceRecord, Limits};

const PROGRAM: &str = "usbip-client";

const HELP: &str = "\
Uses USB devices of other machines by USB/IP.

Usage: usbip-client list ADDR                  the devices that can be imported
       usbip-client tree ADDR BUSID            the descriptors of a device
       usbip-client read ADDR BUSID --output FILE [--resume]
                                               copy a disk to a file
       usbip-client write ADDR BUSID --input FILE [--resume]
                                               copy a file to a disk
These need neither root nor a kernel module. With vhci_hcd, as root:
       usbip-client attach ADDR BUSID [--port N] [--reconnect]
                                               make it a device of this machine
       usbip-client listen ADDR [BUSID] [--allow CIDR]...
                                               attach what servers offer that connect to here
       usbip-client ports                      what is attached
       usbip-client detach PORT                end it

Options:
  --resume       go on where it was interrupted: read compares what FILE has, and appends to it;
                 write leaves out what is on the disk already
  --allow CIDR   let TCP servers in from this network only, such as 192.168.0.0/16; repeatable
  --port N       the port of vhci_hcd [default: the first free one]
  --reconnect    stay, and attach the device again whenever the server comes back, until it is
                 detached by `usbip-client detach`
  --sysfs FOLDER where sysfs is mounted [default: /sys]
  --state FOLDER where `usbip port` looks for what is attached [default: /var/run/vhci_hcd]
  -h, --help     print this
  -V, --version  print the version

ADDR is tcp:HOST[:PORT], unix:PATH or vsock:CID:PORT. With --reconnect and listen, Ctrl-C or SIGTERM
flushes, detaches and ends. A disk that is not flushed within 5 s is detached all the same, and it is
said that something may be lost.

A server that owes read or tree an answer, and sends nothing for 30 s, is given up; one that write waits
for, after 5 min, since a disk may flush slowly. A copy goes on with --resume.

Exit status: 0 when it was done; 1 after a failure of network, server or device; 2 after a mistake,
with nothing changed.";

/// What each command takes.
const COMMANDS: [(&str, &str); 8] = [
    ("list", "ADDR"),
    ("tree", "ADDR BUSID"),
    ("read", "ADDR BUSID"),
    ("write", "ADDR BUSID"),
    ("attach", "ADDR BUSID"),
    ("listen", "ADDR [BUSID]"),
    ("ports", "none"),
    ("detach", "PORT"),
];

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(command) => command.run(),
        Err(error) => Err(Failure::Mistake(format!(
            "{error} (see usbip-client --help)"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}

fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
}

enum Command {
    Help,
    Version,
    List(Address),
    Tree(Address, BusId),
    Read(Address, BusId, DiskCopy),
    Write(Address, BusId, DiskCopy),
    Attach(Address, BusId, Kernel, bool),
    Listen(Address, Option<BusId>, Vec<Network>, Kernel),
    Ports(Kernel),
    Detach(u16, Kernel),
}

struct Kernel {
    sysfs: PathBuf,
    origins: Origins,
    port: Option<u16>,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut words, mut file) = (Vec::<String>::new(), None);
        let (mut resume, mut reconnect) = (false, false);
        let (mut port, mut sysfs, mut state, mut allowed) = (None, None, None, Vec::new());
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            let word = words.first().map_or("", String::as_str);
            match (argument, word) {
                (Short('h') | Long("help"), _) => return Ok(Self::Help),
                (Short('V') | Long("version"), _) => return Ok(Self::Version),
                (Long("output"), "read") | (Long("input"), "write") => {
                    file = Some(PathBuf::from(arguments.value()?));
                }
                (Long("resume"), "read" | "write") => resume = true,
                (Long("port"), "attach") => {
                    port = Some(arguments.value()?.parse_with(port_number)?);
                }
                (Long("reconnect"), "attach") => reconnect = true,
                (Long("allow"), "listen") => allowed.push(arguments.value()?.parse()?),
                (Long("sysfs"), "attach" | "listen" | "ports" | "detach") => {
                    sysfs = Some(PathBuf::from(arguments.value()?));
                }
                (Long("state"), "attach" | "listen" | "ports" | "detach") => {
                    state = Some(PathBuf::from(arguments.value()?));
                }
                (Value(word), _) => words.push(word.string()?),
                (argument, "") => {
                    let error = argument.unexpected();
                    return Err(format!("{error}: options come after the command").into());
                }
                (argument, word) => {
                    return Err(format!("{word}: {}", argument.unexpected()).into());
                }
            }
        }
        let copy = |option: &str| {
            let file = file.clone();
            let file = file.ok_or_else(|| format!("no file: --{option} FILE is missing"))?;
            Ok::<_, String>(DiskCopy { file, resume })
        };
        let sysfs = sysfs.unwrap_or_else(|| Vhci::SYSFS.into());
        let origins = Origins::new(state.unwrap_or_else(|| Origins::FOLDER.into()));
        let kernel = Kernel {
            sysfs,
            origins,
            port,
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["list", address] => Self::List(value(address)?),
            ["tree", address, bus_id] => Self::Tree(value(address)?, value(bus_id)?),
            ["read", address, bus_id] => {
                Self::Read(value(address)?, value(bus_id)?, copy("output")?)
            }
            ["write", address, bus_id] => {
                Self::Write(value(address)?, value(bus_id)?, copy("input")?)
            }
            ["attach", address, bus_id] => {
                Self::Attach(value(address)?, value(bus_id)?, kernel, reconnect)
            }
            ["listen", address] => Self::Listen(value(address)?, None, allowed, kernel),
            ["listen", address, bus_id] => {
                Self::Listen(value(address)?, Some(value(bus_id)?), allowed, kernel)
            }
            ["ports"] => Self::Ports(kernel),
            ["detach", port] => Self::Detach(port_number(port)?, kernel),
            [] => return Err("no command: say what to do, such as list ADDR".into()),
            [word, ..] => {
                let known = COMMANDS.iter().find(|(name, _)| *name == word);
                let (name, arguments) = known.ok_or_else(|| format!("no command {word:?}"))?;
                let wrong = format!("{name}: wrong number of arguments, it takes {arguments}");
                return Err(wrong.into());
            }
        })
    }

    fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Help => say(HELP),
            Self::Version => say(concat!("usbip-client ", env!("CARGO_PKG_VERSION"))),
            Self::List(address) => print_list(address),
            Self::Tree(address, bus_id) => {
                let mut host = Host::open(address, *bus_id).map_err(failed(address))?;
                let descriptors = host.enumerate().map_err(failed(address))?;
                say(descriptors.to_string().trim_end())
            }
            Self::Read(address, bus_id, copy) => {
                copy.read(address, || Host::open(address, *bus_id))
            }
            Self::Write(address, bus_id, copy) => {
                copy.write(address, || Host::open(address, *bus_id))
            }
            Self::Attach(address, bus_id, kernel, false) => attach(address, *bus_id, kernel),
            Self::Attach(address, bus_id, kernel, true) => {
                keeper(kernel)?.keep(address, *bus_id, kernel.port)
            }
            Self::Listen(address, bus_id, allowed, kernel) => {
                keeper(kernel)?.listen(address, allowed, *bus_id)
            }
            Self::Ports(kernel) => print_ports(kernel),
            Self::Detach(port, kernel) => detach(kernel, *port),
        }
    }
}

fn value<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T, lexopt::Error> {
    let error = |error: T::Err| format!("cannot parse argument {text:?}: {error}").into();
    text.parse().map_err(error)
}

fn port_number(text: &str) -> Result<u16, &'static str> {
    let error = "a port is a number, as `usbip-client ports` shows it";
    text.parse().map_err(|_| error)
}

fn vhci(kernel: &Kernel) -> Result<Vhci, Failure> {
    let vhci = Vhci::open(&kernel.sysfs).map_err(Failure::mistake)?;
    Ok(vhci.with_origins(kernel.origins.clone()))
}

fn keeper(kernel: &Kernel) -> Result<Keeper, Failure> {
    Keeper::new(vhci(kernel)?, note).map_err(Failure::failed)
}

/// Whatever fails between here and the server is told with its address.
fn failed<E: Display>(address: &Address) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::Failed(format!("{address}: {error}"))
}

fn print_list(address: &Address) -> Result<(), Failure> {
    let stream = address.connect().and_then(Stream::new);
    let mut stream = stream.map_err(|error| failed(address)(ImportError::from(error)))?;
    let devices = list(&mut stream, Limits::default()).map_err(failed(address))?;
    for device in devices {
        say(line(&device))?;
    }
    Ok(())
}

fn line(device: &DeviceRecord) -> String {
    let speed = device.speed_code().speed();
    let speed = speed.map_or_else(|| "unknown speed".into(), |speed| speed.to_string());
    let interfaces: Vec<_> = device
        .interfaces()
        .iter()
        .map(ToString::to_string)
        .collect();
    let interfaces = match interfaces.join(" ") {
        none if none.is_empty() => "not told".into(),
        some => some,
    };
    // A server is not to steer a terminal.
    let path = device.path().escape_debug();
    format!(
        "{:<10} {:04x}:{:04x}  {speed}, class {}, interfaces {interfaces}  {path}",
        device.bus_id(),
        device.vendor_id(),
        device.product_id(),
        device.class(),
    )
}

fn attach(address: &Address, bus_id: BusId, kernel: &Kernel) -> Result<(), Failure> {
    let vhci = vhci(kernel)?;
    let (record, socket) = import_from(address, bus_id).map_err(failed(address))?;
    let speed = record.speed_code();
    let speed = speed.speed().ok_or_else(|| {
        Failure::Failed(format!(
            "{address}: {bus_id} has no speed that vhci_hcd knows, {}",
            speed.0
        ))
    })?;
    let port = vhci.attach(socket, record.device_id(), speed, kernel.port);
    let port = port.map_err(Failure::mistake)?;
    // It is attached, whether or not `usbip port` can tell where it is from.
    let recorded = kernel.origins.record(port, &Origin::at(address, bus_id));
    if let Err(error) = recorded {
        note(&format!(
            "port {port}: usbip port will not know where it is from: {error}"
        ));
    }
    say(format_args!("port: {port}"))
}

fn print_ports(kernel: &Kernel) -> Result<(), Failure> {
    let vhci = vhci(kernel)?;
    let ports = vhci.ports().map_err(Failure::failed)?;
    for port in ports.iter().filter(|port| port.state != PortState::FREE) {
        let hub = match port.hub {
            Hub::HighSpeed => "high-speed hub",
            Hub::SuperSpeed => "SuperSpeed hub",
        };
        let device = match port.state {
            PortState::USED => vhci.describe(&port.bus_id),
            PortState::NOT_ASSIGNED => "attached, not yet addressed".into(),
            PortState::ERROR => "the connection broke".into(),
            state => format!("state {}", state.0),
        };
        let origin = kernel.origins.of(port.number);
        let origin = origin.map_or(String::new(), |origin| format!("  from {origin}"));
        say(format_args!("{:<4} {hub}  {device}{origin}", port.number))?;
    }
    Ok(())
}

fn detach(kernel: &Kernel, port: u16) -> Result<(), Failure> {
    let vhci = vhci(kernel)?;
    let ports = vhci.ports().map_err(Failure::failed)?;
    match ports.get(port) {
        None => {
            return Err(Failure::Mistake(format!(
                "port {port}: there is no such port"
            )));
        }
        Some(port) if port.state == PortState::FREE => {
            return Err(Failure::Mistake(format!(
                "port {}: nothing is attached",
                port.number
            )));
        }
        Some(_) => {}
    }
    let bus_id = vhci.bus_id(port);
    let disks = bus_id.map_or_else(Vec::new, |bus_id| vhci.block_devices(&bus_id));
    for (device, place) in vhci.mounts(&disks) {
        note(&format!(
            "{device} is still mounted at {place}: what is written there from now on is lost"
        ));
    }
    // Held until it is detached; a disk that cannot be flushed is detached all the same.
    let synced = vhci.sync(disks);
    let detached = kernel.origins.forget(port, || vhci.detach(port));
    detached.map_err(|error| Failure::Failed(format!("port {port}: {error}")))?;
    synced.map(|_| ()).map_err(|error| {
        Failure::Failed(format!(
            "port {port}: detached, but what was written last may be lost: {error}"
        ))
    })
}
