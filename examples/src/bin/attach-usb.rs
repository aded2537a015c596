//! Attaches a device of this machine to this machine once more, through USB/IP. `attach-usb --help`
//! says how.

use std::ffi::OsString;
use std::process::ExitCode;

use examples::{AttachOptions, Attaching, Command, Failure, Physical, PhysicalOptions};
use lexopt::ValueExt;
use usb_descriptors::Speed;

const HELP: &str = "\
Attaches a device of this machine to this machine once more: its own driver loses it, and gets it
back afterwards; meanwhile every transfer goes through USB/IP. To see whether a device can be given
to others.

Usage: attach-usb --usb DEVICE[,OPTION]... [OPTION]...

  --usb DEVICE          BUSID such as 1-2.1, or VID:PID[:SERIAL]; with options, see
                        usbip-server --help";

fn main() -> ExitCode {
    let options = (AttachOptions::new(Speed::High), None::<OsString>);
    let command = Command::parse(
        options,
        |options| &mut options.0,
        |options, name, arguments| {
            match name {
                "usb" if options.1.is_some() => return Err("--usb: one device at a time".into()),
                "usb" => options.1 = Some(arguments.value()?),
                "speed" => return Err("--speed: a real device has its own".into()),
                _ => return Ok(false),
            }
            Ok(true)
        },
    );
    Command::run(command, "attach-usb", HELP, |(options, device)| {
        start(options, device)
    })
}

fn start(mut options: AttachOptions, device: Option<OsString>) -> Result<(), Failure> {
    let device = device.ok_or_else(|| Failure::Mistake("say which device: --usb DEVICE".into()))?;
    let device: PhysicalOptions = device.parse().map_err(Failure::mistake)?;
    let mut physical = Physical::find(device).map_err(Failure::mistake)?;
    // vhci_hcd has no faster ports.
    options.speed = physical.plugged().descriptors.speed.min(Speed::Super);
    // Before its driver loses the device: without vhci_hcd that would be for nothing.
    let attaching = Attaching::begin(&options)?;
    let mut taken = physical.take().map_err(Failure::mistake)?;
    let served = attaching.serve(&taken.sleeper, &mut taken.device);
    taken.device.come_to_rest();
    served
}
