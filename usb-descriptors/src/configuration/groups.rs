//! What belongs to an interface or an endpoint.

use core::iter::FusedIterator;

use crate::{
    ClassCode, ClassDescriptor, Descriptor, DescriptorType, Descriptors, Placement, standard,
};

/// Splits a run into groups that start at a descriptor of one type and end before the next of it
/// or before one of the types in `ends`.
#[derive(Clone, Debug)]
pub(super) struct Groups<'a> {
    walk: Descriptors<'a>,
    run: &'a [u8],
    starts: DescriptorType,
    ends: &'static [DescriptorType],
}

impl<'a> Groups<'a> {
    pub(super) const fn new(
        run: &'a [u8],
        starts: DescriptorType,
        ends: &'static [DescriptorType],
    ) -> Self {
        Self {
            walk: Descriptors::new(run),
            run,
            starts,
            ends,
        }
    }

    /// The next group: its first descriptor, and all its bytes.
    pub(super) fn next(&mut self) -> Option<(Descriptor<'a>, &'a [u8])> {
        let starts = self.starts;
        let head = self
            .walk
            .find(|item| item.descriptor_type() == Some(starts) && item.is_complete())?;
        let mut end = head.offset().saturating_add(head.bytes().len());
        loop {
            let kind = self.walk.rest().get(1).copied().map(DescriptorType);
            if kind == Some(starts) || kind.is_some_and(|kind| self.ends.contains(&kind)) {
                break;
            }
            let Some(item) = self.walk.next() else { break };
            end = item.offset().saturating_add(item.bytes().len());
        }
        Some((head, self.run.get(head.offset()..end)?))
    }
}

/// The class descriptors of an [interface](super::Interface::class_descriptors) or an
/// [endpoint](super::Endpoint::class_descriptors). Vendors' are among them, as unknown ones.
#[derive(Clone, Debug)]
pub struct ClassDescriptors<'a> {
    walk: Descriptors<'a>,
    class: ClassCode,
    placement: Placement,
}

impl<'a> ClassDescriptors<'a> {
    /// `run` begins with the interface or endpoint itself.
    pub(super) fn new(run: &'a [u8], class: ClassCode, placement: Placement) -> Self {
        let mut walk = Descriptors::new(run);
        walk.next();
        Self {
            walk,
            class,
            placement,
        }
    }
}

impl<'a> Iterator for ClassDescriptors<'a> {
    type Item = ClassDescriptor<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let item = self.walk.next()?;
            match item.descriptor_type() {
                Some(DescriptorType::ENDPOINT) => {
                    self.walk = Descriptors::new(&[]);
                    return None;
                }
                Some(kind) if standard::layout(kind).is_some() => {}
                _ => return Some(ClassDescriptor::read(self.class, self.placement, item)),
            }
        }
    }
}

impl FusedIterator for ClassDescriptors<'_> {}
