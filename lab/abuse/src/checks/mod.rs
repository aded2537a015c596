//! The checks, in the order of the USB-IF's list: descriptors, class requests, wrappers, cases,
//! commands, then what is beyond it.

mod cases;
mod commands;
mod phases;
mod requests;
mod transfers;
mod wrappers;

use crate::bot::{Bot, Outcome};

pub struct Check {
    pub name: String,
    pub run: Box<dyn Fn(&mut Bot) -> Outcome>,
}

fn check(name: impl Into<String>, run: impl Fn(&mut Bot) -> Outcome + 'static) -> Check {
    Check {
        name: name.into(),
        run: Box::new(run),
    }
}

const TEST_UNIT_READY: [u8; 6] = [0; 6];

pub fn all() -> Vec<Check> {
    let mut all = requests::all();
    all.extend(wrappers::all());
    all.extend(cases::all());
    all.extend(commands::all());
    all.extend(phases::all());
    all.extend(transfers::all());
    all
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, not {expected:?}"))
    }
}

/// Of many bytes, which nobody wants to read.
fn expect_data(found: &[u8], expected: &[u8]) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.len(), expected.len());
    Err(format!(
        "{found} bytes that are not the {expected} of the disk"
    ))
}
