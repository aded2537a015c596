//! What a far host may ask of a real device.

use std::str::FromStr;

use thiserror::Error;
use usb_descriptors::{Direction, Recipient, RequestKind, SetupPacket, feature, request};

/// Which control requests reach a device. Of the standard requests all that hosts need do, and
/// SET_DESCRIPTOR, test modes and those that USB does not name do not. Of class and vendor requests all do,
/// or only those that were named.
///
/// ```
/// use examples::Policy;
/// use usb_descriptors::SetupPacket;
///
/// // A mouse needs SET_IDLE and to be asked for its report descriptor.
/// let policy = Policy::default().only("21:0a".parse()?);
/// let set_idle = SetupPacket::from_bytes([0x21, 0x0a, 0, 0, 0, 0, 0, 0]);
/// assert!(policy.allows(set_idle));
/// let vendor = SetupPacket::from_bytes([0x40, 0x01, 0, 0, 0, 0, 0, 0]);
/// assert!(!policy.allows(vendor));
/// # Ok::<(), examples::PolicyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    only: Option<Requests>,
    keeps_configuration: bool,
}

/// Class and vendor requests: `TYPE:REQUEST` in hexadecimal, joined by `+`, such as
/// `21:0a+a1:01`. A `*` is any request of a type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requests(Vec<(u8, Option<u8>)>);

/// A text that names no requests.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{token:?} is no request: expected TYPE:REQUEST in hexadecimal, such as 21:0a or a1:*")]
pub struct PolicyError {
    token: String,
}

impl Policy {
    /// Of class and vendor requests, allows only these.
    #[must_use]
    pub fn only(mut self, requests: Requests) -> Self {
        self.only = Some(requests);
        self
    }

    /// Leaves the device in the configuration that it has.
    #[must_use]
    pub const fn keeping_configuration(mut self) -> Self {
        self.keeps_configuration = true;
        self
    }

    /// Whether a request may reach the device.
    #[must_use]
    pub fn allows(&self, setup: SetupPacket) -> bool {
        match setup.request_type.kind() {
            RequestKind::Standard => is_ordinary(setup),
            _ => self.only.as_ref().is_none_or(|only| only.has(setup)),
        }
    }

    /// Whether another configuration may be selected.
    #[must_use]
    pub const fn lets_configure(&self) -> bool {
        !self.keeps_configuration
    }
}

impl Requests {
    /// Those of Bulk-Only Transport: reset and GET MAX LUN (BOT 1.0, 3.1 and 3.2).
    #[must_use]
    pub fn of_disks() -> Self {
        Self(vec![(0x21, Some(0xff)), (0xa1, Some(0xfe))])
    }

    fn has(&self, setup: SetupPacket) -> bool {
        let [kind, request, ..] = setup.to_bytes();
        let mut requests = self.0.iter();
        requests.any(|&(ours, which)| ours == kind && which.is_none_or(|ours| ours == request))
    }
}

impl FromStr for Requests {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let requests = text.split('+').map(|token| {
            let error = || PolicyError {
                token: token.into(),
            };
            let (kind, request) = token.split_once(':').ok_or_else(error)?;
            let kind = byte(kind).ok_or_else(error)?;
            let request = match request {
                "*" => None,
                request => Some(byte(request).ok_or_else(error)?),
            };
            Ok((kind, request))
        });
        requests.collect::<Result<_, _>>().map(Self)
    }
}

fn byte(digits: &str) -> Option<u8> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// Standard requests that a host has a reason for. A test mode ends with the power only (USB 2.0,
/// 9.4.9).
fn is_ordinary(setup: SetupPacket) -> bool {
    if setup.request == request::SET_FEATURE && setup.value == feature::TEST_MODE {
        return setup.request_type.recipient() != Recipient::Device;
    }
    setup.request_type.direction() == Direction::In
        || matches!(
            setup.request,
            request::SET_CONFIGURATION
                | request::SET_INTERFACE
                | request::CLEAR_FEATURE
                | request::SET_FEATURE
                | request::SET_SEL
                | request::SET_ISOCH_DELAY
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(kind: u8, request: u8) -> SetupPacket {
        SetupPacket::from_bytes([kind, request, 0, 0, 0, 0, 0, 0])
    }

    #[test]
    fn requests_are_read_strictly() {
        let requests: Requests = "21:0a+A1:*".parse().unwrap();
        assert_eq!(requests, Requests(vec![(0x21, Some(0x0a)), (0xa1, None)]));
        for wrong in [
            "", "21", "21:", "21:0a+", "-1:01", "121:01", "21:-1", "*:01",
        ] {
            let error = wrong.parse::<Requests>().unwrap_err();
            assert!(error.to_string().contains("is no request"), "{wrong}");
        }
        let error = "21:0a+21:x".parse::<Requests>().unwrap_err();
        assert!(error.to_string().starts_with("\"21:x\" is no request"));
    }

    #[test]
    fn standard_requests_do_not_depend_on_the_list() {
        let policy = Policy::default().only("21:0a".parse().unwrap());
        let get_descriptor = setup(0x80, 6);
        let (set_descriptor, set_configuration) = (setup(0x00, 7), setup(0x00, 9));
        for policy in [Policy::default(), policy] {
            assert!(policy.allows(get_descriptor) && policy.allows(set_configuration));
            assert!(!policy.allows(set_descriptor));
        }
    }
}
