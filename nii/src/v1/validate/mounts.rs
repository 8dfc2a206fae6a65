//! Mount points, of file systems and of subvolumes.

use std::collections::BTreeSet;

use super::Out;
use super::words::is_path;
use crate::Finding;
use crate::v1::{Filesystem, Format, Nii, Storage};

/// Where the kernel's and the running system's own file systems are.
const KERNEL: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// Where every system has files of its own.
const FULL: [&str; 8] = ["/bin", "/boot", "/efi", "/etc", "/lib", "/lib64", "/sbin", "/usr"];

pub(super) fn mounts(nii: &Nii, out: Out<'_>) {
    let mut mounts = BTreeSet::new();
    for (path, mount, filesystem) in all(&nii.storage) {
        if !mounts.insert(mount) {
            out.push(Finding::error(path.as_str(), format!("`{mount}` is mounted twice")));
        }
        let tmpfs = filesystem.format == Format::Tmpfs;
        let message = if filesystem.format == Format::Swap {
            "swap is not mounted".to_owned()
        } else if !is_path(mount) {
            format!("`{mount}` is no absolute path in its shortest form")
        } else if !tmpfs && is_below(mount, &KERNEL) || ["/dev", "/proc", "/sys"].contains(&mount) {
            format!("the running system has file systems of its own at `{mount}`")
        } else if tmpfs && hides(mount) {
            format!("a tmpfs at `{mount}` would hide files that the system needs")
        } else {
            continue;
        };
        out.push(Finding::error(path, message));
    }
}

/// Every mount point with its JSON path and its file system.
pub(super) fn all(storage: &Storage) -> impl Iterator<Item = (String, &str, &Filesystem)> {
    storage.filesystems.iter().enumerate().flat_map(|(i, filesystem)| {
        let path = format!("storage.filesystems[{i}]");
        let own = filesystem.mount.as_deref().map(|mount| (format!("{path}.mount"), mount, filesystem));
        let subvolumes = filesystem.subvolumes.iter().enumerate().filter_map(move |(j, subvolume)| {
            Some((format!("{path}.subvolumes[{j}].mount"), subvolume.mount.as_deref()?, filesystem))
        });
        own.into_iter().chain(subvolumes)
    })
}

/// Whether an installed system has files there that another file system would hide.
pub(super) fn hides(mount: &str) -> bool {
    mount == "/var" || is_below(mount, &FULL)
}

/// Whether it is one of the folders, or in one of them.
fn is_below(mount: &str, folders: &[&str]) -> bool {
    let below = |folder: &&str| {
        mount.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    folders.iter().any(below)
}
