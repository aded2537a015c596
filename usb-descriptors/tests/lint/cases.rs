//! What breaks each rule.

use usb_descriptors::Speed::{Full, High, Low, Super};

use crate::devices::*;

/// Rule, what breaks it, and a twin that does not.
pub(crate) fn cases() -> Vec<(&'static str, Case, Case)> {
    let (zero, first) = (interface(0, 0, 0), interface(1, 0, 0));
    vec![
        (
            "length-below-2",
            high(&[&zero, &[1, 0x41]]),
            high(&[&zero, &[2, 0x41]]),
        ),
        (
            "length-overrun",
            high(&[&zero, &[4, 0x41, 0]]),
            high(&[&zero, &[3, 0x41, 0]]),
        ),
        ("trailing-bytes", high(&[&zero, &[0]]), plain()),
        (
            "length-too-short",
            composite(&[&zero, &[7, 0x0b, 0, 1, 0xff, 0, 0]]),
            composite(&[&association(0, 1), &zero]),
        ),
        // The configuration's own: 0, 8 and another type.
        (
            "length-below-2",
            plain().with(|case| case.configurations[0][0] = 0),
            plain(),
        ),
        (
            "length-too-short",
            plain().with(|case| {
                case.configurations[0].remove(8);
                case.configurations[0][0] = 8;
            }),
            plain(),
        ),
        (
            "configuration-type",
            plain().with(|case| case.configurations[0][1] = 3),
            plain(),
        ),
        (
            "length-beyond-known",
            high(&[&[10, 4, 0, 0, 0, 0xff, 0, 0, 0, 0]]),
            plain(),
        ),
        (
            "total-length-beyond",
            plain().with(|case| case.configurations[0][2] = 19),
            plain(),
        ),
        (
            "total-length-short",
            high(&[&zero, &[2, 0x41]]).with(|case| case.configurations[0][2] = 18),
            plain(),
        ),
        (
            "nested-descriptor",
            high(&[&zero, &[10, 6, 0, 2, 0, 0, 0, 64, 1, 0]]),
            plain(),
        ),
        (
            "endpoint-before-interface",
            high(&[&BULK_IN, &zero]),
            one(High, &[&BULK_IN]),
        ),
        (
            "interface-count",
            plain().with(|case| case.configurations[0][4] = 2),
            plain(),
        ),
        (
            "interface-number",
            high(&[&zero, &interface(2, 0, 0)]),
            high(&[&zero, &first]),
        ),
        (
            "setting-duplicate",
            high(&[&zero, &zero]),
            high(&[&zero, &interface(0, 1, 0)]),
        ),
        (
            "setting-gap",
            high(&[&zero, &interface(0, 2, 0)]),
            high(&[&zero, &interface(0, 1, 0)]),
        ),
        (
            "endpoint-count",
            high(&[&interface(0, 0, 2), &BULK_IN]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-zero",
            one(High, &[&endpoint(0x80, 2, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-address",
            one(High, &[&endpoint(0x91, 2, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "endpoint-duplicate",
            high(&[&interface(0, 0, 1), &BULK_IN, &interface(1, 0, 1), &BULK_IN]),
            high(&[&interface(0, 0, 1), &BULK_IN, &interface(0, 1, 1), &BULK_IN]),
        ),
        (
            "endpoint-duplicate",
            high(&[
                &interface(0, 0, 2),
                &endpoint(0x01, 0, 64, 0),
                &endpoint(0x81, 2, 512, 0),
            ]),
            high(&[
                &interface(0, 0, 2),
                &endpoint(0x01, 2, 512, 0),
                &endpoint(0x81, 2, 512, 0),
            ]),
        ),
        (
            "endpoint-type",
            one(Low, &[&endpoint(0x81, 2, 8, 0)]),
            one(Low, &[&endpoint(0x81, 3, 8, 10)]),
        ),
        (
            "packet-size",
            one(High, &[&endpoint(0x81, 2, 64, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "packet-size",
            one(Full, &[&endpoint(0x81, 3, 65, 1)]),
            one(Full, &[&endpoint(0x81, 3, 64, 1)]),
        ),
        (
            "packet-size",
            one(Full, &[&endpoint(0x81, 2, 48, 0)]),
            one(Full, &[&endpoint(0x81, 2, 32, 0)]),
        ),
        (
            "packet-size",
            one(Super, &[&BULK_IN, &companion(0, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0)]),
        ),
        (
            "packet-size-zero",
            in_setting_1(High, &[&endpoint(0x81, 1, 0, 1)]),
            one(High, &[&endpoint(0x81, 1, 0, 1)]),
        ),
        (
            "high-bandwidth",
            in_setting_1(High, &[&endpoint(0x81, 1, 0x1c00, 1)]),
            in_setting_1(High, &[&endpoint(0x81, 1, 0x1400, 1)]),
        ),
        (
            "high-bandwidth",
            in_setting_1(Full, &[&endpoint(0x81, 3, 0x0808, 1)]),
            in_setting_1(Full, &[&endpoint(0x81, 3, 8, 1)]),
        ),
        (
            "interval",
            one(High, &[&endpoint(0x81, 3, 8, 17)]),
            one(High, &[&endpoint(0x81, 3, 8, 16)]),
        ),
        (
            "interval",
            one(Full, &[&endpoint(0x81, 3, 8, 0)]),
            one(Full, &[&endpoint(0x81, 3, 8, 255)]),
        ),
        (
            "interval",
            one(Low, &[&endpoint(0x81, 3, 8, 9)]),
            one(Low, &[&endpoint(0x81, 3, 8, 10)]),
        ),
        (
            "bandwidth-in-setting-0",
            one(High, &[&endpoint(0x81, 1, 64, 1)]),
            in_setting_1(High, &[&endpoint(0x81, 1, 64, 1)]),
        ),
        (
            "endpoint-attributes",
            one(High, &[&endpoint(0x81, 6, 512, 0)]),
            one(High, &[&BULK_IN]),
        ),
        (
            "feedback-missing",
            in_setting_1(High, &[&endpoint(0x01, 5, 64, 1)]),
            high(&[
                &interface(0, 0, 0),
                &interface(0, 1, 2),
                &endpoint(0x01, 5, 64, 1),
                &endpoint(0x81, 0x11, 4, 1),
            ]),
        ),
        (
            "companion-missing",
            Case::new(Super, &[&interface(0, 0, 1), &SUPER_IN]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0)]),
        ),
        (
            "companion-misplaced",
            one(Super, &[&SUPER_IN, &[2, 0x41], &companion(0, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 0, 0), &[2, 0x41]]),
        ),
        (
            "companion-misplaced",
            Case::new(Super, &[&interface(0, 0, 0), &companion(0, 0, 0)]),
            Case::new(Super, &[&interface(0, 0, 0)]),
        ),
        (
            "companion-burst",
            one(Super, &[&SUPER_IN, &companion(16, 0, 0)]),
            one(Super, &[&SUPER_IN, &companion(15, 0, 0)]),
        ),
        (
            "companion-streams",
            one(Super, &[&SUPER_IN, &companion(0, 17, 0)]),
            one(Super, &[&SUPER_IN, &companion(0, 16, 0)]),
        ),
        (
            "companion-mult",
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 3, 0)]),
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 2, 0)]),
        ),
        (
            "companion-bytes",
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(1, 0, 17)]),
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(1, 0, 16)]),
        ),
        (
            "companion-bytes-zero",
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(0, 0, 0)]),
            one(Super, &[&endpoint(0x81, 3, 8, 1), &companion(0, 0, 8)]),
        ),
        (
            "plus-companion",
            in_setting_1(
                Super,
                &[&endpoint(0x81, 1, 1024, 1), &companion(0, 0x80, 1)],
            ),
            in_setting_1(
                Super,
                &[
                    &endpoint(0x81, 1, 1024, 1),
                    &companion(0, 0x80, 1),
                    &[8, 0x31, 0, 0, 0, 4, 0, 0],
                ],
            ),
        ),
        (
            "plus-companion",
            in_setting_1(
                Super,
                &[
                    &endpoint(0x81, 1, 1024, 1),
                    &companion(0, 0, 1),
                    &[8, 0x31, 0, 0, 0, 4, 0, 0],
                ],
            ),
            in_setting_1(Super, &[&endpoint(0x81, 1, 1024, 1), &companion(0, 0, 1)]),
        ),
        (
            "association-range",
            composite(&[&association(0, 2), &zero]),
            composite(&[&association(0, 2), &zero, &first]),
        ),
        (
            "association-overlap",
            composite(&[&association(0, 2), &association(1, 1), &zero, &first]),
            composite(&[&association(0, 1), &association(1, 1), &zero, &first]),
        ),
        (
            "association-class",
            high(&[&association(0, 1), &zero]),
            composite(&[&association(0, 1), &zero]),
        ),
        (
            "association-missing",
            composite(&[&class(0, 0, 0, [0x0e, 1, 0]), &class(1, 0, 0, [0x0e, 2, 0])]),
            composite(&[
                &association(0, 2),
                &class(0, 0, 0, [0x0e, 1, 0]),
                &class(1, 0, 0, [0x0e, 2, 0]),
            ]),
        ),
        (
            "attributes-bit-7",
            plain().with(|case| case.configurations[0][7] = 0x40),
            plain().with(|case| case.configurations[0][7] = 0xc0),
        ),
        (
            "attributes-reserved",
            plain().with(|case| case.configurations[0][7] = 0x81),
            plain().with(|case| case.configurations[0][7] = 0xe0),
        ),
        (
            "max-power",
            plain().with(|case| case.configurations[0][8] = 251),
            plain().with(|case| case.configurations[0][8] = 250),
        ),
        (
            "max-power",
            Case::new(Super, &[&zero]).with(|case| case.configurations[0][8] = 114),
            Case::new(Super, &[&zero]).with(|case| case.configurations[0][8] = 113),
        ),
        (
            "control-packet-size",
            plain().with(|case| case.device[7] = 32),
            Case::new(Full, &[&zero]).with(|case| case.device[7] = 32),
        ),
        (
            "super-release",
            Case::new(Super, &[&zero]).with(|case| case.device[3] = 2),
            Case::new(Super, &[&zero]),
        ),
        (
            "release-digits",
            plain().with(|case| case.device[12] = 0x0a),
            plain().with(|case| case.device[12] = 0x10),
        ),
        (
            "no-configuration",
            plain().with(|case| case.device[17] = 0),
            plain(),
        ),
        (
            "configuration-count",
            plain().with(|case| case.device[17] = 2),
            plain(),
        ),
        (
            "too-many",
            plain().with(|case| {
                case.configurations = (1..=9)
                    .map(|value| configuration(&[&zero]).with_value(value))
                    .collect();
                case.device[17] = 9;
            }),
            plain().with(|case| {
                case.configurations = (1..=8)
                    .map(|value| configuration(&[&zero]).with_value(value))
                    .collect();
                case.device[17] = 8;
            }),
        ),
        ("too-many", interfaces(33), interfaces(32)),
        (
            "bos-count",
            super_bos(3, &[&LPM, &SUPERSPEED]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "bos-usb2-extension",
            super_bos(1, &[&SUPERSPEED]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "bos-superspeed",
            super_bos(1, &[&LPM]),
            super_bos(2, &[&LPM, &SUPERSPEED]),
        ),
        (
            "length-too-short",
            super_bos(3, &[&LPM, &SUPERSPEED, &[3, 0x10, 4]]),
            super_bos(3, &[&LPM, &SUPERSPEED, &[3, 0x10, 11]]),
        ),
        (
            "bos-missing",
            plain().with(|case| {
                case.device[2] = 1;
                case.bos = Some(None);
            }),
            plain().with(|case| case.bos = Some(None)),
        ),
        (
            "string-missing",
            string(1, &[4, 3, 65, 0]).with(|case| case.device[16] = 9),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-odd",
            string(1, &[5, 3, 65, 0, 66]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-nul",
            string(1, &[6, 3, 65, 0, 0, 0]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "string-surrogate",
            string(1, &[4, 3, 0, 0xd8]),
            string(1, &[6, 3, 0, 0xd8, 0, 0xdc]),
        ),
        (
            "languages",
            string(1, &[4, 3, 65, 0]).with(|case| case.strings.as_mut().unwrap()[0].1 = vec![2, 3]),
            string(1, &[4, 3, 65, 0]),
        ),
        (
            "configuration-value-zero",
            plain().with(|case| case.configurations[0][5] = 0),
            plain(),
        ),
        (
            "configuration-value-repeated",
            plain().with(|case| {
                case.configurations
                    .push(configuration(&[&interface(0, 0, 0)]));
                case.device[17] = 2;
            }),
            plain().with(|case| {
                case.configurations
                    .push(configuration(&[&interface(0, 0, 0)]).with_value(2));
                case.device[17] = 2;
            }),
        ),
        ("hid-missing", hid(&[]), hid(&HID)),
        (
            "hid-misplaced",
            high(&[&class(0, 0, 1, [3, 0, 0]), &endpoint(0x81, 3, 8, 7), &HID]),
            hid(&HID),
        ),
        (
            "hid-count",
            hid(&[9, 0x21, 0x11, 1, 0, 2, 0x22, 74, 0]),
            hid(&HID),
        ),
        (
            "hid-report-length",
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 0, 0]),
            hid(&HID),
        ),
        (
            "hid-report-length",
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 1, 0x10]),
            hid(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 0, 0x10]),
        ),
        (
            "bot-endpoints",
            high(&[&class(0, 0, 1, [8, 6, 0x50]), &BULK_IN]),
            high(&[&class(0, 0, 2, [8, 6, 0x50]), &BULK_IN, &BULK_OUT]),
        ),
        (
            "union-absent",
            high(&[
                &class(0, 0, 0, [2, 2, 1]),
                &[5, 0x24, 6, 0, 2],
                &class(1, 0, 0, [10, 0, 0]),
            ]),
            high(&[
                &class(0, 0, 0, [2, 2, 1]),
                &[5, 0x24, 6, 0, 1],
                &class(1, 0, 0, [10, 0, 0]),
            ]),
        ),
        (
            "header-interfaces",
            audio(&[]).with(|case| case.configurations[0][26] = 7),
            audio(&[]),
        ),
        (
            "class-total-length",
            audio(&[]).with(|case| case.configurations[0][23] = 10),
            audio(&[]),
        ),
        (
            "entity-duplicate",
            audio(&[&INPUT, &INPUT]),
            audio(&[&INPUT]),
        ),
        (
            "entity-source",
            audio(&[&OUTPUT]),
            audio(&[&INPUT, &OUTPUT]),
        ),
        (
            "entity-cycle",
            audio(&[&[7, 0x24, 5, 3, 1, 4, 0], &[7, 0x24, 5, 4, 1, 3, 0]]),
            audio(&[&INPUT, &[7, 0x24, 5, 3, 1, 4, 0], &[7, 0x24, 5, 4, 1, 1, 0]]),
        ),
        ("terminal-link", linked(2), linked(1)),
        (
            "frame-intervals",
            video(&frame(7, 25, 0, 2)),
            video(&frame(7, 25, 0, 3)),
        ),
        (
            "frame-intervals",
            video(&frame(5, 25, 2, 1)),
            video(&frame(5, 25, 2, 2)),
        ),
        (
            "frame-intervals",
            video(&frame(0x11, 21, 0, 0)),
            video(&frame(0x11, 21, 1, 1)),
        ),
        ("pipe-usage", uas([1, 2, 3, 3]), uas([1, 2, 3, 4])),
        (
            "qualifier-missing",
            plain().with(|case| case.qualifier = Some(None)),
            plain(),
        ),
        (
            "full-speed-only",
            Case::new(Full, &[&zero]).with(|case| case.qualifier = Some(None)),
            Case::new(Full, &[&zero]),
        ),
        (
            "other-speed-type",
            plain().with(|case| case.other_speed = case.configurations.clone()),
            plain().with(|case| {
                case.other_speed = case.configurations.clone();
                case.other_speed[0][1] = 7;
            }),
        ),
    ]
}
