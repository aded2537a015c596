//! What the programs that attach a device have in common.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use usb_descriptors::Speed;
use usb_transfer::Function;
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits};

use crate::{Attachment, Failure, Sleeper, Stream, Vhci, run_until_left, say, signal};

/// Where and how a device is attached: the options that all programs take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachOptions {
    /// The speed of the device.
    pub speed: Speed,
    /// The port of vhci_hcd, instead of the first free one.
    pub port: Option<u16>,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
}

/// Each request carries it; which one does not matter.
const DEVICE: DeviceId = DeviceId::new(1, 2);
/// How long the kernel may take to find the device, on a slow machine with many.
const PATIENCE: Duration = Duration::from_secs(60);

impl AttachOptions {
    /// What the help says of these options.
    pub const HELP: &str =
        "  --port N              the port of vhci_hcd [default: the first free one]
  --sysfs FOLDER        where sysfs is mounted [default: /sys]
  -h, --help            print this
  -V, --version         print the version

Standard output tells port and bus id. Ctrl-C or SIGTERM detaches and ends.

Exit status: 0 after detaching; 1 if the connection failed; 2 if it cannot be attached.";

    /// At the first free port, in the usual place.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self {
            speed,
            port: None,
            sysfs: Vhci::SYSFS.into(),
        }
    }

    /// Reads the value of an option, if it is one of these. Speeds are low, full, high and super.
    ///
    /// # Errors
    /// The value is missing or none of the option's.
    pub fn take(&mut self, option: &str, arguments: &mut Parser) -> Result<bool, lexopt::Error> {
        match option {
            "speed" => self.speed = arguments.value()?.parse_with(read_speed)?,
            "port" => self.port = Some(arguments.value()?.parse()?),
            "sysfs" => self.sysfs = arguments.value()?.into(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The speed of a name.
///
/// # Errors
/// A text that says which names there are.
pub fn read_speed(name: &str) -> Result<Speed, &'static str> {
    match name {
        "low" => Ok(Speed::Low),
        "full" => Ok(Speed::Full),
        "high" => Ok(Speed::High),
        "super" => Ok(Speed::Super),
        _ => Err("a speed is low, full, high or super"),
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command<O> {
    /// To say how it works.
    Help,
    /// To say which version it is.
    Version,
    /// To do it.
    Start(O),
}

impl<O> Command<O> {
    /// Reads a command line of options only: those that all programs have here, the others by
    /// `own`, which says whether it knows the option.
    ///
    /// # Errors
    /// An option that nobody knows, or a value that is none of it.
    pub fn parse(
        mut options: O,
        attach: fn(&mut O) -> &mut AttachOptions,
        own: impl Fn(&mut O, &str, &mut Parser) -> Result<bool, lexopt::Error>,
    ) -> Result<Self, lexopt::Error> {
        let mut arguments = Parser::from_env();
        while let Some(argument) = arguments.next()? {
            let name = match &argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Self::Version),
                Arg::Long(name) => (*name).to_owned(),
                _ => return Err(argument.unexpected()),
            };
            let known = own(&mut options, &name, &mut arguments)?
                || attach(&mut options).take(&name, &mut arguments)?;
            if !known {
                return Err(Arg::Long(&name).unexpected());
            }
        }
        Ok(Self::Start(options))
    }
}

impl<O> Command<O> {
    /// Does what was asked, in the name of `program`, and tells what went wrong.
    pub fn run(
        command: Result<Self, lexopt::Error>,
        program: &str,
        help: &str,
        start: impl FnOnce(O) -> Result<(), Failure>,
    ) -> ExitCode {
        let result = match command {
            Ok(Self::Help) => say(format_args!("{help}\n{}", AttachOptions::HELP)),
            Ok(Self::Version) => say(format_args!("{program} {}", env!("CARGO_PKG_VERSION"))),
            Ok(Self::Start(options)) => start(options),
            Err(error) => Err(Failure::Mistake(format!("{error} (see {program} --help)"))),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(program),
        }
    }
}

/// Attaches a device to this machine and serves it until a signal comes, the kernel lets go of it,
/// or it leaves by itself. Standard output tells the port and the bus id, as soon as each is known.
///
/// # Errors
/// It cannot be attached, or the connection failed; nothing is attached any more.
pub fn attach(
    options: &AttachOptions,
    sleeper: &Sleeper,
    device: &mut impl Function,
) -> Result<(), Failure> {
    Attaching::begin(options)?.serve(sleeper, device)
}

/// A device that is about to be attached: whatever has to be undone after it is done in between.
#[derive(Debug)]
pub struct Attaching {
    speed: Speed,
    port: Option<u16>,
    near: Stream,
    far: OwnedFd,
    attachment: Attachment,
}

impl Attaching {
    /// Finds `vhci_hcd`, and has signals end the program in its own way from now on.
    ///
    /// # Errors
    /// The kernel has none, or not for this user.
    pub fn begin(options: &AttachOptions) -> Result<Self, Failure> {
        let vhci = Vhci::open(&options.sysfs).map_err(Failure::mistake)?;
        let (near, far) = Stream::pair().map_err(Failure::failed)?;
        let attachment = Attachment::new(vhci, &near).map_err(Failure::failed)?;
        let ending = attachment.clone();
        // There is no disk that could have something to be written.
        signal::on_first_signal(move || ending.end(|| ())).map_err(Failure::failed)?;
        Ok(Self {
            speed: options.speed,
            port: options.port,
            near,
            far,
            attachment,
        })
    }

    /// Attaches it and serves it, as [`attach`] does; not at all if a signal has come.
    ///
    /// # Errors
    /// As of [`attach`].
    pub fn serve(mut self, sleeper: &Sleeper, device: &mut impl Function) -> Result<(), Failure> {
        let attachment = &self.attachment;
        let port = attachment.attach(self.far, DEVICE, self.speed, self.port);
        let Some(port) = port.map_err(Failure::mistake)? else {
            return Ok(());
        };
        say(format_args!("port: {port}"))?;
        let announced = attachment.clone();
        thread::spawn(move || {
            if let Some(bus_id) = announced.bus_id(PATIENCE) {
                let _ = say(format_args!("bus id: {bus_id}"));
            }
        });
        let mut session = Session::new(DEVICE, self.speed, Limits::default());
        let served = run_until_left(&mut self.near, sleeper, &mut session, device);
        attachment.gone();
        served.map_err(Failure::failed)
    }
}
