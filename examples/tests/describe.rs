//! `describe` as a program: what it guesses, says, writes as JSON and ends with.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests of programs"
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::Folder;
use serde_json::Value;
use usb_descriptors::lint::RULES;

const DESCRIBE: &str = env!("CARGO_BIN_EXE_describe");

fn describe(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(DESCRIBE)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read it is right too.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Its exit code and the last line.
#[track_caller]
fn verdict(arguments: &[&str], input: &str) -> (i32, String) {
    let output = describe(arguments, input);
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or("").to_owned();
    (output.status.code().unwrap(), last)
}

/// Exit code 2, and one line on standard error alone.
#[track_caller]
fn refuses(arguments: &[&str], input: &str, words: &str) {
    let output = describe(arguments, input);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(words), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

#[track_caller]
fn json(arguments: &[&str], input: &str) -> Value {
    serde_json::from_slice(&describe(arguments, input).stdout).unwrap()
}

/// A device descriptor of a release and a packet size of endpoint 0.
fn device(release: &str, packet: &str) -> String {
    format!("12 01 {release} 00 00 00 {packet} 09 12 01 00 00 01 00 00 00 01 ")
}

/// A configuration of one interface with endpoints.
fn configuration(class: &str, endpoints: &[&str]) -> String {
    let total = 18 + 7 * endpoints.len();
    let count = endpoints.len();
    let endpoints = endpoints.join(" ");
    format!("09 02 {total:02x} 00 01 01 00 80 32 09 04 00 00 {count:02x} {class} 00 {endpoints} ")
}

fn serial(size: &str) -> String {
    let (inward, outward) = (
        format!("07 05 81 02 {size} 00"),
        format!("07 05 02 02 {size} 00"),
    );
    configuration("ff 00 00", &[&inward, &outward])
}

/// A vendor's interface with an interrupt endpoint, 8 bytes and an interval.
fn interrupt(interval: &str) -> String {
    let endpoint = format!("07 05 81 03 08 00 {interval}");
    configuration("ff 00 00", &[&endpoint])
}

#[test]
fn only_speeds_that_the_bytes_allow_are_guessed() {
    let super_speed = "09 02 1f 00 01 01 00 80 32 09 04 00 00 01 ff 00 00 00 \
                       07 05 81 02 00 04 00 06 30 00 00 00 00";
    for (speed, bytes) in [
        ("low speed", device("10 01", "08") + &interrupt("0a")),
        // Endpoints that low speed has not, and an interval too short for it.
        ("full speed", device("10 01", "08") + &serial("40 00")),
        ("full speed", device("10 01", "08") + &interrupt("01")),
        // 16 and 32 bytes have no other speed.
        ("full speed", device("00 02", "10") + &interrupt("0a")),
        ("full speed", device("00 02", "20") + &interrupt("0a")),
        ("full speed", device("00 02", "40") + &serial("40 00")),
        ("high speed", device("00 02", "40") + &serial("00 02")),
        ("high speed", device("00 02", "40") + &interrupt("04")),
        // A release is no speed: SuperSpeed has an exponent there.
        ("high speed", device("00 03", "40") + &serial("00 02")),
        ("SuperSpeed", device("00 03", "09") + super_speed),
        // Without a device descriptor.
        ("SuperSpeed", super_speed.to_owned()),
        ("full speed", serial("40 00")),
        ("high speed", serial("00 02")),
    ] {
        let expected = (0, format!("at {speed}: 0 errors, 0 warnings"));
        assert_eq!(verdict(&["-"], &bytes), expected, "{bytes}");
    }
    // Nothing is guessed where the speed is told.
    let bytes = device("10 01", "08") + &serial("40 00");
    let (code, last) = verdict(&["--speed", "low", "-"], &bytes);
    assert_eq!((code, &last[..]), (1, "at low speed: 2 errors, 0 warnings"));
}

#[test]
fn without_descriptors_it_fails() {
    let folder = Folder::new("describe-empty");
    let file = folder.empty("empty.bin", 0);
    refuses(&["-"], "", "standard input: there is no descriptor");
    refuses(
        &["-"],
        "# nothing\n",
        "standard input: there is no descriptor",
    );
    refuses(&["--json", &file], "", "empty.bin: there is no descriptor");
    refuses(&[&folder.path("none")], "", "No such file");
    // A folder as sysfs has it.
    folder.empty("descriptors", 0);
    refuses(&[&folder.path("")], "", "there is no descriptor");
    let bytes: Vec<u8> = vec![18, 1, 0, 2, 0, 0, 0, 64, 9, 18, 1, 0, 0, 1, 0, 0, 0, 1];
    fs::write(folder.path("descriptors"), bytes).unwrap();
    fs::write(folder.path("speed"), "12\n").unwrap();
    let (code, last) = verdict(&[&folder.path("")], "");
    assert_eq!(
        (code, &last[..]),
        (0, "at full speed: 0 errors, 0 warnings")
    );
}

#[test]
fn mistakes_are_told() {
    refuses(&[], "", "no device");
    refuses(&["--speed", "fast", "-"], "", "a speed is low, full");
    refuses(&["--frob"], "", "--frob");
    refuses(&["-"], "12 xy", "\"xy\" is not hexadecimal");
    refuses(&["-"], "12 123", "\"123\" has an odd number of digits");
    refuses(
        &["-"],
        "00000010: 1201",
        "an offset of 0x10 after 0x0 bytes",
    );
    refuses(&["--explain", "no-such-rule"], "", "no rule no-such-rule");
}

#[test]
fn what_xxd_writes_is_read() {
    let plain = device("00 02", "40") + &serial("00 02");
    let xxd = "00000000: 1201 0002 0000 0040 0912 0100 0001 0000  .......@........\n\
               00000010: 0001 0902 2000 0101 0080 3209 0400 0002  .... .....2.....\n\
               00000020: ff00 0000 0705 8102 0002 0007 0502 0200  ................\n\
               00000030: 0200                                     ..\n";
    assert_eq!(json(&["--json", "-"], xxd), json(&["--json", "-"], &plain));
}

#[test]
fn json_has_each_byte() {
    let broken = [
        // A configuration too short for its own fields, one of another type, and one with more
        // behind its total length than an interface.
        device("00 02", "40") + "09 02 12 00",
        device("00 02", "40") + "08 02 11 00 01 01 00 80 09 04 00 00 00 ff 00 00 00",
        device("00 02", "40") + "09 03 12 00 01 01 00 80 32 09 04 00 00 00 ff 00 00 00",
        device("00 02", "40") + "09 02 12 00 01 01 00 80 32 09 04 00 00 00 ff 00 00 00 05 24 1 2 3",
        device("00 02", "40") + "09 02 12 00 01 01 00 80 32 09 04 00 00 00 ff 00 00 00 05",
        "05 0f 16 00 02 07 10 02 02 00 00 00 0a".into(),
    ];
    let whole = device("00 02", "40") + &serial("00 02");
    for text in broken.iter().chain([&whole]) {
        let pairs = text.split_whitespace().map(|word| format!("{word:0>2}"));
        let expected: String = pairs.collect();
        let value = json(&["--json", "-"], text);
        let descriptors = value["descriptors"].as_array().unwrap();
        let bytes = descriptors
            .iter()
            .map(|each| each["bytes"].as_str().unwrap());
        assert_eq!(bytes.collect::<String>(), expected);
    }
}

#[test]
fn json_has_findings_with_their_values_and_strings() {
    let bytes = device("00 02", "40") + &serial("00 01");
    let value = json(&["--speed", "high", "--json", "-"], &bytes);
    assert_eq!(value["speed"], "high speed");
    let finding = &value["findings"][0];
    assert_eq!(finding["rule"], "packet-size");
    assert_eq!(finding["severity"], "error");
    assert_eq!(
        (&finding["start"], &finding["end"]),
        (&18.into(), &25.into())
    );
    assert_eq!(
        (&finding["found"], &finding["expected"]),
        (&256.into(), &512.into())
    );
    assert_eq!(value["strings"], Value::Array(vec![]));
    // What has no number is null.
    let bytes = device("00 02", "40") + "09 02 13 00 01 01 00 80 32 09 04 00 00 00 ff 00 00 00 05";
    let value = json(&["--json", "-"], &bytes);
    assert_eq!(value["findings"][0]["rule"], "trailing-bytes");
    assert_eq!(value["findings"][0]["found"], Value::Null);

    let only = json(&["--findings", "--json", "-"], &bytes);
    assert_eq!(only["findings"], value["findings"]);
    let keys: Vec<_> = only.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["findings", "speed"]);

    let folder = Folder::new("describe-strings");
    let mut bytes = vec![18, 1, 0, 2, 0, 0, 0, 64, 9, 18, 1, 0, 0, 1, 0, 0, 0, 1];
    bytes[15] = 2;
    fs::write(folder.path("descriptors"), bytes).unwrap();
    fs::write(folder.path("product"), "A \"µ\"\n").unwrap();
    let value = json(&["--json", &folder.path("")], "");
    let string = &value["strings"][0];
    assert_eq!(
        (&string["index"], &string["text"]),
        (&2.into(), &"A \"µ\"".into())
    );
    assert_eq!(string["bytes"], "0c03410020002200b5002200");
}

#[test]
fn findings_alone_are_one_line_each() {
    let bytes = device("00 02", "40") + &serial("00 01");
    let output = describe(&["--findings", "--speed", "high", "-"], &bytes);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("error: packet-size: configuration 0, bytes 18..25: "));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn each_rule_is_explained() {
    let all = describe(&["--explain"], "");
    assert_eq!(all.status.code(), Some(0));
    let all = String::from_utf8(all.stdout).unwrap();
    for rule in RULES {
        let one = describe(&["--explain", rule.id()], "");
        let one = String::from_utf8(one.stdout).unwrap();
        assert!(one.starts_with(&format!("{}: {}\n", rule.id(), rule.severity())));
        assert!(one.contains(rule.clause()) && all.contains(one.trim_end()));
    }
    let all = json(&["--explain", "--json"], "");
    assert_eq!(all.as_array().unwrap().len(), RULES.len());
    let one = json(&["--explain", "--json", "interval"], "");
    assert_eq!(one[0]["rule"], "interval");
    assert_eq!(one.as_array().unwrap().len(), 1);
}
