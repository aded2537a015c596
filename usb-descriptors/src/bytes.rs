//! All that a device was asked and said.

use crate::{Configuration, DescriptorType, Descriptors, Device, LanguageId, StringDescriptor};

/// The descriptors of a device at one speed, as bytes, with what of them is known: a linter is not
/// to complain of what nobody asked.
///
/// ```
/// use usb_descriptors::{DeviceBytes, build, Speed};
/// let device = build::Device::new(0x1209, 1).to_bytes(Speed::High);
/// let configuration = [9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0];
/// // One by one …
/// let configurations = [&configuration[..]];
/// let bytes = DeviceBytes::new(&device).configurations(&configurations).bos(None);
/// assert_eq!(bytes.each_configuration().count(), 1);
/// // … or as sysfs, usbfs and dumps have them: one after the other.
/// let run = [&device[..], &configuration].concat();
/// let bytes = DeviceBytes::from_run(&run);
/// assert_eq!(bytes.each_configuration().next(), Some(&configuration[..]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DeviceBytes<'a> {
    device: Option<&'a [u8]>,
    configurations: Pieces<'a>,
    bos: Asked<'a>,
    qualifier: Asked<'a>,
    other_speed: Option<Pieces<'a>>,
    strings: Option<&'a [StringBytes<'a>]>,
}

/// A descriptor that a device need not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "asked and answered, or not")]
pub enum Asked<'a> {
    /// Nobody asked for it.
    Unknown,
    /// The device has none.
    Absent,
    /// What the device said.
    Bytes(&'a [u8]),
}

/// A string descriptor with what it is asked by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an entry of a table that callers write"
)]
pub struct StringBytes<'a> {
    /// Its index, as other descriptors name it; 0 is the table of languages.
    pub index: u8,
    /// Its language; [`LanguageId::NONE`] for the table and where there is but one.
    pub language: LanguageId,
    /// The descriptor's bytes.
    pub bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Pieces<'a> {
    Each(&'a [&'a [u8]]),
    Run(&'a [u8]),
}

impl<'a> DeviceBytes<'a> {
    /// A device of which only the device descriptor is known.
    #[must_use]
    pub const fn new(device: &'a [u8]) -> Self {
        Self {
            device: Some(device),
            configurations: Pieces::Each(&[]),
            bos: Asked::Unknown,
            qualifier: Asked::Unknown,
            other_speed: None,
            strings: None,
        }
    }

    /// Takes a run as Linux's sysfs and usbfs have it: the device descriptor, which may be
    /// missing, and the configurations one after the other. A BOS and a qualifier are found where
    /// they follow.
    #[must_use]
    pub fn from_run(run: &'a [u8]) -> Self {
        let mut found = Self::new(&[]);
        found.device = None;
        let pieces = Split { rest: run };
        let mut first = None;
        let mut end = 0usize;
        let mut offset = 0usize;
        for piece in pieces {
            let kind = piece.get(1).map(|&kind| DescriptorType(kind));
            let after = offset.saturating_add(piece.len());
            match kind {
                Some(DescriptorType::DEVICE) if found.device.is_none() && first.is_none() => {
                    found.device = Some(piece);
                }
                Some(DescriptorType::BOS) => found.bos = Asked::Bytes(piece),
                Some(DescriptorType::DEVICE_QUALIFIER) => found.qualifier = Asked::Bytes(piece),
                _ => {
                    first.get_or_insert(offset);
                    end = after;
                }
            }
            offset = after;
        }
        let configurations = first.and_then(|first| run.get(first..end));
        found.configurations = Pieces::Run(configurations.unwrap_or(&[]));
        found
    }

    /// The configurations, each with all that belongs to it, by index.
    #[must_use]
    pub const fn configurations(mut self, configurations: &'a [&'a [u8]]) -> Self {
        self.configurations = Pieces::Each(configurations);
        self
    }

    /// The binary device object store, or that there is none.
    #[must_use]
    pub const fn bos(mut self, bos: Option<&'a [u8]>) -> Self {
        self.bos = asked(bos);
        self
    }

    /// The device qualifier, or that there is none.
    #[must_use]
    pub const fn qualifier(mut self, qualifier: Option<&'a [u8]>) -> Self {
        self.qualifier = asked(qualifier);
        self
    }

    /// The configurations at the other of full and high speed, by index.
    #[must_use]
    pub const fn other_speed_configurations(mut self, configurations: &'a [&'a [u8]]) -> Self {
        self.other_speed = Some(Pieces::Each(configurations));
        self
    }

    /// All strings that there are.
    #[must_use]
    pub const fn strings(mut self, strings: &'a [StringBytes<'a>]) -> Self {
        self.strings = Some(strings);
        self
    }

    /// The device descriptor's bytes, where they are known.
    #[must_use]
    pub const fn device_bytes(&self) -> Option<&'a [u8]> {
        self.device
    }

    /// The device descriptor, where it is known and can be read.
    #[must_use]
    pub fn device(&self) -> Option<Device<'a>> {
        Device::parse(self.device?).ok()
    }

    /// The bytes of each configuration.
    pub fn each_configuration(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        pieces(self.configurations)
    }

    /// The bytes of each configuration at the other of full and high speed.
    pub fn each_other_speed(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        pieces(self.other_speed.unwrap_or(Pieces::Each(&[])))
    }

    /// The binary device object store.
    #[must_use]
    pub const fn bos_bytes(&self) -> Asked<'a> {
        self.bos
    }

    /// The device qualifier.
    #[must_use]
    pub const fn qualifier_bytes(&self) -> Asked<'a> {
        self.qualifier
    }

    /// The strings, where they are known.
    #[must_use]
    pub const fn known_strings(&self) -> Option<&'a [StringBytes<'a>]> {
        self.strings
    }

    /// The string of an index, in the first language that has it; `None` for 0, which is "no
    /// string".
    #[must_use]
    pub fn string(&self, index: u8) -> Option<StringDescriptor<'a>> {
        let mut strings = self.strings?.iter();
        let string = strings.find(|string| index != 0 && string.index == index)?;
        StringDescriptor::parse(string.bytes).ok()
    }
}

const fn asked(bytes: Option<&[u8]>) -> Asked<'_> {
    match bytes {
        Some(bytes) => Asked::Bytes(bytes),
        None => Asked::Absent,
    }
}

fn pieces(pieces: Pieces<'_>) -> impl Iterator<Item = &[u8]> {
    let (each, run) = match pieces {
        Pieces::Each(each) => (each, &[][..]),
        Pieces::Run(run) => (&[][..], run),
    };
    each.iter().copied().chain(Split { rest: run })
}

/// Splits a run into descriptors that are fetched each by itself, with all that belongs to them.
struct Split<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let total = match *self.rest {
            [_, 0x02 | 0x07 | 0x0f, low, high, ..] => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        // A total that is too small is told by the linter; what follows still belongs here.
        let mut walk = Descriptors::new(self.rest);
        let own = walk.next().map_or(0, |first| first.bytes().len());
        let alone = matches!(self.rest, [_, 0x01 | 0x06, ..]);
        let end = if alone {
            own
        } else {
            walk.find(|item| {
                item.offset() >= total
                    && item.offset() >= Configuration::LENGTH.min(own)
                    && matches!(item.bytes(), [_, 0x01 | 0x02 | 0x06 | 0x07 | 0x0f, ..])
            })
            .map_or(self.rest.len(), |item| item.offset())
        };
        let (piece, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_are_split_where_the_next_one_begins() {
        let device = crate::build::Device::new(1, 2).to_bytes(crate::Speed::High);
        let short = [9, 2, 9, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0];
        let long = [9, 2, 200, 0, 1, 2, 0, 0x80, 50];
        let bos = [5, 15, 5, 0, 0];
        let run: Vec<u8> = [&device[..], &bos, &short, &long].concat();
        let bytes = DeviceBytes::from_run(&run);
        assert_eq!(bytes.device().unwrap().product_id(), 2);
        assert_eq!(bytes.bos_bytes(), Asked::Bytes(&bos));
        let configurations: Vec<_> = bytes.each_configuration().collect();
        assert_eq!(configurations, [&short[..], &long[..]]);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_run_is_lost(run: Vec<u8>) {
            let joined: Vec<u8> = Split { rest: &run }.flatten().copied().collect();
            prop_assert_eq!(joined, run);
        }
    }
}
