//! Shows a device's descriptors and what is wrong with them. `describe --help` says how.

mod json;
mod source;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use examples::{Failure, say};
use json::json;
use lexopt::prelude::*;
use source::Found;
use usb_descriptors::lint::{Finding, RULES, Rule, Severity, lint};
use usb_descriptors::{DeviceBytes, DeviceListing, LanguageId, Speed, StringBytes};

const PROGRAM: &str = "describe";

const HELP: &str = "\
Shows a USB device's descriptors, and what is wrong with them.

Usage: describe [OPTION]... FILE           descriptors one after the other, as sysfs has them
       describe [OPTION]... FOLDER         such as /sys/bus/usb/devices/1-1
       describe [OPTION]... BUSID@ADDR     a device of a USB/IP server, such as 1-1@tcp:server
       describe [OPTION]... -              in hexadecimal, from standard input
       describe --explain [RULE]           what a rule, or each, is about

Options:
  --speed SPEED   low, full, high, super or super-plus [default: what the device says; where
                  that is unknown, of the speeds that its endpoint 0 allows the one at which
                  least is wrong]
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
        Ok(Command::Explain { rule, json }) => explain(rule.as_deref(), json).map(|()| false),
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
    Explain { rule: Option<String>, json: bool },
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
            return Ok(Self::Explain { rule, json });
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

fn explain(id: Option<&str>, json: bool) -> Result<(), Failure> {
    let rules = match id {
        Some(id) => {
            let rule = Rule::by_id(id);
            vec![rule.ok_or_else(|| Failure::Mistake(format!("there is no rule {id}")))?]
        }
        None => RULES.to_vec(),
    };
    if json {
        return say(json::rules(&rules));
    }
    let one = |rule: &Rule| {
        format!(
            "{}: {}\n  {}.\n  said in: {}\n  Linux: {}\n",
            rule.id(),
            rule.severity(),
            rule.explanation(),
            rule.clause(),
            rule.linux()
        )
    };
    let text: String = rules.into_iter().map(one).collect();
    say(text.trim_end())
}

fn describe(options: &Options) -> Result<bool, Failure> {
    let found = Found::read(&options.source)?;
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
        json((!options.only_findings).then_some(&shown), speed, &findings)
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

/// Of the speeds that the packet size of endpoint 0 allows, the one at which least is wrong. (USB
/// 2.0, 5.5.3; USB 3.2, table 9-11.)
fn guess_speed(device: &DeviceBytes<'_>) -> Speed {
    let size = device.device_bytes().and_then(|bytes| bytes.get(7));
    // Preferred first.
    let allowed: &[Speed] = match size {
        Some(8) => &[Speed::Low, Speed::Full],
        Some(9) => &[Speed::Super],
        Some(16 | 32) => &[Speed::Full],
        Some(64) => &[Speed::High, Speed::Full],
        _ => &[Speed::High, Speed::Full, Speed::Super, Speed::Low],
    };
    let wrong = |speed: &&Speed| {
        let (mut errors, mut all) = (0, 0);
        lint(*device, **speed, &mut |finding| {
            errors += u32::from(finding.rule.severity() == Severity::Error);
            all += 1;
        });
        (errors, all)
    };
    allowed
        .iter()
        .min_by_key(wrong)
        .map_or(Speed::High, |speed| *speed)
}
