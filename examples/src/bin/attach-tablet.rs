//! A USB pointer in Linux that is moved by lines of text. `attach-tablet --help` says how.

#![allow(clippy::disallowed_methods, reason = "a program has threads")]

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::thread;

use examples::simulated::SimulatedOptions;
use examples::{Command, Driven, Failure, Sleeper, attach, follow_mouse, follow_tablet, motion};
use usb_descriptors::Speed;
use usb_functions::{Mouse, Tablet};

const PROGRAM: &str = "attach-tablet";

const HELP: &str = "\
Attaches a USB pointer to this machine, through vhci_hcd, and moves it as the lines of standard
input say, to their end. A line is X Y [BUTTONS [WHEEL]]: the position from 0 to 32767, of the
buttons 1 left, 2 right and 4 middle added up, the wheel in counts.

Usage: attach-tablet [OPTION]...

Options:
  --mouse               a mouse: X and Y are how far it moves, in counts
  --speed SPEED         low, full, high or super [default: high]";

#[derive(Debug)]
struct Options {
    device: SimulatedOptions,
    mouse: bool,
}

fn main() -> ExitCode {
    let options = Options {
        device: SimulatedOptions::new("tablet", Speed::High),
        mouse: false,
    };
    let own = |options: &mut Options, name: &str, arguments: &mut lexopt::Parser| {
        let known = name == "mouse";
        options.mouse |= known;
        Ok(known || options.device.take(name, arguments)?)
    };
    let command = Command::parse(options, |options| &mut options.device.attach, own);
    let help = format!("{HELP}\n{}", SimulatedOptions::HELP);
    Command::run(command, PROGRAM, &help, |options| start(&options))
}

fn start(options: &Options) -> Result<(), Failure> {
    let device = options.device.device();
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let (motions, channel) = sync_channel(1);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match motion(&line) {
                Some(motion) if motions.send(motion).is_ok() => waker.wake_by_ref(),
                Some(_) => break,
                None => eprintln!("{PROGRAM}: not X Y [BUTTONS [WHEEL]]: {line:?}"),
            }
        }
        // The end is news too.
        drop(motions);
        waker.wake();
    });
    if options.mouse {
        let mouse = Mouse::new(device).map_err(Failure::mistake)?;
        let mut mouse = Driven::new(mouse, follow_mouse(channel));
        return attach(&options.device.attach, &sleeper, &mut mouse);
    }
    let tablet = Tablet::new(device).map_err(Failure::mistake)?;
    let mut tablet = Driven::new(tablet, follow_tablet(channel));
    attach(&options.device.attach, &sleeper, &mut tablet)
}
