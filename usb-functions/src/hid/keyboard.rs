//! A keyboard that firmware understands.

use super::base::{Hid, Model, Report, function};
use super::layout::{KeyboardLayout, Stroke, TypingError};
use super::usage::{Leds, Modifiers, Usage};
use crate::{DeviceError, DeviceOptions};

/// A keyboard with the boot protocol's reports (HID 1.11, appendix B.1), which firmware reads
/// without a look at the report descriptor, and every system after that.
///
/// * Reports wait until the host asks, one for each interval of the endpoint, so that no queue of
///   the host is flooded; the host's transfers wait until there is a report, or until the idle
///   rate that the host has set is over.
/// * Rollover: six keys and the modifiers. With more, all six places say "roll over" and the
///   modifiers stay right (HID 1.11, appendix C), which every host takes for "no news". Reports for
///   any number of keys would not be the boot protocol's, and neither a typist nor a remote desktop
///   needs them.
/// * A reset or a new configuration releases all keys and drops what was not told, for it was
///   meant for the host that is gone. What was typed before a host came is kept for the first.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{DeviceOptions, Keyboard, KeyboardLayout};
/// use usb_transfer::{Function, FunctionEvent, Transfer, TransferIds};
///
/// let mut keyboard = Keyboard::new(DeviceOptions::new(Speed::High))?;
/// let mut ids = TransferIds::default();
/// let configure = SetupPacket::set_configuration(1);
/// keyboard.submit(Transfer::control_in(ids.mint(), configure));
/// keyboard.poll();
///
/// let reports = EndpointAddress::from_byte(0x81);
/// keyboard.submit(Transfer::data_in(ids.mint(), reports, 8));
/// assert_eq!(keyboard.poll(), None); // it waits
/// keyboard.type_text("A", KeyboardLayout::US)?;
/// let Some(FunctionEvent::Complete(report)) = keyboard.poll() else { panic!() };
/// assert_eq!(report.actual, usb_transfer::Actual::In(vec![2, 0, 4, 0, 0, 0, 0, 0].into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Keyboard {
    hid: Hid,
    /// Keys that are held, in the order in which they were pressed, and those beyond the places.
    held: [Usage; HELD],
    count: usize,
    modifiers: Modifiers,
}

/// What a keyboard has to tell its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyboardEvent {
    /// The host has set the lights, perhaps to what they were.
    Leds(Leds),
    /// A host [is ready](Keyboard::is_ready): what is typed from now on arrives. Told to each host
    /// that configures the keyboard and asks for its keys.
    Ready,
}

/// Places of a report for keys.
const PLACES: usize = 6;
/// Keys that are remembered as held; whoever holds more has no hands.
const HELD: usize = 32;

/// HID 1.11, appendix B.1, with all usages instead of the first 101.
#[rustfmt::skip]
static REPORT_DESCRIPTOR: [u8; 65] = [
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, // generic desktop, keyboard: application
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, // key codes, modifiers, 0 to 1
    0x75, 0x01, 0x95, 0x08, 0x81, 0x02, // 8 bits
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01, // a reserved byte
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, // 5 LEDs
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01, // 3 bits of padding
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, // 6 bytes, 0 to 255
    0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, 0x81, 0x00, // key codes: an array
    0xc0,
];

static MODEL: Model = Model {
    product: "USB Keyboard",
    boot: Some(1),
    report_descriptor: &REPORT_DESCRIPTOR,
    length: 8,
    boot_length: 8,
    // 500 ms, as HID 1.11, 7.2.4, recommends for keyboards.
    idle: 125,
    has_output: true,
    state: [0xff; 8],
};

impl Keyboard {
    /// A keyboard with all keys up.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        Ok(Self {
            hid: Hid::new(options, &MODEL)?,
            held: [Usage(0); HELD],
            count: 0,
            modifiers: Modifiers::NONE,
        })
    }

    /// Presses a key and holds it. One that is held, or no key, changes nothing.
    pub fn press(&mut self, usage: Usage) {
        if usage.is_modifier() {
            self.modifiers |= usage.modifier();
        } else if usage.is_key() && !self.held().contains(&usage) {
            let Some(place) = self.held.get_mut(self.count) else {
                return;
            };
            *place = usage;
            self.count = self.count.saturating_add(1);
        }
        self.tell();
    }

    /// Releases a key. One that is not held changes nothing.
    pub fn release(&mut self, usage: Usage) {
        self.modifiers.0 &= !usage.modifier().0;
        if let Some(at) = self.held().iter().position(|held| *held == usage) {
            if let Some(after) = self.held.get_mut(at..self.count) {
                after.rotate_left(1);
                self.count = self.count.saturating_sub(1);
            }
        }
        self.tell();
    }

    /// Releases all keys.
    pub fn release_all(&mut self) {
        self.forget();
        self.tell();
    }

    /// Hits keys one after the other, each with its modifiers; of a usage that is no key, its
    /// modifiers alone. Keys that are held are released meanwhile.
    pub fn strike(&mut self, strokes: impl IntoIterator<Item = Stroke>) {
        let held = self.report();
        for stroke in strokes {
            // Without this, a key that is held would not be hit again.
            self.change_to(Report::default());
            let mut report = Report::default();
            let [modifiers, _, key, ..] = &mut report;
            *modifiers = (stroke.modifiers | stroke.usage.modifier()).0;
            if stroke.usage.is_key() {
                *key = stroke.usage.0;
            }
            self.change_to(report);
        }
        self.change_to(Report::default());
        self.change_to(held);
    }

    /// Types a text, with the keys that make it on a host of this layout whose caps lock is off.
    ///
    /// # Errors
    /// [`TypingError`] where the layout lacks a character, the text is longer than there is
    /// [room](Self::room), or the keyboard has left; nothing is typed then.
    pub fn type_text(&mut self, text: &str, layout: KeyboardLayout) -> Result<(), TypingError> {
        if !self.hid.is_attached() {
            return Err(TypingError::Detached);
        }
        let mut found: usize = 0;
        for stroke in layout.strokes(text) {
            stroke?;
            found = found.saturating_add(1);
        }
        let room = self.room();
        if found > room {
            return Err(TypingError::TooLong { found, room });
        }
        self.strike(layout.strokes(text).flatten());
        Ok(())
    }

    /// Strokes that may be made before the host has asked for any; none once the keyboard has left.
    /// Beyond, what was done last is forgotten.
    #[must_use]
    pub fn room(&self) -> usize {
        // Two reports each, and two around all.
        (self.hid.room() / 2).saturating_sub(1)
    }

    /// The lights as the host has set them last.
    #[must_use]
    pub const fn leds(&self) -> Leds {
        Leds(self.hid.output())
    }

    /// What there is to tell the keyboard's user; `None` for now. What the user did not ask for in
    /// time is replaced by what came later.
    pub fn poll_event(&mut self) -> Option<KeyboardEvent> {
        if let Some(leds) = self.hid.take_output() {
            return Some(KeyboardEvent::Leds(Leds(leds)));
        }
        Some(KeyboardEvent::Ready).filter(|_| self.hid.take_ready())
    }

    fn held(&self) -> &[Usage] {
        self.held.get(..self.count).unwrap_or(&[])
    }

    fn report(&self) -> Report {
        let mut report = Report::default();
        let [modifiers, _, places @ ..] = &mut report;
        *modifiers = self.modifiers.0;
        if self.count > PLACES {
            *places = [Usage::ERROR_ROLL_OVER.0; PLACES];
        } else {
            for (place, usage) in places.iter_mut().zip(self.held()) {
                *place = usage.0;
            }
        }
        report
    }

    fn tell(&mut self) {
        self.change_to(self.report());
    }

    fn change_to(&mut self, report: Report) {
        if self.hid.state() != report {
            self.hid.push(report);
        }
    }

    /// All keys are up, and the host knows.
    fn forget(&mut self) {
        self.count = 0;
        self.modifiers = Modifiers::NONE;
    }
}

function!(Keyboard);
