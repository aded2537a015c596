//! The loop that serves every frontend, function and wire.

use usb_transfer::{Frame, Frontend, Function, Wire, exchange};

use crate::{Sleeper, Stream, StreamError};

/// Serves one frontend that is the end of a wire, such as a USB/IP session, with one function,
/// until the peer is gone and the function has given everything back.
///
/// # Errors
/// The peer broke the protocol, or the connection failed. Everything was given back all the same.
pub fn run<F: Wire + Frontend>(
    stream: &mut Stream,
    sleeper: &Sleeper,
    frontend: &mut F,
    function: &mut impl Function,
) -> Result<(), StreamError<F::Error>> {
    let mut exchange_first = true;
    let mut was_busy = false;
    loop {
        if exchange_first {
            tick(sleeper, function);
            exchange(frontend, function);
        }
        exchange_first = true;
        if stream.turn(frontend) {
            continue;
        }
        if stream.finished() && frontend.pending() == 0 {
            break;
        }
        let mut until = function.next_frame();
        // What is to be done at once is mostly done in one round, without a look at socket and
        // clock. A function that goes on for longer hears of both all the same.
        let is_busy = until == Some(Frame::ZERO);
        if is_busy && was_busy {
            let now = sleeper.now();
            function.start_of_frame(now);
            until = Some(now);
        }
        was_busy = is_busy;
        if !sleeper.sleep([&mut *stream], until)? {
            break;
        }
        // Where nobody but the peer can bring news, it must be looked at before.
        exchange_first = until.is_some() || sleeper.has_waker();
    }
    stream.result(frontend)
}

/// Tells the time to a function that asks for it; [`Frame::ZERO`] asks at first only not to sleep.
pub(crate) fn tick(sleeper: &Sleeper, function: &mut (impl Function + ?Sized)) {
    if function
        .next_frame()
        .is_some_and(|frame| frame != Frame::ZERO)
    {
        function.start_of_frame(sleeper.now());
    }
}
