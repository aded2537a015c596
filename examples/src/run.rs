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
    serve(stream, sleeper, frontend, function, true)
}

/// Likewise, until the peer is gone. What the function has then was cancelled, and whoever has the
/// function waits for that for as long as is right.
///
/// # Errors
/// As of [`run`].
pub fn run_until_left<F: Wire + Frontend>(
    stream: &mut Stream,
    sleeper: &Sleeper,
    frontend: &mut F,
    function: &mut impl Function,
) -> Result<(), StreamError<F::Error>> {
    serve(stream, sleeper, frontend, function, false)
}

fn serve<F: Wire + Frontend>(
    stream: &mut Stream,
    sleeper: &Sleeper,
    frontend: &mut F,
    function: &mut impl Function,
    until_all_is_back: bool,
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
        if stream.finished() && !until_all_is_back {
            // It hears that the peer is gone.
            exchange(frontend, function);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use usb_descriptors::{SetupPacket, Speed};
    use usb_transfer::{FunctionEvent, Transfer, TransferId};
    use usbip_proto::server::Session;
    use usbip_proto::{DeviceId, Limits};

    use super::*;

    /// Gives nothing back.
    #[derive(Default)]
    struct Silent {
        submitted: usize,
        is_reset: bool,
    }

    impl Function for Silent {
        fn submit(&mut self, _: Transfer) {
            self.submitted += 1;
        }
        fn cancel(&mut self, _: TransferId) {}
        fn reset(&mut self) {
            self.is_reset = true;
        }
        fn poll(&mut self) -> Option<FunctionEvent> {
            None
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_left_whatever_the_device_has() {
        let (mut near, far) = Stream::pair().unwrap();
        let id = DeviceId::new(1, 2);
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut session = Session::new(id, Speed::High, Limits::default());
            let mut silent = Silent::default();
            let served = run_until_left(&mut near, &Sleeper::new(), &mut session, &mut silent);
            let _ = done.send((served.is_ok(), silent.submitted, silent.is_reset));
        });
        // CMD_SUBMIT of a control transfer (kernel's Documentation/usb/usbip_protocol.rst).
        let setup = SetupPacket::from_bytes([0xc0, 1, 0, 0, 0, 0, 8, 0]);
        let mut command = Vec::new();
        for word in [1, 1, id.to_u32(), 1, 0, 0, 8, 0, 0xffff_ffff, 0] {
            command.extend(u32::to_be_bytes(word));
        }
        command.extend(setup.to_bytes());
        rustix::io::write(&far, &command).unwrap();
        drop(far);
        let left = ended.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(left, (true, 1, true));
    }
}
