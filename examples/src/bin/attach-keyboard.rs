//! What is typed here appears in Linux as from a USB keyboard. `attach-keyboard --help` says how.

#![allow(clippy::disallowed_methods, reason = "a program has threads")]

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;

use examples::simulated::SimulatedOptions;
use examples::{
    Command, Driven, Failure, RawTerminal, Sleeper, Typist, attach, key, type_input, type_terminal,
    typed_strokes,
};
use lexopt::ValueExt;
use usb_descriptors::Speed;
use usb_functions::{Keyboard, Stroke};

const PROGRAM: &str = "attach-keyboard";

const HELP: &str = "\
Attaches a USB keyboard to this machine, through vhci_hcd, and types on it.

Usage: attach-keyboard [OPTION]...

It types what is given, in this order, and leaves when the host has taken it; or else what comes
from standard input, to its end; at a terminal each key as it is hit, until Ctrl-], which ends at
once: standard error tells what the host has not taken. The keyboard has the layout of the United
States; standard error tells what it has no key for.

Options:
  --type TEXT           type this; \\n is Enter, \\t Tab, \\\\ a backslash
  --key NAME            hit a key, such as caps-lock, left or f1
  --speed SPEED         low, full, high or super [default: high]";

/// Ends typing at a terminal: Ctrl-].
const END: u8 = 0x1d;
/// Of a terminal, which is always read, so many pieces may wait for a host that takes no keys.
const TERMINAL_PIECES: usize = 64;

#[derive(Debug)]
struct Options {
    device: SimulatedOptions,
    strokes: Vec<Stroke>,
}

fn main() -> ExitCode {
    let options = Options {
        device: SimulatedOptions::new("keyboard", Speed::High),
        strokes: Vec::new(),
    };
    let own = |options: &mut Options, name: &str, arguments: &mut lexopt::Parser| {
        match name {
            "type" => options
                .strokes
                .extend(arguments.value()?.parse_with(typed_strokes)?),
            "key" => options.strokes.push(arguments.value()?.parse_with(key)?),
            _ => return options.device.take(name, arguments),
        }
        Ok(true)
    };
    let command = Command::parse(options, |options| &mut options.device.attach, own);
    let help = format!("{HELP}\n{}", SimulatedOptions::HELP);
    Command::run(command, PROGRAM, &help, start)
}

fn start(options: Options) -> Result<(), Failure> {
    let keyboard = Keyboard::new(options.device.device()).map_err(Failure::mistake)?;
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let given = options.strokes;
    let is_terminal = given.is_empty() && io::stdin().is_terminal();
    let mut terminal = None;
    if is_terminal {
        let raw = RawTerminal::standard_input();
        terminal = Some(raw.map_err(Failure::mistake)?);
    }
    let pieces = if is_terminal { TERMINAL_PIECES } else { 1 };
    let (typist, user) = Typist::new(pieces, &waker);
    let mut keyboard = Driven::new(keyboard, user);
    // At once: who wants to leave a terminal need not wait for a host.
    thread::spawn(move || {
        if is_terminal {
            type_terminal(io::stdin(), typist, END);
        } else if given.is_empty() {
            type_input(io::stdin(), &typist);
        } else {
            // Where the keyboard is gone, so is who could want it.
            let _ = typist.strike(given);
        }
    });
    let served = attach(&options.device.attach, &sleeper, &mut keyboard);
    drop(terminal);
    served
}
