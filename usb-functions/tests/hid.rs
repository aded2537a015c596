//! Keyboard, mouse and tablet, as a host sees them.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use host::{Host, bytes, options};
use usb_descriptors::{SetupPacket, Speed};
use usb_functions::{
    Buttons, DeviceOptions, Keyboard, KeyboardEvent, KeyboardLayout, Leds, Modifiers, Mouse,
    Stroke, Tablet, TypingError, Usage,
};
use usb_transfer::{Frame, Function, FunctionEvent, Status};

const REPORTS: u8 = 0x81;

fn keyboard() -> Host<Keyboard> {
    let mut host = Host::new(Keyboard::new(options()).unwrap());
    // SET_IDLE, indefinite, as Linux says.
    host.ok([0x21, 10, 0, 0, 0, 0, 0, 0], &[]);
    host
}

/// All reports that wait, asked for one after the other in time.
fn reports<F: Function>(host: &mut Host<F>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut now = 1000;
    loop {
        let id = host.ask_in(REPORTS, 8);
        for _ in 0..3 {
            now += 32;
            host.device.start_of_frame(Frame(now));
        }
        match &host.completions()[..] {
            [report] => all.push(bytes(report).to_vec()),
            [] => break host.device.cancel(id),
            more => panic!("{more:?}"),
        }
    }
    host.completions();
    all
}

#[test]
fn a_text_is_its_keys_and_nothing_else() {
    let mut host = keyboard();
    let text = "aA";
    host.device.type_text(text, KeyboardLayout::US).unwrap();
    let key = |modifiers, usage| vec![modifiers, 0, usage, 0, 0, 0, 0, 0];
    let expected = [key(0, 4), key(0, 0), key(2, 4), key(0, 0)];
    assert_eq!(reports(&mut host), expected);
    // What was held is held again.
    host.device.press(Usage::LEFT_CONTROL);
    host.device.press(Usage(4));
    host.device.type_text("a", KeyboardLayout::US).unwrap();
    let expected = [
        key(1, 0),
        key(1, 4),
        key(0, 0),
        key(0, 4),
        key(0, 0),
        key(1, 4),
    ];
    assert_eq!(reports(&mut host), expected);
}

#[test]
fn what_cannot_be_typed_is_not_typed_in_part() {
    let mut host = keyboard();
    let error = host
        .device
        .type_text("abcü", KeyboardLayout::US)
        .unwrap_err();
    assert_eq!(error.to_string(), "no key makes 'ü', at byte 3");
    let room = host.device.room();
    let long = "x".repeat(room + 1);
    let error = host.device.type_text(&long, KeyboardLayout::US);
    assert!(matches!(error, Err(TypingError::TooLong { found, .. }) if found == room + 1));
    assert_eq!(host.device.waiting(), 0);
    host.device
        .type_text(&long[1..], KeyboardLayout::US)
        .unwrap();
    assert_eq!(host.device.waiting(), 2 * room);
    assert_eq!(host.device.room(), 0);
}

#[test]
fn six_keys_have_a_place_and_more_roll_over() {
    let mut host = keyboard();
    for usage in 4..11 {
        host.device.press(Usage(usage));
    }
    host.device.press(Usage::RIGHT_ALT);
    for usage in [4, 6] {
        host.device.release(Usage(usage));
    }
    host.device.press(Usage(0x02)); // no key
    host.device.release_all();
    let all = reports(&mut host);
    assert_eq!(all[5], [0, 0, 4, 5, 6, 7, 8, 9]);
    assert_eq!(all[6], [0, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(all[7], [0x40, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(all[8], [0x40, 0, 5, 6, 7, 8, 9, 10]);
    assert_eq!(all[9], [0x40, 0, 5, 7, 8, 9, 10, 0]);
    assert_eq!(all[10..], [[0; 8]]);
}

#[test]
fn a_host_that_asks_is_answered_once_in_an_interval() {
    let mut host = keyboard();
    host.device.press(Usage(4));
    host.device.release(Usage(4));
    for _ in 0..3 {
        host.ask_in(REPORTS, 8);
    }
    assert_eq!(host.completions().len(), 1, "the first waits for nobody");
    // The time is asked for, since it is not known.
    assert_eq!(host.device.next_frame(), Some(Frame(1)));
    host.device.start_of_frame(Frame(500));
    assert_eq!(host.device.next_frame(), Some(Frame(532)));
    host.device.start_of_frame(Frame(531));
    assert_eq!(host.completions(), []);
    host.device.start_of_frame(Frame(532));
    assert_eq!(bytes(&host.completion()), [0; 8].to_vec());
    host.device.start_of_frame(Frame(540));
    let ready = Some(Frame(8500));
    assert_eq!(host.device.next_frame(), ready, "nothing to tell");
}

#[test]
fn at_low_speed_an_interval_is_10_ms() {
    let low = DeviceOptions::new(Speed::Low);
    let mut host = Host::new(Keyboard::new(low).unwrap());
    host.device.press(Usage(4));
    host.device.release(Usage(4));
    host.ask_in(REPORTS, 8);
    host.completion();
    host.ask_in(REPORTS, 8);
    host.device.start_of_frame(Frame(500));
    assert_eq!(host.device.next_frame(), Some(Frame(580)));
    host.device.start_of_frame(Frame(579));
    assert_eq!(host.completions(), []);
    host.device.start_of_frame(Frame(580));
    host.completion();
}

#[test]
fn what_is_no_key_is_not_struck() {
    let mut host = keyboard();
    let none = Usage(0x02);
    host.device.strike([
        Stroke::new(Modifiers::NONE, none),
        Stroke::new(Modifiers::LEFT_SHIFT, none),
        Stroke::new(Modifiers::NONE, Usage(4)),
    ]);
    let all = reports(&mut host);
    assert_eq!(
        all,
        [
            [2, 0, 0, 0, 0, 0, 0, 0],
            [0; 8],
            [0, 0, 4, 0, 0, 0, 0, 0],
            [0; 8]
        ]
    );
}

#[test]
fn an_idle_rate_repeats_the_last_report() {
    let mut host = Host::new(Keyboard::new(options()).unwrap());
    let get_idle = [0xa1, 2, 0, 0, 0, 0, 1, 0];
    assert_eq!(host.ok(get_idle, &[])[..], [125]); // 500 ms
    host.ok([0x21, 10, 0, 2, 0, 0, 0, 0], &[]); // 8 ms
    assert_eq!(host.ok(get_idle, &[])[..], [2]);
    host.device.press(Usage(4));
    host.ask_in(REPORTS, 8);
    host.completion();
    host.ask_in(REPORTS, 8);
    host.device.start_of_frame(Frame(1000));
    assert_eq!(host.device.next_frame(), Some(Frame(1064)));
    host.device.start_of_frame(Frame(1063));
    assert_eq!(host.completions(), []);
    host.device.start_of_frame(Frame(1064));
    assert_eq!(bytes(&host.completion())[..], [0, 0, 4, 0, 0, 0, 0, 0]);
    // A rate for one report only, of which there is none.
    host.stalls([0x21, 10, 1, 2, 0, 0, 0, 0], &[]);
}

#[test]
fn requests_of_the_class() {
    let mut host = keyboard();
    let report = host.ok([0x81, 6, 0, 0x22, 0, 0, 0, 1], &[]);
    assert_eq!((report[0], report[report.len() - 1]), (0x05, 0xc0));
    let hid = host.ok([0x81, 6, 0, 0x21, 0, 0, 9, 0], &[]);
    assert_eq!(hid[..7], [9, 0x21, 0x11, 0x01, 0, 1, 0x22]);
    assert_eq!(usize::from(hid[7]), report.len());
    // GET_PROTOCOL and SET_PROTOCOL.
    assert_eq!(host.ok([0xa1, 3, 0, 0, 0, 0, 1, 0], &[])[..], [1]);
    host.ok([0x21, 11, 0, 0, 0, 0, 0, 0], &[]);
    assert_eq!(host.ok([0xa1, 3, 0, 0, 0, 0, 1, 0], &[])[..], [0]);
    host.stalls([0x21, 11, 2, 0, 0, 0, 0, 0], &[]);
    // GET_REPORT of input, output and feature; SET_REPORT of output.
    assert_eq!(host.ok([0xa1, 1, 0, 1, 0, 0, 8, 0], &[])[..], [0; 8]);
    host.device.press(Usage(4));
    // It says what is, whatever was told.
    assert_eq!(host.ok([0xa1, 1, 0, 1, 0, 0, 3, 0], &[])[..], [0, 0, 4]);
    reports(&mut host);
    assert_eq!(host.ok([0xa1, 1, 0, 1, 0, 0, 3, 0], &[])[..], [0, 0, 4]);
    host.ok([0x21, 9, 0, 2, 0, 0, 1, 0], &[2]);
    assert_eq!(host.ok([0xa1, 1, 0, 2, 0, 0, 1, 0], &[])[..], [2]);
    host.stalls([0xa1, 1, 0, 3, 0, 0, 1, 0], &[]);
    host.stalls([0x21, 9, 0, 1, 0, 0, 1, 0], &[2]);
    host.stalls([0x21, 9, 0, 2, 0, 0, 2, 0], &[2, 2]);
    // Another interface, another recipient.
    host.stalls([0xa1, 2, 0, 0, 1, 0, 1, 0], &[]);
    host.stalls([0xa0, 2, 0, 0, 0, 0, 1, 0], &[]);
    // Nothing of this without a configuration.
    host.ok(SetupPacket::set_configuration(0), &[]);
    host.stalls([0xa1, 2, 0, 0, 0, 0, 1, 0], &[]);
}

/// HID 1.11, 7.2.4 and 7.2.6: what one host has set is not the next one's.
#[test]
fn idle_rate_and_protocol_are_the_default_for_each_host() {
    let leave: [fn(&mut Host<Keyboard>); 2] = [
        |host| {
            host.device.reset();
            host.ok(SetupPacket::set_configuration(1), &[]);
        },
        |host| {
            host.ok(SetupPacket::set_configuration(1), &[]);
        },
    ];
    for leave in leave {
        let mut host = keyboard();
        host.ok([0x21, 10, 0, 2, 0, 0, 0, 0], &[]);
        host.ok([0x21, 11, 0, 0, 0, 0, 0, 0], &[]);
        leave(&mut host);
        assert_eq!(host.ok([0xa1, 2, 0, 0, 0, 0, 1, 0], &[])[..], [125]);
        assert_eq!(host.ok([0xa1, 3, 0, 0, 0, 0, 1, 0], &[])[..], [1]);
    }
}

#[test]
fn a_host_is_ready_when_it_has_asked_for_a_second() {
    let mut host = Host {
        device: Keyboard::new(options()).unwrap(),
        ids: Default::default(),
    };
    assert!(!host.device.is_configured());
    let mut now = 1000;
    for _ in 0..2 {
        host.ok(SetupPacket::set_configuration(1), &[]);
        assert!(host.device.is_configured());
        // Who does not ask is not ready.
        now += 80_000;
        host.device.start_of_frame(Frame(now));
        assert!(!host.device.is_ready());
        let id = host.ask_in(REPORTS, 8);
        assert_eq!(host.device.next_frame(), Some(Frame(1)), "what time is it?");
        host.device.start_of_frame(Frame(now));
        host.device.cancel(id);
        host.completions();
        assert_eq!(host.device.next_frame(), Some(Frame(now + 8000)));
        host.device.start_of_frame(Frame(now + 7999));
        assert_eq!(host.device.poll_event(), None);
        now += 8000;
        host.device.start_of_frame(Frame(now));
        assert!(host.device.is_ready());
        assert_eq!(host.device.poll_event(), Some(KeyboardEvent::Ready));
        assert_eq!(host.device.poll_event(), None);
        assert_eq!(host.device.next_frame(), None);
        host.device.reset();
        assert!(!host.device.is_ready() && !host.device.is_configured());
    }
}

#[test]
fn lights_are_told_and_go_out_with_the_host() {
    let mut host = keyboard();
    assert_eq!(host.device.poll_event(), None);
    host.ok([0x21, 9, 0, 2, 0, 0, 1, 0], &[1]);
    host.ok([0x21, 9, 0, 2, 0, 0, 1, 0], &[3]);
    let lit = Leds::NUM_LOCK | Leds::CAPS_LOCK;
    assert_eq!(host.device.poll_event(), Some(KeyboardEvent::Leds(lit)));
    assert_eq!(host.device.poll_event(), None);
    host.device.reset();
    let dark = KeyboardEvent::Leds(Leds::NONE);
    assert_eq!(host.device.poll_event(), Some(dark));
    assert_eq!(host.device.leds(), Leds::NONE);
}

#[test]
fn keys_of_before_a_reset_reach_no_other_host() {
    let mut keyboard = Keyboard::new(options()).unwrap();
    keyboard.type_text("early", KeyboardLayout::US).unwrap();
    let mut host = Host::new(keyboard);
    assert_eq!(host.device.waiting(), 10, "kept for the first host");
    host.device.press(Usage::LEFT_SHIFT);
    let id = host.ask_in(0x81, 8);
    host.completions();
    let pending = host.ask_in(0x81, 8);
    assert_ne!(id, pending);
    host.device.reset();
    let cancelled = host.completion();
    assert_eq!(
        (cancelled.id, cancelled.status),
        (pending, Status::CANCELLED)
    );
    assert_eq!(host.device.waiting(), 0);
    host.ok(SetupPacket::set_configuration(1), &[]);
    assert_eq!(reports(&mut host), Vec::<Vec<u8>>::new());
    host.device.press(Usage(4));
    assert_eq!(reports(&mut host), [[0, 0, 4, 0, 0, 0, 0, 0]]);
}

#[test]
fn a_short_transfer_babbles() {
    let mut host = keyboard();
    host.device.press(Usage(4));
    host.ask_in(REPORTS, 3);
    let babble = host.completion();
    assert_eq!(babble.status, Status::OVERFLOW);
    assert_eq!(bytes(&babble)[..], [0, 0, 4]);
}

#[test]
fn halts_stall_what_waits_and_what_comes() {
    let mut host = keyboard();
    host.ask_in(REPORTS, 8);
    let halt = [0x02, 3, 0, 0, REPORTS, 0, 0, 0];
    let all = host.control(halt, &[]);
    assert_eq!(all[0].status, Status::STALL);
    assert_eq!(all[1].status, Status::COMPLETED);
    host.ask_in(REPORTS, 8);
    assert_eq!(host.completion().status, Status::STALL);
    host.ok(SetupPacket::clear_halt(host::endpoint(REPORTS)), &[]);
    host.device.press(Usage(4));
    host.ask_in(REPORTS, 8);
    assert_eq!(host.completion().status, Status::COMPLETED);
    // Endpoints that are not there, or not of this kind.
    host.ask_in(0x82, 8);
    assert_eq!(host.completion().status, Status::STALL);
    host.ask_out(0x01, vec![1]);
    assert_eq!(host.completion().status, Status::STALL);
    host.ask_packets(REPORTS, &[8], None);
    assert_eq!(host.completion().status, Status::STALL);
}

#[test]
fn a_device_that_leaves_completes_everything_first() {
    let mut host = keyboard();
    host.device.press(Usage(4));
    let all = reports(&mut host);
    assert_eq!(all.len(), 1);
    let id = host.ask_in(REPORTS, 8);
    host.device.detach();
    host.device.detach();
    let Some(FunctionEvent::Complete(last)) = host.device.poll() else {
        panic!("the transfer first");
    };
    assert_eq!((last.id, last.status), (id, Status::DISCONNECTED));
    assert_eq!(host.device.poll(), Some(FunctionEvent::Detached));
    assert_eq!(host.device.poll(), None);
    host.ask_in(REPORTS, 8);
    assert_eq!(host.completion().status, Status::DISCONNECTED);
    let refused = host.control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]);
    assert_eq!(refused[0].status, Status::DISCONNECTED);
    host.device.press(Usage(4));
    assert_eq!((host.device.waiting(), host.device.room()), (0, 0));
    let error = host.device.type_text("a", KeyboardLayout::US);
    assert_eq!(error, Err(TypingError::Detached));
}

#[test]
fn motion_adds_up_and_clicks_stay_apart() {
    let mut host = Host::new(Mouse::new(options()).unwrap());
    host.device.move_by(100, -3, 1);
    host.device.move_by(100, 0, 0);
    host.device.set_buttons(Buttons::LEFT);
    host.device.move_by(-1, 0, 0);
    host.device.set_buttons(Buttons::NONE);
    host.device.set_buttons(Buttons(0xe0));
    let expected: [&[u8]; 5] = [
        &[0, 127, 0xfd, 1],
        &[0, 73, 0, 0],
        &[1, 0, 0, 0],
        &[1, 0xff, 0, 0],
        &[0; 4],
    ];
    assert_eq!(reports(&mut host), expected);
    // A click before a motion is no drag.
    host.device.set_buttons(Buttons::LEFT);
    host.device.set_buttons(Buttons::NONE);
    host.device.move_by(100, 0, 0);
    host.device.move_by(1, 0, 0);
    assert_eq!(reports(&mut host), [[1, 0, 0, 0], [0; 4], [0, 101, 0, 0]]);
    // Motion after a button is not the button's, not even after none.
    host.device.set_buttons(Buttons::LEFT);
    host.device.move_by(0, 0, 0);
    host.device.move_by(5, 0, 0);
    assert_eq!(reports(&mut host), [[1, 0, 0, 0], [1, 5, 0, 0]]);
    host.device.set_buttons(Buttons::NONE);
    assert_eq!(reports(&mut host), [[0; 4]]);
    // In the boot protocol without the wheel.
    host.ok([0x21, 11, 0, 0, 0, 0, 0, 0], &[]);
    host.device.move_by(1, 2, 3);
    assert_eq!(reports(&mut host), [[0, 1, 2]]);
    // Motion is not told again.
    assert_eq!(host.ok([0xa1, 1, 0, 1, 0, 0, 3, 0], &[])[..], [0; 3]);
}

#[test]
fn a_tablet_is_where_it_was_moved_last() {
    let mut host = Host::new(Tablet::new(options()).unwrap());
    host.device.move_to(1, 2);
    host.device.move_to(0x1234, 60000);
    host.device.set_buttons(Buttons::RIGHT);
    host.device.scroll(-130);
    let expected = [
        [0, 0x34, 0x12, 0xff, 0x7f, 0],
        [2, 0x34, 0x12, 0xff, 0x7f, 0],
        [2, 0x34, 0x12, 0xff, 0x7f, 0x81],
        [2, 0x34, 0x12, 0xff, 0x7f, 0xfd],
    ];
    assert_eq!(reports(&mut host), expected);
    // Released and scrolled where it was pressed.
    host.device.set_buttons(Buttons::NONE);
    host.device.move_to(100, 100);
    host.device.set_buttons(Buttons::LEFT);
    host.device.set_buttons(Buttons::NONE);
    host.device.move_to(900, 900);
    host.device.move_to(0x0384, 901);
    let clicked = [
        [0, 0x34, 0x12, 0xff, 0x7f, 0],
        [0, 100, 0, 100, 0, 0],
        [1, 100, 0, 100, 0, 0],
        [0, 100, 0, 100, 0, 0],
        [0, 0x84, 3, 0x85, 3, 0],
    ];
    assert_eq!(reports(&mut host), clicked);
    // It has no boot protocol and no output.
    host.stalls([0xa1, 3, 0, 0, 0, 0, 1, 0], &[]);
    host.stalls([0x21, 9, 0, 2, 0, 0, 1, 0], &[1]);
}

#[test]
fn what_waits_is_bounded() {
    let mut mouse = Mouse::new(options()).unwrap();
    mouse.move_by(i32::MAX, i32::MIN, 7);
    for click in 0..100_000 {
        mouse.set_buttons(Buttons(click as u8 & 1));
    }
    assert_eq!((mouse.waiting(), mouse.room()), (1 << 14, 0));
    // Motion for which there is no room is not the last click's either.
    mouse.move_by(1, 0, 0);
    let mut host = Host::new(mouse);
    host.ask_in(REPORTS, 8);
    assert_eq!(
        bytes(&host.completion())[..],
        [0, 127, 0x81, 7],
        "the oldest stays"
    );
    host.device.move_by(2, 0, 0);
    let all = reports(&mut host);
    assert_eq!(all[(1 << 14) - 2..], [[1, 0, 0, 0], [1, 2, 0, 0]]);
    let mut tablet = Tablet::new(options()).unwrap();
    tablet.scroll(i32::MAX);
    assert_eq!(tablet.room(), 0);
    tablet.move_to(7, 7);
    tablet.set_buttons(Buttons::LEFT);
    assert_eq!(tablet.waiting(), 1 << 14);
    let mut host = Host::new(tablet);
    let all = reports(&mut host);
    assert_eq!(all.last().unwrap()[..], [1, 7, 0, 7, 0, 0], "how it is now");
    let mut keyboard = Keyboard::new(options()).unwrap();
    for _ in 0..20_000 {
        keyboard.press(Usage(4));
        keyboard.release(Usage(4));
    }
    assert_eq!(keyboard.waiting(), 1 << 14);
    let control = Stroke::new(Modifiers::LEFT_CONTROL, Usage(4));
    keyboard.strike([control; 3]);
    assert_eq!(keyboard.waiting(), 1 << 14);
}

#[test]
fn every_speed_is_described() {
    for speed in [
        Speed::Low,
        Speed::Full,
        Speed::High,
        Speed::Super,
        Speed::SuperPlus,
    ] {
        for descriptors in [
            Keyboard::new(DeviceOptions::new(speed))
                .unwrap()
                .descriptors()
                .clone(),
            Mouse::new(DeviceOptions::new(speed))
                .unwrap()
                .descriptors()
                .clone(),
            Tablet::new(DeviceOptions::new(speed))
                .unwrap()
                .descriptors()
                .clone(),
        ] {
            let configuration = descriptors.configuration(1).unwrap();
            assert!(!configuration.attributes().remote_wakeup());
            let interface = configuration.interface(0, 0).unwrap();
            let endpoints: Vec<_> = interface.endpoints().collect();
            assert_eq!(endpoints.len(), 1);
            let interval = if speed == Speed::Low { 80 } else { 32 };
            assert_eq!(endpoints[0].interval(speed), interval, "{speed}");
            assert_eq!(endpoints[0].companion().is_some(), speed.is_super());
            // The class's descriptor lies between interface and endpoint.
            assert_eq!(descriptors.configurations[0][18 + 1], 0x21);
            // At full speed it has no other.
            let other = speed == Speed::High;
            assert_eq!(descriptors.qualifier.is_some(), other);
            assert_eq!(descriptors.other_speed_configurations.is_empty(), !other);
        }
    }
}
