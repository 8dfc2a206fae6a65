//! File systems of a disked node: made, mounted in order, named in fstab.

use nii::Finding;
use nii::v1::{After, Device, Filesystem, Format, MountAt, PartitionType};
use uuid::Uuid;

use crate::facts::Content;
use crate::ids::{self, Kind, filesystem_text};
use crate::install::Inputs;
use crate::mkfs;
use crate::op::{Act, BlockDevice, Op};
use crate::stack::Stack;
use crate::stack::room::Sizes;
use crate::units::{MIB, human};

/// A file system of the NII and where it will be.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    pub wanted: &'a Filesystem,
    /// Its place in `storage.filesystems`.
    pub index: usize,
    pub device: BlockDevice,
    /// The type of the partition, or of the partitions, that it is on.
    pub kind: PartitionType,
    pub bytes: u64,
    pub uuid: Uuid,
    /// What is there now, if it is on a partition.
    pub found: Option<&'a Content>,
}

/// Options that programs know and the kernel does not.
const USERSPACE: [&str; 10] =
    ["defaults", "auto", "noauto", "nofail", "user", "users", "nouser", "owner", "group", "_netdev"];

impl Placed<'_> {
    /// As fstab and `root=` name it: by UUID, but volumes by name, which snapshots do not have too.
    pub fn source(&self) -> String {
        match &self.device {
            BlockDevice::Volume(_) => self.device.path(),
            _ if !self.wanted.preserve => {
                format!("UUID={}", filesystem_text(self.wanted.format, self.uuid))
            }
            BlockDevice::Array(array) => format!("/dev/md/{}", array.array),
            _ => match self.found.and_then(|content| content.uuid.as_ref()) {
                Some(uuid) => format!("UUID={uuid}"),
                None => self.device.path(),
            },
        }
    }

    /// Whether it is mounted there, itself or by a subvolume.
    pub fn is_at(&self, path: &str) -> bool {
        self.wanted.mounts().any(|mount| mount.path == path)
    }

    /// The subvolume that is mounted there.
    pub fn subvolume_at(&self, path: &str) -> Option<&str> {
        self.wanted.mounts().find(|mount| mount.path == path)?.subvolume
    }

    /// For fstab: the NII's options, or what is usual.
    fn options(&self, mount: Option<MountAt<'_>>) -> Vec<String> {
        let default = match self.wanted.format {
            Format::Swap => "sw",
            // FAT has no owners: nobody but root has business on the ESP.
            Format::Vfat => "umask=0077",
            Format::Ext4 | Format::Xfs | Format::Btrfs | Format::Tmpfs => "defaults",
        };
        let own = mount.map_or(&self.wanted.mount_options[..], |mount| mount.options);
        let mut options = if own.is_empty() { vec![default.to_owned()] } else { own.to_vec() };
        options.extend(subvolume(mount));
        options
    }

    /// Those of the options that the kernel knows, without `ro`: the install itself writes.
    fn mount_options(&self, mount: MountAt<'_>) -> Vec<String> {
        let mut options = self.options(Some(mount));
        options
            .retain(|o| o != "ro" && !o.to_lowercase().starts_with("x-") && !USERSPACE.contains(&o.as_str()));
        options
    }
}

fn subvolume(mount: Option<MountAt<'_>>) -> Option<String> {
    Some(format!("subvol={}", mount?.subvolume?))
}

/// Puts the NII's file systems on their devices, parents of mount points first. What lies on a disk that was not found is
/// left out: that has a finding already.
pub(crate) fn place<'a>(inputs: &Inputs<'a>, stack: &Stack<'a>) -> Vec<Placed<'a>> {
    let sizes = Sizes { storage: stack.storage, disks: stack.disks };
    let one = |(index, wanted): (usize, &'a Filesystem)| {
        let device = stack.device(&wanted.device)?;
        let (_, partition) = stack.below(&wanted.device).into_iter().next()?;
        let made = || ids::of(inputs.arming, Kind::Filesystem, &wanted.device);
        let found = match device {
            BlockDevice::Partition(_) => stack.found(&wanted.device),
            _ => None,
        };
        Some(Placed {
            wanted,
            index,
            device,
            kind: partition.kind,
            bytes: sizes.bytes(&wanted.device),
            uuid: wanted.uuid.unwrap_or_else(made),
            found,
        })
    };
    let mut placed: Vec<Placed<'_>> = stack.storage.filesystems.iter().enumerate().filter_map(one).collect();
    let first =
        |placed: &Placed<'a>| placed.wanted.mounts().map(|mount| (depth(mount.path), mount.path)).min();
    placed.sort_by_key(|placed| first(placed).unwrap_or((usize::MAX, "")));
    placed
}

/// Every place where one of them is mounted, parents first.
fn mounts<'a, 'b>(placed: impl Iterator<Item = &'a Placed<'b>>) -> Vec<(&'a Placed<'b>, MountAt<'a>)>
where
    'b: 'a,
{
    let mut mounts: Vec<_> =
        placed.flat_map(|placed| placed.wanted.mounts().map(move |mount| (placed, mount))).collect();
    mounts.sort_by_key(|(_, mount)| (depth(mount.path), mount.path));
    mounts
}

/// `/` is 0, `/boot` 1, `/boot/efi` 2.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// The ops that make them and mount them. What is kept is not touched, and not mounted either: not even the times of its
/// superblock change.
pub(crate) fn ops(inputs: &Inputs<'_>, stack: &Stack<'_>, placed: &[Placed<'_>]) -> Vec<Op> {
    let made = || placed.iter().filter(|placed| !placed.wanted.preserve);
    let mkfs = made().map(|placed| {
        let wanted = placed.wanted;
        let version = mkfs::tool(wanted.format)
            .and_then(|tool| inputs.facts.tool_versions.get(tool))
            .map(String::as_str);
        let mut options = mkfs::options(wanted.format, &inputs.manifest.os, version);
        options.extend(wanted.mkfs_options.iter().cloned());
        let what = wanted.mounts().next().map_or(wanted.format.name(), |mount| mount.path);
        let act = Act::Mkfs {
            device: placed.device.clone(),
            format: wanted.format,
            uuid: placed.uuid,
            label: wanted.label.clone(),
            options,
        };
        Op::new(act, format!("{} is to hold {what}", said(stack, &wanted.device)))
    });
    let subvolumes = made().filter(|placed| !placed.wanted.subvolumes.is_empty()).map(|placed| {
        let names = placed.wanted.subvolumes.iter().map(|subvolume| subvolume.name.clone()).collect();
        let act = Act::MakeSubvolumes { device: placed.device.clone(), names };
        Op::new(act, "they are subvolumes of the NII")
    });
    let mounts = mounts(made()).into_iter().map(|(placed, mount)| {
        let reason = format!("{} of the new system is {}", mount.path, said(stack, &placed.wanted.device));
        // Only a switch into the root keeps these mounts; options such as `noexec` would but hinder the install.
        let kept = inputs.nii.install.after == After::SwitchRoot;
        let options =
            if kept { placed.mount_options(mount) } else { subvolume(Some(mount)).into_iter().collect() };
        let (device, format) = (placed.device.clone(), placed.wanted.format);
        Op::new(Act::Mount { device, format, path: mount.path.to_owned(), options }, reason)
    });
    mkfs.chain(subvolumes).chain(mounts).collect()
}

/// A device for a person.
fn said(stack: &Stack<'_>, name: &str) -> String {
    let kind = match stack.storage.device(name) {
        Some(Device::Raid(_)) => "array",
        Some(Device::Luks(_)) => "encrypted device",
        Some(Device::LogicalVolume(_)) => "volume",
        Some(Device::Partition(..)) | None => "partition",
    };
    format!("{kind} `{name}`")
}

/// The mount points of what is kept, and of what is in RAM, which nothing was mounted on.
pub(crate) fn mount_points(inputs: &Inputs<'_>, placed: &[Placed<'_>]) -> Vec<Op> {
    let kept = mounts(placed.iter().filter(|placed| placed.wanted.preserve));
    let kept = kept.into_iter().map(|(placed, mount)| {
        (mount.path, format!("what is kept on `{}` is mounted there", placed.wanted.device))
    });
    let in_ram = in_ram(inputs).filter_map(|filesystem| filesystem.mount.as_deref());
    let in_ram = in_ram.map(|path| (path, "a tmpfs is mounted there".to_owned()));
    let op = |(path, reason): (&str, String)| {
        Op::new(Act::Mkdir { path: path.trim_start_matches('/').to_owned(), mode: 0o755 }, reason)
    };
    kept.chain(in_ram).map(op).collect()
}

fn in_ram<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = &'a Filesystem> {
    inputs.nii.storage.filesystems.iter().filter(|filesystem| filesystem.format == Format::Tmpfs)
}

/// fstab(5).
pub(crate) fn fstab(inputs: &Inputs<'_>, placed: &[Placed<'_>]) -> String {
    let mut text = "# /etc/fstab: written by camphor from the node's NII.\n".to_owned();
    let mut line = |source: &str, mount: &str, format: Format, options: &[String]| {
        // fsck.xfs and fsck.btrfs do nothing; the root goes first.
        let pass = match (format, mount) {
            (Format::Ext4 | Format::Vfat, "/") => 1,
            (Format::Ext4 | Format::Vfat, _) => 2,
            _ => 0,
        };
        text.push_str(&format!("{source} {mount} {} {} 0 {pass}\n", format.name(), options.join(",")));
    };
    for (placed, mount) in mounts(placed.iter()) {
        line(&placed.source(), mount.path, placed.wanted.format, &placed.options(Some(mount)));
    }
    for placed in placed.iter().filter(|placed| placed.wanted.format == Format::Swap) {
        line(&placed.source(), "none", Format::Swap, &placed.options(None));
    }
    for filesystem in in_ram(inputs) {
        let usual = ["nosuid".to_owned(), "nodev".to_owned()];
        let own = &filesystem.mount_options;
        let options = if own.is_empty() { &usual[..] } else { own };
        line("tmpfs", filesystem.mount.as_deref().unwrap_or_default(), Format::Tmpfs, options);
    }
    text
}

/// What a node with these file systems cannot do.
pub(crate) fn check(inputs: &Inputs<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    placed.iter().filter(|placed| !placed.wanted.preserve).for_each(|placed| one(inputs, placed, out));
    image_fits(inputs, placed, out);
}

/// What is to be kept on partitions must be what the NII says: fstab names its UUID. What lies on arrays and volumes is not looked
/// at before they are started.
pub(crate) fn check_kept(stack: &Stack<'_>, out: &mut Vec<Finding>) {
    for (i, filesystem) in stack.storage.filesystems.iter().enumerate().filter(|(_, f)| f.preserve) {
        let Filesystem { device, format, .. } = filesystem;
        // What is not there has a finding already.
        let Some(partition) = stack.partition(device) else { continue };
        let found = stack.found(device);
        let is_it = |content: &&Content| match format {
            // Its driver mounts all three.
            Format::Ext4 => ["ext2", "ext3", "ext4"].contains(&content.kind.as_str()),
            format => content.kind == format.name(),
        };
        if found.filter(is_it).is_some_and(|content| content.uuid.is_some()) {
            continue;
        }
        let holds = found.map_or("nothing that is known", |content| &content.kind);
        let message = format!(
            "partition `{device}` ({}) is to be kept with its {}, and holds {holds}",
            partition.path(),
            format.name()
        );
        out.push(Finding::error(format!("storage.filesystems[{i}].preserve"), message));
    }
}

fn one(inputs: &Inputs<'_>, placed: &Placed<'_>, out: &mut Vec<Finding>) {
    /// mkfs.xfs refuses less, since 5.19.
    const XFS_MIN: u64 = 300 * MIB;
    let path = format!("storage.filesystems[{}].format", placed.index);
    let format = placed.wanted.format;
    let Some(tool) = mkfs::tool(format) else { return };
    if !inputs.facts.tools.iter().any(|known| known == tool) {
        let message = format!(
            "this initrd has no {tool}, which is to make {} on `{}`; build the initrd with it",
            format.name(),
            placed.wanted.device
        );
        out.push(Finding::error(path.clone(), message));
    }
    if format == Format::Xfs && placed.bytes < XFS_MIN {
        let (label, has) = (&placed.wanted.device, human(placed.bytes));
        let message = format!("XFS needs at least {}, `{label}` has {has}", human(XFS_MIN));
        out.push(Finding::error(path, message));
    } else if format == Format::Xfs && !inputs.facts.tool_versions.contains_key(tool) {
        let message =
            "the version of this initrd's mkfs.xfs is not known: its defaults may be too new for the image";
        out.push(Finding::warning(path, message));
    }
}

/// The unpacked image against the sum of what it is unpacked into: which directory needs how much, no manifest says.
fn image_fits(inputs: &Inputs<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    // What file systems keep for themselves: inode tables, journals, reserved blocks.
    let needs = inputs.manifest.ram_bytes + inputs.manifest.ram_bytes / 8 + 64 * MIB;
    let unix: Vec<_> = placed
        .iter()
        .filter(|p| {
            !p.wanted.preserve
                && p.wanted.mounts().next().is_some()
                && [Format::Ext4, Format::Xfs, Format::Btrfs].contains(&p.wanted.format)
        })
        .collect();
    let has = unix.iter().map(|placed| placed.bytes).sum::<u64>();
    let Some(root) = unix.iter().find(|placed| placed.is_at("/")) else { return };
    if has < needs {
        let who = if unix.len() == 1 { "`/` has" } else { "all file systems together have" };
        let message = format!("the image needs {} on disk, {who} {}", human(needs), human(has));
        out.push(Finding::error("storage.filesystems", message));
    }
    // mke2fs.conf: one inode for 16 KiB, and for 4 KiB below 512 MiB.
    let ratio = if root.bytes < 512 * MIB { 4096 } else { 16384 };
    let inodes = root.bytes / ratio;
    let own =
        root.wanted.mkfs_options.iter().any(|o| ["-i", "-N", "-T"].iter().any(|flag| o.starts_with(flag)));
    if root.wanted.format == Format::Ext4 && !own && unix.len() == 1 && inodes < inputs.manifest.inodes {
        let message = format!(
            "the image has {} files, ext4 of {} gets {inodes} inodes; give it more room, or `\"-i\", \"4096\"`",
            inputs.manifest.inodes,
            human(root.bytes)
        );
        out.push(Finding::error(format!("storage.filesystems[{}].mkfs_options", root.index), message));
    }
}
