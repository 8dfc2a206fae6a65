//! `storage.filesystems`, without their mount points.

use std::collections::BTreeSet;

use super::Out;
use super::stack::user;
use super::words::is_word;
use crate::Finding;
use crate::v1::{Device, Filesystem, Format, Nii, PartitionType, Storage};

pub(super) fn filesystems(nii: &Nii, out: Out<'_>) {
    let mut devices = BTreeSet::new();
    let mut labels = BTreeSet::new();
    let mut uuids = BTreeSet::new();
    for (i, filesystem) in nii.storage.filesystems.iter().enumerate() {
        let path = format!("storage.filesystems[{i}]");
        let name = &filesystem.device;
        if filesystem.format != Format::Tmpfs {
            device(&nii.storage, name, &format!("{path}.device"), out);
            if !devices.insert(name) {
                let message = format!("`{name}` already has a file system");
                out.push(Finding::error(format!("{path}.device"), message));
            }
        }
        if let Some(label) = &filesystem.label
            && !labels.insert(label)
        {
            let message = format!("another file system is labelled `{label}`");
            out.push(Finding::error(format!("{path}.label"), message));
        }
        if let Some(uuid) = filesystem.uuid
            && !uuids.insert(uuid)
        {
            let message = format!("another file system has the UUID {uuid}");
            out.push(Finding::error(format!("{path}.uuid"), message));
        }
        match filesystem.format {
            Format::Tmpfs => tmpfs(filesystem, &path, out),
            _ => on_device(filesystem, &path, out),
        }
        subvolumes(filesystem, &path, out);
        options(&filesystem.mount_options, &path, out);
    }
}

fn device(storage: &Storage, name: &str, path: &str, out: Out<'_>) {
    let instead = match storage.device(name) {
        Some(Device::Partition(_, partition)) => match partition.kind {
            PartitionType::BiosBoot => {
                Some("is a BIOS boot partition: GRUB's core image is written there, no file system")
            }
            PartitionType::Raid => Some("is a member of a RAID array: name the array"),
            PartitionType::Lvm => Some("is a physical volume of LVM: name a logical volume, as GROUP/VOLUME"),
            PartitionType::Luks => Some("is encrypted: name the encrypted device that is on it"),
            PartitionType::Esp => None,
            // What takes it is told that it has another type.
            _ => return,
        },
        Some(Device::LogicalVolume(volume)) if volume.thin_pool => {
            Some("is a pool: name a volume that takes its space from it")
        }
        Some(_) => None,
        None if name.contains('/') => {
            out.push(Finding::error(path, format!("there is no logical volume `{name}`")));
            return;
        }
        None => {
            let message = format!(
                "no disk has a partition labelled `{name}`, and no array or encrypted device has that name"
            );
            out.push(Finding::error(path, message));
            return;
        }
    };
    match (instead, user(storage, name)) {
        (Some(message), _) => out.push(Finding::error(path, message)),
        (None, Some(by)) => out.push(Finding::error(path, format!("`{name}` is used by {by} already"))),
        (None, None) => {}
    }
}

fn on_device(filesystem: &Filesystem, path: &str, out: Out<'_>) {
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
    if let Some(uuid) = filesystem.uuid {
        let message = match filesystem.format {
            Format::Vfat => "vfat has no UUID: leave it out",
            _ if filesystem.preserve => "what is kept has its UUID already: leave it out",
            _ if uuid.is_nil() => "is the nil UUID, which programs take for none",
            _ => "",
        };
        if !message.is_empty() {
            out.push(Finding::error(format!("{path}.uuid"), message));
        }
    }
    for (i, option) in filesystem.mkfs_options.iter().enumerate() {
        if !is_word(option) {
            let message = "must be one argument, without blanks, quotes, `$`, `\\` and `#`";
            out.push(Finding::error(format!("{path}.mkfs_options[{i}]"), message));
        }
    }
    if filesystem.format == Format::Swap && !filesystem.mkfs_options.is_empty() {
        let message = "swap is made without mkfs, it takes none";
        out.push(Finding::error(format!("{path}.mkfs_options"), message));
    }
}

/// Files in RAM have no device, and nothing that is written on one.
fn tmpfs(filesystem: &Filesystem, path: &str, out: Out<'_>) {
    for (field, given) in [
        ("device", !filesystem.device.is_empty()),
        ("preserve", filesystem.preserve),
        ("label", filesystem.label.is_some()),
        ("uuid", filesystem.uuid.is_some()),
        ("mkfs_options", !filesystem.mkfs_options.is_empty()),
    ] {
        if given {
            out.push(Finding::error(
                format!("{path}.{field}"),
                "tmpfs is on no device, it has none: leave it out",
            ));
        }
    }
    if filesystem.mount.is_none() {
        out.push(Finding::error(format!("{path}.mount"), "is needed: a tmpfs is nothing but its mount"));
    }
}

fn subvolumes(filesystem: &Filesystem, path: &str, out: Out<'_>) {
    if !filesystem.subvolumes.is_empty() && filesystem.format != Format::Btrfs {
        let message = format!("{} has no subvolumes, btrfs has", filesystem.format.name());
        out.push(Finding::error(format!("{path}.subvolumes"), message));
    }
    let mut names = BTreeSet::new();
    for (j, subvolume) in filesystem.subvolumes.iter().enumerate() {
        let path = format!("{path}.subvolumes[{j}]");
        let name = &subvolume.name;
        if !is_word(name)
            || name.contains(['/', ','])
            || name.len() > 255
            || [".", ".."].contains(&name.as_str())
        {
            let message =
                "must be one name of 1 to 255 bytes, without `/`, blanks, commas, quotes, `$`, `\\` and `#`";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !names.insert(name) {
            let message = format!("the file system has another subvolume `{name}`");
            out.push(Finding::error(format!("{path}.name"), message));
        }
        options(&subvolume.mount_options, &path, out);
    }
}

fn options(options: &[String], path: &str, out: Out<'_>) {
    for (i, option) in options.iter().enumerate() {
        let path = format!("{path}.mount_options[{i}]");
        if !is_word(option) || option.contains(',') {
            let message = "must be one mount option, without blanks, commas, quotes, `$`, `\\` and `#`";
            out.push(Finding::error(path, message));
        } else if option.starts_with("subvol=") || option.starts_with("subvolid=") {
            out.push(Finding::error(
                path,
                "is camphor's to set: list the subvolume with its mount in `subvolumes`",
            ));
        }
    }
}
