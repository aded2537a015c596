//! Ending on request.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// From now on the first SIGINT, SIGTERM or SIGHUP calls `stop`, once, in a thread of its own. One
/// more of the first two ends the process at once, as it would without this.
///
/// SIGHUP comes when the terminal goes, from the kernel and from the shell. Where it was ignored,
/// as under nohup(1), it stays so.
///
/// # Errors
/// The system gives no thread or file descriptor.
pub fn on_first_signal(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&again))?;
    }
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hang_up))?;
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

/// What the program was started with, `SigIgn` of proc_pid_status(5).
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 != 0)
}
