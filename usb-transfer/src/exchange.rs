//! The join of any frontend with any function.

use crate::{Frontend, Function, FunctionEvent, HostEvent};

/// Carries transfers and completions between a frontend and a function until both are quiet.
///
/// Completions go first, so that what a reset or a new configuration cancelled is reported before
/// anything new is asked.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_transfer::{Enumerator, exchange};
/// # use std::collections::VecDeque;
/// # use usb_transfer::*;
/// # struct Brick(VecDeque<FunctionEvent>);
/// # impl Function for Brick {
/// #     fn submit(&mut self, transfer: Transfer) {
/// #         self.0.push_back(FunctionEvent::Complete(transfer.stall()));
/// #     }
/// #     fn cancel(&mut self, _id: TransferId) {}
/// #     fn reset(&mut self) {}
/// #     fn poll(&mut self) -> Option<FunctionEvent> { self.0.pop_front() }
/// # }
/// # let mut device = Brick(VecDeque::new());
/// let mut enumerator = Enumerator::new(Speed::High);
/// exchange(&mut enumerator, &mut device);
/// assert_eq!(enumerator.result(), Some(Err(usb_transfer::Status::STALL)));
/// ```
pub fn exchange(frontend: &mut (impl Frontend + ?Sized), function: &mut (impl Function + ?Sized)) {
    loop {
        match function.poll() {
            Some(FunctionEvent::Complete(completion)) => {
                frontend.complete(completion);
                continue;
            }
            Some(FunctionEvent::Detached) => {
                frontend.detach();
                continue;
            }
            None => {}
        }
        match frontend.poll() {
            Some(HostEvent::Submit(transfer)) => function.submit(transfer),
            Some(HostEvent::Cancel(id)) => function.cancel(id),
            Some(HostEvent::Reset) => function.reset(),
            None => return,
        }
    }
}
