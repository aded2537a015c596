//! The host's side: a disk behind any function, by either transport.

mod initiator;
mod queue;
mod transport;
mod unit;

pub use initiator::Initiator;
pub use unit::{NoMassStorage, ScsiError, Ticket, Unit};

pub(crate) use transport::{DataPhase, End, Event, Place, Transport};
