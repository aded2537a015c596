//! The same text makes the same rules, and the same rules say the same of a device.

use std::ffi::CString;

use oracle::filter::{self, Device};
use proptest::prelude::*;
use usb_descriptors::ClassCode;
use usbredir_proto::filter::{Check, DeviceIdentity, Rule, Rules, Verdict};

/// What both make of a text.
fn compare(text: &[u8]) {
    let whole = CString::new(text).expect("without NUL");
    let expected = filter::parse(&whole);
    let found = Rules::from_wire(text);
    let shown = String::from_utf8_lossy(text);
    match (&found, &expected) {
        (Err(_), None) => {}
        (Ok(found), Some(expected)) => {
            let found: Vec<_> = found.iter().map(filter::Rule::from).collect();
            let expected: Vec<_> = expected.iter().map(|rule| rule.plain()).collect();
            assert_eq!(found, expected, "{shown:?}");
        }
        _ => panic!("{shown:?}: ours {found:?}, theirs {expected:?}"),
    }
}

#[test]
fn each_form_is_read_alike() {
    for text in [
        "",
        "|",
        "|||3,1,2,3,1||",
        "0x03,,-1,-1,-1,0",
        ",,3,1,2,3,1,,",
        "010,0X1f,+7,-1,-1",
        "4294967299,-1,-1,-1,2",
        "99999999999999999999,-1,-1,-1,1",
        "-99999999999999999999,-1,-1,-1,1",
        "-4294967295,-1,-1,-1,1",
        "3,-1,-1,-1",
        "3,-1,-1,-1,1,1",
        "3 ,-1,-1,-1,1",
        " 3,\t-1,\n-1,\x0b-1,\r1",
        "256,-1,-1,-1,1",
        "-2,-1,-1,-1,1",
        "3,65536,-1,-1,1",
        "0x,-1,-1,-1,1",
        "08,-1,-1,-1,1",
        "0,0,0,0,0",
        "00,-0,+0,0x0,-0",
        "- 1,-1,-1,-1,1",
        "--1,-1,-1,-1,1",
        "+-1,-1,-1,-1,1",
        "0x-1,-1,-1,-1,1",
        "0b1,-1,-1,-1,1",
        "3,-1,-1,-1,x",
        "3,-1,-1,-1, ",
        "3,-1,-1,-1,1|x",
        "|,|",
    ] {
        compare(text.as_bytes());
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("-1".to_owned()),
        4 => (0..300u32).prop_map(|number| number.to_string()),
        4 => (0..0x1_0010u32).prop_map(|number| format!("{number:#x}")),
        2 => (0..0o200_010u32).prop_map(|number| format!("0{number:o}")),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => "[ \t+-]{0,2}(0x|0X|0)?[0-9a-fA-F]{0,3}[ ]?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let separator = prop_oneof![8 => Just(","), 1 => Just(",,"), 1 => Just("|"), 1 => Just("")];
    let token = (number(), separator).prop_map(|(number, separator)| number + separator);
    let rule = prop_oneof![
        6 => prop::collection::vec(number(), 5).prop_map(|rule| rule.join(",")),
        1 => prop::collection::vec(token, 0..8).prop_map(|rule| rule.concat()),
    ];
    prop::collection::vec(rule, 0..4).prop_map(|rules| rules.join("|"))
}

fn rule() -> impl Strategy<Value = Rule> {
    // Few values, so that some match.
    let class = prop::option::of(prop_oneof![
        Just(0u8),
        Just(3),
        Just(8),
        Just(0xef),
        Just(0xff)
    ]);
    let number = || prop::option::of(prop_oneof![3 => 0..2u16, 1 => any::<u16>()]);
    (class, number(), number(), number(), any::<bool>()).prop_map(
        |(class, vendor_id, product_id, release, allow)| Rule {
            class,
            vendor_id,
            product_id,
            release,
            allow,
        },
    )
}

fn device() -> impl Strategy<Value = Device> {
    let class = || prop_oneof![Just(0u8), Just(3), Just(8), Just(0xef), Just(0xff)];
    let interface = prop_oneof![
        1 => Just([3, 0, 0]),
        1 => Just([3, 1, 1]),
        1 => Just([3, 0, 1]),
        2 => class().prop_map(|class| [class, 0, 0]),
    ];
    let interfaces = prop::collection::vec(interface, 0..5);
    (class(), 0..2u16, 0..2u16, 0..2u16, interfaces).prop_map(
        |(class, vendor, product, version, interfaces)| Device {
            class,
            vendor,
            product,
            version,
            interfaces,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn text_is_read_alike(text in text()) {
        compare(text.as_bytes());
    }

    #[test]
    fn spoilt_text_is_read_alike(text in text(), at: prop::sample::Index, byte in 1u8..) {
        let mut text = text.into_bytes();
        if !text.is_empty() {
            *at.get_mut(&mut text) = byte;
            compare(&text);
        }
    }

    #[test]
    fn rules_are_printed_alike(rules in prop::collection::vec(rule(), 0..5)) {
        let ours: Rules = rules.iter().copied().collect();
        let rules: Vec<_> = rules.iter().map(filter::Rule::from).collect();
        prop_assert!(filter::verify(&rules));
        // None at all, which they cannot print, are sent as nothing.
        let expected = filter::print(&rules).unwrap_or_default();
        prop_assert_eq!(ours.to_wire(), expected.as_bytes());
        prop_assert_eq!(Rules::from_wire(expected.as_bytes()).unwrap(), ours);
    }

    /// What they do not verify, they do not read, and we have no value for.
    #[test]
    fn bounds_are_the_same(numbers in prop::array::uniform5(prop_oneof![-3..3, 0xfe..0x101, 0xfffe..0x1_0001, any::<i32>()])) {
        let [class, vendor, product, version, allow] = numbers;
        let rule = filter::Rule { class, vendor, product, version, allow };
        let text = numbers.map(|number| number.to_string()).join(",");
        prop_assert_eq!(Rules::from_wire(text.as_bytes()).is_ok(), filter::verify(&[rule]));
        compare(text.as_bytes());
    }

    #[test]
    fn devices_are_judged_alike(rules in prop::collection::vec(rule(), 0..6), device in device(), flags in 0..4) {
        let interfaces: Vec<_> = device.interfaces.iter().map(|[class, subclass, protocol]| ClassCode::new(*class, *subclass, *protocol)).collect();
        let identity = DeviceIdentity {
            class: device.class,
            vendor_id: device.vendor,
            product_id: device.product,
            release: device.version,
            interfaces: &interfaces,
        };
        let check = Check {
            default_allow: flags & 1 != 0,
            with_non_boot_hid: flags & 2 != 0,
        };
        let ours: Rules = rules.iter().copied().collect();
        let rules: Vec<_> = rules.iter().map(filter::Rule::from).collect();
        // EPERM and ENOENT.
        let found = match ours.check(&identity, check) {
            Verdict::Allowed => 0,
            Verdict::Denied => -1,
            Verdict::NoMatch => -2,
        };
        prop_assert_eq!(found, filter::check(&rules, &device, flags));
    }
}
