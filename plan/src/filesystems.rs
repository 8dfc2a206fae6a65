//! File systems of a disked node: made, mounted in order, named in fstab.

use nii::Finding;
use nii::v1::{After, Filesystem, Format, PartitionType};
use uuid::Uuid;

use crate::disks::Planned;
use crate::facts::Content;
use crate::ids::{self, Kind, filesystem_text};
use crate::install::Inputs;
use crate::mkfs;
use crate::op::{Act, Op, PartitionRef};
use crate::units::{MIB, human};

/// A file system of the NII and where it will be.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    pub wanted: &'a Filesystem,
    /// Its place in `storage.filesystems`.
    pub index: usize,
    pub partition: PartitionRef,
    pub kind: PartitionType,
    pub bytes: u64,
    pub uuid: Uuid,
    /// What is there now.
    pub found: Option<&'a Content>,
}

impl Placed<'_> {
    /// As fstab and `root=` name it.
    pub fn source(&self) -> String {
        let made = || filesystem_text(self.wanted.format, self.uuid);
        let kept = self.found.filter(|_| self.wanted.preserve).and_then(|content| content.uuid.clone());
        format!("UUID={}", kept.unwrap_or_else(made))
    }

    fn mount(&self) -> Option<&str> {
        self.wanted.mount.as_deref()
    }

    /// For fstab: the NII's options, or what is usual.
    fn options(&self) -> Vec<String> {
        let default = match self.wanted.format {
            Format::Swap => "sw",
            // FAT has no owners: nobody but root has business on the ESP.
            Format::Vfat => "umask=0077",
            Format::Ext4 | Format::Xfs | Format::Btrfs | Format::Tmpfs => "defaults",
        };
        let own = &self.wanted.mount_options;
        if own.is_empty() { vec![default.to_owned()] } else { own.clone() }
    }

    /// Those of the options that the kernel knows, without `ro`: the install itself writes.
    fn mount_options(&self) -> Vec<String> {
        let userspace =
            ["defaults", "auto", "noauto", "nofail", "user", "users", "nouser", "owner", "group", "_netdev"];
        let mut options = self.options();
        options
            .retain(|o| o != "ro" && !o.to_lowercase().starts_with("x-") && !userspace.contains(&o.as_str()));
        options
    }
}

/// Puts the NII's file systems on the planned partitions, parents of mount points first. What lies on a disk that was
/// not found is left out: that has a finding already.
pub(crate) fn place<'a>(inputs: &Inputs<'a>, disks: &[Planned<'a>]) -> Vec<Placed<'a>> {
    let storage = &inputs.nii.storage;
    let one = |(index, wanted): (usize, &'a Filesystem)| {
        let (partition, bytes) = disks.iter().find_map(|disk| disk.partition(&wanted.device))?;
        let (_, entry) = storage.partition(&wanted.device)?;
        let uuid = ids::of(inputs.arming, Kind::Filesystem, &wanted.device);
        let disk = inputs.facts.disks.iter().find(|disk| disk.path == partition.disk)?;
        let found = disk.contents.iter().find(|content| content.partition == Some(partition.number));
        Some(Placed { wanted, index, partition, kind: entry.kind, bytes, uuid, found })
    };
    let mut placed: Vec<Placed<'_>> = storage.filesystems.iter().enumerate().filter_map(one).collect();
    placed.sort_by_key(|placed| {
        placed.wanted.mount.as_deref().map_or((usize::MAX, ""), |path| (depth(path), path))
    });
    placed
}

/// `/` is 0, `/boot` 1, `/boot/efi` 2.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

/// The ops that make them and mount them. What is kept is not touched, and not mounted either: not even the times of its
/// superblock change.
pub(crate) fn ops(inputs: &Inputs<'_>, placed: &[Placed<'_>]) -> Vec<Op> {
    let made = || placed.iter().filter(|placed| !placed.wanted.preserve);
    let mkfs = made().map(|placed| {
        let wanted = placed.wanted;
        let version = mkfs::tool(wanted.format)
            .and_then(|tool| inputs.facts.tool_versions.get(tool))
            .map(String::as_str);
        let mut options = mkfs::options(wanted.format, &inputs.manifest.os, version);
        options.extend(wanted.mkfs_options.iter().cloned());
        let what = wanted.mount.as_deref().unwrap_or(wanted.format.name());
        let act = Act::Mkfs {
            device: placed.partition.clone().into(),
            format: wanted.format,
            uuid: placed.uuid,
            label: wanted.label.clone(),
            options,
        };
        Op::new(act, format!("partition `{}` is to hold {what}", wanted.device))
    });
    let mounts = made().filter_map(|placed| {
        let path = placed.mount()?.to_owned();
        let reason = format!("{path} of the new system is partition `{}`", placed.wanted.device);
        let (device, format) = (placed.partition.clone().into(), placed.wanted.format);
        // Only a switch into the root keeps these mounts; options such as `noexec` would but hinder the install.
        let kept = inputs.nii.install.after == After::SwitchRoot;
        let options = if kept { placed.mount_options() } else { Vec::new() };
        Some(Op::new(Act::Mount { device, format, path, options }, reason))
    });
    mkfs.chain(mounts).collect()
}

/// The mount points of what is kept, which nothing was mounted on.
pub(crate) fn mount_points(placed: &[Placed<'_>]) -> Vec<Op> {
    let kept = placed.iter().filter(|placed| placed.wanted.preserve);
    let op = |placed: &Placed<'_>| {
        let path = placed.mount()?.trim_start_matches('/').to_owned();
        let reason = format!("kept partition `{}` is mounted there", placed.wanted.device);
        Some(Op::new(Act::Mkdir { path, mode: 0o755 }, reason))
    };
    kept.filter_map(op).collect()
}

/// fstab(5), by UUID.
pub(crate) fn fstab(placed: &[Placed<'_>]) -> String {
    let mut text = "# /etc/fstab: written by camphor from the node's NII.\n".to_owned();
    for placed in placed {
        let wanted = placed.wanted;
        let mount = match (&wanted.mount, wanted.format) {
            (_, Format::Swap) => "none",
            (Some(mount), _) => mount.as_str(),
            (None, _) => continue,
        };
        let options = placed.options().join(",");
        // fsck.xfs does nothing; the root goes first.
        let pass = match (wanted.format, mount) {
            (Format::Swap | Format::Xfs, _) => 0,
            (_, "/") => 1,
            _ => 2,
        };
        text.push_str(&format!("{} {mount} {} {options} 0 {pass}\n", placed.source(), wanted.format.name()));
    }
    text
}

/// What a node with these file systems cannot do.
pub(crate) fn check(inputs: &Inputs<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    for placed in placed {
        match placed.wanted.preserve {
            true => is_there(placed, out),
            false => one(inputs, placed, out),
        }
    }
    image_fits(inputs, placed, out);
}

/// What is to be kept must be what the NII says: fstab names its UUID.
fn is_there(placed: &Placed<'_>, out: &mut Vec<Finding>) {
    let Filesystem { device, format, .. } = placed.wanted;
    let found = match placed.found {
        Some(content) if content.kind == format.name() && content.uuid.is_some() => return,
        Some(content) => content.kind.as_str(),
        None => "nothing that is known",
    };
    let message = format!(
        "partition `{device}` of {} is to be kept with its {}, and holds {found}",
        placed.partition.disk,
        format.name()
    );
    out.push(Finding::error(format!("storage.filesystems[{}].preserve", placed.index), message));
}

fn one(inputs: &Inputs<'_>, placed: &Placed<'_>, out: &mut Vec<Finding>) {
    /// mkfs.xfs refuses less, since 5.19.
    const XFS_MIN: u64 = 300 * MIB;
    let path = format!("storage.filesystems[{}].format", placed.index);
    let format = placed.wanted.format;
    let Some(tool) = mkfs::tool(format) else { return };
    if !inputs.facts.tools.iter().any(|known| known == tool) {
        let message = format!(
            "this initrd has no {tool}, which is to make {} on partition `{}`; build the initrd with it",
            format.name(),
            placed.wanted.device
        );
        out.push(Finding::error(path.clone(), message));
    }
    if format == Format::Xfs && placed.bytes < XFS_MIN {
        let (label, has) = (&placed.wanted.device, human(placed.bytes));
        let message = format!("XFS needs at least {}, partition `{label}` has {has}", human(XFS_MIN));
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
                && p.mount().is_some()
                && [Format::Ext4, Format::Xfs].contains(&p.wanted.format)
        })
        .collect();
    let has = unix.iter().map(|placed| placed.bytes).sum::<u64>();
    let Some(root) = unix.iter().find(|placed| placed.mount() == Some("/")) else { return };
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
