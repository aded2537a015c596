//! The host that reads a device's descriptors, and a device that answers what it likes.
//!
//! Invariants: it asks one thing at a time, only GET_DESCRIPTOR, and not for ever; there is one
//! result, and the last event is one reset; what was found can be printed and served.

use bytes::Bytes;
use testkit::Decisions;
use usb_descriptors::Speed;
use usb_transfer::{
    Completion, Control, ControlEndpoint, Enumerator, Frontend, HostEvent, Kind, Segments, Status,
    Transfer, TransferId,
};

use crate::{choices, seeds, split};

/// Device, 255 configurations in two steps, store in two, qualifier, languages and all strings.
const MOST_QUESTIONS: usize = 1 + 2 * 255 + 2 + 1 + 1 + 255;

/// Runs the target: choices say how the device answers; the bytes are what it says.
pub fn run(input: &[u8]) {
    let (mut decisions, mut stream) = split(input);
    let speed = [Speed::High, Speed::Full, Speed::Super][decisions.below(3)];
    let mut good = ControlEndpoint::new(seeds::device(speed));
    let mut enumerator = Enumerator::new(speed);
    let mut questions = 0;
    let mut result = None;
    loop {
        match enumerator.poll() {
            Some(HostEvent::Submit(transfer)) => {
                questions += 1;
                assert!(questions <= MOST_QUESTIONS, "it asks for ever");
                assert_eq!(enumerator.pending(), 1);
                assert!(enumerator.poll().is_none(), "one at a time");
                assert!(transfer.is_consistent());
                let Kind::Control(setup) = transfer.kind else {
                    panic!("only control transfers");
                };
                assert_eq!(setup.to_bytes()[..2], [0x80, 6], "only GET_DESCRIPTOR");
                if decisions.below(50) == 49 {
                    enumerator.detach();
                }
                if decisions.below(50) == 49 {
                    let id = TransferId::from_u64(u64::MAX);
                    enumerator.complete(Completion::failed(
                        id,
                        transfer.endpoint.direction(),
                        Status::STALL,
                    ));
                    assert_eq!(enumerator.pending(), 1, "not what was asked");
                }
                let completion = answer(transfer, &mut good, &mut decisions, &mut stream);
                enumerator.complete(completion.clone());
                assert_eq!(enumerator.pending(), 0);
                enumerator.complete(completion);
            }
            Some(HostEvent::Reset) => break,
            Some(other) => panic!("no {other:?} is due"),
            None => panic!("it neither asks nor ends"),
        }
        if let Some(found) = enumerator.result() {
            assert!(result.replace(found).is_none(), "a second result");
        }
    }
    assert!(
        enumerator.poll().is_none(),
        "nothing follows the last event"
    );
    assert!(enumerator.result().is_none(), "a second result");
    if let Ok(found) = result.expect("the end has a result") {
        let _ = found.to_string();
        assert!(found.device().is_ok());
        let _ = ControlEndpoint::new(found);
    }
}

fn answer(
    transfer: Transfer,
    good: &mut ControlEndpoint,
    decisions: &mut Decisions<'_>,
    stream: &mut &[u8],
) -> Completion {
    let asked = transfer.payload.len();
    match decisions.below(16) {
        0..=5 if !stream.is_empty() => transfer.complete_in(take(stream, asked.min(64))),
        6 => {
            let count = decisions.below(1000);
            transfer.complete_in(take(stream, count))
        }
        7 => choices::completion(decisions, &transfer),
        8 => transfer.stall(),
        kind => {
            let mut completion = match good.submit(transfer) {
                Control::Done(completion) | Control::Changed(_, completion) => completion,
                Control::Request(transfer) => transfer.stall(),
            };
            // Some bytes are wrong.
            if let (9..=12, usb_transfer::Actual::In(data)) = (kind, &mut completion.actual) {
                let mut bytes = data.to_bytes().to_vec();
                for _ in 0..=decisions.below(3) {
                    let at = decisions.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = decisions.byte();
                    }
                }
                *data = Segments::from(bytes);
            }
            completion
        }
    }
}

fn take(stream: &mut &[u8], count: usize) -> Bytes {
    let (taken, rest) = stream.split_at(count.min(stream.len()));
    *stream = rest;
    Bytes::copy_from_slice(taken)
}
