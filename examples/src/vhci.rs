//! The files of the Linux kernel's virtual host controller, `vhci_hcd`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{self, Opcode};
use thiserror::Error;
use usb_descriptors::Speed;
use usbip_proto::DeviceId;
use usbip_proto::vhci::{Attach, Detach, Hub, PortState, Ports, StatusError};

use crate::Origins;

/// The loaded and writable controller.
#[derive(Clone, Debug)]
pub struct Vhci {
    sysfs: PathBuf,
    origins: Option<Origins>,
}

/// How long the kernel may write what it still holds for a disk before that is detached.
const SYNC: Duration = Duration::from_secs(5);

/// What is missing to attach anything, and what to do about it.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// The module is there, but not loaded.
    #[error("vhci_hcd is not loaded: run `modprobe vhci-hcd` as root")]
    NotLoaded,
    /// The running kernel does not have the module.
    #[error(
        "kernel {0} has no module vhci-hcd: install a kernel that has it (Debian: \
         linux-image-amd64, not its cloud flavour; Ubuntu: linux-modules-extra-{0}; else \
         CONFIG_USBIP_VHCI_HCD) and run `modprobe vhci-hcd` as root"
    )]
    NoModule(String),
    /// The modules of the running kernel are not on this system.
    #[error(
        "vhci_hcd is not loaded, and the modules of kernel {0} are not here: run \
         `modprobe vhci-hcd` as root where they are, in a container outside of it"
    )]
    NoModules(String),
    /// Attaching is for root.
    #[error("not root: {0} is for root only, run this with sudo")]
    NotRoot(PathBuf),
    /// Root, but without power over sysfs.
    #[error(
        "{path} cannot be written though this is root ({error}): in a container, mount sysfs \
         read-write or run it privileged"
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Why a device was not attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// No such port.
    #[error("port {port}: vhci_hcd has ports 0 to {last}")]
    NoSuchPort {
        /// What was asked for.
        port: u16,
        /// The highest.
        last: u16,
    },
    /// The port has a device.
    #[error("port {0}: taken")]
    Taken(u16),
    /// The port is on the hub for other speeds.
    #[error("port {port}: does not take {speed}{}", Self::instead(*.free))]
    WrongSpeed {
        /// What was asked for.
        port: u16,
        /// The device's speed.
        speed: Speed,
        /// A port that would do.
        free: Option<u16>,
    },
    /// All ports for the speed have devices.
    #[error("no free port for {0}")]
    NoFreePort(Speed),
    /// A status file that is not understood.
    #[error("{path}: {error}")]
    Status {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: StatusError,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl AttachError {
    fn instead(free: Option<u16>) -> String {
        free.map_or(String::new(), |port| format!(", port {port} would"))
    }
}

impl Vhci {
    /// Where sysfs mostly is.
    pub const SYSFS: &str = "/sys";

    /// Looks whether the controller is there and may be used. That of this machine's own sysfs has
    /// its [`Origins`] in the usual folder, any other none.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing and what to do.
    pub fn open(sysfs: &Path) -> Result<Self, Unavailable> {
        let is_own = sysfs == Path::new(Self::SYSFS);
        let vhci = Self {
            sysfs: sysfs.into(),
            origins: is_own.then(|| Origins::new(Origins::FOLDER)),
        };
        let path = vhci.file("attach");
        match OpenOptions::new().write(true).open(&path) {
            Ok(_) => Ok(vhci),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unavailable::module()),
            Err(_) if !rustix::process::geteuid().is_root() => Err(Unavailable::NotRoot(path)),
            Err(error) => Err(Unavailable::NotWritable { path, error }),
        }
    }

    /// Has what is told of its devices kept elsewhere.
    #[must_use]
    pub fn with_origins(mut self, origins: Origins) -> Self {
        self.origins = Some(origins);
        self
    }

    /// What is told of where its devices come from.
    #[must_use]
    pub const fn origins(&self) -> Option<&Origins> {
        self.origins.as_ref()
    }

    /// All ports. The kernel makes a status file for each controller it has, and no other, so the
    /// first that is missing is behind the last; `nports` would say no more.
    ///
    /// # Errors
    /// The status cannot be read.
    pub fn ports(&self) -> Result<Ports, AttachError> {
        let mut ports = self.ports_of(0)?;
        for controller in 1.. {
            match self.ports_of(controller) {
                Ok(more) => ports.append(more),
                Err(AttachError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ports)
    }

    /// Hands a connected stream socket to the kernel, which then asks over it for the device. The
    /// caller's own copy may be closed. Without a `port`, the first free one for the speed.
    ///
    /// Before that, what is told of devices at free ports is cleared: whoever tells nothing of the
    /// new device is not to have it taken for an earlier one.
    ///
    /// # Errors
    /// [`AttachError`]; nothing was attached.
    pub fn attach(
        &self,
        socket: impl AsFd,
        device_id: DeviceId,
        speed: Speed,
        port: Option<u16>,
    ) -> Result<u16, AttachError> {
        if let Some(origins) = &self.origins {
            origins.clear(|port| self.is_free(port));
        }
        let ports = self.ports()?;
        let hub = Hub::for_speed(speed);
        if let Some(number) = port {
            let last = ports.iter().map(|port| port.number).max().unwrap_or(0);
            let port = ports
                .get(number)
                .ok_or(AttachError::NoSuchPort { port: number, last })?;
            if port.hub != hub {
                let free = ports.free(speed).map(|port| port.number);
                return Err(AttachError::WrongSpeed {
                    port: number,
                    speed,
                    free,
                });
            }
        }
        let socket = socket.as_fd().as_raw_fd();
        let candidates = ports.iter().filter(|candidate| {
            let wanted = port.is_none_or(|port| candidate.number == port);
            wanted && candidate.hub == hub && candidate.state == PortState::FREE
        });
        for candidate in candidates {
            let port = candidate.number;
            let request = Attach {
                port,
                socket,
                device_id,
                speed,
            };
            match self.write("attach", &request.to_string()) {
                Ok(()) => return Ok(port),
                // Somebody was faster.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {}
                Err(error) => {
                    return Err(AttachError::Io {
                        path: self.file("attach"),
                        error,
                    });
                }
            }
        }
        Err(port.map_or(AttachError::NoFreePort(speed), AttachError::Taken))
    }

    /// Whether a device may be attached at a port.
    #[must_use]
    pub fn is_free(&self, port: u16) -> bool {
        let state = |ports: Ports| ports.get(port).map(|port| port.state);
        self.ports().ok().and_then(state) == Some(PortState::FREE)
    }

    /// Takes the device from a port. The kernel ends the connection.
    ///
    /// # Errors
    /// The port has no device, or the file cannot be written.
    pub fn detach(&self, port: u16) -> io::Result<()> {
        self.write("detach", &Detach { port }.to_string())
    }

    /// The name of the device at a port, such as `1-1`, once it has an address.
    #[must_use]
    pub fn bus_id(&self, port: u16) -> Option<String> {
        let first = self.ports_of(0).ok()?;
        // Each controller has as many ports as the first.
        let controller = usize::from(port).checked_div(first.iter().count())?;
        let ports = if controller == 0 {
            first
        } else {
            self.ports_of(controller).ok()?
        };
        let port = ports.get(port)?;
        (port.state == PortState::USED).then(|| port.bus_id.clone())
    }

    /// The block devices of the disk with a bus id, such as `sda`, in the order of its units: none
    /// until the kernel has found it.
    #[must_use]
    pub fn block_devices(&self, bus_id: &str) -> Vec<String> {
        let interface = self
            .sysfs
            .join(format!("bus/usb/devices/{bus_id}/{bus_id}:1.0"));
        let target = entry(&interface, |name| name.starts_with("host"))
            .and_then(|host| entry(&host, |name| name.starts_with("target")));
        let units = target.iter().flat_map(|target| entries(target));
        // Host, channel, target and unit.
        let number = |unit: &Path| unit.file_name()?.to_str()?.rsplit_once(':')?.1.parse().ok();
        let mut units: Vec<(u64, PathBuf)> = units
            .filter_map(|unit| Some((number(&unit)?, unit)))
            .collect();
        units.sort();
        let blocks = units.iter().filter_map(|(_, unit)| {
            let block = entry(&unit.join("block"), |_| true)?;
            Some(block.file_name()?.to_str()?.to_owned())
        });
        blocks.collect()
    }

    /// What an attached device is, in words: bus id, numbers, names, and block device.
    #[must_use]
    pub fn describe(&self, bus_id: &str) -> String {
        let folder = self.sysfs.join("bus/usb/devices").join(bus_id);
        let read = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            // A device is not to steer a terminal.
            text.trim().escape_debug().to_string()
        };
        let numbers = format!("{}:{}", read("idVendor"), read("idProduct"));
        let disks = self.block_devices(bus_id);
        let disks = disks.iter().map(|name| format!("/dev/{name}"));
        let words = [numbers, read("manufacturer"), read("product")];
        let words: Vec<String> = words.into_iter().chain(disks).collect();
        let mut text = bus_id.to_owned();
        for word in words.iter().filter(|word| !word.is_empty()) {
            text.push(' ');
            text.push_str(word);
        }
        text
    }

    /// Lets the kernel write what it holds for block devices or for the file systems on them, for
    /// some seconds at most. What is returned should be kept until the device is detached: after
    /// its last close the kernel asks a removable disk whether it is still there, and a disk that
    /// leaves meanwhile costs the kernel seconds of attempts to get it back.
    ///
    /// # Errors
    /// It could not, or not in time, or a device is gone.
    pub fn sync(&self, block_devices: Vec<String>) -> io::Result<Vec<File>> {
        if block_devices.is_empty() {
            return Ok(Vec::new());
        }
        let (done, outcome) = channel();
        let vhci = self.clone();
        let sync = move || {
            let mut open = Vec::new();
            let mut each = block_devices.iter();
            let synced = each.try_for_each(|name| vhci.sync_one(name, &mut open));
            let _ = done.send(synced.map(|()| open));
        };
        // A thread of its own, since the kernel may take as long as it likes.
        thread::Builder::new().name("sync".into()).spawn(sync)?;
        let late = format!("the kernel has not written all within {SYNC:?}");
        let late = || io::Error::new(io::ErrorKind::TimedOut, late);
        outcome.recv_timeout(SYNC).map_err(|_| late())?
    }

    fn sync_one(&self, block_device: &str, open: &mut Vec<File>) -> io::Result<()> {
        let partitions = entries(&self.sysfs.join("block").join(block_device));
        let names = partitions.filter_map(|path| Some(path.file_name()?.to_owned()));
        let partitions = names.filter(|name| name.to_string_lossy().starts_with(block_device));
        for name in partitions.chain([block_device.into()]) {
            let device = File::open(Path::new("/dev").join(name))?;
            flush_buffers(&device)?;
            open.push(device);
        }
        Ok(())
    }

    /// Which of the file systems of block devices this process sees mounted: the device's path, and
    /// where.
    #[must_use]
    pub fn mounts(&self, block_devices: &[String]) -> Vec<(String, String)> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let names = block_devices.iter();
        names.flat_map(|name| mounts_of(name, &mounts)).collect()
    }

    fn ports_of(&self, controller: usize) -> Result<Ports, AttachError> {
        let path = match controller {
            0 => self.file("status"),
            controller => self.file(&format!("status.{controller}")),
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(AttachError::Io { path, error }),
        };
        Ports::parse(&text).map_err(|error| AttachError::Status { path, error })
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        // In one piece: each `write` is a request of its own.
        fs::write(self.file(name), text)
    }

    fn file(&self, name: &str) -> PathBuf {
        // All files are at the first controller, however many there are.
        self.sysfs.join("devices/platform/vhci_hcd.0").join(name)
    }
}

impl Unavailable {
    fn module() -> Self {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let modules = Path::new("/lib/modules").join(&release);
        match fs::read_to_string(modules.join("modules.dep")) {
            Ok(list) if list.contains("vhci-hcd") => Self::NotLoaded,
            Ok(_) => Self::NoModule(release),
            Err(_) => Self::NoModules(release),
        }
    }
}

/// What `blockdev --flushbufs` does: writes the buffers of a block device, and with them the file
/// system that is mounted from it (`include/uapi/linux/fs.h`, `BLKFLSBUF`).
#[expect(unsafe_code, reason = "rustix has no name for this request")]
fn flush_buffers(device: &File) -> io::Result<()> {
    const BLKFLSBUF: Opcode = ioctl::opcode::none(0x12, 97);
    // SAFETY: this request takes no argument and touches no memory of the process.
    Ok(unsafe { ioctl::ioctl(device, ioctl::NoArg::<BLKFLSBUF>::new()) }?)
}

/// The lines of `/proc/self/mounts` (proc_pid_mounts(5)) for a block device and its partitions.
fn mounts_of(name: &str, mounts: &str) -> Vec<(String, String)> {
    let of_disk = |source: &str| {
        let partition = source
            .strip_prefix("/dev/")
            .and_then(|source| source.strip_prefix(name));
        partition.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let fields = mounts.lines().map(|line| {
        let mut fields = line.split(' ');
        (fields.next().unwrap_or(""), fields.next().unwrap_or(""))
    });
    fields
        .filter(|(source, _)| of_disk(source))
        .map(|(source, target)| (source.into(), target.into()))
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// The first entry of a folder whose name is as wanted.
fn entry(folder: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    entries(folder).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(&wanted)
    })
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::net::UnixStream;
    use std::process;

    use super::*;

    /// A folder that looks like sysfs with two controllers of 2 + 2 ports.
    struct Sysfs(PathBuf);

    impl Sysfs {
        const STATUS: &str = "\
            hub port sta spd dev      sockfd local_busid\n\
            hs  0000 006 003 00010002 000003 1-1\n\
            hs  0001 004 000 00000000 000000 0-0\n\
            ss  0002 006 005 00010002 000004 2-1\n\
            ss  0003 005 000 00000000 000000 0-0\n";
        const STATUS_1: &str = "\
            hs  0004 004 000 00000000 000000 0-0\n\
            hs  0005 006 003 00010002 000003 3-2\n\
            ss  0006 004 000 00000000 000000 0-0\n\
            ss  0007 004 000 00000000 000000 0-0\n";

        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("vhci-{}-{name}", process::id()));
            let controller = folder.join("devices/platform/vhci_hcd.0");
            fs::create_dir_all(&controller).unwrap();
            for (name, text) in [
                ("attach", ""),
                ("detach", ""),
                ("status", Self::STATUS),
                ("status.1", Self::STATUS_1),
            ] {
                fs::write(controller.join(name), text).unwrap();
            }
            Self(folder)
        }

        fn written(&self, name: &str) -> String {
            fs::read_to_string(self.0.join("devices/platform/vhci_hcd.0").join(name)).unwrap()
        }
    }

    impl Drop for Sysfs {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_free_port_of_the_right_hub_is_taken() {
        let sysfs = Sysfs::new("attach");
        let vhci = Vhci::open(&sysfs.0).unwrap();
        let (socket, _) = UnixStream::pair().unwrap();
        let number = socket.as_raw_fd();
        let id = DeviceId::new(1, 2);
        for (speed, wanted, port, code) in [
            (Speed::High, None, 1, 3),
            (Speed::Full, Some(4), 4, 2),
            (Speed::Super, None, 6, 5),
            (Speed::Super, Some(7), 7, 5),
        ] {
            assert_eq!(vhci.attach(&socket, id, speed, wanted).unwrap(), port);
            assert_eq!(
                sysfs.written("attach"),
                format!("{port} {number} 65538 {code}")
            );
        }
        vhci.detach(7).unwrap();
        assert_eq!(sysfs.written("detach"), "7");
    }

    #[test]
    fn a_port_that_does_not_do_is_said_to_be_so() {
        let sysfs = Sysfs::new("refuse");
        let vhci = Vhci::open(&sysfs.0).unwrap();
        let (socket, _) = UnixStream::pair().unwrap();
        let attach = |speed, port| {
            let result = vhci.attach(&socket, DeviceId::new(1, 2), speed, Some(port));
            result.unwrap_err().to_string()
        };
        assert_eq!(attach(Speed::High, 0), "port 0: taken");
        assert_eq!(attach(Speed::Super, 3), "port 3: taken");
        assert_eq!(attach(Speed::High, 8), "port 8: vhci_hcd has ports 0 to 7");
        assert_eq!(
            attach(Speed::Super, 1),
            "port 1: does not take SuperSpeed, port 6 would"
        );
        assert_eq!(sysfs.written("attach"), "");
        let status = sysfs.0.join("devices/platform/vhci_hcd.0/status.1");
        fs::write(&status, "xx\n").unwrap();
        assert_eq!(
            attach(Speed::High, 1),
            format!(
                "{}: line 1 of the port status: expected hs or ss, found \"xx\"",
                status.display()
            )
        );
    }

    #[test]
    fn the_device_is_found_when_it_appears() {
        let sysfs = Sysfs::new("find");
        let vhci = Vhci::open(&sysfs.0).unwrap();
        assert_eq!(vhci.bus_id(0).as_deref(), Some("1-1"));
        assert_eq!(vhci.bus_id(3), None);
        assert_eq!(vhci.bus_id(5).as_deref(), Some("3-2"));
        assert_eq!(vhci.bus_id(8), None);
        assert!(vhci.block_devices("3-2").is_empty());
        let units = sysfs
            .0
            .join("bus/usb/devices/3-2/3-2:1.0/host5/target5:0:0");
        for place in [
            "5:0:0:10/block/sdd",
            "5:0:0:0/block/sdb",
            "5:0:0:9/block/sdc",
        ] {
            fs::create_dir_all(units.join(place)).unwrap();
        }
        fs::create_dir_all(units.join("power")).unwrap();
        assert_eq!(vhci.block_devices("3-2"), ["sdb", "sdc", "sdd"]);
    }

    #[test]
    fn without_the_module_it_is_said_what_to_do() {
        let error = Vhci::open(Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("modprobe vhci-hcd"), "{error}");
    }

    #[test]
    fn a_disk_is_mounted_whole_or_in_partitions() {
        let mounts = "\
            proc /proc proc rw 0 0\n\
            /dev/sda /mnt/whole\\040disk ext4 rw 0 0\n\
            /dev/sda12 /mnt/part vfat ro 0 0\n\
            /dev/sdaa /other ext4 rw 0 0\n\
            /dev/sdaa1 /other/1 ext4 rw 0 0\n";
        let mounts = |name| {
            let found = mounts_of(name, mounts);
            found
                .into_iter()
                .map(|(source, target)| source + " " + &target)
        };
        assert!(mounts("sda").eq(["/dev/sda /mnt/whole\\040disk", "/dev/sda12 /mnt/part"]));
        assert!(mounts("sdaa").eq(["/dev/sdaa /other", "/dev/sdaa1 /other/1"]));
        assert_eq!(mounts("sdb").next(), None);
    }
}
