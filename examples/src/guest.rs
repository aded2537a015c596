//! The start of a usbredir connection, at the guest.

use std::io;
use std::time::Duration;

use thiserror::Error;
use usb_transfer::Function;
use usbredir_proto::filter::Rules;
use usbredir_proto::{Guest, GuestState, MisuseError, Options, ProtocolError};

use crate::offer::wait;
use crate::{Sleeper, Stream, StreamError};

/// Why a usbredir host gave no device.
#[derive(Debug, Error)]
pub enum GuestError {
    /// It has one that the rules do not allow.
    #[error("the rules do not allow its device")]
    Rejected,
    /// It has left.
    #[error("the host closed the connection")]
    Closed,
    /// The rules are too many to be told.
    #[error("filter: {0}")]
    Rules(#[from] MisuseError),
    /// It broke the protocol or took too long, or the connection failed.
    #[error(transparent)]
    Stream(#[from] StreamError<ProtocolError>),
}

impl From<io::Error> for GuestError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.into())
    }
}

/// How long a host may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Greets the usbredir host at the far end with these options, waits for its device, and takes it if
/// the rules allow it; without rules, any.
///
/// # Errors
/// [`GuestError`] says why there is none.
pub fn take_device(
    stream: &mut Stream,
    options: Options,
    rules: Option<Rules>,
) -> Result<Guest, GuestError> {
    let sleeper = Sleeper::new();
    let until = sleeper.after(PATIENCE);
    let mut guest = Guest::new(options);
    if let Some(rules) = rules {
        guest = guest.with_filter(rules)?;
    }
    loop {
        if guest.state() == GuestState::Attached {
            return Ok(guest);
        }
        // Of a device that left at once.
        while guest.poll().is_some() {}
        if stream.turn(&mut guest) {
            continue;
        }
        if guest.state() == GuestState::Rejected {
            return Err(GuestError::Rejected);
        }
        if stream.finished() {
            stream.result(&mut guest)?;
            return Err(GuestError::Closed);
        }
        wait(stream, &sleeper, Some(until))?;
    }
}
