//! Typing on a keyboard, from another thread.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::task::Waker;
use std::vec;

use usb_functions::{Keyboard, KeyboardEvent, KeyboardLayout, Leds, Modifiers, Stroke, Usage};

use crate::say;

/// Who types on a [`Keyboard`] from another thread. Once this is gone and all is typed, the keyboard
/// leaves.
///
/// ```
/// use std::task::Waker;
/// use examples::{Driven, Typist, strokes};
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, Keyboard};
///
/// let (typist, user) = Typist::new(1, Waker::noop());
/// let keyboard = Keyboard::new(DeviceOptions::new(Speed::High))?;
/// let keyboard = Driven::new(keyboard, user);
/// assert!(typist.strike(strokes("hello")));
/// # let _ = keyboard;
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Debug)]
pub struct Typist {
    /// `None` only while it is dropped.
    typed: Option<SyncSender<Vec<Stroke>>>,
    leave: Arc<AtomicBool>,
    waker: Waker,
}

impl Typist {
    /// A typist, of whom so many pieces may wait, and the user of the keyboard who makes the
    /// strokes, as fast as the host takes them and not before it [is ready](Keyboard::is_ready).
    /// What the host does with the lights is said on standard output.
    pub fn new(pieces: usize, waker: &Waker) -> (Self, impl FnMut(&mut Keyboard) + Send + use<>) {
        let (typed, channel) = sync_channel(pieces);
        let leave = Arc::new(AtomicBool::new(false));
        let typist = Self {
            typed: Some(typed),
            leave: Arc::clone(&leave),
            waker: waker.clone(),
        };
        let mut waiting = Waiting {
            strokes: Vec::new().into_iter(),
            channel,
        };
        let user = move |keyboard: &mut Keyboard| {
            while let Some(event) = keyboard.poll_event() {
                show_lights(event);
            }
            if leave.swap(false, Ordering::AcqRel) {
                let untaken = waiting.forget() + keyboard.waiting().div_ceil(2);
                if untaken > 0 {
                    eprintln!("the host has not taken {untaken} keys, which are dropped");
                }
                keyboard.detach();
            }
            if !waiting.make(keyboard) && keyboard.waiting() == 0 {
                keyboard.detach();
            }
        };
        (typist, user)
    }

    /// Has strokes made. While too much waits, so does this: a pipe then keeps, and at last holds
    /// up, who writes to it. `false` once the keyboard is gone.
    #[must_use]
    pub fn strike(&self, strokes: Vec<Stroke>) -> bool {
        let sent = self
            .typed
            .as_ref()
            .is_some_and(|typed| typed.send(strokes).is_ok());
        self.waker.wake_by_ref();
        sent
    }

    /// The same without waiting: where too much waits the strokes are dropped, which standard error
    /// tells.
    fn strike_now(&self, strokes: Vec<Stroke>) -> bool {
        let Some(typed) = &self.typed else {
            return false;
        };
        match typed.try_send(strokes) {
            Ok(()) => {}
            Err(TrySendError::Full(strokes)) => {
                eprintln!("the host takes no keys, {} are dropped", strokes.len());
            }
            Err(TrySendError::Disconnected(_)) => return false,
        }
        self.waker.wake_by_ref();
        true
    }

    /// The keyboard leaves at once. What the host has not taken is dropped, which standard error
    /// tells.
    pub fn leave(self) {
        self.leave.store(true, Ordering::Release);
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // The end is news too.
        self.typed = None;
        self.waker.wake_by_ref();
    }
}

/// A user of a keyboard who types a text to each host that is ready.
pub fn type_to_each(text: Vec<Stroke>) -> impl FnMut(&mut Keyboard) + Send {
    let mut left = Vec::new().into_iter();
    move |keyboard| {
        while let Some(event) = keyboard.poll_event() {
            if event == KeyboardEvent::Ready {
                left = text.clone().into_iter();
            }
            show_lights(event);
        }
        if keyboard.is_ready() && !left.as_slice().is_empty() {
            let room = keyboard.room();
            keyboard.strike(left.by_ref().take(room));
        }
    }
}

/// Passes on as strokes what `input` brings, until its end or until the keyboard is gone. While too
/// much waits nothing is read, and nothing is lost.
pub fn type_input(mut input: impl Read, typist: &Typist) {
    let mut characters = Characters::default();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = input.read(&mut piece) {
        if !typist.strike(strokes(&characters.next(&piece[..count]))) {
            break;
        }
    }
}

/// Passes on the keys of a terminal, until its end, until the keyboard is gone, or until the byte
/// `end`, at which the keyboard leaves at once, whatever the host does. So it is always read; what
/// is typed while too much waits is dropped.
pub fn type_terminal(mut input: impl Read, typist: Typist, end: u8) {
    let mut characters = Characters::default();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = input.read(&mut piece) {
        let read = &piece[..count];
        let at = read.iter().position(|byte| *byte == end);
        let text = characters.next(&read[..at.unwrap_or(count)]);
        let is_there = typist.strike_now(terminal_strokes(&text));
        if at.is_some() {
            return typist.leave();
        }
        if !is_there {
            break;
        }
    }
}

/// Strokes that wait for a keyboard.
struct Waiting {
    strokes: vec::IntoIter<Stroke>,
    channel: Receiver<Vec<Stroke>>,
}

impl Waiting {
    /// Makes what there is room for, if a host is ready. Whether there may be more.
    fn make(&mut self, keyboard: &mut Keyboard) -> bool {
        loop {
            if self.strokes.as_slice().is_empty() {
                match self.channel.try_recv() {
                    Ok(more) => self.strokes = more.into_iter(),
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return false,
                }
            }
            let room = keyboard.room();
            if room == 0 || !keyboard.is_ready() {
                return true;
            }
            keyboard.strike(self.strokes.by_ref().take(room));
        }
    }

    /// How many there were.
    fn forget(&mut self) -> usize {
        let held = std::mem::take(&mut self.strokes).len();
        let sent: usize = self.channel.try_iter().map(|more| more.len()).sum();
        held + sent
    }
}

/// Text that comes in pieces of bytes.
#[derive(Default)]
struct Characters {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Characters {
    /// What is whole with these.
    fn next(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        self.rest = all.split_off(whole_characters(&all));
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// How many of the bytes are whole characters, or will never be.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// What makes a text on a keyboard of the United States; characters without a key are left out,
/// which standard error tells.
#[must_use]
pub fn strokes(text: &str) -> Vec<Stroke> {
    let layout = KeyboardLayout::US;
    let mut keyless = Keyless::default();
    let strokes = text
        .chars()
        .filter_map(|character| keyless.or_stroke(character, layout.stroke(character)))
        .collect();
    keyless.tell();
    strokes
}

/// Characters that no key makes.
#[derive(Default)]
struct Keyless(String);

impl Keyless {
    fn or_stroke(&mut self, character: char, stroke: Option<Stroke>) -> Option<Stroke> {
        if stroke.is_none() {
            self.0.push(character);
        }
        stroke
    }

    fn tell(&self) {
        if !self.0.is_empty() {
            eprintln!("no key makes {:?}, left out", self.0);
        }
    }
}

/// What makes a text in which `\n` is Enter, `\t` Tab and `\\` a backslash.
///
/// # Errors
/// A character has no key, or something else comes after a backslash.
pub fn typed_strokes(text: &str) -> Result<Vec<Stroke>, String> {
    let mut typed = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        typed.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('\\') => '\\',
                _ => return Err(r"after a backslash comes n, t or \".into()),
            },
            other => other,
        });
    }
    let strokes: Result<_, _> = KeyboardLayout::US.strokes(&typed).collect();
    strokes.map_err(|error| error.to_string())
}

/// Keys without a character, each with its name and what a terminal sends for it.
const KEYS: [(&str, Usage, &str); 15] = [
    ("caps-lock", Usage::CAPS_LOCK, ""),
    ("num-lock", Usage::NUM_LOCK, ""),
    ("scroll-lock", Usage::SCROLL_LOCK, ""),
    ("print-screen", Usage::PRINT_SCREEN, ""),
    ("pause", Usage::PAUSE, ""),
    ("insert", Usage::INSERT, "\x1b[2~"),
    ("delete", Usage::DELETE, "\x1b[3~"),
    ("home", Usage::HOME, "\x1b[H"),
    ("end", Usage::END, "\x1b[F"),
    ("page-up", Usage::PAGE_UP, "\x1b[5~"),
    ("page-down", Usage::PAGE_DOWN, "\x1b[6~"),
    ("up", Usage::UP, "\x1b[A"),
    ("down", Usage::DOWN, "\x1b[B"),
    ("right", Usage::RIGHT, "\x1b[C"),
    ("left", Usage::LEFT, "\x1b[D"),
];

/// The key of a name, such as `caps-lock` or `f12`.
///
/// # Errors
/// A text that says which names there are.
pub fn key(name: &str) -> Result<Stroke, String> {
    let function = name
        .strip_prefix('f')
        .and_then(|number| number.parse().ok())
        .filter(|number| (1..=12).contains(number))
        .map(|number: u8| Usage(Usage::F1.0 + number - 1));
    let named = KEYS.iter().find(|(known, ..)| *known == name);
    named
        .map(|(_, usage, _)| *usage)
        .or(function)
        .map(|usage| Stroke::new(Modifiers::NONE, usage))
        .ok_or_else(|| {
            let known: Vec<&str> = KEYS.iter().map(|(known, ..)| *known).collect();
            format!("a key is f1 to f12, {}", known.join(", "))
        })
}

/// What makes the keys of a terminal: its characters, what it sends for keys without one, and
/// Control with a letter. Characters without a key are left out, which standard error tells.
#[must_use]
pub fn terminal_strokes(mut text: &str) -> Vec<Stroke> {
    let mut strokes = Vec::new();
    let mut keyless = Keyless::default();
    while let Some(character) = text.chars().next() {
        let mut sequences = KEYS.iter().filter(|(_, _, sequence)| !sequence.is_empty());
        if let Some((_, usage, sequence)) =
            sequences.find(|(_, _, sequence)| text.starts_with(sequence))
        {
            strokes.push(Stroke::new(Modifiers::NONE, *usage));
            text = &text[sequence.len()..];
            continue;
        }
        strokes.extend(keyless.or_stroke(character, terminal_stroke(character)));
        text = &text[character.len_utf8()..];
    }
    keyless.tell();
    strokes
}

fn terminal_stroke(character: char) -> Option<Stroke> {
    match character {
        // The key that deletes to the left, as terminals have it.
        '\u{7f}' => Some(Stroke::new(Modifiers::NONE, Usage::BACKSPACE)),
        '\t' | '\n' | '\r' => KeyboardLayout::US.stroke(character),
        '\u{1}'..='\u{1a}' => {
            let letter = Usage(Usage::A.0 + (character as u8 - 1));
            Some(Stroke::new(Modifiers::LEFT_CONTROL, letter))
        }
        other => KeyboardLayout::US.stroke(other),
    }
}

fn show_lights(event: KeyboardEvent) {
    if let KeyboardEvent::Leds(leds) = event {
        let _ = say(format_args!("leds: {}", names(leds)));
    }
}

fn names(leds: Leds) -> String {
    let all = [
        (Leds::NUM_LOCK, "num-lock"),
        (Leds::CAPS_LOCK, "caps-lock"),
        (Leds::SCROLL_LOCK, "scroll-lock"),
        (Leds::COMPOSE, "compose"),
        (Leds::KANA, "kana"),
    ];
    let lit = all.iter().filter(|(led, _)| leds.contains(*led));
    let names: Vec<&str> = lit.map(|(_, name)| *name).collect();
    if names.is_empty() {
        return "none".into();
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminals_keys_are_keys_again() {
        let control = |usage| Stroke::new(Modifiers::LEFT_CONTROL, usage);
        let plain = |usage| Stroke::new(Modifiers::NONE, usage);
        assert_eq!(
            terminal_strokes("a\x1b[A\x1b[3~\x03\x7f\r\x1b"),
            [
                plain(Usage::A),
                plain(Usage::UP),
                plain(Usage::DELETE),
                control(Usage(0x06)),
                plain(Usage::BACKSPACE),
                plain(Usage::ENTER),
                plain(Usage::ESCAPE),
            ]
        );
    }

    #[test]
    fn characters_come_in_pieces() {
        let mut characters = Characters::default();
        let mut text = String::new();
        for byte in "aü\u{20ac}b".bytes() {
            text += &characters.next(&[byte]);
        }
        assert_eq!(text, "aü\u{20ac}b");
        assert_eq!(characters.next(b"\xffc"), "\u{fffd}c");
    }

    #[test]
    fn what_has_no_key_is_left_out() {
        assert_eq!(strokes("aüb"), strokes("ab"));
        let mut keyless = Keyless::default();
        assert_eq!(keyless.or_stroke('ü', None), None);
        assert_eq!(keyless.0, "ü");
        assert_eq!(terminal_strokes("aüb\0"), terminal_strokes("ab"));
    }

    #[test]
    fn keys_have_names() {
        assert_eq!(key("f12").unwrap().usage, Usage(0x45));
        assert_eq!(key("caps-lock").unwrap().usage, Usage::CAPS_LOCK);
        assert!(key("f13").unwrap_err().contains("page-down"));
    }
}
