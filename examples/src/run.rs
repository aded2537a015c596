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
        let until = function.next_frame();
        if !sleeper.sleep([&mut *stream], until)? {
            break;
        }
        // Where nobody but the peer can bring news, it must be looked at before.
        exchange_first = until.is_some() || sleeper.has_waker();
    }
    stream.result(frontend)
}

/// Tells the time to a function that asks for it; [`Frame::ZERO`] asks only not to sleep.
pub(crate) fn tick(sleeper: &Sleeper, function: &mut (impl Function + ?Sized)) {
    if function
        .next_frame()
        .is_some_and(|frame| frame != Frame::ZERO)
    {
        function.start_of_frame(sleeper.now());
    }
}
