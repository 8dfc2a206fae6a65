//! What stands against keeping a group whose volumes are known: a volume that is to be kept is not there, one would go with
//! its pool, new ones have no room.

use nii::Finding;
use nii::v1::{LogicalVolume, VolumeGroup};

use super::check::Out;
use super::{Stack, room};
use crate::facts::{self, Facts};
use crate::units::MIB;

/// The one group of this name.
pub(crate) fn known<'a>(facts: &'a Facts, name: &str) -> Option<&'a facts::Group> {
    let mut named = facts.groups.iter().filter(|known| known.name == name);
    named.next().filter(|_| named.next().is_none())
}

/// `index` is that of the group.
pub(super) fn check(
    stack: &Stack<'_>,
    index: usize,
    group: &VolumeGroup,
    known: &facts::Group,
    out: Out<'_>,
) {
    let volumes = stack.storage.logical_volumes.iter().enumerate();
    let volumes = volumes.filter(|(_, volume)| volume.group == group.name);
    let (kept, anew): (Vec<_>, Vec<_>) = volumes.partition(|(_, volume)| volume.preserve);
    for (i, volume) in kept {
        if known.volumes.iter().all(|there| there.name != volume.name) {
            let message =
                format!("the group `{}` has no volume `{}` that could be kept", group.name, volume.name);
            out.push(Finding::error(format!("storage.logical_volumes[{i}].preserve"), message));
        }
    }
    let is_anew = |name: &str| anew.iter().any(|(_, volume)| volume.name == name);
    for (i, pool) in anew.iter().filter(|(_, volume)| volume.thin_pool) {
        let lost = known.volumes.iter().filter(|there| there.pool.as_ref() == Some(&pool.name));
        let lost: Vec<&str> = lost.map(|there| there.name.as_str()).filter(|name| !is_anew(name)).collect();
        if !lost.is_empty() {
            let message = format!(
                "the thin pool `{}` is made anew, and {} in it would go with it; keep it, or remove them first",
                pool.name,
                lost.join(", ")
            );
            out.push(Finding::error(format!("storage.logical_volumes[{i}].thin_pool"), message));
        }
    }
    for (i, volume) in &anew {
        let lost = known.volumes.iter().filter(|there| there.origin.as_ref() == Some(&volume.name));
        let lost: Vec<&str> = lost.map(|there| there.name.as_str()).collect();
        if !lost.is_empty() {
            let message = format!(
                "`{}/{}` is made anew, and {} is made of it as its snapshot; keep it, or remove the snapshot first",
                group.name,
                volume.name,
                lost.join(", ")
            );
            out.push(Finding::error(format!("storage.logical_volumes[{i}].name"), message));
        }
    }
    let anew: Vec<&LogicalVolume> = anew.into_iter().map(|(_, volume)| volume).collect();
    fits(index, &anew, known, out);
}

/// Volumes that are made anew are removed first.
fn fits(index: usize, anew: &[&LogicalVolume], known: &facts::Group, out: Out<'_>) {
    // Extents may be smaller than a MiB.
    let unit = (known.extent / MIB).max(1);
    let own = anew.iter().filter(|volume| volume.pool.is_none());
    let needs = own.fold(0, |sum: u64, volume| sum.saturating_add(room::needed(volume, unit)));
    let removed = known.volumes.iter().filter(|there| anew.iter().any(|volume| volume.name == there.name));
    let has = removed.fold(known.free, |sum, there| sum.saturating_add(there.extents));
    let has = has.saturating_mul(known.extent) / MIB;
    let needs = needs.saturating_mul(unit);
    if needs > has {
        let message = format!(
            "the new volumes of the kept group `{}` need {needs} MiB, in extents of {unit} MiB, and what is free in it or of \
             volumes that are made anew has {has} MiB",
            known.name
        );
        out.push(Finding::error(format!("storage.volume_groups[{index}]"), message));
    }
}
