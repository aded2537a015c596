//! The numbers of requests and unlinks.

/// Numbers from 1, like the kernel's. They come round after 2³², which a request may outlive: a
/// keyboard that nobody touches answers none, while the disk beside it works for hours. A number
/// that is still in use is left out.
#[derive(Debug)]
pub(super) struct Seqnums {
    next: u32,
    /// The first number ahead that may be in use.
    free_until: u32,
}

impl Seqnums {
    pub(super) const fn starting_at(next: u32) -> Self {
        // Nothing is in use yet, all the way round.
        let free_until = next.wrapping_sub(1);
        Self { next, free_until }
    }

    /// A number that is none of `used`, which are looked at only where the last look ends.
    #[inline(always)]
    pub(super) fn mint<I: Iterator<Item = u32>>(&mut self, used: impl Fn() -> I) -> u32 {
        if self.next == self.free_until {
            self.look_ahead(used);
        }
        let seqnum = self.next;
        self.next = seqnum.wrapping_add(1);
        seqnum
    }

    /// Goes on to a number that is not in use, and finds how far the next ones are not. What is
    /// minted until then lies behind.
    #[cold]
    fn look_ahead<I: Iterator<Item = u32>>(&mut self, used: impl Fn() -> I) {
        loop {
            let distance = used().map(|seqnum| seqnum.wrapping_sub(self.next)).min();
            if distance != Some(0) {
                // All the way round, where none is in use.
                let free = distance.unwrap_or(u32::MAX);
                self.free_until = self.next.wrapping_add(free);
                return;
            }
            self.next = self.next.wrapping_add(1);
        }
    }
}

#[cfg(test)]
impl Seqnums {
    /// Another round begins at `next`.
    pub(super) const fn come_round_to(next: u32) -> Self {
        let free_until = next;
        Self { next, free_until }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn numbers_in_use_are_left_out_however_often_they_come_round() {
        let used = [u32::MAX - 1, 0, 1, 3];
        let mut seqnums = Seqnums::come_round_to(u32::MAX - 2);
        let minted: Vec<u32> = (0..5).map(|_| seqnums.mint(|| used.into_iter())).collect();
        assert_eq!(minted, [u32::MAX - 2, u32::MAX, 2, 4, 5]);
        // Another round, in which one has gone.
        let mut seqnums = Seqnums::come_round_to(u32::MAX - 1);
        let used = [u32::MAX - 1, 1, 3];
        let minted: Vec<u32> = (0..3).map(|_| seqnums.mint(|| used.into_iter())).collect();
        assert_eq!(minted, [u32::MAX, 0, 2]);
    }

    #[test]
    fn they_are_looked_at_once_a_round() {
        let mut seqnums = Seqnums::starting_at(1);
        for expected in 1..1000 {
            let none = || -> core::iter::Empty<u32> { panic!("none can be in use") };
            assert_eq!(seqnums.mint(none), expected);
        }
        let mut seqnums = Seqnums::come_round_to(0);
        assert_eq!(seqnums.mint(|| [5].into_iter()), 0);
        assert_eq!(seqnums.free_until, 5);
    }
}
