//! For each rule, the least that breaks it and nothing else, and a twin that does not.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test that panics fails, and its numbers are small"
)]

mod cases;
mod devices;
mod places;

use std::collections::BTreeSet;

use cases::cases;
use devices::*;
use places::PLACES;
use usb_descriptors::Speed::High;
use usb_descriptors::lint::{RULES, lint};
use usb_descriptors::{Asked, DeviceBytes};

#[test]
fn each_rule_is_broken_alone_and_its_twin_is_clean() {
    let mut wrong = Vec::new();
    for (rule, broken, twin) in cases() {
        let found = broken.found();
        if found != BTreeSet::from([rule]) {
            wrong.push(format!("{rule}: the broken one has {found:?}"));
        }
        let found = twin.found();
        if !found.is_empty() {
            wrong.push(format!("{rule}: the twin has {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_rule_is_found_at_its_bytes() {
    let found: Vec<_> = cases()
        .iter()
        .flat_map(|(_, broken, _)| broken.findings())
        .collect();
    for (at, (found, expected)) in found.iter().zip(PLACES).enumerate() {
        assert_eq!(found, expected, "case {at}");
    }
    assert_eq!(found.len(), PLACES.len());
}

#[test]
fn each_rule_has_a_case() {
    let tested: BTreeSet<_> = cases().into_iter().map(|(rule, ..)| rule).collect();
    let all: BTreeSet<_> = RULES.iter().map(|rule| rule.id()).collect();
    assert_eq!(tested, all);
}

/// A header that cannot be read is told by its own values, and does not hide what it heads.
#[test]
fn what_lies_behind_an_unreadable_configuration_is_checked() {
    let sound = one(High, &[&endpoint(0x81, 2, 64, 0)]);
    let of = |change: &dyn Fn(&mut Vec<u8>)| {
        let case = sound
            .clone()
            .with(|case| change(&mut case.configurations[0]));
        let mut found = Vec::new();
        let configurations = [&case.configurations[0][..]];
        let device = DeviceBytes::new(&case.device).configurations(&configurations);
        lint(device, High, &mut |finding| {
            found.push((finding.rule.id(), finding.range(), finding.found));
        });
        found
    };
    let packet_size = |at: usize| ("packet-size", at..at + 7, Some(64));
    assert_eq!(of(&|_| ()), [packet_size(18)]);
    assert_eq!(
        of(&|bytes| bytes[1] = 3),
        [("configuration-type", 1..2, Some(3)), packet_size(18)]
    );
    // The interface itself where the configuration should stand.
    assert_eq!(
        of(&|bytes| drop(bytes.drain(..9))),
        [("configuration-type", 1..2, Some(4)), packet_size(9)]
    );
    let short = of(&|bytes| {
        bytes[0] = 8;
        bytes.remove(8);
    });
    assert_eq!(
        short,
        [("length-too-short", 0..8, Some(8)), packet_size(17)]
    );
    for length in [0, 1] {
        let found = of(&|bytes| bytes[0] = length);
        assert_eq!(found, [("length-below-2", 0..25, Some(length.into()))]);
    }
    assert_eq!(
        of(&|bytes| bytes.truncate(4)),
        [("length-overrun", 0..4, Some(9))]
    );
    assert_eq!(
        of(&|bytes| bytes.clear()),
        [("length-too-short", 0..0, Some(0))]
    );
}

#[test]
fn of_what_nobody_asked_for_nothing_is_said() {
    let case = plain().with(|case| {
        case.device[2] = 0x10;
        case.device[15] = 4;
    });
    assert_eq!(case.found(), BTreeSet::new());
    let bytes = DeviceBytes::new(&case.device);
    assert_eq!(bytes.bos_bytes(), Asked::Unknown);
}

/// Run with `LINT_RULES=write` to make the page anew.
#[test]
fn the_page_of_rules_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint-rules.md");
    let mut page = String::from(
        "# Rules of the descriptor linter\n\n\
         Made from the table in `usb-descriptors/src/lint/rules.rs` by\n\
         `LINT_RULES=write cargo test -p usb-descriptors --test lint`; do not edit.\n\n\
         Each is tested with the least that breaks it and with a twin that does not:\n\
         `usb-descriptors/tests/lint`.\n\n\
         | rule | severity | what is wrong | where it is said | what Linux does |\n\
         |---|---|---|---|---|\n",
    );
    for rule in RULES {
        let row = format!(
            "| `{}` | {} | {} | {} | {} |\n",
            rule.id(),
            rule.severity(),
            rule.explanation(),
            rule.clause(),
            rule.linux(),
        );
        page.push_str(&row);
    }
    if std::env::var_os("LINT_RULES").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "docs/lint-rules.md is not current");
}
