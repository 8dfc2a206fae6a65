//! `storage.filesystems`, and what a node needs of them to boot from its disks.

use std::collections::BTreeSet;

use super::Out;
use super::words::{is_path, is_word};
use crate::Finding;
use crate::v1::{Device, Filesystem, Format, InstallType, Nii, PartitionType, Storage};

pub(super) fn filesystems(nii: &Nii, out: Out<'_>) {
    let mut devices = BTreeSet::new();
    let mut mounts = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for (i, filesystem) in nii.storage.filesystems.iter().enumerate() {
        let path = format!("storage.filesystems[{i}]");
        if filesystem.format != Format::Tmpfs {
            device(&nii.storage, &filesystem.device, &format!("{path}.device"), out);
        }
        if filesystem.format != Format::Tmpfs && !devices.insert(&filesystem.device) {
            let message = format!("`{}` already has a file system", filesystem.device);
            out.push(Finding::error(format!("{path}.device"), message));
        }
        if let Some(label) = &filesystem.label
            && !labels.insert(label)
        {
            let message = format!("another file system is labelled `{label}`");
            out.push(Finding::error(format!("{path}.label"), message));
        }
        if let Some(mount) = &filesystem.mount
            && !mounts.insert(mount)
        {
            out.push(Finding::error(format!("{path}.mount"), format!("`{mount}` is mounted twice")));
        }
        one_filesystem(filesystem, &path, out);
    }
    layout(nii, out);
}

fn device(storage: &Storage, name: &str, path: &str, out: Out<'_>) {
    let message = match storage.device(name) {
        Some(Device::Partition(_, partition)) => match partition.kind {
            PartitionType::BiosBoot => {
                "is a BIOS boot partition: GRUB's core image is written there, no file system".into()
            }
            PartitionType::Raid => "is a member of a RAID array: name the array".into(),
            PartitionType::Lvm => {
                "is a physical volume of LVM: name a logical volume, as GROUP/VOLUME".into()
            }
            _ => return,
        },
        Some(Device::Raid(raid)) => {
            match storage.volume_groups.iter().find(|group| group.devices.contains(&raid.name)) {
                Some(group) => format!("`{name}` is used by the volume group `{}` already", group.name),
                None => return,
            }
        }
        Some(Device::Luks(_) | Device::LogicalVolume(_)) => return,
        None if name.contains('/') => format!("there is no logical volume `{name}`"),
        None => format!("no disk has a partition labelled `{name}`, and no array has that name"),
    };
    out.push(Finding::error(path, message));
}

fn one_filesystem(filesystem: &Filesystem, path: &str, out: Out<'_>) {
    let limit = match filesystem.format {
        Format::Ext4 | Format::Swap => 16,
        Format::Xfs => 12,
        Format::Btrfs | Format::Tmpfs => 255,
        Format::Vfat => 11,
    };
    if let Some(label) = &filesystem.label
        && (label.len() > limit || !is_word(label))
    {
        let name = filesystem.format.name();
        let message =
            format!("{name} takes a label of 1 to {limit} bytes without blanks, quotes, `$`, `\\` and `#`");
        out.push(Finding::error(format!("{path}.label"), message));
    }
    for (i, option) in filesystem.mkfs_options.iter().enumerate() {
        if !is_word(option) {
            let message = "must be one argument, without blanks, quotes, `$`, `\\` and `#`";
            out.push(Finding::error(format!("{path}.mkfs_options[{i}]"), message));
        }
    }
    match (&filesystem.mount, filesystem.format) {
        (None, Format::Swap) if !filesystem.mkfs_options.is_empty() => {
            let message = "swap is made without mkfs, it takes none";
            out.push(Finding::error(format!("{path}.mkfs_options"), message));
        }
        (Some(_), Format::Swap) => out.push(Finding::error(format!("{path}.mount"), "swap is not mounted")),
        (Some(mount), _) if !is_path(mount) => {
            let message = format!("`{}` is no absolute path in its shortest form", mount);
            out.push(Finding::error(format!("{path}.mount"), message));
        }
        _ => {}
    }
    for (i, option) in filesystem.mount_options.iter().enumerate() {
        if !is_word(option) || option.contains(',') {
            let message = "must be one mount option, without blanks, commas, quotes, `$`, `\\` and `#`";
            out.push(Finding::error(format!("{path}.mount_options[{i}]"), message));
        }
    }
}

/// What an installed system needs. That an ESP or a BIOS boot partition is there is for the node to see: it knows its firmware.
fn layout(nii: &Nii, out: Out<'_>) {
    let kind = match nii.install.kind {
        InstallType::Disked => "disked",
        InstallType::Package => "package",
        InstallType::Diskless => return,
    };
    match nii.storage.mounted_at("/") {
        None => {
            let message = format!("a {kind} node needs a file system mounted at `/`");
            out.push(Finding::error("storage.filesystems", message));
        }
        Some(root) if root.format == Format::Vfat => {
            let message = "`/` cannot be vfat: it keeps no owners or modes";
            out.push(Finding::error("storage.filesystems", message));
        }
        Some(_) => {}
    }
    for partition in nii.storage.disks.iter().flat_map(|disk| &disk.partitions) {
        let made = nii.storage.filesystems.iter().find(|f| f.device == partition.label);
        if partition.kind == PartitionType::Esp && made.is_some_and(|f| f.format != Format::Vfat) {
            let message = format!("the ESP `{}` must be vfat: firmware reads nothing else", partition.label);
            out.push(Finding::error("storage.filesystems", message));
        }
    }
}
