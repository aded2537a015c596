//! The loop of a usbredir host: a device, given to a guest until one of them has enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use usb_transfer::{Frontend, Wire, exchange};
use usbredir_proto::{Capabilities, Host, HostState, ProtocolError};

use crate::run::tick;
use crate::{Local, Sleeper, Stream, StreamError};

/// What became of a device that was given to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redirected {
    /// The guest has left.
    Left,
    /// The guest does not want the device. The connection is closed.
    Rejected,
    /// It was told to stop; the guest knows that the device is gone.
    Stopped,
    /// The device has gone by itself, such as one that was unplugged; the guest knows that. The
    /// connection is closed: a guest that comes again may have it when it is back.
    Gone,
}

/// Reads capabilities from the digits of a hexadecimal number, as of an option.
///
/// # Errors
/// Says what was expected.
pub fn read_capabilities(bits: &str) -> Result<Capabilities, &'static str> {
    let bits = bits.strip_prefix("0x").unwrap_or(bits);
    let bits = u32::from_str_radix(bits, 16).ok();
    let bits = bits.filter(|bits| *bits <= 0xff);
    bits.map(Capabilities::from_bits)
        .ok_or("capabilities are 0 to 0xff")
}

/// How long a guest may take to read that its device is gone, and to acknowledge it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives the device that `host` was attached to a guest, until the guest leaves or rejects it, until
/// the device goes, or until `stop` is set and the sleeper woken; then the guest is told, and may
/// acknowledge within five seconds. What the device still has when the guest is gone is waited for,
/// unless [it does that itself](Local::waits_in_close). `watch` is called with each new state.
///
/// # Errors
/// The guest broke the protocol, or the connection failed. Everything was given back all the same.
pub fn redirect(
    stream: &mut Stream,
    sleeper: &Sleeper,
    host: &mut Host,
    function: &mut (impl Local + ?Sized),
    stop: &AtomicBool,
    mut watch: impl FnMut(&Host),
) -> Result<Redirected, StreamError<ProtocolError>> {
    let mut state = HostState::Greeting;
    let mut outcome = Redirected::Left;
    // After a stop; later nobody is waited for but the device.
    let mut patience = None;
    let mut is_over = false;
    loop {
        tick(sleeper, function);
        exchange(host, function);
        if patience.is_none() && stop.load(Ordering::Acquire) {
            patience = Some(sleeper.after(PATIENCE));
            if outcome == Redirected::Left {
                outcome = Redirected::Stopped;
                host.detach();
                continue;
            }
        }
        if !is_over && patience.is_some_and(|until| sleeper.now() >= until) {
            is_over = true;
            host.tx().clear();
            host.end();
            continue;
        }
        let again = stream.turn(host);
        if host.state() != state {
            state = host.state();
            watch(host);
            if state == HostState::Rejected && outcome == Redirected::Left {
                outcome = Redirected::Rejected;
                host.end();
                continue;
            }
            let has_none = matches!(state, HostState::Detaching | HostState::Empty);
            if has_none && outcome == Redirected::Left {
                outcome = Redirected::Gone;
                patience = Some(sleeper.after(PATIENCE));
            }
        }
        if again {
            continue;
        }
        if stream.finished() && (host.pending() == 0 || function.waits_in_close()) {
            // It hears that the guest is gone.
            exchange(host, function);
            stream.result(host)?;
            return Ok(outcome);
        }
        let is_told =
            matches!(state, HostState::Greeting | HostState::Empty) && host.tx().is_empty();
        if matches!(outcome, Redirected::Stopped | Redirected::Gone) && is_told {
            host.end();
            continue;
        }
        let until = function.next_frame().into_iter();
        let until = until.chain(patience.filter(|_| !is_over)).min();
        sleeper.sleep([&mut *stream], until)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use usb_descriptors::{SetupPacket, Speed};
    use usb_functions::{DeviceOptions, Keyboard};
    use usb_transfer::{Function, FunctionEvent, Transfer, TransferId};
    use usbredir_proto::{GuestState, Options};

    use super::*;
    use crate::{Driven, take_device};

    #[test]
    fn a_guest_whose_device_goes_is_told_and_left() {
        let (mut near, far) = Stream::pair().unwrap();
        let keyboard = Keyboard::new(DeviceOptions::new(Speed::High)).unwrap();
        let mut host = Host::new(Options::default());
        host.attach(keyboard.descriptors().clone()).unwrap();
        let mut sleeper = Sleeper::new();
        let waker = sleeper.waker().unwrap();
        let guest = thread::spawn(move || {
            let mut stream = Stream::new(far).unwrap();
            let mut guest = take_device(&mut stream, Options::default(), None).unwrap();
            waker.wake();
            let sleeper = Sleeper::new();
            let mut is_told = false;
            while !stream.finished() {
                while guest.poll().is_some() {}
                is_told |= guest.state() == GuestState::Empty;
                if !stream.turn(&mut guest) && !stream.finished() {
                    sleeper.sleep([&mut stream], None).unwrap();
                }
            }
            is_told
        });
        let unplugged = AtomicBool::new(false);
        let mut function = Driven::new(keyboard, |keyboard: &mut Keyboard| {
            if unplugged.load(Ordering::Acquire) {
                keyboard.detach();
            }
        });
        let mut states = Vec::new();
        let redirected = redirect(
            &mut near,
            &sleeper,
            &mut host,
            &mut function,
            &AtomicBool::new(false),
            |host| {
                states.push(host.state());
                unplugged.store(host.state() == HostState::Attached, Ordering::Release);
            },
        );
        assert_eq!(redirected.unwrap(), Redirected::Gone);
        drop(near);
        assert!(guest.join().unwrap(), "the guest was not told");
        let expected = [
            HostState::Attached,
            HostState::Detaching,
            HostState::Empty,
            HostState::Over,
        ];
        assert!(
            expected.starts_with(&states) && states.len() > 2,
            "{states:?}"
        );
    }

    /// Gives nothing back.
    struct Silent {
        waits_in_close: bool,
        is_reset: bool,
    }

    impl Function for Silent {
        fn submit(&mut self, _: Transfer) {}
        fn cancel(&mut self, _: TransferId) {}
        fn reset(&mut self) {
            self.is_reset = true;
        }
        fn poll(&mut self) -> Option<FunctionEvent> {
            None
        }
    }

    impl Local for Silent {
        fn waits_in_close(&self) -> bool {
            self.waits_in_close
        }
    }

    #[test]
    fn a_guest_that_has_gone_is_left_by_a_device_that_waits_elsewhere() {
        for waits_in_close in [true, false] {
            let (mut near, far) = Stream::pair().unwrap();
            let keyboard = Keyboard::new(DeviceOptions::new(Speed::High)).unwrap();
            let mut host = Host::new(Options::default());
            host.attach(keyboard.descriptors().clone()).unwrap();
            let (done, ended) = mpsc::channel();
            let stop = AtomicBool::new(false);
            thread::spawn(move || {
                let (sleeper, is_reset) = (Sleeper::new(), false);
                let mut silent = Silent {
                    waits_in_close,
                    is_reset,
                };
                let left = redirect(&mut near, &sleeper, &mut host, &mut silent, &stop, |_| {});
                let _ = done.send((left.unwrap(), host.pending(), silent.is_reset));
            });
            let mut stream = Stream::new(far).unwrap();
            let mut guest = take_device(&mut stream, Options::default(), None).unwrap();
            let ask = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, 8, 0]);
            guest.submit(Transfer::control_in(TransferId::from_u64(1), ask));
            while stream.turn(&mut guest) {}
            drop(stream);
            if waits_in_close {
                let left = ended.recv_timeout(Duration::from_secs(30)).unwrap();
                assert_eq!(left, (Redirected::Left, 1, true));
            } else {
                let waits = ended.recv_timeout(Duration::from_millis(300));
                assert!(waits.is_err(), "{waits:?}");
            }
        }
    }
}
