//! What this machine would miss of a device, were it given away.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::machine::{Machine, attribute};

/// The block devices that are used, and how, in words. A device has its number, as `8:17`, or its
/// name, as `sdb1`.
///
/// That a device is mounted is told by the mounts that this process sees, and those of the first
/// process where they may be read. A file system with a number of its own, such as btrfs, is known
/// by its source. What is mounted elsewhere, in a container or hidden from a service, ext4, xfs,
/// f2fs and btrfs tell in `/sys/fs`, with all devices they have; others do not.
///
/// ZFS tells nobody which devices a pool has, mounted or not. What it tells are the names of the
/// pools that are imported (`/proc/spl/kstat/zfs`), and udev has read the name of the pool from a
/// device's label: one that has the name of an imported pool is taken for a part of it.
pub(super) struct Uses {
    places: Vec<(String, String)>,
    /// Where there is no place to be told.
    file_systems: Vec<(String, String)>,
    /// The names of the imported pools of ZFS, as udev writes them.
    pools: Vec<String>,
    /// Where udev has what it knows of a device.
    udev: PathBuf,
}

impl Uses {
    pub(super) fn read(machine: &Machine) -> Self {
        let mut places = Vec::new();
        for process in ["1", "self"] {
            let mounts = machine.proc.join(process).join("mountinfo");
            let mounts = fs::read_to_string(mounts).unwrap_or_default();
            for (number, source, place) in mounts.lines().filter_map(mount) {
                let how = format!("mounted at {place}");
                let name = block_device(source).map(|name| (name, how.clone()));
                places.extend(name.into_iter().chain([(number.to_owned(), how)]));
            }
        }
        let swaps = fs::read_to_string(machine.proc.join("swaps")).unwrap_or_default();
        let swaps = swaps.lines().skip(1);
        let swaps = swaps.filter_map(|line| block_device(line.split_whitespace().next()?));
        places.extend(swaps.map(|name| (name, "used for swapping".to_owned())));
        Self {
            places,
            file_systems: file_systems(&machine.sysfs.join("fs")),
            pools: pools(&machine.proc.join("spl/kstat/zfs")),
            udev: machine.udev.join("data"),
        }
    }

    /// What uses a device of this folder of sysfs: its block devices, and whether keys of it are
    /// listened to.
    pub(super) fn of(&self, device: &Path) -> Vec<String> {
        let mut uses = BTreeSet::new();
        self.find(device, 0, &mut uses);
        uses.into_iter().collect()
    }

    /// Looks at all below, whatever driver made it.
    fn find(&self, folder: &Path, depth: usize, uses: &mut BTreeSet<String>) {
        // A partition of a disk lies ten folders below its device.
        if depth > 16 {
            return;
        }
        if let (Some(number), true) = (attribute(folder, "dev"), folder.join("uevent").exists()) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let ours = |(key, _): &&(String, String)| *key == number || *key == name;
            let mut hows: Vec<_> = self.places.iter().filter(ours).collect();
            if hows.is_empty() {
                hows.extend(self.file_systems.iter().filter(ours));
            }
            uses.extend(hows.into_iter().map(|(_, how)| format!("{name} is {how}")));
            for holder in entries(&folder.join("holders")) {
                let holder = holder.file_name();
                uses.insert(format!("{name} is part of {}", holder.to_string_lossy()));
            }
            let pool = self.pool(&number);
            uses.extend(pool.map(|pool| format!("{name} is part of the ZFS pool {pool}")));
        }
        if attribute(folder, "capabilities/key").is_some_and(|keys| is_keyboard(&keys)) {
            uses.insert("it is a keyboard of this machine".to_owned());
        }
        for entry in entries(folder).filter(is_folder) {
            self.find(&entry.path(), depth + 1, uses);
        }
    }
}

impl Uses {
    /// The imported pool that a block device of this number says it is of.
    fn pool(&self, number: &str) -> Option<&String> {
        // Most machines have none.
        self.pools.first()?;
        let known = fs::read_to_string(self.udev.join(format!("b{number}"))).ok()?;
        let property = |name| {
            let mut lines = known.lines();
            lines.find_map(|line| {
                line.strip_prefix("E:")?
                    .strip_prefix(name)?
                    .strip_prefix('=')
            })
        };
        let label =
            property("ID_FS_LABEL").filter(|_| property("ID_FS_TYPE") == Some("zfs_member"));
        self.pools.iter().find(|pool| Some(pool.as_str()) == label)
    }
}

/// The folders of `/proc/spl/kstat/zfs`. For udev a label has no spaces, which the name of a pool may
/// have (`blkid_safe_string` of libblkid).
fn pools(folder: &Path) -> Vec<String> {
    let names = entries(folder)
        .filter(is_folder)
        .map(|pool| pool.file_name());
    names
        .map(|name| name.to_string_lossy().replace(' ', "_"))
        .collect()
}

/// A line of proc_pid_mountinfo(5): number, source, and place.
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ').skip(2);
    let (number, _root, place) = (fields.next()?, fields.next()?, fields.next()?);
    // Optional fields end with a hyphen; then come the type and the source.
    let source = fields.skip_while(|field| *field != "-").nth(2)?;
    Some((number, source, place))
}

/// The kernel's name of a block device, by a path of it.
fn block_device(path: &str) -> Option<String> {
    let path = Path::new(path).strip_prefix("/dev").ok().map(|_| path)?;
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    Some(place.file_name()?.to_str()?.to_owned())
}

/// `/sys/fs/TYPE/NAME` is a block device that is mounted; `/sys/fs/btrfs/UUID/devices/NAME` are all
/// that are part of one that is.
fn file_systems(folder: &Path) -> Vec<(String, String)> {
    let types = entries(folder).flat_map(|kind| {
        let name = kind.file_name();
        let how = format!("in a mounted file system ({})", name.to_string_lossy());
        let mounted = entries(&kind.path()).flat_map(|mounted| {
            let devices = entries(&mounted.path().join("devices"));
            devices
                .map(|device| device.file_name())
                .chain([mounted.file_name()])
        });
        let mounted = mounted.map(|name| name.to_string_lossy().into_owned());
        mounted.map(move |name| (name, how.clone()))
    });
    types.collect()
}

/// Whether an input device with these keys is a keyboard, as udev has it: one with escape, the digits
/// and the first two rows of letters, `KEY_ESC` to `KEY_S` of `input-event-codes.h`. The first keys
/// are the last word.
fn is_keyboard(keys: &str) -> bool {
    const TYPED: u64 = 0xffff_fffe;
    let first = keys.split_whitespace().next_back();
    let first = first.and_then(|word| u64::from_str_radix(word, 16).ok());
    first.is_some_and(|word| word & TYPED == TYPED)
}

fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

#[cfg(test)]
mod tests {
    use super::super::machine::fake::{Folder, Plug};

    const UNIT: &str = "sys/bus/usb/devices/1-2/1-x:1.0/host0/target0:0:0/0:0:0:0/block/sdz";

    /// A disk with one partition, `sdz1`, that is not used.
    fn disk(name: &str) -> Folder {
        let folder = Folder::new(name);
        folder.plug(&Plug::new("1-2", (0x46f4, 1)));
        for (path, number) in [("", "65:144"), ("/sdz1", "65:145")] {
            folder.write(&format!("{UNIT}{path}/dev"), format!("{number}\n"));
            folder.write(&format!("{UNIT}{path}/uevent"), "");
        }
        folder.write(
            "proc/self/mountinfo",
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
        );
        folder.write("proc/swaps", "Filename Type Size Used Priority\n");
        assert_eq!(uses(&folder), [""; 0]);
        folder
    }

    fn uses(folder: &Folder) -> Vec<String> {
        let devices = folder.machine().devices().unwrap();
        devices.into_iter().flat_map(|device| device.uses).collect()
    }

    #[test]
    fn a_mounted_disk_is_used() {
        let folder = disk("mounted");
        folder.write(
            "proc/self/mountinfo",
            "30 22 65:145 / /mnt rw shared:1 master:2 - vfat /dev/sdz1 rw\n",
        );
        assert_eq!(uses(&folder), ["sdz1 is mounted at /mnt"]);
    }

    #[test]
    fn a_file_system_with_a_number_of_its_own_is_known_by_its_source() {
        let folder = disk("anonymous");
        folder.write(
            "proc/self/mountinfo",
            "30 22 0:45 /@ /home rw - btrfs /dev/sdz1 rw,subvol=/@\n\
             31 22 0:46 / /net rw - cifs //server/sdz1 rw\n",
        );
        assert_eq!(uses(&folder), ["sdz1 is mounted at /home"]);
    }

    #[test]
    fn what_is_mounted_out_of_sight_is_known_by_the_first_process_and_by_the_file_system() {
        let folder = disk("hidden");
        folder.write(
            "proc/1/mountinfo",
            "30 22 65:145 / /mnt rw - vfat /dev/sdz1 rw\n",
        );
        assert_eq!(uses(&folder), ["sdz1 is mounted at /mnt"]);
        folder.write("proc/1/mountinfo", "");
        folder.write("sys/fs/ext4/sdz1/session_write_kbytes", "1\n");
        folder.write("sys/fs/ext4/features/lazy_itable_init", "supported\n");
        assert_eq!(uses(&folder), ["sdz1 is in a mounted file system (ext4)"]);
    }

    #[test]
    fn each_device_of_a_btrfs_is_used() {
        let folder = disk("several");
        // The one that mountinfo does not name.
        let uuid = "sys/fs/btrfs/5e0dd6d5-9d4e-4b57-8c1f-1d4a4a5c9b1d";
        folder.link(&format!("{uuid}/devices/sdz"), "../../../../block/sdz");
        assert_eq!(uses(&folder), ["sdz is in a mounted file system (btrfs)"]);
    }

    #[test]
    fn swap_and_devices_made_of_it_are_uses() {
        let folder = disk("holders");
        folder.write(
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/sdz1 partition 1024 0 -2\n",
        );
        folder.write(&format!("{UNIT}/sdz1/holders/dm-0/dev"), "253:0\n");
        assert_eq!(
            uses(&folder),
            ["sdz1 is part of dm-0", "sdz1 is used for swapping"]
        );
    }

    #[test]
    fn a_disk_of_an_imported_zfs_pool_is_used() {
        let folder = disk("pool");
        let known = |kind, label| {
            let text = format!(
                "S:disk/by-label/x\nE:ID_FS_TYPE={kind}\nE:ID_FS_LABEL={label}\nG:systemd\n"
            );
            folder.write("run/udev/data/b65:145", text);
        };
        let expected = ["sdz1 is part of the ZFS pool my_tank"];
        known("zfs_member", "my_tank");
        assert_eq!(uses(&folder), [""; 0], "no pool is imported");
        folder.write("proc/spl/kstat/zfs/arcstats", "");
        folder.write("proc/spl/kstat/zfs/other/state", "ONLINE\n");
        assert_eq!(uses(&folder), [""; 0], "another is");
        folder.write("proc/spl/kstat/zfs/my tank/state", "ONLINE\n");
        assert_eq!(uses(&folder), expected);
        known("ext4", "my_tank");
        assert_eq!(uses(&folder), [""; 0], "it is of something else");
        known("zfs_member", "arcstats");
        assert_eq!(uses(&folder), [""; 0], "no pool");
    }

    /// Without the boot protocol, and behind a receiver.
    #[test]
    fn a_keyboard_is_known_by_its_keys() {
        let folder = Folder::new("keyboard");
        folder.plug(&Plug::new("1-2", (0x046d, 0xc52b)));
        let place = "sys/bus/usb/devices/1-2/1-x:1.0/0003:046D:C52B.0003";
        // A mouse; it has buttons.
        folder.write(
            &format!("{place}/0003:046D:4023.0005/input/input18/capabilities/key"),
            "1f0000 0 0 0 0\n",
        );
        // The keys of a headset.
        folder.write(
            &format!("{place}/0003:046D:0A37.0006/input/input19/capabilities/key"),
            "1 0 0 e000000000000 0\n",
        );
        assert_eq!(uses(&folder), [""; 0]);
        folder.write(
            &format!("{place}/0003:046D:4024.0004/input/input17/capabilities/key"),
            "3f00033fff 0 0 483ffff17aff32d bfd4444600000000 1 130ff38b17d000 677bfad9415fed e0beffdf01cfffff fffffffffffffffe\n",
        );
        assert_eq!(uses(&folder), ["it is a keyboard of this machine"]);
    }
}
