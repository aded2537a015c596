//! Ending on request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// From now on the first SIGINT or SIGTERM calls `stop`, once, in a thread of its own; one more
/// ends the process at once, as it would without this.
///
/// # Errors
/// The system gives no thread or file descriptor.
pub fn on_first_signal(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&again))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if signals.forever().next().is_some() {
                again.store(true, Ordering::Release);
                stop();
            }
            // The handlers stay registered with the second signal's behaviour.
        })?;
    Ok(())
}
