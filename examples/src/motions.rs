//! Who moves a pointer: lines of text.

use std::sync::mpsc::{Receiver, TryRecvError};

use usb_functions::{Buttons, Mouse, Tablet};

/// One line: X, Y, buttons and wheel.
pub type Motion = [i16; 4];

/// Reports of one motion at most: far to the side, the buttons, far with the wheel, each in steps
/// of 127.
const MOST_REPORTS: usize = 2 * (32768 / 127 + 1) + 1;

/// The motion of a line `X Y [BUTTONS [WHEEL]]`.
#[must_use]
pub fn motion(line: &str) -> Option<Motion> {
    let numbers: Result<Vec<i16>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers.ok()?[..] {
        [x, y] => Some([x, y, 0, 0]),
        [x, y, buttons] => Some([x, y, buttons, 0]),
        [x, y, buttons, wheel] => Some([x, y, buttons, wheel]),
        _ => None,
    }
}

/// A user of a [`Tablet`] who moves it as the motions of a channel say, as fast as the host takes
/// them and not before it [is ready](Tablet::is_ready): no click is lost. When the channel has ended
/// and all is told, the tablet leaves.
///
/// ```
/// use std::sync::mpsc::sync_channel;
/// use examples::{Driven, follow_tablet, motion};
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, Tablet};
///
/// let (moved, motions) = sync_channel(1);
/// let tablet = Tablet::new(DeviceOptions::new(Speed::High))?;
/// let tablet = Driven::new(tablet, follow_tablet(motions));
/// moved.send(motion("16384 0 1").ok_or("no motion")?)?;
/// # let _ = tablet;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn follow_tablet(motions: Receiver<Motion>) -> impl FnMut(&mut Tablet) {
    let mut held = None;
    move |tablet| {
        let room = if tablet.is_ready() { tablet.room() } else { 0 };
        let ended = follow(&mut held, &motions, room, |motion| {
            move_tablet(tablet, motion);
            tablet.room()
        });
        if ended && tablet.waiting() == 0 {
            tablet.detach();
        }
    }
}

/// The same of a [`Mouse`], which is moved by so much.
pub fn follow_mouse(motions: Receiver<Motion>) -> impl FnMut(&mut Mouse) {
    let mut held = None;
    move |mouse| {
        let room = if mouse.is_ready() { mouse.room() } else { 0 };
        let ended = follow(&mut held, &motions, room, |motion| {
            move_mouse(mouse, motion);
            mouse.room()
        });
        if ended && mouse.waiting() == 0 {
            mouse.detach();
        }
    }
}

/// Does what comes through the channel, while there is room for all of it; `act` says how much is
/// left. Whether the channel has ended.
fn follow(
    held: &mut Option<Motion>,
    motions: &Receiver<Motion>,
    mut room: usize,
    mut act: impl FnMut(Motion) -> usize,
) -> bool {
    loop {
        if held.is_none() {
            match motions.try_recv() {
                Ok(motion) => *held = Some(motion),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        if room < MOST_REPORTS {
            return false;
        }
        if let Some(motion) = held.take() {
            room = act(motion);
        }
    }
}

fn move_mouse(mouse: &mut Mouse, [right, down, buttons, wheel]: Motion) {
    mouse.move_by(right.into(), down.into(), 0);
    mouse.set_buttons(to_buttons(buttons));
    mouse.move_by(0, 0, wheel.into());
}

fn move_tablet(tablet: &mut Tablet, [x, y, buttons, wheel]: Motion) {
    let coordinate = |value: i16| u16::try_from(value).unwrap_or(0);
    tablet.move_to(coordinate(x), coordinate(y));
    tablet.set_buttons(to_buttons(buttons));
    tablet.scroll(wheel.into());
}

fn to_buttons(number: i16) -> Buttons {
    Buttons(u8::try_from(number & 0x1f).unwrap_or(0))
}
