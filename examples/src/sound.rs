//! Sound of files, and into them.

use std::fs::File;
use std::io::{Read, Seek, Write};

use usb_functions::{Audio, AudioEvent};

/// In bytes.
const MILLISECOND: usize = 192;
/// So much of a source is with the sound card at most, in bytes: a fifth of a second, ten times its
/// latency.
const AHEAD: usize = MILLISECOND * 200;
/// What is read at a time: a tenth of a second.
const PIECE: usize = MILLISECOND * 100;

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
