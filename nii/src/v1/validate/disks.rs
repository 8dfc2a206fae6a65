//! `storage.disks`.

use std::collections::BTreeSet;

use super::Out;
use super::words::{is_name, is_path};
use crate::Finding;
use crate::v1::{Disk, DiskSelect, Hint, Nii, PARTITION_NAME_MAX, Partition};

/// The label of the partition that holds the journal of an install.
const RESERVED_LABEL: &str = "camphor";

pub(super) fn disks(nii: &Nii, out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut labels = BTreeSet::new();
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
        partitions(disk, &path, &mut labels, out);
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
    let grows = |partition: &&Partition| partition.size_mib.is_none() && !partition.preserve;
    if disk.partitions.iter().filter(grows).count() > 1 {
        let message = "only one partition of a disk may be without size_mib and take what remains";
        out.push(Finding::error(format!("{path}.partitions"), message));
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
