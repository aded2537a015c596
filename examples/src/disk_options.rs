//! What a disk is to be, as the programs are told, and the disk made of it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lexopt::{Parser, ValueExt};
use msc_bot::{
    BlockSize, BotDevice, BotError, BotOptions, LogicalUnit, Lun, MassStorage, ShortIn, UasDevice,
    UnitOptions,
};
use usb_descriptors::Speed;

use crate::{Access, Disk, Failure, ImageError, RawImage, read_speed};

/// A disk in images, with or without USB Attached SCSI.
pub type ImageDisk = Disk<RawImage, Box<dyn MassStorage + Send>>;

/// An image that is to be a unit of a disk: `IMAGE[,ro][,cdrom]`.
///
/// ```
/// use examples::{Access, UnitImage};
/// let image = UnitImage::parse("a,b.iso,cdrom".as_ref());
/// assert_eq!(image.path.to_str(), Some("a,b.iso"));
/// assert!(image.cdrom && image.access == Access::ReadOnly);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitImage {
    /// The file or block device.
    pub path: PathBuf,
    /// Whether it may be written.
    pub access: Access,
    /// It is that of a CD or DVD.
    pub cdrom: bool,
}

impl UnitImage {
    /// An image that is a writable disk.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            access: Access::ReadWrite,
            cdrom: false,
        }
    }

    /// Reads `IMAGE[,ro][,cdrom]`.
    #[must_use]
    pub fn parse(text: &OsStr) -> Self {
        let (mut bytes, mut image) = (text.as_bytes(), Self::new(""));
        loop {
            if let Some(rest) = bytes.strip_suffix(b",ro") {
                image.access = Access::ReadOnly;
                bytes = rest;
            } else if let Some(rest) = bytes.strip_suffix(b",cdrom") {
                image = image.cd();
                bytes = rest;
            } else {
                image.path = OsStr::from_bytes(bytes).into();
                return image;
            }
        }
    }

    /// The same as a CD or DVD.
    #[must_use]
    pub fn cd(self) -> Self {
        Self {
            access: Access::ReadOnly,
            cdrom: true,
            ..self
        }
    }

    /// Opens and locks it.
    ///
    /// # Errors
    /// It cannot be used, or not in this way.
    pub fn open(&self) -> Result<RawImage, Failure> {
        RawImage::open(&self.path, self.access).map_err(|error| match error {
            ImageError::WriteProtected(_) => {
                Failure::Mistake(format!("{error}: add ,ro to only read it"))
            }
            error => Failure::mistake(error),
        })
    }
}

/// A disk of one or more units.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as there are switches"
)]
pub struct DiskOptions {
    /// The units' images, at most 16.
    pub units: Vec<UnitImage>,
    /// USB Attached SCSI beside Bulk-Only Transport.
    pub uas: bool,
    /// The speed of the device.
    pub speed: Speed,
    /// Bytes in a block, but for those of CDs; `None`: 512, or what a block device has.
    pub block_size: Option<BlockSize>,
    /// A write is durable only when the host flushes.
    pub write_cache: bool,
    /// The host may give blocks back.
    pub discard: bool,
    /// The media may be taken out.
    pub removable: bool,
    /// How Bulk-Only Transport ends data of which there is less than the host expects.
    pub short_in: ShortIn,
    /// The serial number; `None`: made from the path of the first image.
    pub serial: Option<String>,
}

/// What a disk calls itself.
const VENDOR: &str = "Virtual";
const PRODUCT: &str = "USB Disk";

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            units: Vec::new(),
            uas: false,
            speed: Speed::Super,
            block_size: None,
            write_cache: true,
            discard: false,
            removable: false,
            short_in: ShortIn::Pad,
            serial: None,
        }
    }
}

impl DiskOptions {
    /// What the help says of these options.
    pub const HELP: &str =
        "  --lun IMAGE[,ro][,cdrom]  one more unit of the same disk, up to 16; may be repeated
  --uas                 USB Attached SCSI beside Bulk-Only Transport: many commands at a time.
                        Linux uses it at high speed; its vhci_hcd has no streams for super
  --speed SPEED         full, high or super [default: super]
  --block-size BYTES    512 or 4096 [default: 512, or what a block device has]
  --cache MODE          writeback: what is written is durable when the host flushes, or
                        writethrough: when the write is complete [default: writeback]
  --discard             blocks that the host gives back become holes in the image
  --short-in POLICY     where Bulk-Only Transport has less data than the host expects: pad it with
                        zeros, or stall, which some hosts cannot take [default: pad]
";

    /// Reads the value of an option, if it is one of these.
    ///
    /// # Errors
    /// The value is missing or none of the option's.
    pub fn take(&mut self, option: &str, arguments: &mut Parser) -> Result<bool, lexopt::Error> {
        match option {
            "lun" => self.units.push(UnitImage::parse(&arguments.value()?)),
            "uas" => self.uas = true,
            "speed" => self.speed = arguments.value()?.parse_with(read_speed)?,
            "block-size" => self.block_size = Some(arguments.value()?.parse_with(block_size)?),
            "cache" => self.write_cache = arguments.value()?.parse_with(cache)?,
            "discard" => self.discard = true,
            "short-in" => self.short_in = arguments.value()?.parse_with(short_in)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opens and locks the images, and makes a disk of them.
    ///
    /// # Errors
    /// One of the images cannot be used, or there are too many.
    pub fn open(&self) -> Result<ImageDisk, Failure> {
        let images = self.units.iter().map(UnitImage::open);
        self.disk(images.collect::<Result<_, _>>()?)
    }

    /// Makes a disk of the units' images.
    ///
    /// # Errors
    /// One of them is too small, or there are too many.
    pub fn disk(&self, images: Vec<RawImage>) -> Result<ImageDisk, Failure> {
        let path = self.units.first().map_or(Path::new(""), |unit| &unit.path);
        let serial = self.serial.clone().unwrap_or_else(|| serial_of(path));
        let units = self.units.iter().zip(&images).enumerate();
        let units = units.map(|(number, (unit, image))| match number {
            0 => self.unit(unit, image, &serial),
            // Hosts know a unit by it.
            number => self.unit(unit, image, &format!("{serial}-{number}")),
        });
        let units: Vec<LogicalUnit> = units.collect::<Result<_, _>>()?;
        let device = BotOptions::new(self.speed)
            .manufacturer(VENDOR)
            .product(PRODUCT)
            .serial(&serial)
            .short_in(self.short_in);
        let device: Result<Box<dyn MassStorage + Send>, BotError> = if self.uas {
            UasDevice::new(device, units).map(|device| Box::new(device) as _)
        } else {
            BotDevice::new(device, units).map(|device| Box::new(device) as _)
        };
        let device = device.map_err(Failure::mistake)?;
        Ok(Disk::with_stores(device, images))
    }

    fn unit(
        &self,
        unit: &UnitImage,
        image: &RawImage,
        serial: &str,
    ) -> Result<LogicalUnit, Failure> {
        let block_size = self.block_size_of(unit, image);
        let blocks = blocks_of(&unit.path, image, block_size)?;
        let options = if unit.cdrom {
            UnitOptions::cd(blocks)
        } else {
            UnitOptions::new(block_size, blocks).product(PRODUCT)
        };
        let options = options
            .vendor(VENDOR)
            .serial(serial)
            .read_only(unit.access == Access::ReadOnly)
            .write_cache(self.write_cache)
            .discard(self.discard)
            // By default it stays until it is detached. For a medium that could be removed Linux
            // asks every two seconds, and detaching in the middle of a question makes its hub try
            // for seconds to enumerate what is gone.
            .removable(unit.cdrom || self.removable);
        Ok(LogicalUnit::new(options))
    }

    /// What of the images is left out, a line for each of which something is.
    #[must_use]
    pub fn left_out(&self, disk: &ImageDisk) -> Vec<String> {
        let units = self.units.iter().zip(disk.device().units()).enumerate();
        let lines = units.filter_map(|(number, (image, unit))| {
            let lun = u8::try_from(number).ok().and_then(Lun::new)?;
            let rest = left_over(disk.store(lun)?, unit.options().block_size())?;
            Some(format!("{}: {rest}", image.path.display()))
        });
        lines.collect()
    }

    /// Bytes in a block of a unit.
    fn block_size_of(&self, unit: &UnitImage, image: &RawImage) -> BlockSize {
        if unit.cdrom {
            BlockSize::BYTES_2048
        } else {
            self.block_size.unwrap_or_else(|| image.block_size())
        }
    }
}

/// How many blocks an image has: one at least.
pub(crate) fn blocks_of(
    path: &Path,
    image: &RawImage,
    block_size: BlockSize,
) -> Result<u64, Failure> {
    let (size, block) = (image.size(), u64::from(block_size.get()));
    if size < block {
        return Err(Failure::Mistake(format!(
            "{}: {size} bytes are less than one block of {block}",
            path.display()
        )));
    }
    Ok(size / block)
}

/// What of an image is left out, in words: less than a block at its end.
pub(crate) fn left_over(image: &RawImage, block_size: BlockSize) -> Option<String> {
    let rest = image.size() % u64::from(block_size.get());
    (rest > 0).then(|| format!("the last {rest} bytes are less than a block and left out"))
}

fn block_size(bytes: &str) -> Result<BlockSize, &'static str> {
    match bytes {
        "512" => Ok(BlockSize::BYTES_512),
        "4096" => Ok(BlockSize::BYTES_4096),
        _ => Err("a block has 512 or 4096 bytes"),
    }
}

fn cache(mode: &str) -> Result<bool, &'static str> {
    match mode {
        "writeback" => Ok(true),
        "writethrough" => Ok(false),
        _ => Err("a cache is writeback or writethrough"),
    }
}

fn short_in(policy: &str) -> Result<ShortIn, &'static str> {
    match policy {
        "pad" => Ok(ShortIn::Pad),
        "stall" => Ok(ShortIn::Stall),
        _ => Err("what is short is to pad or to stall"),
    }
}

/// A serial number for the disk in an image: sixteen hex digits, the same whenever the same path
/// is used (FNV-1a).
#[must_use]
pub fn serial_of(image: &Path) -> String {
    let path = fs::canonicalize(image).unwrap_or_else(|_| image.into());
    let bytes = path.as_os_str().as_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016X}")
}
