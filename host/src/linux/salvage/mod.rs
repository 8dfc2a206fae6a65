//! The SSH host keys of the systems that are on the disks, before the disks are written.
//!
//! Each file system is mounted read-only, without replaying its log, on a device that is set read-only, in a mount
//! namespace that ends with the look: not a bit is written, and nobody else sees it. What would need tools to be put
//! together (LVM, md, LUKS) is named in a warning.

mod look;
mod signature;

use std::path::{Path, PathBuf};

use nii::v1::SshHostKey;
use plan::facts::Disk;
use uuid::Uuid;

use super::disk::partitions;
use crate::machine::Salvage;

pub use look::{Found, at};
pub use signature::{Signature, of};

/// The keys of one old system. With several, the one whose journal says that camphor made its root, else the one
/// whose keys are the newest. Attempts of `arming` count as none: their keys are ours, and the head node has them.
/// `prepare` loads what the kernel needs for a file system.
pub fn host_keys(disks: &[Disk], arming: Uuid, prepare: &mut dyn FnMut(&str)) -> Salvage {
    let mut salvage = Salvage::default();
    let mut found: Vec<Old> = Vec::new();
    for disk in disks {
        if !disk.in_use.is_empty() {
            let users = disk.in_use.join(", ");
            salvage.warnings.push(format!("{} is in use by {users}: not searched for host keys", disk.path));
            continue;
        }
        for device in devices(disk, arming) {
            match search(&device, prepare) {
                Ok(Some(keys)) => found.push(Old { own: device.own, path: device.path, keys }),
                Ok(None) => {}
                Err(error) => salvage.warnings.push(format!("searching for host keys: {error:#}")),
            }
        }
    }
    choose(found, salvage)
}

/// A device that may hold an old root.
struct Candidate {
    path: PathBuf,
    /// A journal says that it is the root of a camphor install.
    own: bool,
}

/// An old system.
struct Old {
    path: PathBuf,
    own: bool,
    keys: Found,
}

/// The partitions of a disk as the kernel has them, or the disk itself if it has none.
fn devices(disk: &Disk, arming: Uuid) -> Vec<Candidate> {
    let path = Path::new(&disk.path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known = partitions::known(Path::new("/sys"), &name).unwrap_or_default();
    if known.is_empty() {
        return vec![Candidate { path: path.to_owned(), own: false }];
    }
    let entries = disk.table.as_ref().map_or(&[][..], |table| &table.partitions);
    let candidate = |partition: partitions::Known| {
        let entry = entries.iter().find(|entry| entry.number == partition.number);
        let record = disk.journal.as_ref().filter(|record| entry.is_some_and(|e| e.guid == record.root));
        let begun = entry.is_some_and(|entry| entry.kind == plan::journal::IN_PROGRESS)
            || record.is_some_and(|record| record.arming == arming);
        let path = path.with_file_name(&partition.name);
        (!begun).then_some(Candidate { path, own: record.is_some() })
    };
    known.into_iter().filter_map(candidate).collect()
}

fn search(device: &Candidate, prepare: &mut dyn FnMut(&str)) -> anyhow::Result<Option<Found>> {
    match of(&device.path)? {
        Signature::Filesystem(format) => {
            prepare(format);
            at(&device.path, format)
        }
        Signature::Needs(what) => {
            anyhow::bail!(
                "{} is {what}, which is not put together here: its keys are not kept",
                device.path.display()
            )
        }
        Signature::Other => Ok(None),
    }
}

fn choose(mut found: Vec<Old>, mut salvage: Salvage) -> Salvage {
    found.sort_by_key(|old| (old.own, old.keys.modified));
    let Some(best) = found.pop() else { return salvage };
    let others: Vec<String> = found
        .iter()
        .filter(|old| public(&old.keys.keys) != public(&best.keys.keys))
        .map(|old| old.path.display().to_string())
        .collect();
    if !others.is_empty() {
        let message = format!(
            "host keys are on {} and on {}: those of {} are kept, for they are the newest",
            others.join(", "),
            best.path.display(),
            best.path.display()
        );
        salvage.warnings.push(message);
    }
    salvage.host_keys = best.keys.keys;
    salvage
}

fn public(keys: &[SshHostKey]) -> Vec<&str> {
    keys.iter().map(|key| key.public.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use nii::secret::Secret;

    use super::*;

    fn old(path: &str, own: bool, modified: i64, public: &str) -> Old {
        let key = SshHostKey { kind: "rsa".into(), private: Secret::new("x"), public: public.into() };
        Old { path: path.into(), own, keys: Found { keys: vec![key], modified } }
    }

    #[test]
    fn our_own_root_wins_and_then_the_newest() {
        let chosen = |found| choose(found, Salvage::default());
        let salvage = chosen(vec![old("/dev/a", false, 9, "new"), old("/dev/b", true, 1, "own")]);
        assert_eq!(salvage.host_keys[0].public, "own");
        assert!(salvage.warnings[0].contains("/dev/a and on /dev/b"), "{:?}", salvage.warnings);
        let salvage = chosen(vec![old("/dev/a", false, 9, "new"), old("/dev/b", false, 1, "old")]);
        assert_eq!(salvage.host_keys[0].public, "new");
        let salvage = chosen(vec![old("/dev/a", false, 9, "same"), old("/dev/b", false, 1, "same")]);
        assert_eq!((salvage.warnings.len(), salvage.host_keys.len()), (0, 1), "a mirror's halves");
    }
}
