//! A device at the far end of one wire, for the user at the far end of another.

use std::io;

use usb_transfer::{Frontend, Function, Wire, exchange};

use crate::run::tick;
use crate::{Sleeper, Stream};

/// Passes transfers between a user, near, and a device, far, until the user is gone or knows that
/// the device is. Then each [`Stream::result`] says how its connection ended.
///
/// `watch` is called before each wait, with the frontend and whether the far connection is over;
/// where it did something to the frontend, it returns `true`.
///
/// # Errors
/// The system has no memory for waiting.
pub fn bridge<F: Wire + Frontend, D: Wire + Function>(
    near: &mut Stream,
    frontend: &mut F,
    far: &mut Stream,
    device: &mut D,
    sleeper: &Sleeper,
    mut watch: impl FnMut(&mut F, bool) -> bool,
) -> io::Result<()> {
    loop {
        tick(sleeper, device);
        exchange(frontend, device);
        // Not `||`: each has to write what the exchange gave it.
        if near.turn(frontend) | far.turn(device) {
            continue;
        }
        if near.finished() {
            if frontend.pending() == 0 {
                return Ok(());
            }
            // What is still under way at the device is nobody's any more.
            device.end();
            continue;
        }
        if watch(frontend, far.finished()) {
            continue;
        }
        sleeper.sleep([&mut *near, &mut *far], device.next_frame())?;
    }
}
