//! What is wrong with a device's descriptors: every finding, with its reason.
//!
//! ```
//! use usb_descriptors::lint::{Severity, lint};
//! use usb_descriptors::{DeviceBytes, Speed};
//! // One interface, though two are stated, with a bulk endpoint that is no high-speed one.
//! let run = [
//!     9, 2, 25, 0, 2, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 0xff, 0, 0, 0, 7, 5, 0x81, 2, 64, 0, 0,
//! ];
//! let mut found = Vec::new();
//! lint(DeviceBytes::from_run(&run), Speed::High, &mut |finding| found.push(finding));
//! let ids: Vec<_> = found.iter().map(|finding| finding.rule.id()).collect();
//! assert_eq!(ids, ["packet-size", "interface-count"]);
//! assert_eq!(found[0].rule.severity(), Severity::Error);
//! assert_eq!(found[0].range(), 18..25);
//! ```

mod class;
mod configuration;
mod device;
mod endpoint;
pub mod rules;

use core::fmt;
use core::ops::Range;

use crate::{Asked, Descriptors, DeviceBytes, Speed};
pub use rules::{RULES, Rule};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "three are enough")]
pub enum Severity {
    /// Worth knowing; hosts accept it.
    Info,
    /// Against a specification; hosts live with it, or repair it.
    Warning,
    /// Hosts refuse it, drop a part of it, or may well misread it.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Which of a device's descriptors a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// The device descriptor.
    Device,
    /// The configuration of this index with all that belongs to it.
    Configuration(usize),
    /// The configuration of this index at the other of full and high speed.
    OtherSpeed(usize),
    /// The device qualifier.
    Qualifier,
    /// The binary device object store.
    Bos,
    /// The string of this index.
    String(u8),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("device"),
            Self::Configuration(index) => write!(f, "configuration {index}"),
            Self::OtherSpeed(index) => write!(f, "other-speed configuration {index}"),
            Self::Qualifier => f.write_str("qualifier"),
            Self::Bos => f.write_str("BOS"),
            Self::String(index) => write!(f, "string {index}"),
        }
    }
}

/// Something that is wrong. Displays as a line: where, what, and what was found and expected.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What is broken, with its reasons.
    pub rule: &'static Rule,
    /// In which of the device's descriptors.
    pub subject: Subject,
    /// Where in the subject's bytes it starts.
    pub offset: usize,
    /// How many bytes it is about; 0 where something is missing.
    pub length: usize,
    /// The value found, where one number says it.
    pub found: Option<u32>,
    /// The value expected, or the limit.
    pub expected: Option<u32>,
}

impl Finding {
    /// The subject's bytes that it is about.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.range();
        let (severity, id) = (self.rule.severity(), self.rule.id());
        write!(f, "{severity}: {id}: {}", self.subject)?;
        if self.length > 0 {
            write!(f, ", bytes {start}..{end}")?;
        }
        write!(f, ": {}", self.rule.explanation())?;
        match (self.found, self.expected) {
            (Some(found), Some(expected)) => {
                write!(f, " (found {found}, expected {expected})")
            }
            (Some(found), None) => write!(f, " (found {found})"),
            (None, Some(expected)) => write!(f, " (expected {expected})"),
            (None, None) => Ok(()),
        }
    }
}

/// Reports all that is wrong with a device's descriptors at a speed, in order of bytes within each
/// check. Of what nobody asked for ([`Asked::Unknown`]) nothing is said.
pub fn lint(device: DeviceBytes<'_>, speed: Speed, report: &mut dyn FnMut(Finding)) {
    let mut linter = Linter {
        device,
        speed,
        subject: Subject::Device,
        report,
    };
    linter.device();
    for (index, bytes) in device.each_configuration().enumerate() {
        linter.subject = Subject::Configuration(index);
        linter.configuration(bytes);
    }
    let other = match speed {
        Speed::Full => Speed::High,
        Speed::High => Speed::Full,
        same => same,
    };
    linter.speed = other;
    for (index, bytes) in device.each_other_speed().enumerate() {
        linter.subject = Subject::OtherSpeed(index);
        linter.configuration(bytes);
    }
    linter.speed = speed;
    if let Asked::Bytes(bytes) = device.bos_bytes() {
        linter.subject = Subject::Bos;
        linter.bos(bytes);
    }
    linter.strings();
}

struct Linter<'a, 'r> {
    device: DeviceBytes<'a>,
    speed: Speed,
    subject: Subject,
    report: &'r mut dyn FnMut(Finding),
}

/// Where something lies in the subject.
#[derive(Clone, Copy)]
struct At {
    offset: usize,
    length: usize,
}

impl At {
    const NOWHERE: Self = Self {
        offset: 0,
        length: 0,
    };

    const fn all(bytes: &[u8]) -> Self {
        Self {
            offset: 0,
            length: bytes.len(),
        }
    }

    /// `part` lies in `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let offset = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Self {
            offset,
            length: part.len(),
        }
    }
}

impl Linter<'_, '_> {
    fn find(&mut self, rule: &'static Rule, at: At) {
        self.find_values(rule, at, None, None);
    }

    fn find_values(
        &mut self,
        rule: &'static Rule,
        at: At,
        found: Option<u32>,
        expected: Option<u32>,
    ) {
        (self.report)(Finding {
            rule,
            subject: self.subject,
            offset: at.offset,
            length: at.length,
            found,
            expected,
        });
    }

    /// Rules that hold for any run of descriptors. Lengths of single descriptors are checked by
    /// those who know what they are.
    fn run(&mut self, bytes: &[u8]) {
        let Some(last) = Descriptors::new(bytes).last() else {
            return;
        };
        if last.is_complete() {
            return;
        }
        let at = At {
            offset: last.offset(),
            length: last.bytes().len(),
        };
        let declared = u32::from(last.declared_length());
        if last.bytes().len() == 1 {
            self.find(&rules::TRAILING_BYTES, at);
        } else if declared < 2 {
            self.find_values(&rules::LENGTH_BELOW_2, at, Some(declared), Some(2));
        } else {
            let there = u32::try_from(at.length).ok();
            self.find_values(&rules::LENGTH_OVERRUN, at, Some(declared), there);
        }
    }

    /// `wTotalLength` against what is there.
    fn total(&mut self, total: u16, bytes: &[u8]) {
        let there = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let stated = u32::from(total);
        let at = At {
            offset: 2,
            length: 2,
        };
        if stated > there {
            self.find_values(&rules::TOTAL_LENGTH_BEYOND, at, Some(stated), Some(there));
        } else if stated < there {
            self.find_values(&rules::TOTAL_LENGTH_SHORT, at, Some(stated), Some(there));
        }
    }

    fn layout(&mut self, layout: &'static crate::Layout, bytes: &[u8], at: At) {
        let (minimum, there) = (layout.minimum(), bytes.len());
        if there < minimum {
            let (found, expected) = (u32::try_from(there).ok(), u32::try_from(minimum).ok());
            self.find_values(&rules::LENGTH_TOO_SHORT, at, found, expected);
        } else if layout.fields(bytes).any(|field| field.is_tail()) {
            self.find(&rules::LENGTH_BEYOND_KNOWN, at);
        }
    }
}

/// A set of bytes.
#[derive(Clone, Copy, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn contains(&self, byte: u8) -> bool {
        let word = self.0.get(usize::from(byte >> 6)).copied().unwrap_or(0);
        word & Self::bit(byte) != 0
    }

    /// Whether it was not there yet.
    fn insert(&mut self, byte: u8) -> bool {
        let is_new = !self.contains(byte);
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= Self::bit(byte);
        }
        is_new
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether its members are 0, 1, 2 … without a gap.
    fn is_dense(&self) -> bool {
        (0..=u8::MAX)
            .take_while(|&byte| self.contains(byte))
            .count()
            == usize::try_from(self.len()).unwrap_or(usize::MAX)
    }

    const fn bit(byte: u8) -> u64 {
        1u64.wrapping_shl((byte & 63) as u32)
    }
}
