//! Uses a USB device of another machine by usbredir. `usbredir-guest --help` says how.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use examples::{
    Address, Attachment, DiskCopy, Failure, Host, HostError, Listener, Sleeper, Stop, Stream, Vhci,
    bridge, read_capabilities, say, signal,
};
use lexopt::prelude::*;
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Capabilities, Guest, GuestState, Options};

const PROGRAM: &str = "usbredir-guest";

const HELP: &str = "\
Uses a USB device of another machine by usbredir.

Usage: usbredir-guest tree ADDR                the descriptors of the device
       usbredir-guest read ADDR --output FILE [--resume]
                                               copy a disk to a file
       usbredir-guest write ADDR --input FILE [--resume]
                                               copy a file to a disk
These need neither root nor a kernel module. With vhci_hcd, as root:
       usbredir-guest attach ADDR [--port N]   make it a device of this machine

Options:
  --listen        ADDR is here: wait there for a host that connects
  --filter RULES  take only a device that the rules allow, such as 0x08,-1,-1,-1,1: class, vendor,
                  product, release, and 1 to allow or 0 to deny; -1 is any; rules are joined by |
  --capabilities BITS
                  what to say that it can do, to see how it does with less [default: 0xff]
  --resume        go on where it was interrupted: read compares what FILE has, and appends to it;
                  write leaves out what is on the disk already
  --port N        the port of vhci_hcd [default: the first free one]
  --sysfs FOLDER  where sysfs is mounted [default: /sys]
  -h, --help      print this
  -V, --version   print the version

ADDR is tcp:HOST:PORT, unix:PATH or vsock:CID:PORT; a host is usbredirect, usbredir-host or another.
What is attached stays until Ctrl-C or SIGTERM, which flushes and detaches, or until the host takes
the device away.

A host that owes read or tree an answer, and sends nothing for 30 s, is given up; one that write waits
for, after 5 min, since a disk may flush slowly. A copy goes on with --resume.

Exit status: 0 when it was done; 1 after a failure of network, host or device; 2 after a mistake,
with nothing changed.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("usbredir-guest ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Use(place, action)) => action.run(&place),
        Err(error) => Err(Failure::Mistake(format!(
            "{error} (see usbredir-guest --help)"
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
    Use(Place, Action),
}

/// Where the host is, and what may come from there.
struct Place {
    address: Address,
    listen: bool,
    rules: Option<Rules>,
    capabilities: Capabilities,
}

enum Action {
    Tree,
    Read(DiskCopy),
    Write(DiskCopy),
    Attach { sysfs: PathBuf, port: Option<u16> },
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut words, mut file) = (Vec::<String>::new(), None);
        let (mut listen, mut resume) = (false, false);
        let (mut rules, mut port, mut sysfs) = (None, None, None);
        let mut capabilities = Capabilities::ALL;
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            let word = words.first().map_or("", String::as_str);
            match (argument, word) {
                (Short('h') | Long("help"), _) => return Ok(Self::Help),
                (Short('V') | Long("version"), _) => return Ok(Self::Version),
                (Long("listen"), _) => listen = true,
                (Long("filter"), _) => rules = Some(arguments.value()?.parse()?),
                (Long("capabilities"), _) => {
                    capabilities = arguments.value()?.parse_with(read_capabilities)?;
                }
                (Long("output"), "read") | (Long("input"), "write") => {
                    file = Some(PathBuf::from(arguments.value()?));
                }
                (Long("resume"), "read" | "write") => resume = true,
                (Long("port"), "attach") => port = Some(arguments.value()?.parse()?),
                (Long("sysfs"), "attach") => sysfs = Some(PathBuf::from(arguments.value()?)),
                (Value(word), _) => words.push(word.string()?),
                (argument, _) => return Err(argument.unexpected()),
            }
        }
        let copy = |option: &str| {
            let file = file.ok_or_else(|| format!("no file: --{option} FILE is missing"))?;
            Ok::<_, String>(DiskCopy { file, resume })
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (action, address) = match words[..] {
            ["tree", address] => (Action::Tree, address),
            ["read", address] => (Action::Read(copy("output")?), address),
            ["write", address] => (Action::Write(copy("input")?), address),
            ["attach", address] => {
                let sysfs = sysfs.unwrap_or_else(|| Vhci::SYSFS.into());
                (Action::Attach { sysfs, port }, address)
            }
            [] => return Err("no command: say what to do, such as tree ADDR".into()),
            ["tree" | "read" | "write" | "attach", ..] => {
                return Err(format!("{}: wrong number of arguments", words[0]).into());
            }
            [word, ..] => return Err(format!("no command {word:?}").into()),
        };
        let address: Address = address
            .parse()
            .map_err(|error| format!("cannot parse argument {address:?}: {error}"))?;
        let place = Place {
            address,
            listen,
            rules,
            capabilities,
        };
        Ok(Self::Use(place, action))
    }
}

impl Action {
    fn run(&self, place: &Place) -> Result<(), Failure> {
        match self {
            Self::Tree => {
                let mut host = place.take().map_err(|error| place.failed(error))?;
                let descriptors = host.enumerate().map_err(|error| place.failed(error))?;
                say(descriptors.to_string().trim_end())
            }
            Self::Read(copy) => copy.read(&place.address, || place.take()),
            Self::Write(copy) => copy.write(&place.address, || place.take()),
            Self::Attach { sysfs, port } => {
                let vhci = Vhci::open(sysfs).map_err(Failure::mistake)?;
                attach(place, vhci, *port)
            }
        }
    }
}

impl Place {
    /// The host's device.
    fn take(&self) -> Result<Host<Guest>, HostError> {
        let socket = if self.listen {
            let listener = Listener::bind(&self.address)?;
            let _ = say(format_args!("listening on {}", listener.address()?));
            // Until somebody comes, or a signal ends all.
            let accepted = listener.accept(&Stop::new()?)?;
            accepted.map(|(socket, _)| socket).ok_or(HostError::Gone)?
        } else {
            self.address.connect()?
        };
        let mut options = Options::default();
        options.capabilities = self.capabilities;
        Host::take_as(Stream::new(socket)?, options, self.rules.clone())
    }

    fn failed(&self, error: impl Display) -> Failure {
        Failure::Failed(format!("{}: {error}", self.address))
    }
}

/// Each request of the kernel carries it; which one does not matter.
const DEVICE: DeviceId = DeviceId::new(1, 2);

fn attach(place: &Place, vhci: Vhci, port: Option<u16>) -> Result<(), Failure> {
    let host = place.take().map_err(|error| place.failed(error))?;
    let speed = host.speed();
    let (mut redirected, mut guest) = host.into_parts();
    let (mut near, far) = Stream::pair().map_err(Failure::failed)?;
    let attachment = Attachment::new(vhci, &near).map_err(Failure::failed)?;
    let ending = attachment.clone();
    signal::on_first_signal(move || ending.end_with_notes(note)).map_err(Failure::failed)?;
    let port = attachment.attach(far, DEVICE, speed, port);
    let Some(port) = port.map_err(Failure::mistake)? else {
        return Ok(());
    };
    say(format_args!("port: {port}"))?;
    attachment.announce();

    let mut session = Session::new(DEVICE, speed, Limits::default());
    let sleeper = Sleeper::new();
    let served = bridge(
        &mut near,
        &mut session,
        &mut redirected,
        &mut guest,
        &sleeper,
        |_, _| false,
    );
    attachment.gone();
    served.map_err(Failure::failed)?;
    near.result(&mut session).map_err(Failure::failed)?;
    let result = redirected.result(&mut guest);
    result.map_err(|error| place.failed(error))?;
    if guest.state() != GuestState::Attached {
        say("the host has taken the device away")?;
    }
    Ok(())
}
