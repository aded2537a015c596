//! The loop of a usbredir host: a device, given to a guest until one of them has enough.

use std::sync::atomic::{AtomicBool, Ordering};

use usb_transfer::{Frontend, Function, Wire, exchange};
use usbredir_proto::{Host, HostState, ProtocolError};

use crate::run::tick;
use crate::{Sleeper, Stream, StreamError};

/// What became of a device that was given to a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redirected {
    /// The guest has left.
    Left,
    /// The guest does not want the device. The connection is closed.
    Rejected,
    /// It was told to stop; the guest knows that the device is gone.
    Stopped,
}

/// Gives the device that `host` was attached to a guest, until the guest leaves or rejects it, or
/// until `stop` is set and the sleeper woken; then the guest is told, and may acknowledge. `watch`
/// is called with each new state.
///
/// # Errors
/// The guest broke the protocol, or the connection failed. Everything was given back all the same.
pub fn redirect(
    stream: &mut Stream,
    sleeper: &Sleeper,
    host: &mut Host,
    function: &mut impl Function,
    stop: &AtomicBool,
    mut watch: impl FnMut(&Host),
) -> Result<Redirected, StreamError<ProtocolError>> {
    let mut state = HostState::Greeting;
    let mut outcome = Redirected::Left;
    loop {
        tick(sleeper, function);
        exchange(host, function);
        if outcome == Redirected::Left && stop.load(Ordering::Acquire) {
            outcome = Redirected::Stopped;
            host.detach();
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
        }
        if again {
            continue;
        }
        if stream.finished() && host.pending() == 0 {
            stream.result(host)?;
            return Ok(outcome);
        }
        let is_told =
            matches!(state, HostState::Greeting | HostState::Empty) && host.tx().is_empty();
        if outcome == Redirected::Stopped && is_told {
            host.end();
            continue;
        }
        sleeper.sleep([&mut *stream], function.next_frame())?;
    }
}
