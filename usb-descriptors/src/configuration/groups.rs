//! What belongs to an interface or an endpoint.

use core::iter::FusedIterator;

use crate::{ClassCode, ClassDescriptor, DescriptorType, Descriptors, Placement, standard};

/// What begins with the first complete descriptor of a type and of at least `minimum` bytes; and
/// what follows that descriptor.
#[inline]
pub(super) fn find(mut run: &[u8], kind: DescriptorType, minimum: usize) -> Option<(&[u8], &[u8])> {
    while let &[declared, code, ..] = run {
        let behind = behind(run, declared)?;
        if DescriptorType(code) == kind && usize::from(declared) >= minimum {
            return Some((run, behind));
        }
        run = behind;
    }
    None
}

/// What begins with the first descriptor, whole or not, of one of two types.
#[inline]
pub(super) fn from(mut run: &[u8], kind: DescriptorType, or: DescriptorType) -> Option<&[u8]> {
    while let &[declared, code, ..] = run {
        if DescriptorType(code) == kind || DescriptorType(code) == or {
            return Some(run);
        }
        run = behind(run, declared)?;
    }
    None
}

/// What stands before `rest`, the end of the run.
#[inline]
pub(super) fn before<'a>(run: &'a [u8], rest: &[u8]) -> &'a [u8] {
    run.get(..run.len().saturating_sub(rest.len()))
        .unwrap_or(run)
}

/// What follows a descriptor of that length, where it is complete.
#[inline]
fn behind(run: &[u8], declared: u8) -> Option<&[u8]> {
    if declared < 2 {
        return None;
    }
    run.get(declared.into()..)
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
    /// `run` begins with the interface or endpoint itself, and has no other.
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
        let item = self.walk.find(|item| {
            let kind = item.descriptor_type();
            kind.and_then(standard::layout).is_none()
        })?;
        Some(ClassDescriptor::read(self.class, self.placement, item))
    }
}

impl FusedIterator for ClassDescriptors<'_> {}
