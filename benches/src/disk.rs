//! A disk in memory.

use bytes::Bytes;
use msc_bot::{BlockOp, BlockSize, BotDevice, BotOptions, LogicalUnit, UnitOptions};
use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
use usb_transfer::{
    DeviceDescriptors, Function, FunctionEvent, Segments, Transfer, TransferId, TransferIds,
};

/// A `BotDevice` whose store is memory that is there.
#[derive(Debug)]
pub struct Disk {
    device: BotDevice,
    store: Bytes,
}

impl Disk {
    /// A disk with these bytes in it.
    pub fn new(store: Bytes) -> Self {
        let blocks = store.len() as u64 / 512;
        let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, blocks));
        let device = BotDevice::new(BotOptions::new(Speed::Super), [unit]);
        Self {
            device: device.expect("a device of one unit"),
            store,
        }
    }

    /// What a frontend must know of it.
    pub fn descriptors(&self) -> DeviceDescriptors {
        self.device.descriptors().clone()
    }
}

impl Function for Disk {
    fn submit(&mut self, transfer: Transfer) {
        self.device.submit(transfer);
    }

    fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
    }

    fn reset(&mut self) {
        self.device.reset();
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        while let Some(operation) = self.device.poll_block() {
            let data = match operation {
                BlockOp::Read { offset, length, .. } => {
                    let at = offset as usize;
                    Segments::from(self.store.slice(at..at + length as usize))
                }
                _ => Segments::new(),
            };
            self.device.finish(operation.token(), Ok(data));
        }
        self.device.poll()
    }
}

/// A host that reads from a disk without a wire between them, again and again.
#[derive(Debug)]
pub struct Standing {
    disk: Disk,
    ids: TransferIds,
    wrapper: Bytes,
    length: u32,
}

impl Standing {
    /// Reads `length` bytes at a time, beginning at block 0.
    pub fn new(mut disk: Disk, length: usize) -> Self {
        let mut ids = TransferIds::default();
        disk.submit(Transfer::control_in(
            ids.mint(),
            SetupPacket::set_configuration(1),
        ));
        disk.poll().expect("configured");
        let request = crate::Urb::disk_read(length).message;
        Self {
            disk,
            ids,
            // Behind the header of its transfer.
            wrapper: Bytes::copy_from_slice(&request[48..48 + 31]),
            length: length as u32,
        }
    }

    /// One command: wrapper, data, status.
    pub fn read(&mut self) -> usize {
        let (bulk_in, bulk_out) = (
            EndpointAddress::from_byte(0x81),
            EndpointAddress::from_byte(0x02),
        );
        let (disk, ids) = (&mut self.disk, &mut self.ids);
        disk.submit(Transfer::data_out(
            ids.mint(),
            bulk_out,
            self.wrapper.clone(),
        ));
        disk.submit(Transfer::data_in(ids.mint(), bulk_in, self.length));
        disk.submit(Transfer::data_in(ids.mint(), bulk_in, 13));
        let mut moved = 0;
        while let Some(FunctionEvent::Complete(completion)) = disk.poll() {
            moved += completion.actual.len();
        }
        assert_eq!(moved, 31 + self.length as usize + 13);
        moved
    }
}
