//! What is in the way of a new partition table: whatever the kernel has built on the disk, mounted or swapped on. It is let
//! go from the top down; what lies on partitions that are kept is let go too, and stays as it is.
//!
//! Known kinds are let go: arrays, volumes of LVM, encrypted devices, swap, and the mounts of an earlier worker below the
//! new root. Everything else has an owner who must be asked, and its disk is refused ([`stays`]).

use std::path::Path;

use nii::Finding;
use nii::v1::Storage;

use crate::disks::{self, Planned};
use crate::facts::{Disk, Facts, Stacked, StackedKind};
use crate::op::{Act, Holder, NEW_ROOT, Op};
use crate::stack::volume_ref;

/// Everything that is built on a disk or on partitions of it, at any depth, and the disk and its partitions where they are
/// in use.
pub fn over<'a>(stacked: &'a [Stacked], disk: &str) -> Vec<&'a Stacked> {
    let mut found: Vec<&Stacked> = Vec::new();
    loop {
        let is_below = |node: &String| is_part(node, disk) || found.iter().any(|below| below.node == *node);
        let next: Vec<&Stacked> = stacked
            .iter()
            .filter(|one| !found.contains(one) && (is_part(&one.node, disk) || one.on.iter().any(is_below)))
            .collect();
        if next.is_empty() {
            return found;
        }
        found.extend(next);
    }
}

/// Who uses a disk and is not let go, for a person.
pub fn stays(stacked: &[Stacked], disk: &str) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    for one in over(stacked, disk) {
        users.extend(one.mounts.iter().filter(|path| !is_in_new_root(path)).cloned());
        match &one.kind {
            StackedKind::Other => users.push(one.node.clone()),
            StackedKind::Mapped { uuid, .. } if !is_known(uuid) => users.push(name(one)),
            _ => {}
        }
    }
    users.dedup();
    users
}

/// Where what is on a disk is mounted.
pub fn mounts<'a>(stacked: &'a [Stacked], disk: &str) -> Vec<&'a str> {
    over(stacked, disk).into_iter().flat_map(|one| &one.mounts).map(String::as_str).collect()
}

/// The ops that let go of everything on the disks that are written, from the top down.
pub(crate) fn ops(
    facts: &Facts,
    storage: &Storage,
    planned: &[Planned<'_>],
    out: &mut Vec<Finding>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    if facts.stacked.iter().flat_map(|one| &one.mounts).any(|path| is_in_new_root(path)) {
        let holder = Holder::Mount { path: NEW_ROOT.to_owned() };
        ops.push(Op::new(Act::Release { holder }, "an earlier worker of this installer mounted it"));
    }
    let mut left = in_the_way(facts, planned);
    others_too(facts, planned, &left, out);
    half_kept(facts, planned, &left, out);
    names_in_use(facts, storage, &left, out);
    for one in left.iter().filter(|one| one.swap) {
        let holder = Holder::Swap { device: one.node.clone() };
        ops.push(Op::new(Act::Release { holder }, reason(one, facts, planned)));
    }
    while !left.is_empty() {
        let (top, rest): (Vec<&Stacked>, Vec<&Stacked>) =
            left.iter().partition(|one| left.iter().all(|upper| !upper.on.contains(&one.node)));
        if top.is_empty() {
            // A ring: no kernel says so.
            break;
        }
        ops.extend(top.iter().filter_map(|one| {
            let act = Act::Release { holder: holder(one)? };
            Some(Op::new(act, reason(one, facts, planned)))
        }));
        left = rest;
    }
    ops
}

/// What lies on the disks that are written, and other volumes of the same groups: with a part of its group gone none can
/// stay, and its name may be wanted.
fn in_the_way<'a>(facts: &'a Facts, planned: &[Planned<'_>]) -> Vec<&'a Stacked> {
    let mut found: Vec<&Stacked> = Vec::new();
    let add = |found: &mut Vec<&'a Stacked>, more: Vec<&'a Stacked>| {
        for one in more {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    };
    for planned in planned {
        add(&mut found, over(&facts.stacked, &planned.disk.path));
    }
    let groups: Vec<&str> = found.iter().filter_map(|one| group(one)).collect();
    let siblings = facts.stacked.iter().filter(|one| group(one).is_some_and(|group| groups.contains(&group)));
    for sibling in siblings.filter(|one| !found.contains(one)).collect::<Vec<_>>() {
        let above: Vec<&Stacked> = over(&facts.stacked, &sibling.node);
        // Whatever is in use on a disk that the install does not touch goes on.
        if stays(&facts.stacked, &sibling.node).is_empty() && above.iter().all(|one| !one.swap) {
            add(&mut found, above);
        }
    }
    found
}

/// A warning for each disk that is not written, and has a part in what is let go.
fn others_too(facts: &Facts, planned: &[Planned<'_>], released: &[&Stacked], out: &mut Vec<Finding>) {
    let is_selected = |disk: &Disk| planned.iter().any(|planned| planned.disk.path == disk.path);
    for disk in facts.disks.iter().filter(|disk| !is_selected(disk)) {
        let over = over(&facts.stacked, &disk.path);
        let shared: Vec<String> = released
            .iter()
            .filter(|one| holder(one).is_some() && over.contains(one))
            .map(|one| name(one))
            .collect();
        if !shared.is_empty() {
            let message = format!(
                "{}, which the NII does not select, has a part in {}: what the selected disks hold of it is lost, but for \
                 what is kept",
                disks::describe(disk),
                shared.join(", ")
            );
            out.push(Finding::warning("storage.disks", message));
        }
    }
}

/// An error for what lies on a partition that is kept, and on one that is not: the half that stays would be worth nothing.
fn half_kept(facts: &Facts, planned: &[Planned<'_>], released: &[&Stacked], out: &mut Vec<Finding>) {
    let kept = |node: &str| {
        planned.iter().any(|planned| {
            let number = partition_number(node, &planned.disk.path);
            number.is_some_and(|number| planned.layout.keep.contains(&number))
        })
    };
    let written = |node: &str| planned.iter().any(|planned| is_part(node, &planned.disk.path));
    for one in released {
        let bottom = bottom(&facts.stacked, &one.node);
        let stays = bottom.iter().find(|node| kept(node));
        let goes = bottom.iter().find(|node| written(node) && !kept(node));
        if let (Some(stays), Some(goes)) = (stays, goes) {
            let message = format!(
                "{} is on {stays}, which is kept, and on {goes}, which is not: keep both, or neither",
                name(one)
            );
            out.push(Finding::error("storage.disks", message));
        }
    }
}

/// The partitions and disks that a device lies on, at any depth; its own node, if it lies on nothing.
fn bottom<'a>(stacked: &'a [Stacked], node: &'a str) -> Vec<&'a str> {
    match stacked.iter().find(|one| one.node == node) {
        Some(one) if !one.on.is_empty() => one.on.iter().flat_map(|below| bottom(stacked, below)).collect(),
        _ => vec![node],
    }
}

/// An error for each volume and encrypted device of the NII whose name in device-mapper something has that goes on: what is
/// made would be taken for that, or fail when the tables are written already.
fn names_in_use(facts: &Facts, storage: &Storage, released: &[&Stacked], out: &mut Vec<Finding>) {
    let stays = facts.stacked.iter().filter(|one| !released.contains(one));
    let mut refuse = |path: String, wanted: &str| {
        let is_it = |one: &&Stacked| matches!(&one.kind, StackedKind::Mapped { name, .. } if name == wanted);
        if let Some(one) = stays.clone().find(is_it) {
            let on = bottom(&facts.stacked, &one.node).join(" and ");
            let message = format!(
                "{} is active on {on}, which the install does not touch, and has the name that this is to have; take it \
                 apart, or take another name",
                name(one)
            );
            out.push(Finding::error(path, message));
        }
    };
    for (i, volume) in storage.logical_volumes.iter().enumerate() {
        refuse(format!("storage.logical_volumes[{i}].name"), &volume_ref(volume).mapper());
    }
    for (i, luks) in storage.luks.iter().enumerate() {
        refuse(format!("storage.luks[{i}].name"), &luks.name);
    }
}

fn holder(one: &Stacked) -> Option<Holder> {
    match &one.kind {
        StackedKind::Array => Some(Holder::Array { node: one.node.clone() }),
        StackedKind::Mapped { name, uuid } => Some(Holder::Mapped {
            name: name.clone(),
            uuid: Some(uuid.clone()).filter(|uuid| !uuid.is_empty()),
        }),
        StackedKind::Plain | StackedKind::Other => None,
    }
}

/// `it lies on /dev/vda, which is written`.
fn reason(one: &Stacked, facts: &Facts, planned: &[Planned<'_>]) -> String {
    let below = planned.iter().map(|planned| planned.disk.path.as_str());
    let below: Vec<&str> = below.filter(|disk| over(&facts.stacked, disk).contains(&one)).collect();
    match below[..] {
        [] => "its volume group loses a disk".to_owned(),
        [disk] => format!("it lies on {disk}, which is written"),
        _ => format!("it lies on {}, which are written", below.join(" and ")),
    }
}

/// For people: `/dev/md127`, `vg0-root (/dev/dm-0)`.
fn name(one: &Stacked) -> String {
    match &one.kind {
        StackedKind::Mapped { name, .. } => format!("{name} ({})", one.node),
        _ => one.node.clone(),
    }
}

/// The UUID of the LVM group, of which a volume's uuid in device-mapper is made: `LVM-`, 32 letters for the group, and more for
/// the volume.
fn group(one: &Stacked) -> Option<&str> {
    match &one.kind {
        StackedKind::Mapped { uuid, .. } => uuid.strip_prefix("LVM-")?.get(..32),
        _ => None,
    }
}

/// LVM's, cryptsetup's, or a partition of something else (kpartx).
fn is_known(uuid: &str) -> bool {
    let number = uuid.strip_prefix("part").and_then(|rest| rest.split_once('-')).map(|(number, _)| number);
    uuid.starts_with("LVM-") || uuid.starts_with("CRYPT-") || number.is_some_and(is_number)
}

fn is_in_new_root(path: &str) -> bool {
    Path::new(path).starts_with(NEW_ROOT)
}

/// Whether a node is this disk, or a partition of it.
fn is_part(node: &str, disk: &str) -> bool {
    node == disk || partition_number(node, disk).is_some()
}

/// The number of a partition by its node; `None` if it is none of this disk.
fn partition_number(node: &str, disk: &str) -> Option<u32> {
    let rest = node.strip_prefix(disk)?;
    let number =
        if disk.ends_with(|last: char| last.is_ascii_digit()) { rest.strip_prefix('p')? } else { rest };
    is_number(number).then(|| number.parse().ok()).flatten()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_other_disks() {
        for (node, disk) in [
            ("/dev/sda", "/dev/sda"),
            ("/dev/sda12", "/dev/sda"),
            ("/dev/nvme0n1p2", "/dev/nvme0n1"),
            ("/dev/md127p1", "/dev/md127"),
        ] {
            assert!(is_part(node, disk), "{node} {disk}");
        }
        for (node, disk) in [
            ("/dev/sdaa1", "/dev/sda"),
            ("/dev/nvme0n12", "/dev/nvme0n1"),
            ("/dev/nvme0n10p1", "/dev/nvme0n1"),
            ("/dev/md1271", "/dev/md127"),
        ] {
            assert!(!is_part(node, disk), "{node} {disk}");
        }
    }

    #[test]
    fn whose_a_mapping_is() {
        for uuid in ["LVM-x", "CRYPT-LUKS2-x-data", "CRYPT-PLAIN-x", "part1-mpath-x"] {
            assert!(is_known(uuid), "{uuid}");
        }
        for uuid in ["", "mpath-3600", "DMRAID-x", "partition-x", "stratis-1-x"] {
            assert!(!is_known(uuid), "{uuid}");
        }
    }
}
