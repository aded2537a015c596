//! Bytes in pieces, joined without copying.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use bytes::{Buf, Bytes, BytesMut};

/// Zeros to pad with: as many as a page, since one piece of padding is rarely longer.
static ZEROS: [u8; 4096] = [0; 4096];

/// A run of bytes in one piece or several, such as a header, what a store holds, and zeros. No
/// piece is ever copied, and one piece alone takes no allocation. Empty pieces are not kept.
///
/// ```
/// use bytes::Bytes;
/// use usb_transfer::Segments;
/// let mut data = Segments::from(Bytes::from_static(b"head"));
/// data.push(Bytes::from_static(b"body"));
/// data.push_zeros(2);
/// assert_eq!(data.len(), 10);
/// assert_eq!(data.split_to(6).to_bytes(), &b"headbo"[..]);
/// assert_eq!(data, Bytes::from_static(b"dy\0\0"));
/// ```
#[derive(Clone, Default, Debug)]
pub struct Segments {
    /// Empty only if `tail` is empty too.
    head: Bytes,
    /// No piece is empty, nor is the list. Most have none; boxed, so that those are quick to move.
    tail: Option<Box<Tail>>,
}

/// The pieces behind the first.
#[derive(Clone, Default, Debug)]
struct Tail(Vec<Bytes>);

impl Segments {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: Bytes::new(),
            tail: None,
        }
    }

    /// So many zeros.
    #[must_use]
    pub fn zeros(length: usize) -> Self {
        let mut zeros = Self::new();
        zeros.push_zeros(length);
        zeros
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail
            .iter()
            .flat_map(|tail| &tail.0)
            .fold(self.head.len(), |sum, piece| {
                sum.saturating_add(piece.len())
            })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.head.is_empty() {
            self.head = piece;
        } else {
            self.tail.get_or_insert_default().0.push(piece);
        }
    }

    /// Adds zeros at the end.
    pub fn push_zeros(&mut self, mut length: usize) {
        while length > 0 {
            let piece = ZEROS.get(..length).unwrap_or(&ZEROS);
            length = length.saturating_sub(piece.len());
            self.push(Bytes::from_static(piece));
        }
    }

    /// Adds all pieces of another run at the end.
    pub fn append(&mut self, other: Self) {
        for piece in other {
            self.push(piece);
        }
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        Some(&self.head)
            .filter(|head| !head.is_empty())
            .into_iter()
            .chain(self.tail.iter().flat_map(|tail| &tail.0))
    }

    /// The first piece, perhaps empty, and the others.
    pub(crate) fn into_parts(self) -> (Bytes, Option<Vec<Bytes>>) {
        (self.head, self.tail.map(|tail| tail.0))
    }

    /// Takes off the first `length` bytes, or all where there are fewer.
    #[must_use]
    pub fn split_to(&mut self, length: usize) -> Self {
        if self.tail.is_none() {
            // The common case, without a new list.
            return Self::from(self.head.split_to(length.min(self.head.len())));
        }
        let mut front = Self::new();
        let mut missing = length;
        let mut pieces = mem::take(self).into_iter();
        for mut piece in pieces.by_ref() {
            let taken = piece.split_to(missing.min(piece.len()));
            missing = missing.saturating_sub(taken.len());
            front.push(taken);
            if !piece.is_empty() {
                self.push(piece);
                break;
            }
        }
        pieces.for_each(|piece| self.push(piece));
        front
    }

    /// Drops what is beyond `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        if self.tail.is_none() {
            self.head.truncate(length);
        } else if length < self.len() {
            *self = self.split_to(length);
        }
    }

    /// Copies the first bytes out, as many as both sides have, and returns how many.
    pub fn copy_to_slice(&self, mut out: &mut [u8]) -> usize {
        let mut copied: usize = 0;
        for piece in self.iter() {
            let count = piece.len().min(out.len());
            let Some((into, rest)) = mem::take(&mut out).split_at_mut_checked(count) else {
                break;
            };
            piece.as_ref().take(count).copy_to_slice(into);
            copied = copied.saturating_add(count);
            out = rest;
        }
        copied
    }

    /// The bytes in one piece: the piece itself if there is one, else a copy.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.tail.is_none() {
            return self.head.clone();
        }
        let mut joined = BytesMut::with_capacity(self.len());
        self.iter()
            .for_each(|piece| joined.extend_from_slice(piece));
        joined.freeze()
    }

    /// As [`to_bytes`](Self::to_bytes), of what is needed no more: the piece itself is no further
    /// reference to its memory, for which some would first have to be counted.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.tail.is_none() {
            return self.head;
        }
        self.to_bytes()
    }
}

impl From<Bytes> for Segments {
    fn from(piece: Bytes) -> Self {
        Self {
            head: piece,
            tail: None,
        }
    }
}

impl From<Vec<u8>> for Segments {
    fn from(piece: Vec<u8>) -> Self {
        Self::from(Bytes::from(piece))
    }
}

impl From<&'static [u8]> for Segments {
    fn from(piece: &'static [u8]) -> Self {
        Self::from(Bytes::from_static(piece))
    }
}

impl FromIterator<Bytes> for Segments {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut segments = Self::new();
        pieces.into_iter().for_each(|piece| segments.push(piece));
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = core::iter::Chain<core::option::IntoIter<Bytes>, alloc::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        Some(self.head)
            .filter(|head| !head.is_empty())
            .into_iter()
            .chain(self.tail.map(|tail| tail.0).unwrap_or_default())
    }
}

/// Equal if the bytes are, however they are cut.
impl PartialEq for Segments {
    fn eq(&self, other: &Self) -> bool {
        let ours = self.iter().flat_map(|piece| piece.iter());
        ours.eq(other.iter().flat_map(|piece| piece.iter()))
    }
}

impl Eq for Segments {}

impl PartialEq<Bytes> for Segments {
    fn eq(&self, other: &Bytes) -> bool {
        self.iter().flat_map(|piece| piece.iter()).eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments() -> impl Strategy<Value = Segments> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..5)
            .prop_map(|pieces| pieces.into_iter().map(Bytes::from).collect())
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(data in segments(), at in 0usize..30) {
            let whole = data.to_bytes();
            let mut back = data.clone();
            let front = back.split_to(at);
            prop_assert_eq!(front.len(), at.min(whole.len()));
            prop_assert!(front.iter().chain(back.iter()).all(|piece| !piece.is_empty()));
            prop_assert_eq!(back.is_empty(), back.to_bytes().is_empty());
            let mut joined = front.clone();
            joined.append(back);
            prop_assert_eq!(&joined, &whole);
            let mut cut = data.clone();
            cut.truncate(at);
            prop_assert_eq!(cut, front);
            let mut copy = [0; 30];
            let copied = data.copy_to_slice(&mut copy[..at]);
            prop_assert_eq!(&copy[..copied], &whole[..at.min(whole.len())]);
            prop_assert_eq!(data.into_bytes(), whole);
        }
    }

    #[test]
    fn pieces_keep_their_place_in_memory() {
        let piece = Bytes::from(alloc::vec![1u8; 100]);
        let mut data = Segments::from(Bytes::from_static(b"header"));
        data.push(piece.clone());
        let _ = data.split_to(10);
        assert_eq!(data.iter().next().unwrap().as_ptr(), piece[4..].as_ptr());
    }

    #[test]
    fn padding_may_be_longer_than_the_page_of_zeros() {
        let zeros = Segments::zeros(10_000);
        assert_eq!(zeros.len(), 10_000);
        assert!(zeros.iter().flatten().all(|&byte| byte == 0));
    }
}
