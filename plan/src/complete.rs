//! What a machine's firmware needs to start a boot loader, where the document has not thought of it: one document may
//! serve nodes that boot by BIOS and nodes that boot by UEFI.
//!
//! Everything that plans from a storage section plans from the [completed](complete) one, so that summary, ops and
//! kickstart agree. A document that has such a partition anywhere has decided, and is left as it is; so is one whose
//! `/` is on nothing that is known.

use std::borrow::Cow;

use nii::Nii;
use nii::v1::{Filesystem, Format, Partition, PartitionType, Storage};

use crate::facts::{Facts, Firmware};
use crate::stack;

/// MiB of a BIOS boot partition: GRUB's core image has some 30 KiB, and all sizes are whole MiB.
const BIOS_BOOT_MIB: u64 = 1;
/// MiB of an ESP: room for the loaders of several systems, and for kernels where systemd-boot wants them there.
const ESP_MIB: u64 = 512;
/// Where the ESP is mounted: the one place where anaconda looks for it.
const ESP_MOUNT: &str = "/boot/efi";

/// A storage section that the machine can boot from.
#[derive(Clone, Debug)]
pub(crate) struct Completed<'a> {
    /// The section.
    pub storage: Cow<'a, Storage>,
    /// Labels of the partitions that were added.
    pub added: Vec<String>,
}

/// Adds what the firmware needs: by BIOS a partition for GRUB's core image, first on each disk below `/boot`; by UEFI an
/// ESP, first on the first of them.
pub(crate) fn complete<'a>(facts: &Facts, storage: &'a Storage) -> Completed<'a> {
    let mut completed = Completed { storage: Cow::Borrowed(storage), added: Vec::new() };
    let Some(boot) = storage.mounted_at("/boot").or_else(|| storage.mounted_at("/")) else {
        return completed;
    };
    let below = disks_below(storage, &boot.device);
    let has = |kind| storage.disks.iter().any(|disk| disk.partitions.iter().any(|p| p.kind == kind));
    match facts.firmware {
        // A mirror is for the day when one of its disks is gone.
        Firmware::Bios if has(PartitionType::BiosBoot) && !is_array(storage, &boot.device) => {}
        // Elsewhere firmware that is not UEFI is no BIOS.
        Firmware::Bios if facts.arch == "x86_64" => {
            for disk in below {
                completed.add(disk, "bios", PartitionType::BiosBoot, BIOS_BOOT_MIB);
            }
        }
        Firmware::Efi if !has(PartitionType::Esp) && storage.mounted_at(ESP_MOUNT).is_none() => {
            if let Some(label) =
                below.first().and_then(|disk| completed.add(*disk, "esp", PartitionType::Esp, ESP_MIB))
            {
                let mount = Some(ESP_MOUNT.to_owned());
                let esp = Filesystem { device: label, format: Format::Vfat, mount, ..Filesystem::default() };
                completed.storage.to_mut().filesystems.push(esp);
            }
        }
        Firmware::Bios | Firmware::Efi => {}
    }
    completed
}

/// The document with its storage section completed.
pub(crate) fn document<'a>(facts: &Facts, nii: &'a Nii) -> Cow<'a, Nii> {
    match complete(facts, &nii.storage).storage {
        Cow::Borrowed(_) => Cow::Borrowed(nii),
        Cow::Owned(storage) => Cow::Owned(Nii { storage, ..nii.clone() }),
    }
}

impl Completed<'_> {
    /// Puts a partition first on a disk that has none of its kind; its label.
    fn add(&mut self, disk: usize, name: &str, kind: PartitionType, mib: u64) -> Option<String> {
        if self.storage.disks.get(disk)?.partitions.iter().any(|partition| partition.kind == kind) {
            return None;
        }
        let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}{n}")));
        let label = names.into_iter().find(|name| self.storage.device(name).is_none())?;
        let partition = Partition { label: label.clone(), kind, size_mib: Some(mib), ..Partition::default() };
        self.storage.to_mut().disks.get_mut(disk)?.partitions.insert(0, partition);
        self.added.push(label.clone());
        Some(label)
    }
}

/// Places of the disks that a device is on, in its order.
fn disks_below(storage: &Storage, device: &str) -> Vec<usize> {
    let mut disks = Vec::new();
    for label in stack::below(storage, device) {
        let with = storage.disks.iter().position(|disk| disk.partitions.iter().any(|p| p.label == label));
        disks.extend(with.filter(|disk| !disks.contains(disk)));
    }
    disks
}

/// Whether it is on an array, at any depth.
fn is_array(storage: &Storage, device: &str) -> bool {
    let labels = stack::below(storage, device);
    storage.raid.iter().any(|raid| raid.devices.iter().any(|label| labels.contains(&label.as_str())))
}
