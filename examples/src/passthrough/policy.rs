//! What a far host may ask of a real device.

use std::str::FromStr;

use thiserror::Error;
use usb_descriptors::{
    Direction, Recipient, RequestKind, RequestType, SetupPacket, feature, request,
};

/// Which control requests reach a device. Of the standard requests those do that hosts need and that
/// leave nothing behind; SET_DESCRIPTOR, SET_ADDRESS, test modes and those that USB does not name do
/// not. Of class and vendor requests all do, or only those that were named.
///
/// Without data a request has no direction (USB 2.0, 9.3.1): what is true of one is true of the
/// other.
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
/// `21:0a+a1:01`. A `*` is any request of a type. One without data whose type says that it comes
/// IN needs both directions named: devices may read it either way.
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

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Option<Self>) -> Self {
        self.0
            .extend(others.into_iter().flat_map(|others| others.0));
        self
    }

    fn has(&self, setup: SetupPacket) -> bool {
        let names = |kind: RequestType| {
            let mut ours = self.0.iter();
            let is_it = |which: Option<u8>| which.is_none_or(|request| request == setup.request);
            ours.any(|&(ours, which)| ours == kind.0 && is_it(which))
        };
        names(setup.request_type) && names(setup.effective_type())
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

/// Standard requests that a host has a reason for, in the form that USB gives them. Nothing that they
/// do outlasts a reset; a test mode ends with the power only (USB 2.0, 9.4.9).
fn is_ordinary(setup: SetupPacket) -> bool {
    use Recipient::{Device, Endpoint, Interface};
    let has_data = setup.length > 0;
    let sends_data = has_data && setup.data_direction() == Direction::Out;
    match (setup.request, setup.request_type.recipient()) {
        (request::GET_STATUS, Device | Interface | Endpoint)
        | (request::GET_DESCRIPTOR, Device | Interface)
        | (request::GET_CONFIGURATION, Device)
        | (request::GET_INTERFACE, Interface)
        | (request::SYNCH_FRAME, Endpoint) => !sends_data,
        (request::SET_CONFIGURATION | request::SET_ISOCH_DELAY, Device)
        | (request::SET_INTERFACE, Interface) => !has_data,
        (request::SET_SEL, Device) => sends_data,
        (request::CLEAR_FEATURE | request::SET_FEATURE, recipient) => {
            !has_data && is_ordinary_feature(recipient, setup.value)
        }
        _ => false,
    }
}

/// Those of On-The-Go are not: with them a device becomes the host.
const fn is_ordinary_feature(recipient: Recipient, value: u16) -> bool {
    match recipient {
        Recipient::Device => matches!(
            value,
            feature::DEVICE_REMOTE_WAKEUP
                | feature::U1_ENABLE
                | feature::U2_ENABLE
                | feature::LTM_ENABLE
        ),
        Recipient::Interface => value == feature::FUNCTION_SUSPEND,
        Recipient::Endpoint => value == feature::ENDPOINT_HALT,
        _ => false,
    }
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
        let get_descriptor = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
        let (set_descriptor, set_configuration) = (setup(0x00, 7), setup(0x00, 9));
        for policy in [Policy::default(), policy] {
            assert!(policy.allows(get_descriptor) && policy.allows(set_configuration));
            assert!(!policy.allows(set_descriptor));
        }
    }

    #[test]
    fn standard_requests_pass_in_the_form_that_usb_gives_them() {
        let passes = |bytes| Policy::default().allows(SetupPacket::from_bytes(bytes));
        for harmless in [
            [0x80, 0, 0, 0, 0, 0, 2, 0],
            [0x82, 0, 0, 0, 0x81, 0, 2, 0],
            [0x81, 6, 0, 0x22, 0, 0, 63, 0],
            [0x80, 8, 0, 0, 0, 0, 1, 0],
            [0x81, 10, 0, 0, 0, 0, 1, 0],
            [0x82, 12, 0, 0, 0x81, 0, 2, 0],
            [0x80, 6, 0, 1, 0, 0, 0, 0], // no data is asked for
            [0x00, 3, 1, 0, 0, 0, 0, 0], // DEVICE_REMOTE_WAKEUP
            [0x00, 3, 48, 0, 0, 0, 0, 0],
            [0x01, 3, 0, 0, 0, 3, 0, 0],
            [0x02, 3, 0, 0, 0x81, 0, 0, 0],
            [0x02, 1, 0, 0, 0x81, 0, 0, 0],
            [0x00, 48, 0, 0, 0, 0, 6, 0],
            [0x00, 49, 40, 0, 0, 0, 0, 0],
        ] {
            assert!(passes(harmless), "{harmless:x?}");
        }
        for harmful in [
            [0x80, 5, 9, 0, 0, 0, 0, 0],    // SET_ADDRESS that says IN
            [0x80, 7, 0, 1, 0, 0, 0, 0],    // SET_DESCRIPTOR likewise
            [0x00, 3, 2, 0, 0, 4, 0, 0],    // TEST_MODE
            [0x80, 3, 2, 0, 0, 4, 0, 0],    // likewise
            [0x00, 3, 3, 0, 0, 0, 0, 0],    // b_hnp_enable
            [0x80, 9, 1, 0, 0, 0, 1, 0],    // SET_CONFIGURATION that wants data
            [0x00, 9, 1, 0, 0, 0, 1, 0],    // and one that has some
            [0x00, 6, 0, 1, 0, 0, 1, 0],    // GET_DESCRIPTOR that has some
            [0x01, 9, 1, 0, 0, 0, 0, 0],    // SET_CONFIGURATION of an interface
            [0x80, 0x42, 0, 0, 0, 0, 1, 0], // none of USB's
        ] {
            assert!(!passes(harmful), "{harmful:x?}");
        }
    }

    #[test]
    fn without_data_both_directions_are_to_be_named() {
        let allows = |requests: &str, length| {
            let setup = SetupPacket::from_bytes([0xa1, 1, 0, 0, 0, 0, length, 0]);
            let policy = Policy::default().only(requests.parse().unwrap());
            policy.allows(setup)
        };
        assert!(allows("a1:*", 1));
        assert!(!allows("a1:*", 0) && !allows("21:01", 0));
        assert!(allows("a1:*+21:01", 0));
    }
}
