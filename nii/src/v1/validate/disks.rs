//! `storage.disks`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Out;
use super::words::{is_name, is_path};
use crate::Finding;
use crate::v1::{
    Disk, DiskSelect, Filesystem, FoundBy, Hint, Nii, PARTITION_NAME_MAX, Partition, StorageMode, Wipe,
};

/// The label of the partition that holds the journal of an install.
const RESERVED_LABEL: &str = "camphor";
/// Partitions that a GPT as camphor writes it has room for.
const PARTITIONS_MAX: u32 = 128;

pub(super) fn disks(nii: &Nii, out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut labels = BTreeSet::new();
    let mut guids = BTreeSet::new();
    for (i, disk) in nii.storage.disks.iter().enumerate() {
        let path = format!("storage.disks[{i}]");
        if !is_name(&disk.name) {
            out.push(Finding::error(format!("{path}.name"), "must be letters, digits, `-`, `_` and `.`"));
        }
        if !names.insert(&disk.name) {
            let message = format!("another disk is named `{}`", disk.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        select(&disk.select, &format!("{path}.select"), out);
        if disk.wipe == Some(Wipe::Secure) && disk.select.pick.is_some() {
            let message = "says too little of a disk that erases itself: cut off, it has nothing to be known by, and the next \
                           attempt might erase another; name it";
            out.push(Finding::error(format!("{path}.select.pick"), message));
        }
        partitions(disk, &path, &mut labels, out);
        for (j, partition) in disk.partitions.iter().enumerate() {
            let path = format!("{path}.partitions[{j}]");
            match partition.preserve {
                true => kept(nii, partition, &path, out),
                false => made(nii, partition, &path, out),
            }
            guid(partition, &path, &mut guids, out);
        }
    }
}

fn select(select: &DiskSelect, path: &str, out: Out<'_>) {
    for (name, text) in select.texts() {
        match Hint::parse(text) {
            Err(why) => out.push(Finding::error(format!("{path}.{name}"), why)),
            Ok(Hint::Is(device)) if name == "path" && !(is_path(device) && device.starts_with("/dev/")) => {
                out.push(Finding::error(format!("{path}.path"), "must be a path such as `/dev/nvme0n1`"));
            }
            Ok(_) => {}
        }
    }
    if select.number == Some(0) {
        out.push(Finding::error(format!("{path}.number"), "must be at least 1: the first disk"));
    }
    if select.number.is_some() && select.pick.is_some() {
        let message = "means nothing beside `number`, which says one disk already";
        out.push(Finding::error(format!("{path}.pick"), message));
    }
    if let (Some(least), Some(most)) = (select.min_size_mib, select.max_size_mib)
        && least > most
    {
        let message = format!("is less than min_size_mib ({least}): no disk is both");
        out.push(Finding::error(format!("{path}.max_size_mib"), message));
    }
}

fn partitions<'a>(disk: &'a Disk, path: &str, labels: &mut BTreeSet<&'a str>, out: Out<'_>) {
    if disk.partitions.is_empty() {
        let message = "is empty: leave out a disk that is not to be touched";
        out.push(Finding::error(format!("{path}.partitions"), message));
    }
    for (i, partition) in disk.partitions.iter().enumerate() {
        let path = format!("{path}.partitions[{i}]");
        label(&partition.label, &path, out);
        if !labels.insert(&partition.label) {
            let message = format!("another partition is labelled `{}`", partition.label);
            out.push(Finding::error(format!("{path}.label"), message));
        }
        if partition.size_mib == Some(0) {
            out.push(Finding::error(format!("{path}.size_mib"), "must be at least 1"));
        }
    }
}

/// What is made has the size, GUID and attributes that the NII says, if it is camphor that makes it.
fn made(nii: &Nii, partition: &Partition, path: &str, out: Out<'_>) {
    if partition.found_by.is_some() {
        let message = "means something beside `preserve` only: what is made anew is not looked for";
        out.push(Finding::error(format!("{path}.found_by"), message));
    }
    if partition.weight == Some(0) {
        let message = "must be at least 1; a partition of a fixed size has none";
        out.push(Finding::error(format!("{path}.weight"), message));
    }
    if nii.storage.mode == StorageMode::Anaconda {
        for field in words(partition) {
            let message = "is not anaconda's to say in a kickstart: use `storage.mode: camphor`";
            out.push(Finding::error(format!("{path}.{field}"), message));
        }
    }
}

/// What is kept stays as it is.
fn kept(nii: &Nii, partition: &Partition, path: &str, out: Out<'_>) {
    for field in words(partition) {
        let message = "means nothing beside `preserve`: a partition that is kept keeps its own";
        out.push(Finding::error(format!("{path}.{field}"), message));
    }
    match &partition.found_by {
        Some(FoundBy::Number(number)) if !(1..=PARTITIONS_MAX).contains(number) => {
            let message = format!("must be a number from 1 to {PARTITIONS_MAX}");
            out.push(Finding::error(format!("{path}.found_by.number"), message));
        }
        Some(FoundBy::FilesystemLabel(label)) => {
            let field = format!("{path}.found_by.filesystem_label");
            let is_made = |f: &&Filesystem| !f.preserve && f.label.as_ref() == Some(label);
            if label.is_empty() {
                out.push(Finding::error(field, "is empty"));
            } else if let Some(other) = nii.storage.filesystems.iter().find(is_made) {
                let message = format!(
                    "the file system on `{}` is made with the label `{label}`, too: a second attempt would find both",
                    other.device
                );
                out.push(Finding::error(field, message));
            }
        }
        _ => {}
    }
}

/// The fields that say how a partition is made, beside its size.
fn words(partition: &Partition) -> impl Iterator<Item = &'static str> {
    let fields = [
        ("weight", partition.weight.is_some()),
        ("guid", partition.guid.is_some()),
        ("attributes", !partition.attributes.is_empty()),
    ];
    fields.into_iter().filter(|(_, is_there)| *is_there).map(|(field, _)| field)
}

/// A GUID is that of one partition.
fn guid(partition: &Partition, path: &str, guids: &mut BTreeSet<Uuid>, out: Out<'_>) {
    let (field, guid) = match (partition.guid, &partition.found_by) {
        (Some(guid), _) => ("guid", guid),
        (None, Some(FoundBy::Guid(guid))) => ("found_by.guid", *guid),
        _ => return,
    };
    if guid.is_nil() {
        out.push(Finding::error(format!("{path}.{field}"), "must not be all zeros"));
    } else if !guids.insert(guid) {
        out.push(Finding::error(format!("{path}.{field}"), "is the GUID of another partition, too"));
    }
}

fn label(label: &str, path: &str, out: Out<'_>) {
    let units = label.encode_utf16().count();
    let wrong = |c: char| c.is_control() || "/\"'`$\\".contains(c);
    if units == 0 || units > PARTITION_NAME_MAX || label.contains(wrong) {
        let message =
            format!("must have 1 to {PARTITION_NAME_MAX} UTF-16 units, without `/`, `$`, `\\` and quotes");
        out.push(Finding::error(format!("{path}.label"), message));
    }
    if label == RESERVED_LABEL {
        let message = format!("`{RESERVED_LABEL}` is the label of camphor's own partition");
        out.push(Finding::error(format!("{path}.label"), message));
    }
}
