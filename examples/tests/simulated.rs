//! Simulated devices and their users on this side, without a kernel.
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::sync::mpsc::sync_channel;
use std::task::Waker;
use std::thread;

use bytes::Bytes;
use examples::{
    Devices, Driven, PseudoTerminal, SerialBridge, Typist, follow_tablet, loopback, simulated,
    strokes, type_terminal,
};
use lexopt::{Arg, Parser};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed, StringDescriptor};
use usb_functions::{AudioLoopback, DeviceOptions, Keyboard, Serial, Tablet};
use usb_transfer::{
    Actual, Completion, Frame, Frontend, Function, FunctionEvent, HostEvent, IsoPacket, Kind,
    Payload, Status, Transfer, TransferIds,
};

fn endpoint(byte: u8) -> EndpointAddress {
    EndpointAddress::from_byte(byte)
}

/// Of several devices of a kind each has its own, the same each time.
#[test]
fn devices_have_serial_numbers() {
    let line = [
        "--audio",
        "--keyboard=a",
        "--serial-number=DESK",
        "--speed=full",
        "--keyboard=b",
        "--audio",
    ];
    let mut arguments = Parser::from_args(line);
    let mut devices = Devices::default();
    while let Some(Arg::Long(option)) = arguments.next().unwrap() {
        let option = option.to_owned();
        assert!(devices.take(&option, &mut arguments).unwrap(), "{option}");
    }
    let found = devices.wanted.iter().map(|wanted| {
        let mut offered = wanted.open().unwrap();
        let lent = offered.lend(|device| device.descriptors.clone());
        let descriptors = lent.unwrap();
        assert_eq!(descriptors.device().unwrap().serial_string(), 3);
        let strings = descriptors.strings.iter();
        let serial = strings.filter(|string| string.index == 3).last().unwrap();
        StringDescriptor::parse(&serial.descriptor)
            .unwrap()
            .to_string()
    });
    let found: Vec<String> = found.collect();
    assert_eq!(found, ["AUDIO-1", "DESK", "KEYBOARD-2", "AUDIO-2"]);
}

#[test]
fn a_keyboard_leaves_when_all_is_typed() {
    let (typist, user) = Typist::new(1, Waker::noop());
    let keyboard = Keyboard::new(DeviceOptions::new(Speed::High)).unwrap();
    let mut keyboard = Driven::new(keyboard, user);
    let mut ids = TransferIds::default();
    let configure = SetupPacket::set_configuration(1);
    keyboard.submit(Transfer::control_in(ids.mint(), configure));
    assert!(typist.strike(strokes("ab")));
    let (mut reports, mut now) = (Vec::new(), 0);
    let mut typist = Some(typist);
    loop {
        keyboard.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 8));
        let mut left = false;
        for _ in 0..3 {
            now += 32;
            keyboard.start_of_frame(Frame(now));
            while let Some(event) = keyboard.poll() {
                match event {
                    FunctionEvent::Complete(Completion {
                        actual: Actual::In(report),
                        status: Status::COMPLETED,
                        ..
                    }) => {
                        let key = report.to_bytes()[2];
                        // An idle report comes before.
                        if key != 0 || !reports.is_empty() {
                            reports.push(key);
                        }
                    }
                    FunctionEvent::Complete(_) => {}
                    FunctionEvent::Detached => left = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        if left {
            break;
        }
        // Nothing more comes.
        if reports.len() == 4 {
            typist = None;
        }
        assert!(now < 20_000, "the keyboard stays");
    }
    assert!(typist.is_none());
    assert_eq!(reports, [4, 0, 5, 0]);
}

/// A raw terminal has no other way out.
#[test]
fn a_terminal_is_left_though_no_host_takes_its_keys() {
    let (typist, user) = Typist::new(2, Waker::noop());
    let keyboard = Keyboard::new(DeviceOptions::new(Speed::High)).unwrap();
    let mut keyboard = Driven::new(keyboard, user);
    assert_eq!(keyboard.poll(), None);
    let mut hit = vec![b'x'; 40_000];
    hit.push(0x1d);
    type_terminal(&hit[..], typist, 0x1d);
    assert_eq!(keyboard.poll(), Some(FunctionEvent::Detached));
    assert_eq!(keyboard.poll(), None);
}

/// Nor is one of them lost.
#[test]
fn whoever_clicks_faster_than_the_host_asks_waits() {
    let (moved, motions) = sync_channel(1);
    let tablet = Tablet::new(DeviceOptions::new(Speed::High)).unwrap();
    let mut tablet = Driven::new(tablet, follow_tablet(motions));
    let mut ids = TransferIds::default();
    let configure = SetupPacket::set_configuration(1);
    tablet.submit(Transfer::control_in(ids.mint(), configure));
    tablet.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 8));
    for now in [1000, 9000] {
        tablet.start_of_frame(Frame(now));
        while tablet.poll().is_some() {}
    }
    let clicks = 20_000;
    let (mut clicked, mut reported, mut now) = (0, 0, 9000);
    let mut is_down = false;
    while reported < clicks {
        now += 32;
        tablet.start_of_frame(Frame(now));
        loop {
            let is_sent = clicked < clicks && {
                let buttons = i16::from(clicked % 2 == 0);
                moved.try_send([5, 5, buttons, 0]).is_ok()
            };
            clicked += i32::from(is_sent);
            while let Some(event) = tablet.poll() {
                let FunctionEvent::Complete(Completion {
                    actual: Actual::In(report),
                    ..
                }) = event
                else {
                    panic!("{event:?}");
                };
                let was_down = std::mem::replace(&mut is_down, report.to_bytes()[0] != 0);
                reported += i32::from(is_down != was_down);
                tablet.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 8));
            }
            if !is_sent {
                break;
            }
        }
        assert!(now < 10_000_000, "{reported} of {clicked}");
    }
}

#[test]
fn an_offered_keyboard_types_to_each_host_when_that_had_time_to_look() {
    let mut offered = simulated::keyboard(strokes("a"), &simulated::Looks::default()).unwrap();
    let mut ids = TransferIds::default();
    let mut now = 0;
    for host in 0..2 {
        let lent = offered.lend(|device| {
        let keyboard = &mut device.function;
        let configure = SetupPacket::set_configuration(1);
        keyboard.submit(Transfer::control_in(ids.mint(), configure));
        // A host that does not ask for keys is waited for.
        for _ in 0..20 {
            now += 8000;
            keyboard.start_of_frame(Frame(now));
            while let Some(event) = keyboard.poll() {
                assert!(
                    matches!(event, FunctionEvent::Complete(done) if done.status == Status::COMPLETED)
                );
            }
        }
        let asked = now;
        let mut reports = Vec::new();
        keyboard.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 8));
        while reports.len() < 2 {
            assert!(now < asked + 16_000, "host {host} got {reports:?}");
            now = keyboard
                .next_frame()
                .map_or(now + 8, |frame| frame.0.max(now + 8));
            keyboard.start_of_frame(Frame(now));
            while let Some(event) = keyboard.poll() {
                let FunctionEvent::Complete(Completion {
                    actual: Actual::In(report),
                    ..
                }) = event
                else {
                    panic!("{event:?}");
                };
                let key = report.to_bytes()[2];
                // An idle report comes before.
                if key != 0 || !reports.is_empty() {
                    assert!(now >= asked + 8000, "typed after {} frames", now - asked);
                    reports.push(key);
                }
                keyboard.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 8));
            }
        }
        assert_eq!(reports, [4, 0]);
        keyboard.reset();
        while keyboard.poll().is_some() {}
        });
        lent.unwrap();
    }
}

#[test]
fn a_port_and_a_pseudo_terminal_carry_both_ways_and_lose_nothing() {
    let terminal = PseudoTerminal::open().unwrap();
    let mut far = OpenOptions::new()
        .read(true)
        .write(true)
        .open(terminal.path())
        .unwrap();
    let mut bridge = SerialBridge::new(&terminal, Waker::noop()).unwrap();
    let serial = Serial::new(DeviceOptions::new(Speed::High)).unwrap();
    let mut serial = Driven::new(serial, move |serial: &mut Serial| bridge.turn(serial));
    let mut ids = TransferIds::default();
    serial.submit(Transfer::control_in(
        ids.mint(),
        SetupPacket::set_configuration(1),
    ));
    let data: Vec<u8> = (0..200_000u32).map(|at| ((at * 7) >> 3) as u8).collect();
    let (sent, echo) = (data.clone(), far.try_clone().unwrap());
    let echoing = thread::spawn(move || {
        // Whatever comes goes back.
        let (mut echo, mut piece, mut count) = (echo, [0; 1000], 0);
        while count < sent.len() {
            let read = far.read(&mut piece).unwrap();
            assert_eq!(piece[..read], sent[count..count + read]);
            echo.write_all(&piece[..read]).unwrap();
            count += read;
        }
    });
    for piece in data.chunks(5000) {
        let piece = Bytes::copy_from_slice(piece);
        serial.submit(Transfer::data_out(ids.mint(), endpoint(0x02), piece));
    }
    let mut back = Vec::new();
    serial.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 512));
    while back.len() < data.len() {
        match serial.poll() {
            Some(FunctionEvent::Complete(completion)) => {
                if let Actual::In(bytes) = completion.actual {
                    if !bytes.is_empty() {
                        back.extend(bytes.to_bytes());
                        serial.submit(Transfer::data_in(ids.mint(), endpoint(0x81), 512));
                    }
                }
            }
            Some(other) => panic!("{other:?}"),
            None => thread::yield_now(),
        }
    }
    assert!(back == data, "what came back is not what was sent");
    echoing.join().unwrap();
}

/// Plays packets, one after the other, and counts what is complete.
#[derive(Default)]
struct Player {
    ids: TransferIds,
    setups: Vec<SetupPacket>,
    played: usize,
    pending: usize,
}

impl Frontend for Player {
    fn poll(&mut self) -> Option<HostEvent> {
        if self.pending > 0 {
            return None;
        }
        let id = self.ids.mint();
        self.pending += 1;
        Some(HostEvent::Submit(match self.setups.pop() {
            Some(setup) => Transfer::control_in(id, setup),
            None => {
                let packets = (0..5).map(|at| IsoPacket::new(at * 192, 192)).collect();
                let payload = Payload::Out(Bytes::from_static(&[7; 960]));
                Transfer::new(id, endpoint(0x01), Kind::Isochronous(packets), payload)
            }
        }))
    }

    fn complete(&mut self, completion: Completion) {
        assert_eq!(completion.status, Status::COMPLETED);
        self.pending -= 1;
        self.played += completion.packets.len();
    }

    fn detach(&mut self) {}

    fn pending(&self) -> usize {
        self.pending
    }
}

#[test]
fn the_frame_clock_paces_a_sound_card() {
    let audio = AudioLoopback::new(DeviceOptions::new(Speed::High)).unwrap();
    let descriptors = audio.descriptors().clone();
    let mut host = loopback(audio, &descriptors).unwrap();
    let mut player = Player {
        setups: vec![
            SetupPacket::set_interface(1, 1),
            SetupPacket::set_configuration(1),
        ],
        ..Player::default()
    };
    // Fifty packets, a millisecond each; that they come at all is the clock's doing.
    let played = host.drive(&mut player, |player| {
        Some(player.played).filter(|played| *played >= 50)
    });
    assert_eq!(played.unwrap(), 50);
}
