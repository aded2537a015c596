//! The sound that goes through a card which records what it plays: frames that say their number.

use std::ops::Range;

use bytes::Bytes;
use usb_transfer::{IsoPacket, Segments};

/// Bytes of a frame: two channels of 16 bits.
pub(crate) const FRAME: usize = 4;
/// Frames of a millisecond, which is a packet.
pub(crate) const MILLISECOND: u32 = 48;
/// Frames of as many packets as usbfs has in an URB: a transfer that is cancelled while it is under
/// way has played, or lost, so many times a number.
const PIECE: u32 = 128 * MILLISECOND;
/// Longer than a recording waits for sound.
const MOST_SILENCE: u32 = 5000 * MILLISECOND;

/// What was played and what was recorded. Frames count from 1; 0 is silence.
#[derive(Default)]
pub(crate) struct Tape {
    /// The last frame that was given to be played.
    pub(crate) played: u32,
    /// The last frame that came back.
    pub(crate) heard: u32,
    /// Frames of silence since then.
    silence: u32,
    /// Frames of silence between others.
    pub(crate) gaps: u32,
    /// The frames of a transfer that was cancelled, which end early.
    pub(crate) cut: Option<Range<u32>>,
    /// Of these, whole pieces that were played.
    pub(crate) kept: Option<u32>,
    /// Whether a recording was cancelled, with what had come.
    pub(crate) loses: bool,
    /// Frames that were lost by that.
    pub(crate) lost: Option<u32>,
}

impl Tape {
    /// Data with the next frames in its packets, and something else between them.
    pub(crate) fn play(&mut self, packets: &[IsoPacket], length: u32) -> Bytes {
        let mut data = vec![0xee; length as usize];
        for packet in packets {
            let start = packet.offset as usize;
            let place = &mut data[start..start + packet.length as usize];
            for frame in place.chunks_exact_mut(FRAME) {
                self.played += 1;
                frame.copy_from_slice(&self.played.to_le_bytes());
            }
        }
        data.into()
    }

    /// The frames of one packet, each the next.
    pub(crate) fn hear(&mut self, packet: &Segments) {
        let bytes = packet.to_bytes();
        let frames = bytes.chunks_exact(FRAME);
        assert!(frames.remainder().is_empty(), "half a frame");
        for frame in frames {
            let frame = u32::from_le_bytes(frame.try_into().expect("four bytes"));
            if frame == 0 {
                self.silence += 1;
                assert!(self.silence < MOST_SILENCE, "nothing after {}", self.heard);
                continue;
            }
            if self.heard > 0 {
                self.gaps += self.silence;
            }
            self.silence = 0;
            if frame != self.heard + 1 {
                self.jump(frame);
            }
            self.heard = frame;
        }
    }

    /// Only a transfer that was cancelled is left out, from one of its pieces on, or its recording,
    /// up to the end of one.
    fn jump(&mut self, to: u32) {
        let next = self.heard + 1;
        if let Some(cut) = self.cut.take_if(|cut| cut.end == to && cut.start <= next) {
            let kept = next - cut.start;
            assert_eq!(kept % PIECE, 0, "{kept} frames of {cut:?} were played");
            self.kept = Some(kept / PIECE);
            return;
        }
        assert!(self.loses && to > next, "{to} came, expected {next}");
        self.loses = false;
        self.lost = Some(to - next);
    }

    /// Whole pieces that were lost; none where it was something else.
    pub(crate) fn lost_pieces(&self) -> Option<u32> {
        let lost = self.lost?;
        lost.is_multiple_of(PIECE).then_some(lost / PIECE)
    }

    /// Whether all that was played came back.
    pub(crate) fn is_whole(&self) -> bool {
        self.heard == self.played
    }
}
