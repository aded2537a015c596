//! A serial port whose far end is a file, such as a pseudo-terminal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::task::Waker;
use std::thread;

use bytes::Bytes;
use usb_functions::{ControlLines, LineCoding, Parity, Serial, SerialEvent, SerialState, StopBits};

use crate::say;

/// Pieces that wait in each direction.
const PIECES: usize = 16;
/// Bytes of a piece from the file.
const PIECE: usize = 16 << 10;

/// The user of a [`Serial`] port who writes what it receives to a file and sends what comes from
/// there. Where the file takes nothing, neither does the port, and the other way round: nothing is
/// lost. The port has carrier until the file ends.
///
/// Two threads read and write, and wake the loop.
#[derive(Debug)]
pub struct SerialBridge {
    read: Receiver<Bytes>,
    write: SyncSender<Bytes>,
    /// Received, and the file has not taken it.
    held: Option<Bytes>,
    /// The file has ended.
    ended: bool,
}

impl SerialBridge {
    /// Joins a port and a file.
    ///
    /// # Errors
    /// The process has no file descriptor or thread left.
    pub fn new(file: &impl AsFd, waker: &Waker) -> io::Result<Self> {
        let mut input = File::from(file.as_fd().try_clone_to_owned()?);
        let mut output = input.try_clone()?;
        let (read_by, read) = sync_channel(PIECES);
        let (write, written_by) = sync_channel::<Bytes>(PIECES);
        let (reading, writing) = (waker.clone(), waker.clone());
        thread::Builder::new().name("read".into()).spawn(move || {
            let mut piece = vec![0; PIECE];
            while let Ok(count @ 1..) = input.read(&mut piece) {
                if read_by
                    .send(Bytes::copy_from_slice(&piece[..count]))
                    .is_err()
                {
                    break;
                }
                reading.wake_by_ref();
            }
            drop(read_by);
            reading.wake();
        })?;
        thread::Builder::new().name("write".into()).spawn(move || {
            while let Ok(bytes) = written_by.recv() {
                // There is room for one more.
                writing.wake_by_ref();
                if output.write_all(&bytes).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self {
            read,
            write,
            held: None,
            ended: false,
        })
    }

    /// Moves what can be moved.
    pub fn turn(&mut self, serial: &mut Serial) {
        while self.write_held() {
            let Some(event) = serial.poll_event() else {
                break;
            };
            match event {
                SerialEvent::Received(bytes) => self.held = Some(bytes),
                other => show_line(&other),
            }
        }
        while !self.ended && serial.unsent() < Serial::MOST_UNSENT {
            match self.read.try_recv() {
                Ok(bytes) => {
                    // There was room, unless the port is gone.
                    let _ = serial.send(bytes);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        serial.set_state(SerialState {
            carrier: !self.ended,
            ready: !self.ended,
            ..SerialState::default()
        });
    }

    /// Whether nothing is held any more.
    fn write_held(&mut self) -> bool {
        let Some(bytes) = self.held.take() else {
            return true;
        };
        match self.write.try_send(bytes) {
            // Where the file has failed, what was for it is dropped.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(bytes)) => {
                self.held = Some(bytes);
                false
            }
        }
    }
}

/// Says on standard output what the host does with a port's line.
pub fn show_line(event: &SerialEvent) {
    let _ = match event {
        SerialEvent::LineCoding(coding) => say(format_args!("line coding: {}", words(*coding))),
        SerialEvent::ControlLines(lines) => say(format_args!("control lines: {}", names(*lines))),
        SerialEvent::Break(milliseconds) => say(format_args!("break: {}", length(*milliseconds))),
        _ => Ok(()),
    };
}

/// How long a break is (PSTN 1.2, 6.3.13).
fn length(milliseconds: u16) -> String {
    match milliseconds {
        0xffff => "begins".into(),
        0 => "ends".into(),
        milliseconds => format!("{milliseconds} ms"),
    }
}

/// A line coding as people write it, such as `115200 8N1`.
fn words(coding: LineCoding) -> String {
    let parity = match coding.parity {
        Parity::NONE => "N",
        Parity::ODD => "O",
        Parity::EVEN => "E",
        Parity::MARK => "M",
        Parity::SPACE => "S",
        _ => "?",
    };
    let stop_bits = match coding.stop_bits {
        StopBits::ONE => "1",
        StopBits::ONE_AND_A_HALF => "1.5",
        StopBits::TWO => "2",
        _ => "?",
    };
    let (rate, data_bits) = (coding.bits_per_second, coding.data_bits);
    format!("{rate} {data_bits}{parity}{stop_bits}")
}

fn names(lines: ControlLines) -> &'static str {
    match (lines.terminal_ready, lines.request_to_send) {
        (true, true) => "DTR RTS",
        (true, false) => "DTR",
        (false, true) => "RTS",
        (false, false) => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_in_words() {
        assert_eq!([0xffff, 0, 250].map(length), ["begins", "ends", "250 ms"]);
    }

    #[test]
    fn codings_in_words() {
        assert_eq!(words(LineCoding::default()), "9600 8N1");
        let odd = LineCoding {
            bits_per_second: 1_000_000,
            stop_bits: StopBits::TWO,
            parity: Parity::SPACE,
            data_bits: 7,
        };
        assert_eq!(words(odd), "1000000 7S2");
    }
}
