//! Numbers of the HID usage tables (USB-IF, "HID Usage Tables", version 1.5; here "HUT").

use core::ops::{BitOr, BitOrAssign};

/// A key, as a number of the usage page "Keyboard/Keypad" (HUT, section 10). It names a place on
/// the keyboard; which character that is, the host's layout decides.
///
/// ```
/// use usb_functions::Usage;
/// assert_eq!(Usage::F1.0, 0x3a);
/// assert!(Usage::LEFT_SHIFT.is_modifier());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Usage(pub u8);

/// Keys by their names, as USB's documents have them.
macro_rules! usages {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Usage {
            $(#[doc = $text] pub const $name: Self = Self($number);)*
        }
    };
}

usages! {
    A = 0x04, "The key of A; B to Z follow in order.";
    ONE = 0x1e, "The key of 1; 2 to 9 and 0 follow in order.";
    ENTER = 0x28, "Return, Enter.";
    ESCAPE = 0x29, "Escape.";
    BACKSPACE = 0x2a, "Delete, Backspace.";
    TAB = 0x2b, "Tab.";
    SPACE = 0x2c, "The space bar.";
    CAPS_LOCK = 0x39, "Caps lock.";
    F1 = 0x3a, "F1; F2 to F12 follow in order.";
    PRINT_SCREEN = 0x46, "Print screen.";
    SCROLL_LOCK = 0x47, "Scroll lock.";
    PAUSE = 0x48, "Pause.";
    INSERT = 0x49, "Insert.";
    HOME = 0x4a, "Home.";
    PAGE_UP = 0x4b, "Page up.";
    DELETE = 0x4c, "Delete forward.";
    END = 0x4d, "End.";
    PAGE_DOWN = 0x4e, "Page down.";
    RIGHT = 0x4f, "Right arrow.";
    LEFT = 0x50, "Left arrow.";
    DOWN = 0x51, "Down arrow.";
    UP = 0x52, "Up arrow.";
    NUM_LOCK = 0x53, "Num lock and clear, on the keypad.";
    LEFT_CONTROL = 0xe0, "Left control.";
    LEFT_SHIFT = 0xe1, "Left shift.";
    LEFT_ALT = 0xe2, "Left alt.";
    LEFT_GUI = 0xe3, "Left GUI, with a logo on it.";
    RIGHT_CONTROL = 0xe4, "Right control.";
    RIGHT_SHIFT = 0xe5, "Right shift.";
    RIGHT_ALT = 0xe6, "Right alt.";
    RIGHT_GUI = 0xe7, "Right GUI.";
}

impl Usage {
    /// In each place of a report when more keys are held than it can name (HUT, "Keyboard
    /// ErrorRollOver").
    pub(crate) const ERROR_ROLL_OVER: Self = Self(0x01);

    /// Whether it is one of the eight keys that have a bit of their own in a report.
    #[must_use]
    pub const fn is_modifier(self) -> bool {
        self.modifier().0 != 0
    }

    /// Its bit; none if it is no modifier.
    pub(crate) const fn modifier(self) -> Modifiers {
        match self.0 {
            0xe0..=0xe7 => Modifiers(1 << (self.0 & 7)),
            _ => Modifiers(0),
        }
    }

    /// Whether it names a key: below 4 are states of the keyboard.
    pub(crate) const fn is_key(self) -> bool {
        self.0 >= 4
    }
}

/// A set of bits with names for them.
macro_rules! bits {
    ($(#[$meta:meta])* $type:ident: $($name:ident = $bit:literal, $text:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[expect(clippy::exhaustive_structs, reason = "a set of bits")]
        pub struct $type(pub u8);

        impl $type {
            $(#[doc = $text] pub const $name: Self = Self($bit);)*

            /// Whether all of these are in it.
            #[must_use]
            pub const fn contains(self, others: Self) -> bool {
                self.0 & others.0 == others.0
            }
        }

        impl BitOr for $type {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl BitOrAssign for $type {
            fn bitor_assign(&mut self, other: Self) {
                *self = *self | other;
            }
        }
    };
}

bits! {
    /// Modifier keys, as the first byte of a report has them (HID 1.11, 8.3).
    ///
    /// ```
    /// use usb_functions::Modifiers;
    /// let both = Modifiers::LEFT_CONTROL | Modifiers::LEFT_ALT;
    /// assert!(both.contains(Modifiers::LEFT_ALT));
    /// ```
    Modifiers:
    NONE = 0x00, "None.";
    LEFT_CONTROL = 0x01, "Left control.";
    LEFT_SHIFT = 0x02, "Left shift.";
    LEFT_ALT = 0x04, "Left alt.";
    LEFT_GUI = 0x08, "Left GUI.";
    RIGHT_CONTROL = 0x10, "Right control.";
    RIGHT_SHIFT = 0x20, "Right shift.";
    RIGHT_ALT = 0x40, "Right alt.";
    RIGHT_GUI = 0x80, "Right GUI.";
}

bits! {
    /// The lights of a keyboard, as the host sets them (HID 1.11, appendix B.1).
    ///
    /// ```
    /// use usb_functions::Leds;
    /// assert!(Leds(0b011).contains(Leds::CAPS_LOCK));
    /// ```
    Leds:
    NONE = 0x00, "None.";
    NUM_LOCK = 0x01, "Num lock.";
    CAPS_LOCK = 0x02, "Caps lock.";
    SCROLL_LOCK = 0x04, "Scroll lock.";
    COMPOSE = 0x08, "Compose.";
    KANA = 0x10, "Kana.";
}

bits! {
    /// The buttons of a pointing device that are down (HUT, section 12).
    ///
    /// ```
    /// use usb_functions::Buttons;
    /// assert_eq!((Buttons::LEFT | Buttons::RIGHT).0, 3);
    /// ```
    Buttons:
    NONE = 0x00, "None.";
    LEFT = 0x01, "Button 1, the primary.";
    RIGHT = 0x02, "Button 2, the secondary.";
    MIDDLE = 0x04, "Button 3.";
    BACK = 0x08, "Button 4.";
    FORWARD = 0x10, "Button 5.";
}

impl Buttons {
    /// Those that reports have.
    pub(crate) const fn known(self) -> u8 {
        self.0 & 0x1f
    }
}
