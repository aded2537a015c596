//! Gives a device of a USB/IP server to a virtual machine by usbredir. `bridge --help` says how.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use examples::{Address, Failure, HostError, Sleeper, Stream, import, say};
use lexopt::prelude::*;
use usb_descriptors::Speed;
use usb_transfer::{DeviceDescriptors, Enumerator, Frontend, Wire, exchange};
use usbip_proto::{BusId, Limits, client};
use usbredir_proto::{Host, HostState, Options};

const PROGRAM: &str = "bridge";

const HELP: &str = "\
Gives a device of a USB/IP server to a virtual machine by usbredir.

Usage: bridge SERVER BUSID ADDR

  SERVER      the USB/IP server
  BUSID       its device, such as 1-1
  ADDR        where the virtual machine listens
  -h, --help     print this
  -V, --version  print the version

SERVER and ADDR are tcp:HOST:PORT, unix:PATH or vsock:CID:PORT. The bridge lasts until one of them
leaves.

Exit status: 0 after that; 1 if the guest rejected the device, or after a failure; 2 after a
mistake.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP),
        Ok(Command::Version) => say(concat!("bridge ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Join(ends)) => join(&ends),
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
    Join(Ends),
}

struct Ends {
    server: Address,
    bus_id: BusId,
    guest: Address,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let mut words = Vec::new();
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Value(word) => words.push(word),
                _ => return Err(argument.unexpected()),
            }
        }
        let Ok([server, bus_id, guest]) = <[OsString; 3]>::try_from(words) else {
            return Err("SERVER, BUSID and ADDR are needed".into());
        };
        Ok(Self::Join(Ends {
            server: server.parse()?,
            bus_id: bus_id.parse()?,
            guest: guest.parse()?,
        }))
    }
}

fn join(ends: &Ends) -> Result<(), Failure> {
    let failed = |address: &Address, error: &dyn std::fmt::Display| {
        Failure::Failed(format!("{address}: {error}"))
    };
    let server = |error: &dyn std::fmt::Display| failed(&ends.server, error);
    let socket = ends.server.connect().map_err(|error| server(&error))?;
    let mut far = Stream::new(socket).map_err(|error| server(&error))?;
    let (record, mut device) =
        import(&mut far, ends.bus_id, Limits::default()).map_err(|error| server(&error))?;
    let speed = record.speed_code().speed().unwrap_or(Speed::High);
    let sleeper = Sleeper::new();
    let descriptors =
        enumerate(&mut far, &sleeper, &mut device, speed).map_err(|error| server(&error))?;

    let socket = ends.guest.connect();
    let near = socket.and_then(Stream::new);
    let mut near = near.map_err(|error| failed(&ends.guest, &error))?;
    let mut host = Host::new(Options::default());
    host.attach(descriptors).map_err(|error| server(&error))?;
    let is_rejected = bridge(&mut near, &mut host, &mut far, &mut device, &sleeper)?;
    near.result(&mut host)
        .map_err(|error| failed(&ends.guest, &error))?;
    far.result(&mut device).map_err(|error| server(&error))?;
    if is_rejected {
        return Err(Failure::Failed("the guest does not want the device".into()));
    }
    Ok(())
}

/// Reads what the guest is to be told.
fn enumerate(
    far: &mut Stream,
    sleeper: &Sleeper,
    device: &mut client::Session,
    speed: Speed,
) -> Result<DeviceDescriptors, HostError> {
    let mut enumerator = Enumerator::new(speed);
    loop {
        exchange(&mut enumerator, device);
        if let Some(result) = enumerator.result() {
            return result.map_err(HostError::Descriptors);
        }
        if far.turn(device) {
            continue;
        }
        if far.finished() {
            far.result(device)?;
            return Err(HostError::Closed);
        }
        sleeper.sleep([&mut *far], None)?;
    }
}

/// Passes transfers between guest and server until one of the two is gone; tells whether the guest
/// did not want the device. Then both connections are at their end.
fn bridge(
    near: &mut Stream,
    host: &mut Host,
    far: &mut Stream,
    device: &mut client::Session,
    sleeper: &Sleeper,
) -> Result<bool, Failure> {
    let mut state = HostState::Greeting;
    let mut is_rejected = false;
    loop {
        exchange(host, device);
        // Not `||`: each has to write what the exchange gave it.
        if near.turn(host) | far.turn(device) {
            continue;
        }
        if host.state() != state {
            state = host.state();
            is_rejected |= state == HostState::Rejected;
            if state == HostState::Attached {
                let guest = host.guest_version().unwrap_or_default().escape_default();
                let _ = writeln!(io::stdout(), "attached: {guest}");
            }
        }
        if near.finished() {
            if host.pending() == 0 {
                return Ok(is_rejected);
            }
            // What is still under way at the device is nobody's any more.
            device.end();
            continue;
        }
        // The server has left, and the guest knows.
        if far.finished() && matches!(state, HostState::Empty) {
            host.end();
            continue;
        }
        sleeper
            .sleep([&mut *near, &mut *far], None)
            .map_err(Failure::failed)?;
    }
}
