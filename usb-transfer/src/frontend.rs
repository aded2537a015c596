//! The side that uses a device.

use alloc::boxed::Box;

use crate::{Completion, Transfer, TransferId};

/// What the user of a device wants of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HostEvent {
    /// A new transfer.
    Submit(Transfer),
    /// A transfer should end early.
    Cancel(TransferId),
    /// The bus was reset, or the user is gone.
    Reset,
}

/// The side that uses a device: the server end of a wire, or a class driver in userspace.
///
/// Its part of the contract:
///
/// * Every [`Transfer`] has an id of its own, never reused.
/// * Where cancel meets completion, `complete` decides: a completion with
///   [`Status::CANCELLED`](crate::Status::CANCELLED) was unlinked, any other is the real result.
/// * It cuts IN data that is longer than asked
///   ([`Status::OVERFLOW`](crate::Status::OVERFLOW)), applies
///   [`Flags::short_not_ok`](crate::Flags::short_not_ok), and answers a control transfer whose
///   setup packet and payload disagree itself.
/// * However it ends, [`HostEvent::Reset`] is its last event. When then
///   [`pending`](Self::pending) is 0, the function is free for another frontend.
///
/// ```
/// use usb_transfer::{Completion, Frontend, HostEvent, Transfer, TransferIds};
/// use usb_descriptors::SetupPacket;
///
/// /// Asks for the device descriptor, once.
/// #[derive(Default)]
/// struct Ask { ids: TransferIds, asked: bool, answer: Option<Completion> }
///
/// impl Frontend for Ask {
///     fn poll(&mut self) -> Option<HostEvent> {
///         let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
///         let first = !std::mem::replace(&mut self.asked, true);
///         first.then(|| HostEvent::Submit(Transfer::control_in(self.ids.mint(), setup)))
///     }
///     fn complete(&mut self, completion: Completion) {
///         self.answer = Some(completion);
///     }
///     fn detach(&mut self) {}
///     fn pending(&self) -> usize {
///         usize::from(self.asked && self.answer.is_none())
///     }
/// }
/// ```
pub trait Frontend {
    /// What to do next; `None` for now.
    fn poll(&mut self) -> Option<HostEvent>;

    /// Takes the completion of a transfer. One for a transfer that is not pending is ignored.
    fn complete(&mut self, completion: Completion);

    /// The device is gone: tells the peer.
    fn detach(&mut self);

    /// How many transfers are out at the function.
    fn pending(&self) -> usize;
}

impl<F: Frontend + ?Sized> Frontend for &mut F {
    fn poll(&mut self) -> Option<HostEvent> {
        (**self).poll()
    }
    fn complete(&mut self, completion: Completion) {
        (**self).complete(completion);
    }
    fn detach(&mut self) {
        (**self).detach();
    }
    fn pending(&self) -> usize {
        (**self).pending()
    }
}

impl<F: Frontend + ?Sized> Frontend for Box<F> {
    fn poll(&mut self) -> Option<HostEvent> {
        (**self).poll()
    }
    fn complete(&mut self, completion: Completion) {
        (**self).complete(completion);
    }
    fn detach(&mut self) {
        (**self).detach();
    }
    fn pending(&self) -> usize {
        (**self).pending()
    }
}
