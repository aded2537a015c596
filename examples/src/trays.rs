//! The media of a disk, changed while a host uses it, as somebody at this side says.

use msc_bot::{BlockSize, LogicalUnit, Lun, MassStorage as _};

use crate::disk_options::{blocks_of, left_over};
use crate::{Access, DiskOptions, Failure, ImageDisk, UnitImage};

/// What is in the units of a disk, and the commands that change it.
///
/// ```
/// use examples::{DiskOptions, Trays, UnitImage};
/// # let path = std::env::temp_dir().join(format!("trays-{}.img", std::process::id()));
/// # std::fs::write(&path, [0; 1024])?;
/// let options = DiskOptions { units: vec![UnitImage::new(&path)], ..DiskOptions::default() };
/// let mut disk = options.open().unwrap();
/// # std::fs::remove_file(&path)?;
/// let mut trays = Trays::new(options);
/// assert_eq!(trays.obey("eject", &mut disk), "unit 0: empty\n");
/// assert_eq!(trays.obey("insert no.img", &mut disk), "error: no.img: no such file\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Trays {
    options: DiskOptions,
    /// What is in each unit.
    images: Vec<Option<UnitImage>>,
}

/// Why a command was not done, in words.
type Refusal = String;

const NO_COMMAND: &str =
    "a command is status, eject, remove, insert IMAGE, resize, protect or unprotect";

impl Trays {
    /// What the help says of the commands.
    pub const HELP: &str = "\
Commands, one a line, after a number if it is not of unit 0, such as 2 eject:
  status                what is in the units
  eject                 take the image out, unless the host has locked it
  remove                take it out whatever the host says
  insert IMAGE[,ro]     put an image in, instead of the one before, unless the host has locked that
  resize                look again how large the image is, that was made longer or shorter
  protect               let nothing be written from now on
  unprotect             let it be written again, unless it was put in with ,ro
An image that is taken out was flushed. Each command is answered by what is in the unit, or by a
line that begins with error.
";

    /// Those of a disk that was made of these options.
    #[must_use]
    pub fn new(options: DiskOptions) -> Self {
        let images = options.units.iter().cloned().map(Some).collect();
        Self { options, images }
    }

    /// Does one command, and gives its answer: a line, or more for the status of several units.
    pub fn obey(&mut self, command: &str, disk: &mut ImageDisk) -> String {
        match self.execute(command.trim(), disk) {
            Ok(answer) => answer,
            Err(refusal) => format!("error: {refusal}\n"),
        }
    }

    fn execute(&mut self, command: &str, disk: &mut ImageDisk) -> Result<String, Refusal> {
        let (unit, command) = match command.split_once(' ') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                (number.parse().ok(), rest.trim())
            }
            _ => (Some(0), command),
        };
        let lun = unit.and_then(Lun::new);
        let lun = lun.filter(|lun| usize::from(lun.get()) < self.images.len());
        let lun = lun.ok_or("there is no such unit")?;
        match command.split_once(' ').unwrap_or((command, "")) {
            ("status", "") => {
                let luns = (0..16).filter_map(Lun::new).take(self.images.len());
                return Ok(luns.map(|lun| self.status(lun, disk)).collect());
            }
            ("eject", "") => {
                unlocked(lun, disk)?;
                self.take_out(lun, disk)?;
            }
            ("remove", "") => self.take_out(lun, disk)?,
            ("insert", image) if !image.is_empty() => {
                self.put_in(lun, UnitImage::parse(image.trim().as_ref()), disk)?;
            }
            ("resize", "") => self.resize(lun, disk)?,
            ("protect", "") => self.write_protect(lun, disk, true)?,
            ("unprotect", "") => self.write_protect(lun, disk, false)?,
            _ => return Err(NO_COMMAND.into()),
        }
        Ok(self.status(lun, disk))
    }

    fn take_out(&mut self, lun: Lun, disk: &mut ImageDisk) -> Result<(), Refusal> {
        if let Some(image) = self.images.get_mut(usize::from(lun.get())) {
            *image = None;
        }
        disk.remove(lun)
            .map_err(|error| format!("what was written last may be lost: {error}"))
    }

    fn put_in(&mut self, lun: Lun, image: UnitImage, disk: &mut ImageDisk) -> Result<(), Refusal> {
        let at = usize::from(lun.get());
        let is_cd = self.options.units.get(at).is_some_and(|unit| unit.cdrom);
        let image = match (is_cd, image.cdrom) {
            (true, _) => image.cd(),
            (false, true) => return Err("the unit is not a drive for CDs".into()),
            (false, false) => image,
        };
        let block_size = block_size(lun, disk)?;
        unlocked(lun, disk)?;
        // The one before stays if there is anything wrong with the new one. Only the same once more
        // cannot be opened before it is let go: perhaps to be written now.
        let is_again = disk.store(lun);
        let is_again = is_again.is_some_and(|store| store.is_at(&image.path));
        let before = if is_again {
            self.take_out(lun, disk)
        } else {
            Ok(())
        };
        let opened = image.open().and_then(|store| {
            let blocks = blocks_of(&image.path, &store, block_size)?;
            Ok((store, blocks))
        });
        let (store, blocks) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                before?;
                let left = if is_again { "; the unit is empty" } else { "" };
                return Err(failure.into_text() + left);
            }
        };
        let flushed = before.and(self.take_out(lun, disk));
        let read_only = image.access == Access::ReadOnly;
        disk.insert(lun, store, blocks, read_only);
        if let Some(place) = self.images.get_mut(at) {
            *place = Some(image);
        }
        flushed
    }

    fn image(&self, lun: Lun) -> Result<&UnitImage, Refusal> {
        let image = self.images.get(usize::from(lun.get()));
        let image = image.and_then(Option::as_ref);
        image.ok_or_else(|| "the unit is empty".into())
    }

    fn resize(&self, lun: Lun, disk: &mut ImageDisk) -> Result<(), Refusal> {
        let path = &self.image(lun)?.path;
        let block_size = block_size(lun, disk)?;
        let store = disk.store_mut(lun).ok_or("the unit is empty")?;
        let failed = |error| format!("{}: {error}", path.display());
        store.look_again().map_err(failed)?;
        let blocks = blocks_of(path, store, block_size).map_err(Failure::into_text)?;
        disk.resize(lun, blocks);
        Ok(())
    }

    fn write_protect(
        &self,
        lun: Lun,
        disk: &mut ImageDisk,
        read_only: bool,
    ) -> Result<(), Refusal> {
        let UnitImage { path, access, .. } = self.image(lun)?;
        if *access == Access::ReadOnly && !read_only {
            let path = path.display();
            return Err(format!(
                "{path} was opened only to be read: insert it without ,ro"
            ));
        }
        disk.write_protect(lun, read_only);
        Ok(())
    }

    fn status(&self, lun: Lun, disk: &ImageDisk) -> String {
        let (Ok(image), Some(unit)) = (self.image(lun), unit(lun, disk)) else {
            return format!("unit {lun}: empty\n");
        };
        let rest = disk.store(lun);
        let rest = rest.and_then(|store| left_over(store, unit.options().block_size()));
        let states = [
            unit.options().is_read_only().then(|| ", read-only".into()),
            disk.is_locked(lun).then(|| ", locked by the host".into()),
            (!unit.has_medium()).then(|| ", ejected by the host".into()),
            rest.map(|rest| format!(", {rest}")),
        ];
        let states: String = states.into_iter().flatten().collect();
        format!("unit {lun}: {}{states}\n", image.path.display())
    }
}

/// Whether what is in a unit, if there is something, may be taken out.
fn unlocked(lun: Lun, disk: &ImageDisk) -> Result<(), Refusal> {
    if disk.is_locked(lun) && disk.store(lun).is_some() {
        return Err("the host has locked it".into());
    }
    Ok(())
}

fn unit(lun: Lun, disk: &ImageDisk) -> Option<&LogicalUnit> {
    disk.device().units().get(usize::from(lun.get()))
}

fn block_size(lun: Lun, disk: &ImageDisk) -> Result<BlockSize, Refusal> {
    let unit = unit(lun, disk).ok_or("there is no such unit")?;
    Ok(unit.options().block_size())
}
