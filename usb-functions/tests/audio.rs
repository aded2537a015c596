//! A sound card, as a host sees it.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod host;

use bytes::Bytes;
use host::{Host, SPEEDS, bytes, options};
use proptest::prelude::*;
use usb_descriptors::{SetupPacket, Speed, TransferType};
use usb_functions::{Audio, AudioEvent, AudioLoopback, DeviceError, DeviceOptions, Mouse};
use usb_transfer::{Actual, Completion, Frame, Function, Status, TransferId};

const PLAYBACK: u8 = 1;
const CAPTURE: u8 = 2;
const OUT: u8 = 0x01;
const IN: u8 = 0x82;

fn running<F: Function>(device: F) -> Host<F> {
    let mut host = Host::new(device);
    host.ok(SetupPacket::set_interface(PLAYBACK, 1), &[]);
    host.ok(SetupPacket::set_interface(CAPTURE, 1), &[]);
    host
}

fn audio() -> Host<Audio> {
    let mut audio = Audio::new(options()).unwrap();
    audio.set_latency(0);
    running(audio)
}

/// Samples that tell where they are from.
fn sound(from: usize, packets: usize) -> Bytes {
    let words = (from * 48..(from + packets) * 48).map(|at| (at as u32 + 1).to_le_bytes());
    words.flatten().collect::<Vec<u8>>().into()
}

fn play<F: Function>(host: &mut Host<F>, from: usize, packets: usize) -> TransferId {
    let lengths = vec![192; packets];
    host.ask_packets(OUT, &lengths, Some(sound(from, packets)))
}

fn events(host: &mut Host<Audio>) -> Vec<AudioEvent> {
    std::iter::from_fn(|| host.device.poll_event()).collect()
}

#[test]
fn a_transfer_is_complete_when_its_last_packet_had_its_time() {
    let mut host = audio();
    play(&mut host, 0, 6);
    play(&mut host, 6, 6);
    host.ask_packets(IN, &[200], None);
    assert_eq!(host.device.next_frame(), Some(Frame(1)), "what time is it?");
    host.device.start_of_frame(Frame(1000));
    assert_eq!(host.device.next_frame(), Some(Frame(1008)));
    host.device.start_of_frame(Frame(1007));
    assert_eq!(host.completions(), []);
    host.device.start_of_frame(Frame(1008));
    assert_eq!(bytes(&host.completion()), vec![0; 192], "silence");
    host.device.start_of_frame(Frame(1047));
    assert_eq!(host.completions(), []);
    host.device.start_of_frame(Frame(1048));
    let played = host.completion();
    assert_eq!(played.status, Status::COMPLETED);
    assert_eq!(played.actual, Actual::Out(6 * 192));
    assert!(played.packets.iter().all(|packet| packet.actual == 192));
    assert_eq!(host.device.next_frame(), Some(Frame(1096)));
}

/// The number of packets says what a client takes an endpoint for; the endpoint knows better.
#[test]
fn what_does_not_fit_its_endpoint_stalls() {
    let mut host = audio();
    host.ask_out(OUT, sound(0, 1));
    assert_eq!(host.completion().status, Status::STALL, "no packets");
    host.ask_in(IN, 200);
    assert_eq!(host.completion().status, Status::STALL, "no packets");
    host.ask_packets(0x83, &[8], None);
    assert_eq!(host.completion().status, Status::STALL, "no such endpoint");
    let mut host = Host::new(Mouse::new(options()).unwrap());
    host.ask_packets(0x81, &[8, 8], None);
    let stalled = host.completion();
    assert_eq!(stalled.status, Status::STALL, "packets, of an interrupt");
    assert_eq!(stalled.packets.len(), 2);
}

#[test]
fn what_is_played_and_recorded_is_told_in_order() {
    use AudioEvent::{Played, Playing, Recording};
    let mut host = audio();
    assert_eq!(events(&mut host), [], "a setting alone is no sound");
    play(&mut host, 0, 2);
    host.ask_packets(IN, &[192], None);
    assert_eq!(events(&mut host), [Playing(true), Recording(true)]);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(24));
    assert_eq!(events(&mut host), [Played(sound(0, 2))]);
    // All of this between two looks.
    play(&mut host, 2, 1);
    host.device.start_of_frame(Frame(32));
    host.ok(SetupPacket::set_interface(PLAYBACK, 0), &[]);
    host.ok(SetupPacket::set_interface(PLAYBACK, 1), &[]);
    play(&mut host, 3, 1);
    host.device.start_of_frame(Frame(40));
    host.device.start_of_frame(Frame(48));
    host.ok(SetupPacket::set_interface(PLAYBACK, 0), &[]);
    let expected = [
        Played(sound(2, 1)),
        Playing(false),
        Playing(true),
        Played(sound(3, 1)),
        Playing(false),
    ];
    assert_eq!(events(&mut host), expected);
}

#[test]
fn each_recording_is_told() {
    use AudioEvent::Recording;
    let mut host = audio();
    let again: [fn(&mut Host<Audio>); 3] = [
        |host| {
            host.control(SetupPacket::set_interface(CAPTURE, 0), &[]);
            host.control(SetupPacket::set_interface(CAPTURE, 1), &[]);
        },
        |host| {
            host.control(SetupPacket::set_interface(CAPTURE, 1), &[]);
        },
        |host| {
            let id = host.ask_packets(IN, &[192], None);
            host.device.start_of_frame(Frame(8000));
            host.device.start_of_frame(Frame(8008));
            host.completion();
            host.device.cancel(id);
            host.completion();
        },
    ];
    let mut expected = vec![Recording(true)];
    for again in again {
        host.ask_packets(IN, &[192], None);
        host.device.supply(&sound(0, 10));
        assert_eq!(events(&mut host), expected);
        again(&mut host);
        assert_eq!(host.device.supplied(), 0, "it was for the last recording");
        expected = vec![Recording(false), Recording(true)];
    }
    assert_eq!(events(&mut host), [Recording(false)]);
    host.device.supply(&sound(0, 10));
    assert_eq!(host.device.supplied(), 0, "nobody records");
}

#[test]
fn what_is_lost_is_told() {
    use AudioEvent::{PlaybackOverrun, Played, Playing, RecordingOverrun, RecordingUnderrun};
    let mut host = audio();
    host.ask_packets(IN, &[192; 3], None);
    host.device.start_of_frame(Frame(800));
    host.device.supply(&sound(0, 1));
    host.device.start_of_frame(Frame(824));
    assert_eq!(events(&mut host)[0], RecordingUnderrun);
    host.device.supply(&sound(0, 900));
    host.device.supply(&sound(900, 103));
    assert_eq!(events(&mut host), [RecordingOverrun(3 * 192)]);
    play(&mut host, 0, 1);
    assert_eq!(events(&mut host), [Playing(true)]);
    host.device.start_of_frame(Frame(824));
    for at in 1..=1002 {
        play(&mut host, at, 1);
        host.device.start_of_frame(Frame(824 + 8 * at as u64));
    }
    let expected = [PlaybackOverrun(2 * 192), Played(sound(2, 1000))];
    assert_eq!(events(&mut host), expected);
}

/// The newest 100 ms, on which it catches up, and the latency.
#[test]
fn a_host_that_comes_back_does_not_record_what_is_old() {
    let mut host = audio();
    host.device.set_latency(20);
    host.ask_packets(IN, &[192], None);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(16));
    host.completion();
    events(&mut host);
    // Late, but not too late: nothing is lost.
    host.device.supply(&sound(0, 99));
    host.ask_packets(IN, &[192; 99], None);
    host.device.start_of_frame(Frame(16 + 99 * 8));
    host.completion();
    assert_eq!(host.device.supplied(), 20 * 192);
    assert_eq!(events(&mut host), []);
    for at in 99..999 {
        host.device.supply(&sound(at, 1));
    }
    host.ask_packets(IN, &[192; 100], None);
    host.device.start_of_frame(Frame(8800));
    let recorded = bytes(&host.completion());
    assert_eq!(recorded, sound(999 - 120, 100));
    assert_eq!(host.device.supplied(), 20 * 192);
    let lost = (99 - 79) + 900 - 120;
    assert_eq!(
        events(&mut host),
        [AudioEvent::RecordingOverrun(lost * 192)]
    );
}

/// However many packets: the host has asked for them all in time.
#[test]
fn a_transfer_may_be_longer_than_what_a_host_catches_up_on() {
    let mut host = audio();
    host.ask_packets(IN, &[192; 300], None);
    for at in 0..=300 {
        assert_eq!(host.completions(), [], "before its end");
        host.device.start_of_frame(Frame(1000 + at * 8));
    }
    assert_eq!(host.completion().packets.len(), 300);
}

#[test]
fn what_is_supplied_is_recorded_after_the_latency() {
    let mut host = audio();
    host.device.set_latency(3);
    for _ in 0..9 {
        host.ask_packets(IN, &[192], None);
    }
    let data = sound(0, 4);
    host.device.supply(&data);
    assert_eq!(host.device.supplied(), 768);
    host.device.start_of_frame(Frame(80));
    host.device.start_of_frame(Frame(80 + 9 * 8));
    let all = host.completions();
    let recorded: Vec<u8> = all.iter().flat_map(|done| bytes(done).to_vec()).collect();
    assert_eq!(recorded[..3 * 192], [0; 3 * 192]);
    assert_eq!(recorded[3 * 192..7 * 192], data);
    assert_eq!(recorded[7 * 192..], [0; 2 * 192]);
    // After the silence it waits again.
    host.device.supply(&data);
    host.ask_packets(IN, &[192; 5], None);
    host.device.start_of_frame(Frame(80 + 14 * 8));
    let recorded = bytes(&host.completion());
    assert_eq!(recorded[..3 * 192], [0; 3 * 192]);
    assert_eq!(recorded[3 * 192..], data[..2 * 192]);
}

#[test]
fn the_latency_has_a_limit() {
    let mut host = audio();
    host.device.set_latency(u16::MAX);
    host.ask_packets(IN, &[192; 600], None);
    let data = sound(0, 100);
    host.device.supply(&data);
    host.device.start_of_frame(Frame(80));
    host.device.start_of_frame(Frame(80 + 600 * 8));
    let recorded = bytes(&host.completion());
    assert_eq!(recorded[..500 * 192], [0; 500 * 192]);
    assert_eq!(recorded[500 * 192..], data);
}

#[test]
fn a_late_host_catches_up_on_a_tenth_of_a_second() {
    let mut host = audio();
    play(&mut host, 0, 1);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(16));
    host.completion();
    // Nothing for a second.
    for packet in 0..200 {
        play(&mut host, packet, 1);
    }
    host.device.start_of_frame(Frame(8016));
    assert_eq!(host.completions().len(), 100);
    host.device.start_of_frame(Frame(8024));
    assert_eq!(host.completions().len(), 1);
}

#[test]
fn alternate_setting_zero_stops_and_clears() {
    let mut host = audio();
    host.ask_packets(IN, &[192], None);
    host.device.supply(&sound(0, 10));
    play(&mut host, 0, 6);
    let all = host.control(SetupPacket::set_interface(CAPTURE, 0), &[]);
    assert_eq!(all.len(), 2, "the other stream goes on: {all:?}");
    assert_eq!(all[0].status, Status::CANCELLED);
    assert_eq!(all[0].packets[0].status, Status::CANCELLED);
    assert_eq!(host.device.supplied(), 0);
    host.ask_packets(IN, &[192], None);
    assert_eq!(host.completion().status, Status::STALL);
    host.device.supply(&sound(0, 10));
    assert_eq!(host.device.supplied(), 0, "nobody records");
    let all = host.control(SetupPacket::set_configuration(1), &[]);
    assert_eq!(all[0].status, Status::CANCELLED);
    assert_eq!(host.device.next_frame(), None);
}

#[test]
fn a_setting_that_is_selected_again_forgets_what_was_supplied() {
    let mut host = audio();
    host.ask_packets(IN, &[192], None);
    host.device.supply(&sound(0, 10));
    host.control(SetupPacket::set_interface(CAPTURE, 1), &[]);
    assert_eq!(host.device.supplied(), 0);
    host.ask_packets(IN, &[192], None);
    let data = sound(40, 1);
    host.device.supply(&data);
    host.device.start_of_frame(Frame(80));
    host.device.start_of_frame(Frame(88));
    assert_eq!(bytes(&host.completion()), data);
}

/// Whoever stops and starts again gets no time for what was between, by whatever he stopped.
#[test]
fn a_stream_that_begins_again_begins_now() {
    let stops: [fn(&mut Host<Audio>, TransferId); 3] = [
        |host, _| {
            host.control(SetupPacket::set_interface(PLAYBACK, 1), &[])
                .clear()
        },
        |host, _| {
            host.control(SetupPacket::set_configuration(1), &[]);
            host.ok(SetupPacket::set_interface(PLAYBACK, 1), &[]);
        },
        |host, id| {
            host.device.cancel(id);
            host.device.cancel(id);
            host.completion();
        },
    ];
    for stop in stops {
        let mut host = audio();
        play(&mut host, 0, 1);
        host.device.start_of_frame(Frame(8));
        host.device.start_of_frame(Frame(16));
        host.completion();
        let id = play(&mut host, 1, 1);
        host.device.start_of_frame(Frame(16));
        stop(&mut host, id);
        host.device.start_of_frame(Frame(816));
        for packet in 0..200 {
            play(&mut host, packet, 1);
        }
        assert_eq!(host.device.next_frame(), Some(Frame(1)), "what time is it?");
        host.device.start_of_frame(Frame(816));
        assert_eq!(host.completions(), []);
        host.device.start_of_frame(Frame(824));
        assert_eq!(host.completions().len(), 1);
    }
}

#[test]
fn the_oldest_goes_when_nobody_takes_it() {
    let mut host = audio();
    host.ask_packets(IN, &[192], None);
    host.device.supply(&sound(0, 900));
    host.device.supply(&sound(900, 300));
    assert_eq!(host.device.supplied(), 192_000);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(16));
    assert_eq!(bytes(&host.completion()), sound(200, 1));
    // An odd end is no sample frame.
    host.device.supply(&[1; 7]);
    assert_eq!(host.device.supplied(), 192_000 - 192 + 4);
}

#[test]
fn packets_that_cannot_be_are_told_so() {
    let mut host = audio();
    // Longer than a packet may be; beyond the data.
    host.ask_packets(OUT, &[192, 204, 192], Some(sound(0, 3).slice(..560)));
    host.ask_packets(IN, &[0, 5, 5000], None);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(100));
    let all = host.completions();
    let packets = |done: &Completion| -> Vec<(u32, Status)> {
        let packets = done.packets.iter();
        packets
            .map(|packet| (packet.actual, packet.status))
            .collect()
    };
    let (good, bad) = (Status::COMPLETED, Status::INVALID);
    assert_eq!(packets(&all[0]), [(192, good), (0, bad), (0, bad)]);
    assert_eq!(all[0].actual, Actual::Out(192));
    assert_eq!(packets(&all[1]), [(0, good), (4, good), (192, good)]);
    assert_eq!(all[1].actual.len(), 196);
}

#[test]
fn the_rate_is_a_control_of_each_stream() {
    let mut host = audio();
    let rate = [0x80, 0xbb, 0x00];
    for endpoint in [OUT, IN] {
        host.ok([0x22, 1, 0, 1, endpoint, 0, 3, 0], &rate);
        host.ok([0x22, 1, 0, 1, endpoint, 0, 3, 0], &[0x44, 0xac, 0x00]);
        for request in [0x81, 0x82, 0x83] {
            assert_eq!(
                host.ok([0xa2, request, 0, 1, endpoint, 0, 3, 0], &[])[..],
                rate
            );
        }
        assert_eq!(
            host.ok([0xa2, 0x84, 0, 1, endpoint, 0, 3, 0], &[])[..],
            [0; 3]
        );
    }
    host.stalls([0x22, 1, 0, 1, OUT, 0, 2, 0], &[0; 2]);
    host.stalls([0x22, 1, 0, 2, OUT, 0, 3, 0], &rate);
    host.stalls([0x22, 1, 0, 1, 0x03, 0, 3, 0], &rate);
    host.stalls([0xa1, 0x81, 0, 1, 0, 2, 2, 0], &[]);
    host.ok(SetupPacket::set_interface(PLAYBACK, 0), &[]);
    host.stalls([0xa2, 0x81, 0, 1, OUT, 0, 3, 0], &[]);
}

#[test]
fn a_loopback_records_what_was_played() {
    let mut host = running(AudioLoopback::new(options()).unwrap());
    let mut recorded = Vec::new();
    for packet in 0..1000 {
        play(&mut host, packet, 1);
        host.ask_packets(IN, &[192], None);
        host.device.start_of_frame(Frame(800 + packet as u64 * 8));
        for done in host.completions() {
            if let Actual::In(data) = done.actual {
                recorded.push(data.to_bytes());
            }
        }
    }
    let gap = recorded.iter().position(|data| data[0] != 0).unwrap();
    assert_eq!(gap, usize::from(AudioLoopback::LATENCY) + 1);
    for (packet, data) in recorded[gap..].iter().enumerate() {
        assert_eq!(*data, sound(packet, 1), "packet {packet}");
    }
}

#[test]
fn a_loopback_has_the_latency_that_is_set() {
    let mut loopback = AudioLoopback::new(options()).unwrap();
    loopback.set_latency(10);
    let mut host = running(loopback);
    play(&mut host, 0, 20);
    host.ask_packets(IN, &[192; 40], None);
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(8 + 20 * 8));
    host.device.start_of_frame(Frame(8 + 40 * 8));
    let recorded = bytes(&host.completions()[1]);
    assert_eq!(recorded[..10 * 192], [0; 10 * 192]);
    assert_eq!(recorded[10 * 192..30 * 192], sound(0, 20));
}

/// What a host plays was received into a buffer that may be a thousand times as large.
#[test]
fn what_waits_keeps_no_transfer_alive() {
    let data = Bytes::from(vec![7; 192]);
    let mut host = running(AudioLoopback::new(options()).unwrap());
    host.ask_packets(IN, &[192], None);
    host.ask_packets(OUT, &[192], Some(data.clone()));
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(16));
    host.completions();
    assert!(data.is_unique(), "what waits to be recorded keeps it");
    let mut host = audio();
    host.ask_packets(OUT, &[192], Some(data.clone()));
    host.device.start_of_frame(Frame(8));
    host.device.start_of_frame(Frame(16));
    host.completions();
    assert!(data.is_unique(), "what waits to be taken keeps it");
    let all = events(&mut host);
    assert_eq!(all[1], AudioEvent::Played(data.clone()));
    assert!(data.is_unique(), "what was taken keeps it");
}

#[test]
fn speeds_with_isochronous_endpoints_are_described() {
    assert_eq!(
        Audio::new(DeviceOptions::new(Speed::Low)).unwrap_err(),
        DeviceError::LowSpeed
    );
    for speed in SPEEDS {
        let audio = Audio::new(DeviceOptions::new(speed)).unwrap();
        let descriptors = audio.descriptors();
        let configuration = descriptors.configuration(1).unwrap();
        for (number, direction) in [(PLAYBACK, OUT), (CAPTURE, IN)] {
            let setting = configuration.interface(number, 0).unwrap();
            assert_eq!(setting.endpoints().count(), 0);
            let setting = configuration.interface(number, 1).unwrap();
            let endpoint = setting.endpoints().next().unwrap();
            assert_eq!(endpoint.address().to_byte(), direction);
            assert_eq!(endpoint.transfer_type(), TransferType::Isochronous);
            assert_eq!(endpoint.interval(speed), 8);
        }
        if speed == Speed::Full {
            assert_eq!(descriptors.configurations[0].len(), 174);
        }
    }
}

proptest! {
    /// However the host asks and the clock jumps: each transfer once, none ahead of its time, which
    /// begins anew whenever the host has taken back all.
    #[test]
    fn no_host_gets_ahead_of_time(
        steps in prop::collection::vec((0usize..8, 0u64..400, 0u8..4), 1..60),
    ) {
        let mut host = audio();
        let (mut asked, mut done, mut packets) = (0, 0, 0u64);
        let (mut now, mut start) = (1000, 1000);
        let mut pending: Vec<TransferId> = Vec::new();
        host.device.start_of_frame(Frame(now));
        for (count, elapsed, cancel) in steps {
            if count > 0 {
                pending.push(play(&mut host, 0, count));
                asked += 1;
            }
            let cancelled = match cancel {
                0 => pending.split_off(pending.len().saturating_sub(1)),
                1 => std::mem::take(&mut pending),
                _ => Vec::new(),
            };
            for id in &cancelled {
                host.device.cancel(*id);
                host.device.cancel(*id);
            }
            if pending.is_empty() && !cancelled.is_empty() {
                (start, packets) = (now, 0);
            }
            now += elapsed;
            host.device.start_of_frame(Frame(now));
            for completion in host.completions() {
                done += 1;
                if completion.status == Status::COMPLETED {
                    packets += completion.packets.len() as u64;
                    pending.retain(|id| *id != completion.id);
                }
            }
            prop_assert!(packets <= (now - start) / 8, "{packets} packets from {start} to {now}");
        }
        host.device.reset();
        done += host.completions().len();
        prop_assert_eq!(asked, done);
    }
}
