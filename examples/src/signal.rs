//! Ending on request.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// From now on the first SIGINT, SIGTERM or SIGHUP calls `stop`, once, in a thread of its own. One
/// more of the first two ends the process at once, as it would without this; while there is a
/// [`Hold`], it says that time [is up](time_is_up), and the one after it ends the process.
///
/// SIGHUP comes when the terminal goes, from the kernel and from the shell. Where it was ignored,
/// as under nohup(1), it stays so.
///
/// # Errors
/// The system gives no thread or file descriptor.
pub fn on_first_signal(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hang_up))?;
    // It may take its time, in which signals are heard.
    let (tell, told) = sync_channel(1);
    thread::Builder::new().name("stop".into()).spawn(move || {
        if told.recv().is_ok() {
            stop();
        }
    })?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                // There is room.
                let _ = tell.send(());
            }
            for signal in signals.filter(|signal| *signal != SIGHUP) {
                // Locked: nobody begins what would not be undone.
                let holds = holds();
                if *holds == 0 || TIME_IS_UP.swap(true, Ordering::AcqRel) {
                    let _ = emulate_default_handler(signal);
                }
            }
        })?;
    Ok(())
}

/// How many there are in this process, whose end is one for all of it.
static HOLDS: Mutex<usize> = Mutex::new(0);
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

fn holds() -> MutexGuard<'static, usize> {
    HOLDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is to be undone before the process ends, such as to have taken a device from its
/// driver.
#[derive(Debug)]
pub struct Hold(());

impl Hold {
    /// From now on, until it is dropped.
    #[must_use]
    pub fn new() -> Self {
        *holds() += 1;
        Self(())
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *holds() -= 1;
    }
}

/// Whether nothing is to be waited for any more: somebody has asked twice.
#[must_use]
pub fn time_is_up() -> bool {
    TIME_IS_UP.load(Ordering::Acquire)
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::time::Duration;
    use std::{env, thread};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Set for the process that gets the signals, to whether it has a hold.
    const HAS_HOLD: &str = "SIGNAL_TEST_HAS_HOLD";

    #[test]
    #[ignore = "the process that the others start"]
    fn a_process_that_goes_on() {
        let Ok(has_hold) = env::var(HAS_HOLD) else {
            return;
        };
        let _hold = (has_hold == "yes").then(Hold::new);
        on_first_signal(|| println!("stop")).unwrap();
        println!("ready");
        while !time_is_up() {
            thread::sleep(Duration::from_millis(1));
        }
        println!("time is up");
        thread::sleep(Duration::from_secs(60));
    }

    struct Process {
        child: Child,
        said: Box<dyn Iterator<Item = String>>,
    }

    impl Process {
        fn start(has_hold: &str) -> Self {
            let mut command = Command::new(env::current_exe().unwrap());
            let test = "signal::tests::a_process_that_goes_on";
            command.args([test, "--exact", "--ignored", "--nocapture"]);
            command.env(HAS_HOLD, has_hold).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let said = BufReader::new(child.stdout.take().unwrap()).lines();
            let said = Box::new(said.map_while(Result::ok));
            let mut process = Self { child, said };
            process.says("ready");
            process
        }

        fn says(&mut self, words: &str) {
            let said = self.said.find(|line| line.ends_with(words));
            assert!(said.is_some(), "ended without: {words}");
        }

        fn signal(&self) {
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        }

        fn ended(mut self) -> ExitStatus {
            assert_eq!(self.said.next(), None);
            self.child.wait().unwrap()
        }
    }

    #[test]
    fn a_second_signal_ends_the_process() {
        let mut process = Process::start("no");
        process.signal();
        process.says("stop");
        process.signal();
        assert_eq!(process.ended().signal(), Some(SIGTERM));
    }

    #[test]
    fn what_is_held_is_let_go_before_and_a_third_does_not_wait_for_that() {
        let mut process = Process::start("yes");
        process.signal();
        process.says("stop");
        process.signal();
        process.says("time is up");
        process.signal();
        assert_eq!(process.ended().signal(), Some(SIGTERM));
    }
}
