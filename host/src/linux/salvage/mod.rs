//! The SSH host keys of the systems that are on the disks, before the disks are written.
//!
//! Each file system is mounted read-only, without replaying its log, on a device that is set read-only, in a mount
//! namespace that ends with the look: not a bit is written, and nobody else sees it. Volumes of LVM and RAID1 arrays are
//! not assembled: what is one run of bytes of a disk is mounted from there ([`layers`]). All else (other RAID, thin volumes,
//! LUKS, …) is named: it is a warning, or lost if the install writes it.

mod layers;
mod look;

use std::path::Path;

use anyhow::Context as _;
use nii::v1::SshHostKey;
use plan::Target;
use plan::facts::Disk;
use uuid::Uuid;

use self::layers::Layers;
use super::disk::contents::bytes::Extent;
use super::disk::{loops, partitions};
use crate::machine::Salvage;

pub use look::{Found, at};

/// The keys of one old system: with several, one on a disk of `targets` before others, then one whose journal says that
/// camphor made its root, then the one whose keys are the newest. What attempts of `arming` made is none: its keys are ours.
/// A removable disk that is no target is somebody's stick, and is left alone. `prepare` loads what the kernel needs for a
/// file system, or for `loop` devices.
pub fn host_keys(disks: &[Disk], targets: &[Target], arming: Uuid, prepare: &mut dyn FnMut(&str)) -> Salvage {
    let mut salvage = Salvage::default();
    let mut devices = Vec::new();
    for disk in disks {
        let target = targets.iter().find(|target| target.disk == disk.path);
        if target.is_none() && disk.removable {
            continue;
        }
        if !disk.in_use.is_empty() {
            let users = disk.in_use.join(", ");
            salvage.warnings.push(format!("{} is in use by {users}: not searched for host keys", disk.path));
            continue;
        }
        devices.extend(devices_of(disk, target, arming));
    }
    let Layers { filesystems, mut unsearched, .. } = layers::within(devices);
    let mut found: Vec<Old> = Vec::new();
    for (device, format) in filesystems {
        match search(&device, format, prepare) {
            Ok(Some(keys)) => found.push(Old { device, keys }),
            Ok(None) => {}
            Err(error) => unsearched.push((device.lost, format!("{error:#}"))),
        }
    }
    for (lost, what) in unsearched {
        match lost {
            true => salvage.lost.push(what),
            false => salvage.warnings.push(format!("searching for host keys: {what}")),
        }
    }
    choose(found, salvage)
}

/// Where an old root may be.
struct Candidate {
    /// For people.
    name: String,
    place: Extent,
    /// It is on a disk that the install goes to.
    targeted: bool,
    /// The install writes it.
    lost: bool,
    /// A journal says that it is the root of a camphor install.
    own: bool,
}

impl Candidate {
    /// All of a device of this size; it is targeted, lost, our own.
    fn on(device: &Path, length: u64, (targeted, lost, own): (bool, bool, bool)) -> Self {
        let place = Extent { device: device.to_owned(), start: 0, length };
        Self { name: device.display().to_string(), place, targeted, lost, own }
    }

    /// What is within these, together.
    fn of<'a>(name: String, place: Extent, below: impl IntoIterator<Item = &'a Self>) -> Self {
        let alone = Self { name, place, targeted: false, lost: false, own: false };
        below.into_iter().fold(alone, |all, one| Self {
            targeted: all.targeted || one.targeted,
            lost: all.lost || one.lost,
            own: all.own || one.own,
            ..all
        })
    }
}

/// An old system.
struct Old {
    device: Candidate,
    keys: Found,
}

/// The partitions of a disk as the kernel has them, or the disk itself if it has none.
fn devices_of(disk: &Disk, target: Option<&Target>, arming: Uuid) -> Vec<Candidate> {
    let path = Path::new(&disk.path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let known = partitions::known(Path::new("/sys"), &name).unwrap_or_default();
    let targeted = target.is_some();
    if known.is_empty() {
        return vec![Candidate::on(path, disk.size, (targeted, targeted, false))];
    }
    let entries = disk.table.as_ref().map_or(&[][..], |table| &table.partitions);
    let candidate = |partition: partitions::Known| {
        let entry = entries.iter().find(|entry| entry.number == partition.number);
        let is_of = |guids: fn(&Target) -> &Vec<Uuid>| {
            target.zip(entry).is_some_and(|(target, entry)| guids(target).contains(&entry.guid))
        };
        let record = disk.journal.as_ref().filter(|record| entry.is_some_and(|e| e.guid == record.root));
        let begun = entry.is_some_and(|entry| entry.kind == plan::journal::IN_PROGRESS)
            || record.is_some_and(|record| record.arming == arming)
            || is_of(|target| &target.made);
        let path = path.with_file_name(&partition.name);
        let lost = targeted && !is_of(|target| &target.kept);
        (!begun).then(|| Candidate::on(&path, partition.length, (targeted, lost, record.is_some())))
    };
    known.into_iter().filter_map(candidate).collect()
}

fn search(device: &Candidate, format: &str, prepare: &mut dyn FnMut(&str)) -> anyhow::Result<Option<Found>> {
    prepare(format);
    let looked = device.place.is_whole().and_then(|whole| {
        if !whole && !loops::are_there() {
            prepare("loop");
        }
        at(&device.place, format)
    });
    looked.with_context(|| format!("looking at {}", device.name))
}

fn choose(mut found: Vec<Old>, mut salvage: Salvage) -> Salvage {
    found.sort_by_key(|old| (old.device.targeted, old.device.own, old.keys.modified));
    let Some(best) = found.pop() else { return salvage };
    found.retain(|old| public(&old.keys.keys) != public(&best.keys.keys));
    if let Some(next) = found.last() {
        let why = match &next.device {
            next if next.targeted != best.device.targeted => "for the install goes to its disk",
            next if next.own != best.device.own => "for camphor made its root",
            _ => "for they are the newest",
        };
        let others: Vec<&str> = found.iter().map(|old| old.device.name.as_str()).collect();
        let (others, best) = (others.join(", "), &best.device.name);
        salvage
            .warnings
            .push(format!("host keys are on {others} and on {best}: those of {best} are kept, {why}"));
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

    fn old(path: &str, (targeted, own): (bool, bool), modified: i64, public: &str) -> Old {
        let key = SshHostKey { kind: "rsa".into(), private: Secret::new("x"), public: public.into() };
        let device = Candidate::on(Path::new(path), 0, (targeted, targeted, own));
        Old { device, keys: Found { keys: vec![key], modified } }
    }

    /// Which of two wins, and what is said about it.
    fn chosen(a: ((bool, bool), i64), b: ((bool, bool), i64)) -> (String, String) {
        let found = vec![old("/dev/a", a.0, a.1, "a"), old("/dev/b", b.0, b.1, "b")];
        let salvage = choose(found, Salvage::default());
        (salvage.host_keys[0].public.clone(), salvage.warnings.concat())
    }

    #[test]
    fn the_target_wins_and_then_our_own_root_and_then_the_newest() {
        const PLAIN: (bool, bool) = (false, false);
        let (key, why) = chosen((PLAIN, 9), ((true, false), 1));
        assert!(
            key == "b" && why.ends_with("those of /dev/b are kept, for the install goes to its disk"),
            "{why}"
        );
        let (key, why) = chosen(((false, true), 9), ((true, false), 1));
        assert!(key == "b" && why.ends_with("for the install goes to its disk"), "{why}");
        let (key, why) = chosen((PLAIN, 9), ((false, true), 1));
        assert!(key == "b" && why.ends_with("for camphor made its root"), "{why}");
        let (key, why) = chosen((PLAIN, 9), (PLAIN, 1));
        assert!(
            key == "a"
                && why
                    == "host keys are on /dev/b and on /dev/a: those of /dev/a are kept, for they are the newest"
        );
        let mirror = vec![old("/dev/a", PLAIN, 9, "same"), old("/dev/b", PLAIN, 1, "same")];
        let salvage = choose(mirror, Salvage::default());
        assert_eq!((salvage.warnings.len(), salvage.host_keys.len()), (0, 1), "a mirror's halves");
    }
}
