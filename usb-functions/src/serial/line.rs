//! The line that a serial port pretends to have.

/// Length of a stop bit (PSTN 1.2, table 17).
///
/// ```
/// use usb_functions::StopBits;
/// assert_eq!(StopBits::TWO.0, 2);
/// ```
#[doc(alias = "bCharFormat")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct StopBits(pub u8);

impl StopBits {
    /// 1 stop bit.
    pub const ONE: Self = Self(0);
    /// 1.5 stop bits.
    pub const ONE_AND_A_HALF: Self = Self(1);
    /// 2 stop bits.
    pub const TWO: Self = Self(2);
}

/// Parity of a character (PSTN 1.2, table 17).
///
/// ```
/// use usb_functions::Parity;
/// assert_eq!(Parity::default(), Parity::NONE);
/// ```
#[doc(alias = "bParityType")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Parity(pub u8);

impl Parity {
    /// No parity bit.
    pub const NONE: Self = Self(0);
    /// An odd number of ones.
    pub const ODD: Self = Self(1);
    /// An even number of ones.
    pub const EVEN: Self = Self(2);
    /// Always one.
    pub const MARK: Self = Self(3);
    /// Always zero.
    pub const SPACE: Self = Self(4);
}

/// How characters are to go over the line (PSTN 1.2, table 17). Nothing here depends on it: bytes
/// are bytes.
///
/// ```
/// use usb_functions::LineCoding;
/// let coding = LineCoding::default();
/// assert_eq!((coding.bits_per_second, coding.data_bits), (9600, 8));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the four numbers of the request")]
pub struct LineCoding {
    /// Bits per second.
    #[doc(alias = "dwDTERate")]
    pub bits_per_second: u32,
    /// Length of a stop bit.
    pub stop_bits: StopBits,
    /// Parity.
    pub parity: Parity,
    /// Bits of a character: 5, 6, 7, 8 or 16.
    #[doc(alias = "bDataBits")]
    pub data_bits: u8,
}

/// 9600 bits per second, 8 bits, no parity, 1 stop bit.
impl Default for LineCoding {
    fn default() -> Self {
        Self {
            bits_per_second: 9600,
            stop_bits: StopBits::ONE,
            parity: Parity::NONE,
            data_bits: 8,
        }
    }
}

impl LineCoding {
    pub(super) const fn to_bytes(self) -> [u8; 7] {
        let [rate0, rate1, rate2, rate3] = self.bits_per_second.to_le_bytes();
        [
            rate0,
            rate1,
            rate2,
            rate3,
            self.stop_bits.0,
            self.parity.0,
            self.data_bits,
        ]
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let &[rate0, rate1, rate2, rate3, stop_bits, parity, data_bits] = bytes else {
            return None;
        };
        Some(Self {
            bits_per_second: u32::from_le_bytes([rate0, rate1, rate2, rate3]),
            stop_bits: StopBits(stop_bits),
            parity: Parity(parity),
            data_bits,
        })
    }
}

/// What the host says by its control lines (PSTN 1.2, table 18).
///
/// ```
/// use usb_functions::ControlLines;
/// assert!(!ControlLines::default().terminal_ready);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the two lines there are")]
pub struct ControlLines {
    /// A program has the port open.
    #[doc(alias = "DTR")]
    pub terminal_ready: bool,
    /// It wants to send; also said by most that only receive.
    #[doc(alias = "RTS")]
    pub request_to_send: bool,
}

impl ControlLines {
    pub(super) const fn from_value(value: u16) -> Self {
        Self {
            terminal_ready: value & 1 != 0,
            request_to_send: value & 2 != 0,
        }
    }
}

/// What the device says by its lines, and errors of the line (PSTN 1.2, table 31).
///
/// ```
/// use usb_functions::SerialState;
/// let connected = SerialState { carrier: true, ready: true, ..SerialState::default() };
/// # let _ = connected;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the bits of the notification")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the bits of the notification"
)]
pub struct SerialState {
    /// The far end is there.
    #[doc(alias = "DCD")]
    #[doc(alias = "bRxCarrier")]
    pub carrier: bool,
    /// The device is ready.
    #[doc(alias = "DSR")]
    #[doc(alias = "bTxCarrier")]
    pub ready: bool,
    /// A break was received; told once.
    pub break_received: bool,
    /// It rings; told once.
    pub ring: bool,
    /// A character had no stop bit; told once.
    pub framing_error: bool,
    /// A parity bit was wrong; told once.
    pub parity_error: bool,
    /// Characters were lost; told once.
    pub overrun: bool,
}

impl SerialState {
    pub(super) fn bits(self) -> u8 {
        let bits = [
            self.carrier,
            self.ready,
            self.break_received,
            self.ring,
            self.framing_error,
            self.parity_error,
            self.overrun,
        ];
        bits.iter()
            .rev()
            .fold(0, |bits, bit| bits << 1 | u8::from(*bit))
    }

    /// What lasts.
    pub(super) const fn lasting(self) -> Self {
        Self {
            carrier: self.carrier,
            ready: self.ready,
            break_received: false,
            ring: false,
            framing_error: false,
            parity_error: false,
            overrun: false,
        }
    }

    /// With what was to be told once and was not told yet.
    pub(super) const fn with_untold(self, untold: Self) -> Self {
        Self {
            carrier: self.carrier,
            ready: self.ready,
            break_received: self.break_received | untold.break_received,
            ring: self.ring | untold.ring,
            framing_error: self.framing_error | untold.framing_error,
            parity_error: self.parity_error | untold.parity_error,
            overrun: self.overrun | untold.overrun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_notification_has_them() {
        let state = SerialState {
            carrier: true,
            overrun: true,
            ..SerialState::default()
        };
        assert_eq!(state.bits(), 0b100_0001);
        assert_eq!(state.lasting().bits(), 1);
        assert_eq!(SerialState::default().with_untold(state).bits(), 0b100_0000);
    }

    #[test]
    fn codings_survive_the_wire() {
        let bytes = [0x00, 0xc2, 0x01, 0x00, 2, 9, 7];
        let coding = LineCoding::from_bytes(&bytes).unwrap();
        assert_eq!(coding.bits_per_second, 115_200);
        assert_eq!(coding.parity, Parity(9));
        assert_eq!(coding.to_bytes(), bytes);
        assert_eq!(LineCoding::from_bytes(&bytes[1..]), None);
    }
}
