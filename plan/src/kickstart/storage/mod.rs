//! `part`, `raid`, `volgroup`, `logvol` and what goes with them, in both storage modes.
//!
//! [`camphor`] names the partitions that camphor made or kept, [`anaconda`] has them made. Arrays and volumes are
//! anaconda's in both, since the stock initrd need not have their tools: [`volumes`]. What anaconda would refuse an
//! hour later is looked for in [`check`] and [`Sizes`].

mod anaconda;
mod camphor;
mod check;
mod volumes;

use nii::Finding;
use nii::v1::{Filesystem, Format, Nii, PartitionType, Storage, StorageMode};
use uuid::Uuid;

use super::release::Words;
use super::words::{Line, lines};
use crate::disks::{self, Planned};
use crate::facts::{Facts, Firmware};
use crate::package;
use crate::stack::room::Sizes;
use crate::table::Marks;

/// The storage commands, and what the boot loader must know.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// The commands.
    pub text: String,
    /// The disk that the firmware boots from, as anaconda calls it.
    pub boot_drive: Option<String>,
    /// What is made anew in groups that are kept. It must be gone before anaconda looks.
    pub replaced: Vec<Replaced>,
}

/// A group that is kept, and its volumes that are made anew.
#[derive(Debug)]
pub(super) struct Replaced {
    /// Its name.
    pub group: String,
    /// Kernel paths of the partitions that it is made of, in their order as text.
    pub on: Vec<String>,
    /// Names of the volumes.
    pub volumes: Vec<String>,
}

/// Renders the section. A disk that was not found has a finding.
pub(super) fn render(
    facts: &Facts,
    nii: &Nii,
    arming: Uuid,
    words: Words,
    out: &mut Vec<Finding>,
) -> Rendered {
    let storage = &nii.storage;
    let ours = storage.mode == StorageMode::Camphor;
    let marks = if ours { package::marks(storage) } else { Marks::default() };
    let disks = disks::plan(facts, storage, arming, marks, out);
    if disks.len() < storage.disks.len() {
        return Rendered::default();
    }
    let site = Site { storage, firmware: facts.firmware, disks: &disks, words };
    let boot_disk = check::check(&site, out);
    Sizes { storage, disks: &disks }.check(out);
    let partitions = if ours { camphor::lines(&site) } else { anaconda::lines(&site, out) };
    let volumes = volumes::lines(&site, out);
    Rendered {
        text: lines(partitions.into_iter().chain(volumes)),
        boot_drive: boot_disk.map(|planned| kernel_name(&planned.disk.path)),
        replaced: volumes::replaced(&site, out),
    }
}

/// What the lines are made from.
struct Site<'a> {
    storage: &'a Storage,
    firmware: Firmware,
    disks: &'a [Planned<'a>],
    words: Words,
}

impl<'a> Site<'a> {
    /// Every partition of the NII with its disk.
    fn partitions(&self) -> impl Iterator<Item = (&'a Planned<'a>, &'a nii::v1::Partition)> {
        self.disks.iter().flat_map(|planned| planned.wanted.partitions.iter().map(move |p| (planned, p)))
    }

    /// The disk with the partition of this label.
    fn disk_of(&self, label: &str) -> Option<&'a Planned<'a>> {
        self.partitions().find(|(_, partition)| partition.label == label).map(|(planned, _)| planned)
    }

    /// The file system on a device.
    fn filesystem_on(&self, device: &str) -> Option<&'a Filesystem> {
        self.storage.filesystems.iter().find(|filesystem| filesystem.device == device)
    }

    /// Whether an array or a volume group is made of the partition.
    fn is_member(&self, label: &str) -> bool {
        let arrays = self.storage.raid.iter().map(|raid| &raid.devices);
        let mut all = arrays.chain(self.storage.volume_groups.iter().map(|group| &group.devices));
        all.any(|devices| devices.iter().any(|device| device == label))
    }

    /// What a partition is named by in other lines: `raid.N` and `pv.N`, by its place among all of them.
    fn member(&self, label: &str) -> Option<String> {
        let position = self.partitions().position(|(_, partition)| partition.label == label)?;
        let (_, partition) = self.partitions().nth(position)?;
        match partition.kind {
            PartitionType::Raid => Some(format!("raid.{}", position + 1)),
            PartitionType::Lvm => Some(format!("pv.{}", position + 1)),
            _ => None,
        }
    }

    /// What an array is named by in `volgroup` lines. Partitions have the numbers before.
    fn physical_volume(&self, array: &str) -> Option<String> {
        let position = self.storage.raid.iter().position(|raid| raid.name == array)?;
        Some(format!("pv.{}", self.partitions().count() + position + 1))
    }

    /// Whether this firmware has a use for partitions of that type. anaconda refuses the other firmware's: it knows
    /// their formats, but calls them unsupported there.
    fn has_use_for(&self, kind: PartitionType) -> bool {
        match kind {
            PartitionType::Esp => self.firmware == Firmware::Efi,
            PartitionType::BiosBoot => self.firmware == Firmware::Bios,
            _ => true,
        }
    }
}

/// Where anaconda mounts a file system: `swap` for swap space, and no place at all for what is not mounted.
fn place(filesystem: &Filesystem, nowhere: &'static str) -> String {
    match (&filesystem.mount, filesystem.format) {
        (_, Format::Swap) => "swap".into(),
        (Some(mount), _) => mount.clone(),
        (None, _) => nowhere.into(),
    }
}

/// Whether the installed system uses it by itself: a kept one that it does not use needs no word to anaconda.
fn is_in_use(filesystem: &Filesystem) -> bool {
    filesystem.mount.is_some() || filesystem.format == Format::Swap
}

/// The options of a file system that is made.
fn made(line: Line, filesystem: &Filesystem, format: &str) -> Line {
    let line = mounted(line.option("fstype", format), filesystem);
    let line = line.maybe("label", filesystem.label.as_ref());
    let options = filesystem.mkfs_options.join(" ");
    line.maybe("mkfsoptions", (!options.is_empty()).then_some(options))
}

/// The options of a file system that is mounted.
fn mounted(line: Line, filesystem: &Filesystem) -> Line {
    line.list("fsoptions", &filesystem.mount_options)
}

/// anaconda's name of a format on a partition of that type. It writes the ESP's type only for its own `efi`.
fn format_on(kind: PartitionType, filesystem: &Filesystem) -> &'static str {
    match kind {
        PartitionType::Esp => "efi",
        _ => format_at(filesystem),
    }
}

/// The same for an array or a volume.
fn format_at(filesystem: &Filesystem) -> &'static str {
    match filesystem.mount.as_deref() {
        Some(ESP_MOUNT) => "efi",
        _ => filesystem.format.name(),
    }
}

/// The one place where anaconda looks for the ESP.
const ESP_MOUNT: &str = "/boot/efi";

/// `/dev/sda` → `sda`: what blivet calls a device.
fn kernel_name(path: &str) -> String {
    path.strip_prefix("/dev/").unwrap_or(path).to_owned()
}
