//! Endpoints to build.

use alloc::vec::Vec;

use super::BuildError;
use super::fields::{
    EndpointFields, Size, Synchronization, Usage, check_class_run, clamped, endpoint_methods,
};
use crate::{Descriptors, EndpointAddress, Speed, TransferType};

/// An endpoint to build (USB 2.0, table 9-13; USB 3.2, table 9-27).
///
/// ```
/// use usb_descriptors::build::{Endpoint, Synchronization};
/// use usb_descriptors::EndpointAddress;
/// // Keys, eight bytes every 8 ms.
/// let keys = Endpoint::interrupt(EndpointAddress::from_byte(0x81), 8, 64);
/// // Sound, up to 200 bytes each millisecond.
/// let sound = Endpoint::isochronous(EndpointAddress::from_byte(0x02), 200, 8)
///     .synchronization(Synchronization::Adaptive);
/// # let _ = (keys, sound);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub(super) fields: EndpointFields,
    /// `bRefresh` and `bSynchAddress` of audio class 1, or whatever stands there.
    extension: Vec<u8>,
    /// Behind the endpoint and its companion, each complete.
    descriptors: Vec<u8>,
}

impl Endpoint {
    endpoint_methods!();

    const fn of(fields: EndpointFields) -> Self {
        Self {
            fields,
            extension: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// The two bytes more that endpoints have in audio class 1 (UAC 1.0, table 4-20): the rate of
    /// a feedback endpoint, and the feedback endpoint of this one, 0 for none.
    #[must_use]
    pub fn audio(mut self, refresh: u8, synch_address: u8) -> Self {
        self.extension = Vec::from([refresh, synch_address]);
        self
    }

    /// Adds a descriptor of the class, or a SuperSpeedPlus companion, behind it.
    ///
    /// # Errors
    /// [`BuildError::DescriptorLength`] where it does not state its own length,
    /// [`BuildError::StandardDescriptor`] where it is none of a class.
    pub fn descriptor(mut self, descriptor: &[u8]) -> Result<Self, BuildError> {
        append(&mut self.descriptors, descriptor)?;
        Ok(self)
    }

    /// What an endpoint was built from.
    pub(super) fn read(endpoint: &crate::Endpoint<'_>, speed: Speed) -> Self {
        let (attributes, raw) = (endpoint.attributes(), endpoint.raw_interval());
        let size = Size::Bytes(
            endpoint.max_packet_size(),
            endpoint.transactions_per_microframe(),
        );
        let mut fields = EndpointFields::new(endpoint.address(), TransferType::Bulk, size, 0);
        fields.attributes = attributes;
        fields.raw_interval = Some(raw);
        let mut built = Self::of(fields);
        let own = endpoint.own_bytes();
        built.extension = own.get(crate::Endpoint::LENGTH..).unwrap_or(&[]).into();
        let mut behind = endpoint.bytes().get(own.len()..).unwrap_or(&[]);
        if let Some(companion) = endpoint.companion().filter(|_| speed.is_super()) {
            let burst = companion.packets_per_burst();
            built.fields.packets_per_burst = u8::try_from(burst).unwrap_or(u8::MAX);
            built.fields.companion_attributes = companion.attributes();
            built.fields.bytes_per_interval = Some(companion.bytes_per_interval());
            let length = Descriptors::new(behind)
                .next()
                .map_or(0, |first| first.bytes().len());
            behind = behind.get(length..).unwrap_or(&[]);
        }
        built.descriptors = behind.into();
        built
    }

    pub(super) fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        bytes.extend(self.fields.own(speed, self.extension.len())?);
        bytes.extend(&self.extension);
        if speed.is_super() {
            bytes.extend(self.fields.companion(speed)?);
        }
        bytes.extend(&self.descriptors);
        Ok(())
    }
}

/// Adds descriptors of a class, of which each states its own length. The standard ones are the
/// builder's own business.
pub(super) fn append(to: &mut Vec<u8>, descriptor: &[u8]) -> Result<(), BuildError> {
    if descriptor.is_empty() {
        return Err(BuildError::DescriptorLength {
            found: 0,
            stated: 0,
        });
    }
    check_class_run(descriptor)?;
    to.extend(descriptor);
    Ok(())
}
