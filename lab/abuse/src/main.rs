//! What no driver of a kernel does to a Bulk-Only disk: wrappers that are not valid, resets and
//! halts in every phase, data phases that host and disk do not agree on. The checks follow the
//! tests of the USB-IF for the class, and go beyond. After each the disk must work, and hold what it
//! held.
//!
//! `lab-abuse BUS-ID [CHECK...]` takes the disk from its driver, prints a line for each check, those
//! named left out, and gives the disk back. The exit status is 1 if a check failed.

mod bot;
mod checks;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use bot::Bot;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((bus_id, left_out)) = arguments.split_first() else {
        panic!("usage: lab-abuse BUS-ID [CHECK...]");
    };
    let mut bot = Bot::open(bus_id);
    let mut checks = checks::all();
    checks.retain(|check| !left_out.contains(&check.name));
    let mut failed = 0;
    for check in &checks {
        // Before it runs, should disk and machine not survive it.
        print!("{}: ", check.name);
        let _ = io::stdout().flush();
        let result = (check.run)(&mut bot).and_then(|()| bot.works());
        let Err(why) = result else {
            println!("ok");
            continue;
        };
        failed += 1;
        println!("FAILED: {why}");
        if bot.recover().and_then(|()| bot.works()).is_err() {
            println!("  it takes a reset of its port");
            if let Err(why) = bot.reset_port().and_then(|()| bot.works()) {
                println!("  which does not help: {why}");
                break;
            }
        }
    }
    let (block, packet) = (bot.block, bot.packet);
    let count = checks.len();
    println!("blocks of {block}, packets of {packet}: {count} checks, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
