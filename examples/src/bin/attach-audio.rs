//! A USB sound card in Linux that records what it plays. `attach-audio --help` says how.

use std::process::ExitCode;

use examples::{AttachOptions, Command, Failure, Sleeper, attach};
use usb_descriptors::Speed;
use usb_functions::{AudioLoopback, DeviceOptions};

const PROGRAM: &str = "attach-audio";

const HELP: &str = "\
Attaches a USB sound card (48 kHz, 16 bits, stereo) to this machine, through vhci_hcd. What is
played on it is what it records, a little later.

Usage: attach-audio [OPTION]...

Options:
  --speed SPEED         full, high or super [default: full]";

fn main() -> ExitCode {
    let options = AttachOptions::new(Speed::Full);
    let command = Command::parse(options, |options| options, |_, _, _| Ok(false));
    Command::run(command, PROGRAM, HELP, |options| start(&options))
}

fn start(options: &AttachOptions) -> Result<(), Failure> {
    let device = DeviceOptions::new(options.speed).manufacturer("Virtual");
    let mut audio = AudioLoopback::new(device).map_err(Failure::mistake)?;
    attach(options, &Sleeper::new(), &mut audio, || ())
}
