//! Where Linux tells of the USB devices of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::plugged::{FindError, PluggedDevice, Selector};
use super::uses::Uses;

/// The file systems by which the kernel tells, and the folder in which udev does.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) sysfs: PathBuf,
    pub(super) proc: PathBuf,
    pub(super) udev: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            sysfs: "/sys".into(),
            proc: "/proc".into(),
            udev: "/run/udev".into(),
        }
    }
}

impl Machine {
    /// All devices that are no hubs.
    ///
    /// # Errors
    /// The machine has no USB, or sysfs is not mounted.
    pub(crate) fn devices(&self) -> Result<Vec<PluggedDevice>, FindError> {
        let mut devices = self.all()?;
        devices.retain(|device| !device.is_hub);
        Ok(devices)
    }

    /// All that are plugged in, and the hubs.
    fn all(&self) -> Result<Vec<PluggedDevice>, FindError> {
        let folder = self.sysfs.join("bus/usb/devices");
        let entries = fs::read_dir(&folder).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FindError::NoUsb(folder.clone()),
            _ => FindError::Unreadable {
                path: folder.clone(),
                error,
            },
        })?;
        let uses = Uses::read(self);
        let paths = entries.flatten().map(|entry| entry.path());
        // What cannot be read has just been unplugged.
        let mut devices: Vec<_> = paths
            .filter_map(|path| PluggedDevice::read(&path, &uses))
            .collect();
        devices.sort_by_key(|device| device.address);
        Ok(devices)
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// None is, or several are.
    pub(super) fn find(&self, selector: &Selector) -> Result<PluggedDevice, FindError> {
        let mut all = self.all()?;
        all.retain(|device| selector.describes(device));
        let is_meant = |device: &PluggedDevice| !device.is_hub && selector.fits(device);
        let (meant, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_meant);
        match others.first() {
            Some(other) if meant.is_empty() => Err(FindError::not_given(other, selector)),
            _ => one_of(meant.into_iter(), selector),
        }
    }
}

/// The only one of those that a selector fits.
///
/// # Errors
/// There is none, or there are several.
pub(super) fn one_of(
    found: impl Iterator<Item = PluggedDevice>,
    selector: &Selector,
) -> Result<PluggedDevice, FindError> {
    let mut found: Vec<_> = found.collect();
    match found.len() {
        0 => Err(FindError::Missing(selector.clone())),
        1 => Ok(found.remove(0)),
        _ => Err(FindError::Ambiguous {
            selector: selector.clone(),
            found: found.iter().map(|device| device.bus_id).collect(),
        }),
    }
}

/// The text of a file of sysfs, without its end of line.
pub(super) fn attribute(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path.join(name)).ok()?;
    Some(text.trim_end_matches('\n').trim().to_owned())
}

#[cfg(test)]
pub(crate) mod fake {
    //! A machine that is made up, in a folder.

    use std::os::unix::fs::symlink;
    use std::{env, process};

    use super::*;

    /// What is plugged in: a disk, at high speed.
    #[derive(Clone, Debug)]
    pub(crate) struct Plug {
        pub(crate) bus_id: &'static str,
        pub(crate) ids: (u16, u16),
        pub(crate) serial: Option<&'static str>,
        pub(crate) speed: &'static str,
        /// Its number on the bus.
        pub(crate) number: u16,
        /// The protocol of its interface.
        pub(crate) protocol: u8,
    }

    impl Plug {
        pub(crate) const fn new(bus_id: &'static str, ids: (u16, u16)) -> Self {
            Self {
                bus_id,
                ids,
                serial: None,
                speed: "480",
                number: 2,
                protocol: 80,
            }
        }
    }

    /// The folder, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("machine-{}-{name}", process::id()));
            let folder = Self(folder);
            fs::create_dir_all(folder.0.join("sys/bus/usb/devices")).unwrap();
            fs::create_dir_all(folder.0.join("proc")).unwrap();
            folder
        }

        pub(crate) fn machine(&self) -> Machine {
            Machine {
                sysfs: self.0.join("sys"),
                proc: self.0.join("proc"),
                udev: self.0.join("run/udev"),
            }
        }

        /// Writes a file, and makes its folders.
        pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(crate) fn link(&self, path: &str, target: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        /// Puts a device where another may have been. No machine has as many buses, so that its
        /// node is nobody's.
        pub(crate) fn plug(&self, plug: &Plug) {
            let place = format!("sys/bus/usb/devices/{}", plug.bus_id);
            self.unplug(plug.bus_id);
            let ((vendor, product), protocol) = (plug.ids, plug.protocol);
            let [v, w, p, q] = [vendor, product].map(u16::to_le_bytes).concat()[..] else {
                unreachable!()
            };
            let device = [18, 1, 0, 2, 0, 0, 0, 64, v, w, p, q, 0, 1, 1, 2, 3, 1];
            let configuration = [9, 2, 18, 0, 1, 1, 0, 0x80, 50];
            let interface = [9, 4, 0, 0, 0, 8, 6, protocol, 0];
            let descriptors = [&device[..], &configuration, &interface].concat();
            self.write(&format!("{place}/descriptors"), descriptors);
            for (name, text) in [
                ("speed", plug.speed),
                ("busnum", "999"),
                ("devnum", &plug.number.to_string()),
                ("bConfigurationValue", "1"),
                ("1-x:1.0/bInterfaceNumber", "00"),
            ] {
                self.write(&format!("{place}/{name}"), format!("{text}\n"));
            }
            if let Some(serial) = plug.serial {
                self.write(&format!("{place}/serial"), format!("{serial}\n"));
            }
        }

        pub(crate) fn unplug(&self, bus_id: &str) {
            let _ = fs::remove_dir_all(self.0.join("sys/bus/usb/devices").join(bus_id));
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
