//! The side that answers transfers.

use alloc::boxed::Box;

use crate::{Completion, Transfer, TransferId};

/// A point in USB's own time: microframes of 125 µs since some start (USB 2.0, 8.4.3.1). The
/// adapter owns the clock; frames it reports never go back and may skip.
///
/// ```
/// use usb_transfer::Frame;
/// let start = Frame(8);
/// assert_eq!(start.microseconds(), 1000);
/// ```
#[doc(alias = "microframe")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Frame(pub u64);

impl Frame {
    /// The start of time: as an answer of [`Function::next_frame`], "at once".
    pub const ZERO: Self = Self(0);

    /// Microseconds since frame 0.
    #[must_use]
    pub const fn microseconds(self) -> u64 {
        self.0.saturating_mul(125)
    }
}

/// What a function has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FunctionEvent {
    /// A transfer is done.
    Complete(Completion),
    /// The device is gone. All its transfers were completed before; what is submitted afterwards
    /// is answered with [`Status::DISCONNECTED`](crate::Status::DISCONNECTED).
    Detached,
}

/// The side that answers transfers: a simulated device, a real one, or one at the far end of a
/// wire.
///
/// A function serves one frontend at a time. Its part of the contract:
///
/// * Every transfer is completed exactly once, cancelled or not, those of one endpoint (and
///   stream) in the order of their submission.
/// * The completion of an isochronous transfer has the transfer's packets, each with what was moved
///   and how it ended: [`Transfer::complete_packets`], or [`Transfer::fail`] for all at once.
/// * An endpoint or request that does not exist is answered with
///   [`Status::STALL`](crate::Status::STALL).
/// * SET_CONFIGURATION, SET_INTERFACE and [`reset`](Self::reset) first complete what they stop,
///   with [`Status::CANCELLED`](crate::Status::CANCELLED), then themselves.
/// * A function that can finish something by itself, between two calls, is built with a
///   [`Waker`](core::task::Waker), or asks for the time by [`next_frame`](Self::next_frame).
///
/// ```
/// use std::collections::VecDeque;
/// use usb_transfer::{Function, FunctionEvent, Transfer, TransferId};
///
/// /// Stalls all it is asked.
/// #[derive(Default)]
/// struct Brick(VecDeque<FunctionEvent>);
///
/// impl Function for Brick {
///     fn submit(&mut self, transfer: Transfer) {
///         self.0.push_back(FunctionEvent::Complete(transfer.stall()));
///     }
///     fn cancel(&mut self, _id: TransferId) {} // what was submitted is complete already
///     fn reset(&mut self) {}
///     fn poll(&mut self) -> Option<FunctionEvent> {
///         self.0.pop_front()
///     }
/// }
/// ```
pub trait Function {
    /// Takes a transfer; its completion comes by [`poll`](Self::poll).
    fn submit(&mut self, transfer: Transfer);

    /// Asks to end a transfer early. Its one completion still comes: with
    /// [`Status::CANCELLED`](crate::Status::CANCELLED), or as it really ended. An id that is not
    /// pending is ignored.
    fn cancel(&mut self, id: TransferId);

    /// The bus was reset, or the host has gone: completes what is pending as cancelled and goes
    /// back to the unconfigured state. A function that must wait for that, such as one at the far
    /// end of a wire, completes it later; what is submitted meanwhile comes after the reset.
    fn reset(&mut self);

    /// What there is to tell, in order; `None` for now.
    fn poll(&mut self) -> Option<FunctionEvent>;

    /// Tells the time. Called before [`poll`](Self::poll) for functions that ask for it.
    fn start_of_frame(&mut self, _now: Frame) {}

    /// When `start_of_frame` and `poll` should be called though nothing else happens. `None`: no
    /// need of a clock. A frame in the past: as soon as what is queued on the wire has been
    /// handed to it, such as [`Frame::ZERO`] of a function with work to do meanwhile.
    fn next_frame(&self) -> Option<Frame> {
        None
    }
}

impl<F: Function + ?Sized> Function for &mut F {
    fn submit(&mut self, transfer: Transfer) {
        (**self).submit(transfer);
    }
    fn cancel(&mut self, id: TransferId) {
        (**self).cancel(id);
    }
    fn reset(&mut self) {
        (**self).reset();
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        (**self).poll()
    }
    fn start_of_frame(&mut self, now: Frame) {
        (**self).start_of_frame(now);
    }
    fn next_frame(&self) -> Option<Frame> {
        (**self).next_frame()
    }
}

impl<F: Function + ?Sized> Function for Box<F> {
    fn submit(&mut self, transfer: Transfer) {
        (**self).submit(transfer);
    }
    fn cancel(&mut self, id: TransferId) {
        (**self).cancel(id);
    }
    fn reset(&mut self) {
        (**self).reset();
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        (**self).poll()
    }
    fn start_of_frame(&mut self, now: Frame) {
        (**self).start_of_frame(now);
    }
    fn next_frame(&self) -> Option<Frame> {
        (**self).next_frame()
    }
}
