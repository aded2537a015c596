//! Every descriptor of a configuration, and what it is where it stands.

use core::iter::FusedIterator;

use crate::{
    ClassCode, ClassDescriptor, Configuration, Descriptor, DescriptorType, Descriptors, Fields,
    Layout, Placement, class, standard,
};

/// How deep a descriptor stands in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "USB's own levels")]
pub enum Level {
    /// The configuration itself.
    Configuration,
    /// Below the configuration: associations, OTG and whatever stands before the first interface.
    Function,
    /// An alternate setting of an interface.
    Interface,
    /// Below an interface: class descriptors.
    InterfaceDetail,
    /// An endpoint.
    Endpoint,
    /// Below an endpoint: companions and class descriptors.
    EndpointDetail,
}

/// One descriptor of a configuration with its place.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    descriptor: Descriptor<'a>,
    level: Level,
    class: ClassCode,
}

impl<'a> Node<'a> {
    /// The descriptor.
    #[must_use]
    pub const fn descriptor(&self) -> Descriptor<'a> {
        self.descriptor
    }

    /// Where it stands.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The class of the interface that it belongs to; 00/00/00 before the first.
    #[must_use]
    pub const fn class(&self) -> ClassCode {
        self.class
    }

    /// The class descriptor that it is; `None` for a standard one.
    #[must_use]
    pub fn class_descriptor(&self) -> Option<ClassDescriptor<'a>> {
        let kind = self.descriptor.descriptor_type();
        if kind.and_then(standard::layout).is_some() {
            return None;
        }
        Some(ClassDescriptor::read(
            self.class,
            self.placement(),
            self.descriptor,
        ))
    }

    /// What it is made of by its type and place, however short it is; `None` where that is
    /// unknown.
    #[must_use]
    pub fn layout(&self) -> Option<&'static Layout> {
        let kind = self.descriptor.descriptor_type()?;
        standard::layout(kind)
            .or_else(|| class::layout(self.class, self.placement(), self.descriptor.bytes()))
    }

    /// Its fields, in order of bytes; their bytes joined are the descriptor.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        self.layout()
            .unwrap_or_else(standard::unknown)
            .fields(self.descriptor.bytes())
    }

    const fn placement(&self) -> Placement {
        match self.level {
            Level::Endpoint | Level::EndpointDetail => Placement::Endpoint,
            _ => Placement::Interface,
        }
    }
}

/// Walks all descriptors of a configuration in order of bytes: [`Configuration::nodes`].
///
/// ```
/// # let bytes = [9, 2, 34, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 3, 1, 2, 0,
/// #     9, 0x21, 0x11, 1, 0, 1, 0x22, 74, 0, 7, 5, 0x81, 3, 8, 0, 7];
/// let configuration = usb_descriptors::Configuration::parse(&bytes)?;
/// let titles: Vec<_> =
///     configuration.nodes().filter_map(|node| Some(node.layout()?.title())).collect();
/// assert_eq!(titles, ["Configuration", "Interface", "HID Device", "Endpoint"]);
/// # Ok::<(), usb_descriptors::DescriptorError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Nodes<'a> {
    walk: Descriptors<'a>,
    place: Level,
    class: ClassCode,
}

impl<'a> Nodes<'a> {
    pub(crate) const fn new(configuration: &Configuration<'a>) -> Self {
        Self {
            walk: Descriptors::new(configuration.bytes()),
            place: Level::Configuration,
            class: ClassCode::PER_INTERFACE,
        }
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let descriptor = self.walk.next()?;
        let level = match (self.place, descriptor.descriptor_type()) {
            (Level::Configuration, _) => {
                self.place = Level::Function;
                Level::Configuration
            }
            (_, Some(DescriptorType::INTERFACE)) => {
                self.place = Level::InterfaceDetail;
                self.class = match *descriptor.bytes() {
                    [_, _, _, _, _, class, subclass, protocol, ..] => {
                        ClassCode::new(class, subclass, protocol)
                    }
                    _ => ClassCode::PER_INTERFACE,
                };
                Level::Interface
            }
            (_, Some(DescriptorType::ENDPOINT)) => {
                self.place = Level::EndpointDetail;
                Level::Endpoint
            }
            // It belongs to the interfaces that follow.
            (_, Some(DescriptorType::INTERFACE_ASSOCIATION | DescriptorType::OTG)) => {
                Level::Function
            }
            (place, _) => place,
        };
        Some(Node {
            descriptor,
            level,
            class: self.class,
        })
    }
}

impl FusedIterator for Nodes<'_> {}
