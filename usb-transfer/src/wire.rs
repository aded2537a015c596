//! What every machine on a byte stream has in common.

use alloc::boxed::Box;
use core::num::NonZeroUsize;

use bytes::BytesMut;

use crate::TxQueue;

/// What a [`Wire`] wants after it has looked at the received bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a step says whether to exchange, to read, to write or to stop"]
#[expect(clippy::exhaustive_enums, reason = "a loop must handle both")]
pub enum Step {
    /// Something happened: poll the machine (or [`exchange`](crate::exchange)), then receive
    /// again.
    Ready,
    /// Nothing more is to be had from the received bytes.
    Io(Wants),
}

/// What a [`Wire`] wants of its byte stream. Neither reading nor writing: it is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "both halves of a stream")]
pub struct Wants {
    /// Bytes that are missing at least; the receive buffer has room for them and often for more.
    /// `None`: do not read now, because too much is waiting to be written, or never again.
    pub read: Option<NonZeroUsize>,
    /// Whether [`Wire::tx`] holds bytes to write.
    pub write: bool,
}

impl Wants {
    /// Whether the machine wants nothing of its stream any more.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        self.read.is_none() && !self.write
    }
}

/// A machine on a byte stream, in either role. `&mut W` and `Box<W>` are wires too.
///
/// The caller owns the receive buffer. The machine takes whole messages from its front and
/// reserves room at its end. However the input is cut, the same happens.
///
/// An adapter loops: receive; on [`Step::Ready`] act and receive again; else write what
/// [`tx`](Self::tx) holds, read into `rx`'s spare room, and receive again.
///
/// An error is an end like that of the stream, and has its last events too: a
/// [`Frontend`](crate::Frontend)'s reset, by which a disk is flushed, or a
/// [`Function`](crate::Function)'s completions. After it the adapter acts once more,
/// writes what is queued, and stops when [`tx`](Self::tx) is empty.
pub trait Wire {
    /// Why the peer was given up.
    type Error;

    /// Takes the next whole message from the front of `rx`, if there is one.
    ///
    /// # Errors
    /// The peer broke the protocol. The error is sticky: each further call gives it again.
    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, Self::Error>;

    /// What is to be written.
    fn tx(&mut self) -> &mut TxQueue;

    /// The stream has ended: end of file, an error, or the embedder's decision. Bytes left in
    /// `rx` were a truncated message.
    fn end(&mut self);
}

impl<W: Wire + ?Sized> Wire for &mut W {
    type Error = W::Error;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, Self::Error> {
        (**self).receive(rx)
    }
    fn tx(&mut self) -> &mut TxQueue {
        (**self).tx()
    }
    fn end(&mut self) {
        (**self).end();
    }
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    type Error = W::Error;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, Self::Error> {
        (**self).receive(rx)
    }
    fn tx(&mut self) -> &mut TxQueue {
        (**self).tx()
    }
    fn end(&mut self) {
        (**self).end();
    }
}
