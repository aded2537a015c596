//! A sound card and its loopback: see `function.rs`.

use testkit::Decisions;
use usb_descriptors::Speed;
use usb_functions::{Audio, AudioEvent, AudioLoopback, DeviceOptions};
use usb_transfer::Function;

use crate::function::{self, Subject};

/// The rate of each stream, a control that is not there.
const REQUESTS: &[[u8; 8]] = &[
    [0x22, 0x01, 0, 1, 0x01, 0, 3, 0],
    [0xa2, 0x81, 0, 1, 0x01, 0, 3, 0],
    [0x22, 0x01, 0, 1, 0x82, 0, 3, 0],
    [0xa2, 0x84, 0, 1, 0x82, 0, 3, 0],
    [0xa1, 0x81, 0, 1, 0, 2, 2, 0],
];

/// A second, in bytes.
const SECOND: usize = 192_000;

/// The first byte says whether it is a loopback.
pub fn run(input: &[u8]) {
    let (which, input) = input.split_first().unwrap_or((&0, &[]));
    let options = DeviceOptions::new(Speed::Full);
    if which % 2 == 1 {
        let audio = AudioLoopback::new(options).expect("a sound card");
        let subject = subject(|_, _| {}, |_| {}, AudioLoopback::detach);
        let audio = function::run(input, audio, &subject);
        assert_eq!(audio.next_frame(), None, "nothing flows");
        function::leave(audio, &subject);
    } else {
        let audio = Audio::new(options).expect("a sound card");
        let check = |audio: &mut Audio| assert!(audio.supplied() <= SECOND);
        let subject = subject(act, check, Audio::detach);
        let audio = function::run(input, audio, &subject);
        assert_eq!(audio.next_frame(), None, "nothing flows");
        assert_eq!(audio.supplied(), 0, "what was for the last host is gone");
        function::leave(audio, &subject);
    }
}

fn subject<F>(
    act: fn(&mut F, &mut Decisions<'_>),
    check: fn(&mut F),
    detach: fn(&mut F),
) -> Subject<F> {
    Subject {
        requests: REQUESTS,
        endpoints: &[0x01, 0x82],
        isochronous: true,
        settings: &[(1, 1), (2, 1), (0, 0)],
        act,
        check,
        detach,
    }
}

fn act(audio: &mut Audio, decisions: &mut Decisions<'_>) {
    match decisions.below(4) {
        0 | 1 => audio.supply(&vec![1; decisions.below(3 * SECOND)]),
        2 => audio.set_latency(u16::from(decisions.byte())),
        _ => {
            if let Some(AudioEvent::Played(samples)) = audio.poll_event() {
                assert!(!samples.is_empty() && samples.len() % 4 == 0);
            }
        }
    }
}
