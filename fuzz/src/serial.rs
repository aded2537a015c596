//! A serial port and its loopback: see `function.rs`.

use bytes::Bytes;
use testkit::Decisions;
use usb_descriptors::{EndpointAddress, Speed};
use usb_functions::{DeviceOptions, Serial, SerialEvent, SerialState};
use usb_transfer::{Function, FunctionEvent, Transfer, TransferId};

use crate::function::{self, Subject};

/// Line coding, control lines, break, encapsulated commands.
const REQUESTS: &[[u8; 8]] = &[
    [0x21, 0x20, 0, 0, 0, 0, 7, 0],
    [0xa1, 0x21, 0, 0, 0, 0, 7, 0],
    [0x21, 0x22, 1, 0, 0, 0, 0, 0],
    [0x21, 0x23, 1, 0, 0, 0, 0, 0],
    [0x21, 0x00, 0, 0, 0, 0, 2, 0],
    [0xa1, 0x01, 0, 0, 0, 0, 2, 0],
];

/// The most that one piece of the user or the host is.
const PIECE: usize = 4096;

/// The first byte says whether it is a loopback.
pub fn run(input: &[u8]) {
    let (which, input) = input.split_first().unwrap_or((&0, &[]));
    let options = DeviceOptions::new(Speed::High);
    let is_loopback = which % 2 == 1;
    let serial = if is_loopback {
        Serial::loopback(options)
    } else {
        Serial::new(options)
    };
    let subject = Subject {
        requests: REQUESTS,
        endpoints: &[0x81, 0x02, 0x83],
        isochronous: false,
        settings: &[(0, 0), (1, 0)],
        act,
        check: |serial: &mut Serial| assert!(serial.unsent() < Serial::MOST_UNSENT + PIECE),
        detach: Serial::detach,
    };
    let mut serial = function::run(input, serial.expect("a serial port"), &subject);
    assert_eq!(serial.unsent(), 0, "what was for the last host is gone");
    // It still carries bytes; the break of the last host is not told.
    while let Some(event) = serial.poll_event() {
        assert!(!matches!(event, SerialEvent::Break(_)), "{event:?}");
    }
    let hello = Bytes::from_static(b"hello");
    let (first, second) = (
        TransferId::from_u64(u64::MAX - 1),
        TransferId::from_u64(u64::MAX - 2),
    );
    serial.submit(Transfer::data_out(
        first,
        EndpointAddress::from_byte(0x02),
        hello.clone(),
    ));
    if !is_loopback {
        assert_eq!(
            serial.poll_event(),
            Some(SerialEvent::Received(hello.clone()))
        );
        serial.send(hello.clone()).expect("nothing is unsent");
    }
    serial.submit(Transfer::data_in(
        second,
        EndpointAddress::from_byte(0x81),
        512,
    ));
    let last = std::iter::from_fn(|| serial.poll()).last();
    let Some(FunctionEvent::Complete(completion)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(completion.actual, usb_transfer::Actual::In(hello.into()));
    function::leave(serial, &subject);
}

fn act(serial: &mut Serial, decisions: &mut Decisions<'_>) {
    match decisions.below(4) {
        0 => {
            let before = serial.unsent();
            let bytes = Bytes::from(vec![1; decisions.below(PIECE)]);
            if serial.send(bytes).is_err() {
                assert_eq!(serial.unsent(), before, "nothing is sent in part");
            }
        }
        1 => serial.set_state(SerialState {
            carrier: decisions.chance(),
            ring: decisions.chance(),
            break_received: decisions.chance(),
            ..SerialState::default()
        }),
        _ => {
            if let Some(SerialEvent::Received(bytes)) = serial.poll_event() {
                assert!(!bytes.is_empty());
            }
        }
    }
}
