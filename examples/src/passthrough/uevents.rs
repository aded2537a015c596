//! The kernel's word that a USB device has come, has gone, or has become another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// What the kernel says of its devices (`lib/kobject_uevent.c`).
#[derive(Debug)]
pub(crate) struct Uevents {
    socket: OwnedFd,
}

/// The kernel's own events are the first group; udev's repetition of them is the second.
const KERNEL: u32 = 1;
/// The kernel's limit is 2048 (`UEVENT_BUFFER_SIZE`), with a header before.
const LONGEST: usize = 4096;
/// A line of each event of the bus.
const OF_USB: &[u8] = b"SUBSYSTEM=usb";

impl Uevents {
    /// From now on.
    ///
    /// # Errors
    /// The process may not have such a socket.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, datagrams) = (AddressFamily::NETLINK, SocketType::DGRAM);
        let socket = socket_with(family, datagrams, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self { socket })
    }

    /// Takes all events that have come: whether one was of the USB, or may have been.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        let mut is_of_usb = false;
        let mut event = [0; LONGEST];
        loop {
            match recv(&self.socket, &mut event[..], RecvFlags::empty()) {
                Ok((length, _)) => is_of_usb |= has_line(&event[..length], OF_USB),
                // Some were lost.
                Err(Errno::NOBUFS) => is_of_usb = true,
                Err(Errno::INTR) => {}
                Err(_) => return is_of_usb,
            }
        }
    }
}

impl AsFd for Uevents {
    /// Can be read when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lines end with a zero.
fn has_line(event: &[u8], wanted: &[u8]) -> bool {
    event.split(|&byte| byte == 0).any(|line| line == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_of_the_usb_by_its_line() {
        let event = b"add@/devices/usb1/1-2\0ACTION=add\0SUBSYSTEM=usb\0SEQNUM=7\0";
        assert!(has_line(event, OF_USB));
        let event = b"add@/SUBSYSTEM=usb\0ACTION=add\0SUBSYSTEM=usbmon\0SEQNUM=8\0";
        assert!(!has_line(event, OF_USB));
        assert!(!has_line(b"", OF_USB));
    }

    #[test]
    fn without_events_there_is_nothing_to_take() {
        let events = Uevents::new().unwrap();
        // Somebody may have plugged something in: then that was taken.
        let _ = events.take();
        assert!(!events.take());
    }
}
