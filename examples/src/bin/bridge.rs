//! Joins USB/IP and usbredir, either way. `bridge --help` says how.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use examples::{
    Address, DEFAULT_PORT, Failure, Host as RemoteDevice, Listener, Network, RedirectedDevice,
    Server, Sleeper, Stream, bridge, say, signal,
};
use lexopt::prelude::*;
use usb_transfer::Wire;
use usbip_proto::{BusId, DeviceId};
use usbredir_proto::filter::Rules;
use usbredir_proto::{Host, HostState, Options};

const PROGRAM: &str = "bridge";

const HELP: &str = "\
Joins USB/IP and usbredir, either way.

Usage: bridge to-usbredir SERVER BUSID GUEST   give a device of a USB/IP server to a virtual machine
       bridge to-usbip HOST [OPTION]...        offer the device of a usbredir host to USB/IP clients

  SERVER          the USB/IP server
  BUSID           its device, such as 1-1
  GUEST           where the virtual machine listens
  HOST            where usbredirect or another usbredir host listens
  --listen ADDR   where USB/IP clients come in [default: tcp:127.0.0.1:3240]
  --allow CIDR    let TCP clients in from this network only, such as 192.168.0.0/16; repeatable
  --filter RULES  take only a device that the rules allow, such as 0x08,-1,-1,-1,1: class, vendor,
                  product, release, and 1 to allow or 0 to deny; -1 is any; rules are joined by |
  -h, --help      print this
  -V, --version   print the version

SERVER, GUEST, HOST and ADDR are tcp:HOST:PORT, unix:PATH or vsock:CID:PORT. To usbredir, the bridge
lasts until one of the two leaves. To USB/IP, the device is 1-1 for one client after the other,
until Ctrl-C or SIGTERM; a host that has left is dialled again for the next client.

Exit status: 0 after that; 1 if the device was rejected, or after a failure; 2 after a mistake.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("bridge ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::ToUsbredir(ends)) => to_usbredir(&ends),
        Ok(Command::ToUsbip(offer)) => to_usbip(offer),
        Err(error) => Err(Failure::Mistake(format!("{error} (see bridge --help)"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}

enum Command {
    Help,
    Version,
    ToUsbredir(Ends),
    ToUsbip(Offer),
}

struct Ends {
    server: Address,
    bus_id: BusId,
    guest: Address,
}

struct Offer {
    host: Address,
    rules: Option<Rules>,
    listen: Address,
    allowed: Vec<Network>,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut words: Vec<OsString> = Vec::new();
        let (mut rules, mut listen, mut allowed) = (None, None, Vec::new());
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            let is_to_usbip = words.first().is_some_and(|word| word == "to-usbip");
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("filter") if is_to_usbip => rules = Some(arguments.value()?.parse()?),
                Long("listen") if is_to_usbip => listen = Some(arguments.value()?.parse()?),
                Long("allow") if is_to_usbip => allowed.push(arguments.value()?.parse()?),
                Value(word) => words.push(word),
                _ => return Err(argument.unexpected()),
            }
        }
        let known = words.first().and_then(|word| word.to_str());
        match (known, &words[..]) {
            (Some("to-usbredir"), [_, server, bus_id, guest]) => Ok(Self::ToUsbredir(Ends {
                server: server.parse()?,
                bus_id: bus_id.parse()?,
                guest: guest.parse()?,
            })),
            (Some("to-usbip"), [_, host]) => Ok(Self::ToUsbip(Offer {
                host: host.parse()?,
                rules,
                listen: listen.unwrap_or_else(|| Address::Tcp {
                    host: "127.0.0.1".into(),
                    port: DEFAULT_PORT,
                }),
                allowed,
            })),
            (Some("to-usbredir"), _) => Err("SERVER, BUSID and GUEST are needed".into()),
            (Some("to-usbip"), _) => Err("HOST is needed".into()),
            (_, []) => Err("no direction: to-usbredir or to-usbip".into()),
            (_, [word, ..]) => {
                Err(format!("no direction {word:?}: to-usbredir or to-usbip").into())
            }
        }
    }
}

fn at<E: Display>(address: &Address) -> impl Fn(E) -> Failure + '_ {
    move |error| Failure::Failed(format!("{address}: {error}"))
}

fn to_usbredir(ends: &Ends) -> Result<(), Failure> {
    let mut remote = RemoteDevice::open(&ends.server, ends.bus_id).map_err(at(&ends.server))?;
    // What the guest is to be told.
    let descriptors = remote.enumerate().map_err(at(&ends.server))?;
    let (mut far, mut device) = remote.into_parts();
    let near = ends.guest.connect().and_then(Stream::new);
    let mut near = near.map_err(at(&ends.guest))?;
    let mut host = Host::new(Options::default());
    host.attach(descriptors).map_err(at(&ends.server))?;

    let mut state = HostState::Greeting;
    let mut is_rejected = false;
    let watch = |host: &mut Host, server_left: bool| {
        if host.state() != state {
            state = host.state();
            is_rejected |= state == HostState::Rejected;
            if state == HostState::Attached {
                let guest = host.guest_version().unwrap_or_default().escape_default();
                let _ = writeln!(io::stdout(), "attached: {guest}");
            }
        }
        let is_over = server_left && state == HostState::Empty;
        if is_over {
            host.end();
        }
        is_over
    };
    let sleeper = Sleeper::new();
    bridge(&mut near, &mut host, &mut far, &mut device, &sleeper, watch)
        .map_err(Failure::failed)?;
    near.result(&mut host).map_err(at(&ends.guest))?;
    far.result(&mut device).map_err(at(&ends.server))?;
    if is_rejected {
        return Err(Failure::Failed("the guest does not want the device".into()));
    }
    Ok(())
}

fn to_usbip(offer: Offer) -> Result<(), Failure> {
    let listener = Listener::bind(&offer.listen)
        .map_err(|error| Failure::Mistake(format!("{}: {error}", offer.listen)))?;
    let host = offer.host.clone();
    let device = RedirectedDevice::new(offer.host, offer.rules).map_err(at(&host))?;
    let bus_id: BusId = "1-1".parse().map_err(Failure::failed)?;
    let record = device.record(bus_id, DeviceId::new(1, 1));
    let record = record.map_err(at(&host))?;
    let server = Server::new(|text| drop(writeln!(io::stderr(), "{PROGRAM}: {text}")))
        .map_err(Failure::failed)?;
    server
        .export(record, Box::new(device))
        .map_err(Failure::failed)?;
    let stopped = server.clone();
    signal::on_first_signal(move || stopped.stop()).map_err(Failure::failed)?;
    let address = listener.address().map_err(at(&offer.listen))?;
    say(format_args!("listening on {address}"))?;
    let result = server.listen(&listener, &offer.allowed);
    server.end().map_err(Failure::failed)?;
    result.map_err(Failure::failed)
}
