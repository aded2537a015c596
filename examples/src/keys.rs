//! Typing on a keyboard, from another thread.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::task::Waker;
use std::vec;

use usb_functions::{Keyboard, KeyboardEvent, KeyboardLayout, Leds, Modifiers, Stroke, Usage};

use crate::say;

/// A user of a [`Keyboard`] who makes the strokes that come through a channel, as fast as the host
/// takes them. When the channel has ended and all is typed, the keyboard leaves.
///
/// What the host does with the lights is said on standard output.
///
/// ```
/// use std::sync::mpsc::sync_channel;
/// use examples::{Driven, strokes, type_from};
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, Keyboard};
///
/// let (typed, channel) = sync_channel(1);
/// let keyboard = Keyboard::new(DeviceOptions::new(Speed::High))?;
/// let keyboard = Driven::new(keyboard, type_from(channel));
/// typed.send(strokes("hello"))?;
/// # let _ = keyboard;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn type_from(typed: Receiver<Vec<Stroke>>) -> impl FnMut(&mut Keyboard) {
    let mut strokes = Vec::new().into_iter();
    move |keyboard| {
        let ended = !make(keyboard, &mut strokes, &typed);
        while let Some(event) = keyboard.poll_event() {
            if let KeyboardEvent::Leds(leds) = event {
                let _ = say(format_args!("leds: {}", names(leds)));
            }
        }
        if ended && keyboard.waiting() == 0 {
            keyboard.detach();
        }
    }
}

/// Passes on as strokes what `input` brings, and wakes the loop of the keyboard, until the end of
/// the input, until the byte `end`, or until the keyboard is gone.
///
/// While the host takes nothing and the channel is full, nothing is read: a pipe or a terminal
/// then keeps, and at last holds up, who writes to it. Nothing is lost.
pub fn type_input(
    mut input: impl Read,
    typed: &SyncSender<Vec<Stroke>>,
    end: Option<u8>,
    strokes: fn(&str) -> Vec<Stroke>,
    waker: &Waker,
) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = input.read(&mut piece) {
        let mut read = &piece[..count];
        let end = read.iter().position(|byte| Some(*byte) == end);
        if let Some(at) = end {
            read = &read[..at];
        }
        bytes.extend_from_slice(read);
        let rest = bytes.split_off(whole_characters(&bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        bytes = rest;
        if typed.send(strokes(&text)).is_err() || end.is_some() {
            break;
        }
        waker.wake_by_ref();
    }
}

/// How many of the bytes are whole characters, or will never be.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

/// Makes what there is room for. Whether there may be more.
fn make(
    keyboard: &mut Keyboard,
    strokes: &mut vec::IntoIter<Stroke>,
    typed: &Receiver<Vec<Stroke>>,
) -> bool {
    loop {
        let room = keyboard.room();
        if room == 0 {
            return true;
        }
        if strokes.as_slice().is_empty() {
            match typed.try_recv() {
                Ok(more) => *strokes = more.into_iter(),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        keyboard.strike(strokes.take(room));
    }
}

/// What makes a text on a keyboard of the United States; characters without a key are left out.
#[must_use]
pub fn strokes(text: &str) -> Vec<Stroke> {
    let layout = KeyboardLayout::US;
    text.chars()
        .filter_map(|character| layout.stroke(character))
        .collect()
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
/// Control with a letter.
#[must_use]
pub fn terminal_strokes(mut text: &str) -> Vec<Stroke> {
    let mut strokes = Vec::new();
    while let Some(character) = text.chars().next() {
        let mut sequences = KEYS.iter().filter(|(_, _, sequence)| !sequence.is_empty());
        if let Some((_, usage, sequence)) =
            sequences.find(|(_, _, sequence)| text.starts_with(sequence))
        {
            strokes.push(Stroke::new(Modifiers::NONE, *usage));
            text = &text[sequence.len()..];
            continue;
        }
        strokes.extend(terminal_stroke(character));
        text = &text[character.len_utf8()..];
    }
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
    fn keys_have_names() {
        assert_eq!(key("f12").unwrap().usage, Usage(0x45));
        assert_eq!(key("caps-lock").unwrap().usage, Usage::CAPS_LOCK);
        assert!(key("f13").unwrap_err().contains("page-down"));
    }
}
