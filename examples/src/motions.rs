//! Who moves a pointer: lines of text.

use std::sync::mpsc::{Receiver, TryRecvError};

use usb_functions::{Buttons, Mouse, Tablet};

/// One line: X, Y, buttons and wheel.
pub type Motion = [i32; 4];

/// The motion of a line `X Y [BUTTONS [WHEEL]]`.
#[must_use]
pub fn motion(line: &str) -> Option<Motion> {
    let numbers: Result<Vec<i32>, _> = line.split_whitespace().map(str::parse).collect();
    match numbers.ok()?[..] {
        [x, y] => Some([x, y, 0, 0]),
        [x, y, buttons] => Some([x, y, buttons, 0]),
        [x, y, buttons, wheel] => Some([x, y, buttons, wheel]),
        _ => None,
    }
}

/// A user of a [`Tablet`] who moves it as the motions of a channel say. When the channel has ended
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
    follow(motions, move_tablet, |tablet| {
        if tablet.waiting() == 0 {
            tablet.detach();
        }
    })
}

/// The same of a [`Mouse`], which is moved by so much.
pub fn follow_mouse(motions: Receiver<Motion>) -> impl FnMut(&mut Mouse) {
    follow(motions, move_mouse, |mouse| {
        if mouse.waiting() == 0 {
            mouse.detach();
        }
    })
}

/// A user that does what comes through the channel, and what is to be done after its end.
fn follow<D>(
    motions: Receiver<Motion>,
    act: fn(&mut D, Motion),
    end: fn(&mut D),
) -> impl FnMut(&mut D) {
    move |device| loop {
        match motions.try_recv() {
            Ok(motion) => act(device, motion),
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => {
                end(device);
                break;
            }
        }
    }
}

fn move_mouse(mouse: &mut Mouse, [right, down, buttons, wheel]: Motion) {
    mouse.move_by(right, down, 0);
    mouse.set_buttons(to_buttons(buttons));
    mouse.move_by(0, 0, wheel);
}

fn move_tablet(tablet: &mut Tablet, [x, y, buttons, wheel]: Motion) {
    let coordinate = |value: i32| u16::try_from(value.max(0)).unwrap_or(u16::MAX);
    tablet.move_to(coordinate(x), coordinate(y));
    tablet.set_buttons(to_buttons(buttons));
    tablet.scroll(wheel);
}

fn to_buttons(number: i32) -> Buttons {
    Buttons(u8::try_from(number & 0x1f).unwrap_or(0))
}
