//! Sound of files, and into them.

use std::fs::File;
use std::io::{Read, Seek, Write};

use usb_functions::{Audio, AudioEvent};

/// In bytes.
const MILLISECOND: usize = 192;
/// So much of a source is with the sound card, and not a whole piece more: what a host that is late
/// catches up on at once, and less than what such a host makes the card drop, which is 100 ms behind
/// its latency.
const AHEAD: usize = MILLISECOND * 105;
/// What is read at a time.
const PIECE: usize = MILLISECOND * 10;
const _: () = assert!(AHEAD + PIECE <= MILLISECOND * (100 + Audio::LATENCY as usize));

/// A user of an [`Audio`] who gives it the samples of one file, from the first whenever the host
/// begins to record, and writes what the host plays to another. Behind the end of the source, and
/// without one, there is silence; without a sink what is played is gone. What is lost, because a file
/// or the host was late, standard error tells.
///
/// Reading and writing happen between two packets of sound, so the files are to be ones that do not
/// let one wait. One that fails is not used any more, which standard error tells.
///
/// ```
/// use examples::{Driven, sound_files};
/// use usb_descriptors::Speed;
/// use usb_functions::{Audio, DeviceOptions};
///
/// let audio = Audio::new(DeviceOptions::new(Speed::Full))?;
/// let silent = Driven::new(audio, sound_files(None, None));
/// # let _ = silent;
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
pub fn sound_files(
    mut source: Option<File>,
    mut sink: Option<File>,
) -> impl FnMut(&mut Audio) + Send {
    let mut recording = false;
    let mut samples = Vec::with_capacity(PIECE);
    move |audio| {
        while let Some(event) = audio.poll_event() {
            match event {
                AudioEvent::Played(samples) => {
                    attempt("sink", &mut sink, |file| file.write_all(&samples));
                }
                AudioEvent::PlaybackOverrun(lost) if sink.is_some() => {
                    eprintln!("{} ms that were played are lost", lost / MILLISECOND);
                }
                AudioEvent::RecordingOverrun(lost) => {
                    eprintln!("{} ms of the source are lost", lost / MILLISECOND);
                }
                AudioEvent::RecordingUnderrun if recording => {
                    eprintln!("the source is late, the host records silence");
                }
                AudioEvent::Recording(now) => {
                    recording = now;
                    attempt("source", &mut source, Seek::rewind);
                }
                _ => {}
            }
        }
        while recording && audio.supplied() < AHEAD {
            samples.clear();
            attempt("source", &mut source, |file| {
                let mut piece = file.take(PIECE as u64);
                piece.read_to_end(&mut samples).map(|_| ())
            });
            // It ends here, and half a sample frame is none.
            recording = samples.len() == PIECE;
            audio.supply(&samples);
        }
    }
}

/// Does something with a file, while there is one.
fn attempt(
    name: &str,
    file: &mut Option<File>,
    action: impl FnOnce(&mut File) -> std::io::Result<()>,
) {
    if let Some(Err(error)) = file.as_mut().map(action) {
        eprintln!("the {name} is not used any more: {error}");
        *file = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
    use usb_functions::DeviceOptions;
    use usb_transfer::{
        Actual, Frame, Function, FunctionEvent, IsoPacket, Kind, Payload, Transfer, TransferIds,
    };

    use super::*;

    /// Whatever time it takes: what it has is the source from its first sample on.
    #[test]
    fn a_host_that_is_late_loses_nothing_of_the_source() {
        let samples: Vec<u8> = (1..=96_000u32).flat_map(u32::to_le_bytes).collect();
        let path = std::env::temp_dir().join(format!("source-{}", std::process::id()));
        fs::write(&path, &samples).unwrap();
        let mut user = sound_files(Some(File::open(&path).unwrap()), None);
        fs::remove_file(path).unwrap();

        let mut audio = Audio::new(DeviceOptions::new(Speed::Full)).unwrap();
        let mut ids = TransferIds::default();
        for setup in [
            SetupPacket::set_configuration(1),
            SetupPacket::set_interface(2, 1),
        ] {
            audio.submit(Transfer::control_in(ids.mint(), setup));
        }
        let mut recorded = Vec::new();
        let mut under_way = 0;
        let mut now = 8;
        for round in 0..1500 {
            while under_way < 12 {
                let packets = (0..8).map(|at| IsoPacket::new(at * 192, 192)).collect();
                let payload = Payload::In { length: 8 * 192 };
                let endpoint = EndpointAddress::from_byte(0x82);
                let kind = Kind::Isochronous(packets);
                audio.submit(Transfer::new(ids.mint(), endpoint, kind, payload));
                under_way += 1;
            }
            user(&mut audio);
            now += match round {
                100 => 90 * 8,
                300 => 110 * 8,
                500 => 700 * 8,
                _ => 8,
            };
            audio.start_of_frame(Frame(now));
            while let Some(event) = audio.poll() {
                let FunctionEvent::Complete(done) = event else {
                    panic!("{event:?}");
                };
                // The others are the answers to the two requests.
                if let Actual::In(data) = done.actual {
                    under_way -= 1;
                    recorded.extend_from_slice(&data.to_bytes());
                }
            }
        }
        let begin = recorded.chunks(4).position(|frame| frame != [0; 4]);
        let recorded = &recorded[begin.unwrap() * 4..];
        assert!(recorded.len() > 1000 * MILLISECOND);
        assert!(samples.starts_with(recorded));
    }
}
