//! USB Attached SCSI (T10/2095-D, "Information technology - USB Attached SCSI", revision 4; here
//! "UAS r04").

mod data;
mod device;
mod management;
mod pipes;
mod task;
mod transport;
mod unit;

use usb_descriptors::build::{BuildError, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress};

pub use device::UasDevice;
pub(crate) use pipes::Pipes;
pub(crate) use transport::Transport;

/// Pipes of the device, the same at every speed. Data has the endpoints of Bulk-Only Transport.
const COMMAND: EndpointAddress = EndpointAddress::from_byte(0x04);
const STATUS: EndpointAddress = EndpointAddress::from_byte(0x83);
const DATA_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const DATA_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);

/// The alternate setting; Bulk-Only Transport is 0.
const ALTERNATE: u8 = 1;

/// Commands at a time: tags of a task in progress.
const MAX_TASKS: usize = 32;
/// The same as an exponent of two, for the streams of SuperSpeed.
const STREAMS: u8 = 5;

/// The alternate setting with its four pipes.
pub(crate) fn pipes(burst: u8) -> Result<Interface, BuildError> {
    // Pipe usage descriptors (UAS r04, table 5).
    let pipe = |address, id, streams| {
        Endpoint::bulk(address)
            .packets_per_burst(burst)
            .streams(streams)
            .descriptor(&[4, 0x24, id, 0])
    };
    Ok(Interface::new(0, ClassCode::MASS_STORAGE_UAS)
        .alternate_setting(ALTERNATE)
        .endpoint(pipe(COMMAND, 1, 0)?)
        .endpoint(pipe(STATUS, 2, STREAMS)?)
        .endpoint(pipe(DATA_IN, 3, STREAMS)?)
        .endpoint(pipe(DATA_OUT, 4, STREAMS)?))
}
