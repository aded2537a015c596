//! Rules for which devices may be redirected.
//!
//! A rule is five numbers with commas between, rules are joined by `|`: class, vendor, product,
//! device release, and whether to allow. −1 matches everything.
//!
//! ```
//! use usbredir_proto::filter::{DeviceIdentity, Rules, Verdict};
//! # use usb_descriptors::ClassCode;
//! // No keyboards and mice, everything else.
//! let rules: Rules = "0x03,-1,-1,-1,0|-1,-1,-1,-1,1".parse()?;
//! let interfaces = [ClassCode::new(3, 1, 1)];
//! let keyboard = DeviceIdentity {
//!     class: 0,
//!     vendor_id: 0x1209,
//!     product_id: 1,
//!     release: 0x0100,
//!     interfaces: &interfaces,
//! };
//! assert_eq!(rules.check(&keyboard, Default::default()), Verdict::Denied);
//! assert_eq!(rules.to_string(), "0x03,-1,-1,-1,0|-1,-1,-1,-1,1");
//! # Ok::<(), usbredir_proto::filter::RuleError>(())
//! ```

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::ClassCode;

/// One rule (`usbredirfilter.h`, `struct usbredirfilter_rule`).
///
/// ```
/// use usbredir_proto::filter::Rule;
/// let rule = Rule { class: Some(8), ..Rule::ALLOW_ALL };
/// assert_eq!(rule.to_string(), "0x08,-1,-1,-1,1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the protocol's five numbers")]
pub struct Rule {
    /// The device's class, or that of an interface; `None` for any, as in all that follow.
    pub class: Option<u8>,
    /// Who made it.
    pub vendor_id: Option<u16>,
    /// Which of theirs it is.
    pub product_id: Option<u16>,
    /// Its release, `bcdDevice`.
    pub release: Option<u16>,
    /// Whether what matches may be redirected.
    pub allow: bool,
}

impl Rule {
    /// Matches everything and allows it.
    pub const ALLOW_ALL: Self = Self {
        class: None,
        vendor_id: None,
        product_id: None,
        release: None,
        allow: true,
    };

    fn matches(&self, class: u8, device: &DeviceIdentity<'_>) -> bool {
        self.class.is_none_or(|wanted| wanted == class)
            && self
                .vendor_id
                .is_none_or(|wanted| wanted == device.vendor_id)
            && self
                .product_id
                .is_none_or(|wanted| wanted == device.product_id)
            && self.release.is_none_or(|wanted| wanted == device.release)
    }

    /// `None`: out of range.
    fn from_numbers([class, vendor, product, release, allow]: [i32; 5]) -> Option<Self> {
        Some(Self {
            class: any_or(class).ok()?,
            vendor_id: any_or(vendor).ok()?,
            product_id: any_or(product).ok()?,
            release: any_or(release).ok()?,
            allow: allow != 0,
        })
    }
}

/// −1 is any.
fn any_or<T: TryFrom<i32>>(number: i32) -> Result<Option<T>, T::Error> {
    match number {
        -1 => Ok(None),
        number => T::try_from(number).map(Some),
    }
}

/// As `libusbredirparser` prints it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Some(class) => write!(f, "{class:#04x},")?,
            None => f.write_str("-1,")?,
        }
        for number in [self.vendor_id, self.product_id, self.release] {
            match number {
                Some(number) => write!(f, "{number:#06x},")?,
                None => f.write_str("-1,")?,
            }
        }
        write!(f, "{}", u8::from(self.allow))
    }
}

/// What rules look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what the rules' numbers are about"
)]
pub struct DeviceIdentity<'a> {
    /// Class of the device descriptor.
    pub class: u8,
    /// Who made it.
    pub vendor_id: u16,
    /// Which of theirs it is.
    pub product_id: u16,
    /// Its release, `bcdDevice`.
    pub release: u16,
    /// Classes of its interfaces.
    pub interfaces: &'a [ClassCode],
}

/// How to check.
///
/// ```
/// use usbredir_proto::filter::Check;
/// assert!(!Check::default().default_allow);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the two flags of the C interface"
)]
pub struct Check {
    /// What no rule matches is allowed.
    #[doc(alias = "usbredirfilter_fl_default_allow")]
    pub default_allow: bool,
    /// Interfaces of class 03/00/00 are checked too, though the device has others: as a rule they
    /// are volume buttons of a sound card.
    #[doc(alias = "usbredirfilter_fl_dont_skip_non_boot_hid")]
    pub with_non_boot_hid: bool,
}

/// What rules say of a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the outcomes of the C interface")]
pub enum Verdict {
    /// It may be redirected.
    Allowed,
    /// A rule denies it (`EPERM`).
    Denied,
    /// No rule matches it, or one of its interfaces (`ENOENT`).
    NoMatch,
}

/// Rules in order: the first that matches decides.
///
/// [`FromStr`] is for what people write, and strict: each mistake is named.
/// [`from_wire`](Self::from_wire) reads as `libusbredirparser` does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// The rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Reads rules exactly as `libusbredirparser` does: up to the first NUL; empty rules and empty
    /// numbers are passed over; numbers may be octal (`010`) or hexadecimal, may begin with blanks
    /// and a sign, and wrap at 32 bits; every number but 0 allows.
    ///
    /// # Errors
    /// [`RuleError`]; the C library refuses the same.
    pub fn from_wire(text: &[u8]) -> Result<Self, RuleError> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let rules = text.split(|byte| *byte == b'|');
        let rules = rules.filter(|rule| !rule.is_empty()).enumerate();
        let rules = rules.map(|(at, rule)| {
            let place = at.saturating_add(1);
            let tokens = rule.split(|byte| *byte == b',');
            let tokens = tokens.filter(|token| !token.is_empty());
            read_rule(place, tokens, |_, token| strtol(token))
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// The text as it goes over the wire, without its NUL.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        self.to_string().into()
    }

    /// What the rules say of a device. They are asked for the device's class, unless that is 0x00
    /// or 0xef, and then for the class of each interface; all must be allowed. A device without
    /// any class is allowed.
    #[must_use]
    pub fn check(&self, device: &DeviceIdentity<'_>, check: Check) -> Verdict {
        let is_skipped = |class: &&ClassCode| {
            !check.with_non_boot_hid
                && device.interfaces.len() > 1
                && **class == ClassCode::new(0x03, 0, 0)
        };
        let skipped = device.interfaces.iter().filter(is_skipped).count();
        let own = Some(device.class).filter(|class| !matches!(class, 0x00 | 0xef));
        let interfaces = device.interfaces.iter();
        let interfaces = interfaces.filter(|class| !is_skipped(class));
        let classes = own.into_iter().chain(interfaces.map(|class| class.class));
        let verdicts = classes.map(|class| self.check_class(class, device, check));
        let objection = verdicts
            .into_iter()
            .find(|verdict| *verdict != Verdict::Allowed);
        match objection {
            Some(verdict) => verdict,
            None if skipped > 0 && skipped == device.interfaces.len() => {
                let with_non_boot_hid = true;
                self.check(
                    device,
                    Check {
                        with_non_boot_hid,
                        ..check
                    },
                )
            }
            None => Verdict::Allowed,
        }
    }

    fn check_class(&self, class: u8, device: &DeviceIdentity<'_>, check: Check) -> Verdict {
        match self.rules.iter().find(|rule| rule.matches(class, device)) {
            Some(rule) if rule.allow => Verdict::Allowed,
            Some(_) => Verdict::Denied,
            None if check.default_allow => Verdict::Allowed,
            None => Verdict::NoMatch,
        }
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rule) in self.rules.iter().enumerate() {
            let separator = if at == 0 { "" } else { "|" };
            write!(f, "{separator}{rule}")?;
        }
        Ok(())
    }
}

/// Strictly: decimal or hexadecimal numbers without blanks, −1, and 0 or 1 at the end. No text is
/// no rules.
impl FromStr for Rules {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let rules = text.split('|').enumerate().map(|(at, rule)| {
            let place = at.saturating_add(1);
            let tokens = rule.split(',').map(str::as_bytes);
            read_rule(place, tokens, strict_number)
        });
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }
}

/// What is wrong with a rule. Rules are counted from 1.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not five numbers.
    #[error("rule {rule}: {found} numbers, expected 5: class,vendor,product,version,allow")]
    #[non_exhaustive]
    Count {
        /// Which rule.
        rule: usize,
        /// How many there are.
        found: usize,
    },
    /// No number, or not one that may stand here.
    #[error("rule {rule}: {field} {token:?}, expected {expected}")]
    #[non_exhaustive]
    Number {
        /// Which rule.
        rule: usize,
        /// Which of its five.
        field: &'static str,
        /// What stands there.
        token: String,
        /// What may.
        expected: &'static str,
    },
}

const FIELDS: [(&str, &str); 5] = [
    ("class", "-1 or 0 to 255"),
    ("vendor", "-1 or 0 to 65535"),
    ("product", "-1 or 0 to 65535"),
    ("version", "-1 or 0 to 65535"),
    ("allow", "0 or 1"),
];

fn read_rule<'a>(
    rule: usize,
    tokens: impl Iterator<Item = &'a [u8]>,
    number: impl Fn(usize, &[u8]) -> Option<i32>,
) -> Result<Rule, RuleError> {
    let tokens: Vec<&[u8]> = tokens.collect();
    let Ok(tokens) = <[&[u8]; 5]>::try_from(tokens.as_slice()) else {
        let found = tokens.len();
        return Err(RuleError::Count { rule, found });
    };
    let mut numbers = [0; 5];
    let places = numbers.iter_mut().zip(tokens).zip(FIELDS).enumerate();
    for (at, ((place, token), (field, expected))) in places {
        let most = [0xff, 0xffff, 0xffff, 0xffff, i32::MAX].get(at).copied();
        let range = if field == "allow" { i32::MIN } else { -1 }..=most.unwrap_or(0);
        *place = number(at, token)
            .filter(|number| range.contains(number))
            .ok_or_else(|| RuleError::Number {
                rule,
                field,
                token: String::from_utf8_lossy(token).as_ref().to_owned(),
                expected,
            })?;
    }
    // Ranges were checked one by one, to name them.
    Rule::from_numbers(numbers).ok_or(RuleError::Count { rule, found: 5 })
}

fn strict_number(at: usize, token: &[u8]) -> Option<i32> {
    let text = core::str::from_utf8(token).ok()?;
    if at == 4 {
        return match text {
            "0" => Some(0),
            "1" => Some(1),
            _ => None,
        };
    }
    if text == "-1" {
        return Some(-1);
    }
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    // 010 is eight to one reader and ten to the other.
    let is_octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if !is_plain || is_octal {
        return None;
    }
    i32::from_str_radix(digits, radix).ok()
}

/// The C function with base 0, whose result is stored in 32 bits (C99, 7.20.1.4).
fn strtol(token: &[u8]) -> Option<i32> {
    let blanks = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let rest = token.iter().position(|byte| !blanks(byte))?;
    let rest = token.get(rest..)?;
    let (is_negative, rest) = match rest.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, rest),
    };
    let (digits, radix) = match rest {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', _, ..] => (rest, 8),
        _ => (rest, 10),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = char::from(*byte).to_digit(radix)?;
        value = value.saturating_mul(radix.into());
        value = if is_negative {
            value.saturating_sub(digit.into())
        } else {
            value.saturating_add(digit.into())
        };
    }
    let [a, b, c, d, ..] = value.to_le_bytes();
    Some(i32::from_le_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_read_as_the_c_library_does() {
        let same = |left: &str, right: &str| {
            let left = Rules::from_wire(left.as_bytes()).unwrap();
            assert_eq!(left.to_string(), right);
        };
        same("", "");
        same("|||", "");
        same("0x03,,-1,-1,-1,0", "0x03,-1,-1,-1,0");
        same("010, 0X1f,+7,-1,-1", "0x08,0x001f,0x0007,-1,1");
        same("4294967299,-1,-1,-1,2\0rest", "0x03,-1,-1,-1,1");
        for wrong in [
            "3,-1,-1,-1",
            "3,-1,-1,-1,1,1",
            "3 ,-1,-1,-1,1",
            "256,-1,-1,-1,1",
            "0x,-1,-1,-1,1",
            "08,-1,-1,-1,1",
        ] {
            assert!(Rules::from_wire(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_are_told_what_is_wrong() {
        let error = |text: &str| text.parse::<Rules>().unwrap_err().to_string();
        assert_eq!(
            error("3,-1,-1,-1,1|"),
            "rule 2: 1 numbers, expected 5: class,vendor,product,version,allow"
        );
        assert_eq!(
            error("3,-1,-1,-1,2"),
            "rule 1: allow \"2\", expected 0 or 1"
        );
        assert_eq!(
            error("3,010,-1,-1,1"),
            "rule 1: vendor \"010\", expected -1 or 0 to 65535"
        );
        assert_eq!(
            error("300,-1,-1,-1,1"),
            "rule 1: class \"300\", expected -1 or 0 to 255"
        );
        assert_eq!(
            error("3,, -1,-1,1"),
            "rule 1: vendor \"\", expected -1 or 0 to 65535"
        );
        assert!("".parse::<Rules>().unwrap().iter().next().is_none());
    }

    #[test]
    fn passes_flags_and_volume_buttons() {
        let rules: Rules = "0x03,-1,-1,-1,0|0x01,-1,-1,-1,1".parse().unwrap();
        let check = |class: u8, interfaces: &[ClassCode], check: Check| {
            let device = DeviceIdentity {
                class,
                vendor_id: 1,
                product_id: 2,
                release: 3,
                interfaces,
            };
            rules.check(&device, check)
        };
        let (audio, buttons) = (ClassCode::new(1, 1, 0), ClassCode::new(3, 0, 0));
        let plain = Check::default();
        let all = Check {
            with_non_boot_hid: true,
            ..plain
        };
        let lenient = Check {
            default_allow: true,
            ..plain
        };
        assert_eq!(check(0, &[audio, buttons], plain), Verdict::Allowed);
        assert_eq!(check(0, &[audio, buttons], all), Verdict::Denied);
        assert_eq!(check(0, &[buttons, buttons], plain), Verdict::Denied);
        assert_eq!(check(0, &[buttons], plain), Verdict::Denied);
        assert_eq!(check(8, &[audio], plain), Verdict::NoMatch);
        assert_eq!(check(8, &[audio], lenient), Verdict::Allowed);
        assert_eq!(check(0xef, &[], plain), Verdict::Allowed);
    }
}
