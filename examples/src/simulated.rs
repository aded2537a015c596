//! The simulated devices, as a server offers them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use lexopt::{Parser, ValueExt};
use usb_descriptors::{EndpointAddress, Speed};
use usb_functions::{AudioLoopback, DeviceOptions, Keyboard, Serial, Stroke, Tablet};
use usb_transfer::{Frame, Function, FunctionEvent, Transfer, TransferId};

use crate::{
    AttachOptions, Driven, Failure, Local, LocalDevice, Offered, PseudoTerminal, SerialBridge,
    Sleeper, follow_tablet, motion, strokes, type_from, type_input,
};

/// Linux looks at a new keyboard for so long at most, and loses what is typed meanwhile.
pub const LOOK: Duration = Duration::from_secs(1);
/// The same in frames of 125 µs.
const LOOK_FRAMES: u64 = LOOK.as_secs() * 8000;

/// What may be said of a simulated device.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Looks {
    /// Its speed; `None`: high.
    pub speed: Option<Speed>,
    /// The numbers of vendor and product; `None`: those for tests.
    pub ids: Option<(u16, u16)>,
    /// Its serial number, by which hosts tell it from others of its kind; `None`: the one of a
    /// device that has no other.
    pub serial: Option<String>,
}

impl Looks {
    fn options(&self) -> DeviceOptions {
        let (vendor, product) = self.ids.unwrap_or(DeviceOptions::TEST_IDS);
        let options = DeviceOptions::new(self.speed.unwrap_or(Speed::High))
            .manufacturer("Virtual")
            .vendor_id(vendor)
            .product_id(product);
        match &self.serial {
            Some(serial) => options.serial(serial),
            None => options,
        }
    }
}

/// The serial number of a device of whom nobody has said another: the same whenever it is the same
/// of its kind.
#[must_use]
pub fn serial_number(kind: &str, instance: usize) -> String {
    format!("{}-{instance}", kind.to_uppercase())
}

/// What may be said of a simulated device that is attached to this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulatedOptions {
    /// Where and how it is attached.
    pub attach: AttachOptions,
    serial: String,
}

impl SimulatedOptions {
    /// The option that all these devices have besides [`AttachOptions`].
    pub const HELP: &str =
        "  --serial TEXT         the serial number [default: the kind of device, and 1]";

    /// The only device of its kind, at this speed.
    #[must_use]
    pub fn new(kind: &str, speed: Speed) -> Self {
        Self {
            attach: AttachOptions::new(speed),
            serial: serial_number(kind, 1),
        }
    }

    /// Reads the value of an option, if it is that of [`HELP`](Self::HELP).
    ///
    /// # Errors
    /// The value is missing.
    pub fn take(&mut self, option: &str, arguments: &mut Parser) -> Result<bool, lexopt::Error> {
        let known = option == "serial";
        if known {
            self.serial = arguments.value()?.parse()?;
        }
        Ok(known)
    }

    /// What the device is on the bus.
    #[must_use]
    pub fn device(&self) -> DeviceOptions {
        DeviceOptions::new(self.attach.speed)
            .manufacturer("Virtual")
            .serial(&self.serial)
    }
}

type Typist = Box<dyn FnMut(&mut Keyboard) + Send>;

/// A keyboard whose typist begins when the host has had time to look at it.
struct Typing {
    keyboard: Keyboard,
    typist: Typist,
    /// Typed to each host anew.
    text: Option<Vec<Stroke>>,
    /// As long as it is held, the keyboard stays when all is typed.
    stay: Option<SyncSender<Vec<Stroke>>>,
    start: Start,
}

/// When the typist begins.
enum Start {
    /// The host has not asked for keys.
    Idle,
    /// It has, at a time that the next frame tells.
    Asked,
    /// At this frame.
    At(Frame),
    Begun,
}

impl Typing {
    fn new(keyboard: Keyboard, typist: Typist) -> Self {
        Self {
            keyboard,
            typist,
            text: None,
            stay: None,
            start: Start::Idle,
        }
    }
}

impl Local for Typing {
    fn arrive(&mut self) {
        if let Some(text) = &self.text {
            let (typed, channel) = sync_channel(1);
            // There is room, and the other end is here.
            let _ = typed.send(text.clone());
            self.typist = Box::new(type_from(channel));
            self.stay = Some(typed);
        }
    }
}

impl Function for Typing {
    fn submit(&mut self, transfer: Transfer) {
        let is_control = transfer.endpoint.number() == EndpointAddress::CONTROL_IN.number();
        if !is_control && matches!(self.start, Start::Idle) {
            self.start = Start::Asked;
        }
        self.keyboard.submit(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.keyboard.cancel(id);
    }

    fn reset(&mut self) {
        self.start = Start::Idle;
        self.keyboard.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        if matches!(self.start, Start::Begun) {
            (self.typist)(&mut self.keyboard);
        }
        self.keyboard.poll()
    }

    fn start_of_frame(&mut self, now: Frame) {
        match self.start {
            Start::Asked => self.start = Start::At(Frame(now.0.saturating_add(LOOK_FRAMES))),
            Start::At(frame) if frame <= now => self.start = Start::Begun,
            _ => {}
        }
        self.keyboard.start_of_frame(now);
    }

    fn next_frame(&self) -> Option<Frame> {
        let start = match self.start {
            Start::Asked => Some(Frame(1)),
            Start::At(frame) => Some(frame),
            Start::Idle | Start::Begun => None,
        };
        let own = self.keyboard.next_frame();
        start.into_iter().chain(own).min()
    }
}

impl<U: FnMut(&mut Serial) + Send> Local for Driven<Serial, U> {}
impl<U: FnMut(&mut Tablet) + Send> Local for Driven<Tablet, U> {}
impl Local for AudioLoopback {}

/// A keyboard that types to each host.
///
/// # Errors
/// The device cannot be.
pub fn keyboard(text: Vec<Stroke>, looks: &Looks) -> Result<Offered, Failure> {
    let keyboard = Keyboard::new(looks.options()).map_err(Failure::mistake)?;
    let descriptors = keyboard.descriptors().clone();
    let mut typing = Typing::new(keyboard, Box::new(|_| ()));
    typing.text = Some(text);
    let device = LocalDevice::new(descriptors, typing, Sleeper::new());
    Ok(Offered::local("keyboard".into(), device))
}

/// A keyboard that types what a file brings, once, to the host that is there.
///
/// # Errors
/// The file or the device cannot be, or the system has no thread left.
pub fn keys(path: &OsStr, looks: &Looks) -> Result<Offered, Failure> {
    let input = open(path)?;
    let keyboard = Keyboard::new(looks.options()).map_err(Failure::mistake)?;
    let descriptors = keyboard.descriptors().clone();
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let (typed, channel) = sync_channel(1);
    let mut typing = Typing::new(keyboard, Box::new(type_from(channel)));
    typing.stay = Some(typed.clone());
    start("keys", move || {
        type_input(input, &typed, None, strokes, &waker);
    })?;
    let device = LocalDevice::new(descriptors, typing, sleeper);
    Ok(Offered::local("keyboard".into(), device))
}

/// A tablet that is moved by the lines of a file.
///
/// # Errors
/// The file or the device cannot be, or the system has no thread left.
pub fn tablet(path: &OsStr, looks: &Looks) -> Result<Offered, Failure> {
    let input = BufReader::new(open(path)?);
    let tablet = Tablet::new(looks.options()).map_err(Failure::mistake)?;
    let descriptors = tablet.descriptors().clone();
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let (moved, motions) = sync_channel(1);
    let stay = moved.clone();
    start("motions", move || {
        for motion in input
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| motion(&line))
        {
            if moved.send(motion).is_err() {
                break;
            }
            waker.wake_by_ref();
        }
    })?;
    let mut follow = follow_tablet(motions);
    let function = Driven::new(tablet, move |tablet: &mut Tablet| {
        // The tablet stays where the file ends.
        let _ = &stay;
        follow(tablet);
    });
    let device = LocalDevice::new(descriptors, function, sleeper);
    Ok(Offered::local("tablet".into(), device))
}

fn open(path: &OsStr) -> Result<File, Failure> {
    File::open(path)
        .map_err(|error| Failure::Mistake(format!("{}: {error}", Path::new(path).display())))
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().name(name.into()).spawn(body);
    started.map(|_| ()).map_err(Failure::failed)
}

/// A serial port that ends at a pseudo-terminal, which its name tells.
///
/// # Errors
/// The system has no pseudo-terminal or thread left.
pub fn serial(looks: &Looks) -> Result<Offered, Failure> {
    let serial = Serial::new(looks.options()).map_err(Failure::mistake)?;
    let descriptors = serial.descriptors().clone();
    let terminal = PseudoTerminal::open().map_err(Failure::failed)?;
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let mut bridge = SerialBridge::new(&terminal, &waker).map_err(Failure::failed)?;
    let name = format!("serial port at {}", terminal.path().display());
    let function = Driven::new(serial, move |serial: &mut Serial| {
        // It lives as long as the port.
        let _ = &terminal;
        bridge.turn(serial);
    });
    let device = LocalDevice::new(descriptors, function, sleeper);
    Ok(Offered::local(name, device))
}

/// A sound card that records what it plays.
///
/// # Errors
/// The device cannot be.
pub fn audio(looks: &Looks) -> Result<Offered, Failure> {
    let function = AudioLoopback::new(looks.options()).map_err(Failure::mistake)?;
    let descriptors = function.descriptors().clone();
    let device = LocalDevice::new(descriptors, function, Sleeper::new());
    Ok(Offered::local("sound card".into(), device))
}
