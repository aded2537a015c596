//! Where descriptors are read from.

#![allow(clippy::disallowed_types, reason = "a program opens files")]

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use examples::{Address, Failure, Host};
use usb_descriptors::{DeviceBytes, Speed, build};
use usbip_proto::BusId;

/// What was read, from wherever.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) run: Vec<u8>,
    pub(crate) bos: Option<Vec<u8>>,
    pub(crate) qualifier: Option<Vec<u8>>,
    pub(crate) other_speed: Vec<Vec<u8>>,
    /// Index and descriptor.
    pub(crate) strings: Vec<(u8, Vec<u8>)>,
    /// Whether the device was asked for all of that, so that what is not here does not exist.
    pub(crate) is_all: bool,
    pub(crate) speed: Option<Speed>,
}

impl Found {
    /// Reads a file, a folder of sysfs, a device of a server or, for `-`, standard input.
    pub(crate) fn read(source: &OsStr) -> Result<Self, Failure> {
        let found = Self::anything(source)?;
        if found.run.is_empty() {
            let name = if source == "-" {
                "standard input".into()
            } else {
                source.to_string_lossy()
            };
            return Err(Failure::Mistake(format!("{name}: there is no descriptor")));
        }
        Ok(found)
    }

    fn anything(source: &OsStr) -> Result<Self, Failure> {
        if source == "-" {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::Mistake(format!("standard input: {error}")))?;
            let run = hexadecimal(&text)
                .map_err(|error| Failure::Mistake(format!("standard input: {error}")))?;
            return Ok(Self {
                run,
                ..Self::default()
            });
        }
        let path = Path::new(source);
        if path.is_dir() {
            return folder(path);
        }
        let remote = source.to_str().and_then(|text| text.split_once('@'));
        if let Some((bus_id, address)) = remote.filter(|_| !path.exists()) {
            return over_the_network(bus_id, address);
        }
        let run = fs::read(path)
            .map_err(|error| Failure::Mistake(format!("{}: {error}", path.display())))?;
        Ok(Self {
            run,
            ..Self::default()
        })
    }
}

/// Words of two digits for each byte, or of a single one, between spaces and punctuation. `0x`
/// before a word and what follows a `#` are passed over, and what `xxd` writes beside the bytes:
/// the offset, which must be right, and the column of characters.
fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let data = match offset(line) {
            Some((offset, _)) if offset != bytes.len() => {
                let there = bytes.len();
                return Err(format!("an offset of {offset:#x} after {there:#x} bytes"));
            }
            Some((_, rest)) => rest.split("  ").next(),
            None => line.split('#').next(),
        };
        let is_between =
            |character: char| character.is_whitespace() || ",;:-_()[]{}".contains(character);
        let words = data.unwrap_or("").split(is_between);
        for word in words.filter(|word| !word.is_empty()) {
            word_of_bytes(word, &mut bytes)?;
        }
    }
    Ok(bytes)
}

/// The offset that a line of `xxd` begins with, and what follows it.
fn offset(line: &str) -> Option<(usize, &str)> {
    let (digits, rest) = line.split_once(": ")?;
    let is_offset = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let offset = usize::from_str_radix(digits, 16).ok()?;
    is_offset.then_some((offset, rest))
}

fn word_of_bytes(word: &str, bytes: &mut Vec<u8>) -> Result<(), String> {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let digits = digits.unwrap_or(word);
    let values: Option<Vec<u8>> = digits
        .chars()
        .map(|character| u8::try_from(character.to_digit(16)?).ok())
        .collect();
    match values.as_deref() {
        None | Some([]) => return Err(format!("{word:?} is not hexadecimal")),
        Some(&[digit]) => bytes.push(digit),
        Some(values) if values.len() % 2 == 0 => {
            bytes.extend(values.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
        }
        Some(_) => return Err(format!("{word:?} has an odd number of digits")),
    }
    Ok(())
}

/// A device of the running kernel. What the kernel does not tell, such as most strings, is not
/// known.
fn folder(path: &Path) -> Result<Found, Failure> {
    let file: PathBuf = path.join("descriptors");
    let run = fs::read(&file)
        .map_err(|error| Failure::Mistake(format!("{}: {error}", file.display())))?;
    let text = |name: &str| {
        let text = fs::read_to_string(path.join(name)).ok()?;
        Some(text.trim_end_matches('\n').to_owned())
    };
    let speed = match text("speed").as_deref() {
        Some("1.5") => Some(Speed::Low),
        Some("12") => Some(Speed::Full),
        Some("480") => Some(Speed::High),
        Some("5000") => Some(Speed::Super),
        Some("10000" | "20000") => Some(Speed::SuperPlus),
        _ => None,
    };
    let mut strings = Vec::new();
    if let Some(device) = DeviceBytes::from_run(&run).device() {
        let names = [
            (device.manufacturer_string(), "manufacturer"),
            (device.product_string(), "product"),
            (device.serial_string(), "serial"),
        ];
        for (index, name) in names {
            if let Some(Ok(bytes)) = text(name).map(|text| build::string(&text)) {
                strings.push((index, bytes));
            }
        }
    }
    let bos = fs::read(path.join("bos_descriptors")).ok();
    Ok(Found {
        run,
        bos,
        strings,
        speed,
        ..Found::default()
    })
}

fn over_the_network(bus_id: &str, address: &str) -> Result<Found, Failure> {
    let bus_id: BusId = bus_id.parse().map_err(Failure::mistake)?;
    let address: Address = address.parse().map_err(Failure::mistake)?;
    let failed = |error| Failure::Failed(format!("{address}: {error}"));
    let mut host = Host::open(&address, bus_id).map_err(failed)?;
    let device = host.enumerate().map_err(failed)?;
    let configurations = device.configurations.iter().map(|each| &each[..]);
    let run = [&device.device[..]].into_iter().chain(configurations);
    let own = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
    let other = device.other_speed_configurations.iter();
    let strings = device.strings.iter();
    Ok(Found {
        run: run.collect::<Vec<_>>().concat(),
        bos: own(&device.bos),
        qualifier: own(&device.qualifier),
        other_speed: other.map(|bytes| bytes.to_vec()).collect(),
        strings: strings
            .map(|string| (string.index, string.descriptor.to_vec()))
            .collect(),
        is_all: true,
        speed: Some(device.speed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_in_any_shape() {
        let bytes = [0x12, 0x01, 0x0a, 0xff];
        for text in [
            "12 01 0a ff",
            "12010AFF",
            "0x12,0x1, 0xa,0xff # end",
            "{ 0X12, 0X01, 0x0A, 0XFF };",
            "12:01\n0a:ff\n",
            "00000000: 1201 0aff                                ....",
            "00000000: 1201  .#\n00000002: 0aff  be\n",
        ] {
            assert_eq!(hexadecimal(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "12 xy",
            "123",
            "1 234 5",
            "0x",
            "0x 12",
            "0x123",
            "00000000: 1201 0aff  ....\n00000010: 12  .\n",
            "0000000: 1201 0aff  ....",
            "00000000  12 01 0a ff  |....|",
        ] {
            assert!(hexadecimal(text).is_err(), "{text}");
        }
    }
}
