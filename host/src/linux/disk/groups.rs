//! Volume groups as facts, by the metadata on partitions and disks, and on mirrors (md) of those: what is kept in a group, and
//! whether new volumes have room in it, is known before anything is written. A group within something else is not found.

use std::collections::BTreeMap;

use plan::facts::{self, Disk};

use super::contents::bytes::Extent;
use super::contents::lvm::group::{self, Group};
use super::contents::lvm::{self, Description};
use super::contents::md;
use crate::machine::Watch;

/// Those of all disks. Damaged metadata describe none, and `watch` is told.
pub fn on(disks: &[Disk], watch: &mut dyn Watch) -> Vec<facts::Group> {
    let mut newest: BTreeMap<String, Group> = BTreeMap::new();
    for place in disks.iter().flat_map(places) {
        let found = described(&place).unwrap_or_else(|error| {
            watch.log(&format!("{}: LVM at byte {}: {error:#}", place.device.display(), place.start));
            Vec::new()
        });
        for group in found {
            match newest.get(&group.id) {
                Some(known) if known.seqno >= group.seqno => {}
                _ => drop(newest.insert(group.id.clone(), group)),
            }
        }
    }
    newest.into_values().map(fact).collect()
}

/// Where physical volumes and members of arrays lie.
fn places(disk: &Disk) -> impl Iterator<Item = Extent> {
    let members = ["LVM2_member", "linux_raid_member"];
    disk.contents.iter().filter(move |content| members.contains(&content.kind.as_str())).filter_map(
        |content| {
            let start = match content.partition {
                None => 0,
                Some(number) => {
                    let table = disk.table.as_ref()?;
                    let entry = table.partitions.iter().find(|entry| entry.number == number)?;
                    entry.first.checked_mul(disk.sector.into())?
                }
            };
            Some(Extent { device: disk.path.clone().into(), start, length: content.size })
        },
    )
}

/// The groups that the metadata there describe: one, in as many states as there are copies.
fn described(place: &Extent) -> anyhow::Result<Vec<Group>> {
    let place = match md::read(&mut place.open()?)?.map(|member| member.mirror()) {
        None => place.clone(),
        Some(Ok((start, length))) => place.part(start, length)?,
        Some(Err(_)) => return Ok(Vec::new()),
    };
    let mut bytes = place.open()?;
    let Some(volume) = lvm::label(&mut bytes)? else { return Ok(Vec::new()) };
    match volume.description(&mut bytes)? {
        Description::Here(texts) => texts.iter().map(|text| group::parse(text)).collect(),
        Description::Elsewhere | Description::None => Ok(Vec::new()),
    }
}

fn fact(group: Group) -> facts::Group {
    let Group { name, extent, free, volumes, .. } = group;
    let volume = |group::Volume { name, extents, pool, origin, .. }| facts::GroupVolume {
        name,
        extents,
        pool,
        origin,
    };
    facts::Group { name, extent, free, volumes: volumes.into_iter().map(volume).collect() }
}
