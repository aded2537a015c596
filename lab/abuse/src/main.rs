//! What no driver of a kernel does to a Bulk-Only disk: wrappers that are not valid, resets and
//! halts in every phase, data phases that host and disk do not agree on. The checks follow the
//! tests of the USB-IF for the class, and go beyond. After each the disk must work.
//!
//! `lab-abuse BUS-ID` takes the disk from its driver, prints a line for each check, and gives the
//! disk's first blocks the content that they had. The exit status is 1 if a check failed.

mod bot;
mod checks;

use std::env;
use std::process::ExitCode;

use bot::Bot;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, bus_id] = arguments.as_slice() else {
        panic!("usage: lab-abuse BUS-ID");
    };
    let mut bot = Bot::open(bus_id);
    let checks = checks::all();
    let mut failed = 0;
    for check in &checks {
        let result = (check.run)(&mut bot).and_then(|()| bot.works());
        match result {
            Ok(()) => println!("ok    {}", check.name),
            Err(why) => {
                failed += 1;
                println!("FAIL  {}: {why}", check.name);
                if bot.recover().and_then(|()| bot.works()).is_err() {
                    println!("      and needs a reset of its port");
                    if let Err(why) = bot.reset_port().and_then(|()| bot.works()) {
                        println!("      which does not help: {why}");
                        break;
                    }
                }
            }
        }
    }
    println!("{} checks, {failed} failed", checks.len());
    ExitCode::from(u8::from(failed > 0))
}
