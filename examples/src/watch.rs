//! Devices that are offered when they are plugged in.

use std::collections::BTreeMap;
use std::io;
use std::thread;
use std::time::Duration;

use usbip_proto::BusId;

use crate::{Failure, Offered, Physical, PhysicalOptions, PluggedDevice, Selector, Server};

/// How often it is looked for devices.
const PERIOD: Duration = Duration::from_millis(500);

/// Offers every device that one of `wanted` fits as soon as it is there, in a thread of its own,
/// until the server is stopped, and takes it back when it is gone. They are numbered from `first`
/// on; a device that comes back is another one.
///
/// # Errors
/// The system has no thread left.
pub fn watch(server: &Server, wanted: Vec<PhysicalOptions>, first: u16) -> io::Result<()> {
    let server = server.clone();
    let thread = thread::Builder::new().name("watch".into());
    thread.spawn(move || look(&server, &wanted, first))?;
    Ok(())
}

fn look(server: &Server, wanted: &[PhysicalOptions], first: u16) {
    let mut numbers = first..;
    let mut known = BTreeMap::new();
    loop {
        // A machine without USB may get it.
        let devices = PluggedDevice::all().unwrap_or_default();
        known.retain(|key: &(BusId, (u16, u16)), offered: &mut Option<BusId>| {
            let is_here = devices.iter().any(|device| key_of(device) == *key);
            if let (false, Some(bus_id)) = (is_here, &offered) {
                // While somebody still has it, later.
                if !server.withdraw(*bus_id) {
                    return true;
                }
                server.note(&format!("{bus_id}: is gone"));
            }
            is_here
        });
        for device in &devices {
            let mut fits = wanted.iter().filter(|wanted| wanted.selector.fits(device));
            let (Some(options), false) = (fits.next(), known.contains_key(&key_of(device))) else {
                continue;
            };
            let offered = offer(server, options, device, &mut numbers);
            let offered = offered.map_err(|failure| server.note(&failure.into_text()));
            known.insert(key_of(device), offered.ok());
        }
        if server.wait_for_stop(PERIOD) {
            return;
        }
    }
}

/// Its place, and what is new whenever something is plugged in there.
fn key_of(device: &PluggedDevice) -> (BusId, (u16, u16)) {
    (device.bus_id, device.address)
}

fn offer(
    server: &Server,
    options: &PhysicalOptions,
    device: &PluggedDevice,
    numbers: &mut impl Iterator<Item = u16>,
) -> Result<BusId, Failure> {
    let mut options = options.clone();
    // There may be several of its kind.
    options.selector = Selector::BusId(device.bus_id);
    let offered = Offered::physical(Physical::find(options).map_err(Failure::failed)?);
    let number = numbers
        .next()
        .ok_or_else(|| Failure::Failed("no number is left".into()))?;
    let name = offered.name.clone();
    let bus_id = server.offer(offered, number)?;
    server.note(&format!("{bus_id}: {name}"));
    Ok(bus_id)
}
