//! Gives a USB device to a virtual machine by usbredir. `usbredir-host --help` says how.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use examples::{
    Address, Devices, Failure, Kind, Listener, LocalDevice, Offered, Redirected, Sleeper, Stop,
    Stream, Wanted, read_capabilities, redirect, say, signal,
};
use lexopt::prelude::*;
use usbredir_proto::{Capabilities, Host, HostState, Options};

const PROGRAM: &str = "usbredir-host";

const HELP: &str = "\
Gives a USB device to a virtual machine by usbredir.

Usage: usbredir-host --connect ADDR | --listen ADDR  DEVICE [OPTION]...

Devices, one of them at a time:
";

const OPTIONS: &str = "
Options:
  --connect ADDR         where the virtual machine listens
  --listen ADDR          where virtual machines come in, one after the other
  --capabilities BITS    what to say that it can do, to see how a guest takes less [default: 0xff]
  -h, --help             print this
  -V, --version          print the version

ADDR is tcp:HOST:PORT, unix:PATH or vsock:CID:PORT. QEMU listens with
  -chardev socket,id=usb,path=PATH,server=on,wait=off -device usb-redir,chardev=usb

Standard output tells of the guest and of what it makes of the device. Ctrl-C or SIGTERM tells the
guest that the device is gone, flushes and ends; a guest that does not answer is left after five
seconds. A real device is taken from its driver when a guest comes, and given back when it leaves;
unplugged, the guest is told and left, and others are until it is back.

Exit status: 0 after that, or when the guest that was connected to has left or the device has gone;
1 if the guest rejected the device, or after a failure; 2 after a mistake, with nothing changed.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(help()),
        Ok(Command::Version) => say(concat!("usbredir-host ", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Serve(arguments)) => serve(&arguments),
        Err(error) => Err(Failure::Mistake(format!(
            "{error} (see usbredir-host --help)"
        ))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(PROGRAM),
    }
}

fn help() -> String {
    format!("{HELP}{}{OPTIONS}", Devices::help(is_given))
}

/// Devices of USB/IP servers are given by `bridge`.
fn is_given(kind: &Kind) -> bool {
    kind.option != "relay"
}

enum Command {
    Help,
    Version,
    Serve(Arguments),
}

struct Arguments {
    place: Place,
    device: Wanted,
    capabilities: Capabilities,
}

enum Place {
    Listen(Address),
    Connect(Address),
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut listen, mut connect) = (None, None);
        let (mut devices, mut capabilities) = (Devices::default(), Capabilities::ALL);
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("listen") => listen = Some(arguments.value()?.parse()?),
                Long("connect") => connect = Some(arguments.value()?.parse()?),
                Long("capabilities") => {
                    capabilities = arguments.value()?.parse_with(read_capabilities)?;
                }
                Long(option) => {
                    let option = option.to_owned();
                    if !devices.take(&option, &mut arguments)? {
                        return Err(Long(&option).unexpected());
                    }
                }
                _ => return Err(argument.unexpected()),
            }
        }
        let place = match (listen, connect) {
            (Some(address), None) => Place::Listen(address),
            (None, Some(address)) => Place::Connect(address),
            _ => return Err("one of --connect and --listen is needed".into()),
        };
        devices.check()?;
        let device = match devices.wanted.pop() {
            Some(wanted) if devices.wanted.is_empty() && is_given(wanted.kind) => wanted,
            Some(wanted) if devices.wanted.is_empty() => {
                return Err(
                    format!("--{} is for usbip-server and bridge", wanted.kind.option).into(),
                );
            }
            Some(_) => return Err("a connection carries one device".into()),
            None => return Err("no device: say what to give, such as --disk disk.img".into()),
        };
        Ok(Self::Serve(Arguments {
            place,
            device,
            capabilities,
        }))
    }
}

/// Tells the loop that waits for a guest, and the one that serves it, to come to an end.
struct Ending {
    stop: Stop,
    is_set: Arc<AtomicBool>,
    /// Of the loop that serves a guest.
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Ending {
    /// From now on the signals are its own.
    fn on_signal() -> io::Result<Self> {
        let ending = Self {
            stop: Stop::new()?,
            is_set: Arc::default(),
            waker: Arc::default(),
        };
        let (stop, is_set) = (ending.stop.clone(), Arc::clone(&ending.is_set));
        let waker = Arc::clone(&ending.waker);
        signal::on_first_signal(move || {
            is_set.store(true, Ordering::Release);
            stop.stop();
            let waker = waker.lock().unwrap_or_else(PoisonError::into_inner);
            waker.as_ref().inspect(|waker| waker.wake_by_ref());
        })?;
        Ok(ending)
    }

    /// This is what the loop that looks at `is_set` from now on sleeps with.
    fn wakes(&self, sleeper: &mut Sleeper) -> io::Result<()> {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *waker = Some(sleeper.waker()?);
        Ok(())
    }
}

/// What is given to guests.
struct Gift {
    capabilities: Capabilities,
    device: Offered,
    ending: Ending,
}

fn serve(arguments: &Arguments) -> Result<(), Failure> {
    let device = arguments.device.open()?;
    for line in &device.notes {
        let _ = writeln!(io::stderr(), "{PROGRAM}: {line}");
    }
    let ending = Ending::on_signal().map_err(Failure::failed)?;
    say(&device.name)?;
    let mut gift = Gift {
        capabilities: arguments.capabilities,
        device,
        ending,
    };
    let result = match &arguments.place {
        Place::Connect(address) => address
            .connect()
            .map_err(|error| Failure::Failed(format!("{address}: {error}")))
            .and_then(|socket| gift.serve_guest(socket)),
        Place::Listen(address) => gift.listen(address),
    };
    let flushed = gift.device.into_device().close();
    result?;
    flushed.map_err(|error| Failure::Failed(format!("what was written last may be lost: {error}")))
}

impl Gift {
    /// Serves one guest after the other.
    fn listen(&mut self, address: &Address) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::Failed(format!("{address}: {error}"));
        let listener = Listener::bind(address).map_err(failed)?;
        let bound = listener.address().map_err(failed)?;
        say(format_args!("listening on {bound}"))?;
        while let Some((socket, _)) = listener.accept(&self.ending.stop).map_err(failed)? {
            if let Err(failure) = self.serve_guest(socket) {
                let _ = failure.report(PROGRAM);
            }
        }
        Ok(())
    }

    /// Where the device cannot be had, the guest sees the end of its connection.
    fn serve_guest(&mut self, socket: OwnedFd) -> Result<(), Failure> {
        let (ending, capabilities) = (&self.ending, self.capabilities);
        let lent = self
            .device
            .lend(|device| redirect_to(socket, device, capabilities, ending));
        match lent?? {
            Redirected::Rejected => {
                Err(Failure::Failed("the guest does not want the device".into()))
            }
            Redirected::Left => say("the guest has left"),
            Redirected::Stopped => say("detached"),
            Redirected::Gone => say("the device has gone"),
        }
    }
}

fn redirect_to(
    socket: OwnedFd,
    device: &mut LocalDevice,
    capabilities: Capabilities,
    ending: &Ending,
) -> Result<Redirected, Failure> {
    let mut stream = Stream::new(socket).map_err(Failure::failed)?;
    let mut options = Options::default();
    options.capabilities = capabilities;
    let mut host = Host::new(options);
    host.attach(device.descriptors.clone())
        .map_err(Failure::failed)?;
    let LocalDevice {
        sleeper, function, ..
    } = device;
    ending.wakes(sleeper).map_err(Failure::failed)?;
    let served = redirect(
        &mut stream,
        sleeper,
        &mut host,
        &mut **function,
        &ending.is_set,
        announce,
    );
    served.map_err(Failure::failed)
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
