//! What a machine needs of its disks to boot from them. That an ESP or a BIOS boot partition is there is for the node to
//! see: it knows its firmware.

use super::Out;
use super::mounts::all;
use super::stack::below;
use crate::Finding;
use crate::v1::{Device, Filesystem, Format, InstallType, Loader, Nii, PartitionType, Storage};

/// Where the ESP is mounted, by custom.
const ESP: [&str; 2] = ["/boot/efi", "/efi"];

pub(super) fn booting(nii: &Nii, out: Out<'_>) {
    let kind = match nii.install.kind {
        InstallType::Disked => "disked",
        InstallType::Package => "package",
        InstallType::Diskless => return,
    };
    root(&nii.storage, kind, out);
    esp(&nii.storage, out);
    if nii.install.kind == InstallType::Disked {
        // anaconda has rules of its own, which the plan of a package install knows.
        found_by_firmware(&nii.storage, out);
    }
    encrypted(&nii.storage, out);
    if nii.boot.loader == Loader::Grub {
        grub(&nii.storage, out);
    }
}

fn root(storage: &Storage, kind: &str, out: Out<'_>) {
    let message = match storage.mounted_at("/").map(|root| root.format) {
        None => format!("a {kind} node needs a file system mounted at `/`"),
        Some(Format::Vfat) => "`/` cannot be vfat: it keeps no owners or modes".to_owned(),
        Some(Format::Tmpfs) => format!("`/` of a {kind} node cannot be a tmpfs: it is gone with the power"),
        Some(_) => return,
    };
    out.push(Finding::error("storage.filesystems", message));
}

fn esp(storage: &Storage, out: Out<'_>) {
    for partition in storage.disks.iter().flat_map(|disk| &disk.partitions) {
        let made = storage.filesystems.iter().find(|f| f.device == partition.label);
        if partition.kind == PartitionType::Esp && made.is_some_and(|f| f.format != Format::Vfat) {
            let message = format!("the ESP `{}` must be vfat: firmware reads nothing else", partition.label);
            out.push(Finding::error("storage.filesystems", message));
        }
    }
}

/// Firmware looks on partitions of type `esp`, and takes a mirror's members for such.
fn found_by_firmware(storage: &Storage, out: Out<'_>) {
    for (path, mount, filesystem) in all(storage).filter(|(_, mount, _)| ESP.contains(mount)) {
        let is_esp = |name: &str| storage.partition(name).is_some_and(|(_, p)| p.kind == PartitionType::Esp);
        let reads = match storage.device(&filesystem.device) {
            Some(Device::Partition(_, partition)) => partition.kind == PartitionType::Esp,
            Some(Device::Raid(array)) => array.devices.iter().all(|name| is_esp(name)),
            Some(Device::Luks(_) | Device::LogicalVolume(_)) => false,
            None => continue,
        };
        if !reads {
            let message = format!(
                "`{mount}` is for an ESP, and firmware does not find one on `{}`: it must be a partition of type `esp`, or \
                 a raid1 of such",
                filesystem.device
            );
            out.push(Finding::error(path, message));
        }
    }
}

/// The installed system has the keys of encrypted devices in its root.
fn encrypted(storage: &Storage, out: Out<'_>) {
    let needed = |mount: &str| ["/", "/usr", "/boot"].contains(&mount);
    for (path, mount, filesystem) in all(storage).filter(|(_, mount, _)| needed(mount)) {
        let luks = below(storage, &filesystem.device).into_iter().find_map(|device| match device {
            Device::Luks(luks) => Some(&luks.name),
            _ => None,
        });
        if let Some(name) = luks {
            let message = format!(
                "`{mount}` is on the encrypted device `{name}`: somebody would have to unlock it at each boot. Encrypt data \
                 only, whose key is in a file on `/`"
            );
            out.push(Finding::error(path, message));
        }
    }
}

/// GRUB's diskfilter reads md arrays of all levels here and LVM's linear, striped, mirrored and RAID volumes.
fn grub(storage: &Storage, out: Out<'_>) {
    let on = |mount: &str| all(storage).find(|(_, at, _)| *at == mount);
    let Some((path, mount, Filesystem { device, .. })) = on("/boot").or_else(|| on("/")) else { return };
    if let Some(Device::LogicalVolume(volume)) = storage.device(device)
        && volume.pool.is_some()
    {
        let message = format!(
            "GRUB reads its kernel from `{mount}`, and cannot read the thin volume `{device}`: make `/boot` a file system \
             of its own on a partition, an array or a plain volume"
        );
        out.push(Finding::error(path, message));
    }
}
