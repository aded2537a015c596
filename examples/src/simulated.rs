//! The simulated devices, as a server offers them.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use usb_descriptors::Speed;
use usb_functions::{AudioLoopback, DeviceOptions, Keyboard, Serial, Stroke};
use usb_transfer::Function;
use usbip_proto::ProtocolError;
use usbip_proto::server::Session;

use crate::server::Device;
use crate::{
    Driven, Failure, Offered, PseudoTerminal, SerialBridge, Sleeper, Stream, StreamError, run,
    type_from,
};

/// Linux looks at a new keyboard for so long at most, and loses what is typed meanwhile.
pub const LOOK: Duration = Duration::from_secs(1);

fn options() -> DeviceOptions {
    DeviceOptions::new(Speed::High).manufacturer("Virtual")
}

/// A keyboard that makes the same strokes for each client, when that has had time to look at it.
struct Typing(Vec<Stroke>);

impl Device for Typing {
    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        // It could be made before.
        let Ok(keyboard) = Keyboard::new(options()) else {
            return Ok(());
        };
        let mut sleeper = Sleeper::new();
        let waker = sleeper.waker()?;
        let (typed, channel) = channel();
        let (strokes, typist) = (self.0.clone(), typed.clone());
        thread::Builder::new()
            .name("typist".into())
            .spawn(move || {
                thread::sleep(LOOK);
                // Where the keyboard is gone, so is who could want it.
                let _ = typist.send(strokes);
                waker.wake();
            })?;
        let served = run(
            client,
            &sleeper,
            session,
            &mut Driven::new(keyboard, type_from(channel)),
        );
        // Until now, so that the keyboard stays when all is typed.
        drop(typed);
        served
    }
}

/// A function that serves one client after the other.
struct Lasting<F> {
    sleeper: Sleeper,
    function: F,
}

impl<F: Function + Send> Device for Lasting<F> {
    fn serve(
        &mut self,
        client: &mut Stream,
        session: &mut Session,
    ) -> Result<(), StreamError<ProtocolError>> {
        run(client, &self.sleeper, session, &mut self.function)
    }
}

/// A keyboard that types to each client.
///
/// # Errors
/// The device cannot be.
pub fn keyboard(strokes: Vec<Stroke>) -> Result<Offered, Failure> {
    let keyboard = Keyboard::new(options()).map_err(Failure::mistake)?;
    let descriptors = keyboard.descriptors().clone();
    let device = Typing(strokes);
    Ok(Offered::new("keyboard".into(), descriptors, device))
}

/// A serial port that ends at a pseudo-terminal, which its name tells.
///
/// # Errors
/// The system has no pseudo-terminal or thread left.
pub fn serial() -> Result<Offered, Failure> {
    let serial = Serial::new(options()).map_err(Failure::mistake)?;
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
    Ok(Offered::new(
        name,
        descriptors,
        Lasting { sleeper, function },
    ))
}

/// A sound card that records what it plays.
///
/// # Errors
/// The device cannot be.
pub fn audio() -> Result<Offered, Failure> {
    let function = AudioLoopback::new(options()).map_err(Failure::mistake)?;
    let descriptors = function.descriptors().clone();
    let sleeper = Sleeper::new();
    let device = Lasting { sleeper, function };
    Ok(Offered::new("sound card".into(), descriptors, device))
}
