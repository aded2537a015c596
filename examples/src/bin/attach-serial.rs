//! A USB serial port in Linux whose other end is a pseudo-terminal. `attach-serial --help` says
//! how.

use std::process::ExitCode;

use examples::simulated::SimulatedOptions;
use examples::{
    Command, Driven, Failure, PseudoTerminal, SerialBridge, Sleeper, attach, say, show_line,
};
use usb_descriptors::Speed;
use usb_functions::Serial;

const PROGRAM: &str = "attach-serial";

const HELP: &str = "\
Attaches a USB serial port (CDC-ACM) to this machine, through vhci_hcd. Its other end is a
pseudo-terminal, which standard output tells.

Usage: attach-serial [OPTION]...

Options:
  --loopback            without a pseudo-terminal: what is sent comes back
  --speed SPEED         full, high or super [default: high]";

#[derive(Debug)]
struct Options {
    device: SimulatedOptions,
    loopback: bool,
}

fn main() -> ExitCode {
    let options = Options {
        device: SimulatedOptions::new("serial", Speed::High),
        loopback: false,
    };
    let own = |options: &mut Options, name: &str, arguments: &mut lexopt::Parser| {
        let known = name == "loopback";
        options.loopback |= known;
        Ok(known || options.device.take(name, arguments)?)
    };
    let command = Command::parse(options, |options| &mut options.device.attach, own);
    let help = format!("{HELP}\n{}", SimulatedOptions::HELP);
    Command::run(command, PROGRAM, &help, |options| start(&options))
}

fn start(options: &Options) -> Result<(), Failure> {
    let device = options.device.device();
    let mut sleeper = Sleeper::new();
    if options.loopback {
        let serial = Serial::loopback(device).map_err(Failure::mistake)?;
        let mut serial = Driven::new(serial, |serial: &mut Serial| {
            while let Some(event) = serial.poll_event() {
                show_line(&event);
            }
        });
        return attach(&options.device.attach, &sleeper, &mut serial);
    }
    let serial = Serial::new(device).map_err(Failure::mistake)?;
    let terminal = PseudoTerminal::open().map_err(Failure::failed)?;
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let mut bridge = SerialBridge::new(&terminal, &waker).map_err(Failure::failed)?;
    say(format_args!("terminal: {}", terminal.path().display()))?;
    let mut serial = Driven::new(serial, move |serial: &mut Serial| bridge.turn(serial));
    attach(&options.device.attach, &sleeper, &mut serial)
}
