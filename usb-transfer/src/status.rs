//! How a transfer ended.

use core::fmt;

/// How a transfer, or one packet of an isochronous transfer, ended.
///
/// A status is the negative Linux errno that USB/IP carries, and every value survives a trip
/// through this type. The other wires map to and from it by one table each. The constants are
/// those that `Documentation/driver-api/usb/error-codes.rst` of the kernel gives a meaning for
/// transfers. A stall is no failure of the software: it is an answer.
///
/// ```
/// use usb_transfer::Status;
/// assert_eq!(Status::STALL.errno(), -32);
/// assert_eq!(Status::from_errno(-32), Status::STALL);
/// assert_eq!(Status::from_errno(-9999).to_string(), "errno 9999");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(i32);

impl Status {
    /// It did what was asked. Data may still be shorter than asked.
    pub const COMPLETED: Self = Self(0);
    /// It was cancelled, or the endpoint was stopped, before it was done (`ECONNRESET`).
    pub const CANCELLED: Self = Self(-104);
    /// The endpoint is halted, or the control request is not supported (`EPIPE`).
    #[doc(alias = "EPIPE")]
    pub const STALL: Self = Self(-32);
    /// The device sent more than was asked for (`EOVERFLOW`, babble).
    #[doc(alias = "babble")]
    pub const OVERFLOW: Self = Self(-75);
    /// The device sent less, and the transfer did not allow that (`EREMOTEIO`).
    #[doc(alias = "EREMOTEIO")]
    pub const SHORT: Self = Self(-121);
    /// The device is gone (`ENODEV`).
    #[doc(alias = "ENODEV")]
    pub const DISCONNECTED: Self = Self(-19);
    /// The device or its host controller is shut down (`ESHUTDOWN`).
    pub const SHUTDOWN: Self = Self(-108);
    /// Bit stuffing, no answer in time, or another fault of the bus (`EPROTO`).
    #[doc(alias = "EPROTO")]
    pub const PROTOCOL: Self = Self(-71);
    /// A checksum was wrong (`EILSEQ`).
    #[doc(alias = "EILSEQ")]
    pub const CHECKSUM: Self = Self(-84);
    /// No answer in time (`ETIMEDOUT`).
    pub const TIMED_OUT: Self = Self(-110);
    /// An isochronous packet was not, or not wholly, transferred (`EXDEV`).
    #[doc(alias = "EXDEV")]
    pub const NOT_TRANSFERRED: Self = Self(-18);
    /// The request makes no sense, such as a setup packet against its data (`EINVAL`).
    pub const INVALID: Self = Self(-22);
    /// There is no room for the request (`ENOMEM`).
    pub const NO_MEMORY: Self = Self(-12);

    /// Takes a status as USB/IP carries it.
    #[must_use]
    pub const fn from_errno(errno: i32) -> Self {
        Self(errno)
    }

    /// The status as USB/IP carries it: 0 or a negative Linux errno.
    #[must_use]
    pub const fn errno(self) -> i32 {
        self.0
    }

    /// Whether it is [`COMPLETED`](Self::COMPLETED).
    #[must_use]
    pub const fn is_completed(self) -> bool {
        self.0 == 0
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::COMPLETED => "completed",
            Self::CANCELLED => "cancelled",
            Self::STALL => "stall",
            Self::OVERFLOW => "overflow",
            Self::SHORT => "short",
            Self::DISCONNECTED => "disconnected",
            Self::SHUTDOWN => "shut down",
            Self::PROTOCOL => "bus protocol error",
            Self::CHECKSUM => "checksum error",
            Self::TIMED_OUT => "timed out",
            Self::NOT_TRANSFERRED => "not transferred",
            Self::INVALID => "invalid request",
            Self::NO_MEMORY => "no memory",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "errno {}", self.0.unsigned_abs()),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({}: {self})", self.0)
    }
}

impl core::error::Error for Status {}
