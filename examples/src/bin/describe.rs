//! Shows a device's descriptors and what is wrong with them. `describe --help` says how.

#![allow(clippy::disallowed_types, reason = "a program opens files")]

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use examples::{Address, Failure, Host, say};
use lexopt::prelude::*;
use usb_descriptors::lint::{Finding, RULES, Rule, Severity, lint};
use usb_descriptors::{
    Asked, Configuration, Descriptors, DeviceBytes, DeviceListing, Field, LanguageId, Layout,
    Level, Speed, StringBytes, TransferType, build,
};
use usbip_proto::BusId;

const PROGRAM: &str = "describe";

const HELP: &str = "\
Shows a USB device's descriptors, and what is wrong with them.

Usage: describe [OPTION]... FILE           descriptors one after the other, as sysfs has them
       describe [OPTION]... FOLDER         such as /sys/bus/usb/devices/1-1
       describe [OPTION]... BUSID@ADDR     a device of a USB/IP server, such as 1-1@tcp:server
       describe [OPTION]... -              in hexadecimal, from standard input
       describe --explain [RULE]           what a rule, or each, is about

Options:
  --speed SPEED   low, full, high, super or super-plus [default: what the device says, or is
                  guessed from its packet sizes]
  --findings      only what is wrong
  --json          as JSON
  -h, --help      print this
  -V, --version   print the version

ADDR is tcp:HOST[:PORT], unix:PATH or vsock:CID:PORT.

On a terminal findings have colours, unless NO_COLOR is set.

Exit status: 0 where no error was found; 1 where one was; 2 after a mistake, or where the
descriptors cannot be had.";

fn main() -> ExitCode {
    let result = match Command::parse(env::args_os().skip(1)) {
        Ok(Command::Help) => say(HELP).map(|()| false),
        Ok(Command::Version) => {
            say(concat!("describe ", env!("CARGO_PKG_VERSION"))).map(|()| false)
        }
        Ok(Command::Explain(rule)) => explain(rule.as_deref()).map(|()| false),
        Ok(Command::Describe(options)) => describe(&options),
        Err(error) => Err(Failure::Mistake(format!("{error} (see describe --help)"))),
    };
    match result {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(1),
        // 1 means that an error was found in the descriptors.
        Err(failure) => {
            let _ = failure.report(PROGRAM);
            ExitCode::from(2)
        }
    }
}

enum Command {
    Help,
    Version,
    Explain(Option<String>),
    Describe(Options),
}

struct Options {
    source: OsString,
    speed: Option<Speed>,
    only_findings: bool,
    json: bool,
}

impl Command {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        let (mut source, mut speed, mut explain) = (None, None, false);
        let (mut only_findings, mut json) = (false, false);
        let mut arguments = lexopt::Parser::from_args(arguments);
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(Self::Help),
                Short('V') | Long("version") => return Ok(Self::Version),
                Long("explain") => explain = true,
                Long("speed") => speed = Some(arguments.value()?.parse_with(speed_of)?),
                Long("findings") => only_findings = true,
                Long("json") => json = true,
                Value(value) if source.is_none() => source = Some(value),
                _ => return Err(argument.unexpected()),
            }
        }
        if explain {
            let rule = source.map(OsString::into_string).transpose()?;
            return Ok(Self::Explain(rule));
        }
        let source = source.ok_or("no device: say which, such as /sys/bus/usb/devices/1-1")?;
        Ok(Self::Describe(Options {
            source,
            speed,
            only_findings,
            json,
        }))
    }
}

fn speed_of(name: &str) -> Result<Speed, &'static str> {
    Ok(match name {
        "low" => Speed::Low,
        "full" => Speed::Full,
        "high" => Speed::High,
        "super" => Speed::Super,
        "super-plus" => Speed::SuperPlus,
        _ => return Err("a speed is low, full, high, super or super-plus"),
    })
}

fn explain(id: Option<&str>) -> Result<(), Failure> {
    let one = |rule: &Rule| {
        format!(
            "{}: {}\n  {}.\n  said in: {}\n  Linux {}\n",
            rule.id(),
            rule.severity(),
            rule.explanation(),
            rule.clause(),
            rule.linux()
        )
    };
    let text = match id {
        Some(id) => {
            let rule = Rule::by_id(id);
            one(rule.ok_or_else(|| Failure::Mistake(format!("there is no rule {id}")))?)
        }
        None => RULES.iter().map(|rule| one(rule)).collect(),
    };
    say(text.trim_end())
}

/// What was read, from wherever.
#[derive(Default)]
struct Found {
    run: Vec<u8>,
    bos: Option<Vec<u8>>,
    qualifier: Option<Vec<u8>>,
    other_speed: Vec<Vec<u8>>,
    /// Index and descriptor.
    strings: Vec<(u8, Vec<u8>)>,
    /// Whether the device was asked for all of that, so that what is not here does not exist.
    is_all: bool,
    speed: Option<Speed>,
}

fn describe(options: &Options) -> Result<bool, Failure> {
    let found = read(options)?;
    let other: Vec<&[u8]> = found.other_speed.iter().map(Vec::as_slice).collect();
    let strings: Vec<StringBytes<'_>> = found
        .strings
        .iter()
        .map(|(index, bytes)| StringBytes {
            index: *index,
            language: LanguageId::NONE,
            bytes,
        })
        .collect();
    let mut device = DeviceBytes::from_run(&found.run).other_speed_configurations(&other);
    if found.bos.is_some() || found.is_all {
        device = device.bos(found.bos.as_deref());
    }
    if found.is_all {
        device = device.qualifier(found.qualifier.as_deref());
    }
    let speed = options.speed.or(found.speed);
    let speed = speed.unwrap_or_else(|| guess_speed(&device));
    let shown = device.strings(&strings);
    let linted = if found.is_all { shown } else { device };
    let mut findings = Vec::new();
    lint(linted, speed, &mut |finding| findings.push(finding));

    let text = if options.json {
        json(&shown, speed, &findings)
    } else {
        let mut text = String::new();
        if !options.only_findings {
            text = DeviceListing::new(shown, speed).to_string();
        }
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = io::stdout().is_terminal() && !unwanted;
        for finding in &findings {
            let _ = writeln!(text, "{}", coloured(finding, colours));
        }
        let _ = write!(text, "{}", summary(&findings, speed));
        text
    };
    say(text)?;
    let is_error = |finding: &Finding| finding.rule.severity() == Severity::Error;
    Ok(findings.iter().any(is_error))
}

fn summary(findings: &[Finding], speed: Speed) -> String {
    let count = |severity| {
        let of = |finding: &&Finding| finding.rule.severity() == severity;
        findings.iter().filter(of).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |count| if count == 1 { "" } else { "s" };
    format!(
        "at {speed}: {errors} error{}, {warnings} warning{}",
        plural(errors),
        plural(warnings)
    )
}

fn coloured(finding: &Finding, colours: bool) -> String {
    if !colours {
        return finding.to_string();
    }
    let colour = match finding.rule.severity() {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Info => 36,
    };
    format!("\x1b[{colour}m{finding}\x1b[0m")
}

fn read(options: &Options) -> Result<Found, Failure> {
    let source = &options.source;
    if source == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Mistake(format!("standard input: {error}")))?;
        let run = hexadecimal(&text).map_err(Failure::Mistake)?;
        return Ok(Found {
            run,
            ..Found::default()
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
    let run =
        fs::read(path).map_err(|error| Failure::Mistake(format!("{}: {error}", path.display())))?;
    Ok(Found {
        run,
        ..Found::default()
    })
}

/// Pairs of digits, however they are separated; `0x` and what follows a `#` is passed over.
fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        for word in line.split(|character: char| !character.is_ascii_alphanumeric()) {
            let word = word.strip_prefix("0x").unwrap_or(word);
            let padded = if word.len() == 1 {
                format!("0{word}")
            } else {
                word.to_owned()
            };
            for character in padded.chars() {
                let digit = character
                    .to_digit(16)
                    .ok_or_else(|| format!("standard input: {word:?} is not hexadecimal"))?;
                digits.push(u8::try_from(digit).unwrap_or(0));
            }
        }
    }
    if digits.len() % 2 != 0 {
        return Err("standard input: an odd number of digits".into());
    }
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Ok(bytes.collect())
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

/// By what differs between the speeds: packet sizes of endpoint 0 and of bulk endpoints.
fn guess_speed(device: &DeviceBytes<'_>) -> Speed {
    if let Some(device) = device.device() {
        if device.usb_release().0 >= 0x0300 {
            return Speed::Super;
        }
        if device.control_max_packet_size() == Some(8) {
            return Speed::Low;
        }
    }
    let configurations = device.each_configuration();
    let parsed = configurations.filter_map(|bytes| Configuration::parse(bytes).ok());
    let is_full = parsed
        .flat_map(|configuration| configuration.interfaces())
        .flat_map(|interface| interface.endpoints())
        .any(|endpoint| {
            endpoint.transfer_type() == TransferType::Bulk && endpoint.max_packet_size() <= 64
        });
    if is_full { Speed::Full } else { Speed::High }
}

fn json(device: &DeviceBytes<'_>, speed: Speed, findings: &[Finding]) -> String {
    let mut text = format!(
        "{{\"speed\":{},\"descriptors\":[",
        quoted(&speed.to_string())
    );
    let mut separator = "";
    let mut put =
        |title: &str, level: u8, bytes: &[u8], fields: &mut dyn Iterator<Item = Field<'_>>| {
            let _ = write!(
                text,
                "{separator}\n{{\"title\":{},\"level\":{level},\"bytes\":{},\"fields\":[",
                quoted(title),
                quoted(&hex(bytes))
            );
            separator = ",";
            let mut first = true;
            for field in fields {
                let _ = write!(
                    text,
                    "{}{{\"name\":{},\"value\":{}",
                    if first { "" } else { "," },
                    quoted(field.name()),
                    quoted(&field.to_string())
                );
                first = false;
                if let Some(meaning) = field.meaning() {
                    let _ = write!(text, ",\"meaning\":{}", quoted(meaning));
                }
                text.push('}');
            }
            text.push_str("]}");
        };
    let single = [
        device.device_bytes(),
        bytes_of(device.qualifier_bytes()),
        bytes_of(device.bos_bytes()),
    ];
    for descriptor in single.into_iter().flatten().flat_map(Descriptors::new) {
        let title = descriptor.layout().map_or("Unknown", Layout::title);
        put(title, 0, descriptor.bytes(), &mut descriptor.fields());
    }
    for bytes in device.each_configuration().chain(device.each_other_speed()) {
        let Ok(configuration) = Configuration::parse(bytes) else {
            continue;
        };
        for node in configuration.nodes() {
            let level = match node.level() {
                Level::Configuration => 1,
                Level::Function | Level::Interface => 2,
                Level::InterfaceDetail | Level::Endpoint => 3,
                Level::EndpointDetail => 4,
            };
            let title = node.layout().map_or("Unknown", Layout::title);
            put(title, level, node.descriptor().bytes(), &mut node.fields());
        }
    }
    text.push_str("],\"findings\":[");
    for (at, finding) in findings.iter().enumerate() {
        let _ = write!(
            text,
            "{}\n{{\"rule\":{},\"severity\":{},\"subject\":{},\"start\":{},\"end\":{},\
             \"explanation\":{},\"clause\":{},\"linux\":{}}}",
            if at == 0 { "" } else { "," },
            quoted(finding.rule.id()),
            quoted(&finding.rule.severity().to_string()),
            quoted(&finding.subject.to_string()),
            finding.range().start,
            finding.range().end,
            quoted(finding.rule.explanation()),
            quoted(finding.rule.clause()),
            quoted(finding.rule.linux())
        );
    }
    text.push_str("]}");
    text
}

fn bytes_of(asked: Asked<'_>) -> Option<&[u8]> {
    match asked {
        Asked::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A string of JSON (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if u32::from(character) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
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
            "12:01\n0a:ff\n",
        ] {
            assert_eq!(hexadecimal(text).unwrap(), bytes, "{text}");
        }
        assert!(hexadecimal("12 xy").is_err());
        assert!(hexadecimal("123").is_err());
    }

    #[test]
    fn json_is_escaped() {
        assert_eq!(quoted("a\"\\\n"), "\"a\\\"\\\\\\u000a\"");
    }
}
