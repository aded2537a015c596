//! A mouse.

use super::base::{Hid, Model, function};
use super::usage::Buttons;
use crate::{DeviceError, DeviceOptions};

/// A mouse with five buttons and a wheel, which also speaks the boot protocol (HID 1.11, appendix
/// B.2).
///
/// Motion that the host has not asked for yet is added up; each change of a button is told by
/// itself. A reset or a new configuration releases all buttons and drops what was not told.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{Buttons, DeviceOptions, Mouse};
/// use usb_transfer::{Function, FunctionEvent, Transfer, TransferIds};
///
/// let mut mouse = Mouse::new(DeviceOptions::new(Speed::Full))?;
/// let mut ids = TransferIds::default();
/// mouse.submit(Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1)));
/// mouse.poll();
/// mouse.move_by(3, 0, 0);
/// mouse.move_by(2, -1, 0);
/// mouse.set_buttons(Buttons::LEFT);
/// mouse.submit(Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 8));
/// let Some(FunctionEvent::Complete(report)) = mouse.poll() else { panic!() };
/// assert_eq!(report.actual, usb_transfer::Actual::In(vec![0, 5, 0xff, 0].into()));
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct Mouse {
    hid: Hid,
    buttons: u8,
}

/// HID 1.11, appendix B.2 and E.10, with five buttons and a wheel.
#[rustfmt::skip]
static REPORT_DESCRIPTOR: [u8; 52] = [
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, // generic desktop, mouse: application
    0x09, 0x01, 0xa1, 0x00, // pointer: physical
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, // buttons 1 to 5, 0 to 1
    0x95, 0x05, 0x75, 0x01, 0x81, 0x02, // 5 bits
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01, // 3 bits of padding
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, // x, y, wheel
    0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06, // 3 bytes, -127 to 127, relative
    0xc0, 0xc0,
];

static MODEL: Model = Model {
    product: "USB Mouse",
    boot: Some(2),
    report_descriptor: &REPORT_DESCRIPTOR,
    length: 4,
    boot_length: 3,
    // Indefinite, as HID 1.11, 7.2.4, recommends for mice.
    idle: 0,
    has_output: false,
    state: [0xff, 0, 0, 0, 0, 0, 0, 0],
};

impl Mouse {
    /// A mouse with all buttons up.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        Ok(Self {
            hid: Hid::new(options, &MODEL)?,
            buttons: 0,
        })
    }

    /// Moves it: to the right, down, and its wheel away from the user, in counts. Motion that there
    /// is no [room](Self::room) for is dropped.
    pub fn move_by(&mut self, right: i32, down: i32, wheel: i32) {
        let mut left = [right, down, wheel];
        let buttons = self.buttons;
        if let Some([_, motion @ .., _, _, _, _]) = self.hid.last_motion() {
            for (moved, left) in motion.iter_mut().zip(&mut left) {
                let already = i32::from(i8::from_le_bytes([*moved]));
                let sum = already.saturating_add(*left).clamp(-127, 127);
                *left = left.saturating_sub(sum.saturating_sub(already));
                *moved = to_byte(sum);
            }
        }
        while left != [0; 3] && self.hid.room() > 0 {
            let [x, y, z] = left.each_mut().map(|left| {
                let step = (*left).clamp(-127, 127);
                *left = left.saturating_sub(step);
                to_byte(step)
            });
            self.hid.push_motion([buttons, x, y, z, 0, 0, 0, 0]);
        }
    }

    /// Reports that may be added before the host has asked for any. A change of the buttons is one
    /// report, motion is one for each 127 counts. Without room a change of the buttons takes the
    /// place of what was to be told last.
    #[must_use]
    pub fn room(&self) -> usize {
        self.hid.room()
    }

    /// Says which buttons are down.
    pub fn set_buttons(&mut self, buttons: Buttons) {
        if self.buttons != buttons.known() {
            self.buttons = buttons.known();
            self.hid.push([self.buttons, 0, 0, 0, 0, 0, 0, 0]);
        }
    }

    fn forget(&mut self) {
        self.buttons = 0;
    }
}

/// A number that was clamped to a byte.
fn to_byte(step: i32) -> u8 {
    let [low, ..] = step.to_le_bytes();
    low
}

function!(Mouse);
