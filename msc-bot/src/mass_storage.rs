//! What the devices of this crate have in common.

use alloc::boxed::Box;

use usb_transfer::{DeviceDescriptors, Function, Segments};

use crate::{BlockError, BlockOp, BlockToken, BotDevice, LogicalUnit, Lun, MediumEvent, UasDevice};

/// A function whose blocks are kept by somebody else: a [`BotDevice`] or a [`UasDevice`], for a
/// program that serves either.
///
/// ```
/// use msc_bot::{BlockSize, BotDevice, BotOptions, LogicalUnit, MassStorage, UasDevice};
/// use msc_bot::UnitOptions;
/// use usb_descriptors::Speed;
/// let with_uas = true;
/// let options = BotOptions::new(Speed::High);
/// let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
/// let device: Box<dyn MassStorage> = if with_uas {
///     Box::new(UasDevice::new(options, [unit])?)
/// } else {
///     Box::new(BotDevice::new(options, [unit])?)
/// };
/// assert_eq!(device.descriptors().speed, Speed::High);
/// # Ok::<(), msc_bot::BotError>(())
/// ```
pub trait MassStorage: Function {
    /// The descriptors it answers with.
    fn descriptors(&self) -> &DeviceDescriptors;

    /// What the store is to do next; `None` for now.
    fn poll_block(&mut self) -> Option<BlockOp>;

    /// Tells how an operation ended.
    fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>);

    /// What a host did with the medium of a unit; `None` for now.
    fn poll_medium(&mut self) -> Option<(Lun, MediumEvent)>;

    /// The units, by number. There are as many for as long as the device lives.
    fn units(&self) -> &[LogicalUnit];

    /// Puts a medium into a unit: [`LogicalUnit::insert`].
    fn insert(&mut self, lun: Lun, blocks: u64, read_only: bool);

    /// Takes the medium out of a unit: [`LogicalUnit::remove`].
    fn remove(&mut self, lun: Lun);

    /// Makes the medium of a unit larger or smaller: [`LogicalUnit::resize`].
    fn resize(&mut self, lun: Lun, blocks: u64);

    /// Protects the medium of a unit, or no longer: [`LogicalUnit::write_protect`].
    fn write_protect(&mut self, lun: Lun, read_only: bool);
}

macro_rules! is_mass_storage {
    ($device:ty) => {
        impl MassStorage for $device {
            fn descriptors(&self) -> &DeviceDescriptors {
                Self::descriptors(self)
            }
            fn poll_block(&mut self) -> Option<BlockOp> {
                Self::poll_block(self)
            }
            fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>) {
                Self::finish(self, token, result);
            }
            fn poll_medium(&mut self) -> Option<(Lun, MediumEvent)> {
                Self::poll_medium(self)
            }
            fn units(&self) -> &[LogicalUnit] {
                Self::units(self)
            }
            fn insert(&mut self, lun: Lun, blocks: u64, read_only: bool) {
                Self::insert(self, lun, blocks, read_only);
            }
            fn remove(&mut self, lun: Lun) {
                Self::remove(self, lun);
            }
            fn resize(&mut self, lun: Lun, blocks: u64) {
                Self::resize(self, lun, blocks);
            }
            fn write_protect(&mut self, lun: Lun, read_only: bool) {
                Self::write_protect(self, lun, read_only);
            }
        }
    };
}

is_mass_storage!(BotDevice);
is_mass_storage!(UasDevice);

impl<D: MassStorage + ?Sized> MassStorage for Box<D> {
    fn descriptors(&self) -> &DeviceDescriptors {
        (**self).descriptors()
    }
    fn poll_block(&mut self) -> Option<BlockOp> {
        (**self).poll_block()
    }
    fn finish(&mut self, token: BlockToken, result: Result<Segments, BlockError>) {
        (**self).finish(token, result);
    }
    fn poll_medium(&mut self) -> Option<(Lun, MediumEvent)> {
        (**self).poll_medium()
    }
    fn units(&self) -> &[LogicalUnit] {
        (**self).units()
    }
    fn insert(&mut self, lun: Lun, blocks: u64, read_only: bool) {
        (**self).insert(lun, blocks, read_only);
    }
    fn remove(&mut self, lun: Lun) {
        (**self).remove(lun);
    }
    fn resize(&mut self, lun: Lun, blocks: u64) {
        (**self).resize(lun, blocks);
    }
    fn write_protect(&mut self, lun: Lun, read_only: bool) {
        (**self).write_protect(lun, read_only);
    }
}
