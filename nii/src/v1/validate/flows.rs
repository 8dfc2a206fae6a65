//! What each flow needs, and what it does not do: that is refused, and not half obeyed.

use super::{Out, mounts};
use crate::Finding;
use crate::v1::{After, Format, InstallType, Loader, Nii, PartitionType, Rebuild, Storage, StorageMode};

const LATER: &str = "this comes with a later release for installs from an image; `package` installs have it";

pub(super) fn flows(nii: &Nii, out: Out<'_>) {
    match nii.install.kind {
        InstallType::Package => package(nii, out),
        InstallType::Disked | InstallType::Diskless => image(nii, out),
    }
}

fn package(nii: &Nii, out: Out<'_>) {
    if nii.package.is_none() {
        out.push(Finding::error("package", "a package install needs it: what is installed, and from where"));
    }
    if nii.image.is_some() {
        out.push(Finding::error("image", "a package install has no image"));
    }
    if nii.install.after == After::SwitchRoot {
        let message = "must be `reboot`, `kexec` or `poweroff`: anaconda does not go on into the new root";
        out.push(Finding::error("install.after", message));
    }
    if nii.boot.loader == Loader::SystemdBoot {
        out.push(Finding::error("boot.loader", "must be `grub`: it is what anaconda installs"));
    }
    if nii.boot.rebuild_initramfs != Rebuild::Auto {
        let message = "must be `auto`: the kernel's package makes the initramfs";
        out.push(Finding::error("boot.rebuild_initramfs", message));
    }
    if !nii.modules.is_empty() {
        let message = "is for installs from an image: anaconda's system loads its own modules (for others `inst.dd=`, or a \
                       file in /etc/modules-load.d by a `post` script)";
        out.push(Finding::error("modules", message));
    }
    if nii.storage.mode == StorageMode::Anaconda {
        let message = "cannot be kept with `storage.mode: anaconda`, which clears the disks: use `camphor`";
        kept(nii).into_iter().for_each(|path| out.push(Finding::error(path, message)));
    }
    for path in for_images(&nii.storage) {
        out.push(Finding::error(path, "is for installs from an image: anaconda is not told of it"));
    }
}

/// The paths of what camphor makes itself or not at all.
fn for_images(storage: &Storage) -> Vec<String> {
    let mut paths = Vec::new();
    let mut refuse = |used: bool, path: String| paths.extend(used.then_some(path));
    let is_esp = |label: &String| storage.partition(label).is_some_and(|(_, p)| p.kind == PartitionType::Esp);
    for (i, array) in storage.raid.iter().enumerate() {
        refuse(array.devices.iter().any(is_esp), format!("storage.raid[{i}].devices"));
    }
    refuse(!storage.luks.is_empty(), "storage.luks".into());
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        refuse(volume.thin_pool, format!("storage.logical_volumes[{i}].thin_pool"));
        refuse(volume.pool.is_some(), format!("storage.logical_volumes[{i}].pool"));
    }
    for (i, filesystem) in storage.filesystems.iter().enumerate() {
        let format = matches!(filesystem.format, Format::Btrfs | Format::Tmpfs);
        refuse(format, format!("storage.filesystems[{i}].format"));
        refuse(filesystem.uuid.is_some() && !filesystem.preserve, format!("storage.filesystems[{i}].uuid"));
        refuse(!filesystem.subvolumes.is_empty(), format!("storage.filesystems[{i}].subvolumes"));
    }
    paths
}

fn image(nii: &Nii, out: Out<'_>) {
    if nii.package.is_some() {
        out.push(Finding::error("package", "is for package installs: an image has its packages already"));
    }
    if !nii.scripts.is_empty() {
        out.push(Finding::error("scripts", LATER));
    }
    for (i, interface) in nii.network.interfaces.iter().enumerate() {
        let path = format!("network.interfaces[{i}]");
        if interface.bond.is_some() {
            out.push(Finding::error(format!("{path}.bond"), LATER));
        }
        if interface.vlan.is_some() {
            out.push(Finding::error(format!("{path}.vlan"), LATER));
        }
    }
    let storage = &nii.storage;
    if storage.mode == StorageMode::Anaconda {
        out.push(Finding::error(
            "storage.mode",
            "must be `camphor`: there is no anaconda in an install from an image",
        ));
    }
    if nii.install.kind == InstallType::Disked {
        kept_beside_an_image(nii, out);
    }
}

/// What an image and its boot loader write to cannot be kept; and what the image has there would be hidden.
fn kept_beside_an_image(nii: &Nii, out: Out<'_>) {
    for (i, disk) in nii.storage.disks.iter().enumerate() {
        for (j, partition) in disk.partitions.iter().enumerate().filter(|(_, partition)| partition.preserve) {
            let written =
                [PartitionType::Esp, PartitionType::BiosBoot, PartitionType::Xbootldr, PartitionType::Root];
            if written.contains(&partition.kind) {
                let message = "cannot be kept in an install from an image: the new system is written to it";
                out.push(Finding::error(format!("storage.disks[{i}].partitions[{j}].preserve"), message));
            }
        }
    }
    for (path, mount, _) in mounts::all(&nii.storage).filter(|(_, _, filesystem)| filesystem.preserve) {
        if mounts::hides(mount) {
            let message =
                format!("the image has its own files at `{mount}`, which a kept file system would hide");
            out.push(Finding::error(path, message));
        }
    }
}

/// The paths of every `preserve` that is set.
fn kept(nii: &Nii) -> Vec<String> {
    let storage = &nii.storage;
    let mut paths = Vec::new();
    for (i, disk) in storage.disks.iter().enumerate() {
        let kept = disk.partitions.iter().enumerate().filter(|(_, partition)| partition.preserve);
        paths.extend(kept.map(|(j, _)| format!("storage.disks[{i}].partitions[{j}].preserve")));
    }
    let mut list = |name: &str, kept: Vec<bool>| {
        let kept = kept.into_iter().enumerate().filter(|(_, kept)| *kept);
        paths.extend(kept.map(|(i, _)| format!("storage.{name}[{i}].preserve")));
    };
    list("raid", storage.raid.iter().map(|array| array.preserve).collect());
    list("luks", storage.luks.iter().map(|luks| luks.preserve).collect());
    list("volume_groups", storage.volume_groups.iter().map(|group| group.preserve).collect());
    list("logical_volumes", storage.logical_volumes.iter().map(|volume| volume.preserve).collect());
    list("filesystems", storage.filesystems.iter().map(|filesystem| filesystem.preserve).collect());
    paths
}
