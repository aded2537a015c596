//! The simulated devices, as a server offers them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use lexopt::{Parser, ValueExt};
use usb_descriptors::Speed;
use usb_functions::{AudioLoopback, DeviceOptions, Keyboard, Serial, Stroke, Tablet};

use crate::{
    AttachOptions, Driven, Failure, Local, LocalDevice, Offered, PseudoTerminal, SerialBridge,
    Sleeper, Typist, follow_tablet, motion, type_input, type_to_each,
};

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

impl<U: FnMut(&mut Keyboard) + Send> Local for Driven<Keyboard, U> {}
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
    let function = Driven::new(keyboard, type_to_each(text));
    let device = LocalDevice::new(descriptors, function, Sleeper::new());
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
    let (typist, mut user) = Typist::new(1, &waker);
    let typist = Arc::new(typist);
    let stay = Arc::clone(&typist);
    start("keys", move || type_input(input, &typist))?;
    let function = Driven::new(keyboard, move |keyboard: &mut Keyboard| {
        // The keyboard stays when all is typed.
        let _ = &stay;
        user(keyboard);
    });
    let device = LocalDevice::new(descriptors, function, sleeper);
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
        for line in input.lines().map_while(Result::ok) {
            match motion(&line) {
                Some(motion) if moved.send(motion).is_ok() => waker.wake_by_ref(),
                Some(_) => break,
                None => eprintln!("not X Y [BUTTONS [WHEEL]]: {line:?}"),
            }
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
