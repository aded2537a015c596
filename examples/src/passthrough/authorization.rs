//! What nobody may use before it is authorized (`Documentation/usb/authorization.rst` of Linux).

use std::fs;
use std::path::{Path, PathBuf};

use super::machine::attribute;
use super::plugged::PluggedDevice;

/// The name of the first that is not authorized of a device and its interfaces, of which old kernels
/// do not say it.
pub(super) fn unauthorized(device: &Path) -> Option<String> {
    let entries = fs::read_dir(device).into_iter().flatten().flatten();
    let mut places: Vec<_> = entries.map(|entry| entry.path()).collect();
    places.retain(|path| path.join("bInterfaceNumber").exists());
    places.sort();
    places.insert(0, device.to_owned());
    let is_unauthorized = |path: &&PathBuf| attribute(path, "authorized").as_deref() == Some("0");
    let place = places.iter().find(is_unauthorized)?;
    Some(place.file_name()?.to_str()?.to_owned())
}

impl PluggedDevice {
    /// Why nobody may use it yet, and what ends that, in words.
    #[must_use]
    pub fn lack_of_authorization(&self) -> Option<String> {
        let place = self.unauthorized.as_ref()?;
        let what = if *place == self.bus_id.to_string() {
            "is not authorized".to_owned()
        } else {
            format!("interface {place} is not authorized")
        };
        let file = format!("/sys/bus/usb/devices/{place}/authorized");
        Some(format!("{what}: \"echo 1 | sudo tee {file}\" ends that"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake::{Folder, Plug};

    #[test]
    fn what_nobody_may_use_is_told_with_the_remedy() {
        let folder = Folder::new("authorized");
        folder.plug(&Plug::new("1-1", (0x46f4, 1)));
        let told = || folder.machine().devices().unwrap()[0].lack_of_authorization();
        let [device, interface] = ["1-1", "1-1/1-x:1.0"];
        let set =
            |place, text| folder.write(&format!("sys/bus/usb/devices/{place}/authorized"), text);
        assert_eq!(told(), None, "nothing is said");
        set(device, "1\n");
        set(interface, "0\n");
        assert_eq!(
            told().unwrap(),
            "interface 1-x:1.0 is not authorized: \
             \"echo 1 | sudo tee /sys/bus/usb/devices/1-x:1.0/authorized\" ends that"
        );
        set(device, "0\n");
        assert_eq!(
            told().unwrap(),
            "is not authorized: \"echo 1 | sudo tee /sys/bus/usb/devices/1-1/authorized\" ends that"
        );
        set(device, "1\n");
        set(interface, "1\n");
        assert_eq!(told(), None);
    }
}
