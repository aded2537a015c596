//! A USB sound card in Linux that records what it plays, or what files have. `attach-audio --help`
//! says how.

#![allow(clippy::disallowed_types, reason = "a program opens files")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use examples::simulated::SimulatedOptions;
use examples::{Command, Driven, Failure, Sleeper, attach, sound_files};
use usb_descriptors::Speed;
use usb_functions::{Audio, AudioLoopback};

const PROGRAM: &str = "attach-audio";

const HELP: &str = "\
Attaches a USB sound card (48 kHz, 16 bits, stereo) to this machine, through vhci_hcd. What is
played on it is what it records, a little later; with files, what they have, and they get what is
played. Files are of samples alone, as `aplay -t raw -f S16_LE -r 48000 -c 2` has them.

Usage: attach-audio [OPTION]...

Options:
  --source FILE         each recording begins with the first sample of FILE; silence is behind it
  --sink FILE           write here what is played
  --speed SPEED         full, high or super [default: full]";

#[derive(Debug)]
struct Options {
    device: SimulatedOptions,
    source: Option<PathBuf>,
    sink: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options {
        device: SimulatedOptions::new("audio", Speed::Full),
        source: None,
        sink: None,
    };
    let own = |options: &mut Options, name: &str, arguments: &mut lexopt::Parser| {
        match name {
            "source" => options.source = Some(arguments.value()?.into()),
            "sink" => options.sink = Some(arguments.value()?.into()),
            _ => return options.device.take(name, arguments),
        }
        Ok(true)
    };
    let command = Command::parse(options, |options| &mut options.device.attach, own);
    let help = format!("{HELP}\n{}", SimulatedOptions::HELP);
    Command::run(command, PROGRAM, &help, |options| start(&options))
}

fn start(options: &Options) -> Result<(), Failure> {
    let (device, sleeper) = (options.device.device(), Sleeper::new());
    if options.source.is_none() && options.sink.is_none() {
        let mut audio = AudioLoopback::new(device).map_err(Failure::mistake)?;
        return attach(&options.device.attach, &sleeper, &mut audio);
    }
    let open = |path: &Path, opened: std::io::Result<File>| {
        opened.map_err(|error| Failure::Mistake(format!("{}: {error}", path.display())))
    };
    let source = options.source.as_ref();
    let source = source
        .map(|path| open(path, File::open(path)))
        .transpose()?;
    let sink = options.sink.as_ref();
    let sink = sink
        .map(|path| open(path, File::create(path)))
        .transpose()?;
    let audio = Audio::new(device).map_err(Failure::mistake)?;
    let mut audio = Driven::new(audio, sound_files(source, sink));
    attach(&options.device.attach, &sleeper, &mut audio)
}
