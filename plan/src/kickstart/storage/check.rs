//! What anaconda would refuse, or take in silence and do otherwise. Its rules are `modules/storage/checker/utils.py` and
//! `modules/storage/bootloader`; docs/package-flow.md lists them.

use nii::Finding;
use nii::v1::{Device, Filesystem, Format, PartitionType, RaidLevel};

use super::{ESP_MOUNT, Site, is_in_use};
use crate::disks::Planned;
use crate::facts::Firmware;
use crate::units::MIB;

/// blivet's least size of an ESP, up to 3.13 (`EFIFS._min_size`); newer ones are content with less.
const ESP_MIN_MIB: u64 = 50;

/// Directories that must be on the root (anaconda.conf, `must_be_on_root`).
const ON_ROOT: &[&str] = &["/bin", "/dev", "/etc", "/lib", "/lost+found", "/mnt", "/proc", "/root", "/sbin"];

type Out<'a> = &'a mut Vec<Finding>;

/// Checks everything; the disk that the firmware boots from, if there is one.
pub(super) fn check<'a>(site: &Site<'a>, out: Out<'_>) -> Option<&'a Planned<'a>> {
    for (i, filesystem) in site.storage.filesystems.iter().enumerate() {
        ignored(site, filesystem, &format!("storage.filesystems[{i}]"), out);
    }
    loader_files(site, out);
    match site.firmware {
        Firmware::Efi => esp(site, out),
        Firmware::Bios => bios_boot(site, out),
    }
}

/// What is written differently, or not at all.
fn ignored(site: &Site<'_>, filesystem: &Filesystem, path: &str, out: Out<'_>) {
    let mount = filesystem.mount.as_deref();
    if let Some(mount) = mount.filter(|mount| ON_ROOT.contains(mount)) {
        let message = format!("anaconda wants `{mount}` on the root file system");
        out.push(Finding::error(format!("{path}.mount"), message));
    }
    let on_esp = matches!(site.storage.device(&filesystem.device),
        Some(Device::Partition(_, partition)) if partition.kind == PartitionType::Esp);
    if on_esp && !site.has_use_for(PartitionType::Esp) && is_in_use(filesystem) {
        let message = "the machine boots by BIOS, where anaconda refuses an ESP: it is left out";
        out.push(Finding::warning(path, message));
    } else if !filesystem.mount_options.is_empty()
        && (mount == Some(ESP_MOUNT) || filesystem.format == Format::Swap)
    {
        let message = "anaconda has options of its own for the ESP and for swap space: these are left out";
        out.push(Finding::warning(format!("{path}.mount_options"), message));
    }
}

/// GRUB as anaconda installs it (`GRUB2.stage2_device_types`, `stage2_format_types`).
fn loader_files(site: &Site<'_>, out: Out<'_>) {
    let storage = site.storage;
    let Some(filesystem) = storage.mounted_at("/boot").or_else(|| storage.mounted_at("/")) else { return };
    let mut refuse = |message: &str| out.push(Finding::error("storage.filesystems", message));
    if let Some(Device::LogicalVolume(_)) = storage.device(&filesystem.device) {
        refuse("anaconda wants `/boot` on a partition or an array, not on a logical volume");
    }
    if ![Format::Ext4, Format::Xfs].contains(&filesystem.format) {
        refuse("anaconda wants ext4 or xfs for `/boot`");
    }
}

/// The ESP must be one, where anaconda looks for it.
fn esp<'a>(site: &Site<'a>, out: Out<'_>) -> Option<&'a Planned<'a>> {
    let mut refuse = |message: String| {
        out.push(Finding::error("storage.filesystems", message));
        None
    };
    let Some(filesystem) = site.storage.mounted_at(ESP_MOUNT) else {
        return refuse(format!(
            "a machine that boots by UEFI needs a partition of type `esp` at `{ESP_MOUNT}`"
        ));
    };
    let label = match site.storage.device(&filesystem.device) {
        Some(Device::Partition(_, partition)) if partition.kind == PartitionType::Esp => &partition.label,
        // With metadata at the end of the members: blivet chooses version 1.0 for this mount point.
        Some(Device::Raid(array)) if array.level == RaidLevel::Raid1 => array.devices.first()?,
        _ => return refuse(format!("`{ESP_MOUNT}` must be a partition of type `esp` or a raid1")),
    };
    let planned = site.disk_of(label)?;
    if planned.partition(label).is_some_and(|(_, bytes)| bytes < ESP_MIN_MIB * MIB) {
        return refuse(format!("anaconda wants {ESP_MIN_MIB} MiB for `{ESP_MOUNT}` at least"));
    }
    Some(planned)
}

/// GRUB's core image needs a place on a GPT (`verify_gpt_biosboot`). The document was completed: there is none only where
/// BIOS is not what the machine has.
fn bios_boot<'a>(site: &Site<'a>, out: Out<'_>) -> Option<&'a Planned<'a>> {
    let has = |planned: &&Planned<'_>| {
        planned.wanted.partitions.iter().any(|partition| partition.kind == PartitionType::BiosBoot)
    };
    let boot_disk = site.disks.iter().find(has);
    if boot_disk.is_none() {
        let message = "one disk needs a partition of type `bios-boot` (1 MiB) to boot by BIOS";
        out.push(Finding::error("storage.disks", message));
    }
    boot_disk
}
