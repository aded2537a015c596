//! What both ends of a session have in common: how bytes are taken, and how it ends.

use core::num::NonZeroUsize;

use bytes::{Buf, BytesMut};
use usb_transfer::{ReadAhead, Step, TxQueue, Wants};

use crate::ProtocolError;
use crate::wire::urb::Header;

/// One end of a session.
pub(crate) trait End {
    fn io(&mut self) -> &mut Io;

    /// Whether something waits to be polled, beside the end.
    fn has_event(&self) -> bool;

    /// Takes the message at the front of `rx`, if it is all there.
    fn message(&mut self, rx: &mut BytesMut) -> Result<Message, ProtocolError>;

    /// The session is over, for the first time.
    fn over(&mut self) {}
}

/// What the bytes at the front are.
#[derive(Debug)]
pub(crate) enum Message {
    /// Dealt with.
    Taken,
    /// Incomplete; so many bytes are missing.
    Missing(NonZeroUsize),
}

impl Message {
    /// Whether a message of `total` bytes is all there.
    pub(crate) fn of_length(total: usize, rx: &BytesMut) -> Self {
        NonZeroUsize::new(total.saturating_sub(rx.len())).map_or(Self::Taken, Self::Missing)
    }
}

/// The stream's side of a session.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) tx: TxQueue,
    pub(crate) read_ahead: ReadAhead,
    /// Bytes queued for writing at which reading stops.
    tx_high_water: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// Nothing more is read; the last event may still be due.
    Over {
        error: Option<ProtocolError>,
        is_told: bool,
    },
}

impl Io {
    pub(crate) fn new(tx: TxQueue, tx_high_water: usize) -> Self {
        Self {
            tx,
            read_ahead: ReadAhead::default(),
            // A queue with nothing in it is never full, or nothing would ever be read.
            tx_high_water: tx_high_water.max(1),
            state: State::Open,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether the last event is due; asked once.
    pub(crate) fn tells_end(&mut self) -> bool {
        match &mut self.state {
            State::Over { is_told, .. } => !core::mem::replace(is_told, true),
            State::Open => false,
        }
    }

    fn wants(&self, read: Option<NonZeroUsize>) -> Step {
        let write = !self.tx.is_empty();
        Step::Io(Wants { read, write })
    }
}

/// [`Wire::receive`](usb_transfer::Wire::receive) of either end.
pub(crate) fn receive(end: &mut impl End, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
    loop {
        let has_event = end.has_event();
        let io = end.io();
        if let State::Over { error, is_told } = &io.state {
            return match error {
                Some(error) => Err(error.clone()),
                None if has_event || !is_told => Ok(Step::Ready),
                None => Ok(io.wants(None)),
            };
        }
        if has_event {
            return Ok(Step::Ready);
        }
        if io.tx.remaining() >= io.tx_high_water {
            return Ok(io.wants(None));
        }
        match end.message(rx) {
            Ok(Message::Taken) => {}
            Ok(Message::Missing(missing)) => {
                let io = end.io();
                io.read_ahead.make_room(rx, Header::LENGTH, missing);
                return Ok(io.wants(Some(missing)));
            }
            Err(error) => {
                finish(end, Some(error.clone()));
                return Err(error);
            }
        }
    }
}

/// Ends a session; what is queued can still be written.
pub(crate) fn finish(end: &mut impl End, error: Option<ProtocolError>) {
    if end.io().is_open() {
        end.over();
        end.io().state = State::Over {
            error,
            is_told: false,
        };
    }
}
