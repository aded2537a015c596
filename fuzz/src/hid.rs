//! Keyboard, mouse and tablet: see `function.rs`.

use testkit::Decisions;
use usb_descriptors::Speed;
use usb_functions::{
    Buttons, DeviceOptions, Keyboard, KeyboardLayout, Mouse, Stroke, Tablet, Usage,
};

use crate::choices::word;
use crate::function::{self, Subject};

/// GET_REPORT, SET_REPORT, idle, protocol, descriptors.
const REQUESTS: &[[u8; 8]] = &[
    [0xa1, 0x01, 0, 1, 0, 0, 8, 0],
    [0x21, 0x09, 0, 2, 0, 0, 1, 0],
    [0xa1, 0x02, 0, 0, 0, 0, 1, 0],
    [0x21, 0x0a, 0, 0, 0, 0, 0, 0],
    [0xa1, 0x03, 0, 0, 0, 0, 1, 0],
    [0x21, 0x0b, 0, 0, 0, 0, 0, 0],
    [0x81, 0x06, 0, 0x22, 0, 0, 0xff, 0],
    [0x81, 0x06, 0, 0x21, 0, 0, 9, 0],
];

/// Reports that may wait.
const MOST_WAITING: usize = 1 << 14;

/// The first byte says which device.
pub fn run(input: &[u8]) {
    let (which, input) = input.split_first().unwrap_or((&0, &[]));
    let options = DeviceOptions::new(Speed::High);
    match which % 3 {
        0 => {
            let keyboard = Keyboard::new(options).expect("a keyboard");
            let check = |keyboard: &mut Keyboard| {
                assert!(keyboard.waiting() <= MOST_WAITING);
                let _ = keyboard.poll_event();
            };
            let subject = subject(press, check, Keyboard::detach);
            let mut keyboard = function::run(input, keyboard, &subject);
            assert_eq!(keyboard.waiting(), 0, "what was for the last host is gone");
            keyboard.press(Usage::A);
            assert_eq!(keyboard.waiting(), 1);
            function::leave(keyboard, &subject);
        }
        1 => {
            let mouse = Mouse::new(options).expect("a mouse");
            let check = |mouse: &mut Mouse| assert!(mouse.waiting() <= MOST_WAITING);
            let subject = subject(roll, check, Mouse::detach);
            let mouse = function::run(input, mouse, &subject);
            assert_eq!(mouse.waiting(), 0, "what was for the last host is gone");
            function::leave(mouse, &subject);
        }
        _ => {
            let tablet = Tablet::new(options).expect("a tablet");
            let check = |tablet: &mut Tablet| assert!(tablet.waiting() <= MOST_WAITING);
            let subject = subject(point, check, Tablet::detach);
            let tablet = function::run(input, tablet, &subject);
            assert_eq!(tablet.waiting(), 0, "what was for the last host is gone");
            function::leave(tablet, &subject);
        }
    }
}

fn subject<F>(
    act: fn(&mut F, &mut Decisions<'_>),
    check: fn(&mut F),
    detach: fn(&mut F),
) -> Subject<F> {
    Subject {
        requests: REQUESTS,
        endpoints: &[0x81],
        isochronous: false,
        settings: &[(0, 0)],
        act,
        check,
        detach,
    }
}

fn press(keyboard: &mut Keyboard, decisions: &mut Decisions<'_>) {
    let usage = Usage(decisions.byte());
    match decisions.below(6) {
        0 | 1 => keyboard.press(usage),
        2 => keyboard.release(usage),
        3 => keyboard.release_all(),
        4 => {
            let modifiers = usb_functions::Modifiers(decisions.byte());
            keyboard.strike([Stroke::new(modifiers, usage)]);
        }
        _ => {
            let room = keyboard.room();
            let text: String = decisions
                .take(40)
                .iter()
                .map(|byte| char::from(*byte))
                .collect();
            let before = keyboard.waiting();
            match keyboard.type_text(&text, KeyboardLayout::US) {
                Ok(()) => assert!(text.chars().count() <= room),
                Err(_) => assert_eq!(keyboard.waiting(), before, "nothing is typed in part"),
            }
        }
    }
}

fn roll(mouse: &mut Mouse, decisions: &mut Decisions<'_>) {
    let far = decisions.chance();
    let count = |decisions: &mut Decisions<'_>| {
        let count = word(decisions) as i32;
        if far { count } else { count >> 22 }
    };
    let (right, down, wheel) = (count(decisions), count(decisions), count(decisions));
    match decisions.below(3) {
        0 => mouse.set_buttons(Buttons(decisions.byte())),
        _ => mouse.move_by(right, down, wheel),
    }
}

fn point(tablet: &mut Tablet, decisions: &mut Decisions<'_>) {
    let (low, high) = (word(decisions) as u16, word(decisions));
    match decisions.below(4) {
        0 => tablet.set_buttons(Buttons(decisions.byte())),
        1 => tablet.scroll(high as i32 >> 16),
        _ => tablet.move_to(low, high as u16),
    }
}
