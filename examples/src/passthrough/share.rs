//! A device's share of the memory that the kernel has for programs that use USB: 16 MiB for all
//! devices (`usbcore.usbfs_memory_mb`), and who uses them up has the transfers of others fail.

/// Bytes that are under way of a device at most; what is beyond waits in its place. No transfer has
/// more.
pub(super) const MOST: usize = 8 << 20;
/// A queue of which nothing is under way can have so much, whatever the others have: a command is not
/// to wait for the data that it asks for.
const FIRST: usize = 64 << 10;
/// Enough for that at all endpoints that a device can have.
const FIRST_OF_ALL: usize = 32 * FIRST;
/// Bytes of control transfers, which do not count with the others: those of 16 of the longest.
const MOST_OF_CONTROLS: usize = 1 << 20;
/// Capacity of buffers that are lent or kept: what four of Linux's longest transfers need. They count
/// also while a reply waits for a client that does not take it.
pub(super) const BUFFERS: usize = 4 << 20;

/// Whether a transfer of [`MOST`] bytes at most can be started beside what is under way in its queue
/// – of an endpoint, or of a stream – and in others, control transfers apart.
pub(super) const fn has_room(wanted: usize, own: usize, others: usize) -> bool {
    let most = match own {
        0 if wanted <= FIRST => MOST + FIRST_OF_ALL,
        0 => MOST,
        _ => MOST / 2,
    };
    own + others + wanted <= most
}

/// Whether a control transfer can be started beside those that are under way.
pub(super) const fn has_room_for_control(wanted: usize, own: usize) -> bool {
    own == 0 || own + wanted <= MOST_OF_CONTROLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_keeps_memory() {
        assert!(has_room(MOST, 0, 0) && !has_room(MOST, 0, 1));
        assert!(has_room(MOST / 2 - 1, 1, 0) && !has_room(MOST / 2, 1, 0));
        assert!(!has_room(1, 1, MOST / 2));
        assert!(has_room_for_control(65_543, 0) && has_room_for_control(8, MOST_OF_CONTROLS - 8));
        assert!(!has_room_for_control(9, MOST_OF_CONTROLS - 8));
    }

    #[test]
    fn no_endpoint_waits_for_another_with_its_first_command() {
        // A device has 30 endpoints beside 0; what is big was there before.
        let others = MOST + 29 * FIRST;
        assert!(has_room(FIRST, 0, others));
        assert!(!has_room(FIRST + 1, 0, others));
        // Streams are more than that.
        assert!(!has_room(FIRST, 0, MOST + FIRST_OF_ALL));
    }
}
