//! A USB pointer in Linux that is moved by lines of text. `attach-tablet --help` says how.

#![allow(clippy::disallowed_methods, reason = "a program has threads")]

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use examples::{AttachOptions, Command, Driven, Failure, Sleeper, attach};
use usb_descriptors::Speed;
use usb_functions::{Buttons, DeviceOptions, Mouse, Tablet};

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
    attach: AttachOptions,
    mouse: bool,
}

/// One line of input.
type Motion = [i32; 4];

fn main() -> ExitCode {
    let options = Options {
        attach: AttachOptions::new(Speed::High),
        mouse: false,
    };
    let own = |options: &mut Options, name: &str, _: &mut lexopt::Parser| {
        let known = name == "mouse";
        options.mouse |= known;
        Ok(known)
    };
    let command = Command::parse(options, |options| &mut options.attach, own);
    Command::run(command, PROGRAM, HELP, |options| start(&options))
}

fn start(options: &Options) -> Result<(), Failure> {
    let device = DeviceOptions::new(options.attach.speed).manufacturer("Virtual");
    let mut sleeper = Sleeper::new();
    let waker = sleeper.waker().map_err(Failure::failed)?;
    let (motions, channel) = channel();
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
        let mut mouse = Driven::new(
            mouse,
            follow(channel, move_mouse, |mouse| {
                if mouse.waiting() == 0 {
                    mouse.detach();
                }
            }),
        );
        return attach(&options.attach, &sleeper, &mut mouse, || ());
    }
    let tablet = Tablet::new(device).map_err(Failure::mistake)?;
    let mut tablet = Driven::new(
        tablet,
        follow(channel, move_tablet, |tablet| {
            if tablet.waiting() == 0 {
                tablet.detach();
            }
        }),
    );
    attach(&options.attach, &sleeper, &mut tablet, || ())
}

/// A user that does what comes through the channel, and what is to be done after its end.
fn follow<D>(
    motions: Receiver<Motion>,
    act: fn(&mut D, Motion),
    end: fn(&mut D),
) -> impl FnMut(&mut D) {
    move |device| loop {
        match motions.try_recv() {
            Ok(motion) => act(device, motion),
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => {
                end(device);
                break;
            }
        }
    }
}

fn move_mouse(mouse: &mut Mouse, [right, down, buttons, wheel]: Motion) {
    mouse.move_by(right, down, 0);
    mouse.set_buttons(to_buttons(buttons));
    mouse.move_by(0, 0, wheel);
}

fn move_tablet(tablet: &mut Tablet, [x, y, buttons, wheel]: Motion) {
    let coordinate = |value: i32| u16::try_from(value.max(0)).unwrap_or(u16::MAX);
    tablet.move_to(coordinate(x), coordinate(y));
    tablet.set_buttons(to_buttons(buttons));
    tablet.scroll(wheel);
}

fn to_buttons(number: i32) -> Buttons {
    Buttons(u8::try_from(number & 0x1f).unwrap_or(0))
}

fn motion(line: &str) -> Option<Motion> {
    let numbers: Result<Vec<i32>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers.ok()?[..] {
        [x, y] => Some([x, y, 0, 0]),
        [x, y, buttons] => Some([x, y, buttons, 0]),
        [x, y, buttons, wheel] => Some([x, y, buttons, wheel]),
        _ => None,
    }
}
