//! A pointer that says where it is.

use super::base::{Hid, Model, Report, function};
use super::usage::Buttons;
use crate::{DeviceError, DeviceOptions};

/// A pointing device with absolute coordinates, five buttons and a wheel: the pointer of a remote
/// desktop, which is where its user's pointer is.
///
/// Of positions that the host has not asked for, only the last of each state of the buttons is
/// told. A reset or a new configuration releases all buttons and drops what was not told.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{Buttons, DeviceOptions, Tablet};
/// use usb_transfer::{Function, FunctionEvent, Transfer, TransferIds};
///
/// let mut tablet = Tablet::new(DeviceOptions::new(Speed::High))?;
/// let mut ids = TransferIds::default();
/// tablet.submit(Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1)));
/// tablet.poll();
/// tablet.move_to(0, Tablet::MAX);
/// tablet.submit(Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 8));
/// let Some(FunctionEvent::Complete(report)) = tablet.poll() else { panic!() };
/// assert_eq!(report.actual, usb_transfer::Actual::In(vec![0, 0, 0, 0xff, 0x7f, 0].into()));
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct Tablet {
    hid: Hid,
    buttons: u8,
    x: u16,
    y: u16,
}

#[rustfmt::skip]
static REPORT_DESCRIPTOR: [u8; 72] = [
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, // generic desktop, mouse: application
    0x09, 0x01, 0xa1, 0x00, // pointer: physical
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, // buttons 1 to 5, 0 to 1
    0x95, 0x05, 0x75, 0x01, 0x81, 0x02, // 5 bits
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01, // 3 bits of padding
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, // x, y
    0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, // 0 to 32767
    0x75, 0x10, 0x95, 0x02, 0x81, 0x02, // 2 words, absolute
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00, // wheel, -127 to 127
    0x75, 0x08, 0x95, 0x01, 0x81, 0x06, // a byte, relative
    0xc0, 0xc0,
];

static MODEL: Model = Model {
    product: "USB Tablet",
    boot: None,
    report_descriptor: &REPORT_DESCRIPTOR,
    length: 6,
    boot_length: 6,
    idle: 0,
    has_output: false,
    state: [0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0],
};

impl Tablet {
    /// The largest coordinate, at the right or lower edge.
    pub const MAX: u16 = 0x7fff;

    /// A tablet whose pointer is in the upper left corner.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        Ok(Self {
            hid: Hid::new(options, &MODEL)?,
            buttons: 0,
            x: 0,
            y: 0,
        })
    }

    /// Moves the pointer, from the upper left corner on in parts of [`MAX`](Self::MAX); what is
    /// beyond is at the edge. Without [room](Self::room) the next report tells of it.
    pub fn move_to(&mut self, x: u16, y: u16) {
        (self.x, self.y) = (x.min(Self::MAX), y.min(Self::MAX));
        let report = self.report(0);
        match self.hid.last_motion() {
            Some(last) => *last = report,
            None => self.hid.push_motion(report),
        }
    }

    /// Turns the wheel away from the user, in counts, which are dropped where there is no
    /// [room](Self::room).
    pub fn scroll(&mut self, mut wheel: i32) {
        while wheel != 0 && self.hid.room() > 0 {
            let step = wheel.clamp(-127, 127);
            wheel = wheel.saturating_sub(step);
            let [step, ..] = step.to_le_bytes();
            self.hid.push(self.report(step));
        }
    }

    /// Reports that may be added before the host has asked for any. A position is one report, and
    /// so is a change of the buttons; the wheel has one for each 127 counts. Without room a change
    /// of the buttons takes the place of what was to be told last.
    #[must_use]
    pub fn room(&self) -> usize {
        self.hid.room()
    }

    /// Says which buttons are down.
    pub fn set_buttons(&mut self, buttons: Buttons) {
        if self.buttons != buttons.known() {
            self.buttons = buttons.known();
            self.hid.push(self.report(0));
        }
    }

    fn report(&self, wheel: u8) -> Report {
        let [x0, x1] = self.x.to_le_bytes();
        let [y0, y1] = self.y.to_le_bytes();
        [self.buttons, x0, x1, y0, y1, wheel, 0, 0]
    }

    fn forget(&mut self) {
        self.buttons = 0;
    }
}

function!(Tablet);
